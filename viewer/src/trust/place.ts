// Where a paired board is, and what a browser is called by default. Pure.

/** A text that identifies a board: broker, topic root, and device. */
export const placeOf = ({ broker, root, device }: { broker: string; root: string; device: string }): string =>
  JSON.stringify([broker, root, device]);

// The first that fits: most browsers also name those that they descend from.
const BROWSERS: [RegExp, string][] = [
  [/Edg(e|A|iOS)?\//, 'Edge'], [/OPR\/|Opera/, 'Opera'], [/SamsungBrowser\//, 'Samsung Internet'],
  [/Firefox\/|FxiOS\//, 'Firefox'], [/Chrom(e|ium)\/|CriOS\//, 'Chrome'], [/Safari\//, 'Safari'],
];
const SYSTEMS: [RegExp, string][] = [
  [/Android/, 'Android'], [/iPhone|iPod/, 'iPhone'], [/iPad/, 'iPad'], [/Windows/, 'Windows'], [/CrOS/, 'ChromeOS'],
  [/Mac OS X|Macintosh/, 'Mac'], [/Linux|X11/, 'Linux'],
];

/** The names of browser and system in a `User-Agent`; null if unknown. */
export function browserOf(agent: string): { browser: string | null; system: string | null } {
  const first = (of: [RegExp, string][]) => of.find(([it]) => it.test(agent))?.[1] ?? null;
  return { browser: first(BROWSERS), system: first(SYSTEMS) };
}
