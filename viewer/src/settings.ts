// What the page connects to: the file beside it, what its address says, and what a person types. Pure.

import { brokerUrl } from './address.ts';

export interface Config { broker?: string; root?: string; device?: string; user?: string; password?: string; viewer?: string; mode?: string }

const KEYS = ['broker', 'root', 'device', 'user', 'password', 'viewer', 'mode'] as const;
/** Who one is at a broker: what belongs to one broker is never said to another. */
const LOGIN = ['user', 'password', 'viewer'] as const;

/**
 * config.json, then the address: `?device=a,b`. Anybody can write an address, so a broker that it names gets no login of
 * the file, and the file's broker no login of the address. A password never comes from the address.
 */
export function settingsOf(file: unknown, search: string, page: string): Config {
  const found: Config = {};
  if (typeof file === 'object' && file !== null) {
    for (const key of KEYS) {
      const value = (file as Record<string, unknown>)[key];
      if (typeof value === 'string' && value !== '') found[key] = value;
    }
  }
  const address = new URLSearchParams(search);
  const broker = address.get('broker');
  const own = found.broker !== undefined && (!broker || sameBroker(broker, found.broker, page));
  if (!own) for (const key of LOGIN) delete found[key];
  for (const key of KEYS) {
    const value = address.get(key);
    if (value && key !== 'password' && !(own && (LOGIN as readonly string[]).includes(key))) found[key] = value;
  }
  return found;
}

/** What was typed takes over; a password that was not typed again is kept for the same login at the same broker. */
export function settingsTyped(before: Config, typed: Pick<Config, 'broker' | 'root' | 'device' | 'user' | 'password'>, page: string): Config {
  const after: Config = before.mode ? { mode: before.mode } : {};
  for (const key of ['broker', 'root', 'device', 'user', 'password'] as const) {
    const value = typed[key]?.trim();
    if (value) after[key] = value;
  }
  if (before.broker && after.broker && sameBroker(before.broker, after.broker, page) && (before.user ?? '') === (after.user ?? '')) {
    if (!after.password && before.password) after.password = before.password;
    if (before.viewer) after.viewer = before.viewer;
  }
  return after;
}

function sameBroker(one: string, other: string, page: string): boolean {
  try {
    return brokerUrl(one, page).href === brokerUrl(other, page).href;
  } catch {
    return false;
  }
}
