// The worked examples of docs/reference/signed-examples.md, which the daemon's tests compare with its own code: here
// they are checked by `jose`, a library of others, step by step by the cryptography of Node.js, and by the viewer.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import * as jose from 'jose';
import { unbase64url, utf8 } from '../src/bytes.ts';
import { concatKdf, isSignedBy, open, parseJws, thumbprint, verifier } from '../src/trust/jose.ts';
import { pairingMac } from '../src/trust/pairing.ts';

declare const HERE: string;
const page = readFileSync(join(HERE, '../../docs/reference/signed-examples.md'), 'utf8');

/** The values of an example, by the names of their lines. */
const examples = new Map([...page.matchAll(/^```text (\w+)\n([^`]*)```$/gm)].map(([, name, block]) => [
  name!,
  Object.fromEntries(
    block!.trim().split('\n').map((line) => line.split(/ = (.*)/s).slice(0, 2))
  ) as Record<string, string>,
]));
const of = (name: string) => {
  const found = examples.get(name);
  assert.ok(found, name);
  return (key: string) => {
    assert.ok(found[key], `${name}: ${key}`);
    return found[key];
  };
};

interface ExampleKey { d: string; point: string; thumb: string }
const keys = new Map([...page.matchAll(/^\| ([a-z ]+) \| `([\w-]+)` \| `([\w-]+)` \| `([\w-]+)` \|$/gm)]
  .map(([, name, d, point, thumb]): [string, ExampleKey] => [name!, { d: d!, point: point!, thumb: thumb! }]));
const key = (name: string) => keys.get(name) ?? assert.fail(name);
const raw = (text: string) => Buffer.from(text, 'base64url');
const jwk = ({ d, point }: ExampleKey) => ({
  kty: 'EC', crv: 'P-256', d,
  x: raw(point).subarray(1, 33).toString('base64url'), y: raw(point).subarray(33).toString('base64url'),
});
const hash = (what: string) => crypto.createHash('sha256').update(`fanlight example: ${what}`).digest();

/** Who signs each message, to whom it is sealed, and the fields of its header. */
const SEALED: [string, 'viewer' | 'board'][] = [
  ['hello', 'viewer'], ['welcome', 'board'], ['offer', 'viewer'], ['answer', 'board'], ['pair', 'viewer'],
  ['paired', 'board'],
];
const FIELDS = { viewer: ['alg', 'typ', 'kid', 'to', 'nonce', 'reply'], board: ['alg', 'typ', 'kid', 'to'] };

test('the keys are those of their private numbers', async () => {
  assert.equal(keys.size, 4);
  for (const [name, it] of keys) {
    assert.deepEqual(raw(it.d), hash(name));
    const pair = crypto.createECDH('prime256v1');
    pair.setPrivateKey(raw(it.d));
    assert.equal(pair.getPublicKey('base64url', 'uncompressed'), it.point);
    const { d, ...open } = jwk(it);
    assert.equal(await jose.calculateJwkThumbprint(open), it.thumb, d);
    assert.equal(await thumbprint(it.point), it.thumb);
  }
});

for (const name of ['info', 'status']) {
  test(`${name} is signed by the board`, async () => {
    const it = of(name);
    const { d, ...open } = jwk(key('board identity'));
    assert.ok(d);
    const { payload, protectedHeader } = await jose.compactVerify(it('message'), await jose.importJWK(open, 'ES256'));
    assert.equal(Buffer.from(payload).toString(), it('json'));
    assert.deepEqual(protectedHeader, JSON.parse(it('header')));
    assert.equal(it('message'), `${it('signing input')}.${it('signature')}`);
    assert.equal(it('topic'), `fanlight/v1/porch/${name}`);
    const jws = parseJws(it('message'), ['alg', 'typ', 'kid'])!;
    assert.ok(await isSignedBy((await verifier(key('board identity').point))!, jws));
  });
}

for (const [name, by] of SEALED) {
  const [signer, to] = by === 'viewer'
    ? ['viewer identity', 'board sealing key'] : ['board identity', 'viewer sealing key'];
  test(`${name} is opened and verified by jose`, async () => {
    const it = of(name);
    const { d, ...open } = jwk(key(signer!));
    assert.ok(d);
    const opened = await jose.compactDecrypt(it('message'), await jose.importJWK(jwk(key(to!)), 'ECDH-ES'));
    assert.deepEqual(opened.protectedHeader, JSON.parse(it('jwe header')));
    assert.equal(Buffer.from(opened.plaintext).toString(), `${it('signing input')}.${it('signature')}`);
    const verifier = await jose.importJWK(open, 'ES256');
    const { payload, protectedHeader } = await jose.compactVerify(opened.plaintext, verifier);
    assert.equal(Buffer.from(payload).toString(), it('json'));
    assert.deepEqual(protectedHeader, JSON.parse(it('header')));
    const id = key('viewer identity').thumb.slice(0, 22);
    assert.equal(it('topic'), `fanlight/v1/porch/${by === 'viewer' ? 'req' : 'rsp'}/${id}`);
  });

  test(`${name} is made of its steps`, async () => {
    const it = of(name);
    assert.deepEqual(raw(it('ephemeral d')), hash(`${name}, ephemeral key`));
    assert.equal(it('iv'), hash(`${name}, iv`).subarray(0, 12).toString('hex'));
    const input = `${Buffer.from(it('header')).toString('base64url')}.${Buffer.from(it('json')).toString('base64url')}`;
    assert.equal(it('signing input'), input);
    const once = crypto.createECDH('prime256v1');
    once.setPrivateKey(raw(it('ephemeral d')));
    const point = once.getPublicKey('base64url', 'uncompressed');
    const { d, ...epk } = jwk({ d: it('ephemeral d'), point, thumb: '' });
    assert.ok(d);
    assert.deepEqual(JSON.parse(it('jwe header')), { alg: 'ECDH-ES', enc: 'A256GCM', kid: key(to!).thumb, epk });
    assert.equal(once.computeSecret(raw(key(to!).point)).toString('hex'), it('z'));
    const number = (value: number) => value.toString(16).padStart(8, '0');
    const label = Buffer.from('A256GCM').toString('hex');
    const kdf = `${number(1)}${it('z')}${number(7)}${label}${number(0)}${number(0)}${number(256)}`;
    assert.equal(it('kdf input'), kdf);
    const content = crypto.createHash('sha256').update(Buffer.from(kdf, 'hex')).digest();
    assert.equal(content.toString('hex'), it('content key'));
    const derived = await concatKdf(new Uint8Array(Buffer.from(it('z'), 'hex')), 'A256GCM', 256);
    assert.equal(Buffer.from(derived).toString('hex'), it('content key'));
    assert.equal(Buffer.from(it('jwe header')).toString('base64url'), it('additional data'));
    const cipher = crypto.createCipheriv('aes-256-gcm', content, Buffer.from(it('iv'), 'hex'));
    cipher.setAAD(Buffer.from(it('additional data')));
    const body = Buffer.concat([cipher.update(`${input}.${it('signature')}`), cipher.final()]);
    assert.equal(body.toString('base64url'), it('ciphertext'));
    assert.equal(cipher.getAuthTag().toString('hex'), it('tag'));
    const [iv, tag] = ['iv', 'tag'].map((part) => Buffer.from(it(part), 'hex').toString('base64url'));
    assert.equal(it('message'), `${it('additional data')}..${iv}.${it('ciphertext')}.${tag}`);
  });

  test(`${name} is understood by the viewer's own code`, async () => {
    const it = of(name);
    const at = key(to!);
    const secret = await crypto.webcrypto.subtle.importKey(
      'jwk', jwk(at), { name: 'ECDH', namedCurve: 'P-256' }, false, ['deriveBits']
    );
    const text = await open({ secret: secret as CryptoKey, point: at.point, thumb: at.thumb }, it('message'));
    const jws = parseJws(text!, FIELDS[by])!;
    assert.equal(Buffer.from(jws.payload).toString(), it('json'));
    assert.ok(await isSignedBy((await verifier(key(signer!).point))!, jws));
  });
}

