// A session ends when its viewer is killed or the daemon stops. It continues when the broker restarts.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KillableBrowser } from './killable_browser.mjs';
import { leave, open, report, fixture } from './fixture.mjs';
import { Stranger, until } from './processes.mjs';

const s = fixture();

test('the session of a killed viewer ends within 35 s, and then the camera closes', async () => {
  const own = await KillableBrowser.start();
  const page = await open(own, s.site, s.broker, 'victim');
  await s.watch(page);
  // Receives the replies to the killed viewer.
  const stranger = await Stranger.connect(s.broker, 'cam', 'victim');
  await stranger.status((status) => status.viewers === 1);
  const killed = performance.now();
  own.kill();
  const end = await until(
    'the session ends',
    () => /viewer victim: ended after [\d.]+ s: (\w+);/.exec(s.daemon.child.output),
    40_000,
  );
  assert.ok(performance.now() - killed < 35_000, `after ${performance.now() - killed} ms`);
  assert.match(end[1], /^(consent_lost|ice_failed)$/);
  const error = await stranger.reply((m) => m.type === 'error');
  assert.deepEqual([error.code, error.name], [488, end[1]]);
  assert.equal((await stranger.reply((m) => m.type === 'bye')).reason, end[1]);
  await stranger.status((status) => status.viewers === 0);
  await s.cameraIsOff(10_000);
  await stranger.close();
});

test('the picture continues while the broker is down, and after its return', async () => {
  const page = await s.tab();
  const { session } = await s.watch(page);
  await s.broker.stop();
  const before = (await report(page, session)).frames;
  await until('pictures without a broker', async () => (await report(page, session)).frames > before + 60);
  await s.broker.up();
  const stranger = await until('the broker again', () => Stranger.connect(s.broker, 'cam', 'watcher'));
  await stranger.status((status) => status.state === 'online' && status.viewers >= 1, 70_000);
  const after = (await report(page, session)).frames;
  await until('pictures after it', async () => (await report(page, session)).frames > after + 30);
  await stranger.close();
  await leave(page, session);
  await page.context().close();
  await s.cameraIsOff();
});

test('a daemon that stops says bye and offline at once, and has a new epoch after its start', async () => {
  const page = await s.tab();
  const { session } = await s.watch(page);
  const stranger = await Stranger.connect(s.broker, 'cam', 'epochs');
  const old = await stranger.status((status) => status.state === 'online');
  const begun = performance.now();
  assert.equal(await s.daemon.stop(), 0);
  assert.ok(performance.now() - begun < 4000, 'stops at once');
  const offline = await stranger.status((status) => status.state === 'offline');
  assert.equal(offline.reason, 'shutdown');
  await until('bye', async () =>
    (await report(page, session)).said.some((m) => m.type === 'bye' && m.reason === 'shutdown'),
  );
  s.daemon.up();
  const online = await stranger.status((status) => status.state === 'online' && status.epoch !== old.epoch);
  assert.notEqual(online.epoch, old.epoch);
  // The new daemon does not know the old session. The viewer starts a new one.
  const again = await s.watch(page);
  await leave(page, again.session);
  await page.context().close();
  await stranger.close();
});
