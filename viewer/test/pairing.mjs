// Pairing in a real browser, with a fake board in the mode `keys`: `npm run e2e`, after a build.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Broker, browser, policy, serve } from './rig.mjs';

let broker, site, chromium, stage;
const wait = { timeout: 60_000 };
const device = (name, settings = {}) => stage.evaluate(([it]) => {
  globalThis.devices ??= {};
  const made = globalThis.devices[it.device] = new FakeDevice(it);
  return new Promise((resolve) => made.client.once('connect', resolve));
}, [{ broker: broker.url, device: name, keys: true, ...settings }]);
const invite = async (name) => {
  await stage.waitForFunction((it) => globalThis.devices[it].board, name, wait);
  return stage.evaluate(([it, page]) => globalThis.devices[it].invite(page), [name, `${site.url}/`]);
};
const live = (page) => page.waitForFunction(
  () => document.querySelector('fanlight-viewer')?.state === 'live', null, wait
);
const panel = (page, text) => page.waitForFunction(
  (it) => document.querySelector('fanlight-viewer')?.shadowRoot.querySelector('.panel').textContent.includes(it),
  text, wait
);

before(async () => {
  broker = await Broker.start();
  site = await serve({ broker: broker.url }, policy(broker.url));
  chromium = await browser();
  stage = await chromium.newPage();
  await stage.goto(`${site.url}/device.html?small`);
  await device('porch');
});
after(async () => {
  await chromium?.close();
  await site?.close();
  await broker?.stop();
});

test('a link pairs the browser and shows the picture, also after a reload, until it is forgotten', async () => {
  const page = await (await chromium.newContext()).newPage();
  await page.goto(await invite('porch'));
  await page.waitForSelector('#pairing[open]', wait);
  assert.equal(new URL(page.url()).hash, '', 'the secret has left the address bar');
  assert.match(await page.inputValue('[name=self]'), /on Linux/);
  await page.fill('[name=self]', 'Test browser');
  await page.click('#pairing [type=submit]');
  await live(page);
  assert.deepEqual(await stage.evaluate(() => [...globalThis.devices.porch.board.viewers.values()]), ['Test browser']);
  assert.match(await page.textContent('#notices'), /see the picture and hear the sound/);
  await page.goto(`${site.url}/?device=porch`);
  await live(page);
  await page.waitForFunction(() => document.querySelector('#devices b')?.textContent === 'Front porch', null, wait);
  await page.click('#keys');
  await page.click('#keyring-list button');
  await page.click('#keyring-list .sure button:last-child');
  await panel(page, 'not paired');
  await page.context().close();
});

test('a browser that is not paired sees neither name nor picture', async () => {
  const page = await (await chromium.newContext()).newPage();
  await page.goto(`${site.url}/?device=porch`);
  await panel(page, 'not paired');
  assert.equal(await page.textContent('#devices b'), 'porch');
  await page.context().close();
});

test('a page for paired cameras shows no other one, and a camera at its new broker without pairing again', async () => {
  const other = await Broker.start(`connection bridge\naddress 127.0.0.1:${broker.tcp}\ntopic fanlight/# both 1\n`);
  const config = { broker: broker.url, keys: true };
  const strict = await serve(config);
  const page = await (await chromium.newContext()).newPage();
  await device('shed', { keys: false });
  await page.goto(`${strict.url}/?device=shed`);
  await panel(page, 'not paired');
  await page.waitForFunction(
    () => document.querySelector('[data-device=shed] small')?.textContent === 'Not paired', null, wait
  );
  assert.equal(await page.textContent('[data-device=shed] b'), 'shed', 'its name is not believed');
  const link = (await invite('porch')).split('#')[1];
  await page.goto(`${strict.url}/#${link}`);
  await page.click('#pairing [type=submit]');
  await live(page);
  config.broker = other.url;
  await page.goto(`${strict.url}/?device=porch`);
  await live(page);
  await page.waitForFunction(() => document.querySelector('#devices b')?.textContent === 'Front porch', null, wait);
  await page.context().close();
  await strict.close();
  await other.stop();
});

test('a board with another key is not connected', async () => {
  await device('gate');
  const page = await (await chromium.newContext()).newPage();
  await page.goto(await invite('gate'));
  await page.click('#pairing [type=submit]');
  await live(page);
  await stage.evaluate(() => globalThis.devices.gate.client.endAsync());
  await device('gate');
  await page.goto(`${site.url}/?device=gate`);
  await panel(page, 'not the camera that you paired with');
  await page.context().close();
});

