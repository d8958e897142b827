// Whether the picture still moves. Pure.

const LEAST_MS = 1000;
const MOST_MS = 6000;
const KEPT = 9;

/**
 * Observes frames and how long they may be missing: one second, or longer if they came more slowly before (2.5 times
 * the usual interval, at most 6 s).
 */
export class Freshness {
  private last: number | null = null;
  private intervals: number[] = [];

  /** A new picture begins, of which no frame was shown yet. */
  begin(): void {
    this.last = null;
    this.intervals = [];
  }

  frame(now: number): void {
    if (this.last !== null && now > this.last) {
      this.intervals.push(now - this.last);
      if (this.intervals.length > KEPT) this.intervals.shift();
    }
    this.last = now;
  }

  /** Nobody looked until now; a browser then presents no frames. */
  forgive(now: number): void {
    if (this.last !== null) this.last = Math.max(this.last, now);
  }

  get limit(): number {
    if (this.intervals.length < 3) return LEAST_MS;
    const usual = [...this.intervals].sort((a, b) => a - b)[Math.floor(this.intervals.length / 2)]!;
    return Math.min(MOST_MS, Math.max(LEAST_MS, usual * 2.5));
  }

  /** For how long the picture has stood still, in milliseconds; null while it moves, or before the first frame. */
  staleFor(now: number): number | null {
    return this.last !== null && now - this.last >= this.limit ? now - this.last : null;
  }
}
