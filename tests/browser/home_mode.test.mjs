// Home mode in a real browser: the page and MQTT come from one HTTPS port with a certificate of the board's own. The
// browser accepts the key of this certificate, and nothing else that it does not know.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import tls from 'node:tls';
import { Broker, Child, Daemon, accepting, browser, daemonBinary, folder, freePort, until } from './processes.mjs';

/** `fanlight home` in front of a broker. */
async function home(broker, device) {
  const dir = folder('home');
  const port = await freePort();
  fs.writeFileSync(path.join(dir, 'home.toml'),
    `port = ${port}\nbroker_port = ${broker.tcp}\ndevice = "${device}"\nroot = "fanlight/v1"\n`);
  const child = new Child(daemonBinary, ['home', '--settings', path.join(dir, 'home.toml')],
    { env: { ...process.env, NO_COLOR: '1', STATE_DIRECTORY: dir, NOTIFY_SOCKET: '' } });
  const certificate = await until('the page has a certificate', () => new Promise((resolve, reject) => {
    const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => {
      resolve(socket.getPeerX509Certificate());
      socket.destroy();
    }).on('error', reject);
  }));
  return { child, port, certificate };
}

describe('home mode', () => {
  let broker;
  let daemon;
  let served;
  let chromium;
  before(async () => {
    broker = await Broker.start();
    daemon = await Daemon.start(broker, { device: 'garden', name: 'Garden', keys: [] });
    served = await home(broker, 'garden');
    chromium = await browser({ more: [accepting(served.certificate)] });
  });
  after(async () => {
    await chromium?.close();
    await served?.child.stop();
    await daemon?.stop();
    await broker?.stop();
  });
  /** A page that is closed after its test. */
  const opened = async (t) => {
    const context = await chromium.newContext();
    t.after(() => context.close());
    return context.newPage();
  };
  /** Pairs the browser of a page, at the page of this host. */
  const paired = async (page, host) => {
    const { child, link } = await daemon.pair(`https://${host}:${served.port}/`, `wss://${host}:${served.port}/mqtt`);
    await page.goto(link);
    await page.click('#pairing [type=submit]');
    assert.equal(await child.ended, 0, child.output);
    await live(page);
  };
  const live = (page) =>
    page.waitForFunction(() => document.querySelector('fanlight-viewer')?.state === 'live', null, { timeout: 60_000 });

  for (const host of ['127.0.0.1', 'localhost']) {
    test(`a page at ${host} shows the picture, over one port`, async (t) => {
      const page = await opened(t);
      const sockets = [];
      page.on('websocket', (socket) => sockets.push(socket.url()));
      await paired(page, host);
      await page.goto(`https://${host}:${served.port}/`);
      await live(page);
      assert.deepEqual([...new Set(sockets)], [`wss://${host}:${served.port}/mqtt`]);
      assert.equal(await page.evaluate(() => isSecureContext && typeof crypto.subtle.sign), 'function');
    });
  }

  test('where the browser refuses the WebSocket, the page uses requests', async (t) => {
    const page = await opened(t);
    // What Safari on iOS does with a certificate that was only accepted.
    await page.addInitScript(() => {
      window.WebSocket = class extends EventTarget {
        constructor() {
          super();
          Object.assign(this, { readyState: 0, OPEN: 1, bufferedAmount: 0 });
          setTimeout(() => {
            this.readyState = 3;
            this.dispatchEvent(new Event('error'));
            this.dispatchEvent(new Event('close'));
          });
        }
        close() {}
        send() {}
      };
    });
    const posts = [];
    page.on('request', (request) => request.method() === 'POST' && posts.push(new URL(request.url()).pathname));
    await paired(page, '127.0.0.1');
    assert.equal(posts[0], '/mqtt');
    assert.ok(posts.slice(1).every((it) => /^\/mqtt\/[\w-]{22}$/.test(it)), posts.join(' '));
    // The picture ends when the page is left, also without a WebSocket.
    await page.goto('about:blank');
    await until('the camera is off', () => !daemon.threads().includes('video'), 60_000);
  });

  test('a browser that was not told about the certificate does not open the page', async (t) => {
    const other = await browser();
    t.after(() => other.close());
    const page = await (await other.newContext()).newPage();
    await assert.rejects(page.goto(`https://127.0.0.1:${served.port}/`), /ERR_CERT_AUTHORITY_INVALID/);
  });

  test('who types the address without https gets to the page', async (t) => {
    const page = await opened(t);
    await page.goto(`http://127.0.0.1:${served.port}/`);
    assert.equal(page.url(), `https://127.0.0.1:${served.port}/`);
  });
});
