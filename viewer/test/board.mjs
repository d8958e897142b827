// Commands, privacy and settings in a real browser, with a fake board in the mode `keys`: `npm run e2e`,
// after a build.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Broker, browser, policy, serve } from './rig.mjs';

let broker, site, chromium, stage;
const wait = { timeout: 60_000 };
const RIGHTS = ['view', 'listen', 'control', 'snapshot'];
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
const until = async (step, what) => {
  for (let n = 0; n < 300; n++) {
    if (await step()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.fail(`not in time: ${what}`);
};
/** A page that is paired with the board and shows its picture. */
async function watching(name, settings = {}) {
  const page = await (await chromium.newContext(settings)).newPage();
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
  chromium = await browser();
  stage = await chromium.newPage();
  await stage.goto(`${site.url}/device.html?small`);
  await device('porch', { commands: RIGHTS });
  await device('plain', {});
});
after(async () => {
  await chromium?.close();
  await site?.close();
  await broker?.stop();
});

test('a board without commands leaves no trace of them in the page', async () => {
  const page = await watching('plain');
  assert.equal(await inside(page, ':is(.gear, .sheet)').count(), 0);
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
  const sheet = inside(page, '.sheet');
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
