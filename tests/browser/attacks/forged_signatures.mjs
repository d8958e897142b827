// Attacks on the board by the JWS inside. Its seal is right. Mallory has keys of her own and is not on the list; she
// knows every public key, also the victim's. Bert is on the list.

import crypto from 'node:crypto';
import * as jose from 'jose';
import { base64url, inputOf, jws } from '../forged_forms.mjs';
import { pointOf, request, seal, sign } from '../jose_viewer.mjs';

const text = () => JSON.stringify(request());

/** Mallory speaks as the victim. `make` returns signed texts. */
const asVictim = (name, make, why = 'Form') => ({
  name,
  why,
  async does(s) {
    const board = await s.mallory.board();
    const header = { ...s.mallory.header(board), kid: s.victim.thumb };
    for (const signed of [await make(header, s, board)].flat()) await s.send(await seal(board.seal, signed));
  },
});

/** Bert sends a message with other fields in its header. */
const byBert = (name, change, why = 'Form') => ({
  name,
  why,
  async does(s) {
    const board = await s.bert.board();
    await s.send(await s.bert.message(board, request(), await change(board, s)), s.bert.id);
  },
});

const withKey = (name, fields) =>
  asVictim(name, async (header, s) => sign(s.mallory.identity, { ...header, ...await fields(s) }, text()));

