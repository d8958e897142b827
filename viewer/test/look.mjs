// Takes a screenshot of every state of the viewer, for people to look at: `npm run look [name…]`, into
// test/.work/shots.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { layoutFaults } from './layout.mjs';
import { Broker, browser, here, policy, serve } from './rig.mjs';

const shots = join(here, '.work/shots');
mkdirSync(shots, { recursive: true });
const only = process.argv.slice(2);
const broker = await Broker.start();
const site = await serve({ broker: broker.url, device: 'garden' }, policy(broker.url));
const bare = await serve(null, policy(broker.url));
const anywhere = await serve(null); // this page may connect to any broker
const chromium = await browser('--use-fake-device-for-media-stream');
const stage = await chromium.newPage();
await stage.goto(`${bare.url}/device.html${only.includes('sharp') ? '' : '?small'}`);
stage.on('console', (line) => { if (!/WebSocket connection/.test(line.text())) console.log('device:', line.text()); });
const problems = [];

const device = (name, settings = {}) => stage.evaluate(([it]) => {
  globalThis.devices ??= {};
  globalThis.devices[it.device] = new FakeDevice(it);
  return new Promise((resolve) => globalThis.devices[it.device].client.once('connect', () => setTimeout(resolve, 150)));
}, [{ broker: broker.url, device: name, ...settings }]);
const to = (name, call, ...rest) =>
  stage.evaluate(([it, method, args]) => globalThis.devices[it][method](...args), [name, call, rest]);
const state = (page, wanted, timeout = 8000) => page.waitForFunction((it) => {
  const viewer = document.querySelector('fanlight-viewer');
  return viewer?.state === it;
}, wanted, { timeout }).catch(() => problems.push(`state ${wanted} not reached`));

async function shot(
  name, { path = '/', at = site, size = [1280, 800], scheme = 'dark', dir, before, ...more } = {},
  steps = async () => {}
) {
  if (only.length && !only.some((it) => name.startsWith(it))) return;
  const { at: _at, ...rest } = more;
  const context = await chromium.newContext({
    viewport: { width: size[0], height: size[1] }, colorScheme: scheme, deviceScaleFactor: size[0] < 500 ? 2 : 1,
    ...rest,
  });
  const page = await context.newPage();
  page.on(
    'console',
    (line) => {
      if (['error', 'warning'].includes(line.type())
        && !/ERR_CONNECTION|ERR_EMPTY|404|WebSocket connection/.test(line.text()))
        problems.push(`${name}: ${line.text()}`);
    }
  );
  page.on('pageerror', (error) => problems.push(`${name}: ${error.stack}`));
  if (before) await before(page);
  try {
    await page.goto(at.url + path, { waitUntil: 'domcontentloaded' });
    await steps(page);
    if (dir) await page.evaluate((it) => { document.documentElement.dir = it; }, dir);
    await page.screenshot({ path: join(shots, `${name}.png`) });
    problems.push(...(await page.evaluate(layoutFaults)).map((it) => `${name}: ${it}`));
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (wide > 0) problems.push(`${name}: ${wide} px too wide`);
    console.log(name);
  } catch (error) {
    problems.push(`${name}: ${error.message.split('\n')[0]}`);
  }
  await context.close();
}
const pause = (page, ms) => page.waitForTimeout(ms);
const phone = { size: [360, 740], isMobile: true, hasTouch: true };
/** Puts the call into a state that passes too quickly otherwise. */
const put = (page, phase, media = {}) => page.evaluate(([it, health]) => {
  const viewer = document.querySelector('fanlight-viewer');
  viewer.watch.call.phase = it;
  Object.assign(viewer.watch.call.media, health);
  viewer.refresh();
}, [phase, media]);
const stepwise = (name, step, settings = {}) => shot(`step-${name}`, {
  path: '/?device=silent', ...settings,
}, async (page) => {
  await pause(page, 500);
  await put(page, { at: 'step', step });
  await pause(page, 700);
});

await device('garden');
await device('front-door', { viewers: 2, name: 'Front door' });
await device('workshop', { media: { video: 'absent', audio: 'ok' } });
await device('cellar', { media: { video: 'starting', audio: 'absent' } });
await device('hall', { media: { video: 'stalled', audio: 'ok' } });
await device('nursery', { media: { video: 'privacy', audio: 'privacy' } });
await device('silent', { mute: true });
await device('gone');
await to('gone', 'leave', 'lost');

