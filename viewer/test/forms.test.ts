// The forms of signed and sealed messages: against the vectors of their standards, against a library of others, and
// against changes on the way.
import * as jose from 'jose';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { base64url, exactly, unbase64url, utf8 } from '../src/bytes.ts';
import {
  MOST_SEALED, concatKdf, isSignedBy, jwkOf, makePair, open, parseJws, pointOf, seal, sign, thumbprint, verifier,
} from '../src/trust/jose.ts';
import { boardOf, openReply, readPublic } from '../src/trust/messages.ts';
import { viewerId } from '../src/trust/store.ts';
import { FakeBoard, jwkOfPoint, makeKey, sealText, signText } from './fake-board.ts';

const G = 'BGsX0fLhLEJH-Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU';

test('base64url has one text for each sequence of bytes, and everything else is refused', () => {
  for (const length of [0, 1, 2, 3, 32, 65, 9000]) {
    const it = crypto.getRandomValues(new Uint8Array(length));
    assert.deepEqual(unbase64url(base64url(it)), it);
    assert.equal(base64url(it), jose.base64url.encode(it));
  }
  for (const bad of ['A', 'AB', 'AAB', 'AA==', 'AA=', '+A', '/A', 'A A', 'AAAA\n', 'é'])
    assert.equal(unbase64url(bad), null, bad);
  assert.equal(exactly(3, 'AAAA')?.length, 3);
  for (const bad of ['AAA', 'AAAAA', 4, null, undefined, ['AAAA']]) assert.equal(exactly(3, bad), null);
});

test('RFC 7515 A.3: the signature is verified, and no other payload is', async () => {
  const key = await verifier(pointOf({
    kty: 'EC', crv: 'P-256', x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
    y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0',
  })!);
  const example = 'eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.'
    + 'DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q';
  assert.equal(await isSignedBy(key!, parseJws(example, ['alg'])!), true);
  assert.equal(await isSignedBy(key!, parseJws(example.replace('.eyJp', '.eyJq'), ['alg'])!), false);
  assert.equal(parseJws(example, ['alg', 'kid']), null, 'a header without a required field');
});

test('RFC 7518 appendix C: the derived key', async () => {
  const z = new Uint8Array([
    158, 86, 217, 29, 129, 113, 53, 211, 114, 131, 66, 131, 191, 132, 38, 156, 251, 49, 110, 163, 218, 128, 106, 72,
    246, 218, 167, 121, 140, 254, 144, 196,
  ]);
  assert.equal(base64url(await concatKdf(z, 'A128GCM', 128, 'Alice', 'Bob')), 'VqqN6vgjbSBcIijNcacQGg');
});

test('points, JWKs and thumbprints are those of another library, and others are refused', async () => {
  const { jwk, point, thumb } = await makeKey('sign');
  assert.deepEqual(jwkOf(point), jwkOfPoint(point));
  assert.equal(pointOf(jwk), point);
  assert.equal(await thumbprint(point), thumb);
  for (const bad of [
    null, 'x', {}, { ...jwk, d: 'AAAA' }, { ...jwk, crv: 'P-384' }, { ...jwk, kty: 'OKP' }, { ...jwk, x: 1 },
    { ...jwk, x: `${jwk.x}A` }, { ...jwk, y: '' },
  ])
    assert.equal(pointOf(bad), null, JSON.stringify(bad));
  for (const bad of ['', G.slice(1), `A${G.slice(1)}`, `${G.slice(0, -1)}V`, G.replace('BGsX', 'BGsY')])
    assert.equal(await verifier(bad), null, bad);
  assert.ok(await verifier(G));
});

