import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import type { FromDevice, Status } from '../src/protocol.ts';
import { Call } from '../src/call.ts';
import type { Effect } from '../src/effect.ts';
import { ERROR_NAMES, nextAfter } from '../src/errors.ts';

const OFFER = 'v=0\r\na=ice-ufrag:mine\r\n';
const ANSWER = 'v=0\r\na=ice-ufrag:them\r\n';
const hash = (text: string) => createHash('sha256').update(text).digest('base64url');
const HASH = hash(OFFER);
const online = (more: Partial<Status & { state: 'online' }> = {}): Status =>
  ({
    state: 'online', epoch: 'e1', conn: 1, media: { video: 'ok', audio: 'ok' }, viewers: 0, maxViewers: 8,
    auth: 'broker', version: '0', ...more,
  });

/** A call with its own clock. Random values are always the middle. */
class Rig {
  now = 1000;
  said: Record<string, unknown>[] = [];
  done: Effect[] = [];
  call: Call;
  private sessions = 0;
  private seq = 0;

  constructor(mode: 'offer' | 'request' = 'offer', visible = true) {
    this.call = new Call({
      mode, wanted: { video: true, audio: true, talk: false }, visible: () => visible, random: () => 0.5,
      session: () => `session-${++this.sessions}`.padEnd(22, 'x'),
    });
  }
  do(step: (call: Call) => void): this {
    step(this.call);
    for (const effect of this.call.take()) {
      if (effect.do === 'publish') this.said.push(JSON.parse(effect.text) as Record<string, unknown>);
      else this.done.push(effect);
    }
    return this;
  }
  /** Advances the clock, and wakes the call whenever it asks for it. */
  pass(ms: number): this {
    const until = this.now + ms;
    for (let next = this.call.nextWake(); next !== null && next <= until; next = this.call.nextWake()) {
      this.now = Math.max(this.now, next);
      this.do((it) => it.wake(this.now));
    }
    this.now = until;
    return this;
  }
  hear(body: FromDevice, seq: number | null = this.seq++): this {
    return this.do((it) => it.received({ session: it.session, seq, body }, this.now));
  }
  answer(more: Partial<FromDevice & { type: 'answer' }> = {}): this {
    return this.hear({ type: 'answer', sdp: ANSWER, offerHash: HASH, leaseS: 600, iceServers: [], ...more });
  }
  fresh(): this {
    this.seq = 0;
    return this;
  }
  started(): this {
    return this.do((it) => it.broker(true, this.now))
      .do((it) => it.deviceStatus(online(), this.now))
      .do((it) => it.watch(this.now))
      .offered();
  }
  offered(): this {
    return this.do((it) => it.localOffer(OFFER, this.now));
  }
  live(): this {
    return this.started()
      .answer()
      .do((it) => it.remoteSet())
      .do((it) => it.peer('routed', this.now))
      .do((it) => it.peer('connected', this.now))
      .do((it) => it.shown(this.now));
  }
  types(): unknown[] {
    return this.said.map((it) => it['type']);
  }
  effects(): string[] {
    return this.done.map((it) => it.do);
  }
  at(): string {
    const { phase } = this.call;
    return phase.at === 'step' ? phase.step : phase.at === 'error' ? phase.name : phase.at;
  }
}

test('a call goes from broker to picture, step by step', () => {
  const rig = new Rig().do((it) => it.watch(1000));
  assert.equal(rig.at(), 'broker');
  rig.do((it) => it.broker(true, 1100));
  assert.equal(rig.at(), 'device');
  assert.deepEqual(rig.effects(), ['make_offer']);
  rig.do((it) => it.deviceStatus(online(), 1110));
  assert.equal(rig.at(), 'offer');
  rig.offered();
  assert.deepEqual(rig.said, [{ v: 1, type: 'offer', session: 'session-1xxxxxxxxxxxxx', seq: 0, sdp: OFFER }]);
  rig.answer();
  assert.equal(rig.at(), 'route');
  rig.do((it) => it.peer('routed', 1200));
  assert.equal(rig.at(), 'secure');
  rig.do((it) => it.peer('connected', 1250));
  assert.equal(rig.at(), 'picture');
  rig.do((it) => it.shown(1300));
  assert.equal(rig.at(), 'live');
  assert.equal(rig.call.reached.start, 1000);
  assert.equal(rig.call.reached.shown, 1300);
});

