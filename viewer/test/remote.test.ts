// What a viewer asks of its board: the privacy switch, the camera's controls and the pace of their changes, figures,
// and the texts of refusals.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Outcome } from '../src/commands.ts';
import { Controls } from '../src/controlling.ts';
import { Pace, controlsOf, defaultsOf, isShown, nameOf, nearest, valueText, valuesOf } from '../src/controls.ts';
import type { Control } from '../src/controls.ts';
import { boardRows } from '../src/figures.ts';
import { Unusable } from '../src/json.ts';
import { languageAmong } from '../src/language.ts';
import { panelOf } from '../src/panel.ts';
import type { Situation, Stopped } from '../src/panel.ts';
import { PrivacyState, sentenceOf, switchOf } from '../src/privacy.ts';
import { refusedText } from '../src/refused.ts';
import { refusal } from '../src/results.ts';
import type { Json } from '../src/results.ts';
import { boardWords, componentWords } from '../src/words/languages.ts';
import { FakeCommands, WEBCAM } from './fake-commands.ts';

const { en, de } = boardWords;
const english = languageAmong(['en-GB']);

test('the privacy switch is read, with what is missing', () => {
  const now = 1_000_000;
  const by = { on: true, change: 3, by: 'viewer', name: 'An\u202ena', seconds: 61 };
  assert.deepEqual(switchOf(by, now), { on: true, change: 3, by: 'viewer', name: 'Anna', at: now - 61_000 });
  assert.deepEqual(switchOf({ on: 1, by: 'a cat' }, now), { on: false, change: 0, by: 'nobody', name: null, at: null });
  for (const bad of [null, [], 'on', { on: true, name: 5 }]) assert.throws(() => switchOf(bad, now), Unusable);
});

test('a sentence says who stopped camera and microphone, and since when', () => {
  const now = Date.UTC(2026, 0, 5, 12, 0);
  const it = (more: Json, words = en) =>
    sentenceOf(switchOf({ on: true, change: 1, ...more }, now), words, english, now);
  assert.match(
    it({ by: 'viewer', name: 'Anna', seconds: 60 }),
    /^\u2068Anna\u2069 stopped camera and microphone\. Since \d\d:\d\d\.$/
  );
  assert.match(it({ by: 'button', seconds: 86_400 }), /pressed the button.*Since .*2026/);
  assert.equal(it({ by: 'viewer' }), 'A viewer stopped camera and microphone.');
  for (const by of ['button', 'home_assistant', 'owner', 'nobody', 'fault'] as const)
    assert.equal(it({ by }, de), de.privacy.by[by]);
});

test('the board is asked once, again after a failure, and seldom if the switch explains nothing', () => {
  const it = new PrivacyState();
  const on = switchOf({ on: true, change: 1, by: 'button' }, 0);
  assert.equal(it.shouldAsk(false, 0), false);
  assert.equal(it.shouldAsk(true, 0), true);
  assert.equal(it.shouldAsk(true, 9e6), false, 'it waits for the answer');
  it.answered(null, 100);
  assert.equal(it.shouldAsk(true, 5099), false);
  assert.equal(it.shouldAsk(true, 5100), true);
  it.answered({ ...on, on: false }, 6000); // a covered lens
  assert.equal(it.shouldAsk(true, 35_999), false);
  assert.equal(it.shouldAsk(true, 36_000), true);
  it.answered(on, 36_100);
  assert.equal(it.shouldAsk(true, 9e6), false, 'it is known');
  assert.equal(it.shouldAsk(false, 9e6), false);
  assert.equal(it.known, null);
  assert.equal(it.shouldAsk(true, 9e6), true);
});

test('the panel names who stopped it, and has the buttons that this viewer may use', () => {
  const seen = (phase: Situation['phase'], privacy: Stopped | null): Situation => ({
    name: 'Hall', phase, broker: null, refused: false, media: { video: 'privacy', audio: 'privacy' },
    why: { video: null, audio: null }, shown: false, goaway: false, privacy,
  });
  const stopped = { text: 'Anna did it.', lift: null, no: null };
  const error = { at: 'error', name: 'privacy', doing: null, message: '', next: 'wait', retryAt: null } as const;
  for (const phase of [{ at: 'live', restarting: false } as const, error]) {
    const panel = panelOf(seen(phase, stopped), componentWords.en)!;
    const { title, text, button, lifts } = panel;
    assert.deepEqual([title, text, button, lifts], ['Privacy is on', 'Anna did it.', null, false]);
    const asks = panelOf(seen(phase, { text: 'Sure?', lift: 'Yes', no: 'No' }), componentWords.en)!;
    assert.deepEqual([asks.text, asks.button, asks.no, asks.lifts], ['Sure?', 'Yes', 'No', true]);
    assert.match(panelOf(seen(phase, null), componentWords.en)!.text, /covered or switched off/);
  }
});

