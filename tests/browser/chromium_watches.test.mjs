// Debian's Chromium watches the daemon through Debian's mosquitto.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { leave, report, fixture } from './fixture.mjs';
import { Stranger, sessionId, until } from './processes.mjs';

const s = fixture({ limits: { viewers: 4 } });

describe('Chromium', () => {
  test('sees and hears when it sends the offer', async () => {
    const page = await s.tab();
    const { session, seen } = await s.watch(page, { calls: 'offer' });
    assert.deepEqual([seen.width, seen.height], [640, 360]);
    const before = seen.video.framesDecoded;
    const later = await until('more pictures', async () => {
      const r = await report(page, session);
      return r.video.framesDecoded > before + 30 && r.audio.packetsReceived > 50 && r;
    });
    assert.ok(Math.abs(later.delays.at(-1)) < 2000, `the picture clock is ${later.delays.at(-1)} ms off`);
    const heard = await page.evaluate((id) => window.listen(id, 2500), session);
    assert.ok(
      heard.strongest > 0.2,
      `the tone is heard: ${JSON.stringify({ ...heard, loudest: heard.loudest.length })}`,
    );
    assert.ok(heard.loudest.some((hertz) => Math.abs(hertz - 1000) < 2 * heard.width), 'at 1 kHz');
    const answer = later.said.find((m) => m.type === 'answer');
    assert.ok(answer.lease_s > 590 && answer.lease_s <= 600);
    await leave(page, session);
    await s.daemon.child.said('frames');
    await page.context().close();
    await s.cameraIsOff();
  });

  test('sees and hears when it requests an offer', async () => {
    const page = await s.tab();
    const { session, seen } = await s.watch(page, { calls: 'request' });
    assert.deepEqual([seen.width, seen.height], [640, 360]);
    assert.ok(seen.said.some((m) => m.type === 'offer'));
    await leave(page, session);
    await page.context().close();
    await s.cameraIsOff();
  });

  test('in four tabs shares one camera and one encoder, and a fifth viewer gets busy', async () => {
    const pages = await Promise.all([s.tab(), s.tab(), s.tab(), s.tab()]);
    const sessions = [];
    for (const page of pages) sessions.push((await s.watch(page)).session);
    assert.equal(s.daemon.threads().filter((name) => name === 'video').length, 1);
    const stranger = await Stranger.connect(s.broker, 'cam', 'fifth');
    await stranger.say({ v: 1, type: 'request', session: sessionId(), seq: 0, media: { video: true, audio: true } });
    const refusal = await stranger.reply((m) => m.type === 'error');
    assert.equal(refusal.name, 'busy');
    assert.ok(refusal.retry_after_ms > 0);
    await stranger.close();
    // Two leave: the third continues.
    await leave(pages[0], sessions[0]);
    await leave(pages[1], sessions[1]);
    const before = (await report(pages[2], sessions[2])).frames;
    await until('the third continues', async () => (await report(pages[2], sessions[2])).frames > before + 30);
    for (const page of pages) {
      await page.evaluate(() => window.leaveAll());
      await page.context().close();
    }
    await s.cameraIsOff();
  });

  test('restarts ICE while it watches, and the picture continues', async (t) => {
    const page = await s.tab();
    const { session, seen } = await s.watch(page);
    const described = (r) => r.said.filter((m) => m.type === 'answer').map((m) => m.sdp);
    const part = (sdp, name) => new RegExp(`^a=${name}:(\\S+.*)`, 'm').exec(sdp)[1];
    await page.evaluate((id) => window.restart(id), session);
    const restarted = await until('another pair', async () => {
      const r = await report(page, session);
      return r.pair && r.pair !== seen.pair && r;
    });
    const [old, young] = described(restarted);
    assert.notEqual(part(young, 'ice-ufrag'), part(old, 'ice-ufrag'), 'another generation');
    assert.equal(part(young, 'fingerprint'), part(old, 'fingerprint'), 'of the same connection');
    await until('pictures after it', async () => (await report(page, session)).frames > restarted.frames + 60);
    const after = await report(page, session);
    assert.equal(after.video.ssrc, seen.video.ssrc);
    const ends = after.said.filter((m) => m.type === 'candidates' && m.end).map((m) => m.ufrag);
    assert.deepEqual(
      ends,
      [old, young].map((sdp) => part(sdp, 'ice-ufrag')),
      'each generation has an end of candidates',
    );
    const gap = Math.max(...after.clocks.slice(1).map((c, i) => c.at - after.clocks[i].at));
    t.diagnostic(`the longest pause of the picture was ${Math.round(gap)} ms`);
    assert.ok(gap < 3000, `the picture stood for ${gap} ms`);
    await leave(page, session);
  });
});
