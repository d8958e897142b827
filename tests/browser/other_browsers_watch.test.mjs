// Browsers whose SDP differs from Chromium's watch the daemon: Firefox, and a Chromium without H.264. In both calling
// directions, picture and sound arrive, or the daemon refuses at once what cannot work.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Firefox, withH264 } from './firefox.mjs';
import { leave, pages, report, fixture } from './fixture.mjs';
import { Daemon, Stranger, serve, sessionId, until } from './processes.mjs';

const s = fixture();
const errors = (said) => said.filter((m) => m.type === 'error' || m.type === 'bye');

describe('Firefox', () => {
  let site;
  before(async () => { site = await serve(pages); });
  after(() => site?.close());

  async function watching(firefox, viewer, options) {
    const page = await firefox.open(`${site.url}/plain.html`);
    await until('the page is ready', () => page.run('Boolean(window.connect && window.mqtt)'));
    await page.run(`window.connect(${JSON.stringify({ broker: s.broker.url, device: 'cam', viewer })})`);
    const session = await page.run(`window.watch(${JSON.stringify(options)})`);
    return { page, session };
  }

  describe('with H.264', () => {
    let firefox;
    before(async () => { firefox = await Firefox.launch(withH264); });
    after(() => firefox?.close());

    for (const calls of ['offer', 'request']) {
      test(`sees and hears when it calls by ${calls}`, async () => {
        const { page, session } = await watching(firefox, `firefox-${calls}`, { calls });
        const seen = () => page.run(`window.report(${JSON.stringify(session)})`);
        // Firefox gives all frames of a stream one media time: they are counted as they are decoded.
        const r = await until('pictures and sound', async () => {
          const now = await seen();
          return now.video?.framesDecoded > 60 && now.audio?.packetsReceived > 100 && now;
        }, 30_000).catch(async (error) => {
          throw new Error(`${error.message}\n${JSON.stringify(await seen())}\n${s.daemon.child.output.slice(-2000)}`);
        });
        assert.deepEqual([r.width, r.height], [640, 360]);
        const clock = () => page.run(`window.clock(${JSON.stringify(session)})`);
        const first = await until('a picture clock', clock);
        await until('a later picture', async () => (((await clock()) - first) | 0) > 300);
        assert.ok(r.audio.totalAudioEnergy > 0.01, `the tone is heard: ${JSON.stringify(r.audio)}`);
        assert.deepEqual(errors(r.said), []);
        await page.run(`window.leave(${JSON.stringify(session)})`);
        await page.close();
        await s.cameraIsOff();
      });
    }
  });

  describe('without H.264, as in Debian', () => {
    let firefox;
    before(async () => { firefox = await Firefox.launch(); });
    after(() => firefox?.close());

    for (const calls of ['offer', 'request']) {
      test(`gets the sound, and learns that it gets no picture, when it calls by ${calls}`, async () => {
        const { page, session } = await watching(firefox, `silent-${calls}`, { calls });
        const r = await until('sound', async () => {
          const now = await page.run(`window.report(${JSON.stringify(session)})`);
          return now.audio?.packetsReceived > 50 && now;
        }, 30_000);
        assert.equal(r.said.findLast((m) => m.type === 'media').video, 'refused');
        assert.deepEqual(errors(r.said), []);
        await page.run(`window.leave(${JSON.stringify(session)})`);
        await page.close();
      });

      test(`is refused at once when it calls by ${calls} for the picture alone`, async () => {
        const { page, session } = await watching(firefox, `blind-${calls}`, { calls, audio: false });
        const r = await until('a refusal', async () => {
          const now = await page.run(`window.report(${JSON.stringify(session)})`);
          return now.said.some((m) => m.type === 'error') && now;
        });
        assert.equal(r.said.find((m) => m.type === 'error').name, 'no_common_codec');
        await page.close();
      });
    }
  });
});

describe('Chromium without H.264', () => {
  for (const calls of ['offer', 'request']) {
    test(`gets the sound, and learns that it gets no picture, when it calls by ${calls}`, async () => {
      const page = await s.tab();
      const session = await page.evaluate((o) => window.watch(o), { calls, without: 'H264' });
      const r = await until('sound', async () => {
        const now = await report(page, session);
        return now.audio?.packetsReceived > 50 && now;
      }).catch(async (error) => {
        throw new Error(`${error.message}\n${JSON.stringify((await report(page, session)).said)}`);
      });
      assert.equal(r.said.findLast((m) => m.type === 'media').video, 'refused');
      assert.deepEqual(errors(r.said), []);
      await leave(page, session);
    });
  }
});

test('a daemon without free file descriptors refuses new viewers and keeps the others', async () => {
  const settings = {
    device: 'scarce',
    limits: { viewers: 64, setups: 64, sessions_per_viewer: 64, messages_per_second: 1000 },
    place: { enter: ['prlimit', '--nofile=48:48'] },
  };
  const daemon = await Daemon.start(s.broker, settings);
  const stranger = await Stranger.connect(s.broker, 'scarce', 'many');
  const sessions = Array.from({ length: 60 }, sessionId);
  for (const session of sessions) {
    await stranger.say({ v: 1, type: 'request', session, seq: 0, media: { video: false, audio: true } });
  }
  const first = (session) =>
    stranger.replies().find((m) => m.session === session && (m.type === 'offer' || m.type === 'error'));
  await until('each is answered', () => sessions.every(first));
  const names = sessions.map((session) => first(session)).filter((m) => m.type === 'error').map((m) => m.name);
  assert.ok(names.length > 0 && names.length < sessions.length, `${names.length} of ${sessions.length} were refused`);
  assert.deepEqual([...new Set(names)], ['out_of_resources']);
  await stranger.close();
  await daemon.stop();
});
