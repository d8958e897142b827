// A hosted broker, as docs/guide/hosted-broker.md describes it, with mosquitto in its place; and the same broker beside
// home mode, as docs/guide/home.md says. The configuration is read from these pages. Only addresses, ports and folders
// are replaced.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { JoseViewer } from './jose_viewer.mjs';
import {
  Broker, Child, Daemon, browser, daemonBinary, folder, freePort, host, serve, top, until, viewerFiles,
} from './processes.mjs';
import { certificate } from './virtual_network.mjs';

const page = (name) => fs.readFileSync(path.join(top, 'docs/guide', name), 'utf8');
const block = (text, kind) => text.split(`\`\`\`${kind}\n`)[1].split('```')[0];
const hosted = page('hosted-broker.md');
const DEVICE = 'cam-7f3a9c51e2b04d68';
const PASSWORDS = { board: 'hose', viewers: 'watch' };
const live = (it) =>
  it.waitForFunction(() => document.querySelector('fanlight-viewer')?.state === 'live', null, { timeout: 60_000 });

/** Replaces each text, which must be there. */
function replaced(text, changes) {
  for (const [from, to] of changes) {
    assert.ok(text.includes(from), `${from} in ${text}`);
    text = text.replaceAll(from, to);
  }
  return text;
}

/** The stand-in of a hosted broker. `device`: the board for which its access list is. */
async function standIn(device) {
  const dir = folder('hosted');
  const tls = certificate('127.0.0.1', dir);
  const [tcp, ws] = [await freePort(), await freePort()];
  fs.copyFileSync(tls.cert, path.join(dir, 'broker.crt'));
  fs.copyFileSync(tls.key, path.join(dir, 'broker.key'));
  fs.writeFileSync(path.join(dir, 'acl'), replaced(block(hosted, 'acl'), [[DEVICE, device]]));
  fs.writeFileSync(path.join(dir, 'passwd'), Object.entries(PASSWORDS).map((it) => `${it.join(':')}\n`).join(''));
  execFileSync('mosquitto_passwd', ['-U', path.join(dir, 'passwd')]);
  const config = replaced(block(hosted, 'conf'), [
    ['/etc/mosquitto/hosted/', `${dir}/`],
    ['listener 8883', `listener ${tcp} 127.0.0.1`],
    ['listener 8884', `listener ${ws} 127.0.0.1`],
  ]);
  fs.writeFileSync(path.join(dir, 'mosquitto.conf'), `user root\n${config}`);
  const child = new Child('/usr/sbin/mosquitto', ['-c', path.join(dir, 'mosquitto.conf')]);
  const spki = new X509Certificate(fs.readFileSync(tls.cert)).publicKey.export({ type: 'spki', format: 'der' });
  return { dir, ca: tls.ca, tcp, ws, child, hash: createHash('sha256').update(spki).digest('base64') };
}

/** `config.json` of the page, for this broker. */
const pageConfig = (broker) => replaced(block(hosted, 'json'), [
  ['wss://broker.example.org:8884', `wss://127.0.0.1:${broker.ws}`], ['PASSWORD', PASSWORDS.viewers],
]);

