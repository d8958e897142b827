// The mode `keys` with the real daemon, a real broker and real browsers: a viewer is paired by a link, sees and hears,
// loses both when the owner removes it, and nobody else gets anything.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Firefox, withH264 } from './firefox.mjs';
import { fixture } from './fixture.mjs';
import { JoseViewer } from './jose_viewer.mjs';
import { Stranger, serve, sessionId, until, viewerFiles } from './processes.mjs';

const atOnce = { video: { linger_s: 0 }, audio: { linger_s: 0 } };
const s = fixture({ name: 'Front porch', keys: [], ...atOnce }, [viewerFiles]);

const state = (page, wanted, ms = 30_000) => {
  const has = (it) => document.querySelector('fanlight-viewer')?.state === it;
  return page.waitForFunction(has, wanted, { timeout: ms }).catch(async (error) => {
    throw new Error(
      `${error.message}\n${await page.evaluate(() => document.body.innerText)}\n${s.daemon.child.output.slice(-3000)}`,
    );
  });
};

/** Opens a pairing link in a page of its own, gives the viewer a name, and confirms. */
async function pairIn(context, link, name) {
  const page = await context.newPage();
  page.on('pageerror', (error) => console.error(`page: ${error.message}`));
  await page.goto(link);
  const dialog = page.locator('#pairing');
  await dialog.waitFor();
  await dialog.locator('input[name="self"]').fill(name);
  await dialog.locator('button[type="submit"]').click();
  return page;
}

const listed = async () => {
  const command = s.daemon.command('viewers', 'list', '--json');
  assert.equal(await command.ended, 0, command.output);
  return JSON.parse(command.output).viewers;
};

async function viewers(...words) {
  const command = s.daemon.command('viewers', ...words);
  assert.equal(await command.ended, 0, command.output);
}
const remove = (name) => viewers('remove', name);

describe('a viewer that the owner pairs', () => {
  test('sees the picture, and loses it within two seconds when it is removed', async (t) => {
    const { child, link } = await s.daemon.pair(`${s.site.url}/`, s.broker.url);
    const context = await s.chromium.newContext();
    const page = await pairIn(context, link, 'Anna\u2019s tablet');
    assert.equal(await child.ended, 0, child.output);
    assert.match(child.output, /Paired: "Anna\u2019s tablet", which may view, listen/);
    await state(page, 'live');
    assert.equal(new URL(page.url()).hash, '', 'the secret is gone from the address');
    assert.equal(
      await page.evaluate(
        () => document.querySelector('fanlight-viewer').shadowRoot.querySelector('.name').textContent,
      ),
      'Front porch',
    );
    const [viewer] = await listed();
    assert.deepEqual([viewer.name, viewer.rights], ['Anna\u2019s tablet', ['view', 'listen']]);

    const removed = performance.now();
    await remove('Anna\u2019s tablet');
    await s.cameraIsOff();
    t.diagnostic(`the camera was off ${Math.round(performance.now() - removed)} ms after the command began`);
    assert.ok(performance.now() - removed < 4000, 'a removed viewer holds the camera');
    await page.waitForFunction(() => document.querySelector('fanlight-viewer').state !== 'live');
    assert.equal((await listed()).length, 0);
    // It may come back and ask. The daemon reads in order: once another viewer has its answer, the request was read.
    const other = await (await JoseViewer.make('other')).connect(s.broker, 'cam');
    await viewers('add', other.identity.point, '--name', 'other');
    const topic = `fanlight/v1/cam/req/${viewer.id}`;
    await other.wire.client.subscribeAsync(topic, { qos: 1 });
    await page.reload();
    await until('the page asks again', () => other.wire.heard.some((it) => it.topic === topic));
    assert.equal((await other.hello()).status.viewers, 0, 'nobody watches');
    assert.ok(!s.isOn(), 'the camera stays off');
    await other.close();
    await remove('other');
  });

  test('is remembered after a restart of the daemon and of the page', async () => {
    const { child, link } = await s.daemon.pair(`${s.site.url}/`, s.broker.url, '--name', 'hall');
    const context = await s.chromium.newContext();
    const page = await pairIn(context, link, 'whatever');
    assert.equal(await child.ended, 0, child.output);
    await state(page, 'live');
    await s.daemon.stop();
    s.daemon.up();
    await s.daemon.child.said('connected by MQTT');
    await state(page, 'live');
    await page.reload();
    await state(page, 'live');
    assert.deepEqual((await listed()).map(({ name }) => name), ['hall']);
    await remove('hall');
  });

  test('without the right to listen gets no sound', async () => {
    const { child, link } = await s.daemon.pair(`${s.site.url}/`, s.broker.url, '--rights', 'view');
    const page = await pairIn(await s.chromium.newContext(), link, 'silent');
    assert.equal(await child.ended, 0, child.output);
    await state(page, 'live');
    await until(
      'the camera is on, and no microphone',
      () => s.daemon.threads().includes('video') && !s.daemon.threads().includes('audio'),
    );
    await remove('silent');
    await s.cameraIsOff();
  });

  test('can be Firefox', async () => {
    const firefox = await Firefox.launch(withH264);
    try {
      const { child, link } = await s.daemon.pair(`${s.site.url}/`, s.broker.url);
      const page = await firefox.open(link);
      await until('the dialog', () =>
        page.run(`Boolean(document.querySelector('#pairing[open] button[type="submit"]'))`),
      );
      await page.run(`document.querySelector('#pairing[open] button[type="submit"]').click()`);
      assert.equal(await child.ended, 0, child.output);
      await until('a picture', () => page.run(`document.querySelector('fanlight-viewer')?.state === 'live'`), 30_000);
      await remove((await listed())[0].name);
      await s.cameraIsOff();
    } finally {
      await firefox.close();
    }
  });
});

