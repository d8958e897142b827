// The keys of this browser, in IndexedDB: its identity, whose private half cannot be read, and the boards that it was
// paired with. All pages and tabs of one origin share them.

import { isId, isRoot } from '../protocol.ts';
import { makePair } from './jose.ts';
import type { Pair } from './jose.ts';
import { placeOf } from './place.ts';

/** The identity of this browser. `id`: its topic level. */
export interface Identity extends Pair { id: string }

/** A board that this browser was paired with. */
export interface PairedDevice {
  /** The broker's address, in full. */
  broker: string;
  root: string;
  device: string;
  /** The public key of the board, as a point. */
  key: string;
  /** Its thumbprint. */
  thumb: string;
  /** The name of the camera, as the board reported it last; empty if it has not. */
  name: string;
  /** The name of this viewer in the list of the board. */
  self: string;
  rights: string[];
  /** The board has a loudspeaker, as far as it said. */
  talk?: boolean;
  /** Until when this browser may watch, in milliseconds since 1970; null: without an end. */
  until: number | null;
  /** When it was paired, in milliseconds since 1970. */
  since: number;
}

/** Why keys cannot be kept here. `insecure`: browsers have no WebCrypto on plain HTTP. */
export type NoKeys = 'insecure' | 'no_store';

const DB = 'fanlight';
const CHANNEL = 'fanlight-keys';

/** The front of a thumbprint. */
export const viewerId = (thumb: string): string => thumb.slice(0, 22);

class Store {
  private opening: Promise<IDBDatabase> | null = null;
  private readonly listeners = new Set<() => void>();
  private readonly invited = new Set<string>();
  private channel: BroadcastChannel | null = null;

  /** Why this page can have no keys; null if it can. */
  get obstacle(): NoKeys | null {
    if (!globalThis.crypto?.subtle) return 'insecure';
    try {
      return globalThis.indexedDB ? null : 'no_store';
    } catch {
      return 'no_store'; // forbidden, as in a frame without storage
    }
  }

