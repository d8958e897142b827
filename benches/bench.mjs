// What the daemon costs and how fast it is: Debian's Chromium as the viewer, on the same machine, over loopback.
// Prints a table of medians; `--json FILE` keeps every run.

import fs from 'node:fs';
import os from 'node:os';
import { open, pages } from '../tests/browser/fixture.mjs';
import { ViewerPage } from '../tests/browser/paired_page.mjs';
import { Broker, Daemon, browser, serve, until, daemonBinary, viewerFiles } from '../tests/browser/processes.mjs';

const option = (name, otherwise) => {
  const i = process.argv.indexOf(`--${name}`);
  return i < 0 ? otherwise : process.argv[i + 1];
};
const runs = Number(option('runs', 5));
const quick = process.argv.includes('--quick');
const counts = quick ? [1, 4] : [1, 4, 10];

const median = (list) => quantile(list, 0.5);
const quantile = (list, q) => {
  const sorted = [...list].sort((a, b) => a - b);
  return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] : NaN;
};
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

const settings = {
  video: { source: 'test', size: '1280x720', fps: 30, bitrate_kbps: 2000, linger_s: 0 },
  audio: { source: 'tone', linger_s: 0 },
  limits: { viewers: 16, sessions_per_viewer: 16, setups: 16, messages_per_second: 1000 },
};

const broker = await Broker.start();
const site = await serve(pages);
const chromium = await browser();

let tabs = 0;
const page = () => open(chromium, site, broker, `tab${(tabs += 1)}`);

async function picture(page, calls = 'offer') {
  const session = await page.evaluate((calls) => window.watch({ calls }), calls);
  const report = await until('a picture', async () => {
    const report = await page.evaluate((s) => window.report(s), session);
    return report.at.picture && report.frames > 2 && report;
  });
  return { session, report };
}

/** What each step took: both ways of calling have the same steps, in another order. */
const steps = (at) => {
  const described = Math.max(at.answer ?? 0, at.answered ?? 0);
  return {
    described: described - at.asked,
    ice: at['ice connected'] - described,
    dtls: at.connected - at['ice connected'],
    picture: at.picture - at.connected,
    all: at.picture - at.asked,
  };
};

/** First picture, several times, with the camera on (somebody watches already) or off. */
async function firstPicture(on, calls) {
  const other = on ? await page() : null;
  const watched = on ? await picture(other) : null;
  const viewer = await page();
  const list = [];
  for (let run = 0; run < Math.max(runs, 9); run += 1) {
    if (!on) await until('the camera is off', () => !daemon.threads().includes('video'));
    const { session, report } = await picture(viewer, calls);
    list.push(steps(report.at));
    await viewer.evaluate((s) => window.leave(s), session);
    await pause(300);
  }
  if (on) await other.evaluate((s) => window.leave(s), watched.session);
  for (const p of [viewer, other]) await p?.context().close();
  return list;
}

/**
 * First picture by the viewer component, several times, in one of the modes: from `play` to the state `live`. The
 * camera is off before.
 */
async function firstByComponent(mode) {
  const daemon = await Daemon.start(broker, { ...settings, device: mode, keys: mode === 'keys' ? [] : undefined });
  const site = await serve([viewerFiles], { '/config.json': JSON.stringify({ broker: broker.url, device: mode }) });
  const invited = mode === 'keys' && await daemon.pair(`${site.url}/`, broker.url);
  const viewer = await ViewerPage.open(chromium, invited ? invited.link : `${site.url}/`);
  if (invited) {
    await viewer.accept('bench');
    if (await viewer.pairing() !== null) throw new Error('the page is not paired');
  }
  await viewer.again();
  await viewer.is('live');
  const list = [];
  for (let run = 0; run < Math.max(runs, 9); run += 1) {
    await viewer.stop();
    await until('the camera is off', () => !daemon.threads().includes('video'));
    await pause(300);
    list.push(await viewer.page.evaluate(() => new Promise((live) => {
      const it = document.querySelector('fanlight-viewer');
      const began = performance.now();
      it.addEventListener('fanlight-state', ({ detail }) => detail.state === 'live' && live(performance.now() - began));
      it.play().catch(() => {});
    })));
  }
  await viewer.close();
  await daemon.stop();
  site.close();
  return list;
}

function threadCpu(name) {
  let sum = 0;
  for (const id of fs.readdirSync(`/proc/${daemon.pid}/task`)) {
    try {
      const stat = fs.readFileSync(`/proc/${daemon.pid}/task/${id}/stat`, 'utf8');
      if (!stat.includes(`(${name})`)) continue;
      const fields = stat.split(') ')[1].split(' ');
      sum += (Number(fields[11]) + Number(fields[12])) / 100;
    } catch { /* the thread ended between the two reads */ }
  }
  return sum;
}

/**
 * CPU, memory and, if somebody watches, delay, over windows of a few seconds. One viewer is shown, and its picture
 * clock read; the others, in a page of their own, decode without showing: two cores do not draw ten pictures.
 */
