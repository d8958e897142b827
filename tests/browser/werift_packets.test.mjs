// werift, a WebRTC stack in JavaScript, watches the daemon, and the tests check each packet. werift cannot restart ICE,
// because it does not send its candidates again; chromium_watches.test.mjs tests that.

import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { daemonFixture } from './fixture.mjs';
import { host } from './processes.mjs';
import { Viewer, units } from './werift_viewer.mjs';

const s = daemonFixture({ video: { linger_s: 0 }, audio: { linger_s: 0 } });
let viewer;

afterEach(() => viewer?.close());

const [SPS, PPS, IDR] = [7, 8, 5];
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];
const steps = (list, wrap) => list.slice(1).map((value, i) => (value - list[i] + wrap) % wrap);
const timestamps = (packets) => packets.map((p) => p.timestamp).filter((t, i, all) => t !== all[i - 1]);

async function watched(calls) {
  viewer = await Viewer.connect(s.broker, 'cam', `werift-${calls}`);
  await viewer[calls]();
  await viewer.until(
    '3 s of picture and sound',
    () => timestamps(viewer.pictures()).length > 90 && viewer.sounds().length > 150,
  );
  return viewer;
}

/** What holds of every session's packets, whoever called. */
function content({ pictures, sounds }) {
  // The first picture can be decoded: parameter sets, then an IDR, in one piece.
  const first = pictures.filter((p) => p.timestamp === pictures[0].timestamp);
  assert.deepEqual(first.flatMap((p) => units(p.payload)), [SPS, PPS, IDR]);
  // One marker a picture, on its last packet.
  const ends = pictures.slice(0, -1).map((p, i) => p.timestamp !== pictures[i + 1].timestamp);
  assert.deepEqual(pictures.slice(0, -1).map((p) => p.marker), ends);
  for (const packets of [pictures, sounds]) {
    assert.ok(steps(packets.map((p) => p.sequence), 2 ** 16).every((step) => step === 1), 'no packet is missing');
    assert.equal(new Set(packets.map((p) => p.ssrc)).size, 1);
  }
  // Time is the time of capture: 30 pictures a second, 20 ms of sound. A machine that is busy draws and reads late, and
  // leaves some out; the time says so.
  const picture = steps(timestamps(pictures), 2 ** 32), sound = steps(sounds.map((p) => p.timestamp), 2 ** 32);
  assert.ok(Math.abs(median(picture) - 3000) < 100, `steps of the picture: ${picture}`);
  assert.ok(picture.every((step) => step > 0 && step < 90_000), `steps of the picture: ${picture}`);
  assert.equal(median(sound), 960);
  assert.ok(sound.every((step) => step >= 960 && step < 48_000), `steps of the sound: ${sound}`);
  assert.ok(sound.filter((step) => step === 960).length > 0.9 * sound.length, `steps of the sound: ${sound}`);
  assert.ok(sounds.every((p) => !p.marker && p.payload.length > 2 && p.payload.length < 400));
}

/** Sender reports count what was sent, and relate RTP time to one wall clock for both streams. */
function reported({ reports, pictures, sounds }) {
  for (const [packets, rate] of [[pictures, 90_000], [sounds, 48_000]]) {
    const own = reports.filter((r) => r.ssrc === packets[0].ssrc);
    assert.ok(own.length >= 3, `${own.length} reports in 3 s`);
    for (const r of own) {
      assert.deepEqual([r.packets, r.octets], [r.received, r.receivedOctets], 'what was sent has arrived');
      assert.ok(Math.abs(r.unix - r.now) < 1, `the report's clock is ${r.unix - r.now} s off`);
    }
    for (const [i, r] of own.slice(1).entries()) {
      const [wall, media] = [r.unix - own[i].unix, ((r.rtp - own[i].rtp) >>> 0) / rate];
      assert.ok(Math.abs(wall - media) < 0.005, `${wall} s by the wall clock, ${media} s by RTP time`);
    }
    // The newest packet was captured a moment before its report went out.
    const before = packets.filter((p, n) => n < own.at(-1).received).at(-1);
    const age = ((own.at(-1).rtp - before.timestamp) | 0) / rate;
    assert.ok(age >= 0 && age < 1, `at the time of the report the newest packet was ${age} s old`);
  }
}

