// Logins that were typed: kept for the tab, and longer only if the user wants it. Each belongs to scheme, host and port
// of one broker, and is never sent to another.

import { brokerOrigin } from './address.ts';

export interface Login { user: string; password: string; remembered: boolean }
type Store = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;

const KEY = 'fanlight-login ';
const BROKER = 'fanlight-broker';

export class Logins {
  constructor(
    private readonly tab: Store | null, private readonly device: Store | null, private readonly page: string
  ) {}

  /** The login that was typed for this broker. */
  get(broker: string): Login | null {
    const key = this.key(broker);
    if (!key) return null;
    return read(this.tab, key, false) ?? read(this.device, key, true);
  }

  keep(broker: string, user: string, password: string, remember: boolean): void {
    const key = this.key(broker);
    if (!key) return;
    const text = JSON.stringify({ user, password });
    const empty = user === '' && password === '';
    write(this.tab, key, remember || empty ? null : text);
    write(this.device, key, remember && !empty ? text : null);
  }

  /** The broker that was typed on a page without a configured one. */
  get broker(): { broker: string; root: string } | null {
    for (const store of [this.tab, this.device]) {
      const it = parse(store, BROKER);
      if (it && typeof it['broker'] === 'string')
        return { broker: it['broker'], root: typeof it['root'] === 'string' ? it['root'] : '' };
    }
    return null;
  }

  keepBroker(broker: string, root: string, remember: boolean): void {
    const text = JSON.stringify({ broker, root });
    write(this.tab, BROKER, remember ? null : text);
    write(this.device, BROKER, remember ? text : null);
  }

  private key(broker: string): string | null {
    const origin = brokerOrigin(broker, this.page);
    return origin === null ? null : KEY + origin;
  }
}

function read(store: Store | null, key: string, remembered: boolean): Login | null {
  const it = parse(store, key);
  return it && typeof it['user'] === 'string' && typeof it['password'] === 'string'
    ? { user: it['user'], password: it['password'], remembered }
    : null;
}

function parse(store: Store | null, key: string): Record<string, unknown> | null {
  try {
    const it: unknown = JSON.parse(store?.getItem(key) ?? 'null');
    return typeof it === 'object' && it !== null ? it as Record<string, unknown> : null;
  } catch {
    return null; // storage is not available, or holds something else
  }
}

function write(store: Store | null, key: string, text: string | null): void {
  try {
    if (text === null) store?.removeItem(key);
    else store?.setItem(key, text);
  } catch {
    // Storage is not available or full: the login lasts as long as the page.
  }
}