async function state(viewers) {
  const watching = [];
  if (viewers) {
    const p = await page();
    watching.push({ page: p, ...(await picture(p)) });
  }
  const report = ({ page, session }) => page.evaluate((s) => window.report(s), session);
  const crowd = viewers > 1 ? await page() : null;
  for (let i = 1; i < viewers; i += 1) {
    const session = await crowd.evaluate(() => window.watch({ show: false }));
    const hidden = { page: crowd, session };
    await until('a hidden picture', async () => (await report(hidden)).video?.framesDecoded > 2);
    watching.push(hidden);
  }
  await pause(quick ? 2000 : 4000);
  const decoded = () => Promise.all(watching.map(async (viewer) => (await report(viewer)).video?.framesDecoded ?? 0));
  const forget = (session) => {
    const h = window.handle(session);
    h.delays = [];
    h.frames = 0;
  };
  const result = { cpu: [], video: [], audio: [], memory: [], p50: [], p95: [], fps: [], least: [] };
  for (let run = 0; run < runs; run += 1) {
    for (const { page, session } of watching) await page.evaluate(forget, session);
    const before = await decoded();
    const [cpu, video, audio, t] = [daemon.cpu(), threadCpu('video'), threadCpu('audio'), performance.now()];
    await pause(quick ? 3000 : 6000);
    const seconds = (performance.now() - t) / 1000;
    result.cpu.push(100 * (daemon.cpu() - cpu) / seconds);
    result.video.push(100 * (threadCpu('video') - video) / seconds);
    result.audio.push(100 * (threadCpu('audio') - audio) / seconds);
    result.memory.push(daemon.memory() / 1024);
    const reports = await Promise.all(watching.map(report));
    const after = await decoded();
    const delays = reports.flatMap((r) => r.delays);
    if (delays.length) {
      result.p50.push(quantile(delays, 0.5));
      result.p95.push(quantile(delays, 0.95));
      result.fps.push(reports[0].frames / seconds);
      result.least.push(Math.min(...after.map((n, i) => n - before[i])) / seconds);
    }
  }
  for (const { page, session } of watching) await page.evaluate((s) => window.leave(s), session);
  for (const p of new Set(watching.map(({ page }) => page))) await p.context().close();
  await until('the camera is off', () => !daemon.threads().includes('video'));
  return result;
}

let daemon = await Daemon.start(broker, settings);
await pause(1000);
const idle = await state(0);
const first = {};
for (const calls of ['offer', 'request']) {
  first[calls] = { off: await firstPicture(false, calls), on: await firstPicture(true, calls) };
}
const { on, off } = first.offer;
await daemon.stop();
daemon = await Daemon.start(broker, settings);
const with_ = {};
for (const n of counts) with_[n] = await state(n);
await daemon.stop();
const component = {};
for (const mode of ['broker', 'keys']) component[mode] = await firstByComponent(mode);
await chromium.close();
site.close();
await broker.stop();

const f = (x, digits = 0) => (Number.isFinite(x) ? x.toFixed(digits) : '–');
const step = (list, key) => f(median(list.map((s) => s[key])));
const size = fs.statSync(daemonBinary).size;
const most = counts.at(-1);
const viewersOf = (n) => `${n} viewer${n > 1 ? 's' : ''}`;
const perViewer = (key) => (median(with_[most][key]) - median(with_[1][key])) / (most - 1);
const cpus = os.cpus();
console.log(`machine: ${cpus[0].model.trim()}, ${cpus.length} cores, ${os.release()}; medians of ${runs} runs\n`);
console.log('| what | median |\n|---|---|');
console.log(`| first picture, camera on | ${step(on, 'all')} ms |`);
console.log(`| first picture, camera off | ${step(off, 'all')} ms |`);
for (const [mode, list] of Object.entries(component)) {
  console.log(`| first picture by the viewer component, camera off, mode \`${mode}\` | ${f(median(list))} ms |`);
}
for (const n of counts) {
  const s = with_[n];
  console.log(`| capture → shown, ${viewersOf(n)}: p50 / p95 | ${f(median(s.p50))} / ${f(median(s.p95))} ms |`);
  const [by, least] = n > 1 ? [' (decoded by the slowest)', ` (${f(median(s.least), 1)})`] : ['', ''];
  console.log(`| frames/s shown, ${viewersOf(n)}${by} | ${f(median(s.fps), 1)}${least} |`);
}
console.log(`| CPU idle | ${f(median(idle.cpu), 2)} % of a core |`);
for (const n of counts) console.log(`| CPU with ${viewersOf(n)} | ${f(median(with_[n].cpu), 1)} % of a core |`);
console.log(`| – of it the video thread (test picture and encoder) | ${f(median(with_[1].video), 1)} % |`);
console.log(`| – of it the audio thread | ${f(median(with_[1].audio), 1)} % |`);
console.log(`| CPU of each further viewer | ${f(perViewer('cpu'), 2)} % of a core |`);
console.log(`| memory idle, before the first viewer | ${f(median(idle.memory), 1)} MiB |`);
for (const n of counts) console.log(`| memory with ${viewersOf(n)} | ${f(median(with_[n].memory), 1)} MiB |`);
console.log(`| memory of each further viewer | ${f(perViewer('memory'), 2)} MiB |`);
console.log(`| binary, stripped | ${f(size / 2 ** 20, 1)} MiB |`);
console.log('\nwhere the time to the first picture goes (medians, ms):\n');
console.log('| | descriptions | → ICE pair | → DTLS | → picture | all | slowest |\n|---|---|---|---|---|---|---|');
for (const [calls, who] of [['offer', 'the viewer offers'], ['request', 'the device offers']]) {
  for (const state of ['on', 'off']) {
    const list = first[calls][state];
    const row = ['described', 'ice', 'dtls', 'picture', 'all'].map((key) => step(list, key));
    console.log(`| ${who}, camera ${state} | ${row.join(' | ')} | ${f(Math.max(...list.map((s) => s.all)))} |`);
  }
}
const file = option('json');
if (file) fs.writeFileSync(file, JSON.stringify({ idle, first, component, with: with_, size }, null, 1));
process.exit(0);
