// The processes of a test: a real broker, the real daemon and a real browser. They are started here on free ports, and
// ended here by their ids.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import mqtt from 'mqtt';
import { chromium } from 'playwright-core';

export const top = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
export const target = process.env.CARGO_TARGET_DIR ?? path.join(top, 'target');
export const daemonBinary = process.env.FANLIGHT ?? path.join(target, 'debug/fanlight');
export const viewerFiles = process.env.FANLIGHT_VIEWER ?? path.join(top, 'viewer/dist');
const chromiumBinary = process.env.CHROMIUM ?? '/usr/bin/chromium';

// The address of daemon and browser: an interface of the network namespace (see `in-netns`), else loopback.
export const host = process.env.FANLIGHT_TEST_ADDRESS ?? '127.0.0.1';

const children = new Set();
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));
// On SIGTERM, Playwright closes its browser and does not end the process.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1));

const folders = [];
process.on('exit', () => folders.forEach((made) => fs.rmSync(made, { recursive: true, force: true })));

/** Makes a folder that is deleted when this process ends. */
export function folder(name) {
  folders.push(fs.mkdtempSync(path.join(os.tmpdir(), `fanlight-${name}-`)));
  return folders.at(-1);
}

/** Makes a child process end when this process ends. */
export function remember(child) {
  children.add(child);
  child.once('exit', () => children.delete(child));
  return child;
}

export function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer().on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** Calls `probe` until it returns something true; the error after `ms` has its last result. */
export async function until(what, probe, ms = 20_000) {
  const end = performance.now() + ms;
  let last;
  while (performance.now() < end) {
    try {
      const value = await probe();
      if (value) return value;
      last = value;
    } catch (error) {
      last = error;
    }
    await new Promise((tick) => setTimeout(tick, 25));
  }
  throw new Error(
    `${what}: not within ${ms} ms; last seen: ${last instanceof Error ? last.stack : JSON.stringify(last)}`,
  );
}

/** A child process. Its output is kept for the message of a failed test. */
export class Child {
  /** `enter`: a command that first enters another network namespace. */
  constructor(command, args, { enter = [], ...options } = {}) {
    this.name = path.basename(command);
    this.output = '';
    const [program, ...rest] = [...enter, command, ...args];
    this.process = remember(spawn(program, rest, { stdio: ['ignore', 'pipe', 'pipe'], ...options }));
    this.ended = once(this.process, 'exit').then(([code, signal]) => code ?? signal);
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream.on('data', (data) => {
        this.output = (this.output + data).slice(-200_000);
        if (process.env.FANLIGHT_TEST_LOUD) process.stderr.write(data);
      });
    }
  }

  get pid() {
    return this.process.pid;
  }

  said(text, ms) {
    return until(`${this.name} says "${text}"`, () => this.output.includes(text), ms);
  }

  async stop(signal = 'SIGTERM') {
    this.process.kill(signal);
    return this.ended;
  }
}

const inUrl = (address) => (address.includes(':') ? `[${address}]` : address);

/** Debian's mosquitto with TCP and WebSocket on loopback. `at`, `tls`: WebSocket at that address, TLS for daemons. */
export class Broker {
  /** `name`: a host name of that address. The caller tells it to the browsers. */
  static async start({ at = '127.0.0.1', name, tls, tlsPort } = {}) {
    const broker = new Broker();
    Object.assign(broker, {
      at,
      name,
      tls,
      tcp: await freePort(),
      ws: await freePort(),
      tlsPort: tlsPort ?? (tls && (await freePort())),
    });
    broker.dir = folder('broker');
    await broker.up();
    return broker;
  }

  async up() {
    const file = path.join(this.dir, 'mosquitto.conf');
    // With this level, libwebsockets says why it closes a connection.
    const types = ['error', 'warning', 'notice', 'information', 'websockets'];
    const log = `${types.map((type) => `log_type ${type}\n`).join('')}websockets_log_level 7\n`;
    const listener = (port, at, more = '') => `listener ${port} ${at}\n${more}allow_anonymous true\n`;
    const tls = this.tls && `certfile ${this.tls.cert}\nkeyfile ${this.tls.key}\n`;
    fs.writeFileSync(file, `user root\n${log}${listener(this.tcp, '127.0.0.1')}` +
      listener(this.ws, this.at, 'protocol websockets\n') + (tls ? listener(this.tlsPort, this.at, tls) : ''));
    this.child = new Child(process.env.MOSQUITTO ?? '/usr/sbin/mosquitto', ['-c', file]);
    const open = (port, at) => new Promise((resolve) => {
      const socket = net.connect(port, at);
      socket.on('connect', () => { socket.destroy(); resolve(true); });
      socket.on('error', () => resolve(false));
    });
    // It opens its ports one after the other.
    await until('mosquitto listens', () => open(this.tcp, '127.0.0.1'));
    await until('mosquitto listens for pages', () => open(this.ws, this.at));
    if (this.tls) await until('mosquitto listens for daemons', () => open(this.tlsPort, this.at));
  }

