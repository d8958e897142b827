// The texts of all languages: none is missing, none is still English, and all have the same gaps.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Format } from '../src/format.ts';
import { languageAmong } from '../src/language.ts';
import { TAGS, addressWords, boardWords, componentWords, pageWords } from '../src/words/languages.ts';
import type { Tag } from '../src/words/languages.ts';
import * as de from '../src/words/de.ts';
import * as en from '../src/words/en.ts';

declare const HERE: string;
const noScript: Record<Tag, string> = { en: en.noScript, de: de.noScript };

/** Texts that may be the same as in English: names, and words that both languages have. */
const SAME: Record<Exclude<Tag, 'en'>, RegExp> = {
  de: /\.(soundBecause|steps\.broker\.short|badge\.(offline|live)|stats\.(bitrate|relay|mbit|kbit)|bad_setting\.text|fixed\.broker|list\.(online|offline)|direction|because|picture\.(milliseconds|kelvin|degrees)|zoom\.at)$/,
};

/** A value for each gap. It is visible in the result, and usable as a number. */
const gap = (at: number) =>
  Object.assign(new String(`«${at}»`), { text: `«${at}»`, of: (forms: Record<string, string>) => forms['other'] });
/** All texts by their path. The gaps of functions are filled with markers. */
function texts(of: unknown, path: string, into = new Map<string, string>()): Map<string, string> {
  if (typeof of === 'function') into.set(
    path, String((of as (...gaps: unknown[]) => unknown)(...Array.from({ length: of.length }, (_, i) => gap(i))))
  );
  else if (typeof of === 'object' && of !== null) for (const [key, it] of Object.entries(of))
    texts(it, `${path}.${key}`, into);
  else into.set(path, String(of));
  return into;
}
const all = (tag: Tag) =>
  texts(
    {
      component: componentWords[tag], address: addressWords[tag], board: boardWords[tag], page: pageWords[tag],
      noScript: noScript[tag],
    },
    tag.slice(0, 0)
  );
const english = all('en');
const marks = (text: string) => [...new Set(text.match(/«\d»/g))].sort();

for (const tag of TAGS.filter((it) => it !== 'en')) {
  test(`${tag} has the texts of English, in its own words and with the same gaps`, () => {
    const own = all(tag);
    assert.ok(own.size > 200);
    assert.deepEqual([...own.keys()], [...english.keys()]);
    const same = [...own].filter(([path, text]) => text === english.get(path)).map(([path]) => path);
    assert.deepEqual(same.filter((path) => !SAME[tag].test(path)), []);
    for (const [path, text] of own) assert.deepEqual(marks(text), marks(english.get(path)!), path);
  });
}

test('texts are tidy in every language', () => {
  for (const tag of TAGS) {
    for (const [path, text] of all(tag))
      assert.ok(text === text.trim() && !/ {2}|\.\.|undefined|null|[a-z]'[a-z]/.test(text), `${tag}${path}: ${text}`);
  }
});

test('the first language that is known counts, region and script beside it; English where none is', () => {
  for (const [wanted, tag, locale] of [
    [['de'], 'de', 'de'], [['de-CH', 'en'], 'de', 'de-CH'], [['DE-de-1996'], 'de', 'de-DE-1996'],
    [['fr', 'de-AT'], 'de', 'de-AT'], [['', 'en-GB', 'de'], 'en', 'en-GB'],
    [['fr'], 'en', 'en'], [[], 'en', 'en'], [['den'], 'en', 'en'], [['de_DE'], 'en', 'en'], [['de-'], 'de', 'de'],
    [['x-de'], 'en', 'en'], [['-'], 'en', 'en'],
  ] as [string[], string, string][]) {
    const it = languageAmong(wanted);
    assert.deepEqual([it.tag, it.locale], [tag, locale], wanted.join());
  }
});

test('numbers, times and plural forms follow the language', () => {
  const [english, german, polish, arabic] = ['en', 'de', 'pl', 'ar'].map(
    (it) => new Format(it)
  ) as [Format, Format, Format, Format];
  assert.deepEqual(
    [english.ago(400), english.ago(59_999), english.ago(61_000), english.ago(7.3e6)],
    ['1 second ago', '59 seconds ago', '1 minute ago', '2 hours ago']
  );
  assert.deepEqual(
    [german.ago(5000), german.later(4100), german.seconds(10_000)], ['vor 5 Sekunden', 'in 5 Sekunden', '10 Sekunden']
  );
  assert.deepEqual([1, 2].map((it) => pageWords.de.list.watching(german.count(it))), ['1 sieht zu', '2 sehen zu']);
  assert.deepEqual(
    [1, 2001].map((it) => pageWords.en.list.hidden(english.count(it)).split('.')[0]),
    ['1 more is not shown', '2,001 more are not shown']
  );
  const forms = { one: 'a', two: 'b', few: 'c', many: 'd', other: 'e' };
  assert.deepEqual([1, 2, 5, 22, 1.5].map((it) => polish.count(it).of(forms)), ['a', 'c', 'd', 'c', 'e']);
  assert.deepEqual(
    [2, 3].map((it) => arabic.count(it).of({ few: 'c', other: 'e' })), ['e', 'c'],
    'a form that is not named is the other one'
  );
});

test('index.html names texts that there are, all of them, and speaks every language where no script runs', () => {
  const html = readFileSync(join(HERE, '../src/index.html'), 'utf8');
  const named = new Set([...html.matchAll(/data-(?:words|placeholder)="(\w+)"/g)].map(([, key]) => key));
  assert.deepEqual([...named].sort(), Object.keys(pageWords.en.fixed).sort());
  for (const tag of TAGS)
    assert.ok(html.includes(`<p lang="${tag}" dir="${pageWords[tag].direction}">${noScript[tag]}</p>`), tag);
});
