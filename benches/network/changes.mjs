// Rows of changes in a session: the relay dies, logins end, the board moves, its link goes and comes, a NAT forgets.
// "Back" is the time from the change to the end of the freeze that it made.

import { rebind } from '../../tests/browser/home.mjs';
import { nat } from '../../tests/browser/net.mjs';
import { BEHIND, BEHIND_TOO, PUBLIC, SECOND, Situation, back } from '../../tests/browser/situation.mjs';
import { Stretch, pause, quantile } from './figures.mjs';

const RUNS = 20;
const { within } = Situation;

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
  found.most('picture back, p95', times.length + lost ? quantile([...times, ...Array(lost).fill(Infinity)], 0.95) : NaN, limit, 'ms');
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

/** One home's NAT forgets all its mappings and gives out others. */
const forgotten = (side) => (found, { runs = 5 }) => within({ board: BEHIND, viewer: BEHIND_TOO }, async (w) => {
  for (const { router, inner } of [w.board, w.viewer]) nat(router, 'out', 'cone', inner);
  const turn = await w.turn(PUBLIC);
  await w.start({ more: `[[webrtc.ice_servers]]\nurls = ["${turn.stun.urls[0]}"]\n` });
  await rounds(found, w, { runs, limit: 3000, servers: [turn.stun], change: (run) => rebind(w[side].router, 30_000 + 1000 * run) });
});

const killed = (found) => within({ board: BEHIND, viewer: BEHIND_TOO }, async (w) => {
  relayOnly(w);
  const turns = [await w.turn(PUBLIC), await w.turn(SECOND)];
  await w.start({ more: turns.map((turn) => turn.config()).join('') });
  const viewer = await w.watch(await (await w.eyes()).page(), { servers: [turns[0].stun] });
  found.note('first picture', viewer.first, 'ms');
  const { remote } = await viewer.report();
  const used = turns.find(({ address }) => address === remote);
  if (!used) throw new Error(`the pair has none of the relays: ${await viewer.route()}, ${remote}`);
  const since = await viewer.now();
  await used.child.stop('SIGKILL');
  found.most('picture back', (await back(viewer, since)) ?? NaN, 8000, 'ms');
  const { remote: now } = await viewer.report();
  found.note('relay before', remote);
  found.note('relay after', now);
});

/** `minutes` may be shorter for a look. */
const expired = (found, { runs: minutes = 5 }) => within({ board: BEHIND, viewer: BEHIND_TOO }, async (w) => {
  relayOnly(w);
  const turn = await w.turn(PUBLIC, { secret: 'a secret of tests' });
  const { user, password } = turn.login(60);
  await w.start({ more: turn.config(password, { user }) });
  const viewer = await w.watch(await (await w.eyes()).page());
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
  const viewer = await w.watch(await (await w.eyes()).page());
  found.is('the viewer is told', viewer.fault, 'ice_timeout');
  found.is('the log says', w.warnings()[0], /check .*user and password/);
});

export const changes = [
  ['turn-killed', 'the TURN server in use is killed, a second one is there; symmetric NATs', killed],
  ['turn-expiry', 'a TURN login that ends after 60 s, in a session of 5 min; symmetric NATs', expired],
  ['turn-wrong', 'a wrong TURN password; symmetric NATs', wrong],
  ['board-moves', 'the board gets another address, 20 times', moved],
  ['link-bounces', 'the board\'s link is down for 5 s, 20 times', bounced],
  ['rebind-board', 'the board\'s NAT forgets its mappings', forgotten('board')],
  ['rebind-viewer', 'the viewer\'s NAT forgets its mappings', forgotten('viewer')],
];
