// Rules for the source files: they are short, and have no import cycles.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';

declare const HERE: string;
const src = join(HERE, '../src');
const list = (folder: string): string[] =>
  readdirSync(join(src, folder), { withFileTypes: true }).flatMap(
    (it) => (it.isDirectory() ? list(join(folder, it.name)) : [join(folder, it.name)])
  );
const files = list('').filter((file) => file.endsWith('.ts'));
const read = (file: string) => readFileSync(join(src, file), 'utf8');

/** A path of imports (types included) from a file back to itself; null if there is none. */
function cycle(imports: Map<string, string[]>): string[] | null {
  const done = new Set<string>();
  const walk = (file: string, way: string[]): string[] | null => {
    if (way.includes(file)) return [...way.slice(way.indexOf(file)), file];
    if (done.has(file)) return null;
    for (const next of imports.get(file) ?? []) {
      const found = walk(next, [...way, file]);
      if (found) return found;
    }
    done.add(file);
    return null;
  };
  for (const file of imports.keys()) {
    const found = walk(file, []);
    if (found) return found;
  }
  return null;
}

test('a cycle is found', () => {
  assert.deepEqual(cycle(new Map([['a', ['b']], ['b', ['c']], ['c', ['b']]])), ['b', 'c', 'b']);
  assert.equal(cycle(new Map([['a', ['b', 'c']], ['b', ['c']], ['c', []]])), null);
});
test('no file imports itself by way of others', () => {
  const imports = new Map(files.map(
    (file) =>
      [
        file,
        [...read(file).matchAll(/(?:from |import\()'(\.[^']+\.ts)'/g)].map(
          ([, to]) => normalize(join(dirname(file), to!))
        ),
      ]
  ));
  assert.ok([...imports.values()].flat().length > 100, 'the imports are seen');
  for (const to of [...imports.values()].flat()) assert.ok(files.includes(to) || to === 'css.d.ts', to);
  assert.deepEqual(cycle(imports), null);
});
test('lines of the texts are short', () => {
  const long = files.filter((file) => file.startsWith('words'))
    .flatMap((file) => read(file).split('\n'))
    .filter((line) => line.length > 120);
  assert.deepEqual(long, []);
});
test('files are short', () => {
  const lengths = files.map((file) => [file, read(file).split('\n').length - 1] as const);
  assert.ok(lengths.length > 30);
  assert.deepEqual(lengths.filter(([, lines]) => lines > 400), []);
});
