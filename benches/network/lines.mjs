// Rows of a bad line: loss, little rate, and both changing. The line is the board's; board and viewer have public
// addresses. Loss and delay are those of each way by itself: 50 ms of delay are a round trip of 100 ms.

import { BOARD, NetworkFixture, WEAK, gaps } from '../../tests/browser/network_fixture.mjs';
import { Stretch, pause } from './figures.mjs';

const SENT = 30;
/** The default of the config, made explicit: what a line has to bear. */
const FULL = { video: { size: '1280x720', fps: SENT, bitrate_kbps: 2000 } };
const GOOD = { rate: 0, delay: 0, loss: 0, buffer: 300 };

/** A board behind a bad line, and somebody who watches it. */
const watched = (settings, run) => NetworkFixture.within({ board: { ...BOARD, link: {} } }, async (w) => {
  const { link } = w.board;
  await link.both({ ...GOOD, ...settings });
  await w.start(FULL);
  const page = await (await w.eyes()).page();
  await run({ w, link, page, viewer: await w.watch(page) });
});

const settled = async (ms, viewer, link, then) => {
  await pause(ms);
  const stretch = await Stretch.begin(viewer, link);
  await then();
  return stretch.end();
};

function loss(share, least, freeze) {
  return (found) => watched({ delay: 50, loss: share }, async ({ link, viewer }) => {
    found.note('first picture', viewer.first, 'ms');
    const f = await settled(3000, viewer, link, () => pause(20_000));
    // Of those that waited for a packet together a browser shows one: decoded is what arrived.
    found.least('frames decoded', f.decoded, SENT * least, '/s');
    found.most('longest freeze', f.longest, freeze, 'ms');
    found.explain(f, ['frames decoded', 'longest freeze']);
  });
}

/** What this machine shows where nothing is in the way: rows are no better than that. */
async function good(found) {
  await watched({}, async ({ link, viewer }) => {
    found.most('first picture', viewer.first, 1000, 'ms');
    const f = await settled(3000, viewer, link, () => pause(15_000));
    found.least('frames shown', f.fps, SENT * 0.97, '/s');
    found.explain(f, ['frames shown']);
  });
}

async function step(found) {
  const line = { rate: 500_000, delay: 20 };
  await watched(line, async ({ w, link, page, viewer }) => {
    found.most('first picture through 500 kbit/s', viewer.first, 3000, 'ms');
    await viewer.leave();
    await link.both({ rate: 2_000_000 });
    const long = await w.watch(page);
    const full = await settled(10_000, long, link, () => pause(5000));
    found.note('before: received', full.kbps, 'kbit/s');
    found.note('before: frames shown', full.fps, '/s');

    const narrow = await Stretch.begin(long, link);
    await link.both({ rate: 500_000 });
    await pause(5000);
    const begun = await link.counters();
    await pause(15_000);
    const ended = await link.counters();
    const f = await narrow.end();
    found.least('frames shown', f.fps, 15, '/s');
    found.most('longest freeze', f.longest, 1000, 'ms');
    found.least('link used', 100 * 8 * (ended.up.bytes - begun.up.bytes) / (ended.at - begun.at) / 500_000, 80, '%');
    found.most('delay p95', f.p95, 500, 'ms');
    found.explain(f, ['frames shown', 'longest freeze', 'link used', 'delay p95']);

    await link.both({ rate: 2_000_000 });
    found.most('back to full rate', await back(long, full.kbps), 15, 's');
  });
}

/** Seconds until what is received in two of them is nine tenths of `kbps` again, with nine tenths of the frames. */
async function back(viewer, kbps) {
  const from = performance.now();
  const seen = [];
  while (performance.now() - from < 40_000) {
    const { now, video, audio } = await viewer.take();
    const one = { now, bytes: video.bytesReceived + audio.bytesReceived, frames: video.framesDecoded };
    seen.push(one);
    const old = seen.findLast((past) => now - past.now >= 2000);
    const grown = (key) => (one[key] - old[key]) / (now - old.now);
    if (old && 8 * grown('bytes') >= 0.9 * kbps && 1000 * grown('frames') >= 0.9 * SENT) {
      return (performance.now() - from) / 1000;
    }
    await pause(250);
  }
  return NaN;
}