// All sizes with all numbers of pictures, in light, dark and forced colours.
const names = ['garden', 'front-door', 'yard', 'shed', 'porch', 'gate', 'attic', 'drive', 'pool'];
const titles = { 'front-door': 'Front door', yard: 'Back yard with the old apple tree and the swing', drive: 'Drive' };
const wants = (prefix) => !only.length || only.some((it) => prefix.startsWith(it) || it.startsWith(prefix));
if (wants('grid-')) {
  for (const name of names.slice(2)) await device(name, { name: titles[name] ?? name });
  for (const count of [1, 2, 4, 9]) {
    for (const [width, height] of [[390, 844], [1280, 800], [1920, 1080]]) {
      for (const scheme of ['dark', 'light', 'forced']) {
        await shot(`grid-${count}-${width}-${scheme}`, {
          path: `/?device=${names.slice(0, count).join(',')}`, size: [width, height],
          scheme: scheme === 'forced' ? 'dark' : scheme, deviceScaleFactor: 1,
          ...(scheme === 'forced' ? { forcedColors: 'active' } : {}),
          ...(width < 500 ? { isMobile: true, hasTouch: true } : {}),
        }, async (page) => {
          await page.waitForFunction(
            (wanted) => {
              const all = [...document.querySelectorAll('fanlight-viewer')];
              return all.filter((it) => it.state === 'live').length === wanted;
            },
            count, { timeout: 20_000 }
          ).catch(() =>
            problems.push(`grid ${count}: not all live`));
          await pause(page, 3300);
          const unread = await page.evaluate(() => [...document.querySelectorAll('fanlight-viewer')].filter((it) => {
            const name = it.shadowRoot.querySelector('.name');
            const box = name.getBoundingClientRect();
            const around = it.getBoundingClientRect();
            const style = getComputedStyle(name);
            return !(box.width > 30 && box.height > 16 && box.top >= 0 && box.bottom <= innerHeight
              && box.left >= around.left && box.right <= around.right && Number(style.opacity) === 1
              && style.visibility === 'visible');
          }).map((it) => it.device));
          if (unread.length) problems.push(`grid ${count} ${width}: no readable name on ${unread}`);
        });
      }
    }
  }
  for (const name of names.slice(2)) await to(name, 'forget');
}

await shot(
  'live-dark', {},
  async (page) => { await state(page, 'live'); await page.mouse.move(700, 300); await pause(page, 600); }
);
await shot(
  'live-light', { scheme: 'light' },
  async (page) => { await state(page, 'live'); await page.mouse.move(700, 300); await pause(page, 600); }
);
await shot('live-resting', {}, async (page) => { await state(page, 'live'); await pause(page, 4000); });
const byRelay = () =>
  to(
    'garden', 'media',
    { video: 'ok', audio: 'ok', route: 'relay-prflx tls by turns:turn.example.org:5349?transport=tcp' }
  );
await shot(
  'stats',
  { path: '/?stats' },
  async (page) => {
    await state(page, 'live');
    await byRelay();
    await page.mouse.move(700, 300);
    await pause(page, 3500);
  }
);
await shot(
  'stats-phone', { ...phone, path: '/?stats' },
  async (page) => { await state(page, 'live'); await byRelay(); await pause(page, 3500); }
);
await shot(
  'live-phone-light', { ...phone, scheme: 'light' },
  async (page) => { await state(page, 'live'); await pause(page, 600); }
);
await shot(
  'live-landscape', { size: [844, 390], isMobile: true, hasTouch: true },
  async (page) => { await state(page, 'live'); await pause(page, 600); }
);
await shot(
  'focus',
  {},
  async (page) => {
    await state(page, 'live');
    await page.locator('fanlight-viewer .snap').focus();
    await page.keyboard.press('Tab');
    await pause(page, 300);
  }
);
await shot(
  'snapshot',
  {},
  async (page) => {
    await state(page, 'live');
    await page.locator('fanlight-viewer .snap').click();
    await pause(page, 700);
  }
);
for (const name of ['workshop', 'cellar', 'hall', 'nursery'])
  await shot(`media-${name}`, { path: `/?device=${name}` }, async (page) => { await pause(page, 1500); });