/** Candidates came one by one, in both directions, and both sides said when there were no more. */
function trickled({ said, sent }) {
  const own = /a=ice-ufrag:(\S+)/.exec(said.filter((m) => m.sdp).at(-1).sdp)[1];
  const theirs = said.filter((m) => m.type === 'candidates');
  // What the device knows at once may be in its description.
  const lines = said.flatMap((m) => m.sdp?.match(/^a=candidate:.*$/gm) ?? m.candidates?.map((c) => c.candidate) ?? []);
  assert.ok(lines.some((line) => line.includes(` ${host} `)), `its candidates: ${lines}`);
  assert.ok(theirs.every((m) => m.ufrag === own));
  assert.equal(theirs.filter((m) => m.end).length, 1, 'the device says once that there are no more');
  assert.equal(sent.filter((m) => m.type === 'candidates' && m.end).length, 1);
  assert.ok(sent.filter((m) => m.type === 'candidates').length > 1);
  assert.ok(!said.some((m) => m.type === 'error'), JSON.stringify(said.filter((m) => m.type === 'error')));
  said.forEach((m, i) => assert.equal(m.seq, i, 'the device numbers what it says'));
}

describe('werift', () => {
  for (const calls of ['offer', 'request']) {
    test(`receives correct RTP packets when it calls by ${calls}`, async () => {
      await watched(calls);
      const all = { ...viewer, pictures: viewer.pictures(), sounds: viewer.sounds() };
      content(all);
      reported(all);
      trickled(all);
      assert.equal(viewer.resent.length, 0, 'nothing was lost, nothing is sent again');
    });
  }

  test('gets lost packets again by RTX when it requests them', async () => {
    await watched('offer');
    const [track] = viewer.receiver('video').tracks;
    const seen = new Set();
    track.onReceiveRtp.subscribe((packet) => seen.add(packet.header.sequenceNumber));
    viewer.lose = 5;
    await viewer.until('5 packets are lost', () => viewer.lost.length === 5);
    await viewer.until('all of them are there after all', () => viewer.lost.every((p) => seen.has(p.sequence)));
    for (const lost of viewer.lost) {
      const again = viewer.resent.filter((p) => p.sequence === lost.sequence);
      assert.ok(again.length >= 1);
      assert.notEqual(again[0].ssrc, lost.ssrc, 'on a stream of their own');
      assert.deepEqual([again[0].timestamp, again[0].marker], [lost.timestamp, lost.marker]);
      assert.ok(again[0].payload.equals(lost.payload), 'word for word');
    }
  });

  test('gets no keyframe by requests that are not authentic', async () => {
    await watched('offer');
    const keys = () => viewer.pictures().filter((p) => units(p.payload).includes(IDR));
    await viewer.until('2 s without a keyframe', () => performance.now() - keys().at(-1).at > 2000);
    const before = keys().length;
    const { connection } = viewer.pc.iceTransports[0];
    const { ssrc } = viewer.pictures()[0];
    // The viewer's own address, the right stream, and a tag that is none; and the request without any encryption.
    const request = Buffer.from([0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0]);
    request.writeUInt32BE(ssrc, 8);
    const forged = Buffer.concat([request, Buffer.from([0x80, 0, 0, 1]), Buffer.alloc(10, 7)]);
    const from = viewer.pictures().length;
    for (let n = 0; n < 50; n++) {
      forged.writeUInt32BE(0x80000000 + n, request.length);
      await connection.send(n % 2 ? forged : request);
    }
    // An answer would come within half a second.
    await viewer.until('40 more pictures', () => timestamps(viewer.pictures().slice(from)).length > 40);
    assert.equal(keys().length, before);
    await viewer.receiver('video').sendRtcpPLI(ssrc);
    await viewer.until('a keyframe for a real request', () => keys().length > before, 2000);
  });

  test('gets a keyframe when it requests one', async () => {
    await watched('offer');
    const keys = () => viewer.pictures().filter((p) => units(p.payload).includes(IDR));
    const alone = () => performance.now() - keys().at(-1).at;
    await viewer.until('2 s without a keyframe', () => alone() > 2000);
    const before = keys().length;
    const asked = performance.now();
    await viewer.receiver('video').sendRtcpPLI(viewer.pictures()[0].ssrc);
    await viewer.until('another keyframe', () => keys().length > before, 2000);
    assert.ok(keys().at(-1).at - asked < 500, `after ${keys().at(-1).at - asked} ms`);
    const picture = viewer.pictures().filter((p) => p.timestamp === keys().at(-1).timestamp);
    assert.deepEqual(picture.flatMap((p) => units(p.payload)), [SPS, PPS, IDR]);
  });
});
