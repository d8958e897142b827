// The operations of a viewer's buttons, and their keys.

export type Operation =
  | 'watch' | 'sound' | 'snapshot' | 'stats' | 'full' | 'float' | 'settings'
  | 'closer' | 'farther' | 'whole' | 'left' | 'right' | 'up' | 'down';

const KEYS: Record<string, Operation> = {
  k: 'watch', m: 'sound', s: 'snapshot', i: 'stats', f: 'full', p: 'float', c: 'settings',
  '+': 'closer', '=': 'closer', '-': 'farther', 0: 'whole', arrowleft: 'left', arrowright: 'right', arrowup: 'up',
  arrowdown: 'down',
};

/** The operation of a key; null if it has none, or is a shortcut of the browser or the page. */
export function operationOf(event: KeyboardEvent): Operation | null {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return null;
  const key = event.key.toLowerCase();
  return Object.hasOwn(KEYS, key) ? KEYS[key]! : null;
}
