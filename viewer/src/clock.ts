// The picture clock: the capture time as 40 cells at the top of the picture (docs: picture clock). Pure.

const CELLS = 40;
const CONTRAST = 60;

/**
 * Reads the strip from the RGBA pixels of the picture's top. Returns milliseconds modulo 2^32, or null if there is no
 * readable clock.
 */
export function readClock(rgba: Uint8ClampedArray, width: number, height: number): number | null {
  const side = Math.floor(width / CELLS);
  if (side < 2 || height < side) return null;
  const levels = new Float64Array(CELLS);
  const from = Math.floor(side / 4);
  const to = Math.max(from + 1, Math.ceil((side * 3) / 4));
  for (let cell = 0; cell < CELLS; cell++) {
    let sum = 0;
    for (let y = from; y < to; y++) {
      for (let x = from; x < to; x++) {
        const at = (y * width + cell * side + x) * 4;
        sum += rgba[at]! * 0.2126 + rgba[at + 1]! * 0.7152 + rgba[at + 2]! * 0.0722;
      }
    }
    levels[cell] = sum / (to - from) ** 2;
  }
  const white = (levels[0]! + levels[39]!) / 2;
  const black = (levels[1]! + levels[38]!) / 2;
  if (white - black < CONTRAST) return null;
  const middle = (white + black) / 2;
  const bit = (cell: number) => (levels[cell]! > middle ? 1 : 0);
  let value = 0;
  for (let i = 2; i < 34; i++) value = ((value << 1) | bit(i)) >>> 0;
  let check = 0;
  for (let i = 34; i < 38; i++) check = (check << 1) | bit(i);
  return check === checkOf(value) ? value : null;
}

/** XOR of the eight nibbles, XOR 0xA. */
export function checkOf(value: number): number {
  let check = 0xa;
  for (let shift = 0; shift < 32; shift += 4) check ^= (value >>> shift) & 0xf;
  return check;
}

/** `now` minus the clock's value, which wraps. Null if the clocks of the two machines clearly differ. */
export function delayOf(now: number, value: number): number | null {
  const wrapped = (Math.floor(now) - value) % 2 ** 32;
  const delay = (((wrapped % 2 ** 32) + 2 ** 32 + 2 ** 31) % 2 ** 32) - 2 ** 31 + (now % 1);
  return delay >= 0 && delay < 10_000 ? delay : null;
}
