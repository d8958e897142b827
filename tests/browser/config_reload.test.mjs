// A reload by SIGHUP during a session applies the changes that are possible, and the picture continues.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import { report as reportOf, fixture } from './fixture.mjs';
import { until } from './processes.mjs';

const s = fixture({ limits: { viewers: 4 } });

test('a reload changes the bitrate and does not interrupt the viewer', async () => {
  const { broker, daemon } = s;
  const page = await s.tab('anna');
  const session = await page.evaluate(() => window.watch({ calls: 'offer' }));
  const report = () => reportOf(page, session);
  const decoded = (n) => until(`${n} pictures`, async () => {
    const seen = await report();
    return seen.video?.framesDecoded >= n && seen;
  });

  // Bits a second over the next 60 pictures, which are 2 s.
  const rate = async () => {
    const first = (await report()).video;
    const then = (await decoded(first.framesDecoded + 60)).video;
    return ((then.bytesReceived - first.bytesReceived) * 8000) / (then.timestamp - first.timestamp);
  };
  await decoded(60);
  const before = await rate();

  fs.writeFileSync(daemon.file, daemon.config(broker, {
    video: { bitrate_kbps: 60, size: '320x180', linger_s: 1 },
    audio: { linger_s: 1 },
    limits: { viewers: 3 },
  }));
  daemon.child.process.kill('SIGHUP');
  await daemon.child.said('changed at once: video.bitrate_kbps, limits.viewers');
  await daemon.child.said('needs a restart: video.size');
  await until('the bitrate falls', async () => (await rate()) < before * 0.6, 30_000);

  const seen = await report();
  assert.equal(seen.state, 'connected');
  assert.deepEqual([seen.width, seen.height], [640, 360], 'the size waits for a restart');
  assert.deepEqual(seen.said.filter((m) => m.type === 'bye' || m.type === 'goaway' || m.type === 'error'), []);
  assert.ok(!daemon.child.output.includes('viewer anna: ended'), daemon.child.output);

  // It is one session until the end, and the end is reported.
  const sound = seen.audio.packetsReceived;
  await until('the sound continues', async () => (await report()).audio.packetsReceived > sound + 25);
  assert.equal(await daemon.stop(), 0);
  await until('bye', async () => (await report()).said.find((m) => m.type === 'bye' && m.reason === 'shutdown'));
  daemon.up();
  await daemon.child.said('connected by MQTT');
});