  get url() {
    return `ws://${this.name ?? inUrl(this.at)}:${this.ws}`;
  }

  /** The table [broker] of a daemon's configuration. */
  get config() {
    return this.tls
      ? { url: `mqtts://${inUrl(this.at)}:${this.tlsPort}`, ca_file: this.tls.ca }
      : { url: `mqtt://127.0.0.1:${this.tcp}` };
  }

  async stop() {
    await this.child.stop();
  }
}

/** The daemon under test. `text`: its whole configuration, in place of single settings. */
export class Daemon {
  static async start(broker, settings = {}) {
    const daemon = new Daemon();
    daemon.device = settings.device ?? 'cam';
    daemon.place = settings.place;
    daemon.dir = folder('daemon');
    // The modes `keys` and `token` need the folders that systemd makes. `state`: another place for the first one.
    const state = settings.state ?? path.join(daemon.dir, 'state');
    daemon.folders = settings.keys || settings.access
      ? { STATE_DIRECTORY: state, RUNTIME_DIRECTORY: path.join(daemon.dir, 'run') }
      : {};
    for (const made of Object.values(daemon.folders)) fs.mkdirSync(made, { recursive: true });
    daemon.file = path.join(daemon.dir, 'fanlight.toml');
    fs.writeFileSync(daemon.file, settings.text ?? daemon.config(broker, settings));
    daemon.up();
    const ended = daemon.child.ended.then((code) => {
      throw new Error(`the daemon ended with ${code}: ${daemon.child.output.slice(-1000)}`);
    });
    await Promise.race([daemon.child.said('connected by MQTT'), ended]);
    ended.catch(() => {});
    return daemon;
  }

  up() {
    this.child = new Child(daemonBinary, ['run', '--config', this.file], {
      env: { ...process.env, NO_COLOR: '1', ...this.folders },
      enter: this.place?.enter,
    });
    this.logs = [...(this.logs ?? []), this.child];
  }

  /** Runs a command of the owner, such as `pair`. Only in the mode `keys`. */
  command(...args) {
    return new Child(daemonBinary, [...args, '--socket', path.join(this.folders.RUNTIME_DIRECTORY, 'control')], {
      enter: this.place?.enter,
    });
  }

  /** Opens a pairing. Returns the command, which waits, and its link. */
  async pair(page, broker, ...words) {
    const child = this.command('pair', '--no-qr', '--page', page, '--broker', broker, ...words);
    await child.said('Ctrl-C ends it');
    return { child, link: /https?:\S+#p=\S+/.exec(child.output)[0] };
  }

  /** `keys`: the viewers of the mode `keys`; `access`: another table [access]. Without both, the mode is `broker`. */
  config(
    broker,
    { device = 'cam', name, keys, access, video = {}, audio = {}, webrtc = {}, limits = {}, log, more = '' },
  ) {
    const table = (name, entries) => `[${name}]\n` +
      Object.entries(entries).map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`).join('');
    return `device = "${device}"\n` + (name ? `name = ${JSON.stringify(name)}\n` : '') +
      table('broker', broker.config) +
      table('access', access ??
        (keys ? { mode: 'keys', viewers: keys } : { mode: 'broker', the_broker_can_watch: true })) +
      table('video', { source: 'test', size: '640x360', fps: 30, bitrate_kbps: 1000, ...video }) +
      table('audio', { source: 'tone', ...audio }) +
      table('webrtc', { addresses: [host], loopback: true, ...webrtc }) +
      table('limits', { starts_per_minute: 600, ...limits }) +
      table('log', { filter: process.env.FANLIGHT_TEST_LOG ?? log ?? 'info' }) + more;
  }

  get pid() {
    return this.child.pid;
  }

  /** Resident memory in KiB. */
  memory() {
    return Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${this.pid}/status`, 'utf8'))[1]);
  }

  /** Its own memory in KiB: without its code, which the kernel takes back when it needs room. */
  heap() {
    return Number(/Anonymous:\s+(\d+)/.exec(fs.readFileSync(`/proc/${this.pid}/smaps_rollup`, 'utf8'))[1]);
  }

  descriptors() {
    return fs.readdirSync(`/proc/${this.pid}/fd`).length;
  }

  threads() {
    return fs.readdirSync(`/proc/${this.pid}/task`)
      .map((id) => fs.readFileSync(`/proc/${this.pid}/task/${id}/comm`, 'utf8').trim());
  }

  /** CPU time in seconds. */
  cpu() {
    const fields = fs.readFileSync(`/proc/${this.pid}/stat`, 'utf8').split(') ')[1].split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
  }

  /** Ends it. Fails if it panicked, or if its log has a secret, also of an earlier run with `up`. */
  async stop(signal) {
    const code = await this.child.stop(signal);
    const log = this.logs.map(({ output }) => output).join('');
    const found = blemishes(log, fs.readFileSync(this.file, 'utf8'));
    if (found.length > 0) throw new Error(`the log of the daemon has ${found.join(', ')}:\n${log.slice(-4000)}`);
    return code;
  }
}

