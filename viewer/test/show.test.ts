import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pauseAfter } from '../src/attendance.ts';
import { Freshness } from '../src/freshness.ts';
import { ERROR_NAMES } from '../src/errors.ts';
import { gridOf } from '../src/grid.ts';
import { badgeText, panelOf } from '../src/panel.ts';
import type { Situation } from '../src/panel.ts';
import type { LinkState, LinkError } from '../src/link.ts';
import { languageAmong } from '../src/language.ts';
import { clean } from '../src/texts.ts';
import { troubleWords } from '../src/trouble.ts';
import { componentWords } from '../src/words/languages.ts';

test('texts from outside are one line, of a bounded length, and turn nothing around', () => {
  for (const [text, is] of [
    ['Front door', 'Front door'], ['  a\n\tb\u2028c\u2029d\u0085e\r\0 ', 'a b c d e'],
    ['a\u202egpj.exe\u202c', 'agpj.exe'], ['\u2066\u2067x\u2069\u200f\u061cy', 'xy'],
    ['z\u200bw\u2060j\ufeff\u00ad', 'zwj'], ['\u{e0041}\u{e007f}tag', 'tag'], ['\ud800lone\udc00', '\ufffdlone\ufffd'],
    ['Tür עברית 日本 👨‍👩‍👧', 'Tür עברית 日本 👨‍👩‍👧'],
    [`e${'\u0301'.repeat(50)}`, `e${'\u0301'.repeat(3)}`], ['', ''], ['\u202e\u200b', ''],
  ] as const) assert.equal(clean(text, 40), is);
  assert.equal(clean('x'.repeat(41), 40), `${'x'.repeat(39)}…`);
  assert.equal([...clean('😀'.repeat(1e6), 40)].length, 40);
  assert.ok(clean('\u202e'.repeat(1e6), 40).length <= 40);
});

test(
  'counts stay short',
  () =>
    assert.deepEqual(
      [0, 7, 99, 100, 2 ** 53 - 1].map((it) => languageAmong([]).count(it, 99).text), ['0', '7', '99', '99+', '99+']
    )
);

/** Frames each `every` ms, from 0 to `until`. */
const fed = (every: number, until: number): Freshness => {
  const it = new Freshness();
  for (let now = 0; now <= until; now += every) it.frame(now);
  return it;
};

test('a picture is stale one second after its last frame', () => {
  const it = fed(33, 990);
  assert.equal(it.staleFor(1989), null);
  assert.equal(it.staleFor(1990), 1000);
  assert.equal(it.staleFor(9990), 9000);
  it.frame(10_000);
  assert.equal(it.staleFor(10_500), null);
  assert.equal(it.staleFor(11_000), 1000);
});

test('a picture that comes slowly gets the time it needs, and no more than 6 s', () => {
  assert.equal(fed(500, 5000).staleFor(6200), null);
  assert.equal(fed(500, 5000).staleFor(6250), 1250);
  assert.equal(fed(1000, 9000).staleFor(11_400), null);
  assert.equal(fed(1000, 9000).staleFor(11_500), 2500);
  assert.equal(fed(10_000, 90_000).staleFor(96_000), 6000);
});

test('one long pause does not make the next one allowed', () => {
  const it = fed(33, 990);
  for (const at of [20_000, 20_033, 20_066]) it.frame(at);
  assert.equal(it.staleFor(21_066), 1000);
});

test('before the first frame nothing is stale, nor while nobody looked', () => {
  const it = new Freshness();
  assert.equal(it.staleFor(1e6), null);
  it.forgive(1e6);
  assert.equal(it.staleFor(2e6), null);
  const seen = fed(33, 990);
  seen.forgive(60_000);
  assert.equal(seen.staleFor(60_500), null);
  assert.equal(seen.staleFor(61_000), 1000);
  seen.begin();
  assert.equal(seen.staleFor(99_000), null);
});

