// Commands to the board: ids, results, time limits, and the parts of a snapshot; by a session and without one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { base64url, utf8 } from '../src/bytes.ts';
import { Call } from '../src/call.ts';
import { Channel, heard } from '../src/channel.ts';
import { Commands } from '../src/commands.ts';
import type { Command, Outcome, Way } from '../src/commands.ts';
import { Unusable, decode, encode } from '../src/protocol.ts';
import { refusal } from '../src/results.ts';

const bytes = (...all: number[]) => new Uint8Array(all);

/** Commands with a way that can be closed, and what became of them. */
class Rig {
  way: Way | null = 'session';
  sent: Command[] = [];
  told: Outcome[] = [];
  it = new Commands((command) => {
    if (this.way) this.sent.push(command);
    return this.way;
  });
  ask(name: string, args = {}, now = 0): this {
    this.it.ask(name, args, now, (outcome) => this.told.push(outcome));
    return this;
  }
  get why(): string[] {
    return this.told.map((one) => ('error' in one ? one.error.name : 'ok'));
  }
}

test('each command has an id of its own, and gets the result with this id, in any order', () => {
  const it = new Rig().ask('cameras').ask('controls.get', { names: ['gain'] });
  assert.deepEqual(it.sent, [{ id: 1, name: 'cameras' }, { id: 2, name: 'controls.get', args: { names: ['gain'] } }]);
  assert.equal(it.it.result({ id: 2, ok: { b: 2 } }, 1), true);
  assert.equal(it.it.result({ id: 1, error: { ...refusal('busy', 'x', 503), retryAfterMs: 5 } }, 1), true);
  assert.deepEqual(it.told[0], { ok: { b: 2 }, file: null });
  assert.deepEqual(it.why, ['ok', 'busy']);
  for (const id of [1, 2, 3, null]) assert.equal(it.it.result({ id, ok: {} }, 2), false, `${id} is not expected`);
  assert.equal(it.told.length, 2);
});

test('a command without a way, a ninth one, and one without an answer are refused', () => {
  const it = new Rig();
  it.way = null;
  it.ask('stats');
  it.way = 'alone';
  for (let n = 0; n < 9; n++) it.ask('stats', {}, 100 * n);
  assert.deepEqual(it.why, ['no_way', 'busy']);
  assert.equal(it.it.nextWake(), 12_000);
  it.it.wake(11_999);
  assert.equal(it.told.length, 2);
  it.it.wake(12_100);
  assert.deepEqual(it.why.slice(2), ['timeout', 'timeout']);
  it.it.stop();
  assert.deepEqual(it.why.slice(4), Array(6).fill('stopped'));
  assert.equal(it.it.idle && it.it.nextWake() === null, true);
});

test('the end of a session ends its commands, and no others', () => {
  const it = new Rig().ask('stats');
  it.way = 'alone';
  it.ask('stats');
  it.it.ended();
  assert.deepEqual(it.why, ['gone']);
  it.it.result({ id: 2, ok: {} }, 1);
  assert.deepEqual(it.why, ['gone', 'ok']);
});

