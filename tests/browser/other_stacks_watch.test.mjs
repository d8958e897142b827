// Programs with other WebRTC stacks watch the daemon: GStreamer's webrtcbin, aiortc, Pion. In both calling directions,
// picture and sound arrive, and the session ends when the viewer says bye.

import assert from 'node:assert/strict';
import { afterEach, before, describe, test } from 'node:test';
import { daemonFixture } from './fixture.mjs';
import { Program, aiortc, compilePion, pion, webrtcbin } from './viewer_process.mjs';

const s = daemonFixture({ video: { linger_s: 0 }, audio: { linger_s: 0 } });
let viewer;

afterEach(async () => {
  assert.equal(await viewer?.close() ?? 0, 0, 'the exit status of the viewer');
  viewer = undefined;
  await s.cameraIsOff();
});

const errors = () => viewer.said.filter((m) => m.type === 'error' || m.type === 'bye');

async function call(name, command, options) {
  viewer = await Program.call(s.broker, name, command, options);
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
      test(`sees and hears when it calls by ${calls} with bundle-policy=${policy}`, async () => {
        await call(`gst-${calls}-${policy}`, webrtcbin(policy), { calls });
        await seesAndHears();
        await leaves();
      });
    }

    // webrtcbin does this by default.
    test(`is refused at once, with the reason, when it calls by ${calls} without BUNDLE`, async () => {
      await call(`gst-${calls}-none`, webrtcbin('none'), { calls });
      await viewer.until('a refusal', (v) => v.said.some((m) => m.type === 'error'));
      const { name, message } = viewer.said.find((m) => m.type === 'error');
      assert.equal(name, 'bad_sdp');
      assert.match(message, /BUNDLE.*max-bundle/);
    });

    for (const kind of ['video', 'audio']) {
      test(`gets ${kind} alone when it calls by ${calls} without BUNDLE`, async () => {
        await call(`gst-${calls}-${kind}`, webrtcbin('none'), { calls, kinds: [kind] });
        await seesAndHears([kind]);
        await leaves();
      });
    }
  }
});

describe('aiortc', () => {
  for (const calls of ['offer', 'request']) {
    test(`sees and hears when it calls by ${calls}`, async () => {
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
    test(`gets picture and sound when it calls by ${how}`, async () => {
      const [calls, ...options] = how.split(' ');
      await call(['pion', calls, ...options].join('-'), pion(...options), { calls });
      await seesAndHears();
      assert.ok(viewer.keyframes > 0, 'a keyframe with its parameter sets');
      assert.equal(viewer.lost, undefined, 'every picture became whole');
      const before = viewer.keyframes;
      viewer.do('keyframe');
      await viewer.until('another keyframe', (v) => v.keyframes > before, 5000);
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
