// The daemon watched by strangers: Debian's mosquitto between, Debian's Chromium and another WebRTC stack as viewers.

import assert from 'node:assert/strict';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, afterEach, before, describe, test } from 'node:test';
import { Broker, Daemon, Stranger, browser, serve, sessionId, until } from './world.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
let broker, daemon, site, chromium;
let tabs = 0;

before(async () => {
  broker = await Broker.start();
  daemon = await Daemon.start(broker, { video: { linger_s: 1 }, audio: { linger_s: 1 }, limits: { viewers: 4 } });
  site = await serve([path.join(here, 'pages'), path.join(here, 'node_modules/mqtt/dist')]);
  chromium = await browser();
});

after(async () => {
  await chromium?.close();
  await daemon?.stop();
  await broker?.stop();
  site?.close();
});

// A test that failed half-way leaves no session behind for the next one.
afterEach(async () => {
  for (const context of chromium?.contexts() ?? []) {
    for (const page of context.pages()) await page.evaluate(() => window.leaveAll?.()).catch(() => {});
    await context.close();
  }
  await cameraIsOff().catch(() => {});
});

async function tab(viewer = `tab${(tabs += 1)}`) {
  const page = await (await chromium.newContext()).newPage();
  await page.goto(`${site.url}/plain.html`, { waitUntil: 'domcontentloaded' });
  await page.waitForFunction(() => window.connect && window.mqtt);
  await page.evaluate((to) => window.connect(to), { broker: broker.url, device: 'cam', viewer });
  return page;
}

const report = (page, session) => page.evaluate((s) => window.report(s), session);

/** Watches until pictures move and the picture clock can be read. */
async function watch(page, options) {
  const session = await page.evaluate((o) => window.watch(o), options);
  const seen = await until('moving pictures with a clock', async () => {
    const r = await report(page, session);
    return r.frames > 10 && r.delays.length > 5 ? r : false;
  }).catch(async (error) => {
    const r = await report(page, session);
    throw new Error(`${error.message}\npage: ${JSON.stringify({ ...r, video: undefined, audio: undefined })}\n${daemon.child.output.slice(-3000)}`);
  });
  return { session, seen };
}

const cameraIsOff = () => until('the camera is off', () => !daemon.threads().some((name) => name === 'video' || name === 'audio'), 60_000);

describe('a browser', () => {
  test('that offers sees and hears', async () => {
    const page = await tab();
    const { session, seen } = await watch(page, { calls: 'offer' });
    assert.deepEqual([seen.width, seen.height], [640, 360]);
    const before = seen.video.framesDecoded;
    const later = await until('more pictures', async () => {
      const r = await report(page, session);
      return r.video.framesDecoded > before + 30 && r.audio.packetsReceived > 50 && r;
    });
    assert.ok(Math.abs(later.delays.at(-1)) < 2000, `the picture clock is ${later.delays.at(-1)} ms off`);
    const heard = await page.evaluate((s) => window.listen(s, 2500), session);
    assert.ok(heard.strongest > 0.2, `the tone is heard: ${JSON.stringify({ ...heard, loudest: heard.loudest.length })}`);
    assert.ok(heard.loudest.some((hertz) => Math.abs(hertz - 1000) < 2 * heard.width), 'at 1 kHz');
    const answer = later.said.find((m) => m.type === 'answer');
    assert.ok(answer.lease_s > 590 && answer.lease_s <= 600);
    await page.evaluate((s) => window.leave(s), session);
    await daemon.child.said('frames');
    await page.context().close();
    await cameraIsOff();
  });

  test('that asks for an offer sees and hears', async () => {
    const page = await tab();
    const { session, seen } = await watch(page, { calls: 'request' });
    assert.deepEqual([seen.width, seen.height], [640, 360]);
    assert.ok(seen.said.some((m) => m.type === 'offer'));
    await page.evaluate((s) => window.leave(s), session);
    await page.context().close();
    await cameraIsOff();
  });

  test('three at once share one camera and one encode, and the fifth is told busy', async () => {
    const pages = await Promise.all([tab(), tab(), tab(), tab()]);
    const sessions = [];
    for (const page of pages) sessions.push((await watch(page)).session);
    assert.equal(daemon.threads().filter((name) => name === 'video').length, 1);
    const stranger = await Stranger.connect(broker, 'cam', 'fifth');
    await stranger.say({ v: 1, type: 'request', session: sessionId(), seq: 0, media: { video: true, audio: true } });
    const refusal = await stranger.reply((m) => m.type === 'error');
    assert.equal(refusal.name, 'busy');
    assert.ok(refusal.retry_after_ms > 0);
    await stranger.close();
    // One leaves without a word, another says bye: the third goes on.
    await pages[0].context().close();
    await pages[1].evaluate((s) => window.leave(s), sessions[1]);
    const before = (await report(pages[2], sessions[2])).frames;
    await until('the third goes on', async () => (await report(pages[2], sessions[2])).frames > before + 30);
    for (const page of pages.slice(1)) await page.context().close();
    await cameraIsOff();
  });

  test('keeps its picture while the broker is away', async () => {
    const page = await tab();
    const { session } = await watch(page);
    await broker.stop();
    const before = (await report(page, session)).frames;
    await until('pictures without a broker', async () => (await report(page, session)).frames > before + 60);
    await broker.up();
    const stranger = await until('the broker again', () => Stranger.connect(broker, 'cam', 'watcher'));
    await stranger.status((s) => s.state === 'online' && s.viewers >= 1, 70_000);
    const after = (await report(page, session)).frames;
    await until('pictures after it', async () => (await report(page, session)).frames > after + 30);
    await stranger.close();
    await page.evaluate((s) => window.leave(s), session);
    await page.context().close();
    await cameraIsOff();
  });
});

