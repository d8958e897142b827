// The delay from capture to screen, from three sources, the most exact first. The picture clock is in the picture
// itself. Sender reports relate RTP time to the device's clock, which can be compared with ours. An estimate uses only
// what this browser measures. Pure.

/** The values from one report of the browser's counters, in milliseconds; null: unknown. */
export interface Look {
  /** By our clock: how old the picture being played is, as the device's clock measured its capture. */
  playout: number | null;
  /** The device's clock minus ours at the last sender report; too low by the report's time on the network. */
  offset: number | null;
  roundTrip: number | null;
  /** From the arrival of a frame to its decoding. */
  processing: number | null;
}
export interface Delay { ms: number; by: 'clock' | 'capture' | 'estimate'; p95: number | null }

const WINDOW_MS = 10_000;
const MOST_MS = 10_000; // a larger value means that a clock jumped

export class Delays {
  private readonly clock = new Window();
  private readonly here = new Window();
  private readonly playout = new Window();
  private readonly offset = new Window();
  private readonly roundTrip = new Window();
  private processing: number | null = null;

  /** A frame was presented at `shown`. */
  frame(shown: number, received: number): void {
    if (shown >= received && shown - received < MOST_MS) this.here.add(shown, shown - received);
  }

  /** The picture clock that was read from a frame. */
  read(shown: number, ms: number): void {
    this.clock.add(shown, ms);
  }

  look(at: number, { playout, offset, roundTrip, processing }: Look): void {
    if (playout !== null) this.playout.add(at, playout);
    if (offset !== null) this.offset.add(at, offset);
    if (roundTrip !== null) this.roundTrip.add(at, roundTrip);
    this.processing = processing;
  }

  /** The delay of the last 10 s. */
  summary(now: number): Delay | null {
    const clock = this.clock.since(now);
    if (clock.length) return { ms: percentile(clock, 0.5)!, by: 'clock', p95: percentile(clock, 0.95) };
    // Older browsers report no times of single frames.
    const here = percentile(this.here.since(now), 0.5) ?? this.processing;
    const roundTrips = this.roundTrip.since(now);
    if (here === null || !roundTrips.length) return null;
    // The report that came fastest has the smallest error.
    const way = Math.min(...roundTrips) / 2;
    const playout = percentile(this.playout.since(now), 0.5);
    const offsets = this.offset.since(now);
    if (playout !== null && offsets.length && this.processing !== null) {
      const ms = playout + Math.max(...offsets) + way + Math.max(0, here - this.processing);
      if (ms > 0 && ms < MOST_MS) return { ms, by: 'capture', p95: null };
    }
    // Network, jitter buffer, decoding and display. The time in camera and encoder is missing.
    return { ms: here + way, by: 'estimate', p95: null };
  }
}

class Window {
  private list: { at: number; value: number }[] = [];

  add(at: number, value: number): void {
    this.list.push({ at, value });
    this.drop(at);
  }

  since(now: number): number[] {
    this.drop(now);
    return this.list.map((one) => one.value);
  }

  private drop(now: number): void {
    while (this.list[0] && this.list[0].at <= now - WINDOW_MS) this.list.shift();
  }
}

/** The p-th percentile (0 to 1) of the numbers; null if there are none. */
export function percentile(values: number[], p: number): number | null {
  if (!values.length) return null;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(p * sorted.length) - 1)] ?? sorted[0]!;
}
