// Strangers send invalid messages and packets to the running daemon. Tests in Rust check the exact reply to each
// message.

import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import dgram from 'node:dgram';
import { test } from 'node:test';
import { leave, report, fixture } from './fixture.mjs';
import { Stranger, sessionId, until } from './processes.mjs';

const s = fixture();

test('invalid messages and floods cost no memory and do not disturb a viewer', async () => {
  const honest = await s.tab();
  const { session } = await s.watch(honest);
  const stranger = await Stranger.connect(s.broker, 'cam', 'nonsense');
  const expect = async (message, name) => {
    stranger.heard.length = 0;
    await stranger.say(message);
    const refusal = await stranger.reply((m) => m.type === 'error');
    assert.equal(refusal.name, name, `${String(message).slice(0, 80)} → ${JSON.stringify(refusal)}`);
    assert.ok(refusal.code >= 400 && refusal.message.length > 5);
  };
  const offer = (fields) =>
    JSON.stringify({ v: 1, type: 'offer', session: sessionId(), seq: 0, sdp: 'v=0\r\n', ...fields });
  await expect('{', 'bad_request');
  await expect(Buffer.from([0x7b, 0xff, 0xfe, 0x7d]), 'bad_request');
  await expect('['.repeat(20_000), 'bad_request');
  await expect(`{"v":1,"type":"offer","type":"bye","session":"${sessionId()}","seq":0}`, 'bad_request');
  await expect(offer({ v: 2 }), 'version');
  await expect(offer({ sdp: 'hello' }), 'bad_sdp');
  await expect(offer({ session: 'short' }), 'bad_request');
  await expect(JSON.stringify({ v: 1, type: 'renew', session: sessionId(), seq: 0 }), 'no_session');
  await expect(' '.repeat(40_000), 'too_large');

  // Floods: of one viewer, of two hundred, and of the largest messages. A viewer that floods gets an error.
  const before = (await report(honest, session)).frames;
  const memory = s.daemon.memory();
  for (const [who, message] of [
    ['flood', () => offer({ sdp: `v=0\r\n${Math.random()}` })],
    ['large', () => offer({ sdp: 'x'.repeat(24_000) })],
  ]) {
    const flood = await Stranger.connect(s.broker, 'cam', who);
    for (let i = 0; i < 2000; i += 1) flood.say(message(), { qos: i % 2 }).catch(() => {});
    const refusal = await flood.reply((m) => m.name === 'rate_limited');
    assert.deepEqual([refusal.code, refusal.retry_after_ms], [429, 1000]);
    await flood.close();
  }
  for (let i = 0; i < 200; i += 1) {
    await stranger.client.publishAsync(`fanlight/v1/cam/req/many${i}`, offer({ sdp: 'nothing' }), { qos: 1 });
  }
  await stranger.close();
  await until('the honest viewer continues', async () => (await report(honest, session)).frames > before + 60);
  const other = await s.tab();
  const watched = await s.watch(other);
  await leave(other, watched.session);
  await leave(honest, session);
  assert.ok(s.daemon.memory() - memory < 20_000, `grew from ${memory} to ${s.daemon.memory()} KiB`);
  assert.ok(!s.daemon.child.output.includes('panicked'));
});

test('packets from strangers at the media port cost no memory and no log line, and get no answer', async () => {
  const ear = await Stranger.connect(s.broker, 'cam', 'flooded');
  const honest = await s.tab('flooded');
  const { session } = await s.watch(honest);
  const { sdp } = await ear.reply((m) => m.type === 'answer' || m.type === 'offer');
  const [, address, port] = /^a=candidate:\S+ 1 udp \d+ ([\d.]+) (\d+) /im.exec(sdp) ?? assert.fail(sdp);
  const before = {
    frames: (await report(honest, session)).frames,
    memory: s.daemon.memory(),
    log: s.daemon.child.output.length,
  };
  const socket = dgram.createSocket('udp4');
  let told = 0;
  socket.on('message', () => { told += 1; });
  const random = (begin, length) => Buffer.concat([Buffer.from(begin), crypto.randomBytes(length - begin.length)]);
  const kinds = [
    () => random([0x80, 111], 40), // RTP, each from a new sender
    () => random([0x80, 201, 0, 7], 40), // RTCP, each from a new sender
    () => random([22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1, 0, 87], 100), // a DTLS handshake
    () => random([23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 1, 0, 87], 100), // data channels
    () => random([0, 1, 0, 80, 0x21, 0x12, 0xa4, 0x42], 100), // a STUN check
  ];
  for (let round = 0; round < 400; round += 1) {
    for (const kind of kinds) {
      await Promise.all(
        Array.from(
          { length: 25 },
          () =>
            new Promise((done) => {
              socket.send(kind(), Number(port), address, done);
            }),
        ),
      );
    }
  }
  await until('the honest viewer continues', async () => (await report(honest, session)).frames > before.frames + 60);
  const grown = s.daemon.memory() - before.memory;
  assert.ok(grown < 5_000, `grew by ${grown} KiB for 50,000 packets`);
  const lines = s.daemon.child.output.slice(before.log).split('\n');
  assert.ok(lines.length < 10, lines.slice(0, 20).join('\n'));
  assert.equal(told, 0);
  await leave(honest, session);
  await until('how many there were', () => /\d{3,} packets of strangers/.test(s.daemon.child.output));
  socket.close();
  await ear.close();
});