await shot('media-phone', { ...phone, path: '/?device=workshop,nursery' }, async (page) => pause(page, 1500));
await shot(
  'several', { path: '/?device=garden,front-door,workshop,gone', size: [1440, 900] },
  async (page) => { await state(page, 'live'); await pause(page, 1200); }
);
await shot(
  'several-light-stats', { path: '/?device=garden,front-door&stats', size: [1440, 900], scheme: 'light' },
  async (page) => { await state(page, 'live'); await pause(page, 2500); }
);
for (const step of ['broker', 'device', 'offer', 'route', 'secure', 'picture']) await stepwise(step, step);
await stepwise('route-light', 'route', { scheme: 'light' });
await stepwise('secure-phone', 'secure', { ...phone });
for (const [name, settings] of [['reconnecting', {}], ['reconnecting-phone', { ...phone, scheme: 'light' }]]) {
  await shot(
    name,
    settings,
    async (page) => {
      await state(page, 'live');
      await put(page, { at: 'live', restarting: true });
      await pause(page, 800);
    }
  );
}
await shot(
  'live-absent',
  {},
  async (page) => {
    await state(page, 'live');
    await put(page, { at: 'live', restarting: false }, { video: 'absent' });
    await pause(page, 800);
  }
);
for (const [name, settings] of [
  ['stale', {}], ['stale-light', { scheme: 'light' }], ['stale-phone', { ...phone }],
  ['stale-forced', { forcedColors: 'active' }], ['stale-four', { path: '/?device=garden,garage,front-door,workshop' }],
]) {
  await device('garage', { name: 'Garage' });
  await shot(name, { path: '/?device=garage', ...settings }, async (page) => {
    await page.waitForFunction(
      () => [...document.querySelectorAll('fanlight-viewer')].find((it) => it.device === 'garage')?.state === 'live'
    );
    await pause(page, 600);
    await to('garage', 'freeze');
    await pause(page, 4500); // the controls are hidden by then
  });
  await to('garage', 'forget');
}
await shot(
  'form-over', { scheme: 'light' },
  async (page) => { await state(page, 'live'); await page.click('#change'); await pause(page, 500); }
);
await shot(
  'focus-list',
  { scheme: 'light' },
  async (page) => {
    await state(page, 'live');
    for (let i = 0; i < 4; i++) await page.keyboard.press('Tab');
    await pause(page, 300);
  }
);
await shot('live-phone-resting', { ...phone }, async (page) => { await state(page, 'live'); await pause(page, 4000); });
await shot('connecting', { path: '/?device=silent' }, async (page) => pause(page, 1200));
await shot(
  'connecting-phone', { ...phone, scheme: 'light', path: '/?device=silent' }, async (page) => pause(page, 1200)
);
await shot('offline', { path: '/?device=gone' }, async (page) => pause(page, 900));
await shot(
  'unknown', { path: '/?device=nobody' },
  async (page) => { await state(page, 'offline', 25_000); await pause(page, 600); }
);
await shot(
  'timeout', { path: '/?device=silent' },
  async (page) => { await state(page, 'error', 25_000); await pause(page, 600); }
);
await shot(
  'choose',
  {
    path: '/?device=',
    before: (page) => page.route('**/config.json', (route) => route.fulfill({ json: { broker: broker.url } })),
  },
  async (page) => pause(page, 700)
);
await shot(
  'choose-phone',
  {
    ...phone, scheme: 'light',
    before: (page) => page.route('**/config.json', (route) => route.fulfill({ json: { broker: broker.url } })),
  },
  async (page) => pause(page, 700)
);
await shot(
  'no-cameras',
  { before: (page) =>
    page.route('**/config.json', (route) => route.fulfill({ json: { broker: broker.url, root: 'empty/v1' } })) },
  async (page) => pause(page, 700)
);
await shot('form-dark', { at: bare }, async (page) => pause(page, 300));
await shot('form-light', { at: bare, scheme: 'light' }, async (page) => pause(page, 300));
await shot('form-phone', { at: bare, ...phone, scheme: 'light' }, async (page) => pause(page, 300));
await shot(
  'form-wrong',
  { at: bare, scheme: 'light' },
  async (page) => {
    await page.fill('[name=broker]', 'https//bad');
    await page.click('form [type=submit]');
    await pause(page, 300);
  }
);
await shot('form-forced', { at: bare, forcedColors: 'active' }, async (page) => pause(page, 300));
await shot(
  'form-from-address', { at: bare, path: `/?broker=${encodeURIComponent(broker.url)}` },
  async (page) => { await pause(page, 900); await page.click('#change'); await pause(page, 400); }
);
const config = (body) =>
  ({
    before: (page) => page.route('**/config.json', (route) => route.fulfill({ body, contentType: 'application/json' })),
  });
