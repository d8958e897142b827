// JWS and JWE that no library makes: each has a right part and one wrong one. Only for attackers.

import crypto from 'node:crypto';
import { jwkOf, thumbprint } from './jose_viewer.mjs';

export const base64url = (it) => Buffer.from(it).toString('base64url');
const number = (it) => { const four = Buffer.alloc(4); four.writeUInt32BE(it); return four; };
const sized = (it) => Buffer.concat([number(Buffer.byteLength(it)), Buffer.from(it)]);

/** A JWS with any header and any signature. */
export const jws = (header, payload, signature) =>
  [typeof header === 'string' ? header : JSON.stringify(header), payload, signature].map(base64url).join('.');

/** The first two parts of a JWS, which are signed. */
export const inputOf = (text) => text.slice(0, text.lastIndexOf('.'));

/** The twin of a signature: (r, n − s) verifies as well as (r, s). */
export function malleated(text) {
  const n = BigInt('0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551');
  const signature = Buffer.from(text.slice(text.lastIndexOf('.') + 1), 'base64url');
  const s = n - BigInt(`0x${signature.subarray(32).toString('hex')}`);
  const twin = Buffer.concat([signature.subarray(0, 32), Buffer.from(s.toString(16).padStart(64, '0'), 'hex')]);
  return `${inputOf(text)}.${base64url(twin)}`;
}

/**
 * A JWE by `ECDH-ES` and `A256GCM` whose arithmetic is right. `header`: other fields; `undefined` leaves one out.
 * `text`: the header as it is written. `shared`: the agreed secret that an attacker hopes for.
 */
export function sealBy(point, payload, { header = {}, write = JSON.stringify, shared } = {}) {
  const once = crypto.createECDH('prime256v1');
  const epk = jwkOf(once.generateKeys().toString('base64url'));
  const written = base64url(write({ alg: 'ECDH-ES', enc: 'A256GCM', kid: thumbprint(jwkOf(point)), epk, ...header }));
  const z = shared ?? once.computeSecret(Buffer.from(point, 'base64url'));
  const key = crypto
    .createHash('sha256')
    .update(Buffer.concat([number(1), z, sized('A256GCM'), number(0), number(0), number(256)]))
    .digest();
  return encrypted(written, '', key, payload);
}

/** A JWE around a payload, with this content key. */
export function encrypted(header, encryptedKey, key, payload) {
  const iv = crypto.randomBytes(12);
  const cipher = crypto.createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(header));
  const body = Buffer.concat([cipher.update(payload), cipher.final()]);
  return [header, encryptedKey, base64url(iv), base64url(body), base64url(cipher.getAuthTag())].join('.');
}

/** A text with one bit of this part (by its number) flipped. */
export function flipped(text, part) {
  const parts = text.split('.');
  const of = Buffer.from(parts[part], 'base64url');
  if (of.length) of[Math.floor(of.length / 2)] ^= 1;
  parts[part] = of.length ? base64url(of) : base64url([1]);
  return parts.join('.');
}

/** A text with these parts taken from another one. */
export function swapped(text, other, ...which) {
  const parts = text.split('.');
  for (const one of which) parts[one] = other.split('.')[one];
  return parts.join('.');
}