test('the answer names the hash of its offer', () => {
  const [offer, answer] = ['offer', 'answer'].map((name) => JSON.parse(of(name)('json')) as Record<string, string>);
  const expected = crypto.createHash('sha256').update(offer!['sdp']!).digest('base64url');
  assert.equal(answer!['offer_hash'], expected);
  assert.equal(answer!['session'], offer!['session']);
  assert.equal(offer!['session'], hash('session').subarray(0, 16).toString('base64url'));
});

test('the MACs of the pairing are over their texts', async () => {
  const it = of('macs');
  const secret = Buffer.from(it('secret'), 'hex');
  assert.deepEqual(secret, hash('secret').subarray(0, 16));
  for (const [side, message] of [['viewer', 'pair'], ['board', 'paired']] as const) {
    const texts = JSON.parse(it(`${side} texts`)) as string[];
    assert.deepEqual(texts, [
      `fanlight pair ${side}`, key('board identity').thumb, 'porch', key('viewer identity').thumb, 'Anna\'s phone',
    ]);
    assert.equal(Buffer.from(texts.map((text) => `${text}\0`).join('')).toString('hex'), it(`${side} input`));
    const mac = crypto.createHmac('sha256', secret).update(Buffer.from(it(`${side} input`), 'hex')).digest('base64url');
    assert.equal(mac, it(`${side} mac`));
    assert.equal(await pairingMac(new Uint8Array(secret), texts), mac);
    assert.equal((JSON.parse(of(message)('json')) as Record<string, string>)['mac'], mac);
  }
  assert.deepEqual(unbase64url(of('pair')('message').split('.')[0]!), utf8(of('pair')('jwe header')));
});