await shot('config-comma', { ...config('{\n  "broker": "/mqtt",\n}') }, async (page) => pause(page, 600));
await shot(
  'config-comma-behind', { ...config('{\n  "broker": "/mqtt",\n}') },
  async (page) => { await pause(page, 600); await page.keyboard.press('Escape'); await pause(page, 300); }
);
await shot(
  'config-key', { ...config(JSON.stringify({ broker: broker.url, devise: 'garden', device: 'garden' })) },
  async (page) => { await state(page, 'live'); await pause(page, 600); }
);
await shot(
  'config-key-phone',
  { ...phone, scheme: 'light', ...config(JSON.stringify({ broker: broker.url, devise: 'garden', device: 'garden' })) },
  async (page) => { await state(page, 'live'); await pause(page, 600); }
);
await shot(
  'address-ignored', { path: '/?broker=wss://other.example/mqtt' },
  async (page) => { await state(page, 'live'); await pause(page, 600); }
);
await shot(
  'paused',
  {},
  async (page) => {
    await state(page, 'live');
    await pause(page, 400);
    await page.evaluate(() => document.querySelector('fanlight-viewer').pause());
    await pause(page, 600);
  }
);
await device('mute', { noAudio: true, media: { video: 'ok', audio: 'absent' }, name: 'No microphone' });
await shot(
  'no-sound', { path: '/?device=mute' },
  async (page) => { await state(page, 'live'); await page.mouse.move(700, 300); await pause(page, 600); }
);
await to('mute', 'forget');

const refusals = {
  busy: [503, 5000], unauthorized: [401], no_common_codec: [415], rate_limited: [429, 20_000], no_media: [480],
  privacy: [451], version: [426], internal: [500], forbidden: [403], out_of_resources: [503, 9000],
  clock_unsynced: [401], bad_sdp: [400], too_large: [413], auth_required: [401],
};
for (const [name, [code, after]] of Object.entries(refusals)) {
  if (only.length && !only.some((it) => `error-${name}`.startsWith(it))) continue;
  const id = `e-${name}`.replace(/_/g, '-');
  await device(
    id, { refuse: { code, name, message: 'the device says why', ...(after ? { retry_after_ms: after } : {}) } }
  );
  await shot(`error-${name}`, { path: `/component.html`, size: [760, 428] }, async (page) => {
    await page.evaluate(
      ([url, it]) => {
        const attributes = `broker="${url}" device="${it}" name="Front door" controls`;
        document.body.innerHTML = `<fanlight-viewer ${attributes}></fanlight-viewer>`;
      },
      [broker.url, id]
    );
    await state(page, 'error');
    await pause(page, 500);
  });
  if (['busy', 'no_common_codec', 'internal'].includes(name)) {
    await shot(
      `error-${name}-phone`, { ...phone, path: `/?device=${id}` },
      async (page) => { await state(page, 'error'); await pause(page, 500); }
    );
  }
  await to(id, 'forget');
}
await device('liar', { wrongHash: true });
await shot(
  'error-hash', { path: '/?device=liar' }, async (page) => { await state(page, 'error'); await pause(page, 500); }
);
await to('liar', 'forget');
await shot(
  'error-webrtc', { before: (page) => page.addInitScript(() => { delete globalThis.RTCPeerConnection; }) },
  async (page) => { await state(page, 'error'); await pause(page, 500); }
);
const component = (name, html, size = [760, 428], wait = 900) => shot(name, {
  path: '/component.html', size,
}, async (page) => {
  await page.evaluate((it) => { document.body.innerHTML = it; }, html);
  await pause(page, wait);
});
await component(
  'manual', `<fanlight-viewer broker="${broker.url}" device="garden" name="Garden" manual controls></fanlight-viewer>`
);
await component('setting', '<fanlight-viewer broker="mqtt://x" device="garden" controls></fanlight-viewer>');
await component(
  'no-controls', `<fanlight-viewer broker="${broker.url}" device="garden"></fanlight-viewer>`, [480, 270], 1500
);
await component(
  'tiny',
  '<div style="width:320px">' +
    `<fanlight-viewer broker="${broker.url}" device="workshop" controls></fanlight-viewer>` +
    `<fanlight-viewer broker="${broker.url}" device="garden" controls stats></fanlight-viewer>` +
    `<fanlight-viewer broker="${broker.url}" device="silent" controls></fanlight-viewer>` +
    '</div>',
  [320, 540],
  2500
);
await component(
  'request', `<fanlight-viewer broker="${broker.url}" device="garden" mode="request" controls stats></fanlight-viewer>`,
  [760, 428], 3000
);
for (const [name, settings] of [
  ['blocked', {}], ['blocked-light', { scheme: 'light' }], ['blocked-phone', { ...phone }],
]) {
  await shot(name, { ...settings, before: (page) => page.addInitScript(() => {
    const { play } = HTMLMediaElement.prototype;
    HTMLMediaElement.prototype.play = function () {
      return this.muted ? play.call(this) : Promise.reject(new DOMException('no click yet', 'NotAllowedError'));
    };
  }) }, async (page) => { await state(page, 'live'); await page.mouse.move(700, 300); await pause(page, 600); });
}

