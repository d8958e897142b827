// Commands by the data channel of a session: with the real daemon, a viewer that uses another stack (werift), and the
// viewer component in Chromium. docs/reference/board-commands.md is the contract.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { Broker, Daemon, browser, serve, until, viewerFiles } from './processes.mjs';
import { Viewer } from './werift_viewer.mjs';

const pause = (ms) => new Promise((tick) => setTimeout(tick, ms));
const s = {};

before(async () => {
  s.broker = await Broker.start();
  s.daemon = await Daemon.start(s.broker, { video: { linger_s: 0 }, audio: { linger_s: 0 } });
});
after(async () => {
  await s.daemon?.stop();
  await s.broker?.stop();
});

/**
 * A data channel of werift, and the texts that came by it. `waits`: whether the device is the DTLS client, and so
 * begins SCTP. werift decides that by the role of ICE, and then both sides would begin, or none.
 */
function listen(channel, waits = true) {
  Object.defineProperty(channel.sctp, 'isServer', { configurable: true, get: () => waits });
  const it = { channel, heard: [], number: 0 };
  channel.onMessage.subscribe((data) => it.heard.push(data.toString()));
  it.results = () => it.heard.map((text) => JSON.parse(text));
  it.result = async (id) => {
    await until(`the result of ${id}`, () => it.results().some((one) => one.id === id));
    return it.results().find((one) => one.id === id);
  };
  it.command = (name, args) => {
    const id = (it.number += 1);
    channel.send(JSON.stringify({ id, name, args }));
    return it.result(id);
  };
  it.opened = () => until('the channel is open', () => channel.readyState === 'open');
  it.closed = (ms) => until('the channel is closed', () => channel.readyState === 'closed', ms);
  return it;
}

describe('a viewer with a data channel', () => {
  let viewer, line;

  const moving = async (what = 'picture and sound') => {
    const [pictures, sounds] = [viewer.pictures().length, viewer.sounds().length];
    await viewer.until(what, () => viewer.pictures().length > pictures + 20 && viewer.sounds().length > sounds + 20);
  };
  /** Watches with a channel of this label. */
  async function watch(name, label = 'fanlight') {
    viewer = await Viewer.connect(s.broker, 'cam', name);
    line = listen(viewer.pc.createDataChannel(label));
    await viewer.offer();
    await moving();
  }
  afterEach(async () => {
    await viewer?.close();
    viewer = undefined;
  });

  test('gets the results of its commands, and none by the broker', async () => {
    await watch('anna');
    await line.opened();
    const { ok: devices, ...rest } = await line.command('cameras');
    assert.deepEqual(rest, { id: 1 }, 'there is no envelope');
    assert.deepEqual(devices.cameras, [{ id: 'main', health: 'ok', size: [640, 360] }]);
    const { ok: stats } = await line.command('stats');
    assert.ok(stats.session.bytes > 10_000, JSON.stringify(stats));
    assert.deepEqual((await line.command('keyframe')).ok, {});
    for (const [name, args, expected] of [
      ['privacy.set', { on: true }, 'forbidden'],
      ['privacy.set', { on: 1 }, 'bad_request'],
      ['keyframe', { camera: 'garden' }, 'not_found'],
      ['reboot', {}, 'unknown_command'],
    ]) {
      assert.equal((await line.command(name, args)).error.name, expected, name);
    }
    assert.ok(!viewer.said.some(({ type }) => type === 'result'));
    await moving();
  });

  test('is refused what is no command, and keeps its channel', async () => {
    await watch('anna');
    await line.opened();
    for (const [message, expected] of [
      [Buffer.from('{"id":1,"name":"stats"}'), 'bad_request'],
      ['[]', 'bad_request'],
      [`{"id":1,"name":"stats","args":{"x":"${'x'.repeat(40_000)}"}}`, 'too_large'],
    ]) {
      const before = line.heard.length;
      line.channel.send(message);
      await until('a refusal', () => line.heard.length > before);
      assert.deepEqual([line.results().at(-1).error.name, line.results().at(-1).id], [expected, undefined]);
    }
    assert.ok((await line.command('stats')).ok);
  });

  test('loses the channel by a message that is too long, and keeps the picture', async () => {
    await watch('anna');
    await line.opened();
    line.channel.sctp.setRemoteMaxMessageSize(0); // werift would keep the limit
    line.channel.send('x'.repeat(70_000));
    await line.closed();
    await moving();
    const again = listen(viewer.pc.createDataChannel('fanlight'));
    await again.closed();
    assert.deepEqual(again.heard, []);
    await moving('the session goes on');
  });

  test('has one channel: others are closed, and eight of them end the session', async () => {
    await watch('anna');
    await line.opened();
    const others = ['chat', 'fanlight', ''].map((label) => listen(viewer.pc.createDataChannel(label)));
    for (const other of others) await other.closed();
    assert.ok((await line.command('stats')).ok, 'the channel is the same');
    await moving();
    for (let n = 0; n < 5; n += 1) viewer.pc.createDataChannel(`more ${n}`);
    await viewer.until('the session ends', () => viewer.said.some(({ type }) => type === 'bye'));
    assert.equal(viewer.said.find(({ type }) => type === 'bye').reason, 'flood');
  });

  test('may ask the board to offer it', async () => {
    viewer = await Viewer.connect(s.broker, 'cam', 'anna');
    line = listen(viewer.pc.createDataChannel('fanlight'), false);
    await viewer.request({ video: true, audio: true, commands: true });
    await viewer.until('an offer', () => viewer.said.some(({ type }) => type === 'offer'));
    const { sdp } = viewer.said.find(({ type }) => type === 'offer');
    assert.match(sdp, /m=application 9 UDP\/DTLS\/SCTP webrtc-datachannel/);
    assert.match(sdp, /a=max-message-size:65536/);
    await viewer.until('picture and sound', () => viewer.pictures().length > 20 && viewer.sounds().length > 20);
    await line.opened();
    assert.ok((await line.command('cameras')).ok.cameras);
  });

  test('that does not ask for it gets no m-line', async () => {
    viewer = await Viewer.connect(s.broker, 'cam', 'anna');
    await viewer.offer();
    await moving();
    assert.ok(!viewer.said.some(({ sdp }) => sdp?.includes('m=application')));
  });

  // The last one: werift goes on with what was not sent, in this process, for some seconds.
  test('cannot flood the board: memory stays, the picture goes on, and others notice nothing', async (t) => {
    const other = await Viewer.connect(s.broker, 'cam', 'other');
    const quiet = listen(other.pc.createDataChannel('fanlight'));
    await other.offer();
    await quiet.opened();
    await watch('anna');
    await line.opened();
    const before = s.daemon.memory();
    const message = JSON.stringify({ id: 1, name: 'stats', args: { x: 'x'.repeat(30_000) } });
    for (let n = 0; n < 200; n += 1) {
      try { line.channel.send(message); } catch { break; }
      if (n % 20 === 0) await pause(50);
    }
    await pause(3000);
    const grown = s.daemon.memory() - before;
    const done = line.results().filter(({ ok }) => ok).length;
    t.diagnostic(`the daemon grew by ${grown} KiB; of the flood, ${done} commands were done`);
    assert.ok(grown < 20_000, `${grown} KiB`);
    assert.ok(done <= 60, `${done} commands were done`);
    await moving();
    assert.ok((await quiet.command('stats')).ok, 'the other viewer');
    await other.close();
  });
});