test('a picture that is seen before its connection is told of counts', () => {
  const rig = new Rig().started()
    .answer()
    .do((it) => it.remoteSet())
    .do((it) => it.peer('routed', 1050))
    .do((it) => it.shown(1100));
  assert.equal(rig.at(), 'secure');
  rig.do((it) => it.peer('connected', 1120));
  assert.deepEqual([rig.at(), rig.call.reached.shown], ['live', 1100]);
  rig.fresh().hear({ type: 'bye', reason: 'expired' }).pass(1000);
  rig.offered().answer().do((it) => it.remoteSet()).do((it) => it.peer('connected', rig.now));
  assert.equal(rig.at(), 'picture'); // the next session starts without one
});

test('a connection that brings no picture is made anew, unless there is a reason or nobody looks', () => {
  const connected = (media: 'ok' | 'absent', visible = true) => {
    const rig = new Rig('offer', visible).started()
      .answer()
      .do((it) => it.remoteSet())
      .do((it) => it.peer('connected', 1000));
    return rig.hear({
      type: 'media', media: { video: media, audio: 'ok' }, route: null, why: { video: null, audio: null },
    });
  };
  assert.equal(connected('ok').pass(14_999).at(), 'picture');
  assert.equal(connected('ok').pass(15_000).at(), 'no_picture');
  assert.equal(connected('ok').do((it) => it.shown(2000)).pass(60_000).at(), 'live');
  assert.equal(connected('absent').pass(60_000).at(), 'picture');
  assert.equal(connected('ok', false).pass(60_000).at(), 'picture');
});

test('a picture that this viewer was refused stays refused, is not waited for, and is news in the next session', () => {
  const rig = new Rig('request').do((it) => it.broker(true, 1000))
    .do((it) => it.deviceStatus(online(), 1000))
    .do((it) => it.watch(1000));
  rig.hear({ type: 'offer', sdp: ANSWER, restart: false, leaseS: 600, iceServers: [] }).do(
    (it) => it.localAnswer(OFFER)
  );
  rig.do((it) => it.remoteSet()).do((it) => it.peer('connected', 1000));
  rig.hear({ type: 'media', media: { video: 'refused', audio: 'ok' }, route: null, why: { video: null, audio: null } });
  rig.do((it) => it.deviceStatus(online({ viewers: 1 }), rig.now)).pass(60_000);
  assert.deepEqual([rig.at(), rig.call.media], ['picture', { video: 'refused', audio: 'ok' }]);
  assert.equal(rig.said.filter((m) => m['type'] === 'bye').length, 0);
  rig.do((it) => it.stop());
  assert.deepEqual(rig.call.media, { video: 'ok', audio: 'ok' });
});

test('an answer that the device cannot use ends the call with the words for it', () => {
  const rig = new Rig('request').do((it) => it.broker(true, 1000))
    .do((it) => it.deviceStatus(online(), 1000))
    .do((it) => it.watch(1000));
  rig.hear({ type: 'offer', sdp: ANSWER, restart: false, leaseS: 600, iceServers: [] }).do(
    (it) => it.localAnswer(OFFER)
  );
  rig.hear(
    {
      type: 'error', code: 415, name: 'no_common_codec', message: 'H.264', retryAfterMs: null, supported: null,
    } as unknown as FromDevice
  );
  rig.hear({ type: 'bye', reason: 'no_common_codec' }).pass(60_000);
  assert.deepEqual(
    rig.call.phase, { at: 'error', name: 'no_common_codec', doing: null, message: 'H.264', next: 'stay', retryAt: null }
  );
});

