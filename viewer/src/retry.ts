// When a failed call is tried again: exponential back-off with jitter, `retry_after_ms`, and what makes a retry worthwhile
// earlier. Pure.

import type { Next } from './errors.ts';
import type { Status } from './protocol.ts';

const BACKOFF_MS = [3000, 6000, 12_000, 30_000];
/** A retry, or a new session of all viewers at once, is spread over this time. */
export const JITTER_MS = 1000;

export class Retry {
  private failures = 0;

  constructor(private readonly random: () => number) {}

  /** A call stands, or a person asks: the delays begin from the shortest again. */
  reset(): void {
    this.failures = 0;
  }

  /** A random part of `JITTER_MS`. */
  jitter(): number {
    return this.random() * JITTER_MS;
  }

  /** The next delay, from half to the whole of a growing time. */
  delay(): number {
    const most = BACKOFF_MS[Math.min(this.failures, BACKOFF_MS.length - 1)]!;
    this.failures += 1;
    return most / 2 + (this.random() * most) / 2;
  }

  /** After how many milliseconds to call again; null: not before a person asks. */
  after(next: Next, retryAfterMs: number | null): number | null {
    if (next === 'stay') return null;
    if (next === 'now' && this.failures < 2) {
      this.failures += 1;
      return this.jitter();
    }
    // The pause that the device asks for gets jitter too, so that its viewers do not come back at the same moment.
    return retryAfterMs === null ? this.delay() : retryAfterMs + this.jitter();
  }
}

/** Whether a new status of the device says that the cause of an error is gone. */
export function isCured(name: string, before: Status | null, status: Status & { state: 'online' }): boolean {
  if (name === 'busy') return status.viewers !== null && status.maxViewers !== null && status.viewers < status.maxViewers;
  if (name === 'privacy' || name === 'no_media') return status.media.video === 'ok' || status.media.video === 'starting';
  return before?.state !== 'online' || before.epoch !== status.epoch;
}