  /** Calls back when the paired boards change, in this or another tab. */
  onChange(listener: () => void): () => void {
    this.listen();
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
      if (this.listeners.size) return;
      this.channel?.close();
      this.channel = null;
    };
  }

  /** The identity of this browser; null if it has none. */
  async identity(): Promise<Identity | null> {
    const it = await this.run<Pair | undefined>('readonly', 'identity', (keys) => keys.get('self'));
    return it ? { ...it, id: viewerId(it.thumb) } : null;
  }

  /** The identity of this browser, made at the first use. Of two tabs at the same time, the first one counts. */
  async makeIdentity(): Promise<Identity> {
    const known = await this.identity();
    if (known) return known;
    const made = await makePair('sign');
    await this.run('readwrite', 'identity', (keys) => keys.add(made, 'self')).catch(() => {});
    const kept = await this.identity();
    if (!kept) throw new Error('IndexedDB: the key was not kept');
    return kept;
  }

  /** All paired boards, the newest first. */
  async devices(): Promise<PairedDevice[]> {
    const all = await this.run<unknown[]>('readonly', 'boards', (boards) => boards.getAll());
    return all.filter(isPaired).sort((a, b) => b.since - a.since);
  }

  /** The paired board at this place; null if there is none. */
  async find(place: string): Promise<PairedDevice | null> {
    const it = await this.run<unknown>('readonly', 'boards', (boards) => boards.get(place));
    return isPaired(it) ? it : null;
  }

  /**
   * A pairing link names the board at this place, so it is in the mode `keys`. For as long as this page lives, nothing
   * plain is said or believed there, whether the pairing succeeds or not.
   */
  expect(place: string): void {
    if (this.invited.has(place)) return;
    this.invited.add(place);
    this.changed();
  }

  /** Whether a pairing link named the board at this place. */
  expects(place: string): boolean {
    return this.invited.has(place);
  }

  async keep(board: PairedDevice): Promise<void> {
    await this.run('readwrite', 'boards', (boards) => boards.put(board, placeOf(board)));
    this.tell();
  }

  /** Writes what a board reports about itself. Nothing is written if it was forgotten or paired again meanwhile. */
  async update(board: PairedDevice, news: Pick<PairedDevice, 'name' | 'rights' | 'talk'>): Promise<void> {
    const db = await (this.opening ??= this.open());
    let changed = false;
    await new Promise<void>((resolve, reject) => {
      const transaction = db.transaction('boards', 'readwrite');
      const boards = transaction.objectStore('boards');
      const request = boards.get(placeOf(board));
      request.onsuccess = () => {
        const before: unknown = request.result;
        if (!isPaired(before) || before.thumb !== board.thumb) return;
        const after = { ...before, ...news };
        changed = JSON.stringify(after) !== JSON.stringify(before);
        if (changed) boards.put(after, placeOf(board));
      };
      transaction.oncomplete = () => resolve();
      transaction.onerror = transaction.onabort = () => reject(transaction.error ?? new Error('IndexedDB: aborted'));
    });
    if (changed) this.tell();
  }

  /** Deletes a board, at all the brokers where it was recognised. */
  async forget(board: PairedDevice): Promise<void> {
    const same = (it: PairedDevice) => it.thumb === board.thumb && it.device === board.device;
    for (const it of (await this.devices()).filter(same))
      await this.run('readwrite', 'boards', (boards) => boards.delete(placeOf(it)));
    this.tell();
  }

  private async run<T>(
    mode: IDBTransactionMode, name: 'identity' | 'boards', ask: (store: IDBObjectStore) => IDBRequest
  ): Promise<T> {
    const db = await (this.opening ??= this.open());
    return new Promise((resolve, reject) => {
      const transaction = db.transaction(name, mode);
      const request = ask(transaction.objectStore(name));
      transaction.oncomplete = () => resolve(request.result as T);
      transaction.onerror = transaction.onabort = () => reject(transaction.error ?? new Error('IndexedDB: aborted'));
    });
  }

  private open(): Promise<IDBDatabase> {
    const opening = new Promise<IDBDatabase>((resolve, reject) => {
      const request = indexedDB.open(DB, 1);
      request.onupgradeneeded = () => {
        request.result.createObjectStore('identity');
        request.result.createObjectStore('boards');
      };
      request.onsuccess = () => {
        const db = request.result;
        const gone = () => {
          db.close();
          if (this.opening !== opening) return;
          this.opening = null;
          this.tell();
        };
        // Another tab, or the person, deletes it.
        db.onversionchange = db.onclose = gone;
        resolve(db);
      };
      request.onerror = () => reject(request.error ?? new Error('IndexedDB: refused'));
    });
    opening.catch(() => { if (this.opening === opening) this.opening = null; });
    return opening;
  }

  private listen(): void {
    if (this.channel || !globalThis.BroadcastChannel) return;
    this.channel = new BroadcastChannel(CHANNEL);
    this.channel.onmessage = () => this.changed();
  }

  private tell(): void {
    this.listen();
    this.channel?.postMessage('');
    this.changed();
    if (!this.listeners.size) {
      this.channel?.close();
      this.channel = null;
    }
  }

  private changed(): void {
    for (const listener of [...this.listeners]) listener();
  }
}

/** The keys of this browser. */
export const store = new Store();

let sealing: Promise<Pair> | undefined;
/** The sealing key of this page: new for each page, and never stored. */
export const sealingPair = (): Promise<Pair> => (sealing ??= makePair('seal'));

function isPaired(it: unknown): it is PairedDevice {
  if (typeof it !== 'object' || it === null) return false;
  const { broker, root, device, key, thumb, rights } = it as Partial<PairedDevice>;
  return [broker, root, device, key, thumb].every((one) => typeof one === 'string') && Array.isArray(rights)
    && isId(device!) && isRoot(root!);
}
