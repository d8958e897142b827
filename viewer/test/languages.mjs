// Languages and writing directions in a real browser, with a fake device: `npm run e2e`, after a build.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { layoutFaults } from './layout.mjs';
import { Broker, browser, serve } from './rig.mjs';

let broker, site, chromium, stage;
const device = (name, settings = {}) => stage.evaluate(([it]) => new Promise((resolve) => {
  new FakeDevice(it).client.once('connect', resolve);
}), [{ broker: broker.url, device: name, ...settings }]);
/** A page in a browser with the language `locale`. */
async function open(path, locale, settings = {}) {
  const context = await chromium.newContext({ locale, ...settings });
  const page = await context.newPage();
  await page.goto(site.url + path);
  return page;
}
const say = (page, text, where = '#change') =>
  page.waitForFunction(
    ([at, it]) => document.querySelector(at)?.textContent === it, [where, text], { timeout: 60_000 }
  );
const inViewer = (page, wanted, where) =>
  page.waitForFunction(
    ([at, it]) => document.querySelector('fanlight-viewer')?.shadowRoot.querySelector(at)?.textContent === it,
    [where, wanted], { timeout: 60_000 }
  );

before(async () => {
  broker = await Broker.start();
  site = await serve({ broker: broker.url });
  chromium = await browser();
  stage = await chromium.newPage();
  await stage.goto(`${site.url}/device.html?small`);
  await device('garden', { name: 'Garden' });
  await device('hall', { name: 'מסדרון', refuse: { code: 451, name: 'privacy', message: '' } });
  await device('workshop', { name: 'Werkstatt', media: { video: 'absent', audio: 'ok' }, viewers: 1 });
});
after(async () => {
  await chromium?.close();
  await site?.close();
  await broker?.stop();
});

test('the page speaks a language that the browser asks for, and says so', async () => {
  for (const [locale, lang, chip, camera] of [
    ['de-AT', 'de-AT', 'Broker verbunden', 'Online'], ['fr', 'en', 'Broker connected', 'Online'],
    ['en-GB', 'en-GB', 'Broker connected', 'Online'],
  ]) {
    const page = await open('/?device=garden', locale);
    await say(page, chip);
    await say(page, camera, '[data-device="garden"] small');
    assert.deepEqual(
      await page.evaluate(() => [document.documentElement.lang, document.documentElement.dir]), [lang, 'ltr'], locale
    );
    assert.equal(await page.getAttribute('fanlight-viewer', 'lang'), null);
    assert.equal(
      await page.evaluate(() => document.querySelector('fanlight-viewer').shadowRoot.querySelector('.frame').lang), lang
    );
    await page.context().close();
  }
});

test('plural forms and the dialog follow, and lang of the page changes all of it while it runs', async () => {
  const page = await open('/?device=garden,workshop', 'en');
  await say(page, '1 watching', '[data-device="workshop"] .who .spoken');
  await page.click('#change');
  await say(page, 'Change the connection', '#connect-title');
  await page.evaluate(() => { document.documentElement.lang = 'de'; });
  await say(page, '1 sieht zu', '[data-device="workshop"] .who .spoken');
  await say(page, 'Verbindung ändern', '#connect-title');
  assert.match(
    await page.textContent('#connect'), /Benutzer.*Passwort.*Auf diesem Gerät merken.*Abbrechen.*Verbinden/s
  );
  assert.equal(await page.getAttribute('[name=device]', 'placeholder'), 'alle');
  const labels = await page.evaluate(
    () =>
      [...document.querySelector('fanlight-viewer').shadowRoot.querySelectorAll('.bar button')].map(
        (it) => `${it.getAttribute('aria-label')}|${it.title}`
      )
  );
  assert.deepEqual(
    labels,
    [
      'Beenden|Beenden (k)', 'Ton|Ton (m)', 'Bild speichern|Bild speichern (s)', 'Statistik|Statistik (i)',
      'Bild im Bild|Bild im Bild (p)', 'Vollbild|Vollbild (f)',
    ]
  );
  await page.evaluate(() => { document.documentElement.lang = 'xx'; });
  await say(page, 'Change the connection', '#connect-title');
  assert.equal(await page.getAttribute('html', 'lang'), 'en', 'what is written is English');
  await page.context().close();
});