// Another language and the other writing direction, with a name of the other direction.
await device('entry', { name: 'כניסה ראשית' });
for (const [prefix, settings] of [
  ['de', { locale: 'de-DE' }], ['rtl', { locale: 'en', dir: 'rtl' }], ['rtl-de', { locale: 'de-DE', dir: 'rtl' }],
]) {
  if (!wants(`${prefix}-`)) continue;
  const live = async (page) => { await state(page, 'live'); await page.mouse.move(700, 300); await pause(page, 1200); };
  for (const [size, more] of [
    ['desk', { size: [1280, 800] }], ['phone', { size: [390, 844], isMobile: true, hasTouch: true }],
  ]) {
    for (const scheme of ['dark', 'light']) {
      await shot(`${prefix}-live-${size}-${scheme}`, { ...settings, ...more, scheme, path: '/?device=entry' }, live);
    }
    await shot(
      `${prefix}-stats-${size}`, { ...settings, ...more, path: '/?device=garden&stats' },
      async (page) => { await live(page); await byRelay(); await pause(page, 3000); }
    );
    await shot(
      `${prefix}-several-${size}`, { ...settings, ...more, path: '/?device=workshop,entry,nursery,gone' },
      async (page) => pause(page, 2500)
    );
    await shot(
      `${prefix}-dialog-${size}`,
      { ...settings, ...more, scheme: 'light' },
      async (page) => {
        await live(page);
        await page.click('#change');
        await page.click('summary');
        await pause(page, 500);
      }
    );
    await shot(
      `${prefix}-step-${size}`,
      { ...settings, ...more, path: '/?device=silent' },
      async (page) => {
        await pause(page, 500);
        await put(page, { at: 'step', step: 'secure' });
        await pause(page, 700);
      }
    );
    await shot(
      `${prefix}-choose-${size}`,
      {
        ...settings,
        ...more,
        scheme: 'light',
        path: '/?device=' ,
        before: (page) =>
          page.route('**/config.json', (route) => route.fulfill({ json: { broker: broker.url, devise: 'x' } })),
      },
      async (page) => pause(page, 900)
    );
    await shot(
      `${prefix}-refused-${size}`,
      {
        ...settings,
        ...more,
        before: (page) =>
          page.route(
            '**/config.json',
            (route) => route.fulfill({ json: { broker: `wss://127.0.0.1:${broker.port}/mqtt`, device: 'garden' } })
          ),
        at: anywhere,
      },
      async (page) => pause(page, 2500)
    );
  }
}
await to('entry', 'forget');

