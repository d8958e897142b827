// The viewer end to end, against a fake device, Debian's mosquitto and Chromium: `npm run e2e`, after a build.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Broker, browser, serve } from './rig.mjs';

let broker, site, chromium, stage, page;
const device = (name, settings = {}) => stage.evaluate(([it]) => {
  globalThis.devices ??= {};
  globalThis.devices[it.device] = new FakeDevice(it);
  return new Promise((resolve) => globalThis.devices[it.device].client.once('connect', resolve));
}, [{ broker: broker.url, device: name, ...settings }]);
const to = (name, call, ...rest) => stage.evaluate(([it, method, args]) => void globalThis.devices[it][method](...args), [name, call, rest]);
const heard = (name) => stage.evaluate((it) => globalThis.devices[it].heard, name);
const show = (attributes) => page.evaluate((it) => {
  document.body.replaceChildren();
  globalThis.viewer = document.createElement('fanlight-viewer');
  globalThis.told = [];
  for (const type of ['fanlight-state', 'fanlight-error']) globalThis.viewer.addEventListener(type, ({ detail }) => globalThis.told.push({ type, ...detail }));
  for (const [key, value] of Object.entries(it)) globalThis.viewer.setAttribute(key, value);
  document.body.append(globalThis.viewer);
}, { broker: broker.url, ...attributes });
const state = (wanted) => page.waitForFunction((it) => globalThis.viewer.state === it, wanted, { timeout: 15_000 });
const decoded = () => page.evaluate(async () => {
  for (const it of (await globalThis.viewer.peerConnection.getStats()).values()) if (it.type === 'inbound-rtp' && it.kind === 'video') return it.framesDecoded;
  return 0;
});
const moves = async () => {
  const from = await decoded();
  await page.waitForFunction(async (least) => {
    for (const it of (await globalThis.viewer.peerConnection.getStats()).values()) if (it.type === 'inbound-rtp' && it.kind === 'video' && it.framesDecoded > least) return true;
    return false;
  }, from + 15, { timeout: 10_000, polling: 200 });
};

before(async () => {
  broker = await Broker.start();
  site = await serve(null);
  chromium = await browser();
  stage = await chromium.newPage();
  await stage.goto(`${site.url}/device.html`);
  page = await chromium.newPage();
  await page.goto(`${site.url}/component.html`);
  await page.waitForFunction(() => customElements.get('fanlight-viewer'));
});
after(async () => {
  await chromium?.close();
  await site?.close();
  await broker?.stop();
});

test('offer mode: picture, sound, statistics, snapshot, in the order of the contract', async () => {
  await device('one');
  await show({ device: 'one', stats: '' });
  await state('live');
  await moves();
  await page.waitForFunction(() => globalThis.viewer.statistics?.delayBy === 'clock' && globalThis.viewer.statistics.fps > 0, null, { timeout: 10_000 });
  const it = await page.evaluate(async () => {
    const bitmap = await createImageBitmap(await globalThis.viewer.snapshot());
    return { stats: globalThis.viewer.statistics, first: globalThis.viewer.firstPictureMs, size: [bitmap.width, bitmap.height], video: [globalThis.viewer.video.videoWidth, globalThis.viewer.video.videoHeight] };
  });
  assert.ok(it.first > 0 && it.first < 15_000);
  assert.deepEqual(it.size, it.video);
  assert.equal(it.stats.route.kind, 'direct');
  assert.equal(it.stats.audioCodec, 'opus');
  assert.ok(it.stats.fps > 0 && it.stats.bitrate > 0 && it.stats.delayMs < 5000);
  const messages = await heard('one');
  assert.equal(messages[0].type, 'offer');
  assert.deepEqual(messages.map((one) => one.seq), messages.map((_, i) => i));
  assert.ok(messages.some((one) => one.type === 'candidates' && one.end === true));
  assert.match(messages[0].sdp, /m=video[^\r]*\r\n(?:(?!m=).*\r\n)*a=rtpmap:\d+ H264/);
});

test('media health is told while the session runs, and stop says bye', async () => {
  await to('one', 'media', { video: 'absent', audio: 'ok' });
  await page.waitForFunction(() => globalThis.told.some((it) => it.video === 'absent'));
  await to('one', 'media', { video: 'ok', audio: 'ok' });
  await page.evaluate(() => globalThis.viewer.stop());
  await stage.waitForFunction(() => globalThis.devices.one.sessions.size === 0);
  assert.equal((await heard('one')).at(-1).reason, 'left');
  assert.equal(await page.evaluate(() => globalThis.viewer.state), 'idle');
});

test('request mode: the device offers, and gets its digest back', async () => {
  await device('two');
  await show({ device: 'two', mode: 'request' });
  await state('live');
  await moves();
  assert.deepEqual((await heard('two')).slice(0, 2).map((it) => it.type), ['request', 'answer']);
  await page.evaluate(() => globalThis.viewer.stop());
});

test('a lost broker stops no picture; when it is back the next call works', async () => {
  await device('three');
  await show({ device: 'three' });
  await state('live');
  const session = await page.evaluate(() => globalThis.viewer.watch.call.session);
  await broker.stop();
  await page.waitForFunction(() => !globalThis.viewer.watch.link.up);
  await moves();
  assert.equal(await page.evaluate(() => globalThis.viewer.state), 'live');
  await broker.run();
  await page.waitForFunction(() => globalThis.viewer.watch.link.up, null, { timeout: 30_000 });
  await moves();
  assert.equal(await page.evaluate(() => globalThis.viewer.watch.call.session), session);
  await stage.waitForFunction(() => globalThis.devices.three.client.connected, null, { timeout: 30_000 });
});

