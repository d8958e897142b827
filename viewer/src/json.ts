// JSON from outside, and its checked parts. Pure.

/** docs/reference/protocol.md section 7. */
export const MAX_MESSAGE = 32 * 1024;
const MAX_DEPTH = 16;

/** A message that cannot be used; the text gives the reason. */
export class Unusable extends Error {}

export const fail = (why: string): never => { throw new Unusable(why); };

/** A JSON object. Throws `Unusable`. */
export function object(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Unusable(`${what}: not an object`);
  return value as Record<string, unknown>;
}

/** A text of an object; `otherwise` if it is missing. Throws `Unusable`. */
export function text(it: Record<string, unknown>, key: string, most: number, otherwise?: string): string {
  const value = it[key];
  if (typeof value === 'string' && value.length <= most) return value;
  if (otherwise !== undefined && (value === undefined || value === null)) return otherwise; // null: missing
  throw new Unusable(`${key}: not a text of at most ${most} characters`);
}

/** A number of an object. Throws `Unusable`. */
export function number(it: Record<string, unknown>, key: string, most: number): number {
  const value = it[key];
  if (typeof value === 'number' && value >= 0 && value <= most) return value;
  throw new Unusable(`${key}: not a number from 0 to ${most}`);
}

/** Reads JSON as docs/reference/protocol.md section 3 allows it. Throws `Unusable`. */
export function readJson(payload: Uint8Array): unknown {
  if (payload.length > MAX_MESSAGE) throw new Unusable(`message: longer than ${MAX_MESSAGE} bytes`);
  let source: string;
  try {
    source = new TextDecoder('utf-8', { fatal: true }).decode(payload);
  } catch {
    throw new Unusable('message: not UTF-8');
  }
  let value: unknown;
  try {
    value = JSON.parse(source);
  } catch {
    throw new Unusable('message: not JSON');
  }
  checkShape(source);
  return value;
}

// JSON.parse keeps the last of two equal keys and allows any nesting; section 3 allows neither. The text is known to be
// valid JSON here, so checking its tokens is enough.
function checkShape(source: string): void {
  const open: (Set<string> | null)[] = [];
  const token = /"(?:[^"\\]|\\.)*"(\s*:)?|[{}[\]]/g;
  for (let found = token.exec(source); found; found = token.exec(source)) {
    const [it, colon] = found;
    if (it === '{' || it === '[') {
      if (open.push(it === '{' ? new Set() : null) > MAX_DEPTH)
        throw new Unusable(`message: nested deeper than ${MAX_DEPTH}`);
    } else if (it === '}' || it === ']') {
      open.pop();
    } else if (colon !== undefined) {
      const key = JSON.parse(it.slice(0, it.length - colon.length)) as string;
      const keys = open[open.length - 1];
      if (keys?.has(key)) throw new Unusable(`message: the key "${key.slice(0, 32)}" twice`);
      keys?.add(key);
    }
  }
}
