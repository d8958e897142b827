// The audit records of a daemon in the mode `keys`, with real browsers and, as root, a real systemd-journald in a mount
// namespace of its own: who watched and who was refused is found by its fields, and a viewer with the right `events` is
// told while it happens.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { after, afterEach, before, test } from 'node:test';
import { Broker, Child, Daemon, browser, serve, until, viewerFiles } from './processes.mjs';

const JOURNALD = '/lib/systemd/systemd-journald';

/** systemd-journald, with a /run of its own. */
class Journal {
  /** Null without root or without systemd. */
  static async start() {
    if (process.getuid() !== 0 || !fs.existsSync(JOURNALD)) return null;
    const it = new Journal();
    it.child = new Child('unshare', ['--mount', 'sh', '-euc', `
      mount -t tmpfs tmpfs /run
      mkdir -p /run/systemd/journal /run/log/journal
      echo 0123456789abcdef0123456789abcdef > /run/machine-id
      [ -e /etc/machine-id ] && mount --bind /run/machine-id /etc/machine-id
      exec ${JOURNALD}`]);
    await until('the journal listens', () => it.run('test', '-S', '/run/systemd/journal/socket') !== null);
    return it;
  }

  /** A command that runs where the journal is. Null if it fails. */
  run(...command) {
    try {
      return execFileSync('nsenter', ['-m', '-t', String(this.child.pid), ...command], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      });
    } catch {
      return null;
    }
  }

  /** What starts a command there as systemd does: it is told that its standard error is the journal. */
  get enter() {
    return [
      'nsenter',
      '-m',
      '-t',
      String(this.child.pid),
      'sh',
      '-c',
      'JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec "$0" "$@"',
    ];
  }

  /** The entries with these fields, without the prefix. */
  records(...fields) {
    const lines = (this.run('journalctl', '--no-pager', '-q', '-o', 'json', ...fields) ?? '')
      .split('\n')
      .filter(Boolean);
    return lines.map((line) =>
      Object.fromEntries(
        Object.entries(JSON.parse(line)).map(([key, value]) => [key.replace(/^FANLIGHT_/, ''), value]),
      ),
    );
  }
}

const s = { links: [] };
before(async () => {
  s.journal = await Journal.start();
  s.broker = await Broker.start();
  s.daemon = await Daemon.start(s.broker, {
    name: 'Front porch', keys: [], limits: { viewers: 1 }, video: { linger_s: 0 }, audio: { linger_s: 0 },
    ...(s.journal ? { place: { enter: s.journal.enter } } : {}),
  });
  s.site = await serve([viewerFiles]);
  s.chromium = await browser();
});
after(async () => {
  await s.chromium?.close();
  await s.daemon?.stop();
  await s.broker?.stop();
  await s.journal?.child.stop();
  s.site?.close();
});
afterEach(async () => {
  for (const context of s.chromium.contexts()) await context.close();
});

/** The records of one kind, from the journal or from the log. */
function records(kind) {
  if (s.journal) return s.journal.records(`FANLIGHT_AUDIT=${kind}`);
  const lines = s.daemon.child.output.split('\n').filter((line) => line.includes(`FANLIGHT_AUDIT=${kind} `));
  return lines.map((line) =>
    Object.fromEntries(
      [...line.matchAll(/FANLIGHT_(\w+)=(?:"((?:[^"\\]|\\.)*)"|(\S+))/g)].map(([, key, quoted, plain]) => [
        key,
        quoted ?? plain,
      ]),
    ),
  );
}
const record = (kind, is) =>
  until(`a record ${kind}`, () => records(kind).find(is), 40_000).catch((error) => {
    throw new Error(`${error.message}; all: ${JSON.stringify(records(kind))}\n${s.daemon.child.output.slice(-3000)}`);
  });

/** A page that keeps what its viewer is told. */
async function open(link, name) {
  const page = await (await s.chromium.newContext()).newPage();
  page.on('pageerror', (error) => console.error(`page: ${error.message}`));
  await page.addInitScript(() => {
    window.told = [];
    document.addEventListener('fanlight-event', ({ detail }) => window.told.push(detail));
  });
  await page.goto(link);
  await page.fill('#pairing [name=self]', name);
  await page.click('#pairing [type=submit]');
  return page;
}
async function pair(name, rights) {
  const { child, link } = await s.daemon.pair(`${s.site.url}/`, s.broker.url, '--rights', rights);
  s.links.push(link);
  const page = await open(link, name);
  assert.equal(await child.ended, 0, child.output);
  return page;
}
const state = (page, wanted) =>
  page.waitForFunction((it) => document.querySelector('fanlight-viewer')?.state === it, wanted, { timeout: 60_000 });
const told = (page, kind, name) => page.waitForFunction(
  ([k, n]) => window.told.find((it) => it.kind === k && it.name === n), [kind, name], { timeout: 40_000 }
).then((it) => it.jsonValue());
const viewers = async (...words) => {
  const command = s.daemon.command('viewers', ...words);
  assert.equal(await command.ended, 0, command.output);
};
const call = (page, what) =>
  page.evaluate((it) => {
    document
      .querySelector('fanlight-viewer')
      [it]()
      ?.catch?.(() => {});
  }, what);

