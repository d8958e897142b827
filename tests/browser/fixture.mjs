// The fixtures of browser tests: one broker and daemon for each test file, and, if it needs them, a page and Chromium.
// After each test, all pages and sessions are closed.

import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, afterEach, before } from 'node:test';
import { Broker, Daemon, browser, serve, until } from './processes.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
/** The folders of the test pages. */
export const pages = [path.join(here, 'pages'), path.join(here, 'node_modules/mqtt/dist')];

/** Opens a page of `site` in its own browser context, connected to the broker as `viewer`. */
export async function open(chromium, site, broker, viewer, device = 'cam') {
  const page = await (await chromium.newContext()).newPage();
  page.on('pageerror', (error) => console.error(`page: ${error.message}`));
  await page.goto(`${site.url}/plain.html`, { waitUntil: 'domcontentloaded' });
  await page.waitForFunction(() => window.connect && window.mqtt);
  await page.evaluate((to) => window.connect(to), { broker: broker.url, device, viewer }).catch((error) => {
    throw new Error(`${error.message}\nbroker: ${broker.child?.output.slice(-2000)}`);
  });
  return page;
}

export const report = (page, session) => page.evaluate((s) => window.report(s), session);
export const leave = (page, session) => page.evaluate((s) => window.leave(s), session);

/** Starts to watch, and waits until pictures move and the picture clock can be read. */
export async function watch(page, options, daemon) {
  const session = await page.evaluate((o) => window.watch(o), options);
  const seen = await until('moving pictures with a clock', async () => {
    const r = await report(page, session);
    return r.frames > 10 && r.delays.length > 5 ? r : false;
  }).catch(async (error) => {
    const r = await report(page, session);
    const brief = JSON.stringify({ ...r, video: undefined, audio: undefined });
    throw new Error(`${error.message}\npage: ${brief}\n${daemon?.child.output.slice(-3000)}`);
  });
  return { session, seen };
}

/** A broker and a daemon for a test file. The fields exist when the first test starts. */
export function daemonFixture(settings = {}) {
  const s = {};
  before(async () => {
    s.broker = await Broker.start();
    s.daemon = await Daemon.start(s.broker, settings);
  });
  after(async () => {
    await s.daemon?.stop();
    await s.broker?.stop();
  });
  s.isOn = () => s.daemon.threads().some((name) => name === 'video' || name === 'audio');
  s.cameraIsOff = (ms = 60_000) => until('camera and microphone are off', () => !s.isOn(), ms);
  return s;
}

/** The same with Chromium, and with a site of test pages or of other `folders`. */
export function fixture(settings = {}, folders = pages) {
  const linger = { video: { linger_s: 1, ...settings.video }, audio: { linger_s: 1, ...settings.audio } };
  const s = Object.assign(daemonFixture({ ...settings, ...linger }), { tabs: 0 });
  before(async () => {
    s.site = await serve(folders);
    s.chromium = await browser();
  });
  after(async () => {
    await s.chromium?.close();
    s.site?.close();
  });
  // A failed test leaves no session for the next one.
  afterEach(async () => {
    for (const context of s.chromium?.contexts() ?? []) {
      for (const page of context.pages()) await page.evaluate(() => window.leaveAll?.()).catch(() => {});
      await context.close();
    }
    await s.cameraIsOff().catch(() => {});
  });
  s.tab = (viewer = `tab${(s.tabs += 1)}`) => open(s.chromium, s.site, s.broker, viewer);
  s.watch = (page, options) => watch(page, options, s.daemon);
  return s;
}
