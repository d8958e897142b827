// Builds dist/: the page, the component, and its types. `node build.mjs`
import { build, transform } from 'esbuild';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, rmSync, statSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { manifestOf } from './manifest.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, 'dist');

// Parts that mqtt.js imports and a browser never uses. An alias table that is never filled needs no bounded cache.
const unused = {
  ws: 'module.exports = {}',
  debug: 'module.exports = () => Object.assign(() => {}, { extend: () => () => {} })',
  'worker-timers': 'module.exports = {}',
  'lru-cache': 'module.exports = { LRUCache: class extends Map { constructor() { super(); } } }',
  // readable-stream: `map`, `filter` and so on of streams, and joining streams to one.
  operators: 'module.exports = { streamReturningOperators: {}, promiseReturningOperators: {} }',
  compose: 'module.exports = {}',
};
export const trim = {
  name: 'trim',
  setup(it) {
    it.onResolve({ filter: /^(ws|debug|worker-timers|lru-cache)$/ }, ({ path }) => ({ path, namespace: 'unused' }));
    it.onResolve(
      { filter: /^\.\/internal\/streams\/(operators|compose)$/ },
      ({ path }) => ({ path: basename(path), namespace: 'unused' })
    );
    it.onLoad({ filter: /.*/, namespace: 'unused' }, ({ path }) => ({ contents: unused[path], loader: 'js' }));
    // mqtt.js reads its own version from its whole package.json.
    it.onLoad({ filter: /node_modules[\\/]mqtt[\\/]package\.json$/ }, ({ path }) => ({
      contents: JSON.stringify({ version: JSON.parse(readFileSync(path, 'utf8')).version }), loader: 'json',
    }));
    // The component carries its style sheet as a text.
    it.onLoad({ filter: /src[\\/](viewer|sheet)\.css$/ }, async ({ path }) => {
      const sheet = await transform(readFileSync(path, 'utf8'), { loader: 'css', minify: true, target: ['es2022'] });
      return { contents: sheet.code, loader: 'text' };
    });
  },
};

export const options = {
  absWorkingDir: here, bundle: true, format: 'esm', platform: 'browser', target: ['es2022'], charset: 'utf8',
  legalComments: 'none', logLevel: 'warning', loader: { '.css': 'text' }, plugins: [trim],
  define: { global: 'globalThis', 'process.env.NODE_ENV': '"production"' },
  inject: [join(here, 'src/surroundings.js')], alias: { process: join(here, 'src/surroundings.js') },
};

/** The licences of what is inside the bundle, as they ask for. */
function notices(inputs) {
  const packageOf = (path) => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1];
  const packages = new Set(inputs.map(packageOf).filter(Boolean));
  const parts = ['fanlight-viewer.js contains parts of these packages, under the licences below.\n'];
  for (const name of [...packages].sort()) {
    const folder = join(here, 'node_modules', name);
    const { version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    const file = readdirSync(folder).find((it) => /^licen[cs]e/i.test(it));
    if (!file) throw new Error(`${name}: no licence file`);
    parts.push(`--- ${name} ${version} (${license})\n\n${readFileSync(join(folder, file), 'utf8').trim()}\n`);
  }
  return parts.join('\n');
}

const filesIn = (folder) => readdirSync(folder, { withFileTypes: true })
  .flatMap((it) => (it.isDirectory() ? filesIn(join(folder, it.name)) : [join(folder, it.name)]));

/** Builds what the package has into `to`: the component, its types, and its description. */
export async function make(to) {
  for (const old of ['dist', 'types']) rmSync(join(to, old), { recursive: true, force: true });
  mkdirSync(join(to, 'dist'), { recursive: true });
  const { metafile } = await build({
    ...options, minify: true, metafile: true, entryPoints: ['src/index.ts'],
    outfile: join(to, 'dist/fanlight-viewer.js'),
  });
  writeFileSync(join(to, 'dist/third-party.txt'), notices(Object.keys(metafile.inputs)));
  const types = join(to, 'types');
  const tsc = join(here, 'node_modules/typescript/bin/tsc');
  const words = [tsc, '-p', join(here, 'tsconfig.types.json'), '--outDir', types];
  execFileSync(process.execPath, words, { stdio: 'inherit' });
  for (const path of filesIn(types)) {
    writeFileSync(path, readFileSync(path, 'utf8').replace(/((?:from |import\()'\.{1,2}\/[a-z/]+)\.ts'/g, "$1.js'"));
  }
  writeFileSync(join(to, 'custom-elements.json'), `${JSON.stringify(manifestOf(join(here, 'src')), null, 2)}\n`);
}

async function main() {
  await make(here);
  // The page shares the component's file instead of carrying it twice.
  const component = { path: './fanlight-viewer.js', external: true };
  await build({
    ...options, minify: true, inject: [], entryPoints: ['src/page.ts'], outfile: 'dist/page.js',
    external: [component.path],
    plugins: [{ name: 'share', setup: (it) => it.onResolve({ filter: /^\.\/index\.ts$/ }, () => component) }],
  });
  await build({
    ...options, minify: true, inject: [], loader: {}, entryPoints: ['src/page.css'], outfile: 'dist/page.css',
  });
  for (const file of ['index.html', 'icon.svg', 'icon-180.png', 'icon-512.png', 'app.webmanifest'])
    cpSync(join(here, 'src', file), join(dist, file));

  for (const file of readdirSync(dist)) {
    const path = join(dist, file);
    if (statSync(path).isFile()) {
      const bytes = readFileSync(path);
      const packed = gzipSync(bytes, { level: 9 }).length;
      console.log(`${file.padEnd(22)} ${String(bytes.length).padStart(7)} bytes, ${packed} gzipped`);
    }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
