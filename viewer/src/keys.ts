// What a person asks of a viewer by its buttons, and by which keys.

export type Operation = 'watch' | 'sound' | 'snapshot' | 'stats' | 'full' | 'float';

const KEYS: Record<string, Operation> = { k: 'watch', m: 'sound', s: 'snapshot', i: 'stats', f: 'full', p: 'float' };

/** What a key asks for; null: nothing that a viewer knows, or a shortcut of the browser or the page. */
export function operationOf(event: KeyboardEvent): Operation | null {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return null;
  const key = event.key.toLowerCase();
  return Object.hasOwn(KEYS, key) ? KEYS[key]! : null;
}
