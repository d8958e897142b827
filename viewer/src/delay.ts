// How old a picture is when it is seen. Three ways, the surest first: the picture clock in the picture itself, the capture
// time that the device's sender reports tell, and what can be seen from here alone. Pure.

import { percentile } from './stats.ts';

/** Of one frame, in milliseconds of this page's clock; the browser knows not all of them. */
export interface FrameTimes { shown: number; captured?: number; received?: number }
export interface Delay { ms: number; by: 'clock' | 'capture' | 'estimate'; p50: number; p95: number }

const WINDOW_MS = 10_000;
const MOST_MS = 10_000; // more is a clock that jumped

export class Delays {
  private readonly clock = new Window();
  private readonly capture = new Window();
  private readonly here = new Window();

  frame({ shown, captured, received }: FrameTimes): void {
    if (captured !== undefined) this.capture.add(shown, shown - captured);
    if (received !== undefined) this.here.add(shown, shown - received);
  }

  read(shown: number, ms: number | null): void {
    if (ms !== null) this.clock.add(shown, ms);
  }

  /** Of the last 10 s. */
  summary(now: number, roundTripMs: number | null): Delay | null {
    const clock = this.clock.since(now);
    if (clock.length) return of('clock', clock);
    const capture = this.capture.since(now);
    if (capture.length) return of('capture', capture);
    // Network, jitter buffer, decoding and display; what the camera and its encoder take is not in it.
    return roundTripMs === null ? null : of('estimate', this.here.since(now).map((ms) => ms + roundTripMs / 2));
  }
}

class Window {
  private list: { at: number; ms: number }[] = [];

  add(at: number, ms: number): void {
    if (ms >= 0 && ms < MOST_MS) this.list.push({ at, ms });
    this.drop(at);
  }

  since(now: number): number[] {
    this.drop(now);
    return this.list.map((one) => one.ms);
  }

  private drop(now: number): void {
    while (this.list[0] && this.list[0].at <= now - WINDOW_MS) this.list.shift();
  }
}

function of(by: Delay['by'], values: number[]): Delay | null {
  const p50 = percentile(values, 0.5);
  return p50 === null ? null : { ms: p50, by, p50, p95: percentile(values, 0.95)! };
}
