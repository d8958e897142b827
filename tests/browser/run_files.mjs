// node tests/browser/run_files.mjs FILE...: runs test files two at a time, each in its own network namespace (see
// `in-netns`), and prints the output of each when it has ended. A file that measures what a busy machine would change
// has a line `// Alone: REASON`. It runs when the others have ended, with no other beside it.

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The longest that a file may take, in seconds. */
const LIMIT = '900';
/** How many files run at once. */
const LANES = Math.min(2, os.availableParallelism?.() ?? os.cpus().length);
const ALONE = /^\/\/ Alone: ./m;
const namespace = path.join(path.dirname(fileURLToPath(import.meta.url)), 'in-netns');

/** Runs one file and prints its output. Returns whether all of it passed. */
function run(file) {
  const words = ['-k', '20', LIMIT, namespace, process.execPath, '--test', '--test-reporter=tap', file];
  const child = spawn('timeout', words, { stdio: ['ignore', 'pipe', 'pipe'] });
  const output = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => output.push(bytes));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      process.stdout.write(Buffer.concat(output));
      if (code === 124) process.stdout.write(`run_files: ${file} was stopped after ${LIMIT} s\n`);
      resolve(code === 0);
    });
  });
}

/** Runs these files, `lanes` at a time. Returns whether all of them passed. */
async function runAll(files, lanes) {
  const waiting = [...files];
  let passed = true;
  const lane = async () => {
    while (waiting.length > 0) passed = (await run(waiting.shift())) && passed;
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return passed;
}

const files = process.argv.slice(2);
if (files.length === 0) {
  console.error('usage: node tests/browser/run_files.mjs FILE...');
  process.exit(2);
}
const isAlone = (file) => ALONE.test(readFileSync(file, 'utf8'));
const together = await runAll(files.filter((file) => !isAlone(file)), LANES);
const alone = await runAll(files.filter(isAlone), 1);
process.exitCode = together && alone ? 0 : 1;
