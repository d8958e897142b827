// The boards that this browser was paired with, for the page and for lists.

import { Unusable, decodeStatus } from '../protocol.ts';
import type { Status } from '../protocol.ts';
import { boardOf, isSigned, readPublic, signerOf } from './messages.ts';
import type { Board } from './messages.ts';
import { placeOf } from './place.ts';
import { store } from './store.ts';
import type { NoKeys, PairedDevice } from './store.ts';

export interface Paired {
  /** The newest first. */
  devices: PairedDevice[];
  /** Why this page can have no keys; null if it can. */
  obstacle: NoKeys | null;
}

/** Reports the paired boards now and on each change, until the returned function is called. */
export function watchPaired(changed: (paired: Paired) => void): () => void {
  let over = false;
  const tell = () => void readAll().then((it) => {
    if (!over) changed(it);
  });
  const undo = store.onChange(tell);
  tell();
  return () => {
    over = true;
    undo();
  };
}

/** Deletes the key of a board. The board keeps this browser on its list until its owner removes it there. */
export const forgetDevice = (board: PairedDevice): Promise<void> => store.forget(board);

async function readAll(): Promise<Paired> {
  const { obstacle } = store;
  if (obstacle) return { devices: [], obstacle };
  try {
    return { devices: await store.devices(), obstacle: null };
  } catch {
    return { devices: [], obstacle: 'no_store' };
  }
}

/**
 * A board that this browser was paired with may announce itself at another broker, or under another root. Its signature
 * proves that it is the same one. So it is kept for this place too.
 */
export async function recognise(
  place: { broker: string; root: string; device: string }, status: Uint8Array
): Promise<boolean> {
  const thumb = store.obstacle ? null : signerOf(status, 'status');
  if (thumb === null) return false;
  const known = (await store.devices()).find((it) => it.thumb === thumb && it.device === place.device);
  const board = known && await boardOf(known);
  if (!board || !(await readPublic(status, 'status', board))) return false;
  await store.keep({ ...known, ...place });
  return true;
}

/** Why a device of a list cannot be watched, although it announces itself. */
export type Locked = 'not_paired' | 'wrong_board';

/** Checks what devices of one broker announce. */
export class Doorman {
  private boards = new Map<string, { board: Board; name: string }>();
  private ready: Promise<void>;
  private readonly undo: () => void;

  /** `changed`: the paired boards changed, so everything must be checked again. `keys`: nothing plain is believed. */
  constructor(
    private readonly broker: string, private readonly root: string, changed: () => void, private readonly keys = false
  ) {
    this.ready = this.read();
    this.undo = store.onChange(() => {
      this.ready = this.read();
      void this.ready.then(changed);
    });
  }

  close(): void {
    this.undo();
  }

  /** The paired boards of this broker, with the names that they reported last. */
  async names(): Promise<Map<string, string>> {
    await this.ready;
    return new Map([...this.boards].map(([device, { name }]) => [device, name]));
  }

  /** Reads a status. A text says why the device is locked. Throws `Unusable`. */
  async status(device: string, payload: Uint8Array): Promise<Status | Locked | null> {
    await this.ready;
    const known = this.boards.get(device);
    if (payload.length === 0) return null;
    const { broker, root } = this;
    const place = { broker, root, device };
    if (!known) {
      // If it is known, the list of paired boards changes, and it is checked again.
      if (isSigned(payload)) await recognise(place, payload).catch(() => {});
      return this.keys || isSigned(payload) || store.expects(placeOf(place)) ? 'not_paired' : decodeStatus(payload);
    }
    const json = await readPublic(payload, 'status', known.board);
    if (json) return decodeStatus(json);
    // A signature by the right key that is wrong proves nothing, and the last status stays.
    if (signerOf(payload, 'status') === known.board.thumb) throw new Unusable('status: a wrong signature');
    if (!isSigned(payload)) decodeStatus(payload); // throws if it is no status at all
    return 'wrong_board';
  }

  private async read(): Promise<void> {
    const { devices } = await readAll();
    const here = devices.filter(({ broker, root }) => broker === this.broker && root === this.root);
    const boards = new Map<string, { board: Board; name: string }>();
    for (const it of here) {
      const board = await boardOf(it);
      if (board) boards.set(it.device, { board, name: it.name });
    }
    this.boards = boards;
  }
}