/** What of this log must never be in one. `config`: the configuration, which names the files of its secrets. */
export function blemishes(log, config) {
  const files = [...config.matchAll(/^(?:password|secret)_file *= *"([^"]+)"/gm)].map(([, file]) => file);
  const secrets = files.filter((file) => fs.existsSync(file)).map((file) => fs.readFileSync(file, 'utf8').trim());
  return [
    ...['panicked', 'ice-pwd', 'a=fingerprint', 'a=candidate'].filter((word) => log.includes(word)),
    ...secrets.filter((secret) => secret.length > 7 && log.includes(secret)).map(() => 'a secret of its configuration'),
  ];
}

const types = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.json': 'application/json',
};

/** Serves the static files of the viewer and of the test pages. */
export async function serve(folders, extra = {}, at = '127.0.0.1') {
  const server = http.createServer((request, response) => {
    const name = new URL(request.url, 'http://x').pathname.replace(/\/$/, '/index.html');
    if (extra[name]) {
      response.writeHead(200, { 'content-type': types[path.extname(name)] ?? 'text/plain' }).end(extra[name]);
      return;
    }
    const file = folders.map((folder) => path.join(folder, name)).find((f) => fs.existsSync(f));
    if (!file || name.includes('..')) return void response.writeHead(404).end();
    response.writeHead(200, { 'content-type': types[path.extname(file)] ?? 'application/octet-stream' });
    fs.createReadStream(file).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, at, resolve));
  return { url: `http://${inUrl(at)}:${server.address().port}`, close: () => server.close() };
}

/** Starts Debian's Chromium without a screen; `enter` is a command that enters another network namespace. */
export const browser = (options) => chromium.launch(launch(options));

/** The option by which it accepts the certificate with this key, and no other one that it does not know. */
export function accepting(certificate) {
  const key = certificate.publicKey.export({ type: 'spki', format: 'der' });
  return `--ignore-certificate-errors-spki-list=${createHash('sha256').update(key).digest('base64')}`;
}

/** Its launch options. `names`: it hides its addresses behind `.local` names, as browsers at home do. */
export function launch({ more = [], enter = [], names = false } = {}) {
  let executablePath = chromiumBinary;
  if (enter.length) {
    executablePath = path.join(folder('browser'), 'chromium');
    fs.writeFileSync(executablePath, `#!/bin/sh\nexec ${enter.join(' ')} ${chromiumBinary} "$@"\n`, { mode: 0o755 });
  }
  return {
    executablePath,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required',
      '--allow-loopback-in-peer-connection', ...(names ? [] : ['--disable-features=WebRtcHideLocalIpsWithMdns']),
      '--disable-background-timer-throttling', '--disable-renderer-backgrounding',
      '--disable-backgrounding-occluded-windows', ...more],
  };
}

/** A bare MQTT client that acts as a viewer and may break the rules. */
export class Stranger {
  static async connect(broker, device, viewer, options = {}) {
    const stranger = new Stranger();
    Object.assign(stranger, { device, viewer, heard: [] });
    // It connects by TCP on the broker's machine, otherwise by WebSocket, as a page does.
    stranger.client = await mqtt.connectAsync(broker.tcp ? `mqtt://127.0.0.1:${broker.tcp}` : broker.url, {
      protocolVersion: 5,
      clientId: `${viewer}-${Math.random()}`,
      ...options,
    });
    stranger.client.on('message', (topic, payload) => {
      stranger.heard.push({ topic, text: payload.toString(), get json() { return JSON.parse(this.text); } });
    });
    await stranger.client.subscribeAsync(
      [`fanlight/v1/${device}/rsp/${viewer}`, `fanlight/v1/${device}/status`, `fanlight/v1/${device}/info`],
      { qos: 1 },
    );
    return stranger;
  }

  say(message, options) {
    const payload = typeof message === 'string' || Buffer.isBuffer(message) ? message : JSON.stringify(message);
    return this.client.publishAsync(`fanlight/v1/${this.device}/req/${this.viewer}`, payload, { qos: 1, ...options });
  }

  replies() {
    return this.heard.filter((m) => m.topic.includes('/rsp/')).map((m) => m.json);
  }

  reply(test, ms) {
    return until('a reply', () => this.replies().find(test), ms).catch((error) => {
      throw new Error(`${error.message}; heard ${JSON.stringify(this.replies())}`);
    });
  }

  status(test = () => true, ms) {
    const all = () => this.heard.filter((m) => m.topic.endsWith('/status')).map((m) => m.json);
    return until('a status', () => all().reverse().find(test), ms);
  }

  close() {
    return this.client.endAsync(true);
  }
}

/** 22 base64url characters. */
export function sessionId() {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString('base64url');
}
