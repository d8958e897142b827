// Paired boards: the keys of the browser, the exchange with a board, and pairing. The board is that of `fake-board.ts`,
// the broker is in memory and may be hostile.
import 'fake-indexeddb/auto';
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { utf8 } from '../src/bytes.ts';
import type { Info, Received, Status } from '../src/protocol.ts';
import { Doorman } from '../src/trust/paired.ts';
import type { Happening } from '../src/trust/news.ts';
import { Exchange, PairingError, expectDevice, invitationOf } from '../src/trust/pairing.ts';
import type { PairStep } from '../src/trust/pairing.ts';
import { browserOf, placeOf } from '../src/trust/place.ts';
import { store } from '../src/trust/store.ts';
import type { PairedDevice } from '../src/trust/store.ts';
import { Wire } from '../src/trust/wire.ts';
import { FakeBoard, MemoryBroker, makeKey, sealText, signText } from './fake-board.ts';
import type { Json } from './fake-board.ts';

const PAGE = 'https://page.example/';
Object.assign(globalThis, { location: { href: PAGE } });
const ROOT = 'fanlight/v1';
const SESSION = 'q83vEjRWeJCrze8SNFZ4kA';
const OFFER = JSON.stringify({ v: 1, session: SESSION, seq: 0, type: 'offer', sdp: 'v=0' });

let broker: MemoryBroker;
let board: FakeBoard;
const open: (() => void)[] = [];
beforeEach(async () => {
  broker = new MemoryBroker();
  board = await FakeBoard.make(broker.say);
  broker.attach(board);
});
afterEach(async () => {
  for (const close of open.splice(0)) close();
  await deleteKeys();
});

