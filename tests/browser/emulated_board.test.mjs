// Watches a daemon in the emulated board from outside: with the kernel's V4L2 and ALSA drivers, a USB webcam at
// uvcvideo that plays real files, TLS to the broker, and Chromium. Time limits are generous; order and content are
// checked exactly.

import assert from 'node:assert/strict';
import path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { encoder } from './hardware_encoder.mjs';
import { lampAndButton } from './lamp_and_button.mjs';
import { oddCamera } from './webcam_quirks.mjs';
import { BoardDaemon, Lab, distance, goesForward, media, pictures, until } from './emulated_board.mjs';

const SIZE = '640x480';
/** Few: coding them is dear under emulation, and the tests have to pass on a busy machine. */
const FPS = 5;
const LOOPBACK = 'plughw:CARD=Loopback,DEV=1';
const board = fileURLToPath(new URL('../../board', import.meta.url));
const [COLUMNS, ROWS] = [16, 12];
let lab, daemon;
/** Paths of the nodes, by what is behind them. */
const nodes = {};

before(async () => {
  lab = await Lab.up();
  await lab.guest(
    'modprobe vivid n_devs=2 node_types=0x1,0x1 num_inputs=1,1 input_types=0,0 vid_cap_nr=0,1 multiplanar=1,2',
  );
  await lab.guest('modprobe snd-aloop && modprobe vhci-hcd && modprobe uvcvideo');
  await lab.guest('modprobe v4l2loopback video_nr=20 exclusive_caps=1 card_label=Fed');
  const files = ['mjpeg', 'h264'].map((kind) => `--${kind} ${SIZE}=${path.join(media, `${SIZE}.${kind}`)}`).join(' ');
  await lab.background('webcam', `python3 ${path.join(board, 'webcam.py')} ${files}`);
  Object.assign(nodes, { packed: '/dev/video0', planar: '/dev/video1', fed: '/dev/video20' });
  nodes.webcam = await webcamNode();
});

after(() => lab?.down());

afterEach(async () => {
  for (const context of lab?.chromium?.contexts() ?? []) await context.close();
  if (daemon?.pid && !daemon.stopped) await daemon.stop().catch(() => {});
  daemon = undefined;
  for (const pid of asides) await end(pid);
});

/** A test. If it fails, the error has the logs. */
function check(what, body) {
  test(what, async () => {
    try {
      await body();
    } catch (error) {
      const logs = ['webcam', 'odd', 'player', 'feeder', daemon?.name]
        .filter((name) => name && lab.log(name))
        .map((name) => `--- ${name}\n${lab.log(name).slice(-4000)}`);
      throw new Error(`${error.stack}\n${logs.join('\n')}`, { cause: error });
    }
  });
}

/** The webcam's first node: the second one has metadata. */
const webcamNode = () => until('the webcam', async () => {
  const found = await lab.guest('grep -l "Emulated webcam" /sys/class/video4linux/*/name || true');
  return found && `/dev/${found.split('\n')[0].split('/')[4]}`;
});

/** Programs of one test that run in the board beside the daemon. */
const asides = new Set();
async function aside(name, command) {
  const pid = await lab.background(name, command);
  asides.add(pid);
  return pid;
}
async function end(pid) {
  asides.delete(pid);
  await lab.guest(`kill -- -${pid}; true`);
}

const order = (word) => lab.guest(`echo ${word} > /run/webcam`);
const play = (file) => aside('player', `sh -c 'while aplay -q -D hw:Loopback,0,0 ${file}; do :; done'`);

let tabs = 0;
async function watch(options) {
  const page = await lab.tab(`viewer${(tabs += 1)}`);
  return join(page, options);
}

