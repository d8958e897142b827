// Crowds at a board in the mode `keys`: 10,000 strangers with an offer each, and 50 well-formed wrong signatures a
// second in the name of a viewer on the list. Nobody of them gets an answer, nothing is switched on, memory and CPU
// stay within bounds, and the viewer has its picture. Daemon, broker and browser are real.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Crowd, STRANGERS, costOf } from './crowd.mjs';
import { JoseViewer } from './jose_viewer.mjs';
import { ViewerPage } from './paired_page.mjs';
import { Broker, Daemon, browser, serve, until, viewerFiles } from './processes.mjs';

/** What the memory of the daemon may grow by, in KiB. */
const GROWTH = 2048;
/**
 * What may stay of it when everybody has gone: tables that have a size, and pages of the heap that are in use in part.
 * The crowds sent 30,000 messages. If each left 40 bytes behind, it would be more.
 */
const REST = 1024;
/** The part of a core that the daemon may use. */
const CORE = 1 / 3;
/** How long the picture may take, in ms. */
const PICTURE = 5000;

const s = {};
before(async () => {
  s.broker = await Broker.start();
  s.witness = await JoseViewer.make('Witness');
  s.daemon = await Daemon.start(s.broker, {
    keys: [s.witness.entry()], video: { linger_s: 0 }, audio: { linger_s: 0 }, log: 'info,fanlight::signalling=debug',
  });
  await s.witness.connect(s.broker, 'cam');
  s.site = await serve([viewerFiles]);
  s.chromium = await browser();
  const { child, link } = await s.daemon.pair(`${s.site.url}/`, s.broker.url);
  s.page = await ViewerPage.open(s.chromium, link);
  await s.page.accept('Anna');
  assert.equal(await s.page.pairing(), null);
  assert.equal(await child.ended, 0, child.output);
  await s.page.is('live');
  await s.page.stop();
  await quiet();
  const { thumb } = await s.page.identity();
  s.known = [s.witness.id, thumb.slice(0, 22)];
  s.crowd = await Crowd.gather(s.broker, 'cam', thumb);
  await s.crowd.mallory.wire.client.subscribeAsync('fanlight/v1/cam/rsp/+', { qos: 1 });
  s.before = await calm();
});
after(async () => {
  await s.crowd?.close();
  await s.witness?.close();
  await s.chromium?.close();
  await s.daemon?.stop();
  await s.broker?.stop();
  s.site?.close();
});

const starts = () => s.daemon.child.output.split('on, first picture after').length - 1;
const quiet = () =>
  until('the camera is off', () => !s.daemon.threads().some((name) => ['video', 'audio'].includes(name)), 60_000);

/** The memory of the daemon, when it has given back what it can: it does so some seconds after the last viewer. */
function calm() {
  let last, since;
  return until('the memory no longer changes', () => {
    const now = { memory: s.daemon.memory(), heap: s.daemon.heap() };
    if (now.heap !== last?.heap) [last, since] = [now, performance.now()];
    return performance.now() - since > 5000 && last;
  }, 120_000);
}

/** What everybody got who is not on the list. */
const answers = () => s.crowd.mallory.wire.heard.map(({ topic }) => topic)
  .filter((topic) => topic.includes('/rsp/') && !s.known.some((id) => topic.endsWith(id)));

const shown = ({ cpu, memory, heap, strangers, wrong, seconds }) =>
  `${strangers} strangers and ${wrong} wrong signatures within ${seconds.toFixed(1)} s: ${cpu.toFixed(2)} s of CPU ` +
  `(${Math.round((100 * cpu) / seconds)} % of a core), resident memory +${memory} KiB, its own +${heap} KiB`;

/**
 * A flood of which the daemon has read everything. `stalls`: in the middle of it, the daemon gets no processor for half
 * a second, as on a busy board. Then everything comes at once: mosquitto does not keep to Receive Maximum.
 */
const flood = (goes, stalls = false) => costOf(s.daemon, async () => {
  if (stalls) {
    setTimeout(() => process.kill(s.daemon.pid, 'SIGSTOP'), 3000);
    setTimeout(() => process.kill(s.daemon.pid, 'SIGCONT'), 3500);
  }
  const sent = await s.crowd.flood(goes);
  // The broker gives the daemon this question after all the others.
  await s.witness.hello();
  return sent;
});

for (const isPairing of [false, true]) {
  test(`a crowd${isPairing ? ', while the board is pairing,' : ''} gets nothing and costs little`, async (t) => {
    const open = isPairing && await s.daemon.pair(`${s.site.url}/`, s.broker.url);
    const [switched, mark] = [starts(), s.daemon.child.output.length];
    const cost = await flood(undefined, true);
    t.diagnostic(shown(cost));
    assert.ok(cost.strangers >= STRANGERS && cost.wrong >= 500, JSON.stringify(cost));
    assert.deepEqual(answers(), []);
    assert.deepEqual([starts(), (await s.witness.hello()).status.viewers], [switched, 0]);
    assert.ok(Math.max(cost.memory, cost.heap) < GROWTH, JSON.stringify(cost));
    assert.ok(cost.cpu < CORE * cost.seconds, JSON.stringify(cost));
    const log = s.daemon.child.output.slice(mark);
    assert.ok(log.includes('a message was ignored: Signature'), 'the forgeries are right in all but the signature');
    if (!isPairing) return;
    assert.ok(log.includes('a message was ignored: Key'), 'strangers are heard: one of them could know the secret');
    assert.equal(open.child.process.exitCode, null, 'the pairing is still open');
    await open.child.stop('SIGINT');
  });
}

test('a viewer on the list has its picture within 5 s, whatever the crowd does', async (t) => {
  let live = false;
  const flooding = flood(() => !live);
  const begun = performance.now();
  await until('the crowd is there', () => performance.now() - begun > 1000);
  const called = performance.now();
  await s.page.again();
  await s.page.is('live');
  const ms = Math.round(performance.now() - called);
  live = true;
  const cost = await flooding;
  t.diagnostic(`the picture came after ${ms} ms; with the viewer: ${shown(cost)}`);
  assert.ok(cost.strangers >= STRANGERS, JSON.stringify(cost));
  assert.ok(ms < PICTURE, `${ms} ms`);
  assert.deepEqual(answers(), []);
  assert.equal((await s.page.now()).state, 'live');
});

test('when everybody has gone, the memory is given back, and nothing broke', async (t) => {
  await s.page.stop();
  await quiet();
  const now = await calm();
  t.diagnostic(`before and after, in KiB: ${JSON.stringify([s.before, now])}`);
  assert.ok(now.heap - s.before.heap < REST, JSON.stringify([s.before, now]));
  const { output } = s.daemon.child;
  assert.ok(!output.includes('panicked'));
  assert.equal(output.match(/connected by MQTT/g).length, 1, 'the link to the broker held');
});
