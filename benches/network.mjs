// The table of network situations: each made of namespaces, NAT and a bad line, with Debian's Chromium as the viewer.
// Run by `./bench --network [NAME...]`; as root, in a namespace of its own (tests/browser/in-netns). See
// docs/design/network.md.

import fs from 'node:fs';
import os from 'node:os';
import { cannot } from '../tests/browser/virtual_network.mjs';
import { Findings, show } from './network/figures.mjs';
import { changes } from './network/changes.mjs';
import { lines } from './network/lines.mjs';
import { viewers } from './network/viewers.mjs';
import { ways } from './network/ways.mjs';

const rows = [...lines, ...viewers, ...ways, ...changes];
const words = process.argv.slice(2);
const option = (name) => {
  const i = words.indexOf(`--${name}`);
  return i < 0 ? undefined : words.splice(i, 2)[1];
};
const file = option('json');
const runs = Number(option('runs') ?? 0) || undefined;
if (words.includes('--list')) {
  for (const [name, what] of rows) console.log(`${name.padEnd(22)} ${what}`);
  process.exit();
}
const unknown = words.filter((word) => !rows.some(([name]) => name === word));
if (unknown.length || cannot) {
  console.error(unknown.length ? `no situation ${unknown.join(', ')}; --list tells what there is` : cannot);
  process.exit(2);
}

const line = ({ what, value, unit, must, met }) => {
  const bound = must ? ` (${must})${met ? '' : ' – not met'}` : '';
  return `${what} ${show(value)}${unit ? ` ${unit}` : ''}${bound}`;
};
const cpus = os.cpus();
const machine = `${cpus[0].model.trim()}, ${cpus.length} cores, ${os.release()}`;
console.log(`machine: ${machine}; load ${os.loadavg()[0].toFixed(1)}\n`);
const results = [];
for (const [name, what, run] of rows.filter(([name]) => !words.length || words.includes(name))) {
  const found = new Findings();
  const begun = performance.now();
  console.log(`${name}: ${what}`);
  await run(found, { runs }).catch((error) => {
    found.bound('run to its end', error.message.split('\n')[0].slice(0, 200), '', 'is', 'yes', false);
  });
  for (const finding of found.list) {
    const mark = finding.must ? (finding.met ? 'ok ' : 'NO ') : '   ';
    console.log(`  ${mark} ${line(finding)}`);
  }
  console.log(`  ${((performance.now() - begun) / 1000).toFixed(0)} s, load ${os.loadavg()[0].toFixed(1)}\n`);
  results.push({ name, what, met: found.met, load: os.loadavg()[0], findings: found.list });
  if (file) fs.writeFileSync(file, JSON.stringify(results, null, 1));
}

console.log('| situation | figures | met |\n|---|---|---|');
for (const { name, what, met, findings } of results) {
  const bound = findings.filter(({ must }) => must).map(line).join('; ');
  const notes = findings.filter(({ must }) => !must).map(line).join(', ');
  const text = [bound, notes].filter(Boolean).join('. ').replaceAll('|', '\\|');
  console.log(`| \`${name}\`: ${what} | ${text} | ${met ? 'yes' : 'no'} |`);
}
process.exit(results.every(({ met }) => met) ? 0 : 1);
