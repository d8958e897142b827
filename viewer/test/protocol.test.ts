import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  MAX_MESSAGE, Unusable, decode, decodeInfo, decodeStatus, encode, isId, isRoot, newSession, topics, ufragOf
} from '../src/protocol.ts';
import type { ToDevice } from '../src/protocol.ts';
import { check } from './schema.ts';

declare const HERE: string;
const bytes = (text: string) => new TextEncoder().encode(text);
const SESSION = 'q83vEjRWeJCrze8SNFZ4kA';
const wrap = (rest: string) => `{"v":1,"session":"${SESSION}","seq":3,${rest}}`;
const documents = `${HERE}/../../docs/reference`;

const usable: [string, unknown][] = [
  ['"type":"answer","sdp":"v=0","offer_hash":"h","lease_s":600,"ice_servers":[{"urls":["stun:a"]},{"urls":["http:b"]}]',
    { type: 'answer', sdp: 'v=0', offerHash: 'h', leaseS: 600, iceServers: [{ urls: ['stun:a'] }] }],
  [
    '"type":"answer","sdp":"v=0","offer_hash":null,"ice_servers":null',
    { type: 'answer', sdp: 'v=0', offerHash: null, leaseS: null, iceServers: [] },
  ],
  [
    '"type":"offer","sdp":"v=0","restart":true',
    { type: 'offer', sdp: 'v=0', restart: true, iceServers: null, leaseS: null },
  ],
  [
    '"type":"offer","sdp":"v=0","restart":true,"ice_servers":[{"urls":["turn:a"]}],"logins_s":20',
    { type: 'offer', sdp: 'v=0', restart: true, iceServers: [{ urls: ['turn:a'] }], leaseS: null, loginsS: 20 },
  ],
  ['"type":"renewed","lease_s":600', { type: 'renewed', leaseS: 600 }],
  [
    '"type":"renewed","lease_s":600,"ice_servers":[{"urls":["turn:a"],"username":"u","credential":"c"}],"logins_s":1200',
    {
      type: 'renewed', leaseS: 600, iceServers: [{ urls: ['turn:a'], username: 'u', credential: 'c' }], loginsS: 1200,
    },
  ],
  ['"type":"renewed","lease_s":600,"ice_servers":[],"logins_s":"x"', { type: 'renewed', leaseS: 600, iceServers: [] }],
  ['"type":"candidates","ufrag":"u","candidates":[{"candidate":"c","mid":"0","mline":0}],"end":true',
    { type: 'candidates', ufrag: 'u', candidates: [{ candidate: 'c', mid: '0', mline: 0 }], end: true }],
  [
    '"type":"candidates","candidates":[{"candidate":"c","mid":null,"mline":99}]',
    { type: 'candidates', ufrag: null, candidates: [{ candidate: 'c' }], end: false },
  ],
  [
    '"type":"media","video":"absent","audio":"from the future"',
    { type: 'media', media: { video: 'absent', audio: 'ok' }, route: null, why: { video: null, audio: null } },
  ],
  [
    '"type":"media","video":"ok","audio":"ok","route":"relay-prflx tls by turns:t.example:5349"',
    {
      type: 'media', media: { video: 'ok', audio: 'ok' }, route: 'relay-prflx tls by turns:t.example:5349',
      why: { video: null, audio: null },
    },
  ],
  [
    '"type":"media","video":"stalled","audio":"ok","video_reason":"no keyframe\\u202e\\u2028 came"',
    {
      type: 'media', media: { video: 'stalled', audio: 'ok' }, route: null,
      why: { video: 'no keyframe came', audio: null },
    },
  ],
  [
    '"type":"media","video":"ok","audio":"ok","audio_reason":7',
    { type: 'media', media: { video: 'ok', audio: 'ok' }, route: null, why: { video: null, audio: null } },
  ],
  [
    '"type":"error","code":503,"name":"busy","message":"m","retry_after_ms":5000',
    { type: 'error', code: 503, name: 'busy', message: 'm', retryAfterMs: 5000 },
  ],
  [
    '"type":"error","code":503,"name":"busy","message":"m","retry_after_ms":1e99',
    { type: 'error', code: 503, name: 'busy', message: 'm', retryAfterMs: 3_600_000 },
  ],
  ['"type":"goaway","in_s":30,"reason":"expired"', { type: 'goaway', inS: 30, reason: 'expired' }],
  ['"type":"bye"', { type: 'bye', reason: '' }],
  ['"type":"pong","n":7,"more":{"a":[{"a":1}]}', { type: 'pong', n: 7 }],
];
for (const [text, body] of usable) {
  test(
    `reads ${text.slice(0, 60)}`, () => assert.deepEqual(decode(bytes(wrap(text))), { session: SESSION, seq: 3, body })
  );
}

