// Whether the picture still moves. Pure.

const LEAST_MS = 1000;
const MOST_MS = 6000;
const KEPT = 9;

/**
 * Frames that come, and how long they may be missing: one second, and longer only for a picture that came more slowly than
 * that before (2.5 times its usual interval, at most 6 s).
 */
export class Freshness {
  private last: number | null = null;
  private intervals: number[] = [];

  /** A new picture begins: nothing of it was seen yet. */
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

  /** Nobody looked until now: a browser presents no frames then. */
  forgive(now: number): void {
    if (this.last !== null) this.last = Math.max(this.last, now);
  }

  get limit(): number {
    if (this.intervals.length < 3) return LEAST_MS;
    const usual = [...this.intervals].sort((a, b) => a - b)[Math.floor(this.intervals.length / 2)]!;
    return Math.min(MOST_MS, Math.max(LEAST_MS, usual * 2.5));
  }

  /** For how long the picture has stood still, in milliseconds; null while it moves, or before it began. */
  staleFor(now: number): number | null {
    return this.last !== null && now - this.last >= this.limit ? now - this.last : null;
  }
}
