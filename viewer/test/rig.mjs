// A broker, a web server and a browser on loopback, for end-to-end tests and for looking at the viewer.
import { build } from 'esbuild';
import { chromium } from 'playwright-core';
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { createServer as createTcp, connect } from 'node:net';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { options } from '../build.mjs';

export const here = dirname(fileURLToPath(import.meta.url));
const work = join(here, '.work');
const kinds = {
  '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml',
  '.json': 'application/json', '.webmanifest': 'application/manifest+json', '.png': 'image/png',
};

const freePort = () => new Promise((resolve) => {
  const server = createTcp().listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
});

export class Broker {
  static async start(extra = '', access = 'allow_anonymous true\n') {
    const it = new Broker();
    it.port = await freePort();
    mkdirSync(work, { recursive: true });
    it.tcp = await freePort(); // mosquitto 2.0.11 does not start with WebSocket listeners alone
    it.file = join(work, `mosquitto-${it.port}.conf`);
    writeFileSync(
      it.file,
      `listener ${it.tcp} 127.0.0.1\nlistener ${it.port} 127.0.0.1\nprotocol websockets\n` +
        `${access}persistence false\nuser root\n${extra}`
    );
    await it.run();
    return it;
  }
  get url() { return `ws://127.0.0.1:${this.port}/mqtt`; }
  async run() {
    this.child = spawn('mosquitto', ['-c', this.file], { stdio: 'ignore' });
    for (let tries = 0; tries < 200; tries++) {
      const open = await new Promise((resolve) => {
        const socket = connect(this.port, '127.0.0.1', () => { socket.destroy(); resolve(true); }).on(
          'error', () => resolve(false)
        );
      });
      if (open) return;
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    throw new Error('mosquitto did not start');
  }
  async stop() {
    if (this.child.exitCode !== null) return;
    const gone = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGTERM');
    await gone;
  }
}

// The policy in the README is sufficient.
export const policy = (broker) => {
  const { origin } = new URL(broker);
  return "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; " +
    `connect-src 'self' ${origin}/ ${origin.replace(/^ws/, 'http')}/; manifest-src 'self'; ` +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
};

export async function serve(config, csp) {
  await build({ ...options, entryPoints: [join(here, 'fake-device.ts')], outfile: join(work, 'fake-device.js') });
  const pages = {
    '/device.html': '<!doctype html><script type="module" src="fake-device.js"></script>',
    '/component.html': '<!doctype html><body style="margin:0"><script type="module" src="fanlight-viewer.js"></script>',
  };
  const server = createServer((request, response) => {
    const path = new URL(request.url, 'http://x').pathname;
    const send = (body, kind) => response.writeHead(200, {
      'content-type': kind,
      ...(csp && path !== '/device.html' && path !== '/component.html' ? { 'content-security-policy': csp } : {}),
    }).end(body);
    if (path === '/config.json')
      return config ? send(JSON.stringify(config), kinds['.json']) : response.writeHead(404).end();
    if (pages[path]) return send(pages[path], kinds['.html']);
    try {
      const name = path === '/' ? 'index.html' : normalize(path).slice(1);
      const file = name === 'fake-device.js' ? join(work, name) : join(here, '../dist', name);
      send(readFileSync(file), kinds[extname(name)] ?? 'application/octet-stream');
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    close: () => new Promise((resolve) => { server.closeAllConnections(); server.close(resolve); }),
  };
}

/** `more`: further options of the command line. */
export const browser = (...more) => chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', headless: true,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required',
    '--disable-features=WebRtcHideLocalIpsWithMdns', ...more],
});