test('candidates go in batches of 20 ms or 8, with an end, numbered', () => {
  const rig = new Rig().started();
  const add = () => rig.do((it) => it.localCandidate({ candidate: 'c' }, 'mine', rig.now));
  add();
  rig.pass(10);
  add();
  rig.pass(9);
  assert.equal(rig.said.length, 1);
  rig.pass(1);
  assert.deepEqual(
    rig.said[1],
    {
      v: 1, type: 'candidates', session: rig.call.session, seq: 1, ufrag: 'mine',
      candidates: [{ candidate: 'c' }, { candidate: 'c' }],
    }
  );
  for (let i = 0; i < 8; i++) add();
  assert.equal((rig.said[2]!['candidates'] as unknown[]).length, 8);
  for (let i = 0; i < 40; i++) add();
  rig.do((it) => it.localCandidate(null, 'mine', rig.now));
  const sent = rig.said.flatMap((it) => (it['candidates'] as unknown[] | undefined) ?? []);
  assert.equal(sent.length, 24); // the limit of the device
  assert.equal(rig.said.at(-1)!['end'], true);
  assert.deepEqual(rig.said.map((it) => it['seq']), rig.said.map((_, i) => i));
});

test('candidates inside the offer count among those a device takes', () => {
  const udp = 'a=candidate:1 1 UDP 5 192.0.2.1 9 typ host\r\n'.repeat(20);
  const sdp = `${OFFER}${udp}a=candidate:2 1 tcp 5 192.0.2.1 9 typ host\r\n`;
  const rig = new Rig().do((it) => it.broker(true, 0)).do((it) => it.watch(0)).do((it) => it.localOffer(sdp, 0));
  for (let i = 0; i < 9; i++) rig.do((it) => it.localCandidate({ candidate: 'c' }, 'mine', 0));
  rig.do((it) => it.localCandidate(null, 'mine', 0));
  assert.equal(rig.said.flatMap((it) => (it['candidates'] as unknown[] | undefined) ?? []).length, 4);
});

test('early candidates wait for the description; old, late and foreign ones are ignored', () => {
  const rig = new Rig().started();
  const hear = (ufrag: string | null, candidate: string, end = false) =>
    rig.hear({ type: 'candidates', ufrag, candidates: [{ candidate }], end });
  const taken = () =>
    rig.done.flatMap((it) => (it.do === 'take_candidates' ? it.candidates.map((one) => one.candidate) : []));
  hear('them', 'early');
  hear('other', 'foreign');
  assert.deepEqual(taken(), []);
  rig.answer().do((it) => it.remoteSet());
  assert.deepEqual(taken(), ['early']);
  hear(null, 'unnamed');
  hear('them', 'last', true);
  hear('them', 'after the end');
  hear('old', 'of another generation');
  assert.deepEqual(taken(), ['early', 'unnamed', 'last']);
  assert.equal(rig.call.ignored, 3);
});

test('of early candidates eight messages are kept, for five seconds', () => {
  const rig = new Rig().started();
  for (let i = 0; i < 12; i++)
    rig.hear({ type: 'candidates', ufrag: 'them', candidates: [{ candidate: `c${i}` }], end: false });
  rig.answer().do((it) => it.remoteSet());
  assert.equal(rig.effects().filter((it) => it === 'take_candidates').length, 8);
});

test('messages are taken in order, and repeats are ignored', () => {
  const rig = new Rig().live();
  const media = (video: 'absent' | 'starting' | 'ok', seq: number) =>
    rig.hear({ type: 'media', media: { video, audio: 'ok' }, route: null, why: { video: null, audio: null } }, seq);
  media('absent', 2);
  assert.equal(rig.call.media.video, 'ok');
  media('starting', 1);
  assert.equal(rig.call.media.video, 'absent');
  media('ok', 1);
  assert.equal(rig.call.media.video, 'absent');
});

