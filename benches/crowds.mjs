// What a crowd costs a board in the mode `keys`: 10,000 strangers with an offer each, and 50 wrong signatures a second
// in the name of a viewer on the list. Prints a table; `--runs N` repeats it, and the table has the worst of all runs.

import { Crowd, costOf } from '../tests/browser/crowd.mjs';
import { JoseViewer } from '../tests/browser/jose_viewer.mjs';
import { ViewerPage } from '../tests/browser/paired_page.mjs';
import { Broker, Daemon, browser, serve, until, viewerFiles } from '../tests/browser/processes.mjs';

const at = process.argv.indexOf('--runs');
const runs = at < 0 ? 3 : Number(process.argv[at + 1]);

const broker = await Broker.start();
const site = await serve([viewerFiles]);
const chromium = await browser();
const witness = await JoseViewer.make('Witness');
const daemon = await Daemon.start(broker, { keys: [witness.entry()], video: { linger_s: 0 }, audio: { linger_s: 0 } });
await witness.connect(broker, 'cam');
const { child, link } = await daemon.pair(`${site.url}/`, broker.url);
const page = await ViewerPage.open(chromium, link);
await page.accept('Anna');
if (await page.pairing() !== null) throw new Error('the page is not paired');
await child.ended;
await page.is('live');
const { thumb } = await page.identity();

/** Nobody watches, and the daemon has given back what it can. */
async function calm() {
  await page.stop();
  await until('the camera is off', () => !daemon.threads().includes('video'), 60_000);
  let last, since;
  await until('the memory no longer changes', () => {
    const now = daemon.heap();
    if (now !== last) [last, since] = [now, performance.now()];
    return performance.now() - since > 5000;
  }, 120_000);
}

/** One flood, and what it cost. `goes`: whether it goes on. */
async function flood(goes) {
  const crowd = await Crowd.gather(broker, 'cam', thumb);
  try {
    return await costOf(daemon, async () => {
      const sent = await crowd.flood(goes);
      await witness.hello();
      return sent;
    });
  } finally {
    await crowd.close();
  }
}

async function watched() {
  let live = false;
  let ms = 0;
  const flooding = flood(() => !live);
  const began = performance.now();
  await until('the crowd is there', () => performance.now() - began > 1000);
  const called = performance.now();
  await page.again();
  await page.is('live');
  ms = performance.now() - called;
  live = true;
  return { ...await flooding, ms };
}

const kinds = [
  ['nobody watches', () => flood()],
  ['nobody watches, and the board is pairing', async () => {
    const open = await daemon.pair(`${site.url}/`, broker.url);
    const cost = await flood();
    await open.child.stop('SIGINT');
    return cost;
  }],
  ['a viewer on the list calls during it', watched],
];
const rows = [];
for (const [what, does] of kinds) {
  const all = [];
  for (let run = 0; run < runs; run += 1) {
    await calm();
    all.push(await does());
  }
  const worst = (of) => Math.max(...all.map(of));
  const picture = worst(({ ms }) => ms ?? 0);
  rows.push([
    what, `${Math.round(worst(({ cpu, seconds }) => (100 * cpu) / seconds))} % of a core`,
    `${(worst(({ memory }) => memory) / 1024).toFixed(1)} MiB`, picture ? `${Math.round(picture)} ms` : '–',
  ]);
}
await chromium.close();
await daemon.stop();
await witness.close();
await broker.stop();
site.close();
console.log(`the worst of ${runs} runs\n`);
console.log('| 10,000 strangers, 50 wrong signatures a second | CPU | memory grows by | picture after |');
console.log('|---|---|---|---|');
for (const row of rows) console.log(`| ${row.join(' | ')} |`);
process.exit(0);