async function little(found) {
  await watched({ rate: 200_000, delay: 20 }, async ({ link, viewer }) => {
    found.note('first picture', viewer.first, 'ms');
    const f = await settled(5000, viewer, link, () => pause(20_000));
    found.least('frames shown', f.fps, 5, '/s');
    found.most('sound concealed', 100 * f.concealed, 2, '%');
    found.explain(f, ['frames shown', 'sound concealed']);
  });
}

async function burst(found) {
  await watched({ delay: 20 }, async ({ link, viewer }) => {
    const f = await settled(5000, viewer, link, async () => {
      await link.both({ loss: 0.3 });
      await pause(5000);
    });
    await link.both({ loss: 0 });
    const end = (await viewer.take()).now;
    const after = await Stretch.begin(viewer, link);
    await pause(8000);
    const g = await after.end();
    const late = gaps(g.shown, end, g.now).filter(({ ms }) => ms > 150).at(-1);
    const { state } = await viewer.report();
    found.is('connection', state, 'connected');
    found.most('normal after', late ? late.end - end : 0, 3000, 'ms');
    found.note('frames shown after it', g.fps, '/s');
    found.explain(f);
  });
}

/** Three viewers on good lines, and one that comes on a bad one. The picture is small: this machine draws four. */
const weak = (found) => NetworkFixture.within({}, async (w) => {
  const far = await w.home('weak', { ...WEAK, link: {} });
  await far.link.both({ rate: 300_000, delay: 20 });
  await w.start({ video: { size: '640x360', fps: 30, bitrate_kbps: 1000 } });
  const [near, away] = [await w.eyes(), await w.eyes(far.place)];
  const others = [];
  for (let i = 0; i < 3; i += 1) others.push(await w.watch(await near.page()));
  await pause(5000);
  const measure = async (viewers, ms) => {
    const stretches = await Promise.all(viewers.map((v) => Stretch.begin(v)));
    await pause(ms);
    return Promise.all(stretches.map((s) => s.end()));
  };
  const before = await measure(others, 10_000);
  const slow = await w.watch(await away.page());
  await pause(2000);
  const [of, ...after] = await measure([slow, ...others], 15_000);
  const kept = (key) => Math.min(...after.map((f, i) => 100 * f[key] / before[i][key]));
  found.least('bitrate of the others, the least kept', kept('kbps'), 95, '%');
  found.least('frames of the others, the least kept', kept('decoded'), 99, '%');
  found.most('longest freeze of the others', Math.max(...after.map((f) => f.longest)), 300, 'ms');
  found.note('QP of the others', Math.max(...after.map((f) => f.qp)) - Math.max(...before.map((f) => f.qp)), 'more');
  found.note('first picture of the weak one', slow.first, 'ms');
  found.note('its frames shown', of.fps, '/s');
  found.note('its bitrate', of.kbps, 'kbit/s');
  found.note('its longest freeze', of.longest, 'ms');
  found.note('its sound concealed', 100 * of.concealed, '%');
});

export const lines = [
  ['good', 'nothing in the way: what this machine shows at its best', good],
  ['loss-2', '2 % loss with 50 ms of delay, each way', loss(0.02, 0.97, 300)],
  ['loss-5', '5 % loss with 50 ms of delay, each way', loss(0.05, 0.95, 500)],
  ['step-500k', '2 Mbit/s → 500 kbit/s → 2 Mbit/s, 20 ms of delay, 300 ms of buffer', step],
  ['rate-200k', '200 kbit/s, 20 ms of delay, 300 ms of buffer', little],
  ['loss-30', '30 % loss each way for 5 s, 20 ms of delay', burst],
  ['one-of-four', 'one viewer of four on 300 kbit/s', weak],
];
