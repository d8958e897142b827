// The audit records of a paired board (docs/reference/audit.md), for a browser with the right `events`: asks for them,
// and reads them. A record that comes a second time, or after a later one, is ignored: a broker can repeat messages. A
// browser without the right asks for its rights again, as they can change.

import type { Bytes } from '../bytes.ts';
import { Unusable, object, readJson, text } from '../json.ts';
import { MOST_NAME, VERSION, newSession } from '../protocol.ts';
import { clean } from '../texts.ts';
import { rightsOf } from './messages.ts';

/** What the board wrote down. Null: not given. */
export interface Happening {
  kind: 'refuse' | 'start' | 'end' | 'pair' | 'list' | 'privacy' | 'snapshot' | 'doorbell';
  /** Milliseconds since 1970; null while the board's clock is not right. */
  at: number | null;
  viewer: string | null;
  /** The viewer's name for people. */
  name: string | null;
  /** It is about this browser. */
  self: boolean;
  rights: string[] | null;
  token: string | null;
  route: string | null;
  bytes: number | null;
  seconds: number | null;
  reason: string | null;
  change: string | null;
  /** Refusals before this one that were left out. */
  leftOut: number | null;
}

const KINDS = ['refuse', 'start', 'end', 'pair', 'list', 'privacy', 'snapshot', 'doorbell'] as const;
/** The board forgets who asked after ten minutes. It tells nobody of a new right, so this is also the wait for one. */
const AGAIN_MS = 5 * 60_000;

export class News {
  private session: string | null = null;
  /** Whether this browser has the right, as far as it knows. */
  private may = false;
  private seq = 0;
  private last = -1;
  private timer: ReturnType<typeof setInterval> | undefined;

  /** `say` sends a message to the board; `self`: the id of this browser. */
  constructor(private readonly say: (text: string) => void, private readonly self: () => string | null) {}

  /** A new start of the board said what this browser may do. */
  begin(rights: string[]): void {
    this.stop();
    Object.assign(this, { session: newSession(), seq: 0, last: -1, may: rights.includes('events') });
    if (this.may) this.again();
    this.timer = setInterval(() => this.again(), AGAIN_MS);
  }

  /** An answer of the board says what this browser may do now. */
  answered(rights: string[]): void {
    const before = this.may;
    this.may = rights.includes('events');
    if (this.may && !before) this.again();
  }

  /** Asks for events, or whether this browser may have them by now. */
  again(): void {
    if (this.session === null) return;
    const wish = this.may ? { events: true } : {};
    this.say(JSON.stringify({ v: VERSION, type: 'hello', session: this.session, seq: this.seq++, ...wish }));
  }

  stop(): void {
    clearInterval(this.timer);
    this.session = null;
  }

  /** Whether a message of this session answers a question of this page. */
  owns(session: string | null): boolean {
    return session !== null && session === this.session;
  }

  /** The board refused. */
  refused(name: string): void {
    if (name === 'forbidden') this.may = false;
  }

  /** Reads an `event`. Null: an old one, or one that nobody asked for. Throws `Unusable`. */
  read(json: Bytes): Happening | null {
    const it = object(readJson(json), 'event');
    const n = it['n'];
    if (!Number.isSafeInteger(n) || (n as number) < 0) throw new Unusable('event: no number');
    if (!this.may || !this.owns(text(it, 'session', 22)) || (n as number) <= this.last) return null;
    this.last = n as number;
    return happeningOf(it, this.self());
  }
}

/** A record. Throws `Unusable`. */
export function happeningOf(it: Record<string, unknown>, self: string | null): Happening {
  const kind = KINDS.find((known) => known === it['kind']);
  if (!kind) throw new Unusable('event: unknown kind');
  const word = (key: string, most = 64) => clean(text(it, key, 256, ''), most) || null;
  const count = (key: string) =>
    (Number.isSafeInteger(it[key]) && (it[key] as number) >= 0 ? (it[key] as number) : null);
  const viewer = word('viewer');
  const at = count('at');
  return {
    kind, at: at === null ? null : at * 1000, viewer, name: word('name', MOST_NAME),
    self: viewer !== null && viewer === self,
    rights: (it['rights'] ?? null) === null ? null : rightsOf(it['rights']), token: word('token'), route: word('route'),
    bytes: count('bytes'), seconds: count('seconds'), reason: word('reason'), change: word('change'),
    leftOut: count('left_out'),
  };
}