test('a gap is given one second, and ends no running picture: the order goes on behind it', () => {
  const rig = new Rig().live();
  const media = (video: 'absent' | 'starting' | 'stalled', seq: number) =>
    rig.hear({ type: 'media', media: { video, audio: 'ok' }, route: null, why: { video: null, audio: null } }, seq);
  media('absent', 5);
  media('stalled', 9);
  rig.pass(999);
  assert.deepEqual([rig.at(), rig.call.media.video], ['live', 'ok']);
  rig.pass(1);
  assert.deepEqual([rig.at(), rig.call.media.video], ['live', 'absent']);
  rig.pass(1000);
  assert.deepEqual([rig.at(), rig.call.media.video], ['live', 'stalled']);
  media('starting', 4);
  assert.equal(rig.call.media.video, 'stalled');
  media('starting', 10);
  assert.deepEqual([rig.at(), rig.call.media.video], ['live', 'starting']);
  assert.equal(rig.call.session, 'session-1xxxxxxxxxxxxx');
});

test('before the picture a gap is a call anew', () => {
  const rig = new Rig().started().hear({ type: 'candidates', ufrag: 'them', candidates: [], end: false }, 1).pass(1000);
  assert.equal(rig.at(), 'conflict');
  assert.equal(rig.types().at(-1), 'bye');
  rig.pass(1000);
  assert.deepEqual([rig.at(), rig.call.session], ['offer', 'session-2xxxxxxxxxxxxx']);
});

test('an error in its turn does not hold up what comes after it', () => {
  const rig = new Rig().live();
  rig.hear(
    { type: 'media', media: { video: 'absent', audio: 'ok' }, route: null, why: { video: null, audio: null } }, 2
  );
  rig.hear({ type: 'error', code: 429, name: 'rate_limited', message: '', retryAfterMs: null }, 1);
  assert.equal(rig.call.media.video, 'absent');
  assert.equal(rig.pass(2000).at(), 'live');
});

test('a message of another session is not heard', () => {
  const rig = new Rig().live().do(
    (it) => it.received({ session: 'another'.padEnd(22, 'x'), seq: null, body: { type: 'bye', reason: 'expired' } }, 0)
  );
  assert.equal(rig.at(), 'live');
});

test('an answer with the wrong digest, or with none, is refused', () => {
  for (const offerHash of ['x', hash('another'), null]) {
    const rig = new Rig().started().answer({ offerHash });
    assert.equal(rig.at(), 'hash_mismatch');
    assert.deepEqual(rig.effects().slice(-1), ['close']);
    assert.equal(rig.types().at(-1), 'bye');
    assert.ok(!rig.effects().includes('take_answer'));
  }
});

test('an answer to a restart that a newer one took over from is ignored, and the picture goes on', () => {
  const rig = new Rig().live()
    .do((it) => it.peer('lost', 1000))
    .pass(4000)
    .do((it) => it.localOffer('first', 5000, true))
    .pass(3000);
  rig.do((it) => it.localOffer('second', 8000, true)).answer({ offerHash: hash('first') });
  assert.equal(rig.at(), 'live');
  assert.equal(rig.effects().filter((it) => it === 'take_answer').length, 1);
  rig.answer({ offerHash: hash('second') });
  assert.equal(rig.effects().filter((it) => it === 'take_answer').length, 2);
});

test('without an answer the same offer is said again, then the call fails', () => {
  const rig = new Rig().started().pass(2500);
  assert.deepEqual(rig.said[1], rig.said[0]);
  rig.pass(2500 + 5000);
  assert.equal(rig.said.length, 4);
  rig.pass(10_000);
  assert.equal(rig.at(), 'timeout');
});

test('where no status was ever seen, silence means that nobody is there', () => {
  const rig = new Rig().do((it) => it.broker(true, 1000)).do((it) => it.watch(1000)).offered().pass(20_000);
  assert.equal(rig.at(), 'offline');
  rig.fresh().do((it) => it.deviceStatus(online(), rig.now)).pass(1000);
  assert.equal(rig.at(), 'offer');
});