// Pairing, and boards in the mode `keys`.
if (wants('pair-')) {
  await device('porch', { keys: true });
  await device('gate', { keys: true });
  await pause(stage, 500);
  const link = (name) => stage.evaluate(([it, page]) => globalThis.devices[it].invite(page), [name, site.url]);
  const pairing = async (page, name = 'porch') => {
    await page.evaluate((it) => { location.hash = it; }, (await link(name)).split('#')[1]);
    await page.waitForSelector('#pairing[open]');
  };
  const paired = async (page, name = 'porch') => {
    await pairing(page, name);
    await page.click('#pairing [type=submit]');
    await page.waitForFunction((it) => [...document.querySelectorAll('fanlight-viewer')].some(
      (one) => one.device === it && one.state === 'live'
    ), name, { timeout: 20_000 }).catch(() => problems.push('pair: not live'));
    await pause(page, 700);
  };
  for (const [size, more] of [
    ['desk', { size: [1280, 800] }], ['phone', { size: [390, 844], isMobile: true, hasTouch: true }],
  ]) {
    for (const scheme of ['dark', 'light']) {
      const kind = { ...more, scheme, path: '/?device=porch', ...(scheme === 'light' ? { locale: 'de-DE' } : {}) };
      const take = (name, steps, settings = {}) =>
        shot(`pair-${name}-${size}-${scheme}`, { ...kind, ...settings }, steps);
      await take('needed', (page) => pause(page, 1500));
      await take('ask', (page) => pairing(page));
      await take('silent', async (page) => {
        await to('porch', 'invite', site.url);
        const wrong = (await link('porch')).replace(/.$/, '');
        await page.evaluate((it) => { location.hash = it; }, wrong.split('#')[1]);
        await page.waitForSelector('#pairing[open]');
        await pause(page, 300);
      });
      await take('no-answer', async (page) => {
        await pairing(page);
        await stage.evaluate(() => { globalThis.devices.porch.board.secret = null; });
        await page.click('#pairing [type=submit]');
        const wrong = () => document.getElementById('pairing-wrong').textContent;
        await page.waitForFunction(wrong, null, { timeout: 20_000 });
      });
      await take('done', (page) => paired(page));
      const happenings = async (page) => {
        await stage.evaluate(() => { globalThis.devices.porch.board.rights = ['view', 'events']; });
        await paired(page);
        await pause(page, 700);
        const viewer = 'axfR8uEsQkf4vOblY6RA8n';
        const tablet = 'The tablet in the kitchen, beside the window';
        await to('porch', 'happen',
          { kind: 'pair', at: 1767225600, viewer, name: 'Anna\u2019s phone', rights: ['view'] },
          { kind: 'start', at: 1767225660, viewer, name: 'Anna\u2019s phone' },
          { kind: 'refuse', at: 1767225720, viewer, name: tablet, reason: 'busy' });
        await page.waitForFunction(() => document.querySelectorAll('.toast').length === 3);
        await pause(page, 400);
      };
      await take('activity', happenings);
      await take('activity-ring', async (page) => {
        await stage.evaluate(() => { globalThis.devices.porch.board.rights = ['view', 'events']; });
        await paired(page);
        await pause(page, 700);
        await to('porch', 'happen', { kind: 'doorbell', at: 1767225600 });
        await page.waitForSelector('.toast .answer');
        await pause(page, 400);
      });
      await take('activity-list', async (page) => {
        await happenings(page);
        await to('porch', 'happen', {
          kind: 'end', at: 1767229300, viewer: 'axfR8uEsQkf4vOblY6RA8n', name: 'Anna\u2019s phone', seconds: 3640,
        });
        await page.click('#bell');
        await pause(page, 400);
      });
      await take('keyring', async (page) => {
        await paired(page);
        await paired(page, 'gate');
        await page.click('#keys');
        await page.click('#keyring-list button');
        await pause(page, 300);
      });
      await take('keyring-empty', async (page) => {
        await page.click('#keys');
        await page.fill('[name=link]', 'https://x');
        await page.click('#keyring [type=submit]');
        await pause(page, 300);
      });
      await take('elsewhere', async (page) => {
        await paired(page);
        await page.evaluate(async () => {
          const open = indexedDB.open('fanlight');
          await new Promise((resolve) => { open.onsuccess = resolve; });
          const boards = open.result.transaction('boards', 'readwrite').objectStore('boards');
          const all = boards.getAll();
          await new Promise((resolve) => { all.onsuccess = resolve; });
          const it = { ...all.result[0], broker: 'wss://cameras.example.org/mqtt', device: 'stable', name: 'Stable' };
          boards.put(it, 'x');
          await new Promise((resolve) => { boards.transaction.oncomplete = resolve; });
          open.result.close();
        });
        await page.goto(`${site.url}/?device=porch`);
        await state(page, 'live', 20_000);
        await pause(page, 500);
      });
    }
  }
  const wrongKey = async (page) => {
    await paired(page, 'gate');
    await to('gate', 'forget');
    await device('gate', { keys: true });
    await page.goto(`${site.url}/?device=gate`);
    await pause(page, 2500);
  };
  await shot('pair-wrong-board', { size: [1280, 800], path: '/?device=gate' }, wrongKey);
  await shot('pair-wrong-board-phone', { ...phone, path: '/?device=gate', scheme: 'light' }, wrongKey);
}

