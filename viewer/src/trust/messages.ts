// The signed and sealed messages of docs/reference/signed-messages.md: who signs which header, and what is checked.

import { utf8 } from '../bytes.ts';
import type { Bytes } from '../bytes.ts';
import { Unusable, object, readJson, text } from '../json.ts';
import { VERSION, conditionOf, infoOf } from '../protocol.ts';
import type { Condition, Info } from '../protocol.ts';
import { clean } from '../texts.ts';
import { MOST_SEALED, isSignedBy, open, parseJws, pointOf, seal, sign, thumbprint, verifier } from './jose.ts';
import type { Pair } from './jose.ts';
import type { Identity } from './store.ts';

/** A board whose key is known. */
export interface Board { device: string; thumb: string; key: CryptoKey }
/** What a viewer needs to speak to a board: its newest nonce and its sealing key. */
export interface Speech { nonce: string; seal: string }
/** A viewer and a board that know each other's keys. `reply`: the sealing key of this page. */
export interface Peers { self: Identity; reply: Pair; board: Board }

/** What a board allows. The last five are reserved. */
const MOST_RIGHTS = 16;

/** A board from what was stored about it; null if its key is damaged. */
export async function boardOf(
  { device, thumb, key }: { device: string; thumb: string; key: string }
): Promise<Board | null> {
  const known = await verifier(key);
  return known && { device, thumb, key: known };
}

/** Whether a payload looks like a signed message: it begins with `eyJ`. */
export const isSigned = (payload: Uint8Array): boolean =>
  payload[0] === 0x65 && payload[1] === 0x79 && payload[2] === 0x4a;

/** The key fingerprint that a public message of a board names; null if it is no such message. Proves nothing. */
export const signerOf = (payload: Uint8Array, kind: 'status' | 'info'): string | null =>
  publicJws(payload, kind)?.header['kid'] ?? null;

/** The JSON of a `status` or `info` of this board. Null if it is not certainly by this board. */
export async function readPublic(payload: Uint8Array, kind: 'status' | 'info', board: Board): Promise<Bytes | null> {
  const jws = publicJws(payload, kind);
  if (!jws || jws.header['kid'] !== board.thumb) return null;
  return await isSignedBy(board.key, jws) ? jws.payload : null;
}

/**
 * The board with this thumbprint, as it introduces itself in its `info`; `point`: its key. Null if the message is not
 * certainly by this board.
 */
export async function introducedBy(
  payload: Uint8Array, device: string, thumb: string
): Promise<{ board: Board; point: string } | null> {
  const jws = publicJws(payload, 'info');
  if (!jws || jws.header['kid'] !== thumb) return null;
  const point = pointOf(object(readJson(jws.payload), 'info')['key']);
  if (!point || await thumbprint(point) !== thumb) return null;
  const board = await boardOf({ device, thumb, key: point });
  return board && await isSignedBy(board.key, jws) ? { board, point } : null;
}

function publicJws(payload: Uint8Array, kind: 'status' | 'info') {
  const compact = ascii(payload);
  const jws = compact === null ? null : parseJws(compact, ['alg', 'typ', 'kid']);
  return jws?.header['typ'] === `fanlight-${kind}` ? jws : null;
}

/**
 * Signs a message of this viewer and seals it to the board. `token`: that of an issuer, if the viewer has one. Null if
 * the board's sealing key is none.
 */
export async function sealRequest(
  { self, reply, board }: Peers, speech: Speech, message: string, token: string | null = null
): Promise<string | null> {
  const header = {
    alg: 'ES256', typ: 'fanlight-req', kid: self.thumb, to: board.device, nonce: speech.nonce, reply: reply.point,
    ...(token === null ? {} : { token }),
  };
  return seal(speech.seal, await sign(self.secret, header, message));
}

/** The JSON of a message of this board to this viewer. Null if it is anything else. */
export async function openReply({ self, reply, board }: Peers, payload: Uint8Array): Promise<Bytes | null> {
  const compact = ascii(payload);
  const inside = compact === null ? null : await open(reply, compact);
  const jws = inside === null ? null : parseJws(inside, ['alg', 'typ', 'kid', 'to']);
  if (!jws) return null;
  const { typ, kid, to } = jws.header;
  if (typ !== 'fanlight-rsp' || kid !== board.thumb || to !== self.id) return null;
  return await isSignedBy(board.key, jws) ? jws.payload : null;
}

/** What the `status` of a board that is online says about how to speak to it. Throws `Unusable`. */
export function speechOf(json: Bytes): Speech {
  const it = object(readJson(json), 'status');
  return { nonce: text(it, 'nonce', 128), seal: text(it, 'seal', 87) };
}

export interface Welcome {
  session: string;
  nonce: string;
  condition: Condition;
  info: Info | null;
  rights: string[];
}

/** Reads the answer to `hello`. Throws `Unusable`. */
export function welcomeOf(json: Bytes): Welcome {
  const it = object(readJson(json), 'welcome');
  if (it['v'] !== VERSION || it['type'] !== 'welcome') throw new Unusable('welcome: another message');
  return {
    session: text(it, 'session', 22), nonce: text(it, 'nonce', 128),
    condition: conditionOf(object(it['status'] ?? {}, 'status')),
    info: (it['info'] ?? null) === null ? null : infoOf(it['info']), rights: rightsOf(it['rights']),
  };
}

/** The rights that a board lists. Throws `Unusable`. */
export function rightsOf(value: unknown): string[] {
  if (!Array.isArray(value) || value.length > MOST_RIGHTS) throw new Unusable('rights: not a short list');
  return value.map((it) => (typeof it === 'string' ? clean(it, 32) : '')).filter((it) => it !== '');
}

/** The text of a message that is all ASCII and not too large, as both forms are. */
function ascii(payload: Uint8Array): string | null {
  if (payload.length > MOST_SEALED) return null;
  const text = new TextDecoder().decode(payload);
  return text.length === payload.length && utf8(text).length === payload.length ? text : null;
}