describe('everybody else', () => {
  test('sees that a board is there, and nothing of it', async () => {
    const page = await (await s.chromium.newContext()).newPage();
    const site = await serve([viewerFiles], {
      '/config.json': JSON.stringify({ broker: s.broker.url, device: 'cam' }),
    });
    await page.goto(site.url);
    await page.waitForFunction(() =>
      /pair/i.test(document.body.innerText + (document.querySelector('fanlight-viewer')?.shadowRoot.textContent ?? '')),
    );
    const text = await page.evaluate(
      () => document.body.innerText + document.querySelector('fanlight-viewer').shadowRoot.textContent,
    );
    assert.ok(!text.includes('Front porch'), text);
    assert.ok(!s.daemon.threads().includes('video'));
    site.close();
  });

  test('gets no answer to whatever it sends', async () => {
    const stranger = await Stranger.connect(s.broker, 'cam', 'stranger');
    const offer = { v: 1, type: 'offer', session: sessionId(), seq: 0, sdp: 'v=0\r\n' };
    for (const message of [
      offer,
      { ...offer, type: 'hello' },
      'eyJhbGciOiJFUzI1NiJ9.e30.c2ln',
      'not JSON',
      Buffer.alloc(70_000),
    ]) {
      await stranger.say(message);
    }
    // The daemon answers in order: once it has paired and welcomed a viewer, it has read all of these.
    const { child, link } = await s.daemon.pair(`${s.site.url}/`, s.broker.url);
    const page = await pairIn(await s.chromium.newContext(), link, 'after them');
    assert.equal(await child.ended, 0, child.output);
    await state(page, 'live');
    assert.deepEqual(stranger.heard.filter(({ topic }) => topic.includes('/rsp/')), []);
    await stranger.close();
    await remove('after them');
  });

  test('cannot use a link a second time', async () => {
    const { child, link } = await s.daemon.pair(`${s.site.url}/`, s.broker.url);
    const first = await pairIn(await s.chromium.newContext(), link, 'first');
    assert.equal(await child.ended, 0, child.output);
    await state(first, 'live');
    const second = await pairIn(await s.chromium.newContext(), link, 'second');
    await second.waitForFunction(
      () => /does not answer|antwortet nicht/.test(document.querySelector('#pairing[open]')?.innerText ?? ''),
      null,
      { timeout: 20_000 },
    );
    assert.deepEqual((await listed()).map(({ name }) => name), ['first']);
    await remove('first');
  });
});
