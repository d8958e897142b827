import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Effect } from '../src/effect.ts';
import { Call } from '../src/call.ts';
import type { FromDevice, IceServer } from '../src/protocol.ts';

const OFFER = 'v=0\r\na=ice-ufrag:mine\r\n';
const ANSWER = 'v=0\r\na=ice-ufrag:them\r\n';
const LEASE_S = 600;
const LIFE_S = 2 * LEASE_S;

const servers = (n: number): IceServer[] => [{ urls: ['turn:t'], username: `${n}:anna-AAAAAAAA`, credential: `c${n}` }];

/** A call that is live by a relay, which the browser got with the login 0. Its device renews as the real one does. */
class Rig {
  now = 0;
  done: Effect[] = [];
  said: Record<string, unknown>[] = [];
  readonly call = new Call({
    mode: 'request', wanted: { video: true, audio: true, talk: false }, random: () => 0.5,
    session: () => 's'.repeat(22),
  });
  private seq = 0;

  constructor(loginsS: number | null = LIFE_S, private readonly renews = true) {
    this.do((it) => it.broker(true, 0)).do((it) => it.watch(0));
    this.hear({
      type: 'offer', sdp: ANSWER, restart: false, leaseS: LEASE_S, iceServers: servers(0),
      ...(loginsS === null ? {} : { loginsS }),
    });
    this.do((it) => it.localAnswer(OFFER)).do((it) => it.remoteSet());
    this.do((it) => it.peer('connected', 0)).do((it) => it.shown(0));
  }

  do(step: (call: Call) => void): this {
    step(this.call);
    for (const effect of this.call.take()) {
      if (effect.do !== 'publish') this.done.push(effect);
      else {
        const message = JSON.parse(effect.text) as Record<string, unknown>;
        this.said.push(message);
        if (message['type'] === 'renew' && this.renews) this.renewed();
      }
    }
    return this;
  }

  hear(body: FromDevice): this {
    return this.do((it) => it.received({ session: it.session, seq: this.seq++, body }, this.now));
  }

  renewed(n = this.now / 1000): this {
    return this.hear({ type: 'renewed', leaseS: LEASE_S, iceServers: servers(n), loginsS: LIFE_S });
  }

  /** Advances the clock to this second. */
  until(s: number): this {
    const end = s * 1000;
    for (let next = this.call.nextWake(); next !== null && next <= end; next = this.call.nextWake()) {
      this.now = Math.max(this.now, next);
      this.do((it) => it.wake(this.now));
    }
    this.now = end;
    return this;
  }
}

test('new logins are used for what is gathered next, as soon as they come', () => {
  const rig = new Rig().until(300);
  assert.deepEqual(rig.done.at(-1), { do: 'set_servers', servers: servers(300) });
});

test('a restart gathers with the newest logins, whoever begins it', () => {
  const lost = new Rig().until(961).do((it) => it.peer('lost', 961_000)).until(980);
  assert.deepEqual(
    lost.done.find((it) => it.do === 'make_offer'), { do: 'make_offer', restart: true, servers: servers(900) }
  );
  const rig = new Rig().until(961);
  rig.hear({ type: 'offer', sdp: ANSWER, restart: true, leaseS: null, iceServers: servers(961), loginsS: LIFE_S });
  const taken = rig.done.filter((it) => it.do === 'take_offer').at(-1);
  assert.deepEqual(taken, { do: 'take_offer', sdp: ANSWER, servers: servers(961) });
});

test('the same login does not live longer when it comes again', () => {
  const same = new Rig(LIFE_S, false).until(300).renewed(0);
  assert.equal(same.call.turn.current(1_199_000).length, 1);
  assert.equal(same.call.turn.current(1_200_000).length, 0);
});

test('logins without an end stay', () => {
  assert.equal(new Rig(null, false).call.turn.current(1e9).length, 1);
});

test('a new session does not begin with logins that have ended', () => {
  const rig = new Rig().until(10).do((it) => it.stop());
  assert.equal(rig.call.turn.current(1_199_000).length, 1);
  assert.equal(rig.call.turn.current(1_200_000).length, 0);
});
