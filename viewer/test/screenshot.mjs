// Makes docs/screenshot.png: a daemon that shows the drawn door, among other devices. `node test/screenshot.mjs
// path/to/fanlight`
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Broker, browser, here, serve } from './rig.mjs';

const daemon = process.argv[2];
if (!daemon) throw new Error('say where the daemon is: node test/screenshot.mjs path/to/fanlight');
const work = join(here, '.work/screenshot');
rmSync(work, { recursive: true, force: true });
mkdirSync(work, { recursive: true });
const broker = await Broker.start();
const site = await serve({ broker: broker.url });
const chromium = await browser();
const stage = await chromium.newPage();
await stage.goto(`${site.url}/device.html`);

const FRAMES = 360; // the drawing is a loop of 12 s
for (let i = 0; i < FRAMES; i++) {
  const jpeg = await stage.evaluate((seconds) => {
    globalThis.canvas ??= Object.assign(document.createElement('canvas'), { width: 1280, height: 720 });
    drawDoor(globalThis.canvas.getContext('2d'), seconds);
    return globalThis.canvas.toDataURL('image/jpeg', 0.97).split(',')[1];
  }, i / 30);
  writeFileSync(join(work, `${String(i).padStart(3, '0')}.jpg`), Buffer.from(jpeg, 'base64'));
}
execFileSync(
  'ffmpeg', ['-v', 'error', '-framerate', '30', '-i', join(work, '%03d.jpg'), '-c:v', 'copy', join(work, 'door.mjpeg')]
);
writeFileSync(join(work, 'fanlight.toml'), `device = "front-door"
name = "Front door"
[broker]
url = "mqtt://127.0.0.1:${broker.tcp}"
[access]
mode = "broker"
the_broker_can_watch = true
[video]
source = "clip:${join(work, 'door.mjpeg')}"
size = "1280x720"
fps = 30
bitrate_kbps = 3000
[audio]
source = "tone"
[webrtc]
loopback = true
`);
const child = spawn(
  daemon, ['run', '--config', join(work, 'fanlight.toml')], { stdio: ['ignore', 'inherit', 'inherit'] }
);
const gone = new Promise((resolve) => child.once('exit', resolve));
try {
  for (const [device, settings] of [
    ['garden', { name: 'Garden' }], ['workshop', { name: 'Workshop', viewers: 1 }],
    ['cellar', { name: 'Cellar', media: { video: 'absent', audio: 'ok' } }], ['garage', { name: 'Garage' }],
  ]) {
    await stage.evaluate(
      ([it]) => new Promise((resolve) => new FakeDevice(it).client.once('connect', resolve)),
      [{ broker: broker.url, device, ...settings }]
    );
  }
  const context = await chromium.newContext({ viewport: { width: 1280, height: 632 }, colorScheme: 'dark' });
  const page = await context.newPage();
  await page.goto(site.url);
  const row = page.locator('[data-device="front-door"] button');
  await row.hover();
  await row.click();
  await page.waitForFunction(() => document.querySelector('fanlight-viewer')?.state === 'live');
  await page.evaluate(() => document.querySelector('fanlight-viewer').setAttribute('stats', ''));
  await page.waitForTimeout(12_000); // until the statistics are stable
  await page.mouse.move(760, 300);
  await page.waitForTimeout(400);
  const png = join(work, 'screenshot.png');
  await page.screenshot({ path: png });
  // 256 colours, since a picture for a README has to be small.
  execFileSync(
    'ffmpeg',
    [
      '-v', 'error', '-y', '-i', png, '-vf',
      'split[a][b];[a]palettegen=max_colors=256[p];[b][p]paletteuse=dither=sierra2_4a', '-pred', 'mixed',
      join(here, '../../docs/screenshot.png'),
    ]
  );
} finally {
  child.kill('SIGTERM');
  await gone;
  await chromium.close();
  await site.close();
  await broker.stop();
}
