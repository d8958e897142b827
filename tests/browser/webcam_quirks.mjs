// A part of emulated_board.test.mjs, whose board and viewers it uses: tests of a USB webcam at uvcvideo that sends
// H.264 with features that browsers cannot play, has a privacy shutter, and sends broken frames.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe } from 'node:test';
import { media, until } from './emulated_board.mjs';

const NAME = 'Odd webcam';
const FPS = 5;
/** What each size of its H.264 is. */
const [ONE_KEY, B_FRAMES, TWO_SIZES] = ['320x240', '640x480', '1280x720'];
const OPENED = 'a viewer waits for a keyframe: reopening the camera, because it starts with a keyframe';
const ASKED = /webcam: asked for its shutter/g;

/** `world` gives what emulated_board.test.mjs has: its board, its daemon, and its viewers. */
export function oddCamera(world) {
  const { check, start, watch, follows } = world;
  const lab = () => world.lab();
  const order = (word) => lab().guest(`echo ${word} > /run/odd`);
  const log = () => world.daemon().output;
  const times = (text) => log().split(text).length - 1;
  const node = async () =>
    (await lab().guest(`grep -l "${NAME}" /sys/class/video4linux/*/name || true`)).split('\n')[0].split('/')[4];
  const asked = () => lab().log('odd').match(ASKED)?.length ?? 0;
  let source;
  const video = (more) => ({ source, fps: FPS, ...more });

  /** Pictures of this size and number, coded with these options of x264; the bytes. */
  function coded(size, count, options) {
    const file = path.join(lab().share, 'made.h264');
    execFileSync('ffmpeg', ['-nostdin', '-v', 'error', '-y', '-f', 'lavfi', '-i', `testsrc2=size=${size}:rate=${FPS}`,
      '-frames:v', String(count), '-c:v', 'libx264', '-pix_fmt', 'yuv420p', '-preset', 'veryfast', '-b:v', '300k',
      '-x264-params', `scenecut=0:sliced-threads=0:slices=1:${options}`, '-f', 'h264', file]);
    return fs.readFileSync(file);
  }

  describe('a USB webcam', () => {
    before(async () => {
      const clips = {
        // Longer than anybody here waits: it never comes round to its keyframe again by itself.
        [ONE_KEY]: coded('320x240', 800, 'keyint=infinite:bframes=0'),
        [B_FRAMES]: coded('640x480', 100, 'keyint=25:bframes=2:b-adapt=0'),
        [TWO_SIZES]: Buffer.concat([
          coded('640x480', 10, 'keyint=10:bframes=0'),
          coded('320x240', 10, 'keyint=10:bframes=0'),
        ]),
      };
      const files = Object.entries(clips).map(([size, bytes]) => {
        fs.writeFileSync(path.join(lab().share, `odd-${size}.h264`), bytes);
        return `--h264 ${size}=/board/odd-${size}.h264`;
      });
      const program = path.join(world.board, 'webcam.py');
      await lab().background('odd', `python3 ${program} --name '${NAME}' --port 1 --orders /run/odd --shutter ` +
        `--mjpeg 640x480=${path.join(media, '640x480.mjpeg')} ${files.join(' ')}`);
      source = `/dev/${await until('the odd webcam', node)}`;
    });
    after(async () => {
      await order('quit');
      await until('the odd webcam is gone', async () => !(await node()));
    });

    check('that sends a single keyframe is reopened for a viewer that joins later', async () => {
      await start({ video: video({ format: 'h264', size: ONE_KEY }) });
      const first = await watch({ audio: false });
      await first.moves();
      // The camera's keyframe may have come before the first viewer's connection: then it was opened again for it, too.
      const openings = times(OPENED);
      const late = await watch({ audio: false });
      const { at, width, height } = await late.moves();
      assert.deepEqual([width, height], [320, 240]);
      assert.equal(times(OPENED), openings + 1, log());
      // 2 s, and no sooner than 5 s after the opening before, or 10 s after a second one; the rest is this board's.
      const waited = at.picture - at.connected;
      assert.ok(waited < 30_000, `it waited for ${waited} ms`);
      console.log(`the second viewer had its picture ${Math.round(waited)} ms after its connection`);
      // Who watched before sees no more of it than a moment's pause.
      await first.moves();
      assert.deepEqual((await first.told()).slice(-1), ['ok']);
      assert.ok(!(await first.told()).includes('stalled'), `${await first.told()}`);
      await first.leave();
      await late.leave();
    });

    check('that sends B-frames is reported, and gets another format if the configuration allows it', async () => {
      const sentence = 'its H.264 pictures come out of order (B-frames), which browsers cannot show smoothly';
      await start({ video: video({ format: 'h264', size: B_FRAMES }) });
      const viewer = await watch({ audio: false });
      await world.daemon().said(sentence);
      const told = await viewer.until('the word stalled', ({ said }) =>
        said.findLast((m) => m.type === 'media' && m.video === 'stalled'),
      );
      assert.match(told.video_reason, /B-frames/);
      await viewer.leave();
      await world.daemon().stop();

      await start({ video: video({ size: B_FRAMES }) });
      const other = await watch({ audio: false });
      await world.daemon().said('viewers cannot use its H.264: opening it again in another format');
      await other.moves();
      assert.ok(log().includes(sentence), log());
      assert.match(log(), /640x480 H264 at[^]*640x480 MJPG at/);
      await follows(other, path.join(media, '640x480.mjpeg'));
      assert.equal((await other.told()).at(-1), 'ok');
      await other.leave();
    });

    check('may change the size of its H.264 during a session', async () => {
      await start({ video: video({ format: 'h264', size: TWO_SIZES }) });
      const viewer = await watch({ audio: false });
      const sizes = await until('both sizes, and the first again', async () => {
        const seen = await viewer.page.evaluate((s) => window.handle(s).sizes, viewer.session);
        return seen.length >= 3 && seen;
      });
      assert.deepEqual(new Set(sizes), new Set(['640x480', '320x240']));
      assert.equal(times('opened again'), 0, log());
      await viewer.leave();
    });

    check('that reports its shutter is not polled, and viewers see when it closes and opens', async () => {
      await start({ video: video({ format: 'mjpeg', size: '640x480' }) });
      const viewer = await watch({ audio: false });
      await viewer.moves();
      const already = (await viewer.told()).length;
      await order('cover');
      await viewer.until('the word privacy', async () => (await viewer.told()).at(-1) === 'privacy');
      await world.daemon().said('its shutter is closed: privacy');
      // Some cameras send nothing then.
      await order('freeze');
      await lab().guest('sleep 4');
      await order('thaw');
      await order('uncover');
      await viewer.until('the word ok', async () => (await viewer.told()).at(-1) === 'ok');
      await world.daemon().said('its shutter is open again');
      const before = asked();
      await order('cover');
      await viewer.until('the word privacy again', async () => (await viewer.told()).at(-1) === 'privacy');
      await order('uncover');
      await viewer.until('the word ok again', async () => (await viewer.told()).at(-1) === 'ok');
      assert.deepEqual((await viewer.told()).slice(already), ['privacy', 'ok', 'privacy', 'ok']);
      assert.ok(before > 0, 'before it told the first change it was asked');
      assert.equal(asked(), before, 'it was asked although it tells');
      await viewer.moves();
      await viewer.leave();
    });

    check('that does not report its shutter is polled until an answer takes too long', async () => {
      await order('mute');
      await start({ video: video({ format: 'mjpeg', size: '640x480' }) });
      const viewer = await watch({ audio: false });
      await viewer.moves();
      await order('cover');
      await viewer.until('the word privacy', async () => (await viewer.told()).at(-1) === 'privacy');
      await order('uncover');
      await viewer.until('the word ok', async () => (await viewer.told()).at(-1) === 'ok');
      await order('slow');
      const since = () => lab().log('odd').split('webcam: slow')[1]?.match(ASKED)?.length ?? 0;
      await until('the slow question', () => since() > 0);
      await viewer.moves(25);
      assert.equal(since(), 1, 'asked again after a slow answer');
      await viewer.leave();
    });

    check('that sends truncated, empty and oversized frames loses only those', async () => {
      await start({ video: video({ format: 'mjpeg', size: '640x480' }) });
      const viewer = await watch({ audio: false });
      await viewer.moves();
      await order('odd');
      await follows(viewer, path.join(media, '640x480.mjpeg'));
      await world.daemon().said('refused (its coded data is cut short or damaged)');
      await until('the driver kept the others back', () => /\d+ lost by the driver/.test(log()));
      await order('even');
      await viewer.moves();
      assert.equal((await viewer.told()).at(-1), 'ok');
      await viewer.leave();
    });
  });
}
