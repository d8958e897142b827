// Follows docs/guide/install.md on an emulated arm64 board with 384 MiB, with Debian's systemd and kernel and the
// package that cross/build.sh made. Broker and browser run outside of the board. All tests share one boot, and each
// continues where the last one ended. They print figures and check their limits.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Lab, PATIENCE, until } from './emulated_board.mjs';
import { folder, top } from './processes.mjs';

const package_ = process.env.FANLIGHT_DEB;
const [WIDTH, HEIGHT, FPS] = [320, 180, 5];
/** Seconds that a rate is measured for. */
const MINUTE = 60;
const MIB = 1 << 20;
let lab, page, session;

before(async () => {
  assert.ok(package_, 'FANLIGHT_DEB names the package: cross/build.sh aarch64-unknown-linux-gnu makes it');
  lab = await Lab.up({ program: path.join(top, 'board/arm64/run'), files: false });
  console.log(lab.guestChild.output.trim()); // tells of a second try, too
  fs.copyFileSync(package_, path.join(lab.share, 'fanlight.deb'));
  newer(package_, path.join(lab.share, 'newer.deb'));
  fs.writeFileSync(path.join(lab.share, 'listing'), LISTING);
});

after(() => lab?.down());

/** A test. If it fails, the error has the log of the service. */
function check(what, body) {
  test(what, async (t) => {
    try {
      await body((text) => t.diagnostic(text));
    } catch (error) {
      const log = await lab
        .guest(
          'systemctl status --no-pager -l fanlight; journalctl --no-pager -o short-monotonic -n 60 -u fanlight; true',
        )
        .catch((e) => e.message);
      throw new Error(`${error.stack}\n${log}`, { cause: error });
    }
  });
}

/** The same package one version on, with another template of a configuration. gzip, because xz takes long in there. */
function newer(deb, to) {
  const tree = path.join(folder('deb'), 'tree');
  execFileSync('dpkg-deb', ['-R', deb, tree]);
  const control = path.join(tree, 'DEBIAN/control');
  fs.writeFileSync(control, fs.readFileSync(control, 'utf8').replace(/^Version: .*/m, '$&.1'));
  fs.appendFileSync(path.join(tree, 'usr/share/fanlight/fanlight.toml'), '# newer\n');
  execFileSync('dpkg-deb', ['--root-owner-group', '-Zgzip', '-z1', '-b', tree, to]);
}

/** Every file but the package manager's own records and the backups of the user database. */
const LISTING = `find / -xdev \\( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /run -o -path /board \\
    -o -path /var/lib/dpkg -o -path /var/log -o -path /var/cache -o -path /var/lib/apt -o -path /var/lib/systemd \\
    -o -name '*-' \\) -prune -o -print | sort\n`;

const shown = async (property) => (await lab.guest(`systemctl show -P ${property} fanlight`)).trim();
const journal = () => lab.guest('journalctl --no-pager -o cat -u fanlight');
/** The service runs as another process than `pid`, and that one is at the broker. */
const connected = (pid) => until('the service is up, and at the broker', async () => {
  const now = await shown('MainPID');
  return (
    now !== pid &&
    (await shown('StatusText')).startsWith('cam: broker ') &&
    (await lab.guest(`journalctl --no-pager -o cat _PID=${now}`)).includes('connected by MQTT 5')
  );
});
const apt = (words) => lab.guest(`DEBIAN_FRONTEND=noninteractive apt-get -q -y ${words}`, 300);

/** The heap of the idle daemon, in MiB. */
let idleHeap;

/**
 * Memory of the daemon (resident, its share of it, heap) and of the board in MiB, bytes that the daemon and all of the
 * board sent to the disk, lines in the journal.
 */
async function figures() {
  const text = await lab.guest(
    'pid=$(systemctl show -P MainPID fanlight); cat /proc/$pid/smaps_rollup /proc/$pid/io /proc/meminfo; ' +
      'awk \'{ print "sectors: " $7 }\' /sys/block/vda/stat; ' +
      'echo "lines: $(journalctl --no-pager -o cat -u fanlight | wc -l)"',
  );
  const value = (name) =>
    Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? assert.fail(`no ${name} in:\n${text}`));
  const mib = (name) => Math.round(value(name) / 102.4) / 10;
  return {
    rss: mib('Rss'),
    pss: mib('Pss'),
    heap: mib('Anonymous'),
    available: mib('MemAvailable'),
    total: mib('MemTotal'),
    written: value('write_bytes'),
    disk: value('sectors') * 512,
    lines: value('lines'),
  };
}