test('what this viewer signs and seals, a library of others verifies and opens', async () => {
  const self = await makePair('sign');
  const board = await makeKey('seal');
  const signed = await sign(self.secret, { alg: 'ES256', typ: 'fanlight-req', kid: self.thumb }, '{"v":1,"ü":"€"}');
  const sealed = await seal(board.point, signed);
  const { plaintext, protectedHeader } = await jose.compactDecrypt(sealed!, board.secret);
  assert.deepEqual(Object.keys(protectedHeader).sort(), ['alg', 'enc', 'epk', 'kid']);
  const { alg, enc, kid } = protectedHeader;
  assert.deepEqual([alg, enc, kid], ['ECDH-ES', 'A256GCM', board.thumb]);
  const verified = await jose.compactVerify(plaintext, await jose.importJWK(jwkOfPoint(self.point), 'ES256'));
  assert.equal(new TextDecoder().decode(verified.payload), '{"v":1,"ü":"€"}');
  assert.equal(await seal('A'.repeat(87), signed), null, 'a point that is not on the curve');
});

test('what a library of others signs and seals, this viewer verifies and opens', async () => {
  const mine = await makePair('seal');
  const board = await makeKey('sign');
  const signed = await signText(board, { typ: 'fanlight-rsp', kid: board.thumb, to: 'me' }, '{"v":1}');
  assert.equal(await open(mine, await sealText(mine.point, signed)), signed);
  const jws = parseJws(signed, ['alg', 'typ', 'kid', 'to'])!;
  assert.equal(await isSignedBy((await verifier(board.point))!, jws), true);
  assert.equal(await isSignedBy((await verifier(mine.point))!, jws), false);
});

test('private keys cannot be exported', async () => {
  for (const use of ['sign', 'seal'] as const) {
    const { secret } = await makePair(use);
    assert.equal(secret.extractable, false);
    for (const format of ['pkcs8', 'jwk'] as const) await assert.rejects(crypto.subtle.exportKey(format, secret));
  }
});

/** A board and a viewer that know each other. */
async function acquainted() {
  const fake = await FakeBoard.make(() => {});
  const [identity, reply] = [await makePair('sign'), await makePair('seal')];
  const self = { ...identity, id: viewerId(identity.thumb) };
  const board = await boardOf({ device: 'porch', thumb: fake.identity.thumb, key: fake.identity.point });
  return { fake, peers: { self, reply, board: board! } };
}
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
/** Each text that differs in one letter. */
const mutations = (of: string) => [...of].map((letter, at) => {
  const other = letter === '.' ? 'A' : ALPHABET[(ALPHABET.indexOf(letter) + 1 + (at % 62)) % 64]!;
  return of.slice(0, at) + (other === letter ? '.' : other) + of.slice(at + 1);
});

test('a change of any letter of a reply is noticed', async () => {
  const { fake, peers } = await acquainted();
  const whole = await fake.replyText(peers.self.id, { v: 1, type: 'pong', n: 1 }, {}, fake.identity, peers.reply.point);
  assert.equal(new TextDecoder().decode((await openReply(peers, utf8(whole)))!), '{"v":1,"type":"pong","n":1}');
  for (const bad of [...mutations(whole), whole.slice(1), whole.slice(0, -1), `${whole}A`, `${whole}.`])
    assert.equal(await openReply(peers, utf8(bad)), null, bad);
});

test('a change of any letter of a status is noticed', async () => {
  const { fake, peers: { board } } = await acquainted();
  const whole = await fake.statusText();
  assert.ok(await readPublic(utf8(whole), 'status', board));
  for (const bad of [...mutations(whole), whole.slice(1), whole.slice(0, -1), `${whole}A`, `${whole}.`])
    assert.equal(await readPublic(utf8(bad), 'status', board), null, bad);
});

