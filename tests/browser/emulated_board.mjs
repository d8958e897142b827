// The fixture of the board's tests: the daemon runs in the emulated board with the kernel's drivers; broker and browser
// run outside, in the network namespace of the board's tap.

import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { certificate } from './virtual_network.mjs';
import { Child, browser, daemonBinary, top, until as untilWithin, viewerFiles } from './processes.mjs';

const board = path.join(top, 'board');
const pages = path.join(top, 'tests/browser/pages');
const run = promisify(execFile);

/** The processor is emulated, and the machine may be busy: limits are generous, what is looked for is not. */
export const PATIENCE = 120_000;
export const until = (what, probe, ms = PATIENCE) => untilWithin(what, probe, ms);

/** What webcam and sound card play, made by Debian's ffmpeg once. */
export const media = path.join(process.env.FANLIGHT_CACHE ??
  path.join(process.env.XDG_CACHE_HOME ?? path.join(os.homedir(), '.cache'), 'fanlight'), 'board/media');

// Takes the lab down when its standard input closes: that happens however this process ends, also by SIGKILL. Whatever
// runs in the namespace (the guest too) is ended by its id.
const janitor = `
trap '' INT TERM HUP
cat > /dev/null
while pids=$(ip netns pids "$1" 2> /dev/null) && [ -n "$pids" ]; do
    kill -KILL $pids 2> /dev/null
    sleep 0.1
done
ip netns del "$1" 2> /dev/null
rm -rf "$2"
`;