test('config.json and the address choose the language of the page', async () => {
  const page = await open('/?device=garden&lang=de', 'en');
  await say(page, 'Broker verbunden');
  assert.equal(await page.getAttribute('html', 'lang'), 'de');
  await page.context().close();
});

test('a component speaks the language of the nearest lang, out of shadow trees too, and changes with it', async () => {
  const page = await open('/component.html', 'de');
  await page.waitForFunction(() => customElements.get('fanlight-viewer'));
  const put = (html) => page.evaluate(([url, it]) => {
    document.documentElement.removeAttribute('lang');
    document.body.innerHTML = it.replace('<viewer', `<fanlight-viewer broker="${url}" device="garden" manual controls`);
  }, [broker.url, html]);
  const panel = (text) => inViewer(page, text, '.panel p');
  const [english, german] = ['Not watching', 'Das Bild ist aus'];
  await put('<viewer>');
  await panel(german); // by the browser's language
  for (const [html, text] of [
    ['<viewer lang="en">', english], ['<p lang="en"><viewer>', english],
    ['<p lang="en"><b lang="de-CH"><viewer>', german], ['<p lang="fr"><viewer>', german],
  ]) {
    await put(html);
    await panel(text);
  }
  const set = (where, lang) =>
    page.evaluate(([at, it]) => document.querySelector(at).setAttribute('lang', it), [where, lang]);
  await set('p', 'en');
  await panel(english);
  await set('fanlight-viewer', 'de');
  await panel(german);
  await page.evaluate(() => { document.querySelector('fanlight-viewer').removeAttribute('lang'); });
  await panel(english);
  await page.evaluate(() => document.body.append(document.querySelector('fanlight-viewer')));
  await panel(german); // moved out of the English part
  // In the shadow tree of another component.
  await page.evaluate(() => {
    document.body.innerHTML = '<article lang="en"></article>';
    const root = document.querySelector('article').attachShadow({ mode: 'open' });
    root.append(Object.assign(document.createElement('fanlight-viewer'), { device: 'no/id', broker: '/mqtt' }));
    globalThis.inner = root.querySelector('fanlight-viewer').shadowRoot;
  });
  const text = () => page.evaluate(() => globalThis.inner.querySelector('.panel').innerText);
  await page.waitForFunction(() => globalThis.inner.querySelector('.panel h2').textContent === 'A setting is wrong');
  assert.match(await text(), /The attribute “device” is “\u2068no\/id\u2069”/);
  await set('article', 'de');
  await page.waitForFunction(
    () => globalThis.inner.querySelector('.panel h2').textContent === 'Eine Einstellung stimmt nicht'
  );
  assert.match(await text(), /Das Attribut „device“ ist „\u2068no\/id\u2069“/);
  await page.context().close();
});

test('what the device says itself stays as it is and is marked as English; what has a code is translated', async () => {
  const page = await open('/?device=hall', 'de');
  await inViewer(page, 'Privatsphäre ist an', '.panel h2');
  await device('odd', { refuse: { code: 400, name: 'bad_request', message: 'sdp: too many m-lines' } });
  await page.goto(`${site.url}/?device=odd`);
  await inViewer(page, 'Die Kamera hat die Anfrage nicht verstanden', '.panel h2');
  await inViewer(page, 'sdp: too many m-lines', '.panel .detail');
  assert.equal(
    await page.evaluate(
      () => document.querySelector('fanlight-viewer').shadowRoot.querySelector('.panel .detail').lang
    ),
    'en'
  );
  await page.context().close();
});

