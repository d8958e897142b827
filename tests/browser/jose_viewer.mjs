// A viewer of the mode `keys` that is written with `jose`, a JOSE library of others: an honest one, or an attacker. So
// the daemon is held against an implementation that shares nothing with it.

import crypto from 'node:crypto';
import * as jose from 'jose';
import { Stranger, sessionId, until } from './processes.mjs';

const bytes = (text) => new TextEncoder().encode(text);
const text = (of) => new TextDecoder().decode(of);
const EC = { kty: 'EC', crv: 'P-256' };

/** A key pair: `jwk`, `thumb` and `point` are those of its public half. */
export async function makeKey(use) {
  const pair = await jose.generateKeyPair(use === 'sign' ? 'ES256' : 'ECDH-ES', { crv: 'P-256', extractable: true });
  const { x, y } = await jose.exportJWK(pair.publicKey);
  const jwk = { ...EC, x, y };
  return {
    secret: pair.privateKey,
    open: pair.publicKey,
    jwk,
    thumb: await jose.calculateJwkThumbprint(jwk),
    point: pointOf(jwk),
  };
}

export const pointOf = ({ x, y }) =>
  Buffer.concat([Buffer.from([4]), Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')]).toString('base64url');

export function jwkOf(point) {
  const all = Buffer.from(point, 'base64url');
  return { ...EC, x: all.subarray(1, 33).toString('base64url'), y: all.subarray(33).toString('base64url') };
}

/** The RFC 7638 thumbprint of a public key. */
export const thumbprint = ({ crv, kty, x, y }) =>
  crypto.createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url');

/** A JWS with this protected header. */
export const sign = (key, header, payload) =>
  new jose.CompactSign(bytes(payload)).setProtectedHeader({ alg: 'ES256', ...header }).sign(key.secret);

/** A JWE for a point. `parties`: `apu` and `apv`. */
export async function seal(point, payload, header = {}, parties = null) {
  const jwk = jwkOf(point);
  const sealing = new jose.CompactEncrypt(bytes(payload))
    .setProtectedHeader({ alg: 'ECDH-ES', enc: 'A256GCM', kid: await jose.calculateJwkThumbprint(jwk), ...header });
  if (parties) sealing.setKeyManagementParameters(parties);
  return sealing.encrypt(await jose.importJWK(jwk, 'ECDH-ES'));
}

/** What everybody can know about a board: its newest `status` and its `info`, checked with the key in `info`. */
export async function boardOf(stranger) {
  const last = (kind) => stranger.heard.filter((it) => it.topic.endsWith(`/${kind}`)).at(-1)?.text;
  await until('status and info', () => last('status') && last('info'));
  const { key } = JSON.parse(Buffer.from(last('info').split('.')[1], 'base64url'));
  const identity = await jose.importJWK(key, 'ES256');
  const info = await jose.compactVerify(last('info'), identity, { algorithms: ['ES256'] });
  const status = await jose.compactVerify(last('status'), identity, { algorithms: ['ES256'] });
  return {
    device: stranger.device, key, identity, thumb: await jose.calculateJwkThumbprint(key),
    ...JSON.parse(text(status.payload)), info: JSON.parse(text(info.payload)),
    statusText: last('status'), infoText: last('info'),
    statusHeader: status.protectedHeader, infoHeader: info.protectedHeader,
  };
}

/** A message that asks a board to open a session and to switch its camera on. */
export const request = (more = {}) => ({
  v: 1,
  type: 'request',
  session: sessionId(),
  seq: 0,
  media: { video: true, audio: true },
  ...more,
});

/** The MAC of one side of a pairing. `board`: what the link says. */
export const macOf = (secret, side, { key, device }, viewer, name) =>
  crypto
    .createHmac('sha256', Buffer.from(secret, 'base64url'))
    .update([`fanlight pair ${side}`, key, device, viewer.identity.thumb, name].map((it) => `${it}\0`).join(''))
    .digest('base64url');

/** A message `pair`, right in all but what `change` says. `says`: what the link says. */
export const pairMessage = (
  viewer, says, { secret = says.secret, side = 'viewer', name = viewer.name, ...change } = {},
) => ({
  v: 1,
  type: 'pair',
  session: sessionId(),
  seq: 0,
  key: viewer.identity.point,
  name,
  mac: macOf(secret, side, says, viewer, name),
  ...change,
});

/** A viewer with keys of its own. Whether it is on a board's list is up to the test. */
export class JoseViewer {
  static async make(name) {
    const viewer = new JoseViewer();
    const [identity, sealing] = [await makeKey('sign'), await makeKey('seal')];
    return Object.assign(viewer, { name, identity, sealing, id: identity.thumb.slice(0, 22) });
  }

  /** Its entry in `access.viewers` of a configuration. */
  entry(rights = 'view,listen') {
    return `${this.identity.point} ${rights} ${this.name}`;
  }

  async connect(broker, device, options) {
    this.wire = await Stranger.connect(broker, device, this.id, options);
    return this;
  }

  close() {
    return this.wire.close();
  }

  board() {
    return boardOf(this.wire);
  }

  /** The protected header of its messages, with other values for some fields. */
  header(board, change = {}) {
    const header = {
      alg: 'ES256',
      typ: 'fanlight-req',
      kid: this.identity.thumb,
      to: board.device,
      nonce: board.nonce,
      reply: this.sealing.point,
      ...change,
    };
    return Object.fromEntries(Object.entries(header).filter(([, value]) => value !== undefined));
  }

  /** A signed message that is not sealed. */
  signed(board, message, change = {}) {
    return sign(this.identity, this.header(board, change), JSON.stringify(message));
  }

  /** A signed and sealed message. */
  async message(board, message, change = {}) {
    return seal(board.seal, await this.signed(board, message, change));
  }

  async say(message, change) {
    return this.wire.say(await this.message(await this.board(), message, change));
  }

  /** The messages of the board to this viewer, opened and checked. What cannot be opened is left out. */
  async replies(board) {
    const opened = [];
    for (const { topic, text: sealed } of this.wire.heard.filter((it) => it.topic.includes('/rsp/'))) {
      const jws = await jose
        .compactDecrypt(sealed, this.sealing.secret, {
          keyManagementAlgorithms: ['ECDH-ES'],
          contentEncryptionAlgorithms: ['A256GCM'],
        })
        .catch(() => null);
      if (!jws) continue;
      const { payload, protectedHeader } = await jose.compactVerify(jws.plaintext, board.identity, {
        algorithms: ['ES256'],
      });
      opened.push({ topic, outer: jws.protectedHeader, header: protectedHeader, body: JSON.parse(text(payload)) });
    }
    return opened;
  }

  /** Waits for a message of the board. */
  async reply(board, test, ms) {
    return until('a sealed reply', async () => (await this.replies(board)).find(test), ms);
  }

  /** A command that stands alone, as the broker gets it. */
  async commandMessage(name, args = {}, session = sessionId()) {
    return this.message(await this.board(), { v: 1, type: 'command', session, seq: 0, id: 1, name, args });
  }

  /** Gives a command that stands alone. Returns its result, and the message. */
  async command(name, args) {
    const [board, session] = [await this.board(), sessionId()];
    const message = await this.commandMessage(name, args, session);
    await this.wire.say(message);
    const { body } = await this.reply(board, (it) => it.body.session === session);
    return { ...body, message };
  }

  /** Says hello, and returns the answer. Everything that was published before has been read by then. */
  async hello() {
    const session = sessionId();
    const board = await this.board();
    await this.wire.say(await this.message(board, { v: 1, type: 'hello', session, seq: 0 }));
    const { body } = await this.reply(board, (it) => it.body.session === session);
    if (body.type !== 'welcome') throw new Error(`hello was answered with ${JSON.stringify(body)}`);
    this.wire.heard = this.wire.heard.filter((it) => !it.topic.includes('/rsp/'));
    return body;
  }
}