const page = () => controlsOf({ controls: WEBCAM() }).controls;
const control = (name: string): Control => page().find((it) => it.name === name)!;

test('controls are read, and what breaks the contract is refused', () => {
  assert.equal(page().length, 10);
  assert.deepEqual(control('restore_factory_settings').value, null);
  assert.deepEqual(control('auto_exposure').items.map(({ name }) => name), ['Manual Mode', 'Aperture Priority Mode']);
  const one = { name: 'gain', type: 'integer', min: 0, max: 9, step: 0, default: 1 };
  assert.equal(controlsOf({ controls: [one], more: true }).more, true);
  assert.equal(controlsOf({ controls: [], more: true }).more, false, 'an empty page is the last');
  assert.equal(controlsOf({ controls: [one] }).controls[0]!.step, 1);
  for (const bad of [
    {}, { controls: {} }, { controls: [null] }, { controls: [{ ...one, name: 'Gain' }] },
    { controls: [{ ...one, type: 'x' }] },
    { controls: [{ ...one, max: '9' }] }, { controls: [{ ...one, min: 0.5 }] }, { controls: Array(65).fill(one) },
  ]) assert.throws(() => controlsOf(bad), Unusable, JSON.stringify(bad));
  assert.deepEqual(valuesOf({ values: { gain: 5, name: 'x', odd: 0.5 } }), { gain: 5 });
});

test('what has no value, no range, or no form is not shown', () => {
  const gain = control('brightness');
  for (const [more, is] of [
    [{}, true], [{ value: null }, false], [{ max: 0 }, false], [{ type: 'bitmask' }, false],
    [{ type: 'button', value: null, max: 0 }, true],
  ] as [Partial<Control>, boolean][]) assert.equal(isShown({ ...gain, ...more }), is, JSON.stringify(more));
});

test('names and values are written for people', () => {
  assert.deepEqual(nameOf('brightness', de), { text: 'Helligkeit', foreign: false });
  assert.deepEqual(nameOf('led1_mode', de), { text: 'Led1 mode', foreign: true });
  assert.deepEqual(nameOf('constructor', en), { text: 'Constructor', foreign: true });
  const written = (name: string, value: number) => valueText(control(name), value, english, en);
  assert.deepEqual(
    [
      written('exposure_time_absolute', 250), written('exposure_time_absolute', 3), written('brightness', 1000),
      written('white_balance_temperature', 4000), written('white_balance_automatic', 1), written('auto_exposure', 3),
    ],
    ['25 ms', '0.3 ms', '1,000', '4,000 K', 'On', 'Aperture Priority Mode']
  );
  assert.equal(valueText({ ...control('brightness'), unit: 'arcsec' }, -5400, english, en), '-1.5°');
  const { min, max, step } = control('focus_absolute');
  assert.deepEqual([min, max, step], [0, 250, 5]);
  assert.deepEqual([-7, 12, 13, 999].map((value) => nearest(control('focus_absolute'), value)), [0, 10, 15, 250]);
  assert.deepEqual(defaultsOf(page()), { power_line_frequency: 2 });
});

test('while somebody drags, the newest value wins, four times a second, one command at a time', () => {
  const it = new Pace();
  it.set({ gain: 1 });
  assert.deepEqual(it.take(0), { gain: 1 });
  for (let value = 2; value < 90; value++) it.set({ gain: value });
  it.set({ hue: 4 });
  assert.equal(it.take(999), null, 'one at a time');
  assert.equal(it.nextWake(), null);
  it.answered(100);
  assert.equal(it.take(249), null);
  assert.equal(it.nextWake(), 250);
  assert.ok(it.waits('gain') && it.waits('hue'));
  assert.deepEqual(it.take(250), { gain: 89, hue: 4 });
  assert.ok(it.waits('gain'));
  it.set({ hue: 5 });
  it.answered(300, 1000); // it was too often
  assert.deepEqual(it.take(1299), null);
  assert.deepEqual(it.take(1300), { hue: 5, gain: 89 }, 'a newer value stays');
  it.answered(1400);
  assert.ok(it.idle && !it.waits('gain'));
  it.set(Object.fromEntries(Array.from({ length: 40 }, (_, n) => [`c${n}`, n])));
  assert.equal(Object.keys(it.take(2000)!).length, 32);
  it.answered(2001);
  assert.equal(Object.keys(it.take(3000)!).length, 8);
});

