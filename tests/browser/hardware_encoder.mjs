// A part of emulated_board.test.mjs, whose board, cameras and viewers it uses: tests of the hardware encoder board/m2m,
// a memory-to-memory device of V4L2, between the kernel's camera drivers and a browser.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe } from 'node:test';
import { distance, goesForward, until } from './emulated_board.mjs';

const NODE = '/dev/video11';
const NAME = `Emulated encoder (${NODE})`;
const PROCESSOR = 'the processor (OpenH264)';
const HANGS = 'no frame encoded within 1500 ms';
const FPS = 10;

/** `world` gives what emulated_board.test.mjs has: its board, its daemon, its cameras and its viewers. */
export function encoder(world) {
  const { check, start, watch } = world;
  const lab = () => world.lab();
  const daemon = () => world.daemon();
  const parameters = '/sys/module/fanlight_m2m/parameters';
  const set = (values) =>
    lab().guest(
      Object.entries(values)
        .map(([name, value]) => `echo ${value} > ${parameters}/${name}`)
        .join(' && '),
    );
  /** What the device has seen. */
  const seen = async () => {
    const lines = (await lab().guest(`cd ${parameters} && grep . *`)).trim().split('\n');
    return Object.fromEntries(lines.map((line) => {
      const [name, value] = line.split(':');
      return [name, /^-?\d+$/.test(value) ? Number(value) : value];
    }));
  };
  const camera = (more) => ({
    source: world.nodes.packed,
    format: 'nv12',
    size: '640x480',
    fps: FPS,
    encoder: 'hardware',
    bitrate_kbps: 900,
    ...more,
  });
  const coders = () => [...daemon().output.matchAll(/video: encoded by (.*)/g)].map(([, name]) => name);
  /** When the daemon said something for the first and for the last time, in milliseconds. */
  const times = (text) =>
    daemon()
      .output.split('\n')
      .filter((line) => line.includes(text))
      .map((line) => Date.parse(line.split(' ')[0]));
  const first = (text) => times(text)[0];
  const last = (text) => times(text).at(-1);
  const shows = async (viewer) => {
    const [{ grid }] = await viewer.grids(1, 8, 4);
    assert.deepEqual(world.bars(grid), world.BARS);
  };

  describe('the hardware encoder', () => {
    before(() => lab().guest('modprobe fanlight_m2m'));
    after(() => lab().guest('rmmod fanlight_m2m'));

    check('is found by its capabilities; decoders and other codecs are not', async () => {
      await lab().guest('modprobe vicodec multiplanar=1');
      const [text, json] = [await lab().fanlight('probe'), JSON.parse(await lab().fanlight('probe --json'))];
      assert.deepEqual(json.encoders.map(({ node, driver, formats, refused }) => [node, driver, formats, refused]),
        [[NODE, 'fanlight_m2m', ['YU12', 'NV12', 'YUYV'], null]]);
      const printed = [
        /Encoders: 1\n/,
        /\/dev\/video11 \(Emulated encoder, driver fanlight_m2m, platform:fanlight_m2m\)/,
        / {2}H\.264 of YU12, NV12, YUYV/,
        / {2}controls: .*video_bitrate 25000 to 25000000/,
      ];
      assert.match(text, new RegExp(printed.map(({ source }) => source).join('\n')));
      assert.ok(json.cameras.find((c) => c.node === NODE).refused.includes('not a camera'));
      await lab().guest('rmmod vicodec');
    });

    check('encodes directly from the camera’s memory, and is open only while somebody watches', async () => {
      const before = await seen();
      await start({ video: camera({ controls: { horizontal_movement: 6 } }) });
      assert.equal((await seen()).open_now, 0);
      const viewer = await watch({ audio: false });
      const { width, height } = await viewer.moves();
      assert.deepEqual([width, height], [640, 480]);
      assert.deepEqual(coders(), [`${NAME}, which reads frames from the camera's memory`]);
      const now = await seen();
      assert.deepEqual([now.profile, now.level, now.frame_rate, now.bitrate], [66, 31, FPS, 900_000]);
      assert.equal(now.imported - before.imported, now.coded - before.coded, 'nothing was copied');
      assert.deepEqual(await daemon().devices(), [world.nodes.packed, NODE]);
      // The test card moves to the right as a whole: each picture is the first one, turned round by some columns.
      const rows = (await viewer.grids(16, 40, 4)).map(({ grid }) => grid.slice(-3 * 40));
      const shifts = rows.map((row, i) => {
        const far = Array.from({ length: 40 }, (_, c) =>
          distance(row, [...rows[0].slice(3 * (40 - c)), ...rows[0].slice(0, 3 * (40 - c))]),
        );
        const shift = far.indexOf(Math.min(...far));
        assert.ok(far[shift] < 16, `picture ${i} is the first one, turned by ${shift} columns: ${far[shift]}`);
        return shift;
      });
      assert.ok(new Set(shifts).size >= 3, `moving: ${shifts}`);

      // A keyframe is made for one who joins, and no others are.
      const [keys] = [(await seen()).keys_forced];
      const late = await watch({ audio: false });
      await late.moves();
      const made = (await seen()).keys_forced - keys;
      assert.ok(made >= 1 && made <= 3, `${made} keyframes for one more viewer`);
      await late.leave();

      // The running encoder gets the new bitrate.
      const file = path.join(lab().share, `${daemon().name}.toml`);
      fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace('bitrate_kbps = 900', 'bitrate_kbps = 400'));
      await lab().guest(`kill -HUP ${daemon().pid}`);
      await until('the encoder has the new bitrate', async () => (await seen()).bitrate === 400_000);
      assert.equal((await seen()).opened, now.opened, 'it was not opened again for that');
      await viewer.moves();
      await viewer.leave();
      await until('it is closed', async () => (await seen()).open_now === 0);
    });

    check('gets copies if something is drawn on the pictures, also with an incomplete row of macroblocks', async () => {
      const before = await seen();
      await start({ video: { source: 'test', size: '640x360', fps: FPS, encoder: 'auto', bitrate_kbps: 900 } });
      const viewer = await watch({ audio: false });
      const { width, height } = await viewer.until('the picture clock', (r) => r.delays.length > 20 && r);
      assert.deepEqual([width, height], [640, 360]);
      assert.deepEqual(coders(), [NAME]);
      // Cells of the clock are macroblocks here: each picture can be told apart from all others, and is in its place.
      goesForward(await viewer.page.evaluate((s) => window.handle(s).clocks, viewer.session));
      const now = await seen();
      assert.ok(now.coded - before.coded >= 20, `${now.coded - before.coded} coded`);
      assert.equal(now.imported, before.imported);
      await viewer.leave();
    });

    check('gets copies if it cannot read the camera’s memory', async () => {
      await set({ import_allowed: 'N' });
      await start({ video: camera({ source: world.nodes.planar }) });
      const viewer = await watch({ audio: false });
      await viewer.moves();
      await shows(viewer);
      await daemon().said('frames are copied instead');
      assert.deepEqual(coders().map((name) => name.split(',')[0]), [NAME]);
      await viewer.leave();
      await set({ import_allowed: 'Y' });
    });

    check('is restarted within three seconds when it hangs; the processor replaces it the next time', async () => {
      await start({ video: camera({ source: world.nodes.planar, encoder: 'auto' }) });
      const viewer = await watch({ audio: false });
      await viewer.moves();
      const before = await seen();
      await set({ wedges: 1 });
      await daemon().said(HANGS);
      await until('another one', () => coders().length === 2);
      const away = 1500 + last('video: encoded by') - first(HANGS);
      assert.ok(away < 3000, `${away} ms`);
      await viewer.moves();
      await shows(viewer);
      assert.equal((await seen()).opened, before.opened + 1);

      await set({ wedges: 1000 });
      await daemon().said(`encoded by ${PROCESSOR}: the hardware encoder failed`);
      await viewer.moves();
      await shows(viewer);
      assert.deepEqual(coders().map((name) => name.split(/[,:]/)[0]), [NAME, NAME, PROCESSOR]);
      assert.equal((await viewer.report()).state, 'connected');
      assert.equal((await seen()).open_now, 0);
      await set({ wedges: 0 });
      await viewer.leave();
    });

    check('is replaced when it hangs and keeps its device, and blocks nobody', async () => {
      await set({ let_go_ms: 4000 });
      await start({ video: camera({ encoder: 'auto' }) });
      const viewer = await watch({ audio: false });
      await viewer.moves();
      await set({ wedges: 1 });
      await daemon().said(`encoded by ${PROCESSOR}`);
      const away = 1500 + first(`video: encoded by ${PROCESSOR}`) - first(HANGS);
      assert.ok(away < 3000, `${away} ms`);
      await viewer.moves();
      await until('it has let go', async () => (await seen()).open_now === 0);
      await viewer.leave();
      await set({ let_go_ms: 0 });
    });

    check('is reported when it hangs on close, and a new viewer sees a picture meanwhile', async () => {
      await set({ stop_ms: 8000 });
      await start({ video: camera({ source: world.nodes.planar, encoder: 'auto', linger_s: 0 }) });
      const viewer = await watch({ audio: false });
      await viewer.moves();
      await viewer.leave();
      await daemon().said(`video: encoder: hangs in VIDIOC_STREAMOFF on ${NODE} for 5 s`);
      await daemon().said('video: off');
      const next = await watch({ audio: false });
      await next.moves();
      await shows(next);
      await next.leave();
      await set({ stop_ms: 0 });
      await until('it has let go', async () => (await seen()).open_now === 0);
    });

    check('is reported and given up when it hangs on start, and the picture comes when it answers', async () => {
      await set({ start_ms: 14_000 });
      await start({ video: camera({ source: world.nodes.planar, encoder: 'auto' }) });
      const viewer = await watch({ audio: false });
      await daemon().said(`video: hangs in VIDIOC_STREAMON on ${NODE} for 5 s`);
      await daemon().said(`video: hangs in VIDIOC_STREAMON on ${NODE} for 10 s: thread abandoned`);
      await set({ start_ms: 0 });
      await daemon().said(`video: the abandoned thread (hangs in VIDIOC_STREAMON on ${NODE}) ended`);
      await viewer.moves();
      await shows(viewer);
      await viewer.leave();
    });
  });
}