/** Another session of a tab. */
async function join(page, options) {
  const session = await page.evaluate((o) => window.watch(o), options);
  const viewer = {
    page,
    session,
    report: () => page.evaluate((s) => window.report(s), session),
    /** What it was told of the picture, each change once. */
    told: async () => (await viewer.report()).said.filter((m) => m.type === 'media').map((m) => m.video)
      .filter((now, i, all) => now !== all[i - 1]),
    until: (what, probe) => until(what, async () => probe(await viewer.report())).catch(async (error) => {
      const { said, state, frames, video, audio } = await viewer.report();
      const brief = said.map((m) => (m.sdp ? { ...m, sdp: '…' } : m));
      throw new Error(`${error.message}\nviewer: ${JSON.stringify({ said: brief, state, frames, video, audio })}`);
    }),
    moves: async (more = 10) => {
      const { frames } = await viewer.report();
      return viewer.until('moving pictures', (r) => r.frames >= frames + more && r);
    },
    grids: (count, columns = COLUMNS, rows = ROWS) =>
      page.evaluate((a) => window.grids(...a), [session, count, columns, rows]),
    pitches: (ms) => page.evaluate((a) => window.pitches(...a), [session, ms]),
    leave: () => page.evaluate((s) => window.leave(s), session),
  };
  return viewer;
}

function start(media) {
  daemon = new BoardDaemon(lab);
  return daemon.start(media);
}

/** Pictures that were seen are those of the file, in its order. */
async function follows(viewer, file) {
  const known = pictures(file, [640, 480], COLUMNS, ROWS);
  const seen = (await viewer.grids(12)).map(({ grid }) => {
    const far = known.map((picture) => distance(picture, grid));
    const nearest = far.indexOf(Math.min(...far));
    return { nearest, far: far[nearest] };
  });
  const found = JSON.stringify(seen.map(({ nearest, far }) => [nearest, Math.round(far * 10) / 10]));
  assert.ok(seen.every(({ far }) => far < 3), `pictures of the file: ${found}`);
  // Round and round: never back, and moving.
  const steps = seen.slice(1).map(({ nearest }, i) => (nearest - seen[i].nearest + known.length) % known.length);
  const forward = steps.every((step) => step < known.length / 2) && steps.reduce((sum, step) => sum + step, 0) >= 8;
  assert.ok(forward, `in the order of the file: ${found}`);
}

const BARS = ['white', 'yellow', 'cyan', 'green', 'magenta', 'red', 'blue', 'black'];
const PARTS = ['111', '110', '011', '010', '101', '100', '001', '000'];
/** The colours of vivid's test card, below what is written on it. */
const bars = (grid) => Array.from({ length: 8 }, (_, i) => {
  const parts = grid.slice(3 * (3 * 8 + i), 3 * (3 * 8 + i) + 3);
  const name = parts.map((part) => (part > 120 ? '1' : part < 70 ? '0' : '?')).join('');
  return BARS[PARTS.indexOf(name)] ?? parts;
});

/** What `probe` prints to be copied, for the device its text begins with. */
function printed(text, device) {
  const [, block] = text.split(`\n${device} (`);
  assert.ok(block, `${device} is not in:\n${text}`);
  return /for the configuration:\n\n((?: {4}.*\n)+)/.exec(block)[1].replace(/^ {4}/gm, '');
}

