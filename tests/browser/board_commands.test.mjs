// Commands to the board, and the privacy switch: with the real daemon, a real broker, and viewers that are written with
// other libraries. docs/reference/board-commands.md is the contract.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { JoseViewer } from './jose_viewer.mjs';
import { Broker, Daemon, until } from './processes.mjs';
import { Viewer } from './werift_viewer.mjs';

const pause = (ms) => new Promise((tick) => setTimeout(tick, ms));
const atOnce = { video: { linger_s: 0 }, audio: { linger_s: 0 } };
let broker;

before(async () => {
  broker = await Broker.start();
});
after(() => broker?.stop());

async function owner(daemon, ...words) {
  const command = daemon.command('privacy', ...words);
  assert.equal(await command.ended, 0, command.output);
  return command.output;
}

/** Packets of picture and sound, also those that are sent again, that came after this time. */
const later = ({ packets, resent }, at) => [...packets, ...resent].filter((packet) => packet.at > at).length;

const isOn = (daemon) => daemon.threads().some((name) => name === 'video' || name === 'audio');

describe('in the mode broker, in a running session', () => {
  let daemon, viewer, number = 0;

  before(async () => {
    // Any table [access] gives the daemon its folders.
    const access = { mode: 'broker', the_broker_can_watch: true };
    daemon = await Daemon.start(broker, { device: 'plain', access, ...atOnce });
    viewer = await Viewer.connect(broker, 'plain', 'anna');
    await viewer.offer();
    await moving('picture and sound');
  });
  after(async () => {
    await viewer?.close();
    await daemon?.stop();
  });

  /** Waits for new pictures and sounds. */
  async function moving(what) {
    const [pictures, sounds] = [viewer.pictures().length, viewer.sounds().length];
    await viewer.until(what, () => viewer.pictures().length > pictures + 20 && viewer.sounds().length > sounds + 20);
  }

  /** Gives a command, and returns its result. */
  async function command(name, args) {
    const id = (number += 1);
    viewer.say('command', { id, name, args });
    const result = () => viewer.said.find((it) => it.type === 'result' && it.id === id);
    await viewer.until(`the result of ${name}`, result);
    return result();
  }

  /** The newest condition of picture and sound in the session. */
  const media = () => {
    const { video, audio } = viewer.said.filter((it) => it.type === 'media').at(-1);
    return `${video} ${audio}`;
  };

  test('cameras and stats say how the board is', async () => {
    const { ok: devices, seq } = await command('cameras');
    assert.ok(Number.isInteger(seq), 'the result is in the order of the session');
    assert.deepEqual(devices.cameras, [{ id: 'main', health: 'ok', size: [640, 360] }]);
    assert.deepEqual([devices.microphone, devices.speaker], ['ok', 'absent']);
    assert.deepEqual(devices.privacy, { on: false, change: 0, by: 'nobody' });
    let stats;
    await until('figures of a whole second', async () => {
      await pause(500);
      stats = (await command('stats')).ok;
      return stats.video.frames_per_s > 10 && stats.audio.frames_per_s > 30;
    });
    assert.equal(stats.viewers, 1);
    assert.ok(stats.video.bitrate_bps > 10_000 && stats.session.bytes > 10_000, JSON.stringify(stats));
    assert.match(stats.session.route, /^host-(host|prflx) udp$/);
  });

  test('the command keyframe brings one', async () => {
    const keys = () => viewer.pictures().filter(({ payload }) => (payload[0] & 31) === 24);
    const age = () => (viewer.pictures().at(-1).timestamp - keys().at(-1).timestamp + 2 ** 32) % 2 ** 32;
    await viewer.until('a second without a keyframe', () => keys().length > 0 && age() > 90_000);
    const before = keys().length;
    assert.deepEqual((await command('keyframe')).ok, {});
    await viewer.until('a keyframe', () => keys().length > before, 3000);
  });

  test('what is wrong or not permitted is refused by name', async () => {
    for (const [name, args, expected] of [
      ['privacy.set', { on: true }, 'forbidden'],
      ['privacy.set', { on: 1 }, 'bad_request'],
      ['keyframe', { camera: 'garden' }, 'not_found'],
      ['snapshot', {}, 'forbidden'],
      ['controls.list', {}, 'forbidden'],
      ['talk.begin', {}, 'forbidden'],
      ['reboot', {}, 'unknown_command'],
    ]) {
      assert.equal((await command(name, args)).error.name, expected, name);
    }
    await moving('picture and sound go on');
  });

  test('the privacy switch stops every packet within 200 ms, and the session stays', async (t) => {
    assert.match(await owner(daemon), /privacy is off; the switch was never used/);
    const [{ length: already }, asked] = [viewer.packets, performance.now()];
    assert.match(await owner(daemon, 'on'), /privacy is on: .* by the owner/);
    const set = performance.now();
    await viewer.until('the session says so', () => media() === 'privacy privacy');
    await until('camera and microphone are closed', () => !isOn(daemon));
    await pause(3000);
    const last = viewer.packets.at(-1).at;
    const [took, more] = [Math.round(set - asked), viewer.packets.length - already];
    t.diagnostic(`the command took ${took} ms; the last of ${more} more packets came ${Math.round(last - asked)} ms ` +
      'after it began');
    assert.equal(later(viewer, set + 200), 0, 'packets more than 200 ms after the switch was set');
    const status = await viewer.line.status((it) => it.media?.video === 'privacy');
    assert.deepEqual([status.media, status.viewers], [{ video: 'privacy', audio: 'privacy' }, 1]);
    const { ok } = await command('cameras');
    assert.deepEqual([ok.cameras, ok.microphone], [[{ id: 'main', health: 'privacy' }], 'privacy']);
    assert.deepEqual([ok.privacy.on, ok.privacy.change, ok.privacy.by], [true, 1, 'owner']);
  });

  test('the same session gets picture and sound when it is lifted', async () => {
    assert.match(await owner(daemon, 'off'), /privacy is off/);
    await moving('picture and sound are back');
    await viewer.until('the session says so', () => media() === 'ok ok');
    await daemon.child.said('the owner lifted the privacy switch', 5000);
  });

  test('it survives a restart, and a session that begins meanwhile waits', async () => {
    await until('a second lift is possible later', async () => (await daemon.command('privacy', 'on').ended) === 0);
    await daemon.stop();
    await viewer.close();
    daemon.up();
    await daemon.child.said('the privacy switch is on since an earlier start');
    await daemon.child.said('connected by MQTT');
    viewer = await Viewer.connect(broker, 'plain', 'anna');
    const status = await viewer.line.status((it) => it.media?.video === 'privacy');
    assert.equal(status.media.audio, 'privacy');
    await viewer.offer();
    await viewer.until('a route', () => viewer.said.some((it) => it.type === 'media' && it.route));
    await pause(1500);
    assert.deepEqual([viewer.packets.length, media(), isOn(daemon)], [0, 'privacy privacy', false]);
    assert.match(await owner(daemon), /set before the daemon started, by the owner/);
    await owner(daemon, 'off');
    await moving('picture and sound');
  });
});

