// The access tokens of this viewer for one board (docs/reference/tokens.md). The page fetches them from its login
// service. They are kept in memory only, and replaced before they end.

import { unbase64url } from '../bytes.ts';
import { Unusable, fail, object, readJson } from '../json.ts';
import { clean } from '../texts.ts';
import { jwkOf } from './jose.ts';

/** What a token is asked for. */
export interface TokenRequest {
  /** The id of the device. */
  device: string;
  /** The public key of this viewer, for the claim `cnf`. */
  key: { kty: 'EC'; crv: 'P-256'; x: string; y: string };
  /** Aborted when the token comes too late, or is no longer needed. */
  signal: AbortSignal;
}

/**
 * Fetches a token: a JWS in compact serialisation. It rejects with a `DOMException` named `NotAllowedError` if nobody
 * is logged in, or the person has no access. Any other error is temporary.
 */
export type TokenSource = (request: TokenRequest) => Promise<string>;

/** Why there is no token. Error names of `errors.ts`. */
export type NoToken = 'token_failed' | 'token_refused' | 'token_unusable';

export interface TokenHooks {
  /** There is a new token. */
  fresh(): void;
  /** There is no token, and none will come unless it is asked for again. */
  failed(why: NoToken, message: string): void;
}

const MOST_TOKEN = 4096;
const DEADLINE_MS = 15_000;
/** Between two attempts to replace a token that still works. */
const AGAIN_MS = [5000, 10_000, 20_000, 60_000];
const SHORTEST_MS = 1000;
/** Timers of browsers overflow beyond this, and fire at once. */
const LONGEST_MS = 2 ** 31 - 1;

/**
 * How long a token still lives, in milliseconds. `now`: seconds since 1970 by this machine's clock, which may be wrong.
 * Throws `Unusable` if the board would refuse it, as far as a viewer can see. The message has nothing of the token.
 */
export function lifeOf(token: unknown, device: string, point: string, now: number): number {
  if (typeof token !== 'string' || token.length > MOST_TOKEN)
    return fail(`token: not a text of at most ${MOST_TOKEN} characters`);
  const payload = /^[\w-]+\.([\w-]+)\.[\w-]+$/.exec(token)?.[1];
  const json = payload === undefined ? null : unbase64url(payload);
  if (!json) return fail('token: not a JWS in compact serialisation');
  const { aud, exp, iat, cnf } = object(readJson(json), 'token');
  if (![aud].flat().some((it) => it === device || it === '*')) fail('aud: another camera');
  const jwk = (cnf as { jwk?: Record<string, unknown> } | null | undefined)?.jwk;
  const own = jwkOf(point);
  if (jwk?.['x'] !== own.x || jwk['y'] !== own.y) fail('cnf: the key of another viewer');
  if (typeof exp !== 'number' || typeof iat !== 'number' || !(exp > iat)) return fail('exp: not after iat');
  // If the token has ended by this clock, the clock is the more likely fault. The board decides.
  const left = exp - now;
  return (left > 0 ? Math.min(left, exp - iat) : exp - iat) * 1000;
}

/** When to replace a token: after about 80 % of its life, not all viewers at the same moment. */
export const renewAfter = (life: number, random: number): number =>
  Math.max(SHORTEST_MS, life * (0.75 + random / 10));

export class Tokens {
  private current: { text: string; ends: number; renewAt: number } | null = null;
  private point: string | null = null;
  private fetching: AbortController | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private wanted = false;
  private inUse = false;
  private failures = 0;
  /** The token of which the board said that it had ended, until it accepts another one. */
  private dead: string | null = null;
  private hope = true;

  constructor(
    private readonly source: TokenSource, private readonly device: string, private readonly hooks: TokenHooks,
  ) {}

  /** The token to send; null if there is none. */
  get text(): string | null {
    return this.current && performance.now() < this.current.ends ? this.current.text : null;
  }

  /** The public key of this viewer. Tokens for an earlier one are dropped. */
  as(point: string): void {
    if (point === this.point) return;
    this.close();
    this.point = point;
    if (this.wanted) this.want();
  }

  /** Fetches a token, unless there is one, or one is on its way. */
  want(): void {
    this.wanted = true;
    if (this.text === null) void this.fetch();
  }

  /** Whether a session runs, for which tokens are replaced. Otherwise they are only fetched when they are needed. */
  use(yes: boolean): void {
    if (yes === this.inUse) return;
    this.inUse = yes;
    if (yes) this.arm(this.current?.renewAt);
    else clearTimeout(this.timer);
  }

  /**
   * The board says that this token has ended. Returns whether there is hope in a new one: not if the board said this of
   * two in a row.
   */
  ended(text: string): boolean {
    if (this.dead === text) return this.hope; // the answer to another message with it
    if (this.current && this.current.text !== text) return true; // replaced meanwhile
    this.hope = this.dead === null;
    this.dead = text;
    this.forget();
    return this.hope;
  }

  /** The board accepted a message with a token. */
  accepted(): void {
    this.dead = null;
  }

  /** The token was taken back, or the board does not want it: the next one is a new one. */
  forget(): void {
    clearTimeout(this.timer);
    this.current = null;
  }

  close(): void {
    this.forget();
    this.fetching?.abort();
    this.fetching = null;
  }

  private async fetch(): Promise<void> {
    const { point, device } = this;
    if (this.fetching || point === null) return;
    const own = this.fetching = new AbortController();
    const late = setTimeout(
      () => own.abort(new Error(`tokens: no token within ${DEADLINE_MS / 1000} s`)), DEADLINE_MS
    );
    let done: () => void;
    try {
      const text = await untilAborted(own.signal, this.source({ device, key: jwkOf(point), signal: own.signal }));
      if (text === this.dead) throw new Error('tokens: the token that has ended came again');
      const life = lifeOf(text, device, point, Date.now() / 1000);
      done = () => this.took(text, life);
    } catch (error) {
      done = () => this.failed(error);
    }
    clearTimeout(late);
    if (this.fetching !== own) return; // closed
    this.fetching = null;
    done();
  }

  private took(text: string, life: number): void {
    const now = performance.now();
    this.failures = 0;
    this.current = { text, ends: now + life, renewAt: now + renewAfter(life, Math.random()) };
    if (this.inUse) this.arm(this.current.renewAt);
    this.hooks.fresh();
  }

  private failed(error: unknown): void {
    const { name = '', message = '' } = (typeof error === 'object' && error !== null ? error : {}) as Partial<Error>;
    const why = error instanceof Unusable ? 'token_unusable'
      : name === 'NotAllowedError' ? 'token_refused' : 'token_failed';
    if (this.text === null) return this.hooks.failed(why, clean(String(message), 200));
    // The session continues with the token that it has.
    const wait = AGAIN_MS[Math.min(this.failures, AGAIN_MS.length - 1)]!;
    this.failures += 1;
    if (this.inUse && why === 'token_failed') this.arm(performance.now() + wait * (0.5 + Math.random() / 2));
  }

  private arm(at: number | undefined): void {
    clearTimeout(this.timer);
    if (at === undefined) return;
    const wait = Math.max(0, at - performance.now());
    this.timer = setTimeout(() => {
      if (wait > LONGEST_MS) this.arm(at);
      else void this.fetch();
    }, Math.min(wait, LONGEST_MS));
  }
}

/** A promise, or the reason of an abort if that comes first. */
function untilAborted<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error));
    Promise.resolve(promise).then(resolve, reject);
  });
}
