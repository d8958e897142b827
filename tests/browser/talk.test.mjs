// Viewers talk through the board's loudspeaker, which is a file here. Chromium sends the sound, and `jose`, a JOSE
// library of others, signs the messages.
// Alone: it listens to what is played in time.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pages } from './fixture.mjs';
import { JoseViewer } from './jose_viewer.mjs';
import { Broker, Daemon, browser, folder, serve, sessionId, until } from './processes.mjs';

const RATE = 48_000;
const s = {};

before(async () => {
  const dir = folder('speaker');
  s.file = path.join(dir, 'heard.raw');
  const asound = path.join(dir, 'asound.conf');
  fs.writeFileSync(asound, '</usr/share/alsa/alsa.conf>\n' +
    `pcm.room { type file slave.pcm "null" file "${s.file}" format "raw" }\n`);
  process.env.ALSA_CONFIG_PATH = asound;
  s.broker = await Broker.start();
  [s.anna, s.carl, s.bert] = await Promise.all(['Anna', 'Carl', 'Bert'].map((name) => JoseViewer.make(name)));
  const talks = [s.anna, s.carl].map((viewer) => viewer.entry('view,listen,talk'));
  s.daemon = await Daemon.start(s.broker, {
    keys: [...talks, s.bert.entry()],
    log: 'info,fanlight::audio=debug',
    more: '[speaker]\noutput = "room"\nlinger_s = 1\n',
  });
  for (const viewer of [s.anna, s.carl, s.bert]) await viewer.connect(s.broker, 'cam');
  s.site = await serve(pages);
  s.chromium = await browser();
});
after(async () => {
  await s.chromium?.close();
  s.site?.close();
  for (const viewer of [s.anna, s.carl, s.bert]) await viewer?.close();
  await s.daemon?.stop();
  await s.broker?.stop();
});

/** Runs in a page: a connection that sends a tone. `lines`: the directions of its m-lines of sound. Its offer. */
async function prepare({ hz, lines }) {
  const context = new AudioContext();
  const [tone, volume] = [context.createOscillator(), context.createGain()];
  const out = context.createMediaStreamDestination();
  tone.frequency.value = hz;
  volume.gain.value = 0.5;
  tone.connect(volume).connect(out);
  tone.start();
  await context.resume();
  const pc = new RTCPeerConnection();
  pc.addTransceiver('video', { direction: 'recvonly' });
  const [track] = out.stream.getAudioTracks();
  for (const direction of lines) {
    pc.addTransceiver(direction === 'recvonly' ? 'audio' : track, { direction, streams: [out.stream] });
  }
  await pc.setLocalDescription();
  while (pc.iceGatheringState !== 'complete') await new Promise((tick) => setTimeout(tick, 20));
  window.call = { pc, tone };
  return pc.localDescription.sdp;
}

/** A viewer calls, and sends a tone. Returns when it is connected. */
async function call(viewer, hz, lines = ['sendrecv']) {
  const page = await (await s.chromium.newContext()).newPage();
  await page.goto(`${s.site.url}/plain.html`, { waitUntil: 'domcontentloaded' });
  const sdp = await page.evaluate(prepare, { hz, lines });
  const [board, session] = [await viewer.board(), sessionId()];
  await viewer.say({ v: 1, type: 'offer', session, seq: 0, sdp });
  const { body } = await viewer.reply(board, (it) => it.body.session === session && it.body.type !== 'media');
  assert.equal(body.type, 'answer', JSON.stringify(body));
  await page.evaluate((answer) => window.call.pc.setRemoteDescription({ type: 'answer', sdp: answer }), body.sdp);
  const state = () => page.evaluate(() => window.call.pc.connectionState);
  await until('the call is connected', async () => (await state()) === 'connected').catch((error) => {
    throw new Error(`${error.message}\n${s.daemon.child.output.slice(-3000)}`);
  });
  let seq = 0;
  /** Gives a command in the session. Returns its result. */
  const command = async (name, args = {}) => {
    const id = (seq += 1);
    await viewer.say({ v: 1, type: 'command', session, seq, id, name, args });
    const isResult = ({ body: it }) => it.session === session && it.type === 'result' && it.id === id;
    return (await viewer.reply(board, isResult)).body;
  };
  const end = async () => {
    await viewer.say({ v: 1, type: 'bye', session, seq: seq + 1 });
    await page.context().close();
  };
  return { page, answer: body.sdp, command, end };
}

/** The directions of the m-lines of sound in a description. */
const directions = (sdp) => sdp.split(/^m=/m).filter((line) => line.startsWith('audio'))
  .map((line) => /^a=(sendrecv|sendonly|recvonly|inactive)/m.exec(line)[1]);

/** What the loudspeaker played, with full scale 1. */
function heard() {
  const bytes = fs.readFileSync(s.file);
  return new Int16Array(bytes.buffer, bytes.byteOffset, bytes.length >> 1);
}

/** The amplitude of a tone in a piece, with full scale 1 (Goertzel). */
function amplitude(samples, hz) {
  let [re, im] = [0, 0];
  samples.forEach((sample, n) => {
    const phase = (2 * Math.PI * hz * n) / RATE;
    re += sample * Math.cos(phase);
    im += sample * Math.sin(phase);
  });
  return (2 * Math.hypot(re, im)) / samples.length / 32768;
}

/** For each 100 ms: the tone of `tones` that is heard, or 0. */
function tones(samples, tones_) {
  const found = [];
  for (let at = 0; at + 4800 <= samples.length; at += 4800) {
    const piece = samples.subarray(at, at + 4800);
    const [best, strength] = tones_.map((hz) => [hz, amplitude(piece, hz)]).sort((a, b) => b[1] - a[1])[0];
    found.push(strength > 0.1 ? best : 0);
  }
  return found;
}

