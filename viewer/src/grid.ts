// Arranges pictures on a screen. Pure.

export interface Grid {
  columns: number;
  rows: number;
  /** The height of a row if the rows do not fit on the screen; null: the rows share the height. */
  rowHeight: number | null;
  /**
   * The number of grid tracks. The n-th picture spans `spans[n]` of them, so that a last row that is not full is
   * stretched.
   */
  tracks: number;
  spans: number[];
}

const RATIO = 16 / 9;
const LEAST_WIDTH = 168; // narrower, name and buttons cannot be read

/** The grid that shows `count` pictures of 16:9 as large as possible in `width` x `height`. */
export function gridOf(count: number, width: number, height: number, gap: number): Grid {
  let best = { columns: 1, rows: Math.max(1, count), shown: -1 };
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const across = (width - gap * (columns - 1)) / columns;
    const shown = Math.min(across, ((height - gap * (rows - 1)) / rows) * RATIO);
    // Of two equally good grids, the one with fewer empty cells.
    if (shown > best.shown + 1 || (shown > best.shown - 1 && columns * rows < best.columns * best.rows))
      best = { columns, rows, shown };
  }
  let { columns, rows } = best;
  let rowHeight: number | null = null;
  if (best.shown < Math.min(LEAST_WIDTH, width)) {
    columns = Math.max(1, Math.min(count, Math.floor((width + gap) / (LEAST_WIDTH + gap))));
    rows = Math.ceil(count / columns);
    rowHeight = Math.round((width - gap * (columns - 1)) / columns / RATIO);
  }
  const last = count - columns * (rows - 1);
  const stretched = rows > 1 && last > 0 && rowHeight === null;
  const tracks = stretched ? (columns * last) / gcd(columns, last) : columns;
  const spans = Array.from(
    { length: count }, (_, i) => (i < count - last || !stretched ? tracks / columns : tracks / last)
  );
  return { columns, rows, rowHeight, tracks, spans };
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));
