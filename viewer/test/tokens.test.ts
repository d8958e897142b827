// Access tokens: what the page's source is asked for, when tokens are replaced, and what a viewer says to a board with
// them. The board is that of `fake-board.ts`, and tokens are made with `jose`.
import 'fake-indexeddb/auto';
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import * as jose from 'jose';
import { Call } from '../src/call.ts';
import type { Info, Received, Status } from '../src/protocol.ts';
import { faultOf } from '../src/target.ts';
import { store } from '../src/trust/store.ts';
import { Tokens, lifeOf, renewAfter } from '../src/trust/tokens.ts';
import type { TokenRequest, TokenSource } from '../src/trust/tokens.ts';
import { Wire } from '../src/trust/wire.ts';
import { componentWords } from '../src/words/languages.ts';
import { FakeBoard, MemoryBroker, makeKey, signText } from './fake-board.ts';
import type { Json, Key } from './fake-board.ts';

Object.assign(globalThis, { location: { href: 'https://page.example/' } });
const ROOT = 'fanlight/v1';
const SESSION = 'q83vEjRWeJCrze8SNFZ4kA';
const message = (type: string, more: Json = {}) => JSON.stringify({ v: 1, session: SESSION, seq: 0, type, ...more });
const OFFER = message('offer', { sdp: 'v=0' });