// Boards that take commands: privacy, the sheet with the settings, zoom and talk.
if (wants('board-')) {
  const rights = ['view', 'listen', 'control', 'snapshot', 'talk'];
  await device('attic', { keys: true, commands: rights, talk: true, turns: true });
  await device('stair', { keys: true, commands: ['view', 'listen'] });
  await pause(stage, 500);
  const live = async (page, name = 'attic') => {
    const link = await stage.evaluate(([it, at]) => globalThis.devices[it].invite(at), [name, site.url]);
    await page.evaluate((it) => { location.hash = it; }, link.split('#')[1]);
    await page.waitForSelector('#pairing[open]');
    await page.click('#pairing [type=submit]');
    await page.waitForFunction((it) => [...document.querySelectorAll('fanlight-viewer')].some(
      (one) => one.device === it && one.state === 'live'
    ), name, { timeout: 20_000 }).catch(() => problems.push('board: not live'));
    await page.evaluate(() => document.querySelector('#notices .close')?.click());
    await pause(page, 500);
  };
  const there = (page, wanted) => page.waitForFunction(
    (it) => document.querySelector('fanlight-viewer').shadowRoot.querySelector(it), wanted, { timeout: 15_000 }
  );
  const inside = (page, at) => page.locator(`fanlight-viewer ${at}`);
  const sheet = async (page) => {
    await page.mouse.move(600, 300);
    await inside(page, '.gear').click();
    await page.waitForFunction(
      () => document.querySelector('fanlight-viewer').shadowRoot.querySelector('.sheet dl')?.childElementCount > 0
    );
    await pause(page, 500);
  };
  const stop = async (page, name = 'attic') => {
    await stage.evaluate((it) => globalThis.devices[it].commands.stopBy('Anna\u2019s phone'), name);
    await page.waitForFunction(() => /Anna/.test(
      document.querySelector('fanlight-viewer').shadowRoot.querySelector('.panel p').textContent
    )).catch(() => problems.push('board: nobody is named'));
    await pause(page, 400);
  };
  for (const [size, more] of [
    ['desk', { size: [1280, 800] }], ['phone', { size: [390, 844], isMobile: true, hasTouch: true }],
  ]) {
    for (const [scheme, kind] of [
      ['dark', { scheme: 'dark' }], ['light', { scheme: 'light', locale: 'de-DE' }],
      ['forced', { forcedColors: 'active' }], ['rtl', { dir: 'rtl' }],
    ]) {
      // Colours and directions differ only where there is much to see.
      const most = ['forced', 'rtl'].includes(scheme) ? ['sheet', 'privacy-sure', 'talk-on', 'zoom'] : null;
      const take = async (name, steps, at = 'attic') => (most && !most.includes(name) ? null : shot(
        `board-${name}-${size}-${scheme}`, { ...more, ...kind, path: `/?device=${at}` }, async (page) => {
        await stage.evaluate(() => {
          for (const it of ['attic', 'stair'])
            Object.assign(
              globalThis.devices[it].commands, { privacy: { on: false, change: 0, by: 'nobody' }, talker: null }
            );
          for (const it of ['attic', 'stair']) globalThis.devices[it].media({ video: 'ok', audio: 'ok' });
        });
        await steps(page);
      }));
      await take('live', async (page) => {
        await live(page);
        await page.mouse.move(600, 300);
        await pause(page, 600);
      });
      await take('sheet', async (page) => { await live(page); await sheet(page); });
      await take('sheet-end', async (page) => {
        await live(page);
        await sheet(page);
        await inside(page, '.sheet .body').evaluate((it) => it.scrollTo(0, 9999));
        await inside(page, '.sheet').getByRole('button', { name: /full size|voller Größe/ }).click();
        await pause(page, 600);
      });
      await take('privacy', async (page) => { await live(page); await stop(page); });
      await take('privacy-sure', async (page) => {
        await live(page);
        await stop(page);
        await inside(page, '.panel .action').first().click();
        await pause(page, 400);
      });
      await take('privacy-sheet', async (page) => { await live(page); await stop(page); await sheet(page); });
      await take('zoom', async (page) => {
        await live(page, 'stair');
        await page.mouse.move(page.viewportSize().width / 2, 400);
        await inside(page, '.snap').focus();
        for (let n = 0; n < 4; n++) await page.keyboard.press('+');
        await pause(page, 600);
      }, 'stair');
      await take('talk-ask', async (page) => {
        await live(page);
        await page.mouse.move(page.viewportSize().width / 2, 300);
        await inside(page, '.talk').click();
        await there(page, '.ask[open]');
        await pause(page, 300);
      });
      const talk = async (page) => {
        await page.context().grantPermissions(['microphone']);
        await live(page);
        await page.mouse.move(page.viewportSize().width / 2, 300);
        await pause(page, 300);
        await inside(page, '.talk').click();
      };
      await take('talk-on', async (page) => {
        await talk(page);
        await there(page, '.talk[data-is="on"]');
        await pause(page, 500);
      });
      await take('talk-busy', async (page) => {
        await stage.evaluate(() => { globalThis.devices.attic.commands.talker = 'The tablet in the kitchen'; });
        await talk(page);
        await there(page, '.voice button:not([hidden])');
        await pause(page, 500);
      });
      await take('privacy-others', async (page) => { await live(page, 'stair'); await stop(page, 'stair'); }, 'stair');
    }
  }
  for (const name of ['attic', 'stair']) await to(name, 'forget');
}