test('request mode: the device offers, the answer carries the digest of its offer', () => {
  const rig = new Rig('request').do((it) => it.broker(true, 0))
    .do((it) => it.deviceStatus(online(), 0))
    .do((it) => it.watch(0));
  assert.deepEqual(
    rig.said[0],
    { v: 1, type: 'request', session: rig.call.session, seq: 0, media: { video: true, audio: true, talk: false } }
  );
  rig.hear({ type: 'offer', sdp: ANSWER, restart: false, iceServers: [{ urls: ['turn:t'] }], leaseS: 60 });
  assert.deepEqual(
    rig.done.find((it) => it.do === 'take_offer'), { do: 'take_offer', sdp: ANSWER, servers: [{ urls: ['turn:t'] }] }
  );
  rig.do((it) => it.localAnswer(OFFER));
  assert.deepEqual(
    rig.said[1], { v: 1, type: 'answer', session: rig.call.session, seq: 1, sdp: OFFER, offer_hash: hash(ANSWER) }
  );
  rig.do((it) => it.peer('routed', 0)).do((it) => it.peer('connected', 0)).do((it) => it.shown(0)).pass(31_000);
  assert.equal(rig.types().at(-1), 'renew');
});

test('on glare the device yields: its offer is ignored while ours waits', () => {
  const rig = new Rig().live()
    .do((it) => it.peer('lost', 1000))
    .pass(4000)
    .do((it) => it.localOffer(OFFER, 5000, true));
  rig.hear({ type: 'offer', sdp: ANSWER, restart: true, iceServers: null, leaseS: null });
  assert.ok(!rig.effects().includes('take_offer'));
});

test('a restart that was refused, or that nobody heard, stands in nobody’s way', () => {
  const theirs = { type: 'offer', sdp: ANSWER, restart: true, iceServers: null, leaseS: null } as const;
  const restarting = () =>
    new Rig().live().do((it) => it.peer('lost', 1000)).pass(4000).do((it) => it.localOffer(OFFER, 5000, true));
  const refused = restarting().hear({
    type: 'error', code: 429, name: 'rate_limited', message: '', retryAfterMs: 5000,
  });
  assert.equal(refused.at(), 'live');
  assert.ok(refused.hear(theirs).effects().includes('take_offer'));
  const unheard = restarting().pass(3000);
  assert.equal(unheard.effects().filter((it) => it === 'make_offer').length, 3); // ours, and two restarts
  assert.ok(unheard.hear(theirs).effects().includes('take_offer'));
});

test('a refused restart is made again when the device says, but not later than a call anew', () => {
  const restarts = (rig: Rig) => rig.done.filter((it) => it.do === 'make_offer' && it.restart).length;
  const limited = (retryAfterMs: number) =>
    ({ type: 'error', code: 429, name: 'rate_limited', message: '', retryAfterMs }) as const;
  const rig = new Rig().live()
    .do((it) => it.peer('lost', 1000))
    .pass(4000)
    .do((it) => it.localOffer(OFFER, 5000, true))
    .hear(limited(8000));
  assert.equal(restarts(rig.pass(7999)), 1);
  assert.equal(restarts(rig.pass(1)), 2);
  assert.equal(
    rig.do((it) => it.localOffer('again', rig.now, true)).hear(limited(60_000)).pass(8000).at(), 'ice_failed'
  );
});

test('a restart that goes wrong on this side ends no running call', () => {
  assert.equal(
    new Rig().live().do((it) => it.peer('lost', 1000)).do((it) => it.localFailed('bad_sdp', 1000)).at(), 'live'
  );
  assert.equal(new Rig().started().do((it) => it.localFailed('bad_sdp', 1000)).at(), 'bad_sdp');
});

test('a restart of the device is answered without a stop', () => {
  const rig = new Rig().live().hear({ type: 'offer', sdp: ANSWER, restart: true, iceServers: null, leaseS: null });
  assert.ok(rig.effects().includes('take_offer'));
  assert.equal(rig.at(), 'live');
});

test('the lease is renewed from half-time on, again and again until the device hears', () => {
  const rig = new Rig().live().pass(299_000);
  assert.ok(!rig.types().includes('renew'));
  rig.pass(1000 + 37_500);
  assert.equal(rig.types().filter((it) => it === 'renew').length, 2);
  rig.hear({ type: 'renewed', leaseS: 600 }).pass(299_000);
  assert.equal(rig.types().filter((it) => it === 'renew').length, 2);
  rig.pass(1000);
  assert.equal(rig.types().filter((it) => it === 'renew').length, 3);
});