test('a link can be pasted, a camera at another broker is listed, and choosing it changes the broker', async () => {
  const other = await Broker.start();
  await device('stable', { broker: other.url });
  const open = await serve({ broker: broker.url }); // without a policy that names one broker
  const page = await (await chromium.newContext()).newPage();
  await page.goto(open.url);
  await page.click('#change');
  await page.fill('[name=broker]', await invite('porch'));
  await page.click('#connect [type=submit]');
  await page.click('#pairing [type=submit]');
  await live(page);
  await page.click('#keys');
  await page.fill('[name=link]', await invite('stable'));
  await page.click('#keyring [type=submit]');
  await page.click('#pairing [type=submit]');
  const shows = (name) => page.waitForFunction(
    (it) => [...document.querySelectorAll('fanlight-viewer')].map((one) => `${one.device} ${one.state}`).join() === it,
    `${name} live`, wait
  );
  await shows('stable');
  await page.click('#devices li:last-child button'); // the camera at the broker before
  await shows('porch');
  await page.reload();
  await page.waitForFunction(
    () => document.querySelector('#devices li:last-child small')?.textContent.startsWith('At '), null, wait
  );
  await page.context().close();
  await open.close();
  await other.stop();
});

test('a doorbell rings in the page, and its notice answers it with sound', async () => {
  await device('bell');
  await stage.waitForFunction(() => globalThis.devices.bell.board, null, wait);
  await stage.evaluate(() => { globalThis.devices.bell.board.rights = ['view', 'listen', 'events']; });
  const page = await (await chromium.newContext()).newPage();
  await page.addInitScript(() => {
    globalThis.tones = [];
    const start = OscillatorNode.prototype.start;
    OscillatorNode.prototype.start = function began(...at) {
      globalThis.tones.push(Math.round(this.frequency.value));
      return start.apply(this, at);
    };
  });
  await page.goto(await invite('bell'));
  await page.click('#pairing [type=submit]');
  await live(page);
  await page.evaluate(() => { document.querySelector('fanlight-viewer').muted = true; });
  const ring = () => stage.evaluate(() => globalThis.devices.bell.happen({ kind: 'doorbell', at: 1767225600 }));
  await ring();
  await page.waitForSelector('.toast .answer', wait);
  assert.match(await page.textContent('.toast p'), /rang the doorbell/);
  assert.deepEqual(await page.evaluate(() => globalThis.tones), [659, 523]);
  await page.evaluate(() => document.querySelector('fanlight-viewer').stop());
  await page.click('.toast .answer');
  await live(page);
  const left = () => [document.querySelectorAll('.toast').length, document.querySelector('fanlight-viewer').muted];
  assert.deepEqual(await page.evaluate(left), [0, false]);
  await stage.evaluate(() => globalThis.devices.bell.happen({ kind: 'start', at: 1767225600, viewer: 'v', name: 'Bert' }));
  await page.waitForSelector('.toast', wait);
  assert.equal(await page.$('.toast .answer'), null, 'only a ring is answered');
  assert.equal(await page.evaluate(() => globalThis.tones.length), 2, 'and only a ring sounds');
  await page.context().close();
});

test('a broker that asks for a login is asked for in the dialog', async () => {
  const strict = await Broker.start('', 'allow_anonymous false\n');
  const page = await (await chromium.newContext()).newPage();
  const open = await serve(null);
  const link = (await invite('porch')).split('#p=')[1];
  const it = { ...JSON.parse(Buffer.from(link, 'base64url')), broker: strict.url };
  await page.goto(`${open.url}/#p=${Buffer.from(JSON.stringify(it)).toString('base64url')}`);
  await page.click('#pairing [type=submit]');
  await page.waitForSelector('#pairing-login:not([hidden])', wait);
  assert.match(await page.textContent('#pairing-wrong'), /refused the login/);
  await page.context().close();
  await open.close();
  await strict.stop();
});

test('on plain HTTP the page says what is needed, and shows no camera that needs keys', async () => {
  const plain = await browser('--host-resolver-rules=MAP cameras.test 127.0.0.1');
  const page = await plain.newPage();
  const url = new URL(site.url);
  url.hostname = 'cameras.test';
  await page.goto(`${url}?device=porch`);
  await panel(page, 'needs HTTPS');
  await page.click('#keys');
  assert.match(await page.textContent('#keyring-text'), /https:/);
  await plain.close();
});
