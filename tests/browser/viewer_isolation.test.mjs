// A viewer that dies, freezes or sends false feedback does not disturb the others.
// Alone: each test counts the pictures of a viewer that others disturb.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FalseFeedbackViewer, FALSE_REPORTS } from './false_feedback.mjs';
import { KillableBrowser } from './killable_browser.mjs';
import { open, report, fixture } from './fixture.mjs';
import { Viewer, units } from './werift_viewer.mjs';
import { until } from './processes.mjs';

const s = fixture({ video: { size: '640x360', bitrate_kbps: 1000 } });
const SIZE = '640x360';
const seconds = (n) => new Promise((done) => setTimeout(done, 1000 * n));

/** What a viewer receives until `wait` is over: frames and bits per second, and all sizes of the picture. */
async function stretch(page, session, wait) {
  const take = () => page.evaluate((id) => window.take(id), session);
  const before = await take();
  await wait;
  const after = await take();
  const per = (key) => (1000 * (after.video[key] - before.video[key])) / (after.now - before.now);
  return {
    frames: per('framesDecoded'),
    bits: 8 * per('bytesReceived'),
    sizes: [...after.sizes, `${after.width}x${after.height}`],
  };
}

/** Checks that a viewer still gets everything. A busy machine may decode fewer frames, but not much fewer. */
function whole(now, before, what) {
  assert.ok(now.sizes.every((size) => size === SIZE), `${what}: sizes ${now.sizes}`);
  assert.ok(now.frames > 0.7 * before.frames, `${what}: ${now.frames} frames/s, ${before.frames} before`);
  assert.ok(now.bits > 0.6 * before.bits, `${what}: ${now.bits} bit/s, ${before.bits} before`);
}

/** A viewer that has received the full picture for a while, so its bandwidth estimate is settled. */
async function settled(viewer) {
  const page = await s.tab(viewer);
  const { session } = await s.watch(page);
  await until('the full picture', async () => {
    const { frames, width } = await report(page, session);
    return frames > 60 && width === 640;
  });
  return { page, session };
}

test('a killed viewer does not disturb the other one, and gets the full picture when it returns', async () => {
  const { page, session } = await settled('witness');
  const own = await KillableBrowser.start();
  const victim = await open(own, s.site, s.broker, 'victim');
  await s.watch(victim);
  const before = await stretch(page, session, seconds(4));
  own.kill();
  // Long enough for its estimate to fall to zero, and shorter than its session lasts.
  whole(await stretch(page, session, seconds(12)), before, 'after the kill');
  const again = await open(s.chromium, s.site, s.broker, 'victim');
  const back = await s.watch(again);
  whole(await stretch(again, back.session, seconds(3)), before, 'the viewer that returns');
  whole(await stretch(page, session, seconds(3)), before, 'beside the viewer that returns');
});

test('a frozen viewer does not disturb the other one, and continues when it wakes', async () => {
  const { page, session } = await settled('witness');
  const own = await KillableBrowser.start();
  try {
    const sleeper = await open(own, s.site, s.broker, 'sleeper');
    const slept = await s.watch(sleeper);
    const before = await stretch(page, session, seconds(4));
    own.freeze();
    whole(await stretch(page, session, seconds(8)), before, 'while it sleeps');
    const waking = stretch(page, session, seconds(5));
    own.thaw();
    whole(await waking, before, 'while it wakes');
    const { frames } = await report(sleeper, slept.session);
    await until('pictures continue', async () => (await report(sleeper, slept.session)).frames > frames + 30);
  } finally {
    await own.close();
  }
});

for (const kind of FALSE_REPORTS) {
  test(`false feedback of one viewer does not disturb the other one: ${kind}`, async () => {
    const { page, session } = await settled('witness');
    const before = await stretch(page, session, seconds(3));
    const viewer = await FalseFeedbackViewer.start(s.broker, 'cam', 'liar', kind);
    try {
      whole(await stretch(page, session, seconds(9)), before, kind);
    } finally {
      await viewer.close();
    }
  });
}

for (const kind of ['honest', 'broken']) {
  test(`a single viewer gets the full picture with transport feedback that is ${kind}`, async () => {
    const viewer = await FalseFeedbackViewer.start(s.broker, 'cam', kind, kind);
    try {
      const pictures = (from, to) =>
        new Set(
          viewer
            .pictures()
            .filter(({ at }) => at > from && at <= to)
            .map((p) => p.timestamp),
        ).size;
      await until('three seconds with the full picture', () => {
        const now = performance.now();
        const bits =
          viewer
            .pictures()
            .filter(({ at }) => at > now - 3000)
            .reduce((sum, { payload }) => sum + 8 * payload.length, 0) / 3;
        return pictures(now - 3000, now) > 70 && bits > 700_000;
      }, 60_000);
    } finally {
      await viewer.close();
    }
  });
}

test('a flood of keyframe requests makes one keyframe a second, and keeps the bitrate', async () => {
  const viewer = await Viewer.connect(s.broker, 'cam', 'storm');
  try {
    await viewer.offer();
    await viewer.until('a picture', () => viewer.pictures().length > 100);
    const ssrc = viewer.pictures()[0].ssrc;
    const since = performance.now();
    while (performance.now() - since < 6000) {
      for (let i = 0; i < 10; i += 1) await viewer.receiver('video').sendRtcpPLI(ssrc);
      await seconds(0.01);
    }
    // By RTP time: a busy machine delivers late what was encoded in time.
    const pictures = viewer.pictures().filter(({ at }) => at > since);
    const ticks = (pictures.at(-1).timestamp - pictures[0].timestamp + 2 ** 32) % 2 ** 32;
    const took = ticks / 90_000;
    const keys = new Set(pictures.filter((p) => units(p.payload).includes(5)).map((p) => p.timestamp)).size;
    const bits = pictures.reduce((sum, { payload }) => sum + 8 * payload.length, 0) / took;
    assert.ok(took > 2, `${took} s of pictures`);
    assert.ok(keys >= 2 && keys <= took + 2, `${keys} keyframes in ${took} s`);
    assert.ok(bits < 1.1 * 1_000_000, `${bits} bit/s`);
  } finally {
    await viewer.close();
  }
});