/** Namespace, broker, browser and the board that is up in it. */
export class Lab {
  /** `program`: what boots the board. `files`: whether its webcam and sound card will play some. */
  static async up({ program = path.join(board, 'run'), files = true } = {}) {
    const lab = Object.assign(new Lab(), { program, files, name: `board-${process.pid}` });
    lab.share = fs.mkdtempSync(path.join(os.tmpdir(), 'fanlight-board-'));
    lab.janitor = spawn('sh', ['-c', janitor, 'sh', lab.name, lab.share], {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    try {
      await lab.start();
    } catch (error) {
      await lab.down();
      throw error;
    }
    return lab;
  }

  async start() {
    if (this.files) execFileSync(path.join(board, 'media'), [media], { stdio: ['ignore', 'ignore', 'inherit'] });
    execFileSync(path.join(board, 'net'), ['up', this.name], { stdio: ['ignore', 'ignore', 'inherit'] });
    this.guestChild = new Child(this.program, ['--net', this.name, '--share', this.share, '--serve']);
    const [chromium] = await Promise.all([this.startBrowser(), this.startBroker(), this.startSite(), this.boot()]);
    this.chromium = chromium;
  }

  async boot() {
    const { guestChild } = this;
    const up = () => guestChild.output.includes('BOARD-UP');
    await until('the board is up', () => up() || guestChild.process.exitCode !== null, 600_000);
    assert.ok(up(), guestChild.output);
  }

  /** A process on the other side of the board's network. */
  inside(command, args) {
    return new Child(path.join(board, 'net'), ['exec', this.name, command, ...args]);
  }

  /**
   * Debian's mosquitto: TLS for the board, a WebSocket for the browser. The board checks the certificate. One whose
   * clock is wrong cannot, and has a port without TLS.
   */
  async startBroker() {
    const { cert, key } = certificate('10.77.0.1', this.share);
    const file = path.join(this.share, 'mosquitto.conf');
    fs.writeFileSync(file, 'user root\nlistener 8883 10.77.0.1\nallow_anonymous true\n' +
      `certfile ${cert}\nkeyfile ${key}\n` +
      'listener 1883 10.77.0.1\n' +
      'listener 9001 127.0.0.1\nprotocol websockets\nallow_anonymous true\n');
    this.broker = this.inside(process.env.MOSQUITTO ?? '/usr/sbin/mosquitto', ['-c', file]);
    await this.broker.said('running');
  }

  /** The pages, from the browser's own loopback: from elsewhere it would not let them speak to a broker there. */
  async startSite() {
    const folder = path.join(this.share, 'site');
    fs.cpSync(pages, folder, { recursive: true });
    if (fs.existsSync(viewerFiles)) fs.cpSync(viewerFiles, path.join(folder, 'viewer'), { recursive: true });
    fs.copyFileSync(
      path.join(top, 'tests/browser/node_modules/mqtt/dist/mqtt.min.js'),
      path.join(folder, 'mqtt.min.js'),
    );
    const server = ['-u', '-m', 'http.server', '9000', '--bind', '127.0.0.1', '--directory', folder];
    this.site = this.inside('python3', server);
    await this.site.said('Serving');
  }

  async startBrowser() {
    return browser({ enter: [path.join(board, 'net'), 'exec', this.name] });
  }

  /** Runs a shell command in the board; what it printed. */
  async guest(command, seconds = 120) {
    try {
      const { stdout } = await run(
        path.join(board, 'ctl'),
        ['--share', this.share, '--timeout', String(seconds), command],
        { maxBuffer: 1 << 24 },
      );
      return stdout;
    } catch (error) {
      throw new Error(
        `in the board: ${command}: status ${error.code}\n${error.stdout ?? ''}${error.stderr ?? error.message}`,
      );
    }
  }

  /**
   * Starts a background command in the board and returns its process id there. Its output and its end go to a log of
   * that name.
   */
  async background(name, command) {
    const started = `setsid sh -c 'echo $$ > /run/${name}.pid; exec "$@"' sh ${command}`;
    await this.guest(`rm -f /run/${name}.pid; { ${started}; echo "status $?"; } > /board/${name}.log 2>&1 &`);
    return until(`${name} runs`, async () => Number(await this.guest(`cat /run/${name}.pid; true`)));
  }

  /** Runs the program under test in the board; what it printed. */
  fanlight(words) {
    return this.guest(`NO_COLOR=1 '${daemonBinary}' ${words} 2>&1`, 120);
  }

  /** Writes a configuration; its path in the board. */
  config(name, media) {
    fs.writeFileSync(path.join(this.share, `${name}.toml`), config(media));
    return `/board/${name}.toml`;
  }

  /** Ten seconds of a tone; their path in the board. */
  tone(hertz) {
    const file = `${hertz}.wav`;
    const sine = `sine=frequency=${hertz}:sample_rate=48000:duration=10`;
    execFileSync('ffmpeg', ['-nostdin', '-v', 'error', '-y', '-f', 'lavfi', '-i', sine,
      '-af', 'volume=4', '-ac', '2', '-c:a', 'pcm_s16le', path.join(this.share, file)]);
    return `/board/${file}`;
  }

  /** A file of `media` many times over; its path in the board. */
  repeated(name, times) {
    fs.writeFileSync(
      path.join(this.share, name),
      Buffer.concat(Array(times).fill(fs.readFileSync(path.join(media, name)))),
    );
    return `/board/${name}`;
  }

  log(name) {
    const file = path.join(this.share, `${name}.log`);
    return fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '';
  }

  /** A tab in the role of a viewer, which is connected to the broker. */
  async tab(viewer) {
    const context = await this.chromium.newContext();
    await context.addInitScript(`${means}\n(${eyes})();`);
    const page = await context.newPage();
    await page.goto('http://127.0.0.1:9000/plain.html', { waitUntil: 'domcontentloaded' });
    await page.waitForFunction(() => window.connect && window.mqtt);
    await page.evaluate((to) => window.connect(to), { broker: 'ws://127.0.0.1:9001', device: 'cam', viewer });
    return page;
  }

  /** Restarts the board, and waits until it answers again. Only the disk of board/arm64/run keeps what was written. */
  async reboot() {
    // The agent makes this file when it can be spoken to.
    const ready = path.join(this.share, '.ready');
    fs.rmSync(ready);
    await this.guest('systemctl reboot');
    await until('the board is up again', () => fs.existsSync(ready), 600_000);
  }

  async down() {
    await this.chromium?.close().catch(() => {});
    if (this.guestChild) {
      await this.guest('board-off', 10).catch(() => {});
      const killer = setTimeout(() => this.guestChild.process.kill(), 10_000);
      await this.guestChild.ended;
      clearTimeout(killer);
    }
    await Promise.all([this.broker?.stop(), this.site?.stop()]);
    const ended = once(this.janitor, 'exit');
    this.janitor.stdin.end();
    await ended;
  }
}

/** The daemon in the board. */
export class BoardDaemon {
  static count = 0;

  constructor(lab) {
    BoardDaemon.count += 1;
    Object.assign(this, { lab, name: `daemon-${BoardDaemon.count}` });
  }

  /** `media`: what the configuration says of picture and sound, as tables or as the text that `probe` prints. */
  async start(media) {
    const file = this.lab.config(this.name, media);
    this.pid = await this.lab.background(this.name, `env NO_COLOR=1 '${daemonBinary}' run --config ${file}`);
    await this.said('connected by MQTT');
  }

  get output() {
    return this.lab.log(this.name);
  }

  async said(text) {
    const { output } = await until(
      `the daemon says "${text}"`,
      () => (this.output.includes(text) || this.ended !== undefined) && this,
    );
    assert.ok(output.includes(text), `the daemon ended without "${text}"`);
  }

  /** Its exit status, once it has one. */
  get ended() {
    return /^status (\d+)$/m.exec(this.output)?.[1];
  }

  /** What it holds open below /dev, as the board's /proc has it. */
  async devices() {
    const links = await this.lab.guest(`ls -l /proc/${this.pid}/fd`);
    return [...links.matchAll(/-> (\/dev\/(?:video|snd).*)/g)].map(([, device]) => device).sort();
  }

  /** Tells it to end; its exit status. */
  async stop() {
    this.stopped = true;
    await this.lab.guest(`kill -TERM ${this.pid}`);
    return Number(await until('the daemon ends', () => this.ended));
  }
}

function config(media) {
  const value = (v) => (v !== null && typeof v === 'object' && !Array.isArray(v)
    ? `{ ${Object.entries(v).map(([key, inner]) => `${key} = ${value(inner)}`).join(', ')} }` : JSON.stringify(v));
  const table = (name, entries) =>
    `[${name}]\n${Object.entries(entries)
      .map(([key, v]) => `${key} = ${value(v)}\n`)
      .join('')}`;
  const written =
    typeof media === 'string'
      ? media
      : table('video', { source: 'off', linger_s: 1, ...media.video }) +
        table('audio', { source: 'off', linger_s: 1, ...media.audio }) +
        ['lamp', 'button'].filter((name) => media[name]).map((name) => table(name, media[name])).join('');
  return 'device = "cam"\n' + table('broker', { url: 'mqtts://10.77.0.1:8883', ca_file: '/board/ca.pem' }) +
    table('access', { mode: 'broker', the_broker_can_watch: true }) + table('limits', { starts_per_minute: 600 }) +
    table('log', { filter: process.env.FANLIGHT_TEST_LOG ?? 'info' }) + written;
}

/** Pictures of a file as Debian's ffmpeg decodes them: each a grid of mean colours. */
export function pictures(file, [width, height], columns, rows) {
  // Chromium assumes BT.709 if a stream does not signal its colours.
  const filter = file.endsWith('.h264') ? ['-vf', 'scale=in_color_matrix=bt709'] : [];
  const raw = execFileSync(
    'ffmpeg',
    ['-nostdin', '-v', 'error', '-i', file, ...filter, '-f', 'rawvideo', '-pix_fmt', 'rgb24', '-'],
    { maxBuffer: 1 << 28 },
  );
  const size = width * height * 3;
  assert.ok(raw.length >= size && raw.length % size === 0, `${file}: ${raw.length} bytes`);
  return Array.from({ length: raw.length / size }, (_, i) =>
    means(raw.subarray(i * size, (i + 1) * size), 3, width, height, columns, rows),
  );
}

/** Mean colours of a grid laid over a picture whose pixels have `step` bytes. */
function means(pixels, step, width, height, columns, rows) {
  const [w, h] = [width / columns, height / rows];
  const all = [];
  for (let cell = 0; cell < columns * rows; cell += 1) {
    const sum = [0, 0, 0];
    const [left, top] = [(cell % columns) * w, Math.floor(cell / columns) * h];
    for (let y = Math.round(top); y < Math.round(top + h); y += 1) {
      for (let x = Math.round(left); x < Math.round(left + w); x += 1) {
        for (let part = 0; part < 3; part += 1) sum[part] += pixels[step * (y * width + x) + part];
      }
    }
    const n = (Math.round(left + w) - Math.round(left)) * (Math.round(top + h) - Math.round(top));
    all.push(...sum.map((s) => Math.round(s / n)));
  }
  return all;
}

/** How far two grids are apart: the mean difference of a colour's part, of 255. */
export function distance(a, b) {
  assert.equal(a.length, b.length);
  return a.reduce((sum, part, i) => sum + Math.abs(part - b[i]), 0) / a.length;
}

/**
 * Checks the picture clocks that a page read: each picture is later than the one before. A page reads what is on the
 * screen, so a callback that comes late may read the next picture already. Then two in a row are the same.
 */
export function goesForward(clocks) {
  const shown = clocks.map(({ clock, media }) => `${clock} at ${media}`);
  assert.ok(clocks.slice(1).every(({ clock }, i) => clock >= clocks[i].clock), `the clock goes forward: ${shown}`);
  const different = new Set(clocks.map(({ clock }) => clock)).size;
  assert.ok(different >= clocks.length - 2, `each picture can be told from all others: ${shown}`);
}

/** Runs in the page, with `means`: what plain.js does not look at. */
function eyes() {
  const canvas = document.createElement('canvas');
  const context = canvas.getContext('2d', { willReadFrequently: true });

  const grid = (element, columns, rows) => {
    const { videoWidth: w, videoHeight: h } = element;
    Object.assign(canvas, { width: w, height: h });
    context.drawImage(element, 0, 0);
    return means(context.getImageData(0, 0, w, h).data, 4, w, h, columns, rows);
  };

  /** Grids of the next `count` pictures that are shown, within two minutes. */
  window.grids = (session, count, columns, rows) => new Promise((resolve, reject) => {
    const { element } = window.handle(session);
    const seen = [];
    setTimeout(() => reject(new Error(`${seen.length} of ${count} pictures were shown`)), 120_000);
    const look = (_, { presentedFrames }) => {
      seen.push({ grid: grid(element, columns, rows), presented: presentedFrames });
      if (seen.length === count) resolve(seen);
      else element.requestVideoFrameCallback(look);
    };
    element.requestVideoFrameCallback(look);
  });

  /** What is heard for a while: pitch in Hz and peak, whenever something is. */
  window.pitches = async (session, ms) => {
    const audio = new AudioContext();
    await audio.resume();
    const source = audio.createMediaStreamSource(
      new MediaStream(window.handle(session).element.srcObject.getAudioTracks()),
    );
    const analyser = new AnalyserNode(audio, { fftSize: 8192, smoothingTimeConstant: 0 });
    source.connect(analyser);
    const bins = new Float32Array(analyser.frequencyBinCount);
    const wave = new Float32Array(analyser.fftSize);
    const heard = [];
    const end = performance.now() + ms;
    while (performance.now() < end) {
      await new Promise((tick) => setTimeout(tick, 100));
      analyser.getFloatFrequencyData(bins);
      analyser.getFloatTimeDomainData(wave);
      const best = bins.reduce((most, level, i) => (level > bins[most] ? i : most), 0);
      const peak = wave.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
      if (peak > 0.05) heard.push({ hertz: Math.round(best * audio.sampleRate / analyser.fftSize), peak });
    }
    await audio.close();
    return heard;
  };
}
