// Talk: when the microphone is open, when the board is asked for the turn, and when sound is sent.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { refusal } from '../src/results.ts';
import { Talk, loudness, microphoneFault } from '../src/talk.ts';
import type { TalkPlace } from '../src/talk.ts';

const PLACE: TalkPlace = { secure: true, linked: true, granted: true };

class Rig {
  it = new Talk();
  now = 1000;
  place = { ...PLACE };
  /** What was done since the last look. */
  get done(): string {
    return this.it.effectsNow().map((one) => (one.do === 'begin' && one.take ? 'take' : one.do)).join(' ');
  }
  press(): this { this.it.press(this.now, this.place); return this; }
  release(after: number): this { this.now += after; this.it.release(this.now); return this; }
  toggle(take = false): this { this.it.toggle(this.now, this.place, take); return this; }
  opened(): this { this.it.opened(null, this.now); return this; }
  begun(why: ReturnType<typeof refusal> | null = null): this { this.it.begun(why, this.now); return this; }
  pass(ms: number): this { this.now += ms; this.it.wake(this.now); return this; }
  on(): this { this.press().opened().begun(); void this.done; return this; }
}

test('who holds the button is heard as long as it is held, and the microphone closes soon after', () => {
  const it = new Rig().press();
  assert.deepEqual([it.it.state, it.done], ['open', 'open']);
  it.opened();
  assert.deepEqual([it.it.state, it.done], ['turn', 'begin']);
  it.begun();
  assert.deepEqual([it.it.state, it.done], ['on', 'send']);
  it.release(3000);
  assert.deepEqual([it.it.state, it.done], ['off', 'mute end']);
  it.pass(5000).press();
  assert.equal(it.done, 'begin', 'it is still open');
  it.begun().release(400);
  void it.done;
  assert.equal(it.pass(9999).done, '');
  assert.equal(it.pass(1).done, 'close');
  assert.equal(it.press().done, 'open');
});

test('a brief press talks hands-free, until the next one', () => {
  const it = new Rig().press().release(100).opened().begun();
  assert.deepEqual([it.it.state, it.done], ['on', 'open begin send']);
  it.press();
  assert.deepEqual([it.it.state, it.done], ['off', 'mute end']);
  it.release(1000);
  assert.equal(it.it.state, 'off');
  assert.equal(it.toggle().it.state, 'turn', 'the keyboard does the same');
  assert.equal(it.toggle().it.state, 'off');
});

test('who lets go while the microphone opens, or while the board thinks, is not heard', () => {
  const early = new Rig().press().release(500).opened();
  assert.deepEqual([early.it.state, early.done], ['off', 'open']);
  assert.equal(early.pass(10_000).done, 'close');
  const later = new Rig().press().opened().release(500).begun();
  assert.deepEqual([later.it.state, later.done], ['off', 'open begin end']);
});

test('before the browser asks, the page explains', () => {
  const it = new Rig();
  it.place.granted = false;
  it.press().release(2000);
  assert.deepEqual([it.it.state, it.done], ['explain', '']);
  it.it.understood(false, it.now);
  assert.deepEqual([it.it.state, it.done], ['off', '']);
  it.toggle().it.understood(true, it.now);
  assert.deepEqual([it.it.state, it.done], ['open', 'open']);
  it.it.opened(microphoneFault('NotAllowedError'), it.now);
  assert.deepEqual([it.it.state, it.it.fault], ['off', 'denied']);
  assert.equal(it.toggle().it.fault, null, 'it is asked again');
});

test('on plain HTTP there is no microphone, and the page says so', () => {
  const it = new Rig();
  it.place.secure = false;
  it.press();
  assert.deepEqual([it.it.state, it.it.fault, it.done], ['off', 'insecure', '']);
});

test('a session without a way for sound is made anew, once', () => {
  const it = new Rig();
  it.place.linked = false;
  it.toggle();
  assert.deepEqual([it.it.state, it.done], ['link', 'link']);
  it.it.linked(it.now, it.place);
  it.it.lost(it.now); // the old session
  assert.equal(it.it.state, 'link');
  it.it.linked(it.now, PLACE);
  assert.deepEqual([it.it.state, it.done], ['open', 'open']);
  const never = new Rig();
  never.place.linked = false;
  never.toggle().pass(12_000);
  assert.deepEqual([never.it.state, never.it.fault], ['off', 'noLink']);
});

test('somebody else talks: nobody is heard, and it is told who', () => {
  const busy = { ...refusal('busy', 'x', 503), talker: { name: 'Anna', seconds: 4 } };
  const it = new Rig().toggle().opened().begun(busy);
  assert.deepEqual([it.it.state, it.it.other, it.it.refused, it.done], ['off', busy.talker, null, 'open begin']);
  assert.equal(it.toggle(true).done, 'take');
  it.begun(refusal('forbidden', '', 403));
  assert.equal(it.it.refused!.name, 'forbidden');
  const unknown = refusal('unknown_command', '', 404);
  assert.equal(new Rig().toggle().opened().begun(unknown).it.state, 'on', 'sound takes the turn');
});

test('the turn is asked for again, and its loss is told', () => {
  const it = new Rig().on();
  assert.equal(it.pass(10_000).done, 'begin');
  it.begun();
  assert.equal(it.done, '', 'it sends already');
  assert.equal(it.pass(10_000).done, 'begin');
  it.begun({ ...refusal('busy', '', 503), talker: { name: null, seconds: 1 } });
  assert.deepEqual([it.it.state, it.it.fault, it.done], ['off', 'lost', 'mute']);
  const left = new Rig().on();
  left.it.lost(left.now);
  assert.deepEqual([left.it.fault, left.done], ['lost', 'mute']);
  const gone = new Rig().on();
  gone.it.leave(gone.now);
  assert.deepEqual([gone.done, gone.it.nextWake(), gone.it.fault], ['mute end close', null, null]);
});

test('loudness is from silence to full', () => {
  assert.equal(loudness(new Uint8Array(64).fill(128)), 0);
  assert.equal(loudness(new Uint8Array(64).fill(255)), 1);
  assert.equal(loudness(new Uint8Array()), 0);
  assert.ok(loudness(new Uint8Array([124, 132])) > 0.1);
  assert.deepEqual(
    ['NotAllowedError', 'NotFoundError', 'NotReadableError'].map(microphoneFault), ['denied', 'none', 'failed']
  );
});