describe('probe', () => {
  check('lists cameras and microphones, with configuration lines that check accepts', async () => {
    const [text, json] = [await lab.fanlight('probe'), JSON.parse(await lab.fanlight('probe --json'))];
    const camera = (node) => json.cameras.find((c) => c.node === node);
    const offers = (node, fourcc) => camera(node).formats.find((f) => f.fourcc === fourcc);

    assert.equal(camera(nodes.packed).driver, 'vivid');
    assert.equal(camera(nodes.packed).refused, null);
    assert.equal(offers(nodes.packed, 'YUYV').name, 'yuyv');
    assert.equal(offers(nodes.packed, 'NV12').name, 'nv12');
    assert.equal(offers(nodes.packed, 'GREY').name, null);
    assert.deepEqual(
      offers(nodes.packed, 'YUYV')
        .modes.map((m) => m.size)
        .slice(0, 4),
      ['320x180', '640x360', '640x480', '1280x720'],
    );
    assert.equal(offers(nodes.planar, 'NM12').name, 'nv12');

    assert.match(camera(nodes.webcam).card, /Emulated webcam/);
    assert.equal(camera(nodes.webcam).driver, 'uvcvideo');
    const modes = [{ size: SIZE, fps: ['30', '15', '5'] }];
    assert.deepEqual(camera(nodes.webcam).formats, [
      { fourcc: 'MJPG', name: 'mjpeg', modes },
      { fourcc: 'H264', name: 'h264', modes },
    ]);
    const brightness = camera(nodes.webcam).controls.find((c) => c.name === 'brightness');
    assert.deepEqual([brightness.min, brightness.max, brightness.default], [0, 255, 128]);
    assert.match(text, /controls: brightness 0 to 255/);

    // Nodes that are no cameras are there, too, each with a reason.
    const refused = json.cameras.filter((c) => c.refused).map((c) => c.refused);
    assert.equal(refused.length, 2, JSON.stringify(refused));
    assert.ok(
      refused.some((why) => /metadata/.test(why)) &&
        refused.some((why) => /an output, which delivers no pictures/.test(why)),
    );
    for (const why of refused) assert.ok(text.includes(`not used: ${why}`), text);

    assert.deepEqual(
      json.microphones.map((m) => [m.name, m.unusable]),
      [
        ['hw:CARD=Loopback,DEV=0', null],
        ['hw:CARD=Loopback,DEV=1', null],
      ],
    );
    const [, microphone] = json.microphones;
    assert.deepEqual([microphone.source, microphone.channels], [LOOPBACK, [1, 32]]);
    assert.ok(microphone.formats.includes('S16_LE') && microphone.rates.includes(48_000), JSON.stringify(microphone));

    for (const device of [nodes.packed, nodes.planar, nodes.webcam]) {
      const lines = printed(text, device) + printed(text, LOOPBACK);
      assert.equal(lines, camera(device).config + microphone.config);
      const checked = await lab.fanlight(`check --config ${lab.config('checked', lines)}`);
      assert.match(checked, new RegExp(`source = "${device}"`));
      assert.doesNotMatch(checked, /warning/);
    }
  });

  check('prints lines that are enough to see a webcam and hear a sound card', async () => {
    const text = await lab.fanlight('probe');
    await start(printed(text, nodes.webcam) + printed(text, LOOPBACK));
    const player = await play(lab.tone(660));
    const viewer = await watch();
    await viewer.moves();
    assert.match(daemon.output, new RegExp(`${nodes.webcam}: .*640x480 H264 at 30/s`));
    await viewer.until('sound', (r) => r.audio?.packetsReceived > 50);
    await end(player);
    await viewer.leave();
  });
});

