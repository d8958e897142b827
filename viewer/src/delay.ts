// How old a picture is when it is seen. Three ways, the surest first: the picture clock in the picture itself; the sender
// reports, which tie RTP time to the device's clock and let it be compared with ours; what can be seen from here alone. Pure.

/** What one look at the browser's counters tells, in milliseconds; null: not known. */
export interface Look {
  /** By our clock, how far the picture being played lies behind the moment by the device's clock. */
  playout: number | null;
  /** The device's clock minus ours when the last sender report came, and too little by the way it took. */
  offset: number | null;
  roundTrip: number | null;
  /** From the arrival of a frame until it is decoded. */
  processing: number | null;
}
export interface Delay { ms: number; by: 'clock' | 'capture' | 'estimate'; p95: number | null }

const WINDOW_MS = 10_000;
const MOST_MS = 10_000; // more is a clock that jumped

export class Delays {
  private readonly clock = new Window();
  private readonly here = new Window();
  private readonly playout = new Window();
  private readonly offset = new Window();
  private readonly roundTrip = new Window();
  private processing: number | null = null;

  /** A frame that reached the screen at `shown`. */
  frame(shown: number, received: number): void {
    if (shown >= received && shown - received < MOST_MS) this.here.add(shown, shown - received);
  }

  /** The picture clock, read from a frame. */
  read(shown: number, ms: number): void {
    this.clock.add(shown, ms);
  }

  look(at: number, { playout, offset, roundTrip, processing }: Look): void {
    if (playout !== null) this.playout.add(at, playout);
    if (offset !== null) this.offset.add(at, offset);
    if (roundTrip !== null) this.roundTrip.add(at, roundTrip);
    this.processing = processing;
  }

  /** Of the last 10 s. */
  summary(now: number): Delay | null {
    const clock = this.clock.since(now);
    if (clock.length) return { ms: percentile(clock, 0.5)!, by: 'clock', p95: percentile(clock, 0.95) };
    const here = percentile(this.here.since(now), 0.5) ?? this.processing; // an older browser tells no frame from the other
    const roundTrips = this.roundTrip.since(now);
    if (here === null || !roundTrips.length) return null;
    // The report that came fastest says the most about the clocks.
    const way = Math.min(...roundTrips) / 2;
    const playout = percentile(this.playout.since(now), 0.5);
    const offsets = this.offset.since(now);
    if (playout !== null && offsets.length && this.processing !== null) {
      const ms = playout + Math.max(...offsets) + way + Math.max(0, here - this.processing);
      if (ms > 0 && ms < MOST_MS) return { ms, by: 'capture', p95: null };
    }
    // Network, jitter buffer, decoding and display; what the camera and its encoder take is not in it.
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

/** The p-th percentile (0 to 1) of some numbers; null of none. */
export function percentile(values: number[], p: number): number | null {
  if (!values.length) return null;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(p * sorted.length) - 1)] ?? sorted[0]!;
}