test('a status with another header, key or kind is refused', async () => {
  const { fake, peers: { board } } = await acquainted();
  const other = await makeKey('sign');
  const { identity } = fake;
  const good = { typ: 'fanlight-status', kid: identity.thumb };
  const by = (header: object, key = identity) => signText(key, header as Record<string, unknown>, fake.statusJson());
  const none = `${base64url(utf8(JSON.stringify({ alg: 'none', ...good })))}.${base64url(utf8('{}'))}.`;
  const twice = await (async () => {
    const head = `{"alg":"ES256","typ":"fanlight-status","typ":"fanlight-status","kid":"${identity.thumb}"}`;
    const input = `${base64url(utf8(head))}.${base64url(utf8('{}'))}`;
    const signature = await crypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, identity.secret, utf8(input));
    return `${input}.${base64url(new Uint8Array(signature))}`;
  })();
  for (const [what, bad] of Object.entries({
    'another key': await by(good, other), 'another kid': await by({ ...good, kid: other.thumb }),
    'another key with its kid': await by({ ...good, kid: other.thumb }, other),
    'the kind of an info': await by({ ...good, typ: 'fanlight-info' }),
    'a further field': await by({ ...good, to: 'x' }),
    'its key in the header': await by({ ...good, jwk: identity.jwk }), 'a missing field': await by({ typ: good.typ }),
    'a field that is no text': await by({ ...good, typ: 1 }), 'no algorithm': none, 'a field twice': twice,
    'plain JSON': fake.statusJson(), nothing: '', 'too large': `${await by(good)}${'A'.repeat(MOST_SEALED)}`,
  }))
    assert.equal(await readPublic(utf8(bad), 'status', board), null, what);
  assert.ok(await readPublic(utf8(await by(good)), 'status', board));
});

test('a reply to somebody else, by somebody else, or of another form is refused', async () => {
  const { fake, peers } = await acquainted();
  const { self: { id }, reply: { point } } = peers;
  const other = await makeKey('sign');
  const body = { v: 1, type: 'pong', n: 1 };
  const say = (header = {}, by = fake.identity, to = point) => fake.replyText(id, body, header, by, to);
  const head = { typ: 'fanlight-rsp', kid: fake.identity.thumb, to: id };
  const inside = await signText(fake.identity, head, JSON.stringify(body));
  for (const [what, bad] of Object.entries({
    'another viewer': await say({ to: 'AAAAAAAAAAAAAAAAAAAAAA' }), 'a request': await say({ typ: 'fanlight-req' }),
    'a status': await say({ typ: 'fanlight-status' }), 'another signer': await say({}, other),
    'another signer with the kid of the board': await say({ kid: fake.identity.thumb }, other),
    'sealed to another key': await say({}, fake.identity, (await makeKey('seal')).point),
    'a further field': await say({ nonce: 'x' }), 'not sealed': inside,
    'a seal with a further field': await sealText(point, inside, { zip: 'DEF' }).catch(() => 'x'),
    'a seal with another kid': await sealText(point, inside, { kid: other.thumb }),
    'another cipher': await sealText(point, inside, { enc: 'A128GCM' }),
    'a seal around a seal': await sealText(point, await sealText(point, inside)),
  }))
    assert.equal(await openReply(peers, utf8(bad)), null, what);
  assert.ok(await openReply(peers, utf8(await say())));
});

test('payloads of all kinds of garbage are refused without an error', async () => {
  const { peers } = await acquainted();
  const garbage = [
    '', '.', '..', '....', '.....', 'eyJ', 'eyJ.eyJ.eyJ', '{}', 'e30.e30.',
    'e30..AAAAAAAAAAAAAAAA.AA.AAAAAAAAAAAAAAAAAAAAAA',
    `${base64url(utf8('{"alg":"ECDH-ES","enc":"A256GCM","kid":1,"epk":null}'))}....`, `${'eyJ'.repeat(30_000)}`,
  ].map(utf8);
  garbage.push(new Uint8Array([0x65, 0x79, 0x4a, 0xff]), new Uint8Array(5000).fill(0x2e), new Uint8Array(100_000));
  for (const it of garbage) {
    assert.equal(await openReply(peers, it), null);
    assert.equal(await readPublic(it, 'status', peers.board), null);
  }
});