describe('a viewer sees', () => {
  check('a camera that sends YUYV, with the clock drawn into the picture', async () => {
    await start({ video: { source: nodes.packed, format: 'yuyv', size: SIZE, fps: FPS, clock: true } });
    const viewer = await watch({ audio: false });
    const { delays, width, height } = await viewer.until('the picture clock', (r) => r.delays.length > 20 && r);
    assert.deepEqual([width, height], [640, 480]);
    assert.match(daemon.output, /640x480 YUYV/);
    const [{ grid }] = await viewer.grids(1, 8, 4);
    assert.deepEqual(bars(grid), BARS);
    // The board's clock was set by a file's time stamp; what is left is its error and the way to the screen.
    assert.ok(delays.every((delay) => delay > -1000 && delay < 20_000), JSON.stringify(delays));
    goesForward(await viewer.page.evaluate((s) => window.handle(s).clocks, viewer.session));
    await viewer.leave();
  });

  check('a camera that sends NV12, with its controls set', async () => {
    await start({
      video: { source: nodes.packed, format: 'nv12', size: SIZE, fps: FPS, controls: { horizontal_movement: 6 } },
    });
    const viewer = await watch({ audio: false });
    const { width, height } = await viewer.moves();
    assert.deepEqual([width, height], [640, 480]);
    assert.match(daemon.output, /640x480 NV12/);
    // The test card moves to the right as a whole: each picture is the first one, turned round by some columns.
    const rows = (await viewer.grids(16, 80, 4)).map(({ grid }) => grid.slice(-3 * 80));
    const turned = (columns) => [...rows[0].slice(3 * (80 - columns)), ...rows[0].slice(0, 3 * (80 - columns))];
    const shifts = rows.map((row, i) => {
      const far = Array.from({ length: 80 }, (_, columns) => distance(row, turned(columns)));
      const shift = far.indexOf(Math.min(...far));
      assert.ok(far[shift] < 12, `picture ${i} is the first one, turned by ${shift} columns: ${far[shift]}`);
      return shift;
    });
    assert.ok(new Set(shifts).size >= 3, `moving: ${shifts}`);
    await viewer.leave();
  });

  check('a camera with separate memory for each plane, with the lines that probe prints', async () => {
    await start(printed(await lab.fanlight('probe'), nodes.planar));
    const viewer = await watch({ audio: false });
    const { width, height } = await viewer.moves();
    assert.deepEqual([width, height], [1280, 720]);
    const [{ grid }] = await viewer.grids(1, 8, 4);
    assert.deepEqual(bars(grid), BARS);
    await viewer.leave();
  });

  check('a USB webcam that sends MJPEG', async () => {
    await start({ video: { source: nodes.webcam, format: 'mjpeg', size: SIZE, fps: FPS } });
    const viewer = await watch({ audio: false });
    const { width, height } = await viewer.moves();
    assert.deepEqual([width, height], [640, 480]);
    assert.match(daemon.output, /640x480 MJPG/);
    await follows(viewer, path.join(media, `${SIZE}.mjpeg`));
    await viewer.leave();
  });

  check('a USB webcam that encodes H.264, without another encoding', async () => {
    await start({ video: { source: nodes.webcam, format: 'h264', size: SIZE, fps: FPS } });
    const viewer = await watch({ audio: false });
    const { width, height } = await viewer.moves();
    assert.deepEqual([width, height], [640, 480]);
    assert.match(daemon.output, /640x480 H264/);
    await follows(viewer, path.join(media, `${SIZE}.h264`));
    // A viewer that joins later begins with a keyframe, and with parameter sets the camera sent only once.
    const late = await watch({ audio: false });
    await late.moves();
    await viewer.leave();
    await late.leave();
  });

  check('a loopback camera, as soon as a program writes to it', async () => {
    await start({ video: { source: nodes.fed, format: 'h264', size: SIZE, fps: 30 } });
    const viewer = await watch({ audio: false });
    await viewer.until('a line about what is missing', async () =>
      daemon.output.includes('once a program writes to it'),
    );
    assert.deepEqual((await viewer.report()).frames, 0);
    const feeder = await aside(
      'feeder',
      `ffmpeg -nostdin -v error -re -r 15 -i ${lab.repeated(`${SIZE}.h264`, 100)} -c copy -f v4l2 ${nodes.fed}`,
    );
    const { width, height } = await viewer.moves();
    assert.deepEqual([width, height], [640, 480]);
    await viewer.leave();
    await end(feeder);
  });
});