const unusable: [string, string | Uint8Array, RegExp][] = [
  ['no JSON', 'nonsense', /not JSON/],
  ['broken UTF-8', new Uint8Array([0x7b, 0xff, 0x7d]), /not UTF-8/],
  ['too long', `{"v":1,"type":"bye","reason":"${'x'.repeat(MAX_MESSAGE)}"}`, /longer than/],
  ['no object', '[]', /not an object/],
  ['another version', '{"v":2,"type":"bye"}', /version/],
  ['an unknown type', wrap('"type":"dance"'), /unknown type/],
  ['deep JSON', wrap(`"type":"bye","x":${'['.repeat(16)}${']'.repeat(16)}`), /deeper than 16/],
  ['a key twice', wrap('"type":"bye","reason":"a","reason":"b"'), /twice/],
  ['a key twice, escaped', wrap('"type":"bye","reason":"a","r\\u0065ason":"b"'), /twice/],
  ['a key twice in an inner object', wrap('"type":"bye","x":[{"a":1,"a":2}]'), /twice/],
  ['no SDP', wrap('"type":"answer"'), /sdp/],
  ['long SDP', wrap(`"type":"answer","sdp":"${'x'.repeat(25_000)}"`), /sdp/],
  [
    'too many candidates', wrap(`"type":"candidates","candidates":[${Array(25).fill('{"candidate":"c"}').join(',')}]`),
    /candidates/,
  ],
  ['a candidate that is none', wrap('"type":"candidates","candidates":[1]'), /candidate/],
  ['a negative number', wrap('"type":"ping","n":-1'), /n:/],
  ['a lease of nothing', wrap('"type":"renewed","lease_s":"600"'), /lease_s/],
];
for (const [what, payload, why] of unusable) {
  test(`refuses ${what}`, () => assert.throws(
    () => decode(typeof payload === 'string' ? bytes(payload) : payload),
    (error: Error) => error instanceof Unusable && why.test(error.message)));
}

test('equal keys in different objects are fine, and so are braces in texts', () => {
  assert.equal(decode(bytes(wrap('"type":"bye","reason":"{\\"a\\":[","x":[{"a":1},{"a":"}"}]'))).body.type, 'bye');
});

test('sixteen levels are allowed', () => {
  assert.equal(decode(bytes(wrap(`"type":"bye","x":${'['.repeat(15)}${']'.repeat(15)}`))).body.type, 'bye');
});

test('a status says who is there', () => {
  assert.equal(decodeStatus(new Uint8Array()), null);
  assert.deepEqual(
    decodeStatus(bytes('{"v":1,"state":"offline","reason":"lost","epoch":"e","conn":7}')),
    { state: 'offline', epoch: 'e', conn: 7, reason: 'lost' }
  );
  assert.throws(() => decodeStatus(bytes('{"v":1,"state":"asleep"}')), Unusable);
});

test('an info says what the device calls itself and what it has', () => {
  const plain = { features: [], talk: false, rights: null };
  const read = (text: string) => decodeInfo(bytes(`{"v":1,${text}}`));
  assert.equal(decodeInfo(new Uint8Array()), null);
  assert.deepEqual(
    read('"name":"Front porch","cameras":[{}],"audio":null'),
    { name: 'Front porch', hasVideo: true, hasAudio: false, ...plain }
  );
  assert.deepEqual(read('"cameras":[],"audio":{}'), { name: null, hasVideo: false, hasAudio: true, ...plain });
  assert.deepEqual(read('"name":"a\\u202eb\\u2028c"'), { name: 'ab c', hasVideo: null, hasAudio: null, ...plain });
  assert.equal(read(`"name":"${'x'.repeat(500)}"`)!.name!.length, 80);
  assert.equal(read('"name":"\\u200b "')!.name, null);
  for (const text of ['[]', '{"v":2}', 'x']) assert.throws(() => decodeInfo(bytes(text)), Unusable);
  assert.deepEqual(topics.deviceOf('r/v1', 'r/v1/door/info', 'info'), 'door');
  assert.equal(topics.deviceOf('r/v1', 'r/v1/door/status', 'info'), null);
});

