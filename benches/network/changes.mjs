// Rows of changes in a session: the relay dies, logins end, the board moves, its link goes and comes, a NAT forgets.
// "Back" is the time from the change to the end of the freeze that it made.

import { rebind } from '../../tests/browser/home_network.mjs';
import { here, nat } from '../../tests/browser/virtual_network.mjs';
import {
  BEHIND,
  BEHIND_TOO,
  BOARD,
  PUBLIC,
  SECOND,
  NetworkFixture,
  VIEWER,
  back,
} from '../../tests/browser/network_fixture.mjs';
import { Stretch, pause, quantile } from './figures.mjs';

const RUNS = 20;
const { within } = NetworkFixture;

/** Symmetric NAT on both sides: nothing but a relay will do. */
function relayOnly(w) {
  for (const { router, inner } of [w.board, w.viewer]) nat(router, 'out', 'symmetric', inner);
}

/** Makes a change again and again; `change` resolves when the way is open again. */
async function rounds(found, w, { runs, limit, servers, change }) {
  const page = await (await w.eyes()).page();
  const times = [];
  let viewer = await w.watch(page, { servers }), lost = 0;
  found.note('first picture', viewer.first, 'ms');
  for (let run = 0; run < runs; run += 1) {
    // Steady before it is disturbed.
    await back(viewer, await viewer.now());
    await change(run);
    const time = await back(viewer, await viewer.now());
    if (time === undefined) {
      lost += 1;
      await viewer.leave().catch(() => {});
      viewer = await w.watch(page, { servers });
      if (Number.isNaN(viewer.first)) break;
    } else {
      times.push(time);
    }
  }
  const all = [...times, ...Array(lost).fill(Infinity)];
  found.most('picture back, p95', all.length ? quantile(all, 0.95) : NaN, limit, 'ms');
  found.most('sessions lost', lost, 0);
  found.note('median', quantile(times, 0.5), 'ms');
  found.note('times', times.length);
  found.note('endings', [...new Set(w.endings())].join(', ') || undefined);
}

const moved = (found, { runs = RUNS }) => within({}, async (w) => {
  await w.start();
  await rounds(found, w, { runs, limit: 5000, change: () => w.board.move() });
});

const bounced = (found, { runs = RUNS }) => within({}, async (w) => {
  await w.start();
  await rounds(found, w, {
    runs, limit: 5000, change: async () => {
      w.board.place.ip('link set out down');
      await pause(5000);
      w.board.place.ip('link set out up');
      w.board.route();
    },
  });
});

/**
 * The NAT of `side` forgets; the other side has a public address, or in a `strict` world a NAT that expects nobody
 * else.
 */
const forgotten = (side, strict) => (found, { runs = 5 }) => {
  const homes = {
    board: strict || side === 'board' ? BEHIND : BOARD,
    viewer: strict || side === 'viewer' ? BEHIND_TOO : VIEWER,
  };
  return within(homes, async (w) => {
    for (const { router } of [w.board, w.viewer]) if (router) rebind(router, 1);
    const turn = await w.turn(PUBLIC);
    await w.start({ more: `[[webrtc.ice_servers]]\nurls = ["${turn.stun.urls[0]}"]\n` });
    const change = (run) => rebind(w[side].router, run + 2);
    await rounds(found, w, { runs, limit: 3000, servers: [turn.stun], change });
  });
};

/** Which of these addresses media come from, for `ms`. */
async function speaker(addresses, viewer, ms = 1000) {
  const rules = addresses.map((address) => `ip saddr ${address} ip daddr ${viewer} udp sport 49152-65535 counter`);
  const chain = `chain out {\ntype filter hook output priority 0\n${rules.join('\n')}\n}`;
  here.run(['nft', '-f', '-'], `table ip speaker {\n${chain}\n}\n`);
  await pause(ms);
  const table = here.run(['nft', 'list', 'table', 'ip', 'speaker']);
  const bytes = [...table.matchAll(/bytes (\d+)/g)].map(([, n]) => Number(n));
  here.run(['nft', 'delete', 'table', 'ip', 'speaker']);
  return addresses[bytes.indexOf(Math.max(...bytes))];
}

/** Two relays, of which the one that passes on the media is killed: each side has its own mind about that. */
const killed = (found) => within({ board: BEHIND, viewer: BEHIND_TOO }, async (w) => {
  relayOnly(w);
  const turns = [await w.turn(PUBLIC), await w.turn(SECOND)];
  await w.start({ more: turns.map((turn) => turn.config()).join('') });
  const viewer = await w.watch(await (await w.eyes()).page(), { servers: turns.map((turn) => turn.stun) });
  found.note('first picture', viewer.first, 'ms');
  found.note('pair', await viewer.route());
  const used = await speaker([PUBLIC, SECOND], w.viewer.outer);
  found.note('relay of the media', used);
  found.note('relay of the viewer', (await viewer.report()).remote);
  const since = await viewer.now();
  await turns.find(({ address }) => address === used).child.stop('SIGKILL');
  found.most('picture back', (await back(viewer, since)) ?? NaN, 8000, 'ms');
  found.note('relay afterwards', await speaker([PUBLIC, SECOND], w.viewer.outer));
  const report = await viewer.report();
  found.note('ICE restarts', report.said.filter((m) => m.type === 'offer' && m.restart).length);
});

/** `minutes` may be shorter for a look. */
const expired = (found, { runs: minutes = 5 }) => within({ board: BEHIND, viewer: BEHIND_TOO }, async (w) => {
  relayOnly(w);
  const turn = await w.turn(PUBLIC, { secret: 'a secret of tests' });
  const { user, password } = turn.login(60);
  await w.start({ more: turn.config(password, { user }) });
  const viewer = await w.watch(await (await w.eyes()).page(), { servers: [turn.stun] });
  found.note('first picture', viewer.first, 'ms');
  const stretch = await Stretch.begin(viewer);
  await pause(60_000 * minutes);
  const f = await stretch.end();
  found.most('longest freeze', f.longest, 500, 'ms');
  found.is('connection', (await viewer.report()).state, 'connected');
  found.is('pair', await viewer.route(), /relay/);
  found.explain(f, ['longest freeze']);
});

const wrong = (found) => within({ board: BEHIND, viewer: BEHIND_TOO }, async (w) => {
  relayOnly(w);
  const turn = await w.turn(PUBLIC);
  await w.start({ more: turn.config('wrong') });
  const viewer = await w.watch(await (await w.eyes()).page(), { servers: [turn.stun] });
  found.is('the viewer gets the reason', viewer.fault, 'ice_timeout');
  found.is('the log says', w.warnings()[0], /refuses the user or the password/);
});

export const changes = [
  ['turn-killed', 'the TURN server in use is killed, a second one is there; symmetric NATs', killed],
  ['turn-expiry', 'a TURN login that ends after 60 s, in a session of 5 min; symmetric NATs', expired],
  ['turn-wrong', 'a wrong TURN password; symmetric NATs', wrong],
  ['board-moves', 'the board gets another address, 20 times', moved],
  ['link-bounces', 'the board\'s link is down for 5 s, 20 times', bounced],
  ['rebind-board', 'the board\'s NAT forgets its mappings; the viewer has a public address', forgotten('board')],
  ['rebind-viewer', 'the viewer\'s NAT forgets its mappings; the board has a public address', forgotten('viewer')],
  ['rebind-strict', 'the board\'s NAT forgets its mappings; the viewer\'s expects nobody else',
    forgotten('board', true)],
];
