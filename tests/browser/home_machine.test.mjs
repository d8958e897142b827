// Follows docs/guide/home.md on a machine under systemd with avahi: the package, one command, a QR code, a browser that
// accepts one certificate, a restart, another address, and the purge. It prints the time of each step.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { HomeBoard } from './home_board.mjs';
import { folder, top, until } from './processes.mjs';
import { Machine, cannot } from './systemd_machine.mjs';

let reason = cannot();
let machine, home, clean;

/** The package of the built daemon. */
function deb() {
  const options = { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] };
  const built = () => execFileSync(path.join(top, 'package/build'), ['--profile', 'dev'], options).trim();
  return path.resolve(top, process.env.FANLIGHT_DEB ?? built().split('\n').at(-1));
}

/** avahi's packages, as apt fetches them. It is not installed here. */
function avahi() {
  const to = folder('avahi');
  fs.mkdirSync(path.join(to, 'partial'));
  const words = ['-q', '-y', '--download-only', '--reinstall', '-o', `Dir::Cache::archives=${to}`,
    '-o', 'APT::Sandbox::User=root', '-o', 'APT::Install-Recommends=false', 'install', 'avahi-daemon'];
  try {
    execFileSync('apt-get', words, { stdio: ['ignore', 'ignore', 'pipe'] });
  } catch (error) {
    reason = `apt-get cannot fetch avahi-daemon: ${error.stderr.toString().trim().split('\n')[0]}`;
  }
  return fs.readdirSync(to).filter((name) => name.endsWith('.deb')).map((name) => path.join(to, name));
}

before(async () => {
  if (reason) return;
  const packages = avahi();
  if (reason) return;
  packages.push(deb());
  machine = await Machine.up('board', '10.77.0.2');
  for (const file of packages) fs.copyFileSync(file, path.join(machine.share, path.basename(file)));
  home = new HomeBoard(machine);
});

after(async () => {
  await home?.close();
  await machine?.down();
});

/** A test. If it fails, the error has the log of the services. */
function check(what, body) {
  test(what, async (t) => {
    if (reason) return t.skip(reason);
    try {
      await body((text) => t.diagnostic(text));
    } catch (error) {
      const log = await machine.guest("journalctl --no-pager -o short-monotonic -n 60 -u 'fanlight*' -u avahi-daemon");
      throw new Error(`${error.stack}\n${log}`, { cause: error });
    }
  });
}

/** Installs packages without triggers: that of man-db takes long. */
const install = (pattern) => machine.guest(`dpkg --no-triggers -i ${pattern} 2>&1`);
/** What it has of its own, except for records and logs of the system. */
const own = () => {
  const records = /^\/(var\/(lib\/(dpkg|systemd)|log|cache|tmp)|tmp|root)\/|-$/;
  return machine.files().filter((name) => !records.test(name));
};

check('one command, a QR code, and the picture in a browser that accepts one certificate', async (tell) => {
  await home.step(tell, 'avahi is installed', () => install('$(ls /board/*.deb | grep -v /fanlight_)'));
  clean = own();
  await home.step(tell, 'the package is installed', () => install('/board/fanlight_*.deb'));
  await home.step(tell, 'setup --home prints the address', () => home.setUp('--camera test --microphone off'));
  await home.unitsAre('ActiveState', 'active');
  await home.announced();
  const told = await machine.guest('fanlight check --network 2>&1; true');
  assert.match(told, /home: the certificate of the page is good for board\.local/);
  await home.strangersAreWarned(await home.startBrowser());
  await home.step(tell, 'a browser is paired', () => home.pair());
  await home.step(tell, 'the first picture is there', () => home.live());
  await home.moves();
});

check('after a restart of the machine, the browser is still paired', async (tell) => {
  const again = new HomeBoard(machine);
  await again.step(tell, 'the machine has restarted', () => machine.reboot());
  await again.step(tell, 'the page is there again', () => home.reopen());
  await again.step(tell, 'the picture is there again', () => home.live());
  await home.moves();
  await home.unitsAre('ActiveState', 'active');
});

check('the page keeps its name when the machine gets another address', async (tell) => {
  const again = new HomeBoard(machine);
  await again.step(tell, 'the name leads to the new address', async () => {
    await machine.move('10.77.0.3');
    await until('another address', async () => (await home.address()) === '10.77.0.3', 60_000);
  });
  assert.equal(await home.startBrowser(), '10.77.0.3');
  await again.step(tell, 'the page is there again', () => home.reopen());
  await again.step(tell, 'the picture is there again', () => home.live());
  await home.moves();
});

check('a purge during a session leaves no file, user, unit or process', async () => {
  await machine.guest('dpkg --no-triggers --purge fanlight');
  await until('the picture ends', async () => (await home.viewer.now())?.state !== 'live', 60_000);
  await home.unitsAre('LoadState', 'not-found');
  assert.match(await machine.guest('id fanlight 2>&1; true'), /no such user/);
  assert.equal(await machine.guest('ps -eo comm | grep "^fanlight"; true'), '');
  assert.deepEqual(own().filter((name) => !clean.includes(name)), []);
});
