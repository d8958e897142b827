// JWS with ES256 (RFC 7515) and JWE with ECDH-ES and A256GCM (RFC 7516, RFC 7518 section 4.6), in compact form, by
// WebCrypto. Only the forms of docs/reference/signed-messages.md: the algorithm is fixed, never read from a header.

import { base64url, concat, exactly, unbase64url, utf8 } from '../bytes.ts';
import type { Bytes } from '../bytes.ts';
import { object, readJson } from '../json.ts';

const CURVE = { namedCurve: 'P-256' } as const;
const SIGNING = { name: 'ECDSA', ...CURVE } as const;
const SEALING = { name: 'ECDH', ...CURVE } as const;
const ES256 = { name: 'ECDSA', hash: 'SHA-256' } as const;
/** Headers have a known shape, which is much shorter. */
const MOST_HEADER = 1024;
/** Larger messages are refused unread. */
export const MOST_SEALED = 60 * 1024;

/** A key pair whose private half cannot be exported, and the names of its public half. */
export interface Pair {
  secret: CryptoKey;
  /** The public key as text: base64url of the 65 bytes of the uncompressed point. */
  point: string;
  /** The RFC 7638 thumbprint of the public key. */
  thumb: string;
}

// --- Keys

/** Makes a key pair for signing or for sealing. */
export async function makePair(use: 'sign' | 'seal'): Promise<Pair> {
  const pair = await (use === 'sign'
    ? crypto.subtle.generateKey(SIGNING, false, ['sign', 'verify'])
    : crypto.subtle.generateKey(SEALING, false, ['deriveBits']));
  const point = base64url(new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey)));
  return { secret: pair.privateKey, point, thumb: await thumbprint(point) };
}

/** The bytes of a point; null if the text is none. Whether it lies on the curve shows when it is imported. */
function pointBytes(point: string): Bytes | null {
  const bytes = exactly(65, point);
  return bytes?.[0] === 4 ? bytes : null;
}

/** A public key as a JWK (RFC 7518 section 6.2). The point must be well-formed. */
export function jwkOf(point: string): { kty: 'EC'; crv: 'P-256'; x: string; y: string } {
  const bytes = pointBytes(point)!;
  return { kty: 'EC', crv: 'P-256', x: base64url(bytes.subarray(1, 33)), y: base64url(bytes.subarray(33)) };
}

/** The point of a JWK with exactly these four members; null for anything else. */
export function pointOf(jwk: unknown): string | null {
  if (typeof jwk !== 'object' || jwk === null || !hasOnly(jwk as Record<string, unknown>, ['crv', 'kty', 'x', 'y']))
    return null;
  const it = jwk as Record<string, unknown>;
  const [x, y] = [exactly(32, it['x']), exactly(32, it['y'])];
  return it['kty'] === 'EC' && it['crv'] === 'P-256' && x && y ? base64url(concat(new Uint8Array([4]), x, y)) : null;
}

/** The RFC 7638 thumbprint of a public key. The point must be well-formed. */
export async function thumbprint(point: string): Promise<string> {
  const { x, y } = jwkOf(point);
  return base64url(await sha256(utf8(`{"crv":"P-256","kty":"EC","x":"${x}","y":"${y}"}`)));
}

/** The key to verify signatures with; null if the text is not a point on the curve. */
export const verifier = (point: string): Promise<CryptoKey | null> => publicKey(point, SIGNING, ['verify']);

async function publicKey(point: string, use: EcKeyImportParams, usages: KeyUsage[]): Promise<CryptoKey | null> {
  const bytes = pointBytes(point);
  return bytes && crypto.subtle.importKey('raw', bytes, use, true, usages).catch(() => null);
}

const sha256 = async (bytes: Bytes): Promise<Bytes> => new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));

// --- JWS

/** A signed message whose form is right. Nothing about its signature is known yet. */
export interface Jws { header: Record<string, string>; payload: Bytes; input: Bytes; signature: Bytes }

/** Signs a text. */
export async function sign(secret: CryptoKey, header: Record<string, string>, payload: string): Promise<string> {
  const input = `${base64url(utf8(JSON.stringify(header)))}.${base64url(utf8(payload))}`;
  return `${input}.${base64url(new Uint8Array(await crypto.subtle.sign(ES256, secret, utf8(input))))}`;
}

