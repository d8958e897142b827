// Viewer and board are in separate networks, with the broker, coturn and the page between them. Media finds a path.
//
//   viewer ── 203.0.113.2 ─┐                                  ┌─ 198.51.100.2 ── board
//                          ├── here: broker, page, coturn ────┤
//   viewer ── its router ──┘                                  └── its router ── board
//
// Without a router, both have public addresses, but nothing is forwarded between them.

import assert from 'node:assert/strict';
import os from 'node:os';
import { after, afterEach, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { home } from './home_network.mjs';
import { Turn, cannot, certificate, here, nat } from './virtual_network.mjs';
import { leave, open, pages, report, watch } from './fixture.mjs';
import { Broker, Child, Daemon, browser, serve, until } from './processes.mjs';

const ELSEWHERE = fileURLToPath(new URL('werift_process.mjs', import.meta.url));
const PUBLIC = '203.0.113.1';
const withoutIpv6 =
  !Object.values(os.networkInterfaces())
    .flat()
    .some(({ address }) => address.startsWith('fd77:')) && 'no IPv6 here';
const options = { skip: cannot ?? false };
let broker, site, turn, daemon, tabs = 0;

/** Chromium in a place, and pages of it. */
async function eyes(place) {
  const chromium = await browser({ enter: place.enter });
  return { chromium, page: () => open(chromium, site, broker, `tab${(tabs += 1)}`) };
}

async function start(place, settings) {
  daemon = await Daemon.start(broker, {
    place,
    video: { linger_s: 0 },
    audio: { linger_s: 0 },
    ...settings,
    webrtc: { addresses: [], loopback: false, ...settings.webrtc },
  });
}

/** Another stack than the browser's in a place: what it says when it has pictures and sound. It is gone afterwards. */
async function stranger(place, options) {
  const say = { url: broker.url, name: `werift${(tabs += 1)}`, calls: 'offer', servers: [], ...options };
  const viewer = new Child(process.execPath, [ELSEWHERE, JSON.stringify(say)], { enter: place.enter });
  try {
    return await until('pictures and sound in another stack', () => {
      const told = JSON.parse(viewer.output.trim().split('\n').at(-1));
      if (told.pictures < 60 || told.sounds < 60) throw new Error(JSON.stringify(told));
      return told;
    }, 30_000).catch((error) => {
      throw new Error(`${error.message}\n${viewer.output.slice(-1000)}\n${daemon.child.output.slice(-3000)}`);
    });
  } finally {
    await viewer.stop();
  }
}

const ended = (word) => until(`the end: ${word}`, () => daemon.child.output.includes(`: ${word}; `), 25_000);
const said = (r, type) => r.said.filter((m) => m.type === type);
/** Every candidate of the device: in its description, or after it. */
const candidates = (r) =>
  r.said.flatMap((m) => m.sdp?.match(/candidate:.*$/gm) ?? m.candidates?.map((c) => c.candidate) ?? []);
const kinds = (r) => new Set(candidates(r).map((line) => / typ (\S+)/.exec(line)[1]));

before(async () => {
  if (cannot) return;
  // The address is there before anybody is connected: cables come and go.
  here.ip(`addr replace ${PUBLIC}/32 dev lo`);
  // Tests before these may have made a router of this place.
  here.forward(false);
  broker = await Broker.start({ at: PUBLIC, tls: certificate(PUBLIC) });
  turn = await Turn.start(PUBLIC);
  site = await serve(pages, {}, PUBLIC);
});

after(async () => {
  await turn?.stop();
  await broker?.stop();
  site?.close();
});

afterEach(async () => {
  await daemon?.stop();
  daemon = undefined;
});

describe('viewer and board that cannot reach each other', () => {
  let board, viewer, look;
  before(async () => {
    if (cannot) return;
    [board, viewer] = [await home('board', { net: '198.51.100' }), await home('viewer', { net: '192.0.2' })];
    look = await eyes(viewer.place);
  });
  after(async () => {
    await look?.chromium.close();
    for (const place of [board, viewer].filter(Boolean)) place.end();
  });

  test('get ice_timeout without a relay', options, async () => {
    await start(board.place, {});
    const page = await look.page();
    const session = await page.evaluate(() => window.watch());
    const error = await until('the end', async () => said(await report(page, session), 'error')[0], 25_000);
    assert.deepEqual([error.code, error.name], [408, 'ice_timeout']);
    assert.equal((await until('bye', async () => said(await report(page, session), 'bye')[0])).reason, 'ice_timeout');
    await ended('ice_timeout');
  });

  test('connect through the relay of the board, which shows no other address', options, async () => {
    await start(board.place, { webrtc: { relay_only: true }, more: turn.config() });
    const page = await look.page();
    const { session, seen } = await watch(page, {}, daemon);
    assert.deepEqual([...kinds(seen)], ['relay']);
    assert.equal(seen.remote, PUBLIC);
    const [{ ice_servers }] = said(seen, 'answer');
    assert.deepEqual(ice_servers, [{ urls: [turn.url], username: turn.user, credential: turn.password }]);
    await leave(page, session);
    await ended('bye');
    assert.match(daemon.child.output, /: bye; relay-\w+ udp by turn:\S+, /);
  });

  test('connect through a relay that the board reaches by TCP', options, async () => {
    const url = turn.url.replace('udp', 'tcp');
    await start(board.place, { webrtc: { relay_only: true }, more: turn.config(turn.password, { url }) });
    const page = await look.page();
    const { session, seen } = await watch(page, {}, daemon);
    assert.deepEqual([...kinds(seen)], ['relay']);
    await leave(page, session);
    await ended('bye');
    assert.match(daemon.child.output, /: connected by relay-\w+ tcp by turn:\S+transport=tcp/);
    assert.match(daemon.child.output, /: bye; relay-\w+ tcp by turn:\S+, /);
  });

  test('connect through the relay of the viewer, which gets it from the board', options, async () => {
    await start(board.place, { more: turn.config() });
    const page = await look.page();
    const { session, seen } = await watch(page, { calls: 'request', relay: true }, daemon);
    assert.match(seen.route, /^relay-/);
    await leave(page, session);
    await ended('bye');
  });

  test('connect through the relay of the board, also with werift as the viewer', options, async () => {
    await start(board.place, { webrtc: { relay_only: true }, more: turn.config() });
    const { route } = await stranger(viewer.place);
    assert.match(route, /-relay$/);
    await ended('bye');
  });
});

describe('viewer and board behind NAT', () => {
  let board, viewer, look;
  before(async () => {
    if (cannot) return;
    // Here is the internet now: it knows the routers' networks, and none behind them.
    here.forward();
    [board, viewer] = [
      await home('board', { net: '198.51.100', inside: '192.168.1' }),
      await home('viewer', { net: '192.0.2', inside: '192.168.2' }),
    ];
    for (const { router } of [board, viewer]) nat(router, 'out', 'cone');
    look = await eyes(viewer.place);
  });
  after(async () => {
    await look?.chromium.close();
    for (const place of [board, viewer].filter(Boolean)) place.end();
  });

  const stun = () => `[[webrtc.ice_servers]]\nurls = ["stun:${turn.address}:${turn.port}"]\n`;
  const routers = (ofBoard, ofViewer) => {
    nat(board.router, 'out', ofBoard, board.inner);
    nat(viewer.router, 'out', ofViewer, viewer.inner);
  };

  for (const [ofBoard, ofViewer, name] of [
    ['cone', 'cone', 'two cones'],
    ['full', 'symmetric', 'a full cone and a symmetric NAT'],
  ]) {
    test(`connect with STUN alone: ${name}`, options, async () => {
      routers(ofBoard, ofViewer);
      await start(board.place, { more: stun() });
      const page = await look.page();
      const { session, seen } = await watch(page, { servers: [turn.stun] }, daemon);
      assert.deepEqual([...kinds(seen)].sort(), ['host', 'srflx']);
      assert.equal(seen.remote, board.outer);
      await leave(page, session);
      await ended('bye');
      assert.match(daemon.child.output, /: bye; \w+-(srflx|prflx) udp, /);
    });
  }

  test('continue the session after a break, because the board restarts ICE', options, async () => {
    routers('cone', 'cone');
    await start(board.place, { more: stun() });
    const page = await look.page();
    const { session } = await watch(page, { servers: [turn.stun] }, daemon);
    here.forward(false);
    const cut = await until('the device restarts ICE', async () => {
      const r = await report(page, session);
      return said(r, 'offer').some((m) => m.restart) && r;
    }, 15_000);
    here.forward();
    const isBack = async () => (await report(page, session)).frames > cut.frames + 60;
    await until('the picture is back', isBack, 25_000).catch(async (error) => {
      const { state, at, said: all } = await report(page, session);
      const brief = all.map(({ type, restart, ufrag, end, message, reason }) => ({
        type,
        restart,
        ufrag,
        end,
        message,
        reason,
      }));
      throw new Error(
        `${error.message}\n${state} ${JSON.stringify(at)}\n${JSON.stringify(brief)}\n${daemon.child.output}`,
      );
    });
    assert.ok(!said(await report(page, session), 'error').length);
    await leave(page, session);
    await ended('bye');
  });

  test('connect through a relay if both NATs are symmetric', options, async () => {
    routers('symmetric', 'symmetric');
    await start(board.place, { more: turn.config() });
    const page = await look.page();
    const { session, seen } = await watch(page, { servers: [turn.stun] }, daemon);
    assert.equal(seen.remote, PUBLIC, 'the relay of the board');
    await leave(page, session);
    await ended('bye');
    assert.match(daemon.child.output, /: bye; relay-\w+ udp by turn:\S+, /);
  });

  const relay = () => ({ urls: [turn.url], username: turn.user, credential: turn.password });
  for (const [kind, servers, pair, what] of [
    ['cone', () => [turn.stun], /^(srflx|prflx|host)-(srflx|prflx)$/, 'connect with STUN alone: two cones'],
    ['symmetric', () => [turn.stun, relay()], /^(relay-(srflx|prflx|host|relay)|\w+-relay)$/,
      'connect through a relay if both NATs are symmetric'],
  ]) {
    test(`${what}, also with werift as the viewer`, options, async () => {
      routers(kind, kind);
      await start(board.place, { more: kind === 'cone' ? stun() : turn.config() });
      const { route } = await stranger(viewer.place, {
        servers: servers(),
        calls: kind === 'cone' ? 'offer' : 'request',
      });
      assert.match(route, pair);
      await ended('bye');
      assert.match(daemon.child.output, kind === 'cone' ? /: bye; \w+-(srflx|prflx) udp, / : /: bye; .*relay.* udp/);
    });
  }

  test('connect although the TURN password is wrong, which is one warning in the log', options, async () => {
    routers('cone', 'cone');
    await start(board.place, { more: stun() + turn.config('wrong') });
    const page = await look.page();
    const { session, seen } = await watch(page, { servers: [turn.stun] }, daemon);
    assert.equal(seen.remote, board.outer);
    const lines = () => daemon.child.output.split('\n').filter((line) => /WARN|ERROR/.test(line));
    await until('the sentence', () => lines().length);
    assert.match(
      lines()[0],
      new RegExp(`WARN +no relay from ${turn.url.replace('?', '\\?')}: it refuses the user or the password`),
    );
    await leave(page, session);
    await ended('bye');
    assert.equal(lines().length, 1, daemon.child.output);
  });
});

describe('viewer and board on one network', () => {
  test('connect with IPv6 alone', { skip: cannot ?? withoutIpv6 }, async () => {
    const own = await Broker.start();
    const [page6, chromium] = [await serve(pages), await browser()];
    daemon = await Daemon.start(own, { webrtc: { addresses: [], ipv4: false } });
    const page = await open(chromium, page6, own, 'six');
    const { session, seen } = await watch(page, {}, daemon);
    assert.match(seen.remote, /:/);
    assert.ok(candidates(seen).every((line) => line.split(' ')[4].includes(':')));
    await leave(page, session);
    await chromium.close();
    page6.close();
    await own.stop();
  });
});
