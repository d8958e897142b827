// What a board answers to commands (docs/reference/board-commands.md): results, and the parts of a snapshot. Pure.

import { unbase64url } from './bytes.ts';
import type { Bytes } from './bytes.ts';
import { Unusable, number, object, text } from './json.ts';
import { clean } from './texts.ts';

export type Json = Record<string, unknown>;

/** Who talks to the people at the board. */
export interface Talker { name: string | null; seconds: number }
/** Why a command was not done. `code` 0: this page found out by itself. */
export interface Refusal {
  code: number; name: string; message: string; retryAfterMs: number | null; talker: Talker | null;
}
/** `id`: that of the command; null: the board could not read it. */
export type Result = { id: number | null } & ({ ok: Json } | { error: Refusal });
/** A piece of a picture. */
export interface Part { id: number; part: number; data: Bytes }

/** One part of a picture by the broker. */
const MOST_PART = 16 * 1024;
const MOST_NAME = 80;

/** A refusal that this page found out by itself. */
export const refusal = (name: string, message = '', code = 0): Refusal =>
  ({ code, name, message, retryAfterMs: null, talker: null });

/** The fields of a `result`. Throws `Unusable`. */
export function resultOf(it: Json): Result {
  const id = Number.isSafeInteger(it['id']) && (it['id'] as number) >= 0 ? (it['id'] as number) : null;
  const [ok, error] = [it['ok'] ?? null, it['error'] ?? null];
  if ((ok === null) === (error === null)) throw new Unusable('result: neither done nor refused');
  return error === null ? { id, ok: object(ok, 'ok') } : { id, error: refusalOf(object(error, 'error')) };
}

function refusalOf(it: Json): Refusal {
  const after = it['retry_after_ms'];
  return {
    code: number(it, 'code', 999), name: text(it, 'name', 64), message: clean(text(it, 'message', 1024, ''), 300),
    retryAfterMs: typeof after === 'number' && after >= 0 ? Math.min(after, 3_600_000) : null,
    talker: (it['talker'] ?? null) === null ? null : talkerOf(object(it['talker'], 'talker')),
  };
}

function talkerOf(it: Json): Talker {
  return { name: clean(text(it, 'name', 256, ''), MOST_NAME) || null, seconds: number(it, 'seconds', 1e9) };
}

/** The fields of a `part`. Throws `Unusable`. */
export function partOf(it: Json): Part {
  const data = unbase64url(text(it, 'data', Math.ceil((MOST_PART * 4) / 3)));
  if (!data?.length) throw new Unusable('part: no data');
  return { id: number(it, 'id', Number.MAX_SAFE_INTEGER), part: number(it, 'part', 1023), data };
}