test('a device that starts anew is called anew', async () => {
  const session = await page.evaluate(() => globalThis.viewer.watch.call.session);
  await to('three', 'leave', 'shutdown');
  await page.waitForFunction(() => globalThis.viewer.state === 'offline');
  await device('three');
  await state('live');
  await moves();
  assert.notEqual(await page.evaluate(() => globalThis.viewer.watch.call.session), session);
});

test('a viewer whose network is cut finds its way again by a restart', async () => {
  const before = (await heard('three')).length;
  await page.evaluate(() => {
    const { call } = globalThis.viewer.watch;
    call.peer('lost', performance.now());
    globalThis.dispatchEvent(new Event('online'));
  });
  await stage.waitForFunction((from) => globalThis.devices.three.heard.slice(from).some((it) => it.type === 'offer' && it.restart === true), before);
  await moves();
  await page.evaluate(() => globalThis.viewer.stop());
});

test('restarts that nobody hears or that are refused do not keep later ones from working', async () => {
  await device('deaf', { deafTo: 2, refuseRestarts: 1 });
  await show({ device: 'deaf' });
  await state('live');
  const before = await page.evaluate(() => globalThis.viewer.peerConnection.remoteDescription.sdp);
  await page.evaluate(() => {
    globalThis.viewer.watch.call.peer('lost', performance.now());
    globalThis.dispatchEvent(new Event('online'));
  });
  await page.waitForFunction((then) => {
    const { peerConnection: pc } = globalThis.viewer;
    return pc.signalingState === 'stable' && pc.remoteDescription.sdp !== then;
  }, before, { timeout: 20_000, polling: 100 });
  assert.equal((await heard('deaf')).filter((it) => it.restart).length, 4);
  await moves();
  assert.equal(await page.evaluate(() => globalThis.told.some((it) => it.type === 'fanlight-error')), false);
  await page.evaluate(() => globalThis.viewer.stop());
});

test('a broker that died without a word is noticed when the page wakes up', async () => {
  await show({ device: 'one' });
  await state('live');
  broker.child.kill('SIGSTOP');
  await page.evaluate(() => globalThis.dispatchEvent(new Event('online')));
  await page.waitForFunction(() => !globalThis.viewer.watch.link.up, null, { timeout: 6000 });
  await moves();
  broker.child.kill('SIGCONT');
  await page.waitForFunction(() => globalThis.viewer.watch.link.up, null, { timeout: 30_000 });
  await page.evaluate(() => globalThis.dispatchEvent(new Event('online')));
  assert.equal(await page.evaluate(() => new Promise((resolve) => setTimeout(() => resolve(globalThis.viewer.watch.link.up), 3500))), true);
  await page.evaluate(() => globalThis.viewer.stop());
});

test('refusals are told by name, with the time of the next try', async () => {
  await device('four', { refuse: { code: 503, name: 'busy', message: 'full', retry_after_ms: 60_000 } });
  await show({ device: 'four' });
  await state('error');
  const told = (await page.evaluate(() => globalThis.told)).filter((it) => it.type === 'fanlight-error');
  assert.equal(told.length, 1);
  assert.equal(told[0].name, 'busy');
  assert.ok(told[0].retryInMs > 55_000 && told[0].retryInMs <= 61_000);
});

test('an answer for another call is refused', async () => {
  await device('five', { wrongHash: true });
  await show({ device: 'five' });
  await state('error');
  assert.equal((await page.evaluate(() => globalThis.told)).at(-1).name, 'hash_mismatch');
});

test('the page follows a broker that moved, and nobody else’s', async () => {
  const old = await Broker.start();
  const settings = { broker: old.url };
  const home = await serve(settings);
  const tab = await chromium.newPage();
  const says = (text) => tab.waitForFunction((it) => document.getElementById('link').textContent === it, text, { timeout: 20_000 });
  await tab.goto(home.url);
  await says('Connected');
  await old.stop();
  await says('Broker not reachable');
  settings.broker = broker.url;
  await says('Connected');
  await tab.goto(`${home.url}/?broker=${encodeURIComponent(old.url)}`);
  await says('Broker not reachable');
  const loads = await tab.evaluate(() => performance.timeOrigin);
  await tab.waitForResponse((it) => it.url().endsWith('config.json'), { timeout: 10_000 });
  await tab.waitForResponse((it) => it.url().endsWith('config.json'), { timeout: 10_000 });
  assert.equal(await tab.evaluate(() => performance.timeOrigin), loads);
  await tab.close();
  await home.close();
});

test('several viewers share one connection, and leave nothing behind', async () => {
  await page.evaluate((url) => {
    document.body.replaceChildren();
    globalThis.many = ['one', 'two', 'one'].map((name) => {
      const it = document.createElement('fanlight-viewer');
      it.broker = url;
      it.device = name;
      document.body.append(it);
      return it;
    });
  }, broker.url);
  await page.waitForFunction(() => globalThis.many.every((it) => it.state === 'live'), null, { timeout: 20_000 });
  assert.equal(await page.evaluate(() => new Set(globalThis.many.map((it) => it.watch.link)).size), 1);
  await page.evaluate(() => document.body.replaceChildren());
  await stage.waitForFunction(() => globalThis.devices.one.sessions.size === 0 && globalThis.devices.two.sessions.size === 0);
});
