// The viewer of board/smoke.sh: receives a daemon for a while and prints the cost. Arguments: a configuration, whose
// tables [video] and [audio] it uses, and seconds.

import fs from 'node:fs';
import os from 'node:os';
import { execFileSync } from 'node:child_process';
import { Broker, Daemon, until } from '../tests/browser/processes.mjs';
import { Viewer } from '../tests/browser/werift_viewer.mjs';

const [config, seconds] = [process.argv[2], Number(process.argv[3])];

/** The tables `video` and `audio` of a configuration and their subtables, unchanged. */
function devices(text) {
  let taken = false;
  return text.split('\n').filter((line) => {
    const table = /^\s*\[+\s*([a-z_]+)/.exec(line);
    if (table) taken = ['video', 'audio'].includes(table[1]);
    return taken;
  }).join('\n');
}

/** A daemon with these tables instead of those of the tests. */
class Own extends Daemon {
  config(broker, settings) {
    const others = super.config(broker, settings).split(/^(?=\[)/m).filter((table) => !/^\[(video|audio)/.test(table));
    return `${others.join('')}\n${devices(fs.readFileSync(config, 'utf8'))}\n`;
  }
}

/** The temperature of the warmest sensor in °C. */
function temperature() {
  const folder = '/sys/class/thermal';
  const zones = fs.existsSync(folder) ? fs.readdirSync(folder).filter((name) => name.startsWith('thermal_zone')) : [];
  const degrees = zones.map((zone) => Number(fs.readFileSync(`${folder}/${zone}/temp`, 'utf8')) / 1000)
    .filter(Number.isFinite);
  return degrees.length ? Math.max(...degrees).toFixed(0) : '?';
}

/** The flags of a Raspberry Pi for under-voltage and heat since it started. */
function throttled() {
  try {
    return execFileSync('vcgencmd', ['get_throttled'], { encoding: 'utf8' }).trim().split('=')[1];
  } catch {
    return '?';
  }
}

function model() {
  try {
    return fs.readFileSync('/proc/device-tree/model', 'utf8').replace(/\0/g, '');
  } catch {
    return `${os.cpus()[0]?.model ?? os.arch()}, no board`;
  }
}

const broker = await Broker.start();
const daemon = await Own.start(broker);
const viewer = await Viewer.connect(broker, daemon.device, 'smoke');
try {
  await viewer.request();
  await viewer.until('the first picture or sound', () => viewer.packets.length > 0, 30_000);
  const begun = { at: performance.now(), cpu: daemon.cpu(), packets: viewer.packets.length };
  await until('the end', () => performance.now() - begun.at > seconds * 1000, (seconds + 30) * 1000);
  const time = (performance.now() - begun.at) / 1000;
  const cpu = 100 * (daemon.cpu() - begun.cpu) / time;
  const packets = viewer.packets.slice(begun.packets);
  const pictures = packets.filter(({ format }) => format === 'h264');
  const times = new Set(pictures.map(({ timestamp }) => timestamp)).size;
  const steps = pictures.slice(1).map((p, i) => (p.sequence - pictures[i].sequence + 65536) % 65536);
  const gaps = steps.filter((step) => step !== 1).length;
  const bits = pictures.reduce((sum, { payload }) => sum + payload.length * 8, 0);
  const sounds = packets.filter(({ format }) => format === 'opus').length;
  const mode = /camera .*?: (\d+x\d+ \S+)/.exec(daemon.child.output)?.[1] ?? 'no camera';
  console.log(daemon.child.output.split('\n').filter((line) => /WARN|ERROR|first picture/.test(line)).join('\n'));
  console.log('--- the row for the table in board/README.md:\n');
  console.log('| board | from the camera | pictures/s | kbit/s | sound packets/s | gaps | processor (100 % is a core) '
    + '| memory | °C | throttled |');
  console.log('|---|---|---|---|---|---|---|---|---|---|');
  const row = [
    model(), mode, (times / time).toFixed(1), (bits / time / 1000).toFixed(0), (sounds / time).toFixed(0), gaps,
    `${cpu.toFixed(0)} %`, `${(daemon.memory() / 1024).toFixed(0)} MiB`, temperature(), throttled(),
  ];
  console.log(`| ${row.join(' | ')} |`);
  if (!times && !sounds) process.exitCode = 1;
} catch (error) {
  console.error(`${error.message}\n--- the daemon's log:\n${daemon.child.output}`);
  process.exitCode = 1;
} finally {
  await viewer.close();
  await daemon.stop();
  await broker.stop();
}
process.exit();