test('a lost broker stops neither a running picture nor, when it is back, the renewal', () => {
  const rig = new Rig().live().do((it) => it.broker(false, 1000)).pass(310_000);
  assert.equal(rig.at(), 'live');
  assert.ok(!rig.types().includes('renew'));
  rig.do((it) => it.broker(true, rig.now)).pass(40_000);
  assert.ok(rig.types().includes('renew'));
});

test('what was said while a call was being set up is said again when the broker is back', () => {
  const rig = new Rig().started().do((it) => it.localCandidate(null, 'mine', 1000)).do((it) => it.broker(false, 1100));
  rig.do((it) => it.localCandidate({ candidate: 'late' }, 'mine', 1000)).pass(50);
  const before = rig.said.length;
  rig.do((it) => it.broker(true, 1200));
  assert.deepEqual(rig.said.slice(before).map((it) => it['seq']), [0, 1, 2]);
});

test('a new epoch is a new session after at most a second', () => {
  const rig = new Rig().live().fresh();
  rig.do((it) => it.deviceStatus(online({ epoch: 'e2' }), rig.now));
  assert.equal(rig.effects().at(-1), 'close');
  assert.ok(!rig.types().includes('bye')); // the session no longer exists on the device
  rig.pass(1000);
  assert.equal(rig.effects().at(-1), 'make_offer');
  assert.equal(rig.call.session, 'session-2xxxxxxxxxxxxx');
});

test('the same epoch said again, and an offline by the will, stop no picture', () => {
  const rig = new Rig().live();
  rig.do((it) => it.deviceStatus(online({ conn: 9 }), rig.now)).do(
    (it) => it.deviceStatus({ state: 'offline', epoch: 'e1', conn: 1, reason: 'lost' }, rig.now)
  );
  assert.equal(rig.at(), 'live');
});

test('an offline device is waited for', () => {
  const rig = new Rig().do((it) => it.broker(true, 0))
    .do((it) => it.deviceStatus({ state: 'offline', epoch: 'e1', conn: 1, reason: 'lost' }, 0))
    .do((it) => it.watch(0));
  assert.equal(rig.at(), 'offline');
  assert.equal(rig.said.length, 0);
  rig.pass(600_000);
  assert.equal(rig.at(), 'offline');
  rig.do((it) => it.deviceStatus(online({ epoch: 'e2' }), rig.now)).pass(1000);
  assert.equal(rig.effects().at(-1), 'make_offer');
});

test('shutdown, then offline: waits, and comes back', () => {
  const rig = new Rig().live().hear({ type: 'bye', reason: 'shutdown' });
  assert.equal(rig.at(), 'shutdown');
  rig.do((it) => it.deviceStatus({ state: 'offline', epoch: 'e1', conn: 1, reason: 'shutdown' }, rig.now));
  assert.equal(rig.at(), 'offline');
});

for (const name of ERROR_NAMES) {
  test(`a refusal with ${name} does what its row says`, () => {
    const rig = new Rig().started()
      .fresh()
      .hear({ type: 'error', code: 400, name, message: 'why', retryAfterMs: null }, null)
      .pass(1500);
    const next = nextAfter(name);
    if (next === 'stay') {
      assert.equal(rig.at(), name);
      rig.pass(3_600_000);
      assert.equal(rig.effects().filter((it) => it === 'make_offer').length, 1);
    } else {
      rig.pass(next === 'now' ? 2000 : 5000);
      assert.equal(rig.effects().filter((it) => it === 'make_offer').length, 2);
    }
  });
}

test('a name from the future is tried again', () => {
  const rig = new Rig().started()
    .hear({ type: 'error', code: 599, name: 'toString', message: '', retryAfterMs: null }, null)
    .pass(3000);
  assert.equal(rig.effects().at(-1), 'make_offer');
});

