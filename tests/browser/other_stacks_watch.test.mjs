// The daemon watched by programs with WebRTC stacks of their own: GStreamer's webrtcbin, aiortc, Pion. Whoever calls,
// picture and sound have to arrive, and the session has to end when the viewer says so.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { Broker, Daemon, until } from './processes.mjs';
import { Program, aiortc, compilePion, pion, webrtcbin } from './viewer_process.mjs';

let broker, daemon, viewer;

before(async () => {
  broker = await Broker.start();
  daemon = await Daemon.start(broker, { video: { linger_s: 0 }, audio: { linger_s: 0 } });
});

after(async () => {
  await daemon?.stop();
  await broker?.stop();
});

afterEach(async () => {
  assert.equal(await viewer?.close() ?? 0, 0, 'the exit status of the viewer');
  viewer = undefined;
  const on = () => daemon.threads().some((name) => name === 'video' || name === 'audio');
  await until('camera and microphone are off', () => !on());
});

const errors = () => viewer.said.filter((m) => m.type === 'error' || m.type === 'bye');

async function call(name, command, options) {
  viewer = await Program.call(broker, name, command, options);
}

async function seesAndHears(kinds = ['video', 'audio']) {
  await viewer.until('pictures and sounds', (v) => kinds.every((kind) => v[kind] >= 30), 30_000);
  assert.deepEqual(errors(), []);
}

async function leaves() {
  const { reason } = await viewer.leave();
  assert.equal(reason, 'bye');
}

describe('webrtcbin', () => {
  for (const calls of ['offer', 'request']) {
    for (const policy of ['max-bundle', 'max-compat']) {
      test(`calling by ${calls} with bundle-policy=${policy}, sees and hears`, async () => {
        await call(`gst-${calls}-${policy}`, webrtcbin(policy), { calls });
        await seesAndHears();
        await leaves();
      });
    }

    // This is what webrtcbin does by itself.
    test(`calling by ${calls} without BUNDLE, is told at once that it is needed`, async () => {
      await call(`gst-${calls}-none`, webrtcbin('none'), { calls });
      await viewer.until('a refusal', (v) => v.said.some((m) => m.type === 'error'));
      const { name, message } = viewer.said.find((m) => m.type === 'error');
      assert.equal(name, 'bad_sdp');
      assert.match(message, /BUNDLE.*max-bundle/);
    });

    for (const kind of ['video', 'audio']) {
      test(`calling by ${calls} without BUNDLE for ${kind} alone, gets it`, async () => {
        await call(`gst-${calls}-${kind}`, webrtcbin('none'), { calls, kinds: [kind] });
        await seesAndHears([kind]);
        await leaves();
      });
    }
  }
});

describe('aiortc', () => {
  for (const calls of ['offer', 'request']) {
    test(`calling by ${calls}, sees and hears`, async () => {
      await call(`aiortc-${calls}`, aiortc(), { calls });
      await seesAndHears();
      assert.deepEqual(viewer.size, [640, 360]);
      const first = await viewer.until('a picture clock', (v) => v.clock);
      await viewer.until('a later picture', (v) => ((v.clock - first) | 0) > 300);
      await viewer.until('the tone', (v) => v.peak > 0.01);
      await leaves();
    });
  }
});

describe('Pion', () => {
  before(compilePion);

  // `lite`: an ICE-lite agent, as media servers are. `passive`: its answer says that it is the DTLS server.
  for (const how of ['offer', 'offer lite', 'request', 'request lite', 'request passive']) {
    test(`calling by ${how}, gets picture and sound`, async () => {
      const [calls, ...options] = how.split(' ');
      await call(['pion', calls, ...options].join('-'), pion(...options), { calls });
      await seesAndHears();
      assert.ok(viewer.keyframes > 0, 'a key frame with its parameter sets');
      assert.equal(viewer.lost, undefined, 'every picture became whole');
      const before = viewer.keyframes;
      viewer.do('keyframe');
      await viewer.until('another key frame', (v) => v.keyframes > before, 5000);
      const answers = () => viewer.said.filter((m) => m.type === 'answer').length;
      const answered = answers();
      viewer.do('restart');
      await viewer.until('an answer to the restart', () => answers() > answered);
      const { video } = viewer;
      await viewer.until('pictures after it', (v) => v.video >= video + 10);
      assert.deepEqual(errors(), []);
      await leaves();
    });
  }
});