test('ids, roots and topics', () => {
  for (const id of ['a', 'front-door_2', 'x'.repeat(64)]) assert.ok(isId(id), id);
  for (const id of ['', 'x'.repeat(65), 'a/b', '+', '#', 'ä', 'a b']) assert.ok(!isId(id), id);
  for (const root of ['fanlight/v1', 'a']) assert.ok(isRoot(root), root);
  for (const root of ['', '/a', 'a/', 'a//b', 'a/+', '#', 'a\0']) assert.ok(!isRoot(root), root);
  assert.equal(topics.deviceOf('fanlight/v1', 'fanlight/v1/porch/status'), 'porch');
  for (const topic of ['fanlight/v1/a/b/status', 'other/porch/status', 'fanlight/v1/porch/info', 'fanlight/v1//status'])
    assert.equal(topics.deviceOf('fanlight/v1', topic), null, topic);
  assert.equal(ufragOf('v=0\r\na=ice-ufrag:Wq3x\r\na=ice-pwd:p\r\n'), 'Wq3x');
});

test('session ids are 22 characters and differ', () => {
  const ids = new Set(Array.from({ length: 100 }, newSession));
  assert.equal(ids.size, 100);
  for (const id of ids) assert.match(id, /^[A-Za-z0-9_-]{22}$/);
});

test('a message that is too long is not said', () => {
  assert.throws(() => encode(SESSION, 0, { type: 'offer', sdp: 'x'.repeat(MAX_MESSAGE) }), Unusable);
});

// --- The published protocol.

const contract = ['protocol.md', 'protocol-examples.md'].map(
  (page) => readFileSync(`${documents}/${page}`, 'utf8')
).join('');
const examples = (kind: string) =>
  [...contract.matchAll(new RegExp('```json ' + kind + '\\n(.*?)```', 'gs'))].map((it) => it[1]!.trim());

test('every example of a device in docs/reference is understood', () => {
  const device = examples('device');
  assert.ok(device.length >= 8);
  for (const text of device) assert.equal(decode(bytes(text)).body.type, (JSON.parse(text) as { type: string }).type);
  const status = examples('status');
  assert.ok(status.length >= 2);
  for (const text of status) assert.ok(decodeStatus(bytes(text)));
});

const said: ToDevice[] = [
  { type: 'offer', sdp: 'v=0\r\n' }, { type: 'offer', sdp: 'v=0\r\n', restart: true },
  { type: 'request', media: { video: true, audio: true, talk: false } },
  { type: 'answer', sdp: 'v=0\r\n', offer_hash: '47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU' },
  {
    type: 'candidates', ufrag: 'Wq3x',
    candidates: [{ candidate: 'candidate:1 1 udp 1 192.0.2.1 9 typ host', mid: '0', mline: 0 }],
  },
  { type: 'candidates', ufrag: 'Wq3x', candidates: [], end: true },
  { type: 'renew' }, { type: 'bye', reason: 'left' }, { type: 'ping', n: 1 }, { type: 'pong', n: 1 },
];
for (const body of said) {
  test(`says ${JSON.stringify(body).slice(0, 50)} as its schema asks`, () => {
    const faults = check(`${documents}/schemas`, `${body.type}.schema.json`, JSON.parse(encode(SESSION, 0, body)));
    assert.deepEqual(faults, []);
  });
}
test('the schema check can fail', () => {
  assert.notDeepEqual(
    check(`${documents}/schemas`, 'offer.schema.json', { v: 1, type: 'offer', session: 'short', seq: 0, sdp: 1 }), []
  );
});