const deleteKeys = () => new Promise<void>((resolve, reject) => {
  const request = indexedDB.deleteDatabase('fanlight');
  request.onsuccess = () => resolve();
  request.onerror = () => reject(request.error!);
});
/** Waits until something is so. */
async function until(what: string, is: () => unknown): Promise<void> {
  for (let tries = 0; tries < 2000; tries++) {
    if (is()) return;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  assert.fail(`not in time: ${what}`);
}

const record = (more: Partial<PairedDevice> = {}): PairedDevice => ({
  broker: broker.url.href, root: ROOT, device: board.device, key: board.identity.point, thumb: board.identity.thumb,
  name: '', self: 'Test', rights: ['view'], until: null, since: 1, ...more,
});

/** Pairs this browser with the board without an exchange. */
async function paired(): Promise<void> {
  const { point, thumb } = await store.makeIdentity();
  board.admit(point, thumb);
  await store.keep(record());
}

/** A viewer of the board, and all that it tells. */
function view(keys = false) {
  const told = {
    status: [] as (Status | null)[], info: null as Info | null, received: [] as Received[],
    bars: [] as (string | null)[],
    sealed: null as boolean | null, unusable: 0, refused: '', events: [] as Happening[],
  };
  const wire = new Wire(broker as never, {
    broker: broker.url.href, root: ROOT, device: board.device, viewer: 'anna', user: '', password: '', keys, thumb: '',
  }, {
    status: (it) => told.status.push(it), info: (it) => { told.info = it; }, received: (it) => told.received.push(it),
    talks: () => {}, event: (it) => told.events.push(it),
    bar: (why) => told.bars.push(why), sealed: (yes) => { told.sealed = yes; }, unusable: () => { told.unusable += 1; },
    refused: (message) => { told.refused = message; }, renew: () => {}, noToken: () => {},
  });
  open.push(() => wire.close());
  return { wire, told };
}
const topic = (kind: string) => `${ROOT}/${board.device}/${kind}`;
const heard = (type: string) => board.heard.filter(({ body }) => body['type'] === type);

// --- Keys

test('a welcome that is opened while the viewer is closed starts nothing', async (t) => {
  await paired();
  const { wire, told } = view();
  let answered = false;
  let closed = false;
  broker.tamper = (topic, payload) => {
    answered ||= topic.includes('/rsp/');
    return payload;
  };
  const decrypt = crypto.subtle.decrypt.bind(crypto.subtle);
  t.mock.method(crypto.subtle, 'decrypt', async (...args: Parameters<typeof decrypt>) => {
    const text = await decrypt(...args);
    if (answered && !closed) {
      wire.close();
      closed = true;
    }
    return text;
  });
  const timers = t.mock.method(globalThis, 'setInterval');
  await board.announce();
  wire.publish(OFFER);
  await until('it is closed', () => closed);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual([told.info, timers.mock.callCount()], [null, 0]);
});

test('the identity is made once, also by two at the same time, and survives', async () => {
  assert.equal(await store.identity(), null);
  const [one, two] = await Promise.all([store.makeIdentity(), store.makeIdentity()]);
  assert.equal(one.thumb, two.thumb);
  assert.equal(one.id, one.thumb.slice(0, 22));
  assert.equal((await store.identity())!.thumb, one.thumb);
  assert.equal((await store.identity())!.secret.extractable, false);
});

test('paired boards are kept by broker, root and device, and listed with the newest first', async () => {
  await store.keep(record());
  await store.keep(record({ broker: 'wss://other.example/mqtt', since: 3 }));
  await store.keep(record({ device: 'garden', since: 2 }));
  assert.deepEqual((await store.devices()).map(({ since }) => since), [3, 2, 1]);
  assert.equal((await store.find(placeOf(record())))!.since, 1);
  await store.forget(record());
  assert.deepEqual((await store.devices()).map(({ device }) => device), ['garden'], 'forgotten at all brokers');
});

test('what keeps a page from having keys is named', () => {
  const { crypto: real, indexedDB: kept } = globalThis;
  const put = (name: string, value: unknown) =>
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  assert.equal(store.obstacle, null);
  put('indexedDB', undefined);
  assert.equal(store.obstacle, 'no_store');
  put('crypto', { getRandomValues: real.getRandomValues.bind(real) }); // as on plain HTTP
  assert.equal(store.obstacle, 'insecure');
  put('crypto', real);
  put('indexedDB', kept);
});

// --- A paired board

test('a paired board gets sealed messages only, and its sealed answers are read', async () => {
  await paired();
  board.answer = ({ viewer, body }) =>
    board.say(viewer, { v: 1, type: 'pong', n: 7, session: body['session'], seq: 0 });
  const { wire, told } = view();
  wire.publish(OFFER); // before anything is known
  await board.announce();
  await until('the answer', () => told.received.length);
  assert.deepEqual(told.received[0], { session: SESSION, seq: 0, body: { type: 'pong', n: 7 } });
  const { id, thumb } = (await store.identity())!;
  assert.deepEqual(heard('offer').map(({ body }) => body['sdp']), ['v=0']);
  assert.equal(heard('offer')[0]!.header['kid'], thumb);
  assert.deepEqual([...new Set(broker.sent.map((it) => it.topic))], [topic(`req/${id}`)]);
  assert.ok(broker.sent.every(({ payload }) => payload.startsWith('eyJ') && !payload.includes('v=0')));
  assert.equal(told.sealed, true);
  assert.deepEqual(told.bars, []);
});

test('names, condition and rights come with the sealed welcome, and the name is kept', async () => {
  await paired();
  const { told } = view();
  await board.announce();
  await until('the name', () => told.info);
  assert.deepEqual(told.info, {
    name: 'Front porch', hasVideo: true, hasAudio: false, features: [], talk: false, rights: ['view', 'listen'],
  });
  const last = told.status.at(-1)!;
  assert.ok(last.state === 'online');
  assert.deepEqual([last.viewers, last.maxViewers, last.version], [1, 8, '0.1.0']);
  await until('the kept name', () => heard('hello').length === 1);
  const kept = () => store.find(placeOf(record()));
  while ((await kept())!.name !== 'Front porch');
  assert.deepEqual((await store.find(placeOf(record())))!.rights, ['view', 'listen']);
  await board.newNonce();
  await until('the next status', () => told.status.length > 2);
  assert.equal((told.status.at(-1) as { viewers: number }).viewers, 1, 'it stays known');
  assert.equal(heard('hello').length, 1, 'asked once for each start of the daemon');
});

test('each message has the newest nonce', async () => {
  await paired();
  const { wire, told } = view();
  await board.announce();
  await until('the welcome', () => told.info);
  await board.newNonce();
  await until('the next status', () => told.status.length > 2);
  wire.publish(OFFER);
  await until('the offer', () => heard('offer').length);
  assert.equal(heard('offer')[0]!.header['nonce'], board.nonce);
});

test('what a session could not send before it ended is not sent later', async () => {
  await paired();
  const { wire, told } = view();
  wire.publish(OFFER);
  wire.drop();
  await board.announce();
  await until('the welcome', () => told.info);
  assert.deepEqual(heard('offer'), []);
});

const hostile: [string, () => Promise<string>][] = [
  ['plain JSON', async () => board.statusJson()],
  ['plain JSON, offline', async () => JSON.stringify({ v: 1, state: 'offline', reason: 'lost', epoch: 'x', conn: 1 })],
  ['signed with another key', async () => {
    const other = await makeKey('sign');
    return signText(other, { typ: 'fanlight-status', kid: other.thumb }, board.statusJson());
  }],
];
for (const [what, status] of hostile) {
  test(`a paired board whose status is ${what} is reported and not spoken to; the true one is again`, async () => {
    await paired();
    const { wire, told } = view();
    broker.say(topic('info'), JSON.stringify({ v: 1, device: 'porch', name: 'Trust me', auth: 'broker' }), true);
    broker.say(topic('status'), await status(), true);
    wire.publish(OFFER);
    await until('the report', () => told.bars.length);
    assert.deepEqual([told.bars, told.status, told.info, broker.sent], [['wrong_board'], [], null, []]);
    await board.announce();
    await until('the true board', () => heard('offer').length);
    assert.deepEqual(told.bars, ['wrong_board', null]);
  });
}

test('after a false board was there, the true one has its name again', async () => {
  await paired();
  const { told } = view();
  await board.announce();
  await until('the name', () => told.info);
  broker.say(topic('status'), board.statusJson(), true);
  await until('the report', () => told.bars.length);
  assert.equal(told.info, null);
  await board.announce();
  await until('the name again', () => told.info);
  assert.equal(told.info!.name, 'Front porch');
});

test('a status that only claims the key of the paired board changes nothing', async () => {
  await paired();
  const { told } = view();
  const other = await makeKey('sign');
  const forged = await signText(other, { typ: 'fanlight-status', kid: board.identity.thumb }, board.statusJson());
  for (const it of [forged, `${forged.slice(0, -2)}AA`, 'eyJ', 'not a status']) broker.say(topic('status'), it, true);
  await until('all were dropped', () => told.unusable === 4);
  assert.deepEqual([told.status, told.bars], [[], []]);
});

test('replies in plain, to another session of hello, of another board, or to the login are not heard', async () => {
  await paired();
  const { told } = view();
  await board.announce();
  await until('the welcome', () => told.info);
  const { id } = (await store.identity())!;
  const pong = { v: 1, type: 'pong', n: 1, session: SESSION, seq: 0 };
  const other = await makeKey('sign');
  const before = told.unusable;
  const welcome = { v: 1, type: 'welcome', session: SESSION, nonce: 'x', rights: [], info: { v: 1, name: 'No' } };
  for (const [to, payload] of [
    [id, JSON.stringify(pong)], ['anna', JSON.stringify(pong)], [id, await board.replyText(id, welcome)],
    [id, await board.replyText(id, pong, {}, other)], [id, await board.replyText(id, pong, { to: 'anna' })],
    ['anna', await board.replyText(id, pong)],
  ] as const)
    broker.say(topic(`rsp/${to}`), payload, false);
  await until('all were dropped', () => told.unusable === before + 6);
  assert.deepEqual([told.received, told.info!.name], [[], 'Front porch']);
});

test('a recorded answer of an earlier page cannot be opened', async () => {
  await paired();
  const { told } = view();
  await board.announce();
  await until('the welcome', () => told.info);
  const { id } = (await store.identity())!;
  const before = told.unusable;
  const pong = { v: 1, type: 'pong', n: 1, session: SESSION, seq: 0 };
  const { point } = await makeKey('seal');
  broker.say(topic(`rsp/${id}`), await board.replyText(id, pong, {}, board.identity, point), false);
  await until('it was dropped', () => told.unusable === before + 1);
  assert.deepEqual(told.received, []);
});

test('an old status that comes again looks like no new start; a new start is confirmed by the board', async () => {
  await paired();
  const { told } = view();
  await board.announce();
  await until('the welcome', () => told.info);
  const before = told.status.length;
  broker.say(topic('status'), await board.statusText({ epoch: 'earlier', seal: (await makeKey('seal')).point }), true);
  await until('a hello to the old start', () => broker.sent.length === 2);
  await until('it is dropped', () => board.dropped.length);
  assert.equal(told.status.length, before);
  board.epoch = 'later';
  await board.announce();
  await until('the new start', () => told.status.length > before);
  assert.equal(told.status.at(-1)!.epoch, 'later');
});

test('more messages than a page can check are dropped', async () => {
  await paired();
  const { told } = view();
  for (let i = 0; i < 500; i++) broker.say(topic('status'), 'eyJ', false);
  assert.ok(told.unusable > 400, String(told.unusable));
  await board.announce();
  await until('the next status', () => told.unusable >= 499);
});

// --- Events

const event = (session: unknown, n: number, more: Json = {}) =>
  ({ v: 1, type: 'event', n, kind: 'start', viewer: 'axfR8uEsQkf4vOblY6RA8n', name: 'Bert', session, ...more });
/** A viewer with these rights that was welcomed, and the session in which it asked for events, if it did. */
async function informed(rights: string[]) {
  await paired();
  board.rights = rights;
  const it = view();
  await board.announce();
  await until('the welcome', () => it.told.info);
  const { id } = (await store.identity())!;
  if (rights.includes('events')) await until('the question', () => heard('hello').length === 2);
  return { ...it, id, session: heard('hello')[1]?.body['session'] };
}

test('a browser with the right asks for events, and tells each once', async () => {
  const { told, id, session } = await informed(['view', 'events']);
  assert.deepEqual(heard('hello').map(({ body }) => body['events']), [undefined, true]);
  assert.notEqual(session, heard('hello')[0]!.body['session']);
  const end = {
    kind: 'end', at: 1767225600, name: '\u202eAnna', rights: ['view'], route: 'host-srflx udp', bytes: 7, seconds: 61,
    reason: 'bye',
  };
  await board.say(id, event(session, 4, { viewer: id, ...end }));
  await board.say(id, event(session, 9, { left_out: 3, rights: null }));
  await until('both', () => told.events.length === 2);
  assert.deepEqual(told.events[0], {
    kind: 'end', at: 1767225600000, viewer: id, name: 'Anna', self: true, rights: ['view'], token: null,
    route: 'host-srflx udp', bytes: 7, seconds: 61, reason: 'bye', change: null, leftOut: null,
  });
  assert.deepEqual([told.events[1]!.self, told.events[1]!.leftOut, told.events[1]!.rights], [false, 3, null]);
  assert.deepEqual(told.received, []);
});

test('an event that comes again, too late, for another page, or that is none is ignored', async () => {
  const { told, id, session } = await informed(['view', 'events']);
  await board.say(id, event(session, 4));
  await until('the first', () => told.events.length === 1);
  const before = told.unusable;
  const wrong = [
    event(session, 4), event(session, 3), event(SESSION, 5), event(heard('hello')[0]!.body['session'], 5),
    event(session, -1), event(session, 5, { kind: 'party' }), event(session, 5, { rights: 'all' }),
  ];
  for (const it of wrong) await board.say(id, it);
  await until('all were dropped', () => told.unusable === before + wrong.length);
  await board.say(id, event(session, 6));
  await until('the next', () => told.events.length === 2);
});

test('a browser without the right neither asks nor listens', async () => {
  const { told, id } = await informed(['view', 'listen']);
  const before = told.unusable;
  await board.say(id, event(heard('hello')[0]!.body['session'], 1));
  await until('it was dropped', () => told.unusable === before + 1);
  assert.deepEqual([told.events, heard('hello').length], [[], 1]);
});

test('what a board refuses of events concerns no call; a new start of the board is asked again', async () => {
  const { told, id, session } = await informed(['view', 'events']);
  const error = { v: 1, type: 'error', code: 403, name: 'forbidden', message: 'no', session };
  await board.say(id, error);
  const before = told.unusable;
  await board.say(id, event(session, 1));
  await until('nothing is expected any more', () => told.unusable === before + 1);
  assert.deepEqual(told.received, []);
  board.epoch = 'later';
  await board.announce();
  await until('both questions again', () => heard('hello').length === 4);
  await board.say(id, event(heard('hello')[3]!.body['session'], 0));
  await until('its first event', () => told.events.length === 1);
});

/** Runs the timers of what `make` starts by hand. */
async function byHand<T>(make: () => Promise<T>): Promise<{ made: T; tick: () => void }> {
  const ticks: (() => void)[] = [];
  const { setInterval: real } = globalThis;
  globalThis.setInterval = ((run: () => void) => { ticks.push(run); }) as never;
  try {
    return { made: await make(), tick: () => ticks.forEach((run) => run()) };
  } finally {
    globalThis.setInterval = real;
  }
}

test('a right that the owner gives, takes and gives again is followed without a reload', async () => {
  const { made: { told, id }, tick } = await byHand(() => informed(['view']));
  const asked = () => heard('hello').map(({ body }) => body['events'] ?? false);
  tick();
  await until('the question', () => heard('hello').length === 2);
  const { session } = heard('hello')[1]!.body;
  await board.say(id, event(session, 1));
  await until('an event that it may not have was dropped', () => told.unusable === 1);
  board.rights = ['view', 'events'];
  tick();
  await until('the wish for events', () => heard('hello').length === 4);
  assert.deepEqual(asked(), [false, false, false, true]);
  await board.say(id, event(session, 2));
  await until('the first event', () => told.events.length === 1);
  assert.deepEqual((await store.devices())[0]!.rights, ['view', 'events']);
  board.rights = ['view'];
  await board.say(id, { v: 1, type: 'error', code: 403, name: 'forbidden', message: 'no', session });
  await board.say(id, event(session, 3));
  await until('no more events', () => told.unusable === 2);
  tick();
  await until('the next question', () => heard('hello').length === 5);
  board.rights = ['view', 'events'];
  tick();
  await until('the wish again', () => heard('hello').length === 7);
  assert.deepEqual(asked().slice(4), [false, false, true]);
  await board.say(id, event(session, 4));
  await until('events again', () => told.events.length === 2);
  assert.deepEqual([told.received, told.bars], [[], []]);
});

// --- A board that is not paired

test('a board that is not paired is never trusted: no name, no message', async () => {
  const { wire, told } = view();
  broker.say(topic('info'), JSON.stringify({ v: 1, device: 'porch', name: 'Trust me' }), true);
  await board.announce();
  await until('the report', () => told.bars.length);
  broker.say(topic('info'), JSON.stringify({ v: 1, device: 'porch', name: 'Trust me' }), true);
  wire.publish(OFFER);
  broker.say(topic('rsp/anna'), JSON.stringify({ v: 1, type: 'pong', n: 1, session: SESSION }), false);
  await until('the reply was dropped', () => told.unusable);
  assert.deepEqual([told.bars, told.status, told.info, told.received], [['not_paired'], [], null, []]);
});

test('a board in the mode broker is spoken to in plain JSON, as ever', async () => {
  const { wire, told } = view();
  wire.publish(OFFER);
  broker.say(topic('info'), JSON.stringify({ v: 1, device: 'porch', name: 'Porch' }), true);
  broker.say(topic('status'), JSON.stringify({ v: 1, state: 'online', epoch: 'x', conn: 1, auth: 'broker' }), true);
  broker.say(topic('rsp/anna'), JSON.stringify({ v: 1, type: 'pong', n: 1, session: SESSION }), false);
  await until('the reply', () => told.received.length);
  assert.deepEqual(broker.sent, [{ topic: topic('req/anna'), payload: OFFER }]);
  assert.equal(told.info!.name, 'Porch');
  assert.deepEqual([told.bars, told.unusable, told.sealed], [[], 0, false]);
});

test('the board of an opened link is never spoken to in plain JSON, and nothing plain is believed', async () => {
  // What was opened is known for as long as the page lives, so this board has an id of its own.
  board = await FakeBoard.make(broker.say, 'invited');
  expectDevice(invitationOf(board.invite(broker.url.href))!);
  const { wire, told } = view();
  wire.publish(OFFER);
  broker.say(topic('info'), JSON.stringify({ v: 1, device: 'invited', name: 'Trust me' }), true);
  broker.say(topic('status'), JSON.stringify({ v: 1, state: 'online', epoch: 'x', conn: 1, auth: 'broker' }), true);
  broker.say(topic('rsp/anna'), JSON.stringify({ v: 1, type: 'pong', n: 1, session: SESSION }), false);
  await until('the reply was dropped', () => told.unusable);
  assert.deepEqual([told.bars, told.status, told.info, told.received], [['not_paired'], [], null, []]);
  assert.deepEqual(broker.sent.filter(({ topic: it }) => it.includes('/req/')), []);
  const doorman = new Doorman(broker.url.href, ROOT, () => {});
  open.push(() => doorman.close());
  const plain = utf8(JSON.stringify({ v: 1, state: 'online', epoch: 'x', conn: 1, auth: 'broker' }));
  assert.equal(await doorman.status('invited', plain), 'not_paired');
});

test('a page for paired cameras only says and believes nothing plain, also without any key', async () => {
  const { wire, told } = view(true);
  wire.publish(OFFER);
  broker.say(topic('info'), JSON.stringify({ v: 1, device: 'porch', name: 'Trust me' }), true);
  const plain = JSON.stringify({ v: 1, state: 'online', epoch: 'x', conn: 1, auth: 'broker' });
  broker.say(topic('status'), plain, true);
  broker.say(topic('rsp/anna'), JSON.stringify({ v: 1, type: 'pong', n: 1, session: SESSION }), false);
  await until('the reply was dropped', () => told.unusable);
  assert.deepEqual([told.bars, told.status, told.info, told.received, broker.sent], [['not_paired'], [], null, [], []]);
  const doorman = new Doorman(broker.url.href, ROOT, () => {}, true);
  open.push(() => doorman.close());
  assert.equal(await doorman.status('porch', utf8(plain)), 'not_paired');
  // As soon as it is paired, it is spoken to, and after that never in plain JSON again.
  await paired();
  await board.announce();
  await until('the welcome', () => told.info);
  await store.forget(record());
  await until('the last report', () => told.bars.length > 3);
  // In between, the plain status does not belong to the board that was paired.
  assert.deepEqual(told.bars, ['not_paired', 'wrong_board', null, 'not_paired']);
  wire.publish(OFFER);
  broker.say(topic('rsp/anna'), JSON.stringify({ v: 1, type: 'pong', n: 1, session: SESSION }), false);
  await until('the reply was dropped', () => told.unusable > 1);
  assert.ok(broker.sent.every(({ payload }) => payload.startsWith('eyJ')));
});

for (const keys of [false, true]) {
  test(`a paired board is recognised at another broker by its signature${keys ? ' (keys only)' : ''}`, async () => {
    const { point, thumb } = await store.makeIdentity();
    board.admit(point, thumb);
    await store.keep(record({ broker: 'wss://before.example/mqtt' }));
    const { told } = view(keys);
    const doorman = new Doorman(broker.url.href, ROOT, () => {}, keys);
    open.push(() => doorman.close());
    const other = await makeKey('sign');
    for (const kid of [other.thumb, board.identity.thumb]) {
      const forged = await signText(other, { typ: 'fanlight-status', kid }, board.statusJson());
      broker.say(topic('status'), forged, true);
      assert.equal(await doorman.status(board.device, utf8(forged)), 'not_paired');
    }
    assert.equal(await doorman.status('garden', utf8(await board.statusText())), 'not_paired', 'another id');
    await until('the report', () => told.bars.length);
    assert.deepEqual([(await store.devices()).length, broker.sent], [1, []]);
    await board.announce();
    await until('the name', () => told.info);
    assert.equal(told.bars.at(-1), null);
    assert.equal((await store.find(placeOf(record())))!.thumb, board.identity.thumb);
    await store.forget(record());
    await until('the last report', () => told.bars.at(-1) === 'not_paired');
    await board.newNonce();
    await until('it was seen', () => told.unusable || told.bars.length > 2);
    assert.deepEqual(await store.devices(), [], 'it is not recognised again');
  });
}

test('a viewer connects as soon as its board is paired, and stops when it is forgotten', async () => {
  const { wire, told } = view();
  await board.announce();
  await until('the report', () => told.bars.includes('not_paired'));
  await paired();
  await until('the name', () => told.info);
  assert.deepEqual(told.bars, ['not_paired', null]);
  await store.forget(record());
  await until('the second report', () => told.bars.length > 2);
  await until('and again by its status', () => told.bars.length > 3);
  assert.deepEqual(told.bars.slice(2), ['not_paired', 'not_paired']);
  const before = broker.sent.length;
  wire.publish(OFFER);
  assert.ok(broker.sent.slice(before).every((it) => it.topic === topic('req/anna')));
});

test('a viewer whose keys were deleted by another tab says so and is silent', async () => {
  await paired();
  const { wire, told } = view();
  await board.announce();
  await until('the welcome', () => told.info);
  await deleteKeys();
  await until('the report', () => told.bars.length);
  assert.deepEqual([told.bars[0], told.info], ['keys_lost', null]);
  const before = broker.sent.length;
  wire.publish(OFFER);
  broker.say(topic('status'), JSON.stringify({ v: 1, state: 'online', epoch: 'x', conn: 1 }), true);
  await until('the status was seen', () => told.status.length);
  assert.equal(broker.sent.length, before);
});

// --- The list

test('the list shows what paired boards sign, and names no others', async () => {
  await paired();
  await store.keep(record({ name: 'Front porch' }));
  const doorman = new Doorman(broker.url.href, ROOT, () => {});
  open.push(() => doorman.close());
  assert.deepEqual([...await doorman.names()], [['porch', 'Front porch']]);
  const other = await makeKey('sign');
  const foreign = await signText(other, { typ: 'fanlight-status', kid: other.thumb }, board.statusJson());
  const read = (device: string, it: string) => doorman.status(device, utf8(it));
  assert.equal((await read('porch', await board.statusText()) as Status).state, 'online');
  assert.equal(await read('porch', foreign), 'wrong_board');
  assert.equal(await read('porch', board.statusJson()), 'wrong_board');
  assert.equal(await read('porch', ''), null);
  await assert.rejects(read('porch', 'garbage'));
  const header = { typ: 'fanlight-status', kid: board.identity.thumb };
  await assert.rejects(read('porch', await signText(other, header, '{}')));
  assert.equal(await read('garden', await board.statusText()), 'not_paired');
  assert.equal((await read('garden', board.statusJson()) as Status).state, 'online');
});

// --- Pairing

const steps: PairStep[] = [];
async function pair(link: string, name = 'Anna’s phone', stepMs = 4000) {
  steps.length = 0;
  const it = new Exchange(broker as never, invitationOf(link, PAGE)!, await store.makeIdentity(), {
    name, lang: 'en', progress: (step) => steps.push(step),
  }, { step: stepMs, again: [stepMs / 8] });
  return it.run();
}
const failure = async (link: string, stepMs = 120) =>
  pair(link, 'x', stepMs).then(() => assert.fail('it was paired'), (error: unknown) => {
    assert.ok(error instanceof PairingError, String(error));
    return error.why;
  });

test('a link pairs this browser with its board', async () => {
  const link = board.invite(broker.url.href);
  board.until = 2_000_000_000;
  await board.announce();
  const it = await pair(link);
  const { thumb, point } = (await store.identity())!;
  assert.deepEqual({ ...it, since: 0 }, record({
    self: 'Anna’s phone', rights: ['view', 'listen'], until: 2_000_000_000_000, since: 0,
  }));
  assert.deepEqual([...board.viewers], [[thumb, 'Anna’s phone']]);
  assert.equal(heard('pair')[0]!.body['key'], point);
  assert.deepEqual(steps, ['broker', 'device', 'answer']);
  assert.ok(broker.sent.every(({ payload }) => !payload.includes(board.secret!)));
});

test('a lost answer comes again', async () => {
  const link = board.invite(broker.url.href);
  let lost = 0;
  broker.tamper = (where, payload) => (where.includes('/rsp/') && lost++ === 0 ? null : payload);
  await board.announce();
  assert.equal((await pair(link, 'x', 2000)).thumb, board.identity.thumb);
  assert.equal(heard('pair').length, 2);
});

test('a link is read as the contract writes it, and nothing else is', () => {
  const link = board.invite(broker.url.href);
  const { broker: place, root, device, thumb, secret } = invitationOf(link, PAGE)!;
  assert.deepEqual(
    [place, root, device, thumb, secret.length], [broker.url.href, ROOT, 'porch', board.identity.thumb, 16]
  );
  assert.ok(invitationOf(link.slice(link.indexOf('#')), PAGE), 'the part after # alone');
  assert.ok(invitationOf(`${link} \n`, PAGE), 'as it was copied');
  const of = (more: Json) => {
    const it = JSON.parse(atob(link.split('#p=')[1]!.replace(/-/g, '+').replace(/_/g, '/'))) as Json;
    return `#p=${btoa(JSON.stringify({ ...it, ...more })).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '')}`;
  };
  assert.ok(invitationOf(of({ more: 1 }), PAGE), 'a later version may say more');
  for (const bad of [
    '', 'https://page.example/', '#p=', '#p=AAAA', link.slice(0, -1), `${link}A`, 'x'.repeat(10_000), of({ v: 2 }),
    of({ secret: 'AAAA' }),
    of({ secret: 1 }), of({ key: 'AAAA' }), of({ device: 'a/b' }), of({ root: '+' }), of({ broker: 'https//x' }),
    of({ broker: 'ftp://x' }), of({ broker: 'wss://user:pass@x' }), of({ broker: null }),
  ])
    assert.equal(invitationOf(bad, PAGE), null, bad);
});

test('each failure of a pairing has its reason', async () => {
  const link = board.invite(broker.url.href);
  assert.equal(await failure(link), 'silent', 'nothing is announced');
  broker.say(topic('info'), await board.infoText(), true);
  assert.equal(await failure(link), 'silent', 'no status');
  broker.say(topic('status'), board.statusJson(), true);
  assert.equal(await failure(link), 'silent', 'a plain status');
  await board.announce();
  board.secret = null;
  assert.equal(await failure(link, 500), 'no_answer', 'the board is not pairing');
  board.secret = 'AAAAAAAAAAAAAAAAAAAAAA';
  assert.equal(await failure(link, 500), 'no_answer', 'another secret');
  assert.ok(board.dropped.includes('mac'));
  const other = await FakeBoard.make(broker.say);
  await other.announce();
  assert.equal(await failure(link), 'wrong_board');
  assert.deepEqual(board.viewers.size, 0);
});

test('a board that does not know the secret does not get paired', async () => {
  const link = board.invite(broker.url.href);
  await board.announce();
  const { id } = await store.makeIdentity();
  const say = board.say.bind(board);
  // It can open what is sealed to it, and sign, but its MAC is wrong: here it sends that of the viewer back.
  board.say = (viewer, body) => say(viewer, { ...body, mac: heard('pair')[0]!.body['mac'] });
  assert.equal(await failure(link, 500), 'no_answer');
  assert.ok(heard('pair').length, 'it was asked');
  assert.deepEqual([heard('pair')[0]!.viewer, await store.devices()], [id, []]);
});

test('an answer that anybody else sealed does not pair', async () => {
  const link = board.invite(broker.url.href);
  broker.say(topic('info'), await board.infoText(), true);
  broker.say(topic('status'), await board.statusText(), true);
  const mallory = await makeKey('sign');
  broker.tamper = (where, payload) => {
    if (where.includes('/req/')) void (async () => {
      const [id] = where.split('/').slice(-1);
      const forged = { v: 1, type: 'paired', name: 'x', rights: ['view'], mac: 'AAAA', session: SESSION };
      const header = { typ: 'fanlight-rsp', kid: board.identity.thumb, to: id };
      const inside = await signText(mallory, header, JSON.stringify(forged));
      broker.say(topic(`rsp/${id}`), await sealText((await makeKey('seal')).point, inside), false);
      broker.say(topic(`rsp/${id}`), JSON.stringify(forged), false);
    })();
    return where.includes('/req/') ? null : payload;
  };
  assert.equal(await failure(link, 500), 'no_answer');
});

test('a browser is called by its name and system', () => {
  for (const [agent, browser, system] of [
    ['Mozilla/5.0 (Android 14; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0', 'Firefox', 'Android'],
    [
      'Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) '
        + 'Chrome/140.0.0.0 Mobile Safari/537.36',
      'Chrome', 'Android',
    ],
    [
      'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) '
        + 'Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0',
      'Edge', 'Windows',
    ],
    [
      'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) '
        + 'Version/18.5 Mobile/15E148 Safari/604.1',
      'Safari', 'iPhone',
    ],
    [
      'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) '
        + 'Version/18.5 Safari/605.1.15',
      'Safari', 'Mac',
    ],
    ['Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0', 'Firefox', 'Linux'],
    ['curl/8', null, null],
  ] as const)
    assert.deepEqual(browserOf(agent), { browser, system });
});