await shot('device-lost', {}, async (page) => {
  await state(page, 'live');
  await to('garden', 'leave', 'shutdown');
  await pause(page, 700);
});
await device('garden');
await shot('broker-down-live', {}, async (page) => {
  await state(page, 'live');
  await broker.stop();
  await pause(page, 2500);
});
await broker.stop();
const open = await serve(null);
const strict = await Broker.start('', 'allow_anonymous false\n');
const locked = {
  before: (page) =>
    page.route(
      '**/config.json', (route) => route.fulfill({ json: { broker: strict.url, user: 'nobody', password: 'x' } })
    ),
  at: open,
};
await shot('refused', locked, async (page) => pause(page, 1500));
await shot(
  'refused-viewer', { ...locked, path: '/?device=garden', scheme: 'light' }, async (page) => pause(page, 1500)
);
await strict.stop();
await shot('broker-down', {}, async (page) => pause(page, 2500));
await shot('broker-down-list', { path: '/?device=' }, async (page) => pause(page, 2500));
await shot('broker-down-four', { path: '/?device=a,b,c,d' }, async (page) => pause(page, 2500));
const at = (url) =>
  ({
    before: (page) =>
      page.route('**/config.json', (route) => route.fulfill({ json: { broker: url, device: 'garden' } })),
    at: open,
  });
await shot('wrong-path', { ...at('/nothing') }, async (page) => pause(page, 2500));
await shot('untrusted', { ...at(`wss://127.0.0.1:${broker.port}/mqtt`) }, async (page) => pause(page, 2500));
await shot('broker-down-phone', { ...phone, scheme: 'light' }, async (page) => pause(page, 2500));

await chromium.close();
await open.close();
await site.close();
await bare.close();
await anywhere.close();
console.log(problems.length ? `\nPROBLEMS\n${problems.join('\n')}` : '\nno problems seen');
process.exit(problems.length ? 1 : 0);