/** What a minute costs. The interval is what is measured, not a wait for something. */
async function minute(tell, what) {
  const from = await figures();
  await new Promise((tick) => setTimeout(tick, 1000 * MINUTE));
  const to = await figures();
  const spent = { ...to, written: to.written - from.written, disk: to.disk - from.disk, lines: to.lines - from.lines };
  tell(
    `${what}: the daemon's RSS ${to.rss} MiB, PSS ${to.pss} MiB, heap ${to.heap} MiB; ` +
      `${to.available} of ${to.total} MiB available; in ${MINUTE} s ${spent.lines} lines in the journal, ` +
      `${spent.written} bytes written by the daemon, ${spent.disk} by the whole board`,
  );
  return spent;
}

/** A viewer outside; the pictures it sees. */
async function watch(viewer) {
  page = await lab.tab(viewer);
  session = await page.evaluate(() => window.watch());
}
const report = () => page.evaluate((s) => window.report(s), session);
async function moves(more) {
  const { frames } = await report();
  return until('moving pictures', async () => {
    const r = await report();
    if (r.frames < frames + more)
      throw new Error(JSON.stringify({ state: r.state, frames: r.frames, said: r.said.map(({ sdp, ...m }) => m) }));
    return r;
  }, 2 * PATIENCE);
}

check('apt installs the package, and the service runs and waits for its setup', async (tell) => {
  await lab.guest('sh /board/listing > /board/before.txt');
  const begun = performance.now();
  await apt('install /board/fanlight.deb');
  tell(`installed within ${Math.round((performance.now() - begun) / 1000)} s`);
  assert.equal((await lab.guest('dpkg --print-architecture; fanlight --version')).split('\n')[0], 'arm64');
  await until('the service is up', async () => (await shown('ActiveState')) === 'active');
  assert.equal(await shown('StatusText'), 'not set up yet: sudo fanlight setup');
  assert.equal((await lab.guest('systemctl is-enabled fanlight')).trim(), 'enabled');
  const told = await lab.guest('fanlight check 2>&1; echo "status $?"');
  assert.match(told, /fanlight setup[\s\S]*status 78/);
});

check('probe finds the devices, setup writes the configuration, and the board connects to the broker', async () => {
  await lab.guest(
    'modprobe vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0x0 vid_cap_nr=0 && modprobe snd-aloop',
  );
  const found = await lab.guest('fanlight probe');
  assert.match(found, /\/dev\/video0/);
  assert.match(found, /CARD=Loopback/);
  fs.writeFileSync(path.join(lab.share, 'password'), 'secret\n');
  await lab.guest(
    'fanlight setup --device cam --broker mqtts://10.77.0.1:8883 --user cam --password-file /board/password ' +
      '--ca-file /board/ca.pem --camera /dev/video0 --microphone plughw:CARD=Loopback,DEV=1 --the-broker-can-watch',
    240,
  );
  await connected('0');
  assert.equal((await lab.guest('stat -c "%U %a" /etc/fanlight/broker-password')).trim(), 'fanlight 600');
  // A picture that fits a processor that is emulated.
  const small = `s/^size = .*/size = "${WIDTH}x${HEIGHT}"/; s/^fps = .*/fps = ${FPS}\\nbitrate_kbps = 200/`;
  await lab.guest(`sed -i '${small}' /etc/fanlight/fanlight.toml`);
  const pid = await shown('MainPID');
  await lab.guest('fanlight check && systemctl restart fanlight');
  await connected(pid);
  await lab.guest('cp /etc/fanlight/fanlight.toml /board/mine.toml');
});