test('who was paired, watched, and was refused is recorded, and a viewer with the right is told', async (t) => {
  if (!s.journal) t.diagnostic('without root and systemd-journald, the records are lines of the log');
  const anna = await pair('Anna’s phone', 'view,listen,events');
  await state(anna, 'live');
  const paired = await record('pair', (it) => it.NAME === 'Anna’s phone');
  assert.equal(paired.RIGHTS, 'view,listen,events');
  assert.equal((await record('list', (it) => it.NAME === 'Anna’s phone')).CHANGE, 'add');
  const start = await record('start', (it) => it.VIEWER === paired.VIEWER);
  assert.deepEqual([start.NAME, start.RIGHTS, start.SESSION.length], ['Anna’s phone', 'view,listen,events', 8]);

  const bert = await pair('Bert', 'view');
  const pairedToo = await told(anna, 'pair', 'Bert');
  const refused = await record('refuse', (it) => it.NAME === 'Bert');
  assert.equal(refused.REASON, 'busy');
  assert.deepEqual([pairedToo.viewer, pairedToo.rights, pairedToo.self], [refused.VIEWER, ['view'], false]);
  assert.equal((await told(anna, 'refuse', 'Bert')).reason, 'busy');
  await anna.waitForFunction(() =>
    /Bert.* was turned away: all places are taken/.test(document.getElementById('toasts').textContent),
  );

  // For some seconds, so that there is something to count.
  await anna.waitForFunction(() => document.querySelector('fanlight-viewer')?.statistics?.framesDecoded > 60, null, {
    timeout: 60_000,
  });
  await call(anna, 'stop');
  const end = await record('end', (it) => it.VIEWER === paired.VIEWER);
  assert.deepEqual([end.SESSION, end.NAME, end.REASON], [start.SESSION, 'Anna’s phone', 'bye']);
  assert.match(end.ROUTE, /^(host|srflx|prflx)-(host|srflx|prflx) udp$/);
  assert.ok(Number(end.BYTES) > 50_000 && Number(end.BYTES) < 50e6 && Number(end.SECONDS) >= 1, JSON.stringify(end));
  const own = await told(anna, 'end', 'Anna’s phone');
  assert.deepEqual(
    [own.self, own.bytes, own.seconds, own.route],
    [true, Number(end.BYTES), Number(end.SECONDS), end.ROUTE],
  );

  await call(bert, 'play');
  await state(bert, 'live');
  await told(anna, 'start', 'Bert');
  assert.deepEqual(await bert.evaluate(() => window.told), [], 'who has not the right is told nothing');
  const shown = await anna.evaluate(() =>
    [...document.querySelectorAll('.toast p')].map((it) => it.textContent.replace(/[\u2066-\u2069]/g, '')),
  );
  assert.ok(
    shown.includes('Bert started watching') && !shown.some((it) => it.startsWith('Anna')),
    JSON.stringify(shown),
  );

  // The right is taken away: from now on Anna is told nothing.
  await viewers('rights', 'Anna’s phone', 'view,listen');
  await record('list', (it) => it.CHANGE === 'rights');
  const known = await anna.evaluate(() => window.told.length);
  await call(bert, 'stop');
  await record('end', (it) => it.VIEWER === refused.VIEWER);
  await viewers('remove', 'Bert');
  await record('list', (it) => it.CHANGE === 'remove' && it.NAME === 'Bert');
  // What the daemon said before this answer has arrived.
  await call(anna, 'play');
  await state(anna, 'live');
  assert.equal(await anna.evaluate(() => window.told.length), known);
});

test('a pairing that ends without a viewer is recorded', async () => {
  const { child } = await s.daemon.pair(`${s.site.url}/`, s.broker.url, '--name', 'hall');
  await child.stop('SIGINT');
  const cancelled = await record('pair', (it) => it.NAME === 'hall');
  assert.deepEqual([cancelled.REASON, cancelled.RIGHTS, cancelled.VIEWER], ['cancelled', 'view,listen', undefined]);
  const { link } = await s.daemon.pair(`${s.site.url}/`, s.broker.url, '--name', 'attic');
  const json = JSON.parse(Buffer.from(link.split('#p=')[1], 'base64url'));
  const wrong = Buffer.from(JSON.stringify({ ...json, secret: 'A'.repeat(22) })).toString('base64url');
  // A page repeats its request, which counts once. Each page has a key of its own.
  for (let page = 0; page < 5; page += 1) await open(`${s.site.url}/#p=${wrong}`, 'Mallory');
  const ended = await record('pair', (it) => it.NAME === 'attic');
  assert.equal(ended.REASON, 'wrong_secret');
});

test('nothing secret is in a record, and no record is a line of the log too', async (t) => {
  if (!s.journal) return t.skip('needs root and systemd-journald');
  const all = ['refuse', 'start', 'end', 'pair', 'list'].flatMap(records);
  assert.ok(all.length > 10, `${all.length} records`);
  const own = all
    .map((it) => JSON.stringify(Object.fromEntries(Object.entries(it).filter(([key]) => !key.startsWith('_')))))
    .join('\n');
  for (const link of s.links) {
    const text = link.split('#p=')[1];
    assert.ok(!own.includes(text) && !own.includes(JSON.parse(Buffer.from(text, 'base64url')).secret));
  }
  assert.ok(!/\b\d+\.\d+\.\d+\.\d+\b|v=0|candidate|ufrag|eyJ|[A-Za-z0-9_-]{43}/.test(own), own);
  assert.equal(new Set(all.map((it) => it.__CURSOR)).size, all.length);
  assert.ok(
    all.every((it) => it._TRANSPORT === 'journal' && it.SYSLOG_IDENTIFIER === 'fanlight' && it.PRIORITY === '6'),
  );
  assert.ok(!s.daemon.child.output.includes('audit: '), s.daemon.child.output);
});