describe('a viewer hears', () => {
  check('the sound that the sound card records, with the right pitch', async () => {
    await start({ audio: { source: LOOPBACK, channels: 2 } });
    let player = await play(lab.tone(660));
    const viewer = await watch({ video: false });
    await viewer.until('sound', (r) => r.audio?.packetsReceived > 50);
    // Where a slow emulation loses sound, the pitch beside the gap is a little wrong.
    const hears = (hertz) => until(`${hertz} Hz`, async () => {
      const heard = await viewer.pitches(2000);
      const right = heard.filter((h) => Math.abs(h.hertz - hertz) <= 6);
      if (heard.length <= 5 || right.length < 0.75 * heard.length) throw new Error(JSON.stringify(heard));
      const peak = Math.max(...heard.map((h) => h.peak));
      assert.ok(peak > 0.3 && peak < 0.7, `played at 0.5, heard at ${peak}`);
      return true;
    });
    await hears(660);
    await end(player);
    await until('silence', async () => (await viewer.pitches(1000)).length === 0);
    player = await play(lab.tone(1320));
    await hears(1320);
    await end(player);
    await viewer.leave();
  });
});

describe('a camera', () => {
  const video = () => ({ source: nodes.webcam, format: 'mjpeg', size: SIZE, fps: FPS });
  const open = async () => (await daemon.devices()).join();

  check('and a microphone are open only while somebody watches', async () => {
    await start({ video: video(), audio: { source: LOOPBACK } });
    assert.equal(await open(), '');
    let page;
    for (const round of ['first', 'second']) {
      const viewer = page ? await join(page) : await watch();
      page = viewer.page;
      await viewer.moves();
      await viewer.until('sound', (r) => r.audio?.packetsReceived > 10);
      const [microphone, camera, ...more] = await daemon.devices();
      assert.match(microphone, /pcmC\dD1c$/, `the ${round} time`);
      assert.deepEqual([camera, more], [nodes.webcam, []], `the ${round} time`);
      await viewer.leave();
      await until('both are closed', async () => (await open()) === '');
    }
  });

  check('that is unplugged is reported as absent, and continues in the same session when plugged in', async () => {
    await start({ video: video(), audio: { source: LOOPBACK } });
    const viewer = await watch();
    await viewer.moves();
    assert.equal((await viewer.told()).at(-1), 'ok');
    const already = (await viewer.told()).length;
    await order('unplug');
    await viewer.until('the word absent', async () => (await viewer.told()).at(-1) === 'absent');
    assert.doesNotMatch(await open(), /video/);
    // Sound goes on without the picture.
    const without = await viewer.report();
    const later = await viewer.until(
      'sound continues',
      (r) => r.audio.packetsReceived > without.audio.packetsReceived + 50 && r,
    );
    assert.equal(later.video.framesReceived, without.video.framesReceived);
    await order('plug');
    const back = await viewer.until('the picture again', (r) => r.frames > later.frames + 10 && r);
    assert.equal(back.state, 'connected');
    assert.deepEqual((await viewer.told()).slice(already), ['absent', 'starting', 'ok']);
    assert.ok(
      !back.said.some((m) => ['bye', 'goaway', 'error'].includes(m.type)),
      JSON.stringify(back.said.map((m) => m.type)),
    );
    await follows(viewer, path.join(media, `${SIZE}.mjpeg`));
    await viewer.leave();
  });

  check('that is missing at first is reported as absent, and is used when it appears', async () => {
    await order('unplug');
    await until('the node is gone', async () =>
      (await lab.guest(`[ -e ${nodes.webcam} ] || echo gone`)).includes('gone'),
    );
    await start({ video: video(), audio: { source: LOOPBACK } });
    const viewer = await watch();
    await viewer.until('the word absent', async () => (await viewer.told()).at(-1) === 'absent');
    await viewer.until('sound', (r) => r.audio?.packetsReceived > 50);
    assert.equal((await viewer.report()).frames, 0);
    await order('plug');
    await viewer.moves();
    assert.deepEqual((await viewer.told()).slice(-3), ['absent', 'starting', 'ok']);
    await viewer.leave();
  });

  check('that hangs is reported as stalled, continues when it recovers, and is opened again later', async () => {
    await start({ video: video() });
    const viewer = await watch({ audio: false });
    await viewer.moves();
    const already = (await viewer.told()).length;
    await order('freeze');
    await viewer.until('the word stalled', async () => (await viewer.told()).at(-1) === 'stalled');
    await order('thaw');
    await viewer.moves();
    assert.deepEqual((await viewer.told()).slice(already), ['stalled', 'ok']);
    await order('freeze');
    await daemon.said('no picture for 1');
    await order('thaw');
    await viewer.moves();
    const told = await viewer.told();
    assert.equal(told.at(-1), 'ok');
    assert.ok(!told.includes('absent'), `it was there all the time: ${told}`);
    await viewer.leave();
  });

  check('whose driver fails, or that another program uses, is tried again', async () => {
    const busy = await aside('other', `v4l2-ctl -d ${nodes.packed} --stream-mmap --stream-count=0`);
    await start({ video: { source: nodes.packed, format: 'yuyv', size: SIZE, fps: FPS } });
    await until('the other one has it', async () => (await lab.guest(`ls -l /proc/${busy}/fd`)).includes(nodes.packed));
    const viewer = await watch({ audio: false });
    await daemon.said('another program is using it');
    await viewer.until('the word stalled', async () => (await viewer.told()).at(-1) === 'stalled');
    await end(busy);
    await viewer.moves();
    await lab.guest(`v4l2-ctl -d ${nodes.packed} -c inject_fatal_streaming_error=1`);
    await daemon.said(`${nodes.packed}: capture: `);
    await viewer.moves();
    const told = await viewer.told();
    assert.equal(told.at(-1), 'ok');
    assert.ok(!told.includes('absent'), `it was there all the time: ${told}`);
    await viewer.leave();
  });
});

