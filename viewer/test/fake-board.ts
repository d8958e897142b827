// A board in the mode `keys` (docs/reference/signed-messages.md), for tests: in Node.js and in a browser page. Its
// cryptography is by `jose`, a library of others, so that the viewer is held against something that it is not.

import * as jose from 'jose';

export type Json = Record<string, unknown>;
type Publish = (topic: string, payload: string, retain: boolean) => void;
/** A request that was opened and checked. */
export interface Request { viewer: string; header: Json; body: Json }

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (of: Uint8Array) => new TextDecoder().decode(of);
const random = (length: number) => jose.base64url.encode(crypto.getRandomValues(new Uint8Array(length)));
const EC = { kty: 'EC', crv: 'P-256' } as const;

export interface Key { secret: CryptoKey; open: CryptoKey; jwk: jose.JWK; thumb: string; point: string }

export async function makeKey(use: 'sign' | 'seal'): Promise<Key> {
  const pair = await jose.generateKeyPair(use === 'sign' ? 'ES256' : 'ECDH-ES', { crv: 'P-256', extractable: true });
  const { x, y } = await jose.exportJWK(pair.publicKey);
  const jwk = { ...EC, x: x!, y: y! };
  const point = new Uint8Array([4, ...jose.base64url.decode(x!), ...jose.base64url.decode(y!)]);
  return {
    secret: pair.privateKey, open: pair.publicKey, jwk, thumb: await jose.calculateJwkThumbprint(jwk),
    point: jose.base64url.encode(point),
  };
}

export function jwkOfPoint(point: string): { kty: 'EC'; crv: 'P-256'; x: string; y: string } {
  const all = jose.base64url.decode(point);
  return { ...EC, x: jose.base64url.encode(all.slice(1, 33)), y: jose.base64url.encode(all.slice(33)) };
}

export async function signText(key: Key, header: Json, body: string): Promise<string> {
  return new jose.CompactSign(bytes(body)).setProtectedHeader({ alg: 'ES256', ...header }).sign(key.secret);
}

export async function sealText(point: string, body: string, header: Json = {}): Promise<string> {
  const jwk = jwkOfPoint(point);
  return new jose.CompactEncrypt(bytes(body))
    .setProtectedHeader({ alg: 'ECDH-ES', enc: 'A256GCM', kid: await jose.calculateJwkThumbprint(jwk), ...header })
    .encrypt(await jose.importJWK(jwk, 'ECDH-ES') as CryptoKey);
}

export async function hmac(secret: string, texts: string[]): Promise<string> {
  const key = await crypto.subtle.importKey(
    'raw', jose.base64url.decode(secret) as Uint8Array<ArrayBuffer>, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']
  );
  return jose.base64url.encode(new Uint8Array(
    await crypto.subtle.sign('HMAC', key, bytes(texts.map((it) => `${it}\0`).join('')))
  ));
}

export class FakeBoard {
  /** Opened requests, the newest last. */
  readonly heard: Request[] = [];
  /** Requests that were refused without an answer. */
  readonly dropped: string[] = [];
  /** The thumbprints of those who may watch, with their names. */
  readonly viewers = new Map<string, string>();
  rights = ['view', 'listen'];
  /** More fields of `info`. */
  info: Json = {};
  until: number | null = null;
  secret: string | null = null;
  epoch = random(9);
  conn = 1;
  nonce = random(24);
  /** Answers a request that is neither `hello` nor `pair`. */
  answer: (request: Request) => void | Promise<void> = () => {};
  /** Its tokens stand for an entry of the list. */
  issuer: Key | null = null;
  /** The time by which tokens end, in seconds since 1970. */
  clock = () => Date.now() / 1000;
  private readonly replies = new Map<string, string>();

  private constructor(
    readonly device: string, readonly root: string, readonly identity: Key, readonly sealing: Key,
    private readonly publish: Publish,
  ) {}

  static async make(publish: Publish, device = 'porch', root = 'fanlight/v1'): Promise<FakeBoard> {
    return new FakeBoard(device, root, await makeKey('sign'), await makeKey('seal'), publish);
  }

  topic(kind: string): string {
    return `${this.root}/${this.device}/${kind}`;
  }

  /** The pairing link of this board; opens its door. */
  invite(broker: string, page = 'https://page.example/'): string {
    this.secret = random(16);
    const it = { v: 1, broker, root: this.root, device: this.device, key: this.identity.thumb, secret: this.secret };
    return `${page}#p=${jose.base64url.encode(JSON.stringify(it))}`;
  }

