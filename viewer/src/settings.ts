// The settings of the page: from `config.json`, from its address, and from the user. Pure.

import { brokerOrigin, sameBroker } from './address.ts';
import { clean } from './texts.ts';
import type { PageWords } from './words/languages.ts';

export interface Config {
  broker?: string;
  root?: string;
  device?: string;
  user?: string;
  password?: string;
  viewer?: string;
  mode?: string;
  lang?: string;
  /** Only paired cameras, and never plain JSON. */
  keys?: boolean;
}

const TEXTS = ['broker', 'root', 'device', 'user', 'password', 'viewer', 'mode', 'lang'] as const;
const KEYS = [...TEXTS, 'keys'] as const;
/** The identity at a broker, which is never sent to another broker. */
const LOGIN = ['user', 'password', 'viewer'] as const;

/** A sentence for the user, in the requested language. */
export type Note = (words: PageWords) => string;

/** Reads `config.json`. Faults are returned as sentences; the valid parts are used. */
export function configOf(text: string): { config: Config; problems: Note[] } {
  const source = text.replace(/^\ufeff/, '');
  let value: unknown;
  try {
    value = JSON.parse(source);
  } catch (error) {
    const why = whyNotJson(source, error as Error);
    return { config: {}, problems: [(words) => words.config.unreadable(why(words))] };
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { config: {}, problems: [({ config }) => config.notAnObject] };
  }
  const config: Config = {};
  const problems: Note[] = [];
  for (const [key, it] of Object.entries(value)) {
    if (!(KEYS as readonly string[]).includes(key)) {
      const near = KEYS.find((known) => distance(known, key.toLowerCase()) <= 2);
      problems.push(
        (words) =>
          (near ? words.config.near(clean(key, 40), near) : words.config.unknown(clean(key, 40), KEYS.join(', ')))
      );
    } else if (key === 'keys') {
      // A fault must not make the page trust a broker.
      if (it !== false) config.keys = true;
      if (typeof it !== 'boolean') problems.push((words) => words.config.notFlag(key));
    } else if (typeof it !== 'string') {
      problems.push((words) => words.config.notText(key));
    } else if (key === 'mode' && it !== '' && it !== 'offer' && it !== 'request') {
      problems.push((words) => words.config.mode(clean(it, 40)));
    } else if (it !== '') {
      config[key as typeof TEXTS[number]] = it;
    }
  }
  return { config, problems };
}

/** The most frequent faults of handwritten files, with their line. */
function whyNotJson(source: string, error: Error): Note {
  if (source.trim() === '') return ({ config }) => config.empty;
  if (/^\s*</.test(source)) return ({ config }) => config.html;
  const at = (index: number, why: Note): Note => {
    const line = String(source.slice(0, index).split('\n').length);
    return (words) => words.config.line(line, why(words));
  };
  // Strings are skipped, so that their contents do not count as faults.
  const token = /"(?:[^"\\\n]|\\.)*"|\/\/|\/\*|#|'|[\u201c\u201d\u2018\u2019]|,(?=\s*[}\]])|"(?=\s*\n\s*")|[a-zA-Z_]\w*(?=\s*:)/g;
  let before = '';
  for (let found = token.exec(source); found; found = token.exec(source)) {
    const [it] = found;
    const here = (why: Note) => at(found!.index, why);
    if (it === ',') return here(({ config }) => config.comma);
    if (it === '//' || it === '/*' || it === '#') return here(({ config }) => config.comment);
    if (it === '\'' || /[\u201c\u201d\u2018\u2019]/.test(it)) return here(({ config }) => config.quotes(it));
    if (/^[a-zA-Z_]/.test(it)) return here(({ config }) => config.bareKey(clean(it, 40)));
    if (before && /^\s+$/.test(before)) return here(({ config }) => config.missingComma(clean(it, 40)));
    const rest = source.slice(token.lastIndex);
    before = /^\s*(?=")/.exec(rest)?.[0] ?? '';
    if (/^"/.test(rest)) before = ' ';
  }
  const position = /position (\d+)/.exec(error.message)?.[1];
  const why: Note = ({ config }) => config.notJson(clean(error.message, 120));
  return position === undefined ? why : at(Number(position), why);
}

/** The number of letters by which two words differ. */
function distance(one: string, other: string): number {
  if (Math.abs(one.length - other.length) > 2) return 3;
  let row = Array.from({ length: other.length + 1 }, (_, i) => i);
  for (let i = 1; i <= one.length; i++) {
    const next = [i];
    for (let j = 1; j <= other.length; j++)
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (one[i - 1] === other[j - 1] ? 0 : 1));
    row = next;
  }
  return row[other.length]!;
}

export interface Settings {
  config: Config;
  /** Where the broker's address comes from. Anybody can write a link. */
  from: 'file' | 'address' | null;
  /** Notes for the user. */
  notes: Note[];
}

/**
 * The settings from config.json and the page's address: `?device=a,b`. Anybody can write an address. So it may name a
 * broker only if the file names none, and the file's login is then not sent there. A password never comes from the
 * address, and neither does `keys`.
 */
export function settingsOf(file: Config, search: string, page: string): Settings {
  const config: Config = { ...file };
  const notes: Note[] = [];
  const address = new URLSearchParams(search);
  const named = address.get('broker');
  const own = config.broker !== undefined;
  if (own && named && !sameBroker(named, config.broker!, page)) {
    notes.push(({ config: words }) => words.otherBroker(clean(named, 60)));
  }
  if (!own) for (const key of LOGIN) delete config[key];
  for (const key of TEXTS) {
    const value = address.get(key);
    if (!value || key === 'password' || (own && (key === 'broker' || (LOGIN as readonly string[]).includes(key))))
      continue;
    config[key] = value;
  }
  if (address.has('device') && address.get('device') === '') delete config.device;
  return { config, from: own ? 'file' : config.broker !== undefined ? 'address' : null, notes };
}

/**
 * Typed settings take precedence. A password that was not typed again is kept for the same login at the same broker.
 */
export function settingsTyped(
  before: Config, typed: Pick<Config, 'broker' | 'root' | 'device' | 'user' | 'password'>, page: string
): Config {
  const after: Config = {
    ...(before.mode ? { mode: before.mode } : {}), ...(before.lang ? { lang: before.lang } : {}),
    ...(before.keys ? { keys: true } : {}),
  };
  for (const key of ['broker', 'root', 'device', 'user', 'password'] as const) {
    const value = key === 'password' ? typed[key] : typed[key]?.trim(); // a password may begin with a space
    if (value) after[key] = value;
  }
  if (before.broker && after.broker && sameOrigin(before.broker, after.broker, page)
    && (before.user ?? '') === (after.user ?? '')) {
    if (!after.password && before.password) after.password = before.password;
    if (before.viewer) after.viewer = before.viewer;
  }
  return after;
}

function sameOrigin(one: string, other: string, page: string): boolean {
  const origin = brokerOrigin(one, page);
  return origin !== null && origin === brokerOrigin(other, page);
}
