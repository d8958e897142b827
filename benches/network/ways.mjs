// Rows of ways: what stands between viewer and board, the pair of candidates that comes of it, and how long it takes.

import { firewall } from '../../tests/browser/home_network.mjs';
import { nat } from '../../tests/browser/virtual_network.mjs';
import {
  BEHIND,
  BEHIND_TOO,
  BOARD,
  BOARD6,
  PUBLIC,
  PUBLIC6,
  SECOND,
  NetworkFixture,
  VIEWER,
  VIEWER6,
} from '../../tests/browser/network_fixture.mjs';
import { until } from '../../tests/browser/processes.mjs';
import { pause, quantile } from './figures.mjs';

const RUNS = 5;
const HOST = /^host-host udp$/;
// Which of both words a browser uses depends on whether a check or a message was faster.
const REFLEXIVE = /^(?!host-host|relay|.*-relay).* udp$/;
const RELAY = /^(relay-|.*-relay)/;

/** Several sessions, one after the other, each with the camera off before: time to the first picture, and the pair. */
async function sessions(found, w, page, { runs = RUNS, route, limit, servers = [] }) {
  const firsts = [], routes = [], faults = [];
  for (let run = 0; run < runs && faults.length < 2; run += 1) {
    await until('the camera is off', () => !w.daemon.threads().includes('video'));
    const viewer = await w.watch(page, { servers });
    firsts.push(viewer.first);
    if (Number.isNaN(viewer.first)) faults.push(viewer.fault ?? 'no picture');
    // A better pair may turn up after the first one.
    await pause(1000);
    routes.push(await viewer.route());
    await viewer.leave();
    await until('the daemon says how it ended', () => w.endings().length > run, 5000).catch(() => {});
  }
  found.is('pair', routes.find((one) => !route.test(one ?? '')) ?? routes[0], route);
  found.most('first picture, median', faults.length ? NaN : quantile(firsts, 0.5), limit, 'ms');
  found.note('slowest', Math.max(...firsts), 'ms');
  found.note('by the daemon', [...new Set(w.endings())].join(', '));
  if (faults.length) found.note('fault', faults.join(', '));
  if (w.warnings().length) found.note('its log', w.warnings()[0]);
}

const stunOf = (turn) => `[[webrtc.ice_servers]]\nurls = ["${turn.stun.urls[0]}"]\n`;

/**
 * NAT of one kind at the board's home and of one at the viewer's; `none`: a public address. A relay is there in any
 * case.
 */
const nats = (ofBoard, ofViewer, route, limit) => (found, { runs }) => {
  const homes = { board: ofBoard === 'none' ? BOARD : BEHIND, viewer: ofViewer === 'none' ? VIEWER : BEHIND_TOO };
  return NetworkFixture.within(homes, async (w) => {
    for (const [home, kind] of [[w.board, ofBoard], [w.viewer, ofViewer]]) {
      if (kind !== 'none') nat(home.router, 'out', kind, home.inner);
    }
    const turn = await w.turn(PUBLIC);
    await w.start({ more: stunOf(turn) + turn.config() });
    await sessions(found, w, await (await w.eyes()).page(), { runs, route, limit, servers: [turn.stun] });
  });
};

const lan = (found, { runs }) => NetworkFixture.within({ board: BEHIND, viewer: null }, async (w) => {
  nat(w.board.router, 'out', 'cone', w.board.inner);
  const other = w.ending(await w.board.join(), (place) => place.end());
  const turn = await w.turn(PUBLIC);
  await w.start({ more: stunOf(turn) + turn.config() });
  const page = await (await w.eyes(other)).page();
  await sessions(found, w, page, { runs, route: HOST, limit: 1000, servers: [turn.stun] });
});

/** A firewall before the board, and a relay that can be reached through it. The viewer's own UDP is free. */
const walled = (allow, transport, port) => (found, { runs }) => NetworkFixture.within({ port }, async (w) => {
  firewall(w.board.place, allow);
  const tls = w.tlsOf(SECOND);
  const turn = await w.turn(SECOND, { tls });
  const more = transport === 'tls' ? `ca_file = "${tls.ca}"\n` : '';
  await w.start({ more: turn.config(turn.password, { url: turn.over(transport), more }) });
  await sessions(found, w, await (await w.eyes()).page(), { runs, route: RELAY, limit: 3000, servers: [turn.stun] });
});

/** No UDP at the board, no relay, and a board that can be reached by TCP. */
const byTcp = (found, { runs }) => NetworkFixture.within({}, async (w) => {
  firewall(w.board.place, 'meta l4proto tcp');
  await w.start({ webrtc: { ice_tcp: true } });
  await sessions(found, w, await (await w.eyes()).page(), { runs, route: / tcp$/, limit: 3000 });
});

/** IPv6 in some of its states. `broken`: what is done to the homes before anybody watches. */
const six = (homes, limit, broken = () => {}) => (found, { runs }) => NetworkFixture.within(homes, async (w) => {
  broken(w);
  await w.start();
  await sessions(found, w, await (await w.eyes()).page(), { runs, route: /^(host|prflx)-(host|prflx) udp$/, limit });
});

/** Addresses and routes of IPv6 are there, and nothing comes of them. */
const mute = ({ board }) => board.place.run(['nft', '-f', '-'], `table ip6 mute {
  chain input {
    type filter hook input priority 0
    iifname "out" icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
    iifname "out" drop
  }
}\n`);

export const ways = [
  ['lan', 'viewer and board in one LAN', lan],
  ['nat-board-full', 'board behind a full cone', nats('full', 'none', REFLEXIVE, 1000)],
  ['nat-board-port', 'board behind a port restricted cone', nats('cone', 'none', REFLEXIVE, 1000)],
  ['nat-both', 'both behind port restricted cones', nats('cone', 'cone', REFLEXIVE, 1000)],
  ['nat-board-symmetric', 'board behind a symmetric NAT, viewer behind a port restricted cone',
    nats('symmetric', 'cone', RELAY, 1500)],
  ['nat-viewer-symmetric', 'viewer behind a symmetric NAT, board behind a port restricted cone',
    nats('cone', 'symmetric', RELAY, 1500)],
  ['nat-symmetric', 'both behind symmetric NATs', nats('symmetric', 'symmetric', RELAY, 1500)],
  ['udp-blocked', 'UDP blocked at the board: relay by TCP', walled('meta l4proto tcp', 'tcp')],
  ['only-443', 'all but TCP 443 blocked at the board: relay by TLS', walled('tcp dport 443', 'tls', 443)],
  ['ice-tcp', 'UDP blocked at the board, which takes ICE by TCP (`webrtc.ice_tcp`)', byTcp],
  ['ipv6-only', 'neither side has IPv4', six({ board: BOARD6, viewer: VIEWER6, at: PUBLIC6 }, 1000)],
  ['ipv4-viewer', 'a viewer with IPv4 only, a board with both', six({ board: { ...BOARD, ...BOARD6 } }, 1000)],
  ['ipv6-broken', 'both have both, and IPv6 to the board goes nowhere',
    six({ board: { ...BOARD, ...BOARD6 }, viewer: { ...VIEWER, ...VIEWER6 } }, 3000, mute)],
];