for (const [what, ok, parts, end] of [
  ['all parts in order', { parts: 2, bytes: 3 }, [[0, 1, 2], [1, 3]], 'ok'],
  ['a part twice', { parts: 3, bytes: 9 }, [[0, 1], [0, 1]], 'incomplete'],
  ['a part left out', { parts: 3, bytes: 9 }, [[0, 1], [2, 1]], 'incomplete'],
  ['more than was announced', { parts: 2, bytes: 3 }, [[0, 1, 2], [1, 3, 4]], 'incomplete'],
  ['less than was announced', { parts: 2, bytes: 9 }, [[0, 1, 2], [1, 3]], 'incomplete'],
  ['no parts', { parts: 0, bytes: 0 }, [], 'incomplete'],
  ['too much', { parts: 1, bytes: 3e6 }, [], 'incomplete'],
  ['too many parts', { parts: 257, bytes: 300 }, [], 'incomplete'],
  ['no numbers', { parts: '2', bytes: 3 }, [], 'incomplete'],
] as [string, Record<string, unknown>, number[][], string][]) {
  test(`a snapshot with ${what}: ${end}`, () => {
    const it = new Rig().ask('snapshot');
    assert.equal(it.it.part({ id: 1, part: 0, data: bytes(9) }), false, 'before the result');
    it.it.result({ id: 1, ok }, 5);
    for (const [part, ...data] of parts) it.it.part({ id: 1, part: part!, data: bytes(...data) });
    assert.deepEqual(it.why, [end]);
    if (end === 'ok') assert.deepEqual((it.told[0] as { file: Uint8Array }).file, bytes(1, 2, 3));
    assert.equal(it.it.part({ id: 1, part: 2, data: bytes(9) }), false, 'after the end');
  });
}

test('parts have 10 s, from the result on', () => {
  const it = new Rig().ask('snapshot');
  it.it.result({ id: 1, ok: { parts: 2, bytes: 2 } }, 7000);
  it.it.result({ id: 1, ok: { parts: 2, bytes: 2 } }, 9000); // a second one changes nothing
  it.it.part({ id: 1, part: 0, data: bytes(1) });
  it.it.wake(16_999);
  assert.deepEqual(it.why, []);
  it.it.wake(17_000);
  assert.deepEqual(it.why, ['incomplete']);
});

const read = (text: string) => decode(utf8(`{"v":1,${text},"session":"q83vEjRWeJCrze8SNFZ4kA"}`)).body;

test('results and parts are read, and what is none is refused', () => {
  assert.deepEqual(read('"type":"result","id":7,"ok":{"a":1}'), { type: 'result', id: 7, ok: { a: 1 } });
  assert.deepEqual(
    read('"type":"result","id":7,"error":{"code":503,"name":"busy","message":"somebody\\u202e talks",'
      + '"retry_after_ms":1000,"talker":{"name":"An\\u200bna","seconds":4}}'),
    {
      type: 'result', id: 7,
      error: {
        code: 503, name: 'busy', message: 'somebody talks', retryAfterMs: 1000, talker: { name: 'Anna', seconds: 4 },
      },
    }
  );
  assert.deepEqual(read('"type":"result","error":{"code":400,"name":"bad_request","message":"id is missing"}'), {
    type: 'result', id: null, error: refusal('bad_request', 'id is missing', 400),
  });
  const part = { type: 'part', id: 7, part: 0, data: bytes(1, 2, 3) };
  assert.deepEqual(read('"type":"part","id":7,"part":0,"data":"AQID"'), part);
  for (const bad of [
    '"type":"result","id":7', '"type":"result","id":7,"ok":{},"error":{"code":400,"name":"x"}',
    '"type":"result","id":7,"ok":1',
    '"type":"result","id":7,"error":{"name":"x"}', '"type":"result","id":7,"error":{"code":400}',
    '"type":"part","id":7,"part":0,"data":"A"', '"type":"part","id":7,"part":0,"data":""',
    '"type":"part","part":0,"data":"AQID"',
    '"type":"part","id":7,"data":"AQID"', `"type":"part","id":7,"part":0,"data":"${'A'.repeat(21_852)}"`,
  ]) assert.throws(() => read(bad), Unusable, bad);
});

/** A call with a broker and a device that is online. */
const calling = () => {
  let sessions = 0;
  const call = new Call({
    mode: 'offer', wanted: { video: true, audio: true, talk: false }, random: () => 0.5,
    session: () => `session-${++sessions}`.padEnd(22, 'x'),
  });
  call.broker(true, 0);
  const told = () => {
    const effects = call.take();
    return {
      said: effects.flatMap((it) => (it.do === 'publish' ? [JSON.parse(it.text) as Record<string, unknown>] : [])),
      answered: effects.flatMap((it) => (it.do === 'answered' ? [it.body] : [])),
    };
  };
  return { call, told };
};

