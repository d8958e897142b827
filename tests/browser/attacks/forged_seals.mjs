// Attacks on the board by the form of the JWE. The signature inside is by Bert, who may watch. So the form of the seal
// is all that is wrong, and a board that let it pass would open a session.

import crypto from 'node:crypto';
import zlib from 'node:zlib';
import * as jose from 'jose';
import { base64url, encrypted, flipped, sealBy } from '../forged_forms.mjs';
import { jwkOf, makeKey, request, seal } from '../jose_viewer.mjs';

/** An attack with one message, sealed in another form. `make` gets the board and the signed text. */
const form = (name, make, why = 'Seal') => ({
  name,
  why,
  async does(s) {
    const board = await s.bert.board();
    const made = await make(board, await s.bert.signed(board, request()), s);
    for (const payload of [made].flat()) await s.send(payload, s.bert.id);
  },
});

/** A form whose header has other fields, and whose arithmetic is right. */
const header = (name, fields, why) =>
  form(name, (board, signed) => sealBy(board.seal, signed, { header: fields(board) }), why);

const byJose = async (board, signed, protect, key) => new jose.CompactEncrypt(Buffer.from(signed))
  .setProtectedHeader({ kid: await jose.calculateJwkThumbprint(jwkOf(board.seal)), ...protect })
  .encrypt(key ?? await jose.importJWK(jwkOf(board.seal), protect.alg));

export const FORGED_SEALS = [
  form('a bit of each part is flipped', async (board, signed) => {
    const sealed = await seal(board.seal, signed);
    return [0, 1, 2, 3, 4].map((part) => flipped(sealed, part));
  }),
  form('the end is cut off', async (board, signed) => {
    const sealed = await seal(board.seal, signed);
    return [1, 2, 23, 200, sealed.length / 2].map((cut) => sealed.slice(0, -cut));
  }),
  form('a part is left out, or there is one more', async (board, signed) => {
    const parts = (await seal(board.seal, signed)).split('.');
    return [parts.slice(1), parts.slice(0, 4), [...parts, ''], [...parts, parts[4]]].map((it) => it.join('.'));
  }),
  form('there are spaces, padding, or another alphabet', async (board, signed) => {
    const sealed = await seal(board.seal, signed);
    const other = sealed.replaceAll('_', '/').replaceAll('-', '+');
    return [`${sealed}=`, `${sealed}\n`, ` ${sealed}`, `${sealed} `, sealed.replace('..', '.\n.'), other];
  }),
  form('the request is plain JSON', () => JSON.stringify(request())),
  form('the request is signed and not sealed', (_, signed) => signed),
  form('the JSON is sealed and not signed', (board) => seal(board.seal, JSON.stringify(request())), 'Form'),
  form('the seal is put around the seal', async (board, signed) =>
    seal(board.seal, await seal(board.seal, signed)), 'Form'),
  form('the seal is in the other serialisation of JWE', async (board, signed) => JSON.stringify(
    await new jose.FlattenedEncrypt(Buffer.from(signed)).setProtectedHeader({ alg: 'ECDH-ES', enc: 'A256GCM' })
      .encrypt(await jose.importJWK(jwkOf(board.seal), 'ECDH-ES')),
  )),
  form('the content key is given directly (dir)', (board, signed) =>
    encrypted(base64url(JSON.stringify({ alg: 'dir', enc: 'A256GCM' })), '', Buffer.alloc(32), signed)),
  header('the algorithm of the seal is "none"', () => ({ alg: 'none' })),
  form('the content key is sealed by RSA', async (board, signed) =>
    byJose(
      board, signed, { alg: 'RSA-OAEP-256', enc: 'A256GCM' }, (await jose.generateKeyPair('RSA-OAEP-256')).publicKey,
    )),
  form('the content key is wrapped (ECDH-ES+A256KW)', (board, signed) =>
    byJose(board, signed, { alg: 'ECDH-ES+A256KW', enc: 'A256GCM' })),
  form('the cipher is another one (A128CBC-HS256)', (board, signed) =>
    byJose(board, signed, { alg: 'ECDH-ES', enc: 'A128CBC-HS256' })),
  form('the content is compressed', (board, signed) =>
    sealBy(board.seal, zlib.deflateRawSync(signed), { header: { zip: 'DEF' } })),
  header('an extension of the seal is critical', () => ({ crit: ['exp'], exp: 1 })),
  header('the header names parties (apu, apv)', () => ({ apu: '', apv: '' })),
  header('the header of the seal has one more field', () => ({ more: 'x' })),
  header('the header names a type', () => ({ typ: 'JOSE', cty: 'JWT' })),
  header('the header names another key', (board) => ({ kid: board.thumb })),
  header('the header names no key', () => ({ kid: undefined })),
  form('a field of the header is there twice', (board, signed) =>
    sealBy(board.seal, signed, { write: (it) => JSON.stringify(it).replace('{', '{"alg":"none",') })),
  header('the ephemeral key is on another curve', () =>
    ({ epk: { kty: 'EC', crv: 'P-384', x: base64url(crypto.randomBytes(48)), y: base64url(crypto.randomBytes(48)) } })),
  header('the ephemeral key is of X25519', () =>
    ({ epk: { kty: 'OKP', crv: 'X25519', x: base64url(crypto.randomBytes(32)) } })),
  header('the ephemeral key is not on the curve', () =>
    ({ epk: { kty: 'EC', crv: 'P-256', x: base64url(Buffer.alloc(32, 1)), y: base64url(Buffer.alloc(32, 1)) } })),
  form('the ephemeral key is the point at infinity, and the secret is zero', (board, to) => sealBy(board.seal, to, {
    header: { epk: { kty: 'EC', crv: 'P-256', x: base64url(Buffer.alloc(32)), y: base64url(Buffer.alloc(32)) } },
    shared: Buffer.alloc(32),
  })),
  form('the ephemeral key brings its private half', async (board, signed) => {
    const own = await makeKey('seal');
    return sealBy(board.seal, signed, { header: { epk: await jose.exportJWK(own.secret) } });
  }),
  form('the ephemeral key is a list', (board, signed) => sealBy(board.seal, signed, {
    write: (it) => JSON.stringify({ ...it, epk: Object.values(it.epk) }),
  })),
  header('the ephemeral key is the board’s own', (board) => ({ epk: jwkOf(board.seal) })),
  form('the message has more than 60 KiB', (board, signed, s) => Promise.all([34_500, 40_000].map((length) =>
    s.bert.message(board, { ...request(), more: 'x'.repeat(length) }))), null),
];