const VIEWS = [
  [
    'one picture with its figures', '/?device=garden&stats',
    (page) => page.waitForFunction(() => document.querySelector('fanlight-viewer')?.statistics),
  ],
  [
    'several, one of them with a Hebrew name and covered',
    '/?device=garden,hall,workshop,nobody',
    (page) =>
      page.waitForFunction(
        () => [...document.querySelectorAll('fanlight-viewer')].map((it) => it.label).includes('מסדרון')
      ),
  ],
  [
    'a list to choose from', '/?device=',
    (page) => page.waitForFunction(() => document.querySelectorAll('#devices li').length >= 3),
  ],
  ['the dialog', '/?device=garden', (page) => page.click('#change')],
  ['a broker that is not there', '/?broker=x&device=garden', async (page) => {
    const it = `wss://127.0.0.1:${broker.port}/mqtt`;
    await page.route(
      '**/config.json', (route) => route.fulfill({ json: { broker: it, device: 'garden', brokr: 'x' } })
    );
    await page.reload();
    await page.waitForFunction(
      () => document.querySelector('fanlight-viewer')?.shadowRoot.querySelector('.look')?.checkVisibility()
    );
  }],
];
for (const [what, path, reach] of VIEWS) {
  test(`nothing overlaps, is cut off or lies outside: ${what}`, async () => {
    const faults = [];
    const page = await open(path, 'en');
    await page.waitForFunction(() => document.documentElement.lang);
    await reach(page);
    for (const [width, height] of [[390, 844], [844, 390], [1280, 800]]) {
      await page.setViewportSize({ width, height });
      for (const [dir, lang] of [['rtl', 'de'], ['rtl', 'en'], ['ltr', 'de'], ['ltr', 'en']]) {
        await page.evaluate((it) => Object.assign(document.documentElement, it), { dir, lang });
        await page.mouse.move(width / 2, height / 2); // the controls are visible
        await page.evaluate(
          () => new Promise((resolve) => { requestAnimationFrame(() => requestAnimationFrame(resolve)); })
        );
        await page.evaluate(() => Promise.all([
          document, ...[...document.querySelectorAll('fanlight-viewer')].map((it) => it.shadowRoot),
        ]
          .flatMap((it) => it.getAnimations()).filter(
            (it) => it.effect.getComputedTiming().iterations !== Infinity
          ).map((it) =>
            it.finished.catch(() => {}))));
        faults.push(...(await page.evaluate(layoutFaults)).map((it) => `${width} x ${height}, ${dir}, ${lang}: ${it}`));
        if (width === 1280 && what.startsWith('several')) {
          const [list, pictures, name] = await page.evaluate(() => [document.querySelector(
            '#devices'
          ), document.querySelector('#stage'),
            document.querySelector('fanlight-viewer').shadowRoot.querySelector('.name')].map(
              (it) => it.getBoundingClientRect().left
            ));
          assert.equal(list > pictures, dir === 'rtl', 'the list is where reading begins');
          assert.equal(name > pictures + 250, dir === 'rtl', 'so is the name');
        }
      }
    }
    assert.deepEqual(faults, []);
    await page.context().close();
  });
}

test('faults of the layout are found', async () => {
  const page = await open('/component.html', 'en');
  const faults = async (html) => {
    await page.evaluate((it) => { document.body.innerHTML = it; }, html);
    return page.evaluate(layoutFaults);
  };
  assert.deepEqual(await faults('<p>one</p><p>two</p>'), []);
  assert.match((await faults('<p>one</p><p style="margin-top: -30px">two</p>')).join(), /"one" and p "two" overlap/);
  assert.match((await faults('<p style="width: 20px; white-space: nowrap">a long text</p>')).join(), /overflows/);
  assert.match((await faults('<p style="position: absolute; left: -20px">one</p>')).join(), /lies outside/);
  await page.context().close();
});