/** Waits until `test` is true, for 5 s at most. */
async function until(what: string, test: () => boolean): Promise<void> {
  const end = performance.now() + 5000;
  while (!test()) {
    assert.ok(performance.now() < end, `not within 5 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** The controls of a fake board, and what became of them. */
const controlling = async () => {
  const board = new FakeCommands(() => ['control'], () => {}, async () => new Uint8Array());
  const told: string[] = [];
  const it = new Controls(async (name, args): Promise<Outcome> => {
    const answer = JSON.parse(JSON.stringify(await board.answer(name, args, 'me'))) as { ok: Json } & { error: Json };
    return answer.ok
      ? { ok: answer.ok, file: null }
      : { error: { ...refusal(String(answer.error['name']), String(answer.error['message'])) } };
  }, { changed: () => {}, refused: ({ name }) => told.push(name) });
  await it.load();
  const sent = () => board.done.filter(({ name }) => name === 'controls.set').map(({ args }) => args);
  return { board, told, it, sent };
};

test('controls are set at once, and the camera keeps what a person changed', async () => {
  const { board, it, sent } = await controlling();
  assert.equal(await it.keep(), false, 'nothing was changed');
  it.set({ brightness: 7 });
  it.set({ restore_factory_settings: 1 });
  assert.equal(it.find('brightness')!.value, 7);
  await until('both were sent', () => sent().length === 2);
  assert.deepEqual(sent(), [{ values: { brightness: 7 } }, { values: { restore_factory_settings: 1 } }]);
  assert.ok(it.touched);
  assert.equal(await it.keep(), true);
  assert.deepEqual(sent().at(-1), { values: { brightness: 7 }, save: true });
  assert.ok(!it.touched);
  it.defaults();
  const brightness = () => board.controls.find(({ name }) => name === 'brightness')!.value;
  await until('the default is set', () => brightness() === 128);
  it.forget();
});

test('a mode that decides about others makes the page read them again; a refusal, too', async () => {
  const { told, it } = await controlling();
  assert.equal(it.find('exposure_time_absolute')!.inactive, true);
  it.set({ auto_exposure: 1 });
  await until('the others are read', () => it.find('exposure_time_absolute')!.inactive === false);
  it.set({ brightness: 999 });
  await until('the camera’s own value', () => it.find('brightness')!.value === 128);
  assert.deepEqual(told, ['out_of_range']);
  it.forget();
  assert.equal(it.all, null);
});

test('the figures of the board have names and units; what it does not tell is left out', async () => {
  const board = new FakeCommands(() => [], () => {}, async () => new Uint8Array());
  const { ok } = await board.answer('stats', {}, 'me') as { ok: Json };
  const rows = boardRows(ok, english, en, componentWords.en);
  assert.deepEqual(Object.fromEntries(rows.map(({ term, value }) => [term, value])), {
    'Runs for': '24 hours', Viewers: '2 of 8', Processor: '48°C', Encoder: 'OpenH264', 'Frame rate': '30 fps',
    Bitrate: '1.95 Mbit/s', 'Pictures left out': '12', 'This session': '1 minute', 'Network carries': '4.20 Mbit/s',
    'Round trip': '18 ms', 'Packet loss': '0.2%', Sent: '15 MB', 'Sent again': '9 packets',
  });
  assert.deepEqual(boardRows({ video: null, session: [], uptime_s: 'x' }, english, en, componentWords.en), []);
});

test('a refusal has a text, and the board’s own sentence where that adds something', () => {
  assert.equal(refusedText(refusal('busy', 'x'), en), en.refused.busy);
  const failed = 'The camera did not do this. (\u2068gain: EIO\u2069)';
  assert.equal(refusedText(refusal('device_error', 'gain: EIO'), en), failed);
  assert.equal(refusedText(refusal('of_the_future', ''), de), de.refused.other);
  assert.equal(refusedText(refusal('toString', ''), de), de.refused.other);
});
