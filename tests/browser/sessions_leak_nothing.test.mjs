// A hundred sessions, one after the other, give back everything that they used.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { leave, report, fixture } from './fixture.mjs';
import { Stranger, until } from './processes.mjs';

// Camera and microphone close after each session, because their start must not leak, either.
const s = fixture({ limits: { messages_per_second: 1000 }, video: { linger_s: 0 }, audio: { linger_s: 0 } });
const ROUNDS = 100;

test('a hundred sessions leave no memory, thread or descriptor behind', async (t) => {
  const page = await s.tab();
  // The status counts the sessions; the log leaves out lines where one source writes many.
  const status = await Stranger.connect(s.broker, 'cam', 'counter');
  t.after(() => status.close());
  const once = async (calls) => {
    const session = await page.evaluate((o) => window.watch(o), { calls });
    await until('connected', async () => (await report(page, session)).state === 'connected');
    await leave(page, session);
  };
  // Memory once the sessions are gone, and the camera with them.
  const settled = async () => {
    await s.cameraIsOff();
    const newest = () => status.heard.filter((m) => m.topic.endsWith('/status')).at(-1)?.json;
    await until('all sessions ended', () => newest()?.viewers === 0, 30_000);
    return s.daemon.memory();
  };
  const state = async () => {
    await s.cameraIsOff();
    return { descriptors: s.daemon.descriptors(), threads: s.daemon.threads().sort() };
  };
  await once('offer');
  const before = await state();
  const memory = [];
  for (let round = 1; round <= ROUNDS; round += 1) {
    await once(round % 2 ? 'offer' : 'request');
    if (round % 10 === 0) memory.push(await settled());
  }
  // Threads of the runtime's pool end by themselves when they had nothing to do for 10 s. There may be fewer now.
  await until('no more than was there before', async () => {
    const { descriptors, threads } = await state();
    const count = (list, name) => list.filter((other) => other === name).length;
    return (
      descriptors <= before.descriptors && threads.every((name) => count(threads, name) <= count(before.threads, name))
    );
  }, 30_000);
  // An allocator keeps some of what it once had: the first half shows how much. The second adds nothing of note.
  const [first, second] = [memory.slice(0, ROUNDS / 20), memory.slice(ROUNDS / 20)].map((half) => Math.max(...half));
  t.diagnostic(`memory after each 10 sessions: ${memory.join(', ')} KiB`);
  assert.ok(second - first < 2048, `from ${first} to ${second} KiB in the second half`);
  await page.context().close();
});