/** Takes a JWS apart. Its header must have exactly these fields, all texts. Null if anything is different. */
export function parseJws(text: string, fields: readonly string[]): Jws | null {
  const parts = partsOf(text, 3);
  const header = parts && headerOf(parts[0]!);
  const payload = parts && unbase64url(parts[1]!);
  const signature = parts && exactly(64, parts[2]);
  if (!header || !payload || !signature || !hasOnly(header, fields) || header['alg'] !== 'ES256') return null;
  if (!Object.values(header).every((it) => typeof it === 'string')) return null;
  const input = utf8(text.slice(0, text.lastIndexOf('.')));
  return { header: header as Record<string, string>, payload, input, signature };
}

/** Whether the signature is by this key. */
export const isSignedBy = (key: CryptoKey, { signature, input }: Jws): Promise<boolean> =>
  crypto.subtle.verify(ES256, key, signature, input);

// --- JWE

/** Seals a text to a public key. Null if the point is not on the curve. */
export async function seal(point: string, text: string): Promise<string | null> {
  const to = await publicKey(point, SEALING, []);
  if (!to) return null;
  const once = await makePair('seal');
  const protect = base64url(utf8(JSON.stringify({
    alg: 'ECDH-ES', enc: 'A256GCM', kid: await thumbprint(point), epk: jwkOf(once.point),
  })));
  const iv = crypto.getRandomValues(new Uint8Array(12));
  const key = await contentKey(once.secret, to, 'encrypt');
  const all = new Uint8Array(await crypto.subtle.encrypt(
    { name: 'AES-GCM', iv, additionalData: utf8(protect) }, key, utf8(text)
  ));
  const [body, tag] = [all.subarray(0, -16), all.subarray(-16)];
  return `${protect}..${base64url(iv)}.${base64url(body)}.${base64url(tag)}`;
}

/** Opens what was sealed to this key. Null if anything is wrong. */
export async function open(pair: Pair, text: string): Promise<string | null> {
  const parts = partsOf(text, 5);
  const header = parts && headerOf(parts[0]!);
  const iv = parts && exactly(12, parts[2]);
  const body = parts && unbase64url(parts[3]!);
  const tag = parts && exactly(16, parts[4]);
  if (!header || !iv || !body || !tag || parts[1] !== '' || !hasOnly(header, ['alg', 'enc', 'epk', 'kid'])) return null;
  if (header['alg'] !== 'ECDH-ES' || header['enc'] !== 'A256GCM' || header['kid'] !== pair.thumb) return null;
  const point = pointOf(header['epk']);
  const from = point && await publicKey(point, SEALING, []);
  if (!from) return null;
  try {
    const key = await contentKey(pair.secret, from, 'decrypt');
    const plain = await crypto.subtle.decrypt(
      { name: 'AES-GCM', iv, additionalData: utf8(parts[0]!) }, key, concat(body, tag)
    );
    return new TextDecoder('utf-8', { fatal: true }).decode(plain);
  } catch {
    return null; // not for this key, changed on the way, or not a text
  }
}

async function contentKey(secret: CryptoKey, of: CryptoKey, use: 'encrypt' | 'decrypt'): Promise<CryptoKey> {
  const shared = new Uint8Array(await crypto.subtle.deriveBits({ name: 'ECDH', public: of }, secret, 256));
  return crypto.subtle.importKey('raw', await concatKdf(shared, 'A256GCM', 256), 'AES-GCM', false, [use]);
}

/** The key derivation of RFC 7518 section 4.6.2, for keys that one SHA-256 covers: at most 256 bits. */
export async function concatKdf(shared: Bytes, enc: string, bits: number, apu = '', apv = ''): Promise<Bytes> {
  const number = (it: number) => new Uint8Array([it >>> 24, it >>> 16, it >>> 8, it]);
  const text = (it: string) => concat(number(utf8(it).length), utf8(it));
  const all = await sha256(concat(number(1), shared, text(enc), text(apu), text(apv), number(bits)));
  return all.slice(0, bits / 8);
}

// --- Forms

function partsOf(text: string, count: number): string[] | null {
  if (text.length > MOST_SEALED) return null;
  const parts = text.split('.', count + 1);
  return parts.length === count ? parts : null;
}

function headerOf(part: string): Record<string, unknown> | null {
  const bytes = part.length <= MOST_HEADER ? unbase64url(part) : null;
  try {
    return bytes && object(readJson(bytes), 'header');
  } catch {
    return null;
  }
}

function hasOnly(it: Record<string, unknown>, keys: readonly string[]): boolean {
  const own = Object.keys(it);
  return own.length === keys.length && keys.every((key) => own.includes(key));
}