export const FORGED_SIGNATURES = [
  asVictim('an attacker signs with her own key', (header, s) => sign(s.mallory.identity, header, text()), 'Signature'),
  asVictim('the algorithm is "none"', (header) => ['none', 'None', ''].flatMap((alg) => [
    jws({ ...header, alg }, text(), ''), jws({ ...header, alg }, text(), Buffer.alloc(64)),
  ])),
  asVictim('the public key is used as the secret of HS256', async (header, s) => Promise.all(
    [
      s.victim.point, Buffer.from(s.victim.point, 'base64url'), JSON.stringify({ kty: 'EC', crv: 'P-256' }),
    ].map((secret) =>
      new jose.CompactSign(Buffer.from(text())).setProtectedHeader({ ...header, alg: 'HS256' })
        .sign(Buffer.from(secret))),
  )),
  asVictim('the algorithm is ES384', async (header) => {
    const { privateKey } = await jose.generateKeyPair('ES384');
    return new jose.CompactSign(Buffer.from(text())).setProtectedHeader({ ...header, alg: 'ES384' }).sign(privateKey);
  }),
  asVictim('the algorithm is EdDSA', async (header) => {
    const { privateKey } = await jose.generateKeyPair('EdDSA');
    return new jose.CompactSign(Buffer.from(text())).setProtectedHeader({ ...header, alg: 'EdDSA' }).sign(privateKey);
  }, 'Signature'),
  withKey('the header brings its key (jwk)', (s) => ({ jwk: s.mallory.identity.jwk })),
  withKey('the header names a place for its key (jku)', () => ({ jku: 'http://127.0.0.1/keys' })),
  withKey('the header brings a certificate (x5c)', () => ({ x5c: ['MIIB'] })),
  asVictim('an extension is critical', (header) =>
    jws({ ...header, crit: ['b64'], b64: false }, text(), Buffer.alloc(64, 1))),
  asVictim('the signature has r = s = 0, or other numbers that fit everything', (header) => {
    const n = Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex');
    const zero = Buffer.alloc(32);
    const one = Buffer.concat([Buffer.alloc(31), Buffer.from([1])]);
    return [[zero, zero], [n, n], [zero, one], [one, zero], [one, one], [n, one]].map((of) =>
      jws(header, text(), Buffer.concat(of)));
  }, 'Signature'),
  asVictim('the signature is empty, short, long, or in DER', async (header, s) => {
    const signed = await sign(s.mallory.identity, header, text());
    const of = Buffer.from(signed.split('.')[2], 'base64url');
    const der = Buffer.concat(
      [Buffer.from([0x30, 68, 2, 32]), of.subarray(0, 32), Buffer.from([2, 32]), of.subarray(32)]
    );
    return ['', of.subarray(0, 63), Buffer.concat([of, Buffer.from([0])]), der].map((it) =>
      `${inputOf(signed)}.${base64url(it)}`);
  }),
  asVictim('the signature is of another message', async (header, s, board) => {
    const other = await s.bert.signed(board, request());
    return `${inputOf(jws(header, text(), Buffer.alloc(64)))}.${other.split('.')[2]}`;
  }, 'Signature'),
  {
    name: 'an attacker speaks for herself on the topic of the victim',
    why: 'Form', does: async (s) => s.send(await s.mallory.message(await s.mallory.board(), request())),
  },
  {
    name: 'an attacker speaks as the victim on her own topic',
    why: null,
    async does(s) {
      const board = await s.mallory.board();
      await s.send(await s.mallory.message(board, request(), { kid: s.victim.thumb }), s.mallory.id);
    },
  },
  {
    name: 'a stranger who does everything right asks',
    why: null, does: async (s) => s.send(await s.mallory.message(await s.mallory.board(), request()), s.mallory.id),
  },
  {
    name: 'the front of the name of the key is the victim’s, and the rest is not',
    why: 'Key',
    async does(s) {
      const board = await s.mallory.board();
      const kid = s.victim.id + s.mallory.identity.thumb.slice(22);
      await s.send(await s.mallory.message(board, request(), { kid }));
    },
  },
  asVictim('the board’s own status and info come back as requests', (_, s, board) =>
    [board.statusText, board.infoText]),
  byBert('a request calls itself a reply', () => ({ typ: 'fanlight-rsp' })),
  byBert('a request calls itself a status', () => ({ typ: 'fanlight-status' })),
  byBert('a request has no type', () => ({ typ: undefined })),
  byBert('a request has its type in capitals', () => ({ typ: 'FANLIGHT-REQ' })),
  byBert('the message is for another board', () => ({ to: 'garden' })),
  byBert('the message is for its own sender', (_, s) => ({ to: s.bert.id })),
  byBert('the message is for nobody', () => ({ to: undefined })),
  byBert('the header has one more field', () => ({ more: 'x' })),
  byBert('the nonce is missing', () => ({ nonce: undefined })),
  byBert('the nonce is empty', () => ({ nonce: '' }), 'Nonce'),
  byBert('the nonce is a list', ({ nonce }) => ({ nonce: [nonce] })),
  byBert('the nonce is of the next minute', ({ nonce }) => {
    const of = Buffer.from(nonce, 'base64url');
    of.writeBigUInt64BE(of.readBigUInt64BE() + 1n);
    return { nonce: base64url(of) };
  }, 'Nonce'),
  byBert('the nonce is an invention', () => ({ nonce: base64url(crypto.randomBytes(24)) }), 'Nonce'),
  byBert('the key for replies is missing', () => ({ reply: undefined })),
  byBert('the key for replies is not on the curve', () =>
    ({ reply: pointOf({ x: base64url(Buffer.alloc(32, 1)), y: base64url(Buffer.alloc(32, 1)) }) })),
  byBert('the key for replies is the point at infinity', () => ({ reply: base64url(Buffer.alloc(65)) })),
];

/** Insiders ask for more than they have. They get an answer, and it is no. */
export const INSIDERS = [
  {
    name: 'a viewer with only the right to listen asks for the picture',
    async does(s) {
      const board = await s.carol.board();
      const asked = request({ media: { video: true, audio: false } });
      await s.carol.wire.say(await s.carol.message(board, asked));
      const { body } = await s.carol.reply(board, (it) => it.body.session === asked.session);
      if (body.name !== 'forbidden') throw new Error(JSON.stringify(body));
    },
  },
  {
    name: 'a viewer that was removed sends what it sent before, and new messages',
    async prepare(s) {
      const viewer = await s.joined('Dora');
      return { viewer, ...await s.opens(viewer, await viewer.board()) };
    },
    async does(s, { viewer, board, sealed }) {
      await s.owner('viewers', 'remove', 'Dora');
      await s.send(sealed, viewer.id);
      await s.send(await viewer.message(await viewer.board(), request()), viewer.id);
      await s.send(await viewer.message(board, { v: 1, type: 'hello', session: request().session, seq: 0 }), viewer.id);
    },
  },
];
