// The commands of a viewer to its board (docs/reference/board-commands.md): ids, results, time limits, and the parts of
// a snapshot. Pure: time is an argument, and a function sends, by the data channel or by the broker.

import { concat } from './bytes.ts';
import type { Bytes } from './bytes.ts';
import { Unusable } from './json.ts';
import { refusal } from './results.ts';
import type { Json, Part, Refusal, Result } from './results.ts';

/** A command, without the envelope that its way may need. */
export interface Command { id: number; name: string; args?: Json }
/** How a command went: by the data channel, as a message of the session, or alone. Only this outlives the session. */
export type Way = 'channel' | 'session' | 'alone';
/** Sends a command. Null: there is no way to the board now. */
export type Send = (command: Command) => Way | null;
/** What became of a command. `file`: the picture of a `snapshot`. */
export type Outcome = { ok: Json; file: Bytes | null } | { error: Refusal };

/** The board keeps no more of one session. */
const MOST_WAITING = 8;
/** The board answers within 10 s. The rest is for the way. */
const RESULT_MS = 12_000;
const PARTS_MS = 10_000;
const MOST_FILE = 2 * 1024 * 1024;
const MOST_PARTS = 256;

interface Waiting {
  name: string; way: Way; until: number;
  settle(outcome: Outcome): void;
  /** The result of a snapshot whose parts are arriving. */
  ok: Json | null;
  parts: Bytes[]; bytes: number;
}

export class Commands {
  private readonly waiting = new Map<number, Waiting>();
  private last = 0;

  constructor(private readonly send: Send) {}

  /** No command waits for its result. */
  get idle(): boolean {
    return this.waiting.size === 0;
  }

  /** Gives a command. `settle` is called once, perhaps at once. */
  ask(name: string, args: Json, now: number, settle: (outcome: Outcome) => void): void {
    const refuse = (why: string, code = 0) => settle({ error: refusal(why, '', code) });
    if (this.waiting.size >= MOST_WAITING) return refuse('busy', 503);
    const id = ++this.last;
    let way: Way | null;
    try {
      way = this.send(Object.keys(args).length ? { id, name, args } : { id, name });
    } catch (error) {
      if (!(error instanceof Unusable)) throw error;
      return refuse('too_large', 413);
    }
    if (way === null) return refuse('no_way');
    this.waiting.set(id, { name, way, until: now + RESULT_MS, settle, ok: null, parts: [], bytes: 0 });
  }

  /** The board answered. Returns false if nothing waits for it. */
  result(it: Result, now: number): boolean {
    const one = it.id === null ? undefined : this.waiting.get(it.id);
    if (!one || one.ok) return false;
    if ('error' in it) this.done(it.id!, { error: it.error });
    else if (one.name === 'snapshot') this.expectParts(it.id!, one, it.ok, now);
    else this.done(it.id!, { ok: it.ok, file: null });
    return true;
  }

  /** A part of a snapshot came. Returns false if nothing waits for it. */
  part(it: Part): boolean {
    const one = this.waiting.get(it.id);
    if (!one?.ok) return false;
    one.bytes += it.data.length;
    const { bytes, parts } = one.ok as { bytes: number; parts: number };
    if (it.part !== one.parts.length || one.bytes > bytes) {
      this.done(it.id, { error: refusal('incomplete') });
      return true;
    }
    if (one.parts.push(it.data) < parts) return true;
    this.done(it.id, one.bytes === bytes
      ? { ok: one.ok, file: concat(...one.parts) } : { error: refusal('incomplete') });
    return true;
  }

  /** The session ended, and with it what its commands wait for. */
  ended(): void {
    for (const [id, { way }] of [...this.waiting]) if (way !== 'alone') this.refuse(id, 'gone', 410);
  }

  /** The data channel closed, and the session goes on. */
  channelClosed(): void {
    for (const [id, { way }] of [...this.waiting]) if (way === 'channel') this.refuse(id, 'gone', 410);
  }

  /** Nobody waits for the results any more. */
  stop(): void {
    for (const id of [...this.waiting.keys()]) this.refuse(id, 'stopped');
  }

  /** When to call `wake` next. */
  nextWake(): number | null {
    return this.waiting.size ? Math.min(...[...this.waiting.values()].map(({ until }) => until)) : null;
  }

  wake(now: number): void {
    for (const [id, { until, ok }] of [...this.waiting])
      if (until <= now) this.refuse(id, ok ? 'incomplete' : 'timeout', ok ? 0 : 408);
  }

  private expectParts(id: number, one: Waiting, ok: Json, now: number): void {
    const { bytes, parts } = ok;
    const whole = (it: unknown, most: number) =>
      Number.isSafeInteger(it) && (it as number) > 0 && (it as number) <= most;
    if (!whole(bytes, MOST_FILE) || !whole(parts, MOST_PARTS)) return this.refuse(id, 'incomplete');
    one.ok = ok;
    one.until = now + PARTS_MS;
  }

  private refuse(id: number, name: string, code = 0): void {
    this.done(id, { error: refusal(name, '', code) });
  }

  private done(id: number, outcome: Outcome): void {
    const one = this.waiting.get(id);
    this.waiting.delete(id);
    one?.settle(outcome);
  }
}
