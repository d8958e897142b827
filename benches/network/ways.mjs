// Rows of ways: what stands between viewer and board, the pair of candidates that comes of it, and how long it takes.

import { firewall } from '../../tests/browser/home.mjs';
import { nat } from '../../tests/browser/net.mjs';
import { until } from '../../tests/browser/world.mjs';
import { quantile } from './figures.mjs';
import { BOARD, BOARD6, PUBLIC, PUBLIC6, SECOND, VIEWER, VIEWER6, World } from './world.mjs';

const RUNS = 5;
const HOST = /^host-host udp$/;
// Which of both words a browser uses depends on whether a check or a message was faster.
const REFLEXIVE = /^(?!host-host|relay|.*-relay).* udp$/;
const RELAY = /^(relay-|.*-relay)/;
const BEHIND = { ...BOARD, inside: '192.168.1' }, BEHIND_TOO = { ...VIEWER, inside: '192.168.2' };

/** Several sessions, one after the other, each with the camera off before: time to the first picture, and the pair. */
async function sessions(found, w, page, { runs = RUNS, route, limit, options = {} }) {
  const firsts = [], routes = [], faults = [];
  for (let run = 0; run < runs; run += 1) {
    await until('the camera is off', () => !w.daemon.threads().includes('video'));
    const viewer = await w.watch(page, options);
    firsts.push(viewer.first);
    routes.push(await viewer.route());
    if (Number.isNaN(viewer.first)) faults.push(viewer.fault ?? 'no picture');
    await viewer.leave();
    if (faults.length > 1) break;
  }
  const odd = routes.find((one) => !route.test(one ?? ''));
  found.is('pair', odd ?? routes[0] ?? undefined, route);
  found.most('first picture, median', faults.length ? NaN : quantile(firsts, 0.5), limit, 'ms');
  found.note('slowest', Math.max(...firsts), 'ms');
  if (faults.length) found.note('fault', faults.join(', '));
  await until('the daemon says how it ended', () => w.endings().length, 5000).catch(() => {});
  found.note('by the daemon', w.endings().at(-1));
  if (w.warnings().length) found.note('its log', w.warnings()[0]);
}

const stunOf = (turn) => `[[webrtc.ice_servers]]\nurls = ["${turn.stun.urls[0]}"]\n`;

/** NAT of one kind at the board's home and of one at the viewer's; `none`: a public address. */
function nats(ofBoard, ofViewer, route, limit) {
  return async (found, { runs } = {}) => {
    const w = await World.make({ board: ofBoard === 'none' ? BOARD : BEHIND, viewer: ofViewer === 'none' ? VIEWER : BEHIND_TOO });
    try {
      for (const [home, kind] of [[w.board, ofBoard], [w.viewer, ofViewer]]) if (kind !== 'none') nat(home.router, 'out', kind, home.inner);
      const turn = await w.turn(PUBLIC);
      await w.start({ more: stunOf(turn) + turn.config() });
      await sessions(found, w, await (await w.eyes()).page(), { runs, route, limit, options: { servers: [turn.stun] } });
    } finally {
      await w.end();
    }
  };
}

async function lan(found, { runs } = {}) {
  const w = await World.make({ board: BEHIND, viewer: null });
  try {
    nat(w.board.router, 'out', 'cone', w.board.inner);
    const other = w.ending(await w.board.join(), (place) => place.end());
    const turn = await w.turn(PUBLIC);
    await w.start({ more: stunOf(turn) + turn.config() });
    await sessions(found, w, await (await w.eyes(other)).page(), { runs, route: HOST, limit: 1000, options: { servers: [turn.stun] } });
  } finally {
    await w.end();
  }
}

/** A firewall before the board, and a relay that can be reached through it. The viewer's own UDP is free. */
function walled(allow, transport, port) {
  return async (found, { runs } = {}) => {
    const w = await World.make({ port });
    try {
      firewall(w.board.place, allow);
      const turn = await w.turn(SECOND, { tls: w.tlsOf(SECOND) });
      const more = transport === 'tls' ? `ca_file = "${w.tlsOf(SECOND).ca}"\n` : '';
      await w.start({ more: turn.config(turn.password, { url: turn.over(transport), more }) });
      await sessions(found, w, await (await w.eyes()).page(), { runs, route: RELAY, limit: 3000, options: { servers: [turn.stun] } });
    } finally {
      await w.end();
    }
  };
}

/** IPv6 in some of its states. `break`: what is done to the homes before anybody watches. */
function six({ board, viewer, at, limit, broken = () => {} }) {
  return async (found, { runs } = {}) => {
    const w = await World.make({ board, viewer, at });
    try {
      broken(w);
      await w.start();
      const page = await (await w.eyes()).page();
      await sessions(found, w, page, { runs, route: /^(host|prflx)-(host|prflx) udp$/, limit });
    } finally {
      await w.end();
    }
  };
}

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
  ['nat-board-symmetric', 'board behind a symmetric NAT, viewer behind a port restricted cone', nats('symmetric', 'cone', RELAY, 1500)],
  ['nat-viewer-symmetric', 'viewer behind a symmetric NAT, board behind a port restricted cone', nats('cone', 'symmetric', RELAY, 1500)],
  ['nat-symmetric', 'both behind symmetric NATs', nats('symmetric', 'symmetric', RELAY, 1500)],
  ['udp-blocked', 'UDP blocked at the board: relay by TCP', walled('meta l4proto tcp', 'tcp')],
  ['only-443', 'all but TCP 443 blocked at the board: relay by TLS', walled('tcp dport 443', 'tls', 443)],
  ['ipv6-only', 'neither side has IPv4', six({ board: BOARD6, viewer: VIEWER6, at: PUBLIC6, limit: 1000 })],
  ['ipv4-viewer', 'a viewer with IPv4 only, a board with both', six({ board: { ...BOARD, ...BOARD6 }, viewer: VIEWER, limit: 1000 })],
  ['ipv6-broken', 'both have both, and IPv6 to the board goes nowhere',
    six({ board: { ...BOARD, ...BOARD6 }, viewer: { ...VIEWER, ...VIEWER6 }, limit: 3000, broken: mute })],
];
