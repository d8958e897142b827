// What the page connects to: the file beside it, what its address says, and what a person types. Pure.

import { brokerOrigin, sameBroker } from './address.ts';
import { clean } from './texts.ts';

export interface Config { broker?: string; root?: string; device?: string; user?: string; password?: string; viewer?: string; mode?: string }

const KEYS = ['broker', 'root', 'device', 'user', 'password', 'viewer', 'mode'] as const;
/** Who one is at a broker: what belongs to one broker is never said to another. */
const LOGIN = ['user', 'password', 'viewer'] as const;

/** Reads `config.json`. What is wrong with it is told in sentences; what is right in it is taken. */
export function configOf(text: string): { config: Config; problems: string[] } {
  const source = text.replace(/^\ufeff/, '');
  let value: unknown;
  try {
    value = JSON.parse(source);
  } catch (error) {
    return { config: {}, problems: [`config.json cannot be read: ${whyNotJson(source, error as Error)}`] };
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { config: {}, problems: ['config.json must be one object: { "broker": "wss://…" }'] };
  }
  const config: Config = {};
  const problems: string[] = [];
  for (const [key, it] of Object.entries(value)) {
    if (!(KEYS as readonly string[]).includes(key)) {
      const near = KEYS.find((known) => distance(known, key.toLowerCase()) <= 2);
      problems.push(`config.json: the key “${clean(key, 40)}” is unknown${near ? `; did you mean “${near}”?` : `. Possible are ${KEYS.join(', ')}.`}`);
    } else if (typeof it !== 'string') {
      problems.push(`config.json: the value of “${key}” must be a text in quotes.`);
    } else if (key === 'mode' && it !== '' && it !== 'offer' && it !== 'request') {
      problems.push(`config.json: “mode” is “${clean(it, 40)}”; possible are “offer” and “request”.`);
    } else if (it !== '') {
      config[key as keyof Config] = it;
    }
  }
  return { config, problems };
}

/** The most frequent faults of files that are written by hand, with the line. */
function whyNotJson(source: string, error: Error): string {
  if (source.trim() === '') return 'the file is empty.';
  if (/^\s*</.test(source)) return 'the web server sent a web page (HTML) in its place.';
  const line = (at: number): string => `line ${source.slice(0, at).split('\n').length}`;
  // Texts are walked over, so that what is in them is not taken for a fault.
  const token = /"(?:[^"\\\n]|\\.)*"|\/\/|\/\*|#|'|[\u201c\u201d\u2018\u2019]|,(?=\s*[}\]])|"(?=\s*\n\s*")|[a-zA-Z_]\w*(?=\s*:)/g;
  let before = '';
  for (let found = token.exec(source); found; found = token.exec(source)) {
    const [it] = found;
    const where = line(found.index);
    if (it === ',') return `${where}: the comma before the closing bracket is one too many.`;
    if (it === '//' || it === '/*' || it === '#') return `${where}: JSON has no comments.`;
    if (it === '\'' || /[\u201c\u201d\u2018\u2019]/.test(it)) return `${where}: texts stand in straight double quotes ("), not in ${it}.`;
    if (/^[a-zA-Z_]/.test(it)) return `${where}: the key ${clean(it, 40)} must stand in double quotes.`;
    if (before && /^\s+$/.test(before)) return `${where}: a comma is missing before ${clean(it, 40)}.`;
    const rest = source.slice(token.lastIndex);
    before = /^\s*(?=")/.exec(rest)?.[0] ?? '';
    if (/^"/.test(rest)) before = ' ';
  }
  const at = /position (\d+)/.exec(error.message)?.[1];
  return `${at === undefined ? '' : `${line(Number(at))}: `}it is not JSON (${clean(error.message, 120)}).`;
}

/** How many letters two words differ by. */
function distance(one: string, other: string): number {
  if (Math.abs(one.length - other.length) > 2) return 3;
  let row = Array.from({ length: other.length + 1 }, (_, i) => i);
  for (let i = 1; i <= one.length; i++) {
    const next = [i];
    for (let j = 1; j <= other.length; j++) next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (one[i - 1] === other[j - 1] ? 0 : 1));
    row = next;
  }
  return row[other.length]!;
}

export interface Settings {
  config: Config;
  /** Who named the broker. A link can be written by anybody. */
  from: 'file' | 'address' | null;
  /** What a person should know about it. */
  notes: string[];
}

/**
 * config.json, then the address: `?device=a,b`. Anybody can write an address: it may name a broker only where the file names
 * none, and then no login of the file goes there. A password never comes from the address.
 */
export function settingsOf(file: Config, search: string, page: string): Settings {
  const config: Config = { ...file };
  const notes: string[] = [];
  const address = new URLSearchParams(search);
  const named = address.get('broker');
  const own = config.broker !== undefined;
  if (own && named && !sameBroker(named, config.broker!, page)) {
    notes.push(`The address of this page names another broker (${clean(named, 60)}). It is ignored: config.json names the broker of this page.`);
  }
  if (!own) for (const key of LOGIN) delete config[key];
  for (const key of KEYS) {
    const value = address.get(key);
    if (!value || key === 'password' || (own && (key === 'broker' || (LOGIN as readonly string[]).includes(key)))) continue;
    config[key] = value;
  }
  if (address.has('device') && address.get('device') === '') delete config.device;
  return { config, from: own ? 'file' : config.broker !== undefined ? 'address' : null, notes };
}

/** What was typed takes over; a password that was not typed again is kept for the same login at the same broker. */
export function settingsTyped(before: Config, typed: Pick<Config, 'broker' | 'root' | 'device' | 'user' | 'password'>, page: string): Config {
  const after: Config = before.mode ? { mode: before.mode } : {};
  for (const key of ['broker', 'root', 'device', 'user', 'password'] as const) {
    const value = key === 'password' ? typed[key] : typed[key]?.trim(); // a password may begin with a space
    if (value) after[key] = value;
  }
  if (before.broker && after.broker && sameOrigin(before.broker, after.broker, page) && (before.user ?? '') === (after.user ?? '')) {
    if (!after.password && before.password) after.password = before.password;
    if (before.viewer) after.viewer = before.viewer;
  }
  return after;
}

function sameOrigin(one: string, other: string, page: string): boolean {
  const origin = brokerOrigin(one, page);
  return origin !== null && origin === brokerOrigin(other, page);
}