test('without a session a command stands alone, and its answer is told from others', () => {
  const { call, told } = calling();
  assert.equal(call.command({ id: 4, name: 'cameras' }), 'alone');
  const session = 'session-1'.padEnd(22, 'x');
  assert.deepEqual(told().said, [{ v: 1, session, seq: 0, type: 'command', id: 4, name: 'cameras' }]);
  const hear = (body: Parameters<Call['received']>[0]['body'], to = session) => {
    call.received({ session: to, seq: null, body }, 1);
    return told().answered;
  };
  assert.deepEqual(hear({ type: 'result', id: 4, ok: {} }, 'another'.padEnd(22, 'x')), []);
  assert.deepEqual(hear({ type: 'result', id: 5, ok: {} }), [], 'another command');
  assert.deepEqual(hear({ type: 'result', id: 4, ok: {} }), [{ type: 'result', id: 4, ok: {} }]);
  assert.deepEqual(hear({ type: 'part', id: 4, part: 0, data: bytes(1) }).length, 1);
  const error = { type: 'error', code: 429, name: 'rate_limited', message: 'slow', retryAfterMs: 5 } as const;
  assert.deepEqual(
    hear(error), [{ type: 'result', id: 4, error: { ...refusal('rate_limited', 'slow', 429), retryAfterMs: 5 } }]
  );
  assert.equal(call.phase.at, 'idle', 'no session begins');
});

test('in a connected session a command is in its order; before, and without a broker, it is not', () => {
  const { call, told } = calling();
  call.watch(0);
  call.localOffer('v=0', 0);
  assert.equal(call.command({ id: 1, name: 'stats' }), 'alone');
  call.peer('connected', 1);
  told();
  assert.equal(call.command({ id: 2, name: 'stats', args: { a: 1 } }), 'session');
  const [said] = told().said;
  assert.deepEqual([said!['session'], said!['seq'], said!['args']], [call.session, 1, { a: 1 }]);
  call.received({ session: call.session, seq: 0, body: { type: 'result', id: 2, ok: {} } }, 2);
  assert.deepEqual(told().answered, [{ type: 'result', id: 2, ok: {} }]);
  call.bar('wrong_board', 3);
  assert.equal(call.command({ id: 3, name: 'stats' }), null);
  call.bar(null, 4);
  call.broker(false, 5);
  assert.equal(call.command({ id: 4, name: 'stats' }), null);
});

test('a command that is too large is refused here', () => {
  const told: Outcome[] = [];
  const it = new Commands((command) => {
    encode('x'.repeat(22), 0, { type: 'command', ...command });
    return 'alone';
  });
  const names = Array.from({ length: 4000 }, () => 'brightness');
  it.ask('controls.get', { names }, 0, (outcome) => told.push(outcome));
  assert.deepEqual(told, [{ error: refusal('too_large', '', 413) }]);
  assert.ok(it.idle);
});

test('a picture of many full parts comes through the session whole, also if its messages overtake each other', () => {
  const { call } = calling();
  const told: Outcome[] = [];
  const commands = new Commands((it) => call.command(it));
  call.watch(0);
  call.localOffer('v=0', 0);
  call.peer('connected', 1);
  commands.ask('snapshot', {}, 1, (outcome) => told.push(outcome));
  const file = Uint8Array.from({ length: 100_000 }, (_, at) => (at * 7919) % 251);
  const parts = Math.ceil(file.length / 16_384);
  const bodies: Record<string, unknown>[] = [
    { type: 'result', id: 1, ok: { camera: 'main', width: 1280, height: 720, bytes: file.length, parts, age_ms: 5 } },
    ...Array.from({ length: parts }, (_, part) => (
      { type: 'part', id: 1, part, data: base64url(file.subarray(part * 16_384, (part + 1) * 16_384)) }
    )),
  ];
  const messages = bodies.map((body, seq) => utf8(JSON.stringify({ v: 1, session: call.session, seq, ...body })));
  for (const at of [1, 0, 3, 2, 4, 6, 5, 7]) {
    call.received(decode(messages[at]!), 5);
    for (const effect of call.take())
      if (effect.do === 'answered')
        assert.ok(effect.body.type === 'part' ? commands.part(effect.body) : commands.result(effect.body, 6));
  }
  assert.equal(told.length, 1);
  assert.deepEqual((told[0] as { file: Uint8Array }).file, file);
});

