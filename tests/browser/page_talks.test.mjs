// The button to talk of the viewer page, with the real daemon and a loudspeaker that is a file. Chromium's false
// microphone beeps.
// Alone: it listens to what is played in time.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Broker, Daemon, browser, folder, serve, until, viewerFiles } from './processes.mjs';

const s = {};

before(async () => {
  const dir = folder('speaker');
  s.file = path.join(dir, 'heard.raw');
  const asound = path.join(dir, 'asound.conf');
  fs.writeFileSync(asound, '</usr/share/alsa/alsa.conf>\n' +
    `pcm.room { type file slave.pcm "null" file "${s.file}" format "raw" }\n`);
  process.env.ALSA_CONFIG_PATH = asound;
  s.broker = await Broker.start();
  s.daemon = await Daemon.start(s.broker, {
    keys: [], log: 'info,fanlight::audio=debug', more: '[speaker]\noutput = "room"\nlinger_s = 1\n',
  });
  s.site = await serve([viewerFiles]);
  s.chromium = await browser({ more: ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'] });
});
after(async () => {
  await s.chromium?.close();
  s.site?.close();
  await s.daemon?.stop();
  await s.broker?.stop();
});

/** A page of a viewer that is paired with these rights, when it shows the picture. */
async function watching(name, rights) {
  const { child, link } = await s.daemon.pair(`${s.site.url}/`, s.broker.url, '--rights', rights);
  const page = await (await s.chromium.newContext({ permissions: ['microphone'] })).newPage();
  await page.goto(link);
  await page.locator('#pairing input[name="self"]').fill(name);
  await page.locator('#pairing button[type="submit"]').click();
  assert.equal(await child.ended, 0, child.output);
  const isLive = () => document.querySelector('fanlight-viewer')?.state === 'live';
  await page.waitForFunction(isLive, null, { timeout: 30_000 });
  return page;
}

/** The loudest sample that the loudspeaker played, with full scale 1. */
function loudest() {
  if (!fs.existsSync(s.file)) return 0;
  const bytes = fs.readFileSync(s.file);
  return new Int16Array(bytes.buffer, bytes.byteOffset, bytes.length >> 1)
    .reduce((most, it) => Math.max(most, Math.abs(it)), 0) / 32768;
}

const session = (page) => page.evaluate(() => document.querySelector('fanlight-viewer').watch.call.session);
const isState = (page, wanted) => page.waitForFunction((it) =>
  document.querySelector('fanlight-viewer').shadowRoot.querySelector(`.talk[data-is="${it}"]`), wanted);

test('who presses the button of the page is heard until the next press, in the same session', async () => {
  const page = await watching('Anna', 'view,listen,talk,control');
  const first = await session(page);
  assert.equal(loudest(), 0);
  await page.mouse.move(600, 300);
  await page.locator('fanlight-viewer .talk').click();
  await isState(page, 'on');
  await until('the microphone is heard', () => loudest() > 0.05);
  await page.mouse.move(500, 300);
  await page.locator('fanlight-viewer .talk').click();
  await isState(page, 'off');
  await until('the speaker is closed', () => !s.daemon.threads().includes('speaker'), 30_000);
  assert.equal(await session(page), first, 'the session stays');
  const frames = () => page.evaluate(() =>
    document.querySelector('fanlight-viewer').video.getVideoPlaybackQuality().totalVideoFrames);
  const before = await frames();
  await until('the picture moves', async () => await frames() > before);
  await page.context().close();
});

test('a viewer without the right has no button', async () => {
  const page = await watching('Bert', 'view,listen');
  await page.waitForFunction(() => document.querySelector('fanlight-viewer').rights.includes('view'));
  assert.equal(await page.locator('fanlight-viewer .talk').count(), 0);
  await page.context().close();
});