describe('a daemon', () => {
  test('says bye and offline when it stops, within 2 s, and has a new epoch afterwards', async () => {
    const page = await tab();
    const { session } = await watch(page);
    const stranger = await Stranger.connect(broker, 'cam', 'epochs');
    const old = await stranger.status((s) => s.state === 'online');
    const begun = performance.now();
    assert.equal(await daemon.stop(), 0);
    assert.ok(performance.now() - begun < 4000, 'stops at once');
    const offline = await stranger.status((s) => s.state === 'offline');
    assert.equal(offline.reason, 'shutdown');
    await until('bye', async () => (await report(page, session)).said.some((m) => m.type === 'bye'));
    daemon.up();
    const online = await stranger.status((s) => s.state === 'online' && s.epoch !== old.epoch);
    assert.notEqual(online.epoch, old.epoch);
    await page.context().close();
    await stranger.close();
  });

  test('is not shaken by nonsense, and an honest viewer still gets a picture', async () => {
    const stranger = await Stranger.connect(broker, 'cam', 'nonsense');
    const expect = async (message, name) => {
      stranger.heard.length = 0;
      await stranger.say(message);
      const refusal = await stranger.reply((m) => m.type === 'error');
      assert.equal(refusal.name, name, `${String(message).slice(0, 80)} → ${JSON.stringify(refusal)}`);
      assert.ok(refusal.code >= 400 && refusal.message.length > 5);
    };
    const offer = (fields) => JSON.stringify({ v: 1, type: 'offer', session: sessionId(), seq: 0, sdp: 'v=0\r\n', ...fields });
    await expect('{', 'bad_request');
    await expect(Buffer.from([0x7b, 0xff, 0xfe, 0x7d]), 'bad_request');
    await expect('['.repeat(20_000), 'bad_request');
    await expect(`{"v":1,"type":"offer","type":"bye","session":"${sessionId()}","seq":0}`, 'bad_request');
    await expect(offer({ v: 2 }), 'version');
    await expect(offer({ sdp: 'hello' }), 'bad_sdp');
    await expect(offer({ session: 'short' }), 'bad_request');
    await expect(JSON.stringify({ v: 1, type: 'renew', session: sessionId(), seq: 0 }), 'no_session');
    await expect(' '.repeat(40_000), 'too_large');
    const memory = daemon.memory();
    for (let i = 0; i < 2000; i += 1) await stranger.say(offer({ sdp: `v=0\r\n${i}` }), { qos: 0 });
    await stranger.close();
    const page = await tab();
    const { session } = await watch(page);
    assert.ok(daemon.memory() - memory < 40_000, `grew from ${memory} to ${daemon.memory()} KiB`);
    await page.evaluate((s) => window.leave(s), session);
    await page.context().close();
    await cameraIsOff();
  });

  test('opens and closes many sessions and is back where it started', async () => {
    const page = await tab();
    const rounds = 30;
    const once = async () => {
      const session = await page.evaluate(() => window.watch());
      await until('connected', async () => (await report(page, session)).state === 'connected');
      await page.evaluate((s) => window.leave(s), session);
    };
    const settled = () => until('nobody watches', () => !daemon.threads().includes('video') && daemon.descriptors(), 30_000);
    for (let i = 0; i < 5; i += 1) await once();
    await cameraIsOff();
    const [descriptors, memory] = [await settled(), daemon.memory()];
    for (let i = 0; i < rounds; i += 1) await once();
    await cameraIsOff();
    const now = await until('all descriptors closed', async () => {
      const n = await settled();
      return n <= descriptors && n;
    }, 60_000);
    assert.ok(now <= descriptors);
    assert.ok(daemon.memory() - memory < 20_000, `memory went from ${memory} to ${daemon.memory()} KiB in ${rounds} sessions`);
    await page.context().close();
  });
});
