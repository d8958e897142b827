// When to retry a failed call: exponential back-off with jitter, `retry_after_ms`, and status changes that make an
// earlier retry useful. Pure.

import type { Next } from './errors.ts';
import type { Status } from './protocol.ts';

const BACKOFF_MS = [3000, 6000, 12_000, 30_000];
/** Retries, and new sessions of all viewers at once, are spread over this time. */
export const JITTER_MS = 1000;

export class Retry {
  private failures = 0;

  constructor(private readonly random: () => number) {}

  /** A call is connected, or the user asked: delays start from the shortest again. */
  reset(): void {
    this.failures = 0;
  }

  /** A random part of `JITTER_MS`. */
  jitter(): number {
    return this.random() * JITTER_MS;
  }

  /** The next delay: between half and all of a growing time. */
  delay(): number {
    const most = BACKOFF_MS[Math.min(this.failures, BACKOFF_MS.length - 1)]!;
    this.failures += 1;
    return most / 2 + (this.random() * most) / 2;
  }

  /** The milliseconds after which to call again; null: not before the user asks. */
  after(next: Next, retryAfterMs: number | null): number | null {
    if (next === 'stay') return null;
    if (next === 'now' && this.failures < 2) {
      this.failures += 1;
      return this.jitter();
    }
    // The pause that the device requests gets jitter too, so that its viewers do not return at the same moment.
    return retryAfterMs === null ? this.delay() : retryAfterMs + this.jitter();
  }
}

/** Whether a new status of the device shows that the cause of an error is gone. */
export function isCured(name: string, before: Status | null, status: Status & { state: 'online' }): boolean {
  if (name === 'busy')
    return status.viewers !== null && status.maxViewers !== null && status.viewers < status.maxViewers;
  if (name === 'privacy' || name === 'no_media')
    return status.media.video === 'ok' || status.media.video === 'starting';
  return before?.state !== 'online' || before.epoch !== status.epoch;
}