describe('a session', () => {
  /** Sets the board's wall clock to the host's, and so many seconds beside it. */
  const set = (beside) => lab.guest(`date -s @${Math.round(Date.now() / 1000) + beside}`);

  check('survives a clock that starts in 1970, is set, and jumps by an hour', async () => {
    await lab.guest('date -s @1000');
    try {
      const starting = start({
        video: { source: nodes.packed, format: 'yuyv', size: SIZE, fps: FPS },
        audio: { source: LOOPBACK },
      });
      await until('it says what to do about 1970', () => daemon.output.includes("this board's clock says 1970"));
      await set(0);
      await starting;
      const viewer = await watch();
      await viewer.moves();
      await viewer.until('sound', (r) => r.audio?.packetsReceived > 50);
      const already = (await viewer.told()).length;
      for (const beside of [-3600, 3600, 0]) {
        const { frames, audio } = await viewer.report();
        await set(beside);
        const r = await viewer.until(
          'picture and sound continue',
          (now) => now.frames > frames + 15 && now.audio.packetsReceived > audio.packetsReceived + 150 && now,
        );
        assert.equal(r.state, 'connected');
        assert.ok(
          !r.said.some((m) => ['bye', 'goaway', 'error'].includes(m.type)),
          JSON.stringify(r.said.map((m) => m.type)),
        );
      }
      assert.equal((await viewer.told()).length, already, 'nothing stood still');
      assert.equal(daemon.output.match(/connected by MQTT/g).length, 1, 'the broker link held');
      await viewer.leave();
    } finally {
      await set(0);
    }
  });
});

oddCamera({ lab: () => lab, daemon: () => daemon, board, start, watch, check, follows });
encoder({ lab: () => lab, daemon: () => daemon, nodes, start, watch, check, bars, BARS });
lampAndButton({ lab: () => lab, daemon: () => daemon, board, nodes, start, watch, check, aside, end });

check('the daemon stops cleanly while it streams', async () => {
  await start({ video: { source: nodes.packed, format: 'yuyv', size: SIZE, fps: FPS } });
  const viewer = await watch({ audio: false });
  await viewer.moves();
  assert.equal(await daemon.stop(), 0);
  await viewer.until('bye', (r) => r.said.some((m) => m.type === 'bye'));
});