describe('the viewer component', () => {
  let broker, daemon, site, chromium, page;

  before(async () => {
    broker = await Broker.start();
    daemon = await Daemon.start(broker, { keys: [] });
    site = await serve([viewerFiles]);
    chromium = await browser();
    const rights = 'view,listen,control,snapshot';
    const { child, link } = await daemon.pair(`${site.url}/`, broker.url, '--rights', rights);
    page = await (await chromium.newContext()).newPage();
    await page.goto(link);
    await page.locator('#pairing button[type="submit"]').click();
    assert.equal(await child.ended, 0, child.output);
    const isLive = () => document.querySelector('fanlight-viewer')?.state === 'live';
    await page.waitForFunction(isLive, null, { timeout: 60_000 });
  });
  after(async () => {
    await chromium?.close();
    site?.close();
    await daemon?.stop();
    await broker?.stop();
  });

  const command = (name, args) => page.evaluate(
    ([name, args]) => document.querySelector('fanlight-viewer').command(name, args).then(
      (ok) => ({ ok }), (error) => ({ error: error.why }),
    ),
    [name, args],
  );

  test('gets snapshots by the broker', async () => {
    await until('cameras', async () => (await command('cameras')).ok?.cameras?.length === 1);
    const size = await page.evaluate(async () => {
      const jpeg = await document.querySelector('fanlight-viewer').snapshot({ board: true, width: 320 });
      const { width, height } = await createImageBitmap(jpeg);
      return [jpeg.type, width, height];
    });
    assert.deepEqual(size, ['image/jpeg', 320, 180]);
  });

  test('gives commands by the data channel, also those that take time, while the broker is gone', async () => {
    await until('cameras', async () => (await command('cameras')).ok?.cameras?.length === 1);
    await broker.stop();
    const { ok, error } = await command('cameras');
    assert.equal(error, undefined);
    assert.deepEqual(ok.cameras.map(({ id, health }) => [id, health]), [['main', 'ok']]);
    assert.deepEqual(await command('controls.list'), { ok: { controls: [] } });
    assert.equal((await command('controls.get', { names: ['gain'] })).error, 'not_found');
    assert.equal((await command('talk.begin')).error, 'forbidden');
    await broker.up();
  });
});