test('who is seen or heard goes on, the others pause after a while, and do not begin', () => {
  const it = (more: Partial<Parameters<typeof pauseAfter>[0]>) =>
    pauseAfter({
      keep: false, pageHidden: false, outOfSight: false, pictureInPicture: false, soundOnly: false, begun: true,
      ...more,
    });
  assert.equal(it({}), null);
  assert.equal(it({ pageHidden: true }), 10_000);
  assert.equal(it({ outOfSight: true }), 5000);
  assert.equal(it({ pageHidden: true, outOfSight: true }), 10_000);
  for (const place of [{ pageHidden: true }, { outOfSight: true }, { pageHidden: true, outOfSight: true }]) {
    assert.equal(it({ ...place, begun: false }), 0);
    for (const reason of ['keep', 'pictureInPicture', 'soundOnly'] as const)
      assert.equal(it({ ...place, [reason]: true, begun: false }), null);
  }
});

/** The share of the stage that pictures of 16:9 cover, and the size of the smallest cell. */
const covered = (count: number, width: number, height: number) => {
  const grid = gridOf(count, width, height, 10);
  assert.equal(grid.rowHeight, null, 'all on one screen');
  const track = (width - 10 * (grid.tracks - 1)) / grid.tracks;
  const h = (height - 10 * (grid.rows - 1)) / grid.rows;
  const places = grid.spans.map((span) => [track * span + 10 * (span - 1), h] as const);
  const area = (all: readonly (readonly [number, number])[]) =>
    all.reduce((sum, [w, t]) => sum + w * t, 0) / (width * height);
  return {
    grid, places: area(places),
    pictures: area(places.map(([w, t]) => [Math.min(w, (t * 16) / 9), Math.min(t, (w * 9) / 16)])),
    least: Math.min(...places.map(([w]) => w)),
  };
};
// The stages of the page at 390x844, 1280x800 and 1920x1080, with and without the list.
for (const [width, height] of [[370, 710], [370, 774], [986, 728], [1248, 728], [1626, 1008], [1888, 1008]] as const) {
  for (const count of [1, 2, 3, 4, 5, 7, 9]) {
    test(`${count} pictures fill ${width} x ${height}`, () => {
      const { grid, places, pictures, least } = covered(count, width, height);
      assert.equal(grid.spans.length, count);
      assert.ok(places > 0.9, `places cover ${places.toFixed(2)}`);
      assert.ok(pictures > (count === 1 ? 0.25 : 0.4), `pictures cover ${pictures.toFixed(2)}`);
      assert.ok(least >= 168, `the narrowest is ${least}`);
    });
  }
}

test('what does not fit on one screen scrolls, and stays readable', () => {
  const grid = gridOf(64, 370, 600, 10);
  assert.deepEqual([grid.columns, grid.rows, grid.tracks], [2, 32, 2]);
  assert.ok(grid.rowHeight! >= 94);
  assert.deepEqual([gridOf(0, 370, 600, 10).spans, gridOf(1, 100, 50, 10).columns], [[], 1]);
});

const seen = (phase: Situation['phase'], more: Partial<Situation> = {}): Situation =>
  ({
    name: 'Hall', phase, broker: null, refused: false, media: { video: 'ok', audio: 'ok' },
    why: { video: null, audio: null }, shown: false, goaway: false, privacy: null, ...more,
  });
const failed = (name: string, more: object = {}) =>
  seen({ at: 'error', name, doing: null, message: '', next: 'wait', retryAt: null, ...more });

test('each error has its text, a later one too, and what failed in the browser does not blame the camera', () => {
  const { en, de } = componentWords;
  for (const name of ERROR_NAMES.filter((it) => it !== 'bad_setting'))
    assert.deepEqual(
      [panelOf(failed(name), en)!.title, panelOf(failed(name), de)!.text], [en.errors[name].title, de.errors[name].text]
    );
  assert.equal(panelOf(failed('toString'), de)!.title, de.unknownError.title);
  const own = panelOf(failed('internal', { doing: 'prepare', message: 'no key' }), de)!;
  assert.deepEqual(
    [own.title, own.detail], [de.browserError.title, 'Die Verbindung ließ sich nicht vorbereiten: no key']
  );
  assert.equal(panelOf(failed('internal', { message: 'encoder' }), en)!.detail, 'encoder');
  assert.equal(panelOf(failed('busy', { message: 'full' }), en)!.detail, undefined, 'it says no more than the text');
});

