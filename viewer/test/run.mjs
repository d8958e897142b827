// Bundles the tests, since Node.js 18 does not read TypeScript, and runs them with its test runner: `npm test [name…]`.
import { build } from 'esbuild';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const out = mkdtempSync(join(tmpdir(), 'fanlight-viewer-'));
try {
  const all = readdirSync(here).filter(
    (file) => process.argv.length < 3 || process.argv.slice(2).some((it) => file.startsWith(it))
  );
  const files = all.filter((file) => file.endsWith('.test.ts'));
  await build({
    entryPoints: files.map((file) => join(here, file)), outdir: out, outExtension: { '.js': '.mjs' }, bundle: true,
    platform: 'node', format: 'esm',
    target: 'node18', sourcemap: 'inline', logLevel: 'warning', define: { HERE: JSON.stringify(here) },
  });
  const tests = [
    ...files.map((file) => join(out, file.replace(/\.ts$/, '.mjs'))),
    ...all.filter((file) => file.endsWith('.test.mjs')).map((file) => join(here, file)),
  ];
  // Node.js 18 has no global `crypto`.
  process.exitCode = spawnSync(
    process.execPath, ['--enable-source-maps', '--experimental-global-webcrypto', '--test', ...tests],
    { stdio: 'inherit' }
  ).status
    ?? 1;
} finally {
  rmSync(out, { recursive: true, force: true });
}
