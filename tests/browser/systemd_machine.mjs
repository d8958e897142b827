// A machine with the files of this one, under a systemd of its own, and a network namespace beside it for a browser
// (10.77.0.1). It starts in seconds, and can restart. Nothing that it writes reaches this machine.

import { execFile, execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { Child, browser, top, until } from './processes.mjs';

const net = path.join(top, 'board/net');
const script = path.join(top, 'tests/browser/systemd-machine');
const run = promisify(execFile);
const sh = (command) => execFileSync('sh', ['-euc', command], { encoding: 'utf8', stdio: 'pipe' });

/** The reason why there can be no such machine here. */
export function cannot() {
  if (process.getuid() !== 0) return 'needs root';
  if (!fs.existsSync('/lib/systemd/systemd')) return 'needs systemd';
  const folder = fs.mkdtempSync('/var/tmp/fanlight-try-');
  try {
    sh(`cd ${folder} && mkdir up work root && unshare --mount --net --pid --fork sh -euc '
      mount -t overlay overlay -o lowerdir=/,upperdir=up,workdir=work root && mount -t cgroup2 cgroup2 root/sys'`);
  } catch (error) {
    return `this kernel allows no systemd in a namespace: ${error.stderr?.trim()}`;
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

export class Machine {
  static async up(name, address) {
    const machine = Object.assign(new Machine(), { name, address, net: `${name}-${process.pid}` });
    machine.folder = fs.mkdtempSync('/var/tmp/fanlight-machine-');
    machine.share = path.join(machine.folder, 'share');
    fs.mkdirSync(machine.share);
    process.once('exit', () => machine.clear());
    sh(`${net} up ${machine.net}`);
    machine.chromium = await browser({ enter: machine.enter });
    await machine.boot();
    return machine;
  }

  /** A command that enters the network beside it. */
  get enter() {
    return [net, 'exec', this.net];
  }

  async boot() {
    const namespaces = ['--mount', '--net', '--uts', '--ipc', '--pid', '--fork', '--kill-child'];
    this.child = new Child('unshare', [...namespaces, script, path.join(this.folder, 'disk'), this.share, this.name]);
    const childOf = (pid) => Number(sh(`pgrep -P ${pid}`));
    this.init = await until('systemd', () => {
      if (this.child.process.exitCode !== null) throw new Error(this.child.output);
      const pid = childOf(childOf(this.child.pid));
      return fs.readFileSync(`/proc/${pid}/comm`, 'utf8') === 'systemd\n' && pid;
    }, 60_000);
    sh(`ip -n ${this.net} link add name cable type veth peer name eth0
      ip -n ${this.net} link set cable master bridge up
      ip -n ${this.net} link set eth0 netns ${this.init}`);
    await until('systemd answers', () => this.guest('systemctl is-active systemd-journald'), 120_000);
    await this.move(this.address);
  }

  /** Gives it this address, and no other. */
  async move(address) {
    this.address = address;
    await this.guest(`ip addr flush dev eth0 scope global; ip addr add ${address}/24 dev eth0; ip link set eth0 up`);
    await this.guest('ip route replace default via 10.77.0.1');
  }

  /** Runs a shell command on it; what it printed. */
  async guest(command, seconds = 120) {
    const enter = ['-t', String(this.init), '-m', '-p', '-i', '-n', '-u'];
    const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root', LANG: 'C.UTF-8' };
    try {
      const words = [...enter, 'timeout', String(seconds), 'sh', '-c', command];
      return (await run('nsenter', words, { maxBuffer: 1 << 24, env })).stdout;
    } catch (error) {
      throw new Error(`on the machine: ${command}: status ${error.code}\n${error.stdout}${error.stderr}`);
    }
  }

  /** Starts a command in the background. Its output and its end go to a log of that name. */
  async background(name, command) {
    await this.guest(`{ setsid ${command}; echo "status $?"; } > /board/${name}.log 2>&1 &`);
  }

  log(name) {
    const file = path.join(this.share, `${name}.log`);
    return fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '';
  }

  /** Runs a command in the network beside it, without input; what it printed. */
  outside(command, ...args) {
    return execFileSync(net, ['exec', this.net, command, ...args], { input: '', encoding: 'utf8', stdio: 'pipe' });
  }

  /** Every file that it has and this machine has not. */
  files() {
    const up = path.join(this.folder, 'disk/up');
    const names = sh(`cd ${up} && find . ! -type c -print`).split('\n').map((name) => name.slice(1));
    return names.filter((name) => name && !fs.lstatSync(name, { throwIfNoEntry: false }));
  }

  /** Stops its services as a restart does, ends every process, and starts it again. */
  async reboot() {
    await this.guest("systemctl stop 'fanlight*' avahi-daemon; sync");
    await this.child.stop('SIGKILL');
    await this.boot();
  }

  async down() {
    await this.chromium?.close();
    await this.child?.stop('SIGKILL');
    this.clear();
  }

  clear() {
    const pids = `for pid in $(ip netns pids ${this.net}); do kill -KILL $pid; done`;
    try { sh(`${pids}; ip netns del ${this.net}`); } catch { /* it is gone */ }
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}