test('retry_after_ms is kept to, and pauses grow', () => {
  const busy = (after: number | null) =>
    ({ type: 'error', code: 503, name: 'busy', message: '', retryAfterMs: after }) as const;
  const rig = new Rig().started().hear(busy(5000), null);
  rig.pass(4999);
  assert.equal(rig.at(), 'busy');
  rig.pass(501);
  assert.equal(rig.at(), 'offer');
  const pauses = [0, 1, 2, 3, 4].map(() => {
    rig.fresh().offered().hear(busy(null), null);
    const { phase } = rig.call;
    const pause = (phase as { retryAt: number }).retryAt - rig.now;
    rig.pass(pause);
    return pause;
  });
  assert.deepEqual(pauses, [2250, 4500, 9000, 22_500, 22_500]);
});

test('a free place is taken at once', () => {
  const rig = new Rig().started().hear(
    { type: 'error', code: 503, name: 'busy', message: '', retryAfterMs: 60_000 }, null
  );
  rig.do((it) => it.deviceStatus(online({ viewers: 8 }), rig.now)).pass(1000);
  assert.equal(rig.at(), 'busy');
  rig.do((it) => it.deviceStatus(online({ viewers: 7 }), rig.now)).pass(1000);
  assert.equal(rig.at(), 'offer');
});

test('a refused candidate is not a refused call', () => {
  const rig = new Rig().started()
    .hear({ type: 'error', code: 400, name: 'bad_request', message: 'candidate', retryAfterMs: null })
    .pass(1000)
    .answer();
  assert.equal(rig.at(), 'route');
});

test('an error ends no running session, bye does, with its words', () => {
  const rig = new Rig().live().hear({
    type: 'error', code: 488, name: 'ice_failed', message: 'no path', retryAfterMs: null,
  });
  assert.equal(rig.at(), 'live');
  rig.hear({ type: 'bye', reason: 'ice_failed' });
  assert.deepEqual([rig.at(), (rig.call.phase as { message: string }).message], ['ice_failed', 'no path']);
});

test('every error is only noted while the picture runs; a session that is gone matters once the route is lost', () => {
  const error = (name: string) => ({ type: 'error', code: 400, name, message: '', retryAfterMs: null }) as const;
  for (const name of [...ERROR_NAMES, 'something_new'])
    assert.equal(new Rig().live().hear(error(name), null).pass(2000).at(), 'live', name);
  const rig = new Rig().live().do((it) => it.peer('lost', 1000)).hear(error('no_session'), null);
  assert.equal(rig.at(), 'no_session');
  assert.equal(rig.pass(1000).call.session, 'session-2xxxxxxxxxxxxx');
});

test('a bye is taken at once, whatever its number', () => {
  assert.equal(new Rig().live().hear({ type: 'bye', reason: 'internal' }, 40).at(), 'internal');
  assert.equal(new Rig().live().hear({ type: 'bye', reason: 'flood' }, 0).at(), 'flood');
});

test('a lost route is restarted after 4 s, every 3 s, five times', () => {
  const rig = new Rig().live();
  const restarts = () => rig.done.filter((it) => it.do === 'make_offer' && it.restart).length;
  rig.do((it) => it.peer('lost', rig.now)).pass(3999);
  assert.equal(restarts(), 0);
  rig.pass(1);
  assert.deepEqual([restarts(), rig.call.phase], [1, { at: 'live', restarting: true }]);
  rig.pass(12_000);
  assert.equal(restarts(), 5);
  rig.pass(3000);
  assert.equal(rig.at(), 'ice_failed');
});

test('a route that comes back is live again', () => {
  const rig = new Rig().live().do((it) => it.peer('lost', 1000)).pass(5000).do((it) => it.peer('connected', 6000));
  assert.deepEqual(rig.call.phase, { at: 'live', restarting: false });
  assert.equal(rig.pass(20_000).at(), 'live');
});

test('with relays and no route the offer is made again, once', () => {
  const rig = new Rig().started().answer({ iceServers: [{ urls: ['turn:t'] }] }).pass(3000);
  assert.deepEqual(rig.done.at(-1), { do: 'make_offer', restart: true, servers: [{ urls: ['turn:t'] }] });
});