/** Pairs a new browser at a page. */
async function pairIn(context, daemon, ...more) {
  const child = daemon.command('pair', '--no-qr', ...more);
  await child.said('Ctrl-C ends it');
  const it = await context.newPage();
  await it.goto(/https?:\S+#p=\S+/.exec(child.output)[0]);
  await it.locator('#pairing input[name="self"]').fill('Anna');
  await it.locator('#pairing button[type="submit"]').click();
  assert.equal(await child.ended, 0, child.output);
  await live(it);
  return it;
}

describe('a hosted broker', () => {
  let broker, daemon, site, chromium;
  before(async () => {
    broker = await standIn(DEVICE);
    site = await serve([viewerFiles], { '/config.json': pageConfig(broker) });
    chromium = await browser({ more: [`--ignore-certificate-errors-spki-list=${broker.hash}`] });
    const password = path.join(broker.dir, 'broker-password');
    fs.writeFileSync(password, PASSWORDS.board, { mode: 0o600 });
    const config = replaced(block(hosted, 'toml'), [
      ['mqtts://broker.example.org:8883', `mqtts://127.0.0.1:${broker.tcp}`],
      ['/etc/fanlight/broker-password', password],
      ['https://cam.example.org/', `${site.url}/`], ['wss://broker.example.org:8884', `wss://127.0.0.1:${broker.ws}`],
      ['[access]', `ca_file = "${broker.ca}"\n\n[access]`], ['source = "auto"', 'source = "test"\nlinger_s = 0'],
    ]);
    const more = `[audio]\nsource = "off"\n[webrtc]\naddresses = ["${host}"]\nloopback = true\n`;
    daemon = await Daemon.start({}, { keys: [], text: config + more });
  });
  after(async () => {
    await chromium?.close();
    await daemon?.stop();
    await broker?.child.stop();
    site?.close();
  });

  test('shows the picture to a browser that was paired', async () => {
    const it = await pairIn(await chromium.newContext(), daemon);
    await it.goto(site.url);
    await it.click('#devices button');
    await live(it);
  });

  test('is found good by the check', async () => {
    const check = new Child(daemonBinary, ['check', '--network', '--config', daemon.file]);
    assert.equal(await check.ended, 0, check.output);
  });

  test('lets the login of viewers do nothing that only the board may', async () => {
    const before = daemon.child.output.length;
    const viewer = await JoseViewer.make('Bert');
    await viewer.connect({ url: `mqtts://127.0.0.1:${broker.tcp}` }, DEVICE, {
      username: 'viewers', password: PASSWORDS.viewers, ca: fs.readFileSync(broker.ca),
    });
    await viewer.wire.client
      .publishAsync(`fanlight/v1/${DEVICE}/status`, '{"v":1,"state":"offline"}', { qos: 1, retain: true })
      .catch(() => {});
    assert.equal((await viewer.board()).state, 'online');
    await viewer.close();
    assert.ok(!daemon.child.output.slice(before).includes('panicked'));
  });
});

describe('home mode beside a hosted broker', () => {
  let local, outside, bridge, daemon, served, site, chromium;
  before(async () => {
    local = await Broker.start();
    outside = await standIn('garden');
    daemon = await Daemon.start(local, { device: 'garden', keys: [], video: { linger_s: 0 }, audio: { linger_s: 0 } });
    const dir = folder('home');
    const port = await freePort();
    fs.writeFileSync(
      path.join(dir, 'home.toml'),
      `port = ${port}\nbroker_port = ${local.tcp}\ndevice = "garden"\nroot = "fanlight/v1"\n`,
    );
    served = new Child(daemonBinary, ['home', '--settings', path.join(dir, 'home.toml')],
      { env: { ...process.env, NO_COLOR: '1', STATE_DIRECTORY: dir, NOTIFY_SOCKET: '' } });
    served.port = port;
    const config = replaced(block(page('home.md'), 'conf'), [
      ['127.0.0.1:18831', `127.0.0.1:${local.tcp}`], ['broker.example.org:8883', `127.0.0.1:${outside.tcp}`],
      ['/etc/ssl/certs/ca-certificates.crt', outside.ca], ['PASSWORD', PASSWORDS.board],
    ]);
    const file = path.join(dir, 'mosquitto.conf');
    fs.writeFileSync(file, `user root\nlistener ${await freePort()} 127.0.0.1\n${config}`);
    bridge = new Child('/usr/sbin/mosquitto', ['-c', file]);
    site = await serve([viewerFiles], { '/config.json': pageConfig(outside) });
    chromium = await browser({ more: ['--ignore-certificate-errors'] });
  });
  after(async () => {
    await chromium?.close();
    site?.close();
    for (const it of [served, daemon, bridge, outside?.child, local]) await it?.stop();
  });

  test('shows the picture at home and outside, at the same time', async () => {
    const at = `127.0.0.1:${served.port}`;
    const home = await pairIn(
      await chromium.newContext(),
      daemon,
      '--page',
      `https://${at}/`,
      '--broker',
      `wss://${at}/mqtt`,
    );
    const away = await pairIn(
      await chromium.newContext(),
      daemon,
      '--page',
      `${site.url}/`,
      '--broker',
      `wss://127.0.0.1:${outside.ws}/mqtt`,
    );
    await home.reload();
    await live(home);
    await away.goto(`${site.url}/?device=garden`);
    await live(away);
  });

  test('a program that is on the list at home is known outside, without pairing again', async () => {
    const viewer = await JoseViewer.make('Carol');
    const added = daemon.command('viewers', 'add', '--name', 'carol', viewer.identity.point);
    assert.equal(await added.ended, 0, added.output);
    await viewer.connect({ url: `mqtts://127.0.0.1:${outside.tcp}` }, 'garden', {
      username: 'viewers', password: PASSWORDS.viewers, ca: fs.readFileSync(outside.ca),
    });
    assert.deepEqual((await viewer.hello()).rights, ['view', 'listen']);
    await viewer.close();
  });

  test('the end of the board is known outside', async () => {
    const viewer = await JoseViewer.make('Dora');
    await viewer.connect({ url: `mqtts://127.0.0.1:${outside.tcp}` }, 'garden', {
      username: 'viewers', password: PASSWORDS.viewers, ca: fs.readFileSync(outside.ca),
    });
    await until('online', async () => (await viewer.board()).state === 'online');
    await daemon.stop();
    await until('offline', async () => (await viewer.board()).state === 'offline');
    await viewer.close();
  });
});