/** A data channel, and what its owner learned. */
function lined() {
  const sent: unknown[] = [];
  const told: unknown[] = [];
  const line = {
    readyState: 'open', bufferedAmount: 0, onmessage: null, onclose: null,
    send: (text: string) => void sent.push(JSON.parse(text)), close: () => void told.push('close'),
  } as unknown as RTCDataChannel & { readyState: string; bufferedAmount: number };
  const channel = new Channel(line, {
    result: (it) => void told.push(it), unusable: () => void told.push('unusable'),
    closed: () => void told.push('closed'),
  });
  const hear = (data: unknown) => line.onmessage!({ data } as MessageEvent);
  return { channel, line, sent, told, hear };
}

test('an open data channel carries commands, and anything else leaves them to the broker', () => {
  const { channel, line, sent } = lined();
  assert.equal(channel.send({ id: 1, name: 'stats' }), true);
  assert.equal(channel.send({ id: 2, name: 'snapshot' }), false, 'its parts come by the broker');
  Object.assign(line, { bufferedAmount: 65_537 });
  assert.equal(channel.send({ id: 3, name: 'stats' }), false, 'the board accepts nothing');
  for (const readyState of ['connecting', 'closing', 'closed']) {
    Object.assign(line, { bufferedAmount: 0, readyState });
    assert.equal(channel.send({ id: 4, name: 'stats' }), false, readyState);
  }
  Object.assign(line, { readyState: 'open' });
  assert.throws(() => channel.send({ id: 5, name: 'x', args: { text: 'é'.repeat(16_384) } }), Unusable);
  assert.deepEqual(sent, [{ id: 1, name: 'stats' }]);
});

test('results of the data channel are read, notices are ignored, and the rest is counted', () => {
  const { channel, line, told, hear } = lined();
  hear('{"id":7,"ok":{"a":1}}');
  hear('{"notice":"later"}');
  for (const bad of ['', 'x', '[]', '{"id":7,"ok":{},"error":{}}', '{"id":7,"id":8,"ok":{}}', new ArrayBuffer(8)])
    hear(bad);
  line.onclose!(new Event('close'));
  assert.deepEqual(told, [{ id: 7, ok: { a: 1 } }, ...Array(6).fill('unusable'), 'closed']);
  channel.close();
  assert.deepEqual([line.onmessage, line.onclose, told.at(-1)], [null, null, 'close']);
  assert.deepEqual(heard('{"error":{"code":429,"name":"rate_limited","message":"slow"}}'), {
    id: null, error: refusal('rate_limited', 'slow', 429),
  });
});

test('the end of the data channel ends its commands, and those of the session go on', () => {
  const it = new Rig().ask('stats');
  it.way = 'channel';
  it.ask('stats').ask('stats');
  it.it.result({ id: 2, ok: {} }, 1);
  it.it.channelClosed();
  assert.deepEqual(it.why, ['ok', 'gone']);
  it.ask('stats');
  it.it.ended();
  assert.deepEqual(it.why, ['ok', 'gone', 'gone', 'gone']);
});

test('a description says whether it has the channel', () => {
  for (const [sdp, expected] of [
    ['v=0\r\nm=video 9 x\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n', true],
    ['v=0\r\nm=video 9 x\r\nm=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n', false],
    ['v=0\r\nm=video 9 x\r\n', false],
  ] as const) assert.equal(Channel.isIn(sdp), expected, sdp);
});