test('no route and no handshake have their own names and times', () => {
  assert.equal(new Rig().started().answer().pass(17_000).at(), 'ice_timeout');
  const rig = new Rig().started().answer();
  rig.do((it) => it.peer('routed', rig.now)).pass(12_000);
  assert.equal(rig.at(), 'dtls_failed');
});

test('goaway moves to a new session when its time has come', () => {
  const rig = new Rig().live().hear({ type: 'goaway', inS: 30, reason: 'expired' }).pass(29_000);
  assert.equal(rig.at(), 'live');
  rig.pass(2000);
  assert.deepEqual([rig.types().at(-1), rig.effects().at(-1)], ['bye', 'make_offer']);
});

test('a session whose end was put off stays', () => {
  const rig = new Rig().live().hear({ type: 'goaway', inS: 10, reason: 'expired' }).pass(8000);
  rig.hear({ type: 'renewed', leaseS: 2 }).pass(500);
  assert.equal(rig.call.goaway, true);
  rig.hear({ type: 'renewed', leaseS: 20 }).pass(5000);
  assert.deepEqual([rig.at(), rig.call.goaway], ['live', false]);
});

test('stop says bye once and is quiet', () => {
  const rig = new Rig().live().do((it) => it.stop()).do((it) => it.stop());
  assert.deepEqual(rig.said.at(-1)!['reason'], 'left');
  assert.equal(rig.types().filter((it) => it === 'bye').length, 1);
  assert.equal(rig.call.nextWake(), null);
  assert.equal(rig.pass(3_600_000).at(), 'idle');
});

test('a broker that does not carry the call is said so', () => {
  const rig = new Rig().started().do((it) => it.publishRefused('Not authorized', 1000));
  assert.equal(rig.at(), 'publish_refused');
});

test('a ping is answered', () => {
  const rig = new Rig().started().hear({ type: 'ping', n: 7 });
  assert.deepEqual([rig.said.at(-1)!['type'], rig.said.at(-1)!['n']], ['pong', 7]);
});

// --- Paired devices

test('a device that must not be spoken to is called when it may be again', () => {
  const rig = new Rig().do((it) => it.broker(true, 0)).do((it) => it.watch(0)).do((it) => it.bar('wrong_board', 10));
  assert.equal(rig.at(), 'wrong_board');
  assert.ok(rig.effects().includes('close'));
  rig.do((it) => it.watch(20));
  assert.equal(rig.at(), 'wrong_board', 'also if the person asks');
  rig.do((it) => it.deviceStatus(online(), 25)).do((it) => it.bar(null, 30));
  assert.deepEqual([rig.at(), rig.effects().at(-1)], ['offer', 'make_offer']);
});

test('a running picture is not concerned by another device that uses its name, unless the keys are gone', () => {
  const rig = new Rig().live();
  const before = rig.effects().length;
  rig.do((it) => it.bar('wrong_board', 2000));
  assert.deepEqual([rig.at(), rig.effects().length], ['live', before]);
  rig.do((it) => it.bar(null, 2010));
  assert.deepEqual([rig.at(), rig.effects().length], ['live', before]);
  rig.do((it) => it.bar('keys_lost', 2020, true));
  assert.equal(rig.at(), 'keys_lost');
  assert.ok(rig.effects().includes('close'));
});

test('a device that knows only paired viewers and is silent for 10 s may no longer know this one', () => {
  const rig = new Rig();
  rig.call.sealed = true;
  rig.started().pass(9900);
  assert.deepEqual([rig.at(), rig.types()], ['offer', ['offer', 'offer', 'offer']]);
  rig.pass(200);
  assert.equal(rig.at(), 'unanswered');
});

test('a viewer whose rights changed asks for what is left', () => {
  const rig = new Rig().live().fresh().hear({ type: 'bye', reason: 'forbidden' });
  assert.equal(rig.at(), 'withdrawn');
  rig.pass(1100);
  assert.equal(rig.at(), 'offer');
});