const seconds = (n) => new Promise((done) => setTimeout(done, n * 1000));

/** The loudspeaker is closed: everything is in the file. */
const closed = (times) => until('the speaker is closed', () =>
  s.daemon.child.output.split('packets of talkers').length > times, 30_000);

describe('the loudspeaker', () => {
  test('plays who talks, one at a time, and nobody without the right', async () => {
    const anna = await call(s.anna, 440);
    assert.deepEqual(directions(anna.answer), ['sendrecv']);
    const bert = await call(s.bert, 1500);
    assert.deepEqual(directions(bert.answer), ['sendonly'], 'it may not talk');
    const carl = await call(s.carl, 700);
    assert.deepEqual(directions(carl.answer), ['sendrecv']);
    await seconds(2);
    // Anna changes her tone: the time from there to the loudspeaker is the delay.
    const changed = await anna.page.evaluate(() => {
      window.call.tone.frequency.value = 1100;
      return Date.now();
    });
    await seconds(2);
    const stats = await anna.page.evaluate(async () => {
      const all = [...(await window.call.pc.getStats()).values()];
      const sent = all.find((it) => it.type === 'outbound-rtp' && it.kind === 'audio');
      return { sent, reported: all.find((it) => it.type === 'remote-inbound-rtp' && it.kind === 'audio') };
    });
    assert.ok(stats.reported, 'receiver reports come');
    assert.ok(stats.reported.packetsLost === 0 && stats.reported.roundTripTime < 1, JSON.stringify(stats.reported));
    await anna.end();
    await seconds(2);
    await carl.end();
    await bert.end();
    await closed(1);

    const samples = heard();
    const played = tones(samples, [440, 700, 1100, 1500]);
    const order = played.filter((hz) => hz > 0).filter((hz, n, all) => hz !== all[n - 1]);
    assert.deepEqual(order, [440, 1100, 700], `${played}`);
    const count = (hz) => played.filter((it) => it === hz).length;
    assert.ok(count(440) > 15 && count(1100) > 15 && count(700) > 12, `${played}`);
    // A loud tone without gaps. A busy machine may keep the daemon waiting for longer than the speaker has sound.
    const within = played.slice(played.indexOf(440), played.lastIndexOf(1100));
    assert.ok(within.filter((hz) => hz === 0).length <= within.length / 10, `${played}`);
    const strengths = played.flatMap((hz, n) =>
      (hz === 440 ? [amplitude(samples.subarray(4800 * n, 4800 * (n + 1)), 440)] : [])).sort((a, b) => a - b);
    const middle = strengths[strengths.length >> 1];
    assert.ok(Math.abs(middle - 0.5) < 0.15, `${middle}`);
    for (let at = 0; at + RATE <= samples.length; at += RATE) {
      assert.ok(amplitude(samples.subarray(at, at + RATE), 1500) < 0.01, 'who has no right is not heard');
    }

    // The first sample of the file was played as the speaker was opened.
    const opened = Date.parse(/(\S+Z)\s+INFO.*audio: speaker room/.exec(s.daemon.child.output)[1]);
    let at = 0;
    for (; amplitude(samples.subarray(at, at + 480), 1100) < 0.25; at += 48);
    const delay = opened + ((at + 240) / RATE) * 1000 - changed;
    console.log(`from the page to the loudspeaker: ${delay.toFixed(0)} ms`);
    assert.ok(delay > 0 && delay < 500, `${delay} ms`);
    const [, late, lost] = /(\d+) late, (\d+) lost/.exec(s.daemon.child.output).map(Number);
    assert.ok(late + lost < 20, s.daemon.child.output.slice(-500));
  });

  test('is open only while somebody talks', async () => {
    assert.ok(!s.daemon.threads().includes('speaker'));
    const bert = await call(s.bert, 1500);
    await seconds(1);
    assert.ok(!s.daemon.threads().includes('speaker'), 'who may not talk does not open it');
    await bert.end();
  });

  test('plays an m-line that only sends', async () => {
    const anna = await call(s.anna, 440, ['recvonly', 'sendonly']);
    assert.deepEqual(directions(anna.answer), ['sendonly', 'recvonly']);
    await until('the speaker is open', () => s.daemon.threads().includes('speaker'));
    await seconds(2);
    await anna.end();
    await closed(2);
    const played = tones(heard(), [440, 700]);
    assert.ok(played.filter((hz) => hz === 440).length > 15, `${played}`);
  });

  test('viewers ask for the turn by commands, and learn who has it', async () => {
    const anna = await call(s.anna, 440);
    const carl = await call(s.carl, 700);
    const bert = await call(s.bert, 1500);
    assert.equal((await bert.command('talk.begin')).error.name, 'forbidden');
    assert.deepEqual((await anna.command('talk.begin')).ok, { silence_s: 15 });
    const { error } = await carl.command('talk.begin');
    assert.deepEqual([error.name, error.talker.name], ['busy', 'Anna']);
    assert.equal((await carl.command('talk.begin', { take: true })).error.name, 'forbidden', 'that needs control');
    assert.deepEqual((await anna.command('talk.end')).ok, {});
    assert.deepEqual((await carl.command('talk.begin')).ok, { silence_s: 15 });
    assert.equal((await anna.command('talk.begin')).error.talker.name, 'Carl');
    assert.notEqual((await bert.command('cameras')).ok.speaker, 'absent');
    await seconds(1);
    for (const viewer of [anna, carl, bert]) await viewer.end();
    await closed(3);
    const played = tones(heard(), [440, 700, 1500]);
    assert.ok(played.includes(700) && !played.includes(1500), `${played}`);
  });
});
