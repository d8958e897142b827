// Rows of viewers beside each other: one dies, sleeps, comes back or lies, and the other one is measured. All lines
// are good: what the other one loses is lost by a mistake.

import { FalseFeedbackViewer, FALSE_REPORTS } from '../../tests/browser/false_feedback.mjs';
import { PUBLIC, NetworkFixture } from '../../tests/browser/network_fixture.mjs';
import { Stretch, pause } from './figures.mjs';

const SIZE = [1280, 720];
const FULL = { video: { size: SIZE.join('x'), fps: 30, bitrate_kbps: 2000 }, webrtc: { loopback: false } };
const BEFORE = 8000;

/** A witness on a good line, and its figures while nothing happens. */
const beside = (run) => NetworkFixture.within({}, async (w) => {
  await w.start(FULL);
  const witness = await w.watch(await (await w.eyes()).page());
  await run(w, witness);
});

const measure = async (viewer, ms) => {
  const stretch = await Stretch.begin(viewer);
  await pause(ms);
  const f = await stretch.end();
  const { width, height } = await viewer.report();
  return { ...f, size: `${width}x${height}`, seen: [...f.sizes, `${width}x${height}`] };
};

/** What the witness has kept. */
function kept(found, before, after, what, share = 97) {
  found.least(`frames of the other ${what}, kept`, (100 * after.decoded) / before.decoded, share, '%');
  found.is(`its size ${what}`, [...new Set(after.seen)].join(' '), SIZE.join('x'));
  found.note(`its bitrate ${what}, kept`, (100 * after.kbps) / before.kbps, '%');
}

const ghost = (found) => beside(async (w, witness) => {
  const killable = await w.killable();
  await w.watch(await killable.page());
  await pause(3000);
  const before = await measure(witness, BEFORE);
  killable.kill();
  // Until its session has ended, and a while longer.
  kept(found, before, await measure(witness, 40_000), 'after the kill');
  found.note('frames before', before.decoded, '/s');
  found.note('endings', w.endings().join(', ') || undefined);
});

const sleeper = (found) => beside(async (w, witness) => {
  const killable = await w.killable();
  const viewer = await w.watch(await killable.page());
  await pause(3000);
  const before = await measure(witness, BEFORE);
  killable.freeze();
  kept(found, before, await measure(witness, 10_000), 'while it sleeps');
  killable.thaw();
  const woken = performance.now();
  kept(found, before, await measure(witness, 6000), 'while it wakes');
  const after = await measure(viewer, 5000);
  found.least('frames of the sleeper after it, of what the other had', (100 * after.decoded) / before.decoded, 90, '%');
  found.note('measured', (performance.now() - woken) / 1000, 's after it woke');
});

const returns = (found) => beside(async (w, witness) => {
  await witness.leave();
  const killable = await w.killable();
  const first = await w.watch(await killable.page('again'));
  await pause(5000);
  const before = await measure(first, BEFORE);
  killable.kill();
  await pause(6000);
  const viewer = await w.watch(await (await w.eyes()).page('again'));
  const seen = [];
  let time = NaN;
  for (const begun = performance.now(); Number.isNaN(time) && performance.now() - begun < 40_000;) {
    const { now, width, height, video, at } = await viewer.take();
    seen.push({ now, bytes: video.bytesReceived, frames: video.framesDecoded });
    const old = seen.findLast((past) => now - past.now >= 1000);
    const one = seen.at(-1);
    const is = old && `${width}x${height}` === SIZE.join('x') &&
      (one.frames - old.frames) / (now - old.now) >= (0.9 * before.decoded) / 1000 &&
      (8 * (one.bytes - old.bytes)) / (now - old.now) >= 0.8 * before.kbps;
    // By the viewer's own clock, from the question to the beginning of that second.
    if (is) time = (old.now - at.asked) / 1000;
    else await pause(100);
  }
  found.note('first picture', viewer.first, 'ms');
  found.most('full rate, after it was asked for', time, 3, 's');
  found.note('before: received', before.kbps, 'kbit/s');
  found.note('before: frames', before.decoded, '/s');
});

const liar = (found) => beside(async (w, witness) => {
  await pause(2000);
  for (const kind of FALSE_REPORTS) {
    const before = await measure(witness, 5000);
    const viewer = await FalseFeedbackViewer.start(w.broker, 'cam', 'liar', kind, { at: [PUBLIC] });
    kept(found, before, await measure(witness, 12_000), `(${kind})`, 90);
    await viewer.close();
    await pause(1000);
  }
});

export const viewers = [
  ['ghost', 'one of two viewers is killed, without a goodbye', ghost],
  ['sleeper', 'one of two viewers is frozen for 10 s, and continues', sleeper],
  ['returns', 'a viewer that was killed comes back with the same login', returns],
  ['liar', 'one of two viewers reports what is not true, in five ways', liar],
];