test('the device’s own sentence is shown in place of the text, as English', () => {
  const panel = panelOf(
    seen(
      { at: 'live', restarting: false },
      { media: { video: 'stalled', audio: 'ok' }, why: { video: 'no cable', audio: null } }
    ),
    componentWords.de
  )!;
  assert.deepEqual([panel.title, panel.text, panel.foreign], ['Die Kamera reagiert nicht', 'No cable.', true]);
  assert.equal(
    badgeText(seen({ at: 'live', restarting: false }, { goaway: true }), componentWords.de), 'Startet bald neu'
  );
  assert.equal(panelOf(seen({ at: 'live', restarting: false }), componentWords.de), null);
});

const words = (
  trouble: LinkError, address = 'wss://b.example:8884/mqtt', page = 'https://cameras.example.org/',
  at: LinkState['at'] = 'down', login = false, lang = 'en'
) => {
  const format = languageAmong([lang]);
  return troubleWords(
    { at, message: '', trouble },
    { url: new URL(address), page, loginGiven: login, format, words: componentWords[format.tag] }
  )!;
};

for (const [what, trouble, title, text] of [
  ['a wrong login', { why: 'login' }, /refused the login/, /asks for a user and a password/],
  [
    'a wrong path', { why: 'path', status: null }, /cannot be reached/,
    /A web server answers.*no broker\. The path or the port is probably wrong/,
  ],
  ['a wrong path here', { why: 'path', status: 404 }, /cannot be reached/, /no broker \(HTTP 404\)/],
  [
    'a broker that is off behind a proxy', { why: 'path', status: 502 }, /cannot be reached/,
    /the broker behind it does not \(HTTP 502\)/,
  ],
  ['another service', { why: 'not_mqtt' }, /cannot be reached/, /does not speak MQTT/],
  [
    'nobody there, or an unknown certificate', { why: 'unreachable' }, /cannot be reached/,
    /does not trust its certificate/,
  ],
  ['no answer', { why: 'silent', afterMs: 10_000 }, /cannot be reached/, /did not answer within 10 seconds.*firewall/],
  ['plain from HTTPS', { why: 'mixed' }, /cannot be reached/, /only brokers at wss:\/\//],
  ['a policy', { why: 'policy' }, /cannot be reached/, /content security policy.*connect-src/],
  ['no network', { why: 'offline' }, /offline/, /no network/],
  ['a broker that went away', { why: 'lost' }, /was lost/, /keeps trying/],
  ['an old broker', { why: 'version' }, /too old/, /MQTT 3\.1\.1/],
] as [string, LinkError, RegExp, RegExp][]) {
  test(`in words, with the address: ${what}`, () => {
    const it = words(trouble);
    assert.match(it.title, title);
    assert.match(it.text, text);
    assert.match(it.text, /wss:\/\/b\.example:8884\/mqtt/);
  });
}

test('a certificate is suspected only where there is one that is not the page’s own', () => {
  assert.equal(words({ why: 'unreachable' }).look, 'https://b.example:8884/');
  assert.match(words({ why: 'unreachable' }, 'ws://b.example:9001/').text, /host or port may be wrong/);
  assert.equal(words({ why: 'unreachable' }, 'ws://b.example:9001/').look, null);
  assert.equal(words({ why: 'unreachable' }, 'wss://cameras.example.org/mqtt').look, null);
  assert.match(
    words({ why: 'login' }, 'wss://b/', 'https://c/', 'refused', true).text,
    /does not accept this user with this password/
  );
  for (const at of ['up', 'connecting'] as const)
    assert.equal(words({ why: 'lost' }, 'wss://b/', 'https://c/', at), null);
  assert.match(
    words({ why: 'silent', afterMs: 10_000 }, 'wss://b/', 'https://c/', 'down', false, 'de').text,
    /wss:\/\/b hat innerhalb von 10 Sekunden nicht geantwortet/
  );
});
