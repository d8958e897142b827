// Strangers who keep to no rule, against the daemon as it runs; the exact refusal of each message is tested in Rust.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { leave, report, scene } from './scene.mjs';
import { Stranger, sessionId, until } from './world.mjs';

const s = scene();

test('nonsense of all kinds and floods cost memory nothing and an honest viewer nothing', async () => {
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
  const offer = (fields) => JSON.stringify({ v: 1, type: 'offer', session: sessionId(), seq: 0, sdp: 'v=0\r\n', ...fields });
  await expect('{', 'bad_request');
  await expect(Buffer.from([0x7b, 0xff, 0xfe, 0x7d]), 'bad_request');
  await expect('['.repeat(20_000), 'bad_request');
  await expect(`{"v":1,"type":"offer","type":"bye","session":"${sessionId()}","seq":0}`, 'bad_request');
  await expect(offer({ v: 2 }), 'version');
  await expect(offer({ sdp: 'hello' }), 'bad_sdp');
  await expect(offer({ session: 'short' }), 'bad_request');
  await expect(JSON.stringify({ v: 1, type: 'renew', session: sessionId(), seq: 0 }), 'no_session');
  await expect(' '.repeat(40_000), 'too_large');

  // Floods: of one viewer, of two hundred, and of the largest messages there may be. Who floods is told.
  const before = (await report(honest, session)).frames;
  const memory = s.daemon.memory();
  for (const [who, message] of [['flood', () => offer({ sdp: `v=0\r\n${Math.random()}` })], ['large', () => offer({ sdp: 'x'.repeat(24_000) })]]) {
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
  await until('the honest viewer goes on', async () => (await report(honest, session)).frames > before + 60);
  const other = await s.tab();
  const watched = await s.watch(other);
  await leave(other, watched.session);
  await leave(honest, session);
  assert.ok(s.daemon.memory() - memory < 20_000, `grew from ${memory} to ${s.daemon.memory()} KiB`);
  assert.ok(!s.daemon.child.output.includes('panicked'));
});
