// Tests what users of the package rely on: its contents, import without a browser, types in JSX, and descriptions for
// tools.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const viewer = join(dirname(fileURLToPath(import.meta.url)), '..');
const manifest = JSON.parse(readFileSync(join(viewer, 'package.json'), 'utf8'));
let app;

before(async () => {
  // The files of `npm pack`, at the path of `npm install`.
  app = mkdtempSync(join(tmpdir(), 'fanlight-package-'));
  const { make } = await import(join(viewer, 'build.mjs'));
  await make(join(app, 'node_modules/@fanlight/viewer'));
  for (const name of ['react', '@types/react', 'csstype', 'preact']) {
    const from = join(viewer, 'node_modules', name);
    const to = join(app, 'node_modules', name);
    mkdirSync(dirname(to), { recursive: true });
    symlinkSync(from, to);
  }
  writeFileSync(join(app, 'node_modules/@fanlight/viewer/package.json'), JSON.stringify(manifest));
  writeFileSync(join(app, 'package.json'), '{"type":"module"}');
});
after(() => rmSync(app, { recursive: true, force: true }));

test('it can be imported where a server renders, and defines nothing there', () => {
  const code = `
    const it = await import('@fanlight/viewer');
    console.log(JSON.stringify([
      Object.keys(it).sort(),
      typeof it.FanlightViewer,
      it.FanlightViewer.observedAttributes.length > 10,
      typeof globalThis.HTMLElement,
    ]));`;
  const said = execFileSync(process.execPath, ['--input-type=module', '-e', code], { cwd: app, encoding: 'utf8' });
  assert.deepEqual(
    JSON.parse(said),
    [
      [
        'CommandError', 'FanlightViewer', 'PairingError', 'expectDevice', 'forgetDevice', 'invitationOf', 'pairDevice',
        'prepareCall', 'watchDevices', 'watchPaired',
      ],
      'function', true, 'undefined',
    ]
  );
});

const types = (name, text, options) => {
  writeFileSync(join(app, name), text);
  const args = [
    '--noEmit', '--strict', '--target', 'es2022', '--module', 'esnext', '--moduleResolution', 'bundler',
    '--skipLibCheck', 'false', ...options, join(app, name),
  ];
  try {
    return execFileSync(
      process.execPath, [join(viewer, 'node_modules/typescript/bin/tsc'), ...args], { cwd: app, encoding: 'utf8' }
    );
  } catch (error) {
    return error.stdout;
  }
};
const use = (more) => `
import type {} from '@fanlight/viewer/${more}';
export const good = <fanlight-viewer id="a" broker="/mqtt" device="door" name="Door" muted controls keepPlaying
  poster="p.png" volume={0.5} mode="request" thumb="x"
  tokens={async ({ device, key }) => device + key.x}
  onfanlight-state={(event) => event.detail.step} />;
// @ts-expect-error no such attribute
export const odd = <fanlight-viewer colour="red" />;
// @ts-expect-error no such mode
export const mode = <fanlight-viewer mode="call" />;
`;
test('it is typed in React’s JSX', () => assert.equal(types('react.tsx', use('react'), ['--jsx', 'react-jsx']), ''));
test(
  'it is typed in Preact’s JSX',
  () => assert.equal(types('preact.tsx', use('preact'), ['--jsx', 'react-jsx', '--jsxImportSource', 'preact']), '')
);
test('it is typed without a framework', () => assert.equal(types('plain.ts', `
import { FanlightViewer, watchDevices } from '@fanlight/viewer';
import type { StateDetail } from '@fanlight/viewer';
const viewer: FanlightViewer = document.createElement('fanlight-viewer');
viewer.addEventListener('fanlight-state', ({ detail }) => { const it: StateDetail = detail; return it.stale; });
viewer.volume = 0.5;
const playing: Promise<void> = viewer.play();
// @ts-expect-error only read
viewer.paused = true;
export const stop: () => void = watchDevices('/mqtt', {}, ({ devices, names, trouble }) => {
  console.log(devices.size, names.get('a'), trouble?.text, playing);
});
`, []), ''));

test('custom-elements.json names every attribute, property and event, and the README tells of them', async () => {
  const path = join(app, 'node_modules/@fanlight/viewer/custom-elements.json');
  const it = JSON.parse(readFileSync(path, 'utf8'));
  assert.equal(it.schemaVersion, '1.0.0');
  const [{ declarations: [element], exports }] = it.modules;
  assert.deepEqual(
    exports.map(({ kind, name }) => [kind, name]),
    [['js', 'FanlightViewer'], ['custom-element-definition', 'fanlight-viewer']]
  );
  const observed = JSON.parse(execFileSync(
    process.execPath,
    [
      '--input-type=module', '-e',
      'console.log(JSON.stringify((await import("@fanlight/viewer")).FanlightViewer.observedAttributes))',
    ],
    { cwd: app, encoding: 'utf8' }
  ));
  assert.deepEqual(element.attributes.map(({ name }) => name).sort(), observed.sort());
  const readme = readFileSync(join(viewer, 'README.md'), 'utf8');
  const fields = element.members.map(({ name }) => name);
  for (const { name, fieldName, description } of element.attributes) {
    assert.ok(fields.includes(fieldName), `the property of ${name}`);
    assert.ok(description, name);
  }
  for (const { name } of [
    ...element.attributes, ...element.events, ...element.cssProperties, ...element.cssParts, ...element.members,
  ])
    assert.ok(readme.includes(name), `README.md: ${name}`);
  for (const { name, description, type, kind } of element.members)
    assert.ok(description !== '' && (type || kind === 'method'), name);
  assert.deepEqual(
    element.members.filter((one) => one.readonly).map(({ name }) => name).sort(),
    [
      'features', 'firstPictureMs', 'label', 'paused', 'peerConnection', 'rights', 'stale', 'state', 'statistics',
      'timings', 'video', 'videoHeight', 'videoWidth',
    ]
  );
  assert.equal(manifest.customElements, 'custom-elements.json');
});

test('it stays small, and the README says how large it is', () => {
  const bytes = readFileSync(join(app, 'node_modules/@fanlight/viewer/dist/fanlight-viewer.js'));
  const [kb, packed] = [bytes.length, gzipSync(bytes, { level: 9 }).length].map((it) => Math.round(it / 1000));
  assert.ok(kb <= 408 && packed <= 129, `${kb} KB, ${packed} KB gzipped`);
  const [, told, toldPacked] = /one file of (\d+) KB\s+\((\d+) KB\s+gzipped\)/.exec(readFileSync(
    join(viewer, 'README.md'), 'utf8'
  ));
  assert.ok(
    Math.abs(Number(told) - kb) <= 3 && Math.abs(Number(toldPacked) - packed) <= 2,
    `README.md: ${told} and ${toldPacked}, it is ${kb} and ${packed}`
  );
});