check('the idle daemon needs little memory and writes nothing to the disk', async (tell) => {
  const { rss, pss, heap, available, total, written, lines } = await minute(tell, 'idle');
  idleHeap = heap;
  assert.ok(total < 384, `${total} MiB`);
  // Half of it is the program itself, which is not optimized here; a release has less.
  assert.ok(rss < 24 && pss < 20, `RSS ${rss}, PSS ${pss} MiB`);
  assert.ok(available > 200, `${available} MiB`);
  assert.equal(written, 0);
  assert.ok(lines <= 2, `${lines} lines`);
});

check('a browser outside of the board sees the camera and gets the sound', async (tell) => {
  await watch('anna');
  const { width, height } = await moves(10);
  assert.deepEqual([width, height], [WIDTH, HEIGHT]);
  await until('sound', async () => (await report()).audio?.packetsReceived > 50);
  // vivid's test card: bars from white to black, below what is written on it.
  const [{ grid }] = await page.evaluate((s) => window.grids(s, 1, 8, 4), session);
  const parts = Array.from({ length: 8 }, (_, i) =>
    grid
      .slice(3 * (24 + i), 3 * (24 + i) + 3)
      .map((part) => (part > 120 ? 1 : 0))
      .join(''),
  );
  assert.deepEqual(parts, ['111', '110', '011', '010', '101', '100', '001', '000']);
  assert.match(await journal(), new RegExp(`vivid gives ${WIDTH}x${HEIGHT} .* at ${FPS}/s`));

  const [before, begun] = [await report(), performance.now()];
  const { rss, pss, available, written, disk, lines } = await minute(tell, 'watched');
  const [now, seconds] = [await report(), (performance.now() - begun) / 1000];
  const rate = (count) => (count / seconds).toFixed(1);
  const sounds = now.audio.packetsReceived - before.audio.packetsReceived;
  tell(`${rate(now.frames - before.frames)} pictures and ${rate(sounds)} sound packets a second reach the browser`);
  assert.ok(now.frames - before.frames > MINUTE, `${now.frames - before.frames} pictures`);
  assert.ok(rss < 40 && pss < 32, `RSS ${rss}, PSS ${pss} MiB`);
  assert.ok(available > 180, `${available} MiB`);
  assert.equal(written, 0, 'the daemon writes nothing to the disk');
  assert.ok(disk < MIB, `${disk} bytes written by all of the board`);
  // Two in ten seconds while the emulated processor loses pictures and sound, and a network message now and then.
  assert.ok(lines <= 30, `${lines} lines`);
});

check('after the last viewer, the daemon closes the devices and gives memory back', async (tell) => {
  await page.evaluate((s) => window.leave(s), session);
  await page.context().close();
  await until('camera and microphone are closed', async () =>
    !/\/dev\/(video|snd)/.test(await lab.guest('ls -l /proc/$(systemctl show -P MainPID fanlight)/fd')));
  // The heap is what can be given back. The program's own pages stay: the kernel drops them when memory is short.
  const { rss, pss, heap } = await until('memory is given back', async () => {
    const now = await figures();
    if (now.heap >= idleHeap + 3) throw new Error(`idle ${idleHeap} MiB, now ${JSON.stringify(now)}`);
    return now;
  });
  tell(`afterwards: RSS ${rss} MiB, PSS ${pss} MiB, heap ${heap} MiB (idle ${idleHeap} MiB)`);
});

check('an upgrade keeps the configuration, and the picture comes back', async () => {
  const pid = await shown('MainPID');
  await apt('-o Dpkg::Options::=--force-confold install /board/newer.deb');
  await connected(pid);
  await lab.guest('cmp /board/mine.toml /etc/fanlight/fanlight.toml');
  await watch('bert');
  await moves(5);
});

check('a purge during a session leaves no file, user or process', async () => {
  await apt('purge fanlight');
  await until('the viewer gets bye', async () => (await report()).said.some((m) => m.type === 'bye'));
  assert.equal(await shown('LoadState'), 'not-found');
  assert.match(await lab.guest('id fanlight 2>&1; true'), /no such user/);
  assert.equal(await lab.guest('ps -eo args | grep "[/]usr/bin/fanlight"; true'), '');
  assert.equal(await lab.guest('sh /board/listing | diff /board/before.txt - ; true'), '');
});
