// The viewer page with the real daemon: what a person sees, also when things go wrong.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { fixture } from './fixture.mjs';
import { Stranger, serve, until, viewerFiles } from './processes.mjs';

const s = fixture({ name: 'Front porch' });

describe('the page', () => {
  let site;
  let page;
  const state = (wanted) =>
    page.waitForFunction((it) => document.querySelector('fanlight-viewer')?.state === it, wanted, { timeout: 60_000 });
  const open = async () => {
    page = await (await s.chromium.newContext()).newPage();
    await page.goto(site.url);
    await state('live');
  };
  before(async () => {
    site = await serve([viewerFiles], { '/config.json': JSON.stringify({ broker: s.broker.url, device: 'cam' }) });
  });
  after(() => site?.close());

  test('shows the configured name on the picture and in the list', async () => {
    await open();
    assert.equal(
      await page.evaluate(
        () => document.querySelector('fanlight-viewer').shadowRoot.querySelector('.name').textContent,
      ),
      'Front porch',
    );
    await page.waitForFunction(() => document.querySelector('[data-device="cam"] b')?.textContent === 'Front porch');
  });

  test('releases the camera while it is hidden, and shows the picture again at once', async () => {
    await open();
    // A headless browser hides no page, so the test sends its events. A browser that stops timers also sends `freeze`.
    const hide = (hidden) => page.evaluate((it) => {
      Object.defineProperty(document, 'visibilityState', {
        configurable: true,
        get: () => (it ? 'hidden' : 'visible'),
      });
      document.dispatchEvent(new Event('visibilitychange'));
      if (it) document.dispatchEvent(new Event('freeze'));
    }, hidden);
    await hide(true);
    await state('paused');
    await s.cameraIsOff();
    await hide(false);
    await state('live');
    assert.ok(s.daemon.threads().includes('video'));
  });

  test('reports a stopped picture before the broker notices the dead daemon, and continues later', async (t) => {
    await open();
    const stranger = await Stranger.connect(s.broker, 'cam', 'stranger');
    await stranger.status((it) => it.state === 'online');
    await page.waitForFunction(() => document.querySelector('[data-device="cam"]')?.dataset.is === 'online');
    const killed = performance.now();
    await s.daemon.stop('SIGKILL');
    await page.waitForFunction(() => document.querySelector('[data-device="cam"]').dataset.is !== 'online');
    t.diagnostic(
      `the page no longer said "Online" ${Math.round(performance.now() - killed)} ms after the daemon was killed`,
    );
    const note = await page.evaluate(
      () => document.querySelector('fanlight-viewer').shadowRoot.querySelector('.still').innerText,
    );
    assert.match(note, /The picture has stopped\s+Last picture \d+ seconds? ago/);
    assert.equal((await stranger.status()).state, 'online', 'the broker has not noticed yet');
    await stranger.status((it) => it.state === 'offline', 30_000);
    s.daemon.up();
    await s.daemon.child.said('connected by MQTT');
    await state('live');
    await until('a picture that moves', () => page.evaluate(() => !document.querySelector('fanlight-viewer').stale));
    await stranger.close();
  });
});