  statusJson(more: Json = {}): string {
    return JSON.stringify({
      v: 1, state: 'online', epoch: this.epoch, conn: this.conn, nonce: this.nonce, auth: 'keys',
      seal: this.sealing.point, ...more,
    });
  }

  async statusText(more: Json = {}): Promise<string> {
    return signText(this.identity, { typ: 'fanlight-status', kid: this.identity.thumb }, this.statusJson(more));
  }

  async infoText(): Promise<string> {
    return signText(this.identity, { typ: 'fanlight-info', kid: this.identity.thumb }, JSON.stringify({
      v: 1, device: this.device, protocol: [1], auth: 'keys', key: this.identity.jwk,
    }));
  }

  async announce(): Promise<void> {
    this.publish(this.topic('info'), await this.infoText(), true);
    this.publish(this.topic('status'), await this.statusText(), true);
  }

  async newNonce(): Promise<void> {
    this.nonce = random(24);
    this.publish(this.topic('status'), await this.statusText(), true);
  }

  /** What the board sends to a viewer: signed and sealed. */
  async replyText(
    viewer: string, body: Json, header: Json = {}, by = this.identity, point = this.replies.get(viewer)!
  ): Promise<string> {
    const inside = { typ: 'fanlight-rsp', kid: by.thumb, to: viewer, ...header };
    return sealText(point, await signText(by, inside, JSON.stringify(body)));
  }

  async say(viewer: string, body: Json): Promise<void> {
    this.publish(this.topic(`rsp/${viewer}`), await this.replyText(viewer, body), false);
  }

  /** Handles the payload of a request. */
  async hear(viewer: string, payload: string): Promise<void> {
    let request: Request;
    try {
      request = await this.open(viewer, payload);
    } catch (error) {
      this.dropped.push((error as Error).message);
      return;
    }
    this.heard.push(request);
    const { body, header } = request;
    if (typeof header['token'] === 'string' && jose.decodeJwt(header['token']).exp! <= this.clock()) {
      await this.say(viewer, {
        v: 1, type: 'error', code: 401, name: 'auth_required', message: 'the token has ended', session: body['session'],
      });
    } else if (body['type'] === 'hello') {
      await this.say(viewer, {
        v: 1, type: 'welcome', session: body['session'], nonce: this.nonce, clock: 'synced', rights: this.rights,
        status: { media: { video: 'ok', audio: 'ok' }, viewers: 1, max_viewers: 8, version: '0.1.0' },
        info: { v: 1, device: this.device, name: 'Front porch', cameras: [{ id: 'main' }], audio: null, ...this.info },
      });
    } else if (body['type'] === 'pair') {
      const { device, identity: { thumb }, secret } = this;
      const said = [String(request.header['kid']), String(body['name'])];
      const mac = await hmac(secret!, ['fanlight pair board', thumb, device, ...said]);
      await this.say(viewer, {
        v: 1, type: 'paired', name: body['name'], rights: this.rights, mac, session: body['session'],
        ...(this.until === null ? {} : { until: this.until }),
      });
    } else {
      await this.answer(request);
    }
  }

  /** The checks 4 to 9 of the contract. Throws the reason. */
  private async open(viewer: string, payload: string): Promise<Request> {
    const { plaintext, protectedHeader } = await jose.compactDecrypt(payload, this.sealing.secret, {
      keyManagementAlgorithms: ['ECDH-ES'], contentEncryptionAlgorithms: ['A256GCM'],
    });
    if (protectedHeader.kid !== this.sealing.thumb) throw new Error('kid of the seal');
    const signed = text(plaintext);
    const header = jose.decodeProtectedHeader(signed) as Json;
    const expected = ['alg', 'kid', 'nonce', 'reply', 'to', 'typ'];
    const fields = Object.keys(header).filter((it) => !(it === 'token' && this.issuer));
    if (fields.sort().join() !== expected.join()) throw new Error('header');
    if (header['typ'] !== 'fanlight-req' || header['to'] !== this.device) throw new Error('typ or to');
    if (!String(header['kid']).startsWith(viewer) || viewer.length !== 22) throw new Error('id');
    if (header['nonce'] !== this.nonce) throw new Error('nonce');
    const body = JSON.parse(text(jose.base64url.decode(signed.split('.')[1]!))) as Json;
    await this.checkToken(header);
    const point = this.keyOf(header, body);
    if (body['type'] === 'pair') await this.checkPairing(header, body);
    else if (!this.viewers.has(String(header['kid'])) && header['token'] === undefined)
      throw new Error('not on the list');
    const jwk = jwkOfPoint(point);
    if (await jose.calculateJwkThumbprint(jwk) !== header['kid']) throw new Error('kid');
    await jose.compactVerify(signed, await jose.importJWK(jwk, 'ES256'), { algorithms: ['ES256'] });
    this.points.set(String(header['kid']), point);
    if (body['type'] === 'pair') this.viewers.set(String(header['kid']), String(body['name']));
    this.replies.set(viewer, String(header['reply']));
    return { viewer, header, body };
  }

