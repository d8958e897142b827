// Commands, privacy, settings, zoom and talk in a real browser, with a fake board in the mode `keys`: `npm run e2e`,
// after a build.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Broker, browser, policy, serve } from './rig.mjs';

let broker, site, chromium, stage;
const wait = { timeout: 60_000 };
const RIGHTS = ['view', 'listen', 'control', 'snapshot', 'talk'];
const device = (name, settings = {}) => stage.evaluate(([it]) => {
  globalThis.devices ??= {};
  const made = globalThis.devices[it.device] = new FakeDevice(it);
  return new Promise((resolve) => made.client.once('connect', resolve));
}, [{ broker: broker.url, device: name, keys: true, ...settings }]);
const on = (name, step, ...rest) =>
  stage.evaluate(
    ([it, code, args]) => (0, eval)(`(${code})`)(globalThis.devices[it], ...args), [name, String(step), rest]
  );
/** What the board did, as names. */
const done = (name) => on(name, (it) => it.commands.done);
const inside = (page, at) => page.locator(`fanlight-viewer ${at}`);
const says = (page, at, text) => page.waitForFunction(
  ([where, it]) => document.querySelector('fanlight-viewer')?.shadowRoot.querySelector(where)?.textContent.includes(it),
  [at, text], wait
);
const there = (page, wanted) => page.waitForFunction(
  (it) => document.querySelector('fanlight-viewer')?.shadowRoot.querySelector(it), wanted, wait
);
const until = async (step, what) => {
  for (let n = 0; n < 300; n++) {
    if (await step()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.fail(`not in time: ${what}`);
};
/** A page that is paired with the board and shows its picture. */
async function watching(name, settings = {}, by = chromium) {
  const page = await (await by.newContext(settings)).newPage();
  await stage.waitForFunction((it) => globalThis.devices[it].board, name, wait);
  await page.goto(await on(name, (it, at) => it.invite(at), `${site.url}/`));
  await page.waitForSelector('#pairing[open]', wait);
  await page.fill('[name=self]', 'Test browser');
  await page.click('#pairing [type=submit]');
  await page.waitForFunction(() => document.querySelector('fanlight-viewer')?.state === 'live', null, wait);
  await page.mouse.move(600, 300);
  return page;
}

before(async () => {
  broker = await Broker.start();
  site = await serve({ broker: broker.url }, policy(broker.url));
  chromium = await browser('--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream');
  stage = await chromium.newPage();
  await stage.goto(`${site.url}/device.html?small`);
  await device('porch', { commands: RIGHTS, talk: true });
  await device('tower', { commands: RIGHTS, turns: true });
  await device('plain', {});
});
after(async () => {
  await chromium?.close();
  await site?.close();
  await broker?.stop();
});

test('a board without commands leaves no trace of them in the page', async () => {
  const page = await watching('plain');
  assert.equal(await inside(page, ':is(.gear, .talk, .sheet, .voice)').count(), 0);
  const why = await page.evaluate(
    () => document.querySelector('fanlight-viewer').command('stats').catch((it) => it.why)
  );
  assert.equal(why, 'unsupported');
  await page.context().close();
});

test('what the board has no command for is not in the sheet', async () => {
  const refusal = { code: 404, name: 'unknown_command', message: 'there is no such command' };
  await device('hut', { commands: RIGHTS });
  await on('hut', (it, no) => { Object.assign(it.commands.refuse, { 'controls.list': no, snapshot: no }); }, refusal);
  const page = await watching('hut');
  await inside(page, '.gear').click();
  const shown = () => page.evaluate(() =>
    [...document.querySelector('fanlight-viewer').shadowRoot.querySelectorAll('.sheet section')]
      .filter((it) => it.checkVisibility()).length);
  await until(async () => (await shown()) === 3, 'privacy, snapshot and figures');
  await inside(page, '.sheet').getByRole('button', { name: 'full size' }).click();
  await until(async () => (await shown()) === 2, 'privacy and figures');
  await page.context().close();
});

test('methods: commands in a session and without one, refusals, and a picture in many parts', async () => {
  const page = await watching('porch');
  const it = await page.evaluate(async () => {
    const viewer = document.querySelector('fanlight-viewer');
    // All parts have 10 s, which a busy machine may need for other things.
    const take = () => viewer.snapshot({ board: true, width: 1024 });
    const jpeg = await take().catch(take).catch(take);
    const bitmap = await createImageBitmap(jpeg);
    const { cameras } = await viewer.command('cameras');
    const error = await viewer.command('controls.set', { values: { brightness: 999 } }).catch((one) => one);
    viewer.pause();
    const alone = await viewer.command('stats');
    return {
      rights: viewer.rights, features: viewer.features, type: jpeg.type, size: [bitmap.width, bitmap.height],
      bytes: jpeg.size, cameras, alone: alone.max_viewers, why: [error.name, error.why, error.code, error.retryAfterMs],
    };
  });
  assert.deepEqual(it.rights, RIGHTS);
  assert.ok(it.features.includes('commands'));
  assert.deepEqual([it.type, it.size], ['image/jpeg', [1024, 576]]);
  assert.ok(it.bytes > 16_384, `${it.bytes} bytes are several parts`);
  assert.deepEqual([it.cameras[0].id, it.alone], ['main', 8]);
  assert.deepEqual(it.why, ['CommandError', 'out_of_range', 400, null]);
  const commands = (await on('porch', (one) => one.heard)).filter(({ type }) => type === 'command');
  assert.equal(commands.at(-1).seq, 0, 'without a session');
  await page.context().close();
});

test('privacy: stopped in the sheet, told with a name, and lifted after a second thought', async () => {
  const page = await watching('porch');
  await page.keyboard.press('Tab');
  await inside(page, '.gear').click();
  await inside(page, '.sheet').getByRole('button', { name: 'Stop camera and microphone' }).click();
  await says(page, '.panel', 'Test browser\u2069 stopped camera and microphone. Since');
  await page.keyboard.press('Escape');
  await inside(page, '.panel .action').first().click();
  await says(page, '.panel', 'Allow camera and microphone again?');
  await inside(page, '.panel .no').click();
  await says(page, '.panel', 'stopped camera');
  assert.equal(await on('porch', (it) => it.commands.privacy.on), true);
  // Somebody else changed it in between: the lift is refused, and the page asks again.
  await on('porch', (it) => { it.commands.privacy.change += 1; });
  await inside(page, '.panel .action').first().click();
  await inside(page, '.panel .action').first().click();
  await says(page, '.toast', 'Nothing was done');
  await until(async () => (await done('porch')).at(-1).name === 'cameras', 'a new question');
  // The answer to it may still be on its way. A lift before it is refused again, and changes nothing.
  await until(async () => {
    if (!(await on('porch', (it) => it.commands.privacy.on))) return true;
    await inside(page, '.panel .action').first().click({ timeout: 1000 }).catch(() => {});
    return false;
  }, 'lifted');
  await page.waitForFunction(
    () => document.querySelector('fanlight-viewer').shadowRoot.querySelector('.panel').hidden, null, wait
  );
  await page.context().close();
});

test('settings: a slider sends while it moves, not each value; modes, defaults, keep, full picture', async () => {
  const page = await watching('porch');
  await inside(page, '.snap').focus();
  await page.keyboard.press('c');
  const sheet = inside(page, '.sheet[part=settings]');
  const sets = async () => (await done('porch')).filter(({ name }) => name === 'controls.set').map(({ args }) => args);
  const slider = sheet.getByRole('slider', { name: 'Brightness' });
  await slider.waitFor(wait);
  const before = (await sets()).length;
  const took = await slider.evaluate(async (it) => {
    const begun = performance.now();
    for (let value = 60; value < 100; value++) {
      it.value = String(value);
      it.dispatchEvent(new Event('input'));
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    return performance.now() - begun;
  });
  await until(async () => (await sets()).at(-1).values.brightness === 99, 'the last value');
  const count = (await sets()).length - before;
  assert.ok(count >= 2 && count <= took / 250 + 3, `${count} commands for 40 values in ${took} ms`);
  await sheet.getByRole('combobox', { name: 'Exposure mode' }).selectOption({ label: 'Manual Mode' });
  await page.waitForFunction(() => !document.querySelector('fanlight-viewer').shadowRoot
    .querySelector('#control-exposure_time_absolute').parentElement.classList.contains('inactive'), null, wait);
  await sheet.getByRole('button', { name: 'Keep these values' }).click();
  await says(page, '.told', 'The camera keeps these values.');
  assert.deepEqual((await sets()).at(-1), { values: { brightness: 99, auto_exposure: 1 }, save: true });
  await sheet.getByRole('button', { name: 'Default values' }).click();
  await until(async () => (await sets()).at(-1).values.brightness === 128, 'defaults');
  const download = page.waitForEvent('download', wait);
  await sheet.getByRole('button', { name: 'Save a picture at full size' }).click();
  assert.match((await download).suggestedFilename(), /^porch-.*\.jpg$/);
  await says(page, '.told', '1280 × 720');
  await says(page, '.sheet dl', 'OpenH264');
  await page.keyboard.press('Escape');
  await until(async () => !(await sheet.isVisible()), 'closed');
  await page.context().close();
});

test('zoom: by wheel, drag, keys and double click in the page', async () => {
  const page = await watching('porch');
  const place = () => page.evaluate(() => {
    const video = document.querySelector('fanlight-viewer').shadowRoot.querySelector('video');
    return video.style.transform;
  });
  const box = await page.locator('fanlight-viewer').boundingBox();
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  await page.mouse.move(x, y);
  await page.mouse.wheel(0, -300);
  await until(async () => (await place()).includes('scale(1.95'), 'the wheel');
  await page.mouse.down();
  await page.mouse.move(x + 60, y + 30, { steps: 4 });
  await page.mouse.up();
  assert.match(await place(), /translate\([1-9]/);
  await page.mouse.dblclick(x, y);
  await until(async () => await place() === '', 'the double click');
  assert.equal(await page.evaluate(() => document.fullscreenElement), null);
  await inside(page, '.snap').focus();
  await page.keyboard.press('+');
  await until(async () => (await place()).includes('scale(1.25'), 'the key');
  await inside(page, '.whole').click();
  assert.equal(await place(), '');
  await page.context().close();
});

test('zoom: two fingers zoom and move the picture, and one finger moves it', async () => {
  const page = await watching('porch', { hasTouch: true, viewport: { width: 390, height: 844 } });
  const touch = await page.context().newCDPSession(page);
  const send = (type, ...points) => touch.send('Input.dispatchTouchEvent', {
    type, touchPoints: points.map(([x, y], id) => ({ x, y, id })),
  });
  const zoom = () => page.evaluate(() => {
    const { style } = document.querySelector('fanlight-viewer').shadowRoot.querySelector('video');
    return style.transform ? new DOMMatrix(style.transform.replace(/%/g, 'px')).toFloat64Array() : null;
  });
  const box = await inside(page, '.frame').boundingBox();
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  await send('touchStart', [x - 20, y], [x + 20, y]);
  for (let n = 1; n <= 8; n++) await send('touchMove', [x - 20 - n * 5, y], [x + 20 + n * 5, y]);
  await send('touchEnd');
  await until(async () => await zoom() !== null, 'two fingers');
  const [scale, , , , , , , , , , , , before] = Object.values(await zoom());
  assert.ok(scale > 2.4 && scale < 3.6, `${scale}`);
  await send('touchStart', [x, y]);
  for (let n = 1; n <= 8; n++) await send('touchMove', [x + n * 5, y]);
  await send('touchEnd');
  await until(async () => Object.values(await zoom())[12] > before + 5, 'one finger');
  await page.context().close();
});

test('zoom: a camera that turns and zooms does it itself, and its values are set by commands', async () => {
  const page = await watching('tower');
  const value = (name) => on(
    'tower', (it, wanted) => it.commands.controls.find((one) => one.name === wanted).value, name
  );
  await until(async () => (await done('tower')).some((it) => it.name === 'controls.list'), 'the controls');
  const box = await page.locator('fanlight-viewer').boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await until(async () => {
    await page.mouse.wheel(0, -100);
    return await value('zoom_absolute') > 100;
  }, 'the camera zooms');
  await inside(page, '.snap').focus();
  await page.keyboard.press('ArrowRight');
  await until(async () => await value('pan_absolute') > 0, 'the camera turns');
  await page.keyboard.press('0');
  await until(async () => await value('pan_absolute') === 0 && await value('zoom_absolute') === 100, 'back');
  await page.context().close();
});

test('talk: the board hears the microphone while the button is held, and who else talks is told', async () => {
  const page = await watching('porch', { permissions: ['microphone'] });
  const session = () => page.evaluate(() => document.querySelector('fanlight-viewer').watch.call.session);
  const heard = () => on('porch', async (it) => {
    let bytes = 0;
    for (const { pc } of it.sessions.values())
      for (const one of (await pc.getStats()).values())
        if (one.type === 'inbound-rtp' && one.kind === 'audio') bytes += one.bytesReceived;
    return bytes;
  });
  assert.equal(await heard(), 0);
  const first = await session();
  const talk = inside(page, '.talk');
  await talk.click(); // hands-free
  await there(page, '.talk[data-is="on"]');
  await says(page, '.voice', 'You are heard');
  await until(async () => await heard() > 1000, 'sound');
  const level = () => inside(page, '.voice meter').evaluate((it) => it.value);
  await until(async () => await level() > 0.05, 'the meter moves');
  await talk.click();
  await there(page, '.talk[data-is="off"]');
  await until(async () => (await done('porch')).at(-1).name === 'talk.end', 'the end');
  assert.equal(await session(), first, 'no new session');
  await inside(page, '.snap').focus();
  await page.keyboard.down('t');
  await there(page, '.talk[data-is="on"]');
  await page.waitForTimeout(400); // a brief press would talk on
  await page.keyboard.up('t');
  await there(page, '.talk[data-is="off"]');
  await on('porch', (it) => { it.commands.talker = 'Anna'; });
  await talk.click();
  await says(page, '.voice', 'Anna\u2069 talks');
  await inside(page, '.voice').getByRole('button', { name: 'Interrupt' }).click();
  await there(page, '.talk[data-is="on"]');
  assert.equal((await done('porch')).filter(({ name }) => name === 'talk.begin').at(-1).args.take, true);
  await page.context().close();
});

test('talk: the page explains before the browser asks, and says what to do if the answer is no', async () => {
  const strict = await browser('--use-fake-device-for-media-stream');
  const page = await watching('porch', {}, strict);
  // The answer of a person to the browser.
  await page.evaluate(() => {
    navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError'));
  });
  await inside(page, '.talk').click();
  await there(page, '.ask[open]');
  await page.keyboard.press('Escape');
  await until(async () => !(await inside(page, '.ask').isVisible()), 'cancelled');
  await there(page, '.talk[data-is="off"]');
  await page.mouse.move(600, 300); // the buttons rest after a while
  await inside(page, '.talk').click();
  await inside(page, '.ask').getByRole('button', { name: 'Continue' }).click();
  await says(page, '.voice', 'does not allow this page the microphone');
  await strict.close();
});

test('talk: a session that was opened without a way for the voice gets a new one with it', async () => {
  await device('loft', { commands: RIGHTS, talk: false });
  const page = await watching('loft', { permissions: ['microphone'] });
  assert.equal(await inside(page, '.talk').count(), 0);
  await on('loft', (it) => {
    it.settings.talk = true;
    it.board.info = { ...it.board.info, talk: true };
  });
  await page.reload();
  await page.waitForFunction(() => document.querySelector('fanlight-viewer')?.state === 'live', null, wait);
  await inside(page, '.talk').click();
  await there(page, '.talk[data-is="on"]');
  await page.context().close();
});