describe('in the mode keys, outside of a session', () => {
  let daemon, anna, bert, carol;

  before(async () => {
    [anna, bert, carol] = await Promise.all(['Anna', 'Bert', 'Carol'].map((name) => JoseViewer.make(name)));
    const keys = [anna.entry('control'), bert.entry(), carol.entry('snapshot,control')];
    daemon = await Daemon.start(broker, { device: 'sealed', keys, ...atOnce });
    for (const viewer of [anna, bert, carol]) await viewer.connect(broker, 'sealed');
  });
  after(async () => {
    for (const viewer of [anna, bert, carol]) await viewer?.close();
    await daemon?.stop();
  });

  test('a viewer with the right sets the switch, and lifts the change that it saw', async () => {
    const { ok, session, seq } = await anna.command('privacy.set', { on: true });
    assert.deepEqual([ok.privacy.on, ok.privacy.change, ok.privacy.by, ok.privacy.name], [true, 1, 'viewer', 'Anna']);
    assert.ok(session && seq === undefined, 'the result has the session of the command, and no place in an order');
    assert.equal((await bert.command('privacy.set', { on: false, change: 1 })).error.name, 'forbidden');
    assert.equal((await anna.command('privacy.set', { on: false, change: 0 })).error.name, 'conflict');
    assert.equal((await bert.command('cameras')).ok.privacy.name, 'Anna');
    assert.equal((await bert.hello()).status.media.video, 'privacy');
    assert.equal((await anna.command('privacy.set', { on: false, change: 1 })).ok.privacy.on, false);
    await daemon.child.said('"Anna", stopped camera and microphone for privacy');
    await daemon.child.said('"Anna", lifted the privacy switch');
    assert.equal((await anna.hello()).status.viewers, 0, 'no session began');
  });

  test('a command that needs a session says so, and figures of the board need none', async () => {
    assert.equal((await bert.command('keyframe')).error.name, 'no_session');
    const { ok } = await bert.command('stats');
    assert.deepEqual([ok.viewers, ok.session], [0, undefined]);
  });

  test('a snapshot comes in sealed parts, and the camera is on only for it', async () => {
    assert.equal((await bert.command('snapshot')).error.name, 'forbidden');
    assert.ok(!isOn(daemon));
    const { ok, session } = await carol.command('snapshot', { width: 320 });
    assert.deepEqual([ok.camera, ok.width, ok.height], ['main', 320, 180]);
    let parts;
    await until('all parts', async () => {
      const replies = await carol.replies(await carol.board());
      parts = replies.map(({ body }) => body).filter((body) => body.session === session && body.type === 'part');
      return parts.length === ok.parts;
    });
    assert.deepEqual(parts.map(({ part }) => part), parts.map((_, n) => n));
    const jpeg = Buffer.concat(parts.map(({ data }) => Buffer.from(data, 'base64url')));
    assert.equal(jpeg.length, ok.bytes);
    assert.deepEqual([jpeg.readUInt16BE(0), jpeg.readUInt16BE(jpeg.length - 2)], [0xffd8, 0xffd9], 'a JPEG');
    await until('the camera is off again', () => !isOn(daemon));
    await daemon.child.said('"Carol", took a snapshot');
  });

  test('a source without controls says so', async () => {
    assert.deepEqual((await carol.command('controls.list')).ok, { controls: [] });
    assert.equal((await carol.command('controls.get', { names: ['gain'] })).error.name, 'not_found');
    assert.equal((await carol.command('controls.set', { values: { gain: 1 } })).error.name, 'not_found');
    assert.equal((await carol.command('talk.begin')).error.name, 'forbidden');
  });

  test('a command that comes again is ignored', async () => {
    const { message, session } = await bert.command('cameras');
    const answers = async () =>
      (await bert.replies(await bert.board())).filter(({ body }) => body.session === session).length;
    const before = await answers();
    await bert.wire.say(message);
    const { session: next } = await bert.command('cameras');
    assert.notEqual(next, session);
    assert.equal(await answers(), before);
  });

  test('commands that stand alone are few, and one that stops the camera is always done', async () => {
    let refused = 0;
    for (let n = 0; n < 12; n += 1) {
      const { error } = await anna.command('stats');
      refused += Number(error?.name === 'rate_limited');
    }
    assert.ok(refused > 0, 'twelve at once');
    const { ok } = await anna.command('privacy.set', { on: true });
    assert.equal(ok.privacy.on, true);
  });
});