let broker: MemoryBroker;
let board: FakeBoard;
let issuer: Key;
const open: (() => void)[] = [];
beforeEach(async () => {
  broker = new MemoryBroker();
  board = await FakeBoard.make(broker.say);
  broker.attach(board);
  issuer = board.issuer = await makeKey('sign');
});
afterEach(async () => {
  for (const close of open.splice(0)) close();
  await new Promise<void>((resolve) => { indexedDB.deleteDatabase('fanlight').onsuccess = () => resolve(); });
});
async function until(what: string, is: () => unknown): Promise<void> {
  for (let tries = 0; tries < 2000; tries++) {
    if (is()) return;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  assert.fail(`not in time: ${what}`);
}
const topic = (kind: string) => `${ROOT}/${board.device}/${kind}`;
const heard = (type: string) => board.heard.filter(({ body }) => body['type'] === type);

const issue = (key: jose.JWK, more: Json = {}) => {
  const iat = Math.floor(Date.now() / 1000);
  const claims = {
    jti: crypto.randomUUID(), aud: ['porch'], cnf: { jwk: key }, rights: ['view'], iat, exp: iat + 900, ...more,
  };
  return signText(issuer, { typ: 'fanlight-token', kid: issuer.thumb }, JSON.stringify(claims));
};
/** A login service that keeps what it was asked for, and gave. */
function service(more: () => Json = () => ({})) {
  const asked: TokenRequest[] = [];
  const gave: string[] = [];
  const source: TokenSource = async (request) => {
    asked.push(request);
    gave.push(await issue(request.key, more()));
    return gave.at(-1)!;
  };
  return { asked, gave, source };
}

/** A viewer of the board, and all that it tells. */
function view(source: TokenSource | null, thumb = board.identity.thumb) {
  const told = {
    status: [] as (Status | null)[], info: null as Info | null, received: [] as Received[],
    bars: [] as (string | null)[], renewals: 0, without: [] as string[], unusable: 0,
  };
  const wire = new Wire(broker as never, {
    broker: broker.url.href, root: ROOT, device: board.device, viewer: 'anna', user: '', password: '', keys: false,
    thumb,
  }, {
    status: (it) => told.status.push(it), info: (it) => { told.info = it; }, received: (it) => told.received.push(it),
    bar: (why) => told.bars.push(why), sealed: () => {}, talks: () => {}, unusable: () => { told.unusable += 1; },
    refused: () => {}, event: () => {},
    renew: () => { told.renewals += 1; }, noToken: (why, what) => told.without.push(`${why}: ${what}`),
  }, source);
  open.push(() => wire.close());
  return { wire, told };
}

// --- What a token says

test('the life of a token is that which it still has, and its own if the clock of this machine is wrong', async () => {
  const { point, jwk } = await makeKey('sign');
  const token = await issue(jwk, { iat: 1000, exp: 1900 });
  const life = (now: number) => lifeOf(token, 'porch', point, now);
  assert.deepEqual([1000, 1300, 0, 1e9].map(life), [900_000, 600_000, 900_000, 900_000]);
});

test('a token that the board would refuse is not sent', async () => {
  const { point, jwk } = await makeKey('sign');
  const other = await makeKey('sign');
  const life = async (it: unknown, device = 'porch') => lifeOf(await it, device, point, Date.now() / 1000);
  assert.ok(await life(issue(jwk)) > 0);
  assert.ok(await life(issue(jwk, { aud: '*' }), 'garden') > 0);
  assert.ok(await life(issue({ ...jwk, kid: 'a', alg: 'ES256' })) > 0, 'more members of the key are no harm');
  for (const [bad, why] of [
    [issue(jwk, { aud: ['garden', 'gate'] }), /aud/], [issue(jwk, { aud: undefined }), /aud/],
    [issue(other.jwk), /cnf/], [issue(jwk, { cnf: null }), /cnf/], [issue(jwk, { cnf: { jwk: 7 } }), /cnf/],
    [issue(jwk, { exp: 1 }), /exp/], [issue(jwk, { exp: '9e9' }), /exp/], [issue(jwk, { iat: undefined }), /exp/],
    [issue(jwk, { name: 'x'.repeat(4096) }), /4096/], [undefined, /text/], ['', /JWS/],
    ['a.b', /JWS/], ['a.b.c.d', /JWS/],
    ['a.b\n.c', /JWS/], ['a.b.c', /JWS/], ['e30.eyI.AA', /JSON/], ['e30.W10.AA', /object/], [{}, /text/],
  ] as [unknown, RegExp][])
    await assert.rejects(life(bad), (error: Error) => why.test(error.message), String(why));
});

test('a token is replaced after about 80 % of its life, and not all at the same moment', () => {
  assert.deepEqual([0, 0.5, 0.999].map((it) => Math.round(renewAfter(900_000, it) / 1000)), [675, 720, 765]);
  assert.equal(renewAfter(10, 0), 1000, 'a service that gives dead tokens is not flooded');
});

// --- When tokens are fetched

const turns = async () => { for (let i = 0; i < 20; i++) await Promise.resolve(); };
async function keeper(source: TokenSource) {
  const { point, jwk } = await makeKey('sign');
  const told = { fresh: 0, failed: [] as string[] };
  const tokens = new Tokens(source, 'porch', {
    fresh: () => { told.fresh += 1; }, failed: (why, it) => told.failed.push(`${why} ${it}`),
  });
  open.push(() => tokens.close());
  return { tokens, told, point, jwk };
}
/** A clock for tests. */
async function clocked(run: (pass: (ms: number) => Promise<void>) => Promise<void>) {
  let now = 0;
  const timers = new Map<number, { at: number; does: () => void }>();
  const real = { setTimeout, clearTimeout, now: performance.now };
  const overflows = 2 ** 31 - 1;
  let last = 0;
  Object.assign(globalThis, {
    setTimeout: (does: () => void, ms: number) => {
      timers.set(last += 1, { at: now + (ms > overflows ? 1 : ms), does });
      return last;
    },
    clearTimeout: (id: number) => timers.delete(id),
  });
  performance.now = () => now;
  try {
    await run(async (ms) => {
      now += ms;
      for (const [id, { at, does }] of [...timers])
        if (at <= now && timers.delete(id)) does();
      await turns();
    });
  } finally {
    Object.assign(globalThis, { setTimeout: real.setTimeout, clearTimeout: real.clearTimeout });
    performance.now = real.now;
  }
}

test('a token is fetched once for all that ask at the same time, and only with a key', async () => {
  let give: (token: string) => void = () => {};
  let asked = 0;
  const { tokens, told, point, jwk } = await keeper(() => new Promise((resolve) => { asked += 1; give = resolve; }));
  tokens.want();
  assert.equal(asked, 0);
  tokens.as(point);
  tokens.want();
  tokens.want();
  assert.deepEqual([asked, tokens.text], [1, null]);
  const token = await issue(jwk);
  give(token);
  await turns();
  assert.deepEqual([told.fresh, tokens.text], [1, token]);
  tokens.as((await makeKey('sign')).point);
  assert.deepEqual([asked, tokens.text], [2, null], 'another key needs another token');
});

test('while a session runs its token is replaced in time; without one, nothing is fetched', async () => {
  const made: string[] = [];
  const { tokens, told, point, jwk } = await keeper(async () => made.shift()!);
  for (let i = 0; i < 3; i++) made.push(await issue(jwk));
  await clocked(async (pass) => {
    tokens.as(point);
    tokens.want();
    await turns();
    await pass(890_000);
    assert.equal(told.fresh, 1, 'nobody watches');
    tokens.use(true);
    await pass(0);
    assert.equal(told.fresh, 2, 'it is nearly over, and somebody watches');
    await pass(670_000);
    assert.equal(told.fresh, 2);
    await pass(100_000);
    assert.equal(told.fresh, 3);
    tokens.use(false);
    await pass(890_000);
    assert.equal(told.fresh, 3);
    await pass(20_000);
    assert.equal(tokens.text, null, 'it has ended');
  });
});

test('a token of 31 days overflows no timer', async () => {
  let asked = 0;
  const iat = Math.floor(Date.now() / 1000);
  const { tokens, point, jwk } = await keeper(async () => {
    asked += 1;
    return token;
  });
  const token = await issue(jwk, { iat, exp: iat + 31 * 86_400 });
  await clocked(async (pass) => {
    tokens.use(true);
    tokens.as(point);
    tokens.want();
    await turns();
    const day = 86_400_000;
    for (const days of [20, 3]) await pass(days * day);
    assert.equal(asked, 1);
    for (const days of [2, 2]) await pass(days * day);
    assert.equal(asked, 2);
  });
});

test('a source that fails while the token still works is asked again, and reported when it has ended', async () => {
  let good: string | null = null;
  let asked = 0;
  const { tokens, told, point, jwk } = await keeper(async () => {
    asked += 1;
    if (good === null) throw new Error('HTTP 503');
    return good;
  });
  good = await issue(jwk);
  await clocked(async (pass) => {
    tokens.use(true);
    tokens.as(point);
    tokens.want();
    await turns();
    good = null;
    await pass(770_000);
    assert.equal(asked, 2);
    for (let i = 0; i < 12; i++) await pass(10_000);
    assert.ok(asked >= 5 && asked <= 8, `asked ${asked} times`);
    assert.deepEqual(told.failed, []);
    await pass(60_000);
    assert.deepEqual([told.failed, tokens.text], [['token_failed HTTP 503'], null]);
  });
});

test('a source that is silent is given up after 15 s, and its late token is not used', async () => {
  let give: (token: string) => void = () => {};
  let aborted = false;
  const { tokens, told, point, jwk } = await keeper(({ signal }) => new Promise((resolve) => {
    give = resolve;
    signal.addEventListener('abort', () => { aborted = true; });
  }));
  const token = await issue(jwk);
  await clocked(async (pass) => {
    tokens.as(point);
    tokens.want();
    await pass(14_000);
    assert.deepEqual(told.failed, []);
    await pass(2000);
    give(token);
    await turns();
    assert.deepEqual([told.failed, tokens.text, told.fresh], [['token_failed tokens: no token within 15 s'], null, 0]);
    assert.ok(aborted);
  });
});

test('each kind of failure has a name of its own', async () => {
  for (const [source, told] of [
    [async () => { throw new DOMException('log in', 'NotAllowedError'); }, 'token_refused log in'],
    [() => { throw new TypeError('no network'); }, 'token_failed no network'],
    [() => Promise.reject(), 'token_failed '],
    [async () => 'a.b', 'token_unusable token: not a JWS in compact serialisation'],
    [() => undefined, `token_unusable token: not a text of at most 4096 characters`],
  ] as [TokenSource, string][]) {
    const it = await keeper(source);
    it.tokens.as(it.point);
    it.tokens.want();
    await until('the failure', () => it.told.failed.length);
    assert.deepEqual(it.told.failed, [told]);
  }
});

test('a token that ended by the board’s clock is replaced once, also if two answers say so', async () => {
  const { tokens, point, jwk } = await keeper(async () => issue(jwk, { jti: String(Math.random()) }));
  tokens.as(point);
  const next = async () => {
    tokens.want();
    await until('a token', () => tokens.text);
    return tokens.text!;
  };
  const first = await next();
  assert.deepEqual([tokens.ended(first), tokens.ended(first), tokens.text], [true, true, null]);
  const second = await next();
  assert.deepEqual([tokens.ended(first), tokens.text], [true, second], 'an answer that comes late');
  assert.equal(tokens.ended(second), false, 'the second in a row');
  tokens.accepted();
  assert.equal(tokens.ended(await next()), true);
});

// --- What the board gets

test('a board that is known by its thumbprint gets each message with the token, sealed', async () => {
  const { asked, gave, source } = service();
  board.answer = ({ viewer, body: { session } }) => board.say(viewer, { v: 1, type: 'pong', n: 7, session, seq: 0 });
  const { wire, told } = view(source);
  wire.prepare();
  wire.publish(OFFER);
  await board.announce();
  await until('the answer', () => told.received.length);
  await until('the name', () => told.info);
  const self = (await store.identity())!;
  assert.deepEqual(asked.map(({ device, key }) => [device, key]), [['porch', await jwkOfSelf()]]);
  assert.deepEqual(board.heard.map(({ header }) => header['token']), [gave[0], gave[0]]);
  assert.deepEqual([...new Set(broker.sent.map((it) => it.topic))], [topic(`req/${self.id}`)]);
  assert.ok(broker.sent.every(({ payload }) => !payload.includes(gave[0]!)), 'nobody on the way sees it');
  assert.deepEqual([told.info!.name, told.bars, told.without], ['Front porch', [], []]);
  assert.deepEqual(await store.devices(), [], 'it is not paired');
  assert.equal(self.secret.extractable, false);
});

async function jwkOfSelf() {
  const all = jose.base64url.decode((await store.identity())!.point);
  const [x, y] = [all.slice(1, 33), all.slice(33)].map((it) => jose.base64url.encode(it));
  return { kty: 'EC', crv: 'P-256', x, y };
}

test('a board that was paired needs no thumbprint', async () => {
  const { source, gave } = service();
  await store.keep({
    broker: broker.url.href, root: ROOT, device: 'porch', key: board.identity.point, thumb: board.identity.thumb,
    name: '', self: 'Test', rights: [], until: null, since: 1,
  });
  const { wire, told } = view(source, '');
  wire.publish(OFFER);
  await board.announce();
  await until('the offer', () => heard('offer').length);
  assert.deepEqual([heard('offer')[0]!.header['token'], told.bars], [gave[0], []]);
});

test('without any key of the board, nothing is sent or believed', async () => {
  const { source, asked } = service();
  const { wire, told } = view(source, '');
  await until('the report', () => told.bars.length);
  wire.publish(OFFER);
  broker.say(topic('info'), JSON.stringify({ v: 1, device: 'porch', name: 'Trust me', auth: 'broker' }), true);
  broker.say(topic('status'), JSON.stringify({ v: 1, state: 'online', epoch: 'x', conn: 1, auth: 'broker' }), true);
  broker.say(topic('rsp/anna'), message('pong', { n: 1 }), false);
  await until('the reply was dropped', () => told.unusable);
  assert.deepEqual([told.bars, told.status, told.info], [['unknown_board'], [], null]);
  assert.deepEqual([told.received, broker.sent], [[], []]);
  assert.ok(asked.length <= 1);
});

for (const [what, tells] of [
  ['in plain JSON', async () => {
    broker.say(topic('info'), JSON.stringify({ v: 1, device: 'porch', name: 'Trust me', auth: 'broker' }), true);
    broker.say(topic('status'), board.statusJson(), true);
  }],
  ['with another key', async () => (await FakeBoard.make(broker.say)).announce()],
  ['with another key under the right name', async () => {
    const other = await makeKey('sign');
    const info = JSON.stringify({ v: 1, device: 'porch', protocol: [1], auth: 'keys', key: other.jwk });
    broker.say(topic('info'), await signText(other, { typ: 'fanlight-info', kid: board.identity.thumb }, info), true);
    broker.say(topic('status'), board.statusJson(), true);
  }],
] as [string, () => Promise<void>][]) {
  test(`a board that announces itself ${what} is not the one of the thumbprint`, async () => {
    const { wire, told } = view(service().source);
    wire.publish(OFFER);
    await tells();
    await until('the report', () => told.bars.includes('other_board'));
    assert.deepEqual([told.status, told.info, broker.sent], [[], null, []]);
    await board.announce();
    await until('the true board', () => heard('offer').length);
    assert.equal(told.bars.at(-1), null);
    broker.say(topic('status'), board.statusJson(), true);
    await until('the second report', () => told.bars.at(-1) === 'other_board');
  });
}

test('a token that ended by the board’s clock is replaced, and the call begins again', async () => {
  const { source, gave } = service();
  const { wire, told } = view(source);
  let ahead = 1000; // the clock of the board, in seconds
  board.clock = () => Date.now() / 1000 + ahead;
  wire.publish(OFFER);
  await board.announce();
  await until('the answer', () => told.received.length);
  assert.equal((told.received[0]!.body as { name: string }).name, 'token_ended');
  ahead = 0;
  wire.drop(); // as a call does
  wire.publish(OFFER);
  await until('the second offer', () => heard('offer').length === 2);
  await until('the welcome', () => told.info);
  assert.deepEqual([heard('offer')[1]!.header['token'], gave.length], [gave[1], 2]);
  assert.notEqual(gave[0], gave[1]);
});

test('a board that refuses new tokens, too, is asked no further', async () => {
  const { source, gave } = service();
  const { wire, told } = view(source);
  board.clock = () => Date.now() / 1000 + 1000;
  await board.announce();
  for (const name of ['token_ended', 'auth_required']) {
    const before = told.received.length;
    wire.publish(OFFER);
    await until(name, () => told.received.length > before);
    assert.equal((told.received.at(-1)!.body as { name: string }).name, name);
    wire.drop();
  }
  await until('the answers to hello', () => board.heard.length === 4);
  const sent = broker.sent.length;
  await board.newNonce();
  await until('the status was seen', () => told.status.length > 1);
  assert.deepEqual([gave.length, broker.sent.length], [2, sent]);
});

test('a token that the board ignores, or that was taken back, is not used a second time', async () => {
  const { source, gave } = service();
  const { wire, told } = view(source);
  await board.announce();
  wire.publish(OFFER);
  await until('the first', () => heard('offer').length === 1);
  await until('the welcome', () => told.info);
  await board.say((await store.identity())!.id, { v: 1, type: 'bye', reason: 'forbidden', session: SESSION, seq: 0 });
  await until('the end', () => told.received.length);
  wire.drop();
  wire.publish(OFFER);
  await until('the second', () => heard('offer').length === 2);
  wire.drop(); // without an answer
  wire.publish(OFFER);
  await until('the third', () => heard('offer').length === 3);
  assert.deepEqual(heard('offer').map(({ header }) => header['token']), gave);
  assert.equal(new Set(gave).size, 3);
});

test('without a token nothing is sent, and the reason is told; when there is one, all is', async () => {
  let refuse = true;
  const { source, asked } = service();
  const { wire, told } = view(async (it) => {
    if (refuse) throw new DOMException('HTTP 401', 'NotAllowedError');
    return source(it);
  });
  wire.publish(OFFER);
  await board.announce();
  await until('the reason', () => told.without.length);
  await board.newNonce();
  await until('the status', () => told.status.length > 1);
  assert.deepEqual([told.without, broker.sent, asked.length], [['token_refused: HTTP 401'], [], 0]);
  refuse = false;
  wire.publish(OFFER);
  await until('offer and hello', () => heard('offer').length === 1 && heard('hello').length === 1);
});

test('a newer token reaches the board by a message of its own', async () => {
  let life = 1.3;
  const { source, gave } = service(() => {
    const iat = Date.now() / 1000;
    return { iat, exp: iat + life };
  });
  const { wire, told } = view(source);
  await board.announce();
  wire.publish(OFFER);
  await until('the offer', () => heard('offer').length);
  const before = told.renewals;
  life = 900;
  await until('the newer token', () => told.renewals > before);
  wire.publish(message('renew', { seq: 1 }));
  await until('the renewal', () => heard('renew').length);
  assert.ok(gave.slice(1).includes(String(heard('renew')[0]!.header['token'])));
});

test('a newer token that has the right to events is followed without a reload', async () => {
  let life = 1.3;
  const { source } = service(() => {
    const iat = Date.now() / 1000;
    return { iat, exp: iat + life };
  });
  const { wire, told } = view(source);
  await board.announce();
  wire.publish(OFFER);
  await until('the welcome', () => told.info);
  board.rights = ['view', 'events'];
  life = 900;
  await until('the wish for events', () => heard('hello').some(({ body }) => body['events']));
  assert.deepEqual(heard('hello').map(({ body }) => body['events'] ?? false), [false, false, true]);
});

test('if the keys of the browser are deleted, there is a new one, with a token of its own', async () => {
  const { source, asked } = service();
  const { wire, told } = view(source);
  await board.announce();
  wire.publish(OFFER);
  await until('the welcome', () => told.info);
  indexedDB.deleteDatabase('fanlight');
  await until('the end of the session', () => told.bars.length);
  await until('the next hello', () => heard('hello').length === 2);
  assert.notDeepEqual(asked[0]!.key, asked[1]!.key);
  assert.deepEqual(told.bars.at(-1), null);
});

// --- The call, and the settings

const makeCall = () => new Call({
  mode: 'offer', wanted: { video: true, audio: true, talk: false }, random: () => 0, session: () => SESSION,
  token: true,
});

test('a newer token is told with a renewal that is repeated until it is answered', () => {
  const call = makeCall();
  const said = () => call.take().filter((it) => it.do === 'publish').map((it) => JSON.parse(it.text) as Json);
  call.broker(true, 0);
  call.watch(0);
  call.renew(0);
  call.wake(0);
  assert.deepEqual(said(), [], 'not before the offer, which has the token itself');
  call.localOffer('v=0', 0);
  call.renew(10);
  call.wake(10);
  assert.deepEqual(said().map(({ type, seq }) => [type, seq]), [['offer', 0], ['renew', 1]]);
  call.wake(38_000);
  assert.ok(said().some(({ type }) => type === 'renew'));
});

test('a newer token moves the end that the board announced; a renewal without one does not', () => {
  const call = makeCall();
  call.broker(true, 0);
  call.watch(0);
  call.localOffer('v=0', 0);
  call.peer('connected', 0);
  call.shown(0);
  let seq = 0;
  const hear = (body: Received['body'], at: number) => call.received({ session: SESSION, seq: seq++, body }, at);
  hear({ type: 'goaway', inS: 30, reason: 'expired' }, 1000);
  hear({ type: 'renewed', leaseS: 25 }, 6000);
  assert.ok(call.goaway, 'the end is where it was');
  hear({ type: 'renewed', leaseS: 600 }, 7000);
  assert.ok(!call.goaway);
  call.take();
  call.wake(40_000);
  assert.ok(!call.take().some((it) => it.do === 'close'), 'the session goes on');
});

test('a board that is silent to a token is told apart, and a running picture outlives a service that fails', () => {
  const call = makeCall();
  call.sealed = true;
  call.broker(true, 0);
  call.deviceStatus({
    state: 'online', epoch: 'x', conn: 1, auth: 'keys', media: { video: 'ok', audio: 'ok' }, viewers: null,
    maxViewers: null, version: null,
  }, 0);
  call.watch(0);
  call.localOffer('v=0', 0);
  for (const at of [2500, 7500, 20_000]) call.wake(at);
  assert.deepEqual(call.phase.at === 'error' && [call.phase.name, call.phase.next], ['token_unanswered', 'wait']);
  call.watch(30_000);
  call.noToken('token_refused', 'HTTP 403', 30_000);
  const { phase } = call;
  assert.deepEqual(
    phase.at === 'error' && [phase.name, phase.next, phase.message], ['token_refused', 'stay', 'HTTP 403']
  );
  call.watch(40_000);
  call.localOffer('v=0', 40_000);
  call.peer('connected', 40_000);
  call.noToken('token_failed', '', 40_001);
  assert.notEqual(call.phase.at, 'error');
});

test('a thumbprint that is none is reported', () => {
  const target = { broker: '/mqtt', root: ROOT, device: 'porch', viewer: 'anna', user: '', password: '', keys: false };
  assert.equal(faultOf({ ...target, thumb: '' }), null);
  assert.equal(faultOf({ ...target, thumb: board.identity.thumb }), null);
  for (const thumb of ['x', board.identity.point, `${board.identity.thumb.slice(0, -1)}=`])
    assert.match(faultOf({ ...target, thumb })!(componentWords.en), /thumb/);
});