  /** A token puts its viewer on the list. Whether it has ended is left to the answer. */
  private async checkToken({ kid, token }: Json): Promise<void> {
    if (token === undefined || this.viewers.has(String(kid))) return;
    const { payload } = await jose.jwtVerify(String(token), this.issuer!.open, {
      algorithms: ['ES256'], typ: 'fanlight-token', audience: [this.device, '*'], currentDate: new Date(0),
    });
    const { x, y } = (payload['cnf'] as { jwk: jose.JWK }).jwk;
    if (await jose.calculateJwkThumbprint({ ...EC, x: x!, y: y! }) !== kid) throw new Error('cnf');
    this.points.set(String(kid), jose.base64url.encode(
      new Uint8Array([4, ...jose.base64url.decode(x!), ...jose.base64url.decode(y!)])
    ));
  }

  private readonly points = new Map<string, string>();
  private keyOf(header: Json, body: Json): string {
    const point = body['type'] === 'pair' ? body['key'] : this.points.get(String(header['kid']));
    if (typeof point !== 'string') throw new Error('unknown key');
    return point;
  }

  /** Puts a viewer on the list without pairing. */
  admit(point: string, thumb: string, name = 'test'): void {
    this.points.set(thumb, point);
    this.viewers.set(thumb, name);
  }

  private async checkPairing(header: Json, body: Json): Promise<void> {
    if (this.secret === null) throw new Error('no pairing');
    const mac = await hmac(this.secret, [
      'fanlight pair viewer', this.identity.thumb, this.device, String(header['kid']), String(body['name']),
    ]);
    if (mac !== body['mac']) throw new Error('mac');
  }
}

/** A broker in memory. It keeps the order of messages, and delivers each in a task of its own. */
export class MemoryBroker {
  readonly url = new URL('wss://broker.example.org/mqtt');
  readonly sent: { topic: string; payload: string }[] = [];
  readonly state = { at: 'up' as const, message: '', trouble: null };
  readonly up = true;
  private readonly kept = new Map<string, string>();
  private readonly listeners = new Map<string, Set<(topic: string, payload: Uint8Array) => void>>();
  private readonly tap = new Map<string, (viewer: string, payload: string) => void>();
  /** Changes or drops (null) a message on its way. */
  tamper: (topic: string, payload: string) => string | null = (_, payload) => payload;

  onState(): () => void {
    return () => {};
  }

  /** Delivers requests for this board. */
  attach(board: FakeBoard): void {
    this.tap.set(board.topic('req'), (viewer, payload) => void board.hear(viewer, payload));
  }

  readonly say = (topic: string, payload: string, retain: boolean): void => {
    const it = this.tamper(topic, payload);
    if (it === null) return;
    if (retain) this.kept.set(topic, it);
    for (const listener of this.listeners.get(topic) ?? []) listener(topic, bytes(it));
  };

  subscribe(topic: string, retained: boolean, listener: (topic: string, payload: Uint8Array) => void): () => void {
    const all = this.listeners.get(topic) ?? new Set();
    this.listeners.set(topic, all.add(listener));
    const old = this.kept.get(topic);
    if (retained && old !== undefined) queueMicrotask(() => listener(topic, bytes(old)));
    return () => void all.delete(listener);
  }

  publish(topic: string, payload: string): Promise<void> {
    this.sent.push({ topic, payload });
    const [viewer] = topic.split('/').slice(-1);
    const it = this.tamper(topic, payload);
    if (it !== null) this.tap.get(topic.slice(0, topic.lastIndexOf('/')))?.(viewer!, it);
    return Promise.resolve();
  }
}
