// End-to-end test of the viewer with a fake device, Debian's mosquitto and Chromium: `npm run e2e`, after a build.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Broker, browser, here, serve } from './rig.mjs';

let broker, site, chromium, stage, page;
const device = (name, settings = {}) => stage.evaluate(([it]) => {
  globalThis.devices ??= {};
  globalThis.devices[it.device] = new FakeDevice(it);
  return new Promise((resolve) => globalThis.devices[it.device].client.once('connect', resolve));
}, [{ broker: broker.url, device: name, ...settings }]);
const to = (name, call, ...rest) =>
  stage.evaluate(([it, method, args]) => void globalThis.devices[it][method](...args), [name, call, rest]);
const heard = (name) => stage.evaluate((it) => globalThis.devices[it].heard, name);
const show = (attributes) => page.evaluate((it) => {
  document.body.replaceChildren();
  globalThis.viewer = document.createElement('fanlight-viewer');
  globalThis.told = [];
  for (const type of ['fanlight-state', 'fanlight-error'])
    globalThis.viewer.addEventListener(type, ({ detail }) => globalThis.told.push({ type, ...detail }));
  for (const [key, value] of Object.entries(it)) globalThis.viewer.setAttribute(key, value);
  document.body.append(globalThis.viewer);
}, { broker: broker.url, ...attributes });
const state = (wanted) => page.waitForFunction((it) => globalThis.viewer.state === it, wanted, { timeout: 15_000 });
const decoded = () => page.evaluate(async () => {
  for (const it of (await globalThis.viewer.peerConnection.getStats()).values())
    if (it.type === 'inbound-rtp' && it.kind === 'video') return it.framesDecoded;
  return 0;
});
const moves = async () => {
  const from = await decoded();
  await page.waitForFunction(async (least) => {
    for (const it of (await globalThis.viewer.peerConnection.getStats()).values())
      if (it.type === 'inbound-rtp' && it.kind === 'video' && it.framesDecoded > least) return true;
    return false;
  }, from + 15, { timeout: 10_000, polling: 200 });
};

before(async () => {
  broker = await Broker.start();
  site = await serve(null);
  chromium = await browser();
  stage = await chromium.newPage();
  await stage.goto(`${site.url}/device.html?small`);
  page = await chromium.newPage();
  await page.goto(`${site.url}/component.html`);
  await page.waitForFunction(() => customElements.get('fanlight-viewer'));
});
after(async () => {
  await chromium?.close();
  await site?.close();
  await broker?.stop();
});

test('offer mode: picture, sound, statistics, snapshot, in the order of the contract', async () => {
  await device('one');
  await show({ device: 'one', stats: '' });
  await state('live');
  await moves();
  await page.waitForFunction(
    () => globalThis.viewer.statistics?.delayBy === 'clock' && globalThis.viewer.statistics.fps > 0, null,
    { timeout: 10_000 }
  );
  const it = await page.evaluate(async () => {
    const bitmap = await createImageBitmap(await globalThis.viewer.snapshot());
    return {
      stats: globalThis.viewer.statistics, first: globalThis.viewer.firstPictureMs, size: [bitmap.width, bitmap.height],
      video: [globalThis.viewer.video.videoWidth, globalThis.viewer.video.videoHeight],
    };
  });
  assert.ok(it.first > 0 && it.first < 15_000);
  assert.deepEqual(it.size, it.video);
  assert.equal(it.stats.route.kind, 'direct');
  assert.equal(it.stats.audioCodec, 'opus');
  assert.ok(it.stats.fps > 0 && it.stats.bitrate > 0 && it.stats.delayMs < 5000);
  const messages = await heard('one');
  assert.equal(messages[0].type, 'offer');
  assert.deepEqual(messages.map((one) => one.seq), messages.map((_, i) => i));
  assert.ok(messages.some((one) => one.type === 'candidates' && one.end === true));
  assert.match(messages[0].sdp, /m=video[^\r]*\r\n(?:(?!m=).*\r\n)*a=rtpmap:\d+ H264/);
});

test('media health is told while the session runs, and stop says bye', async () => {
  await to('one', 'media', { video: 'absent', audio: 'ok' });
  await page.waitForFunction(() => globalThis.told.some((it) => it.video === 'absent'));
  await to('one', 'media', { video: 'ok', audio: 'ok' });
  await page.evaluate(() => globalThis.viewer.stop());
  await stage.waitForFunction(() => globalThis.devices.one.sessions.size === 0);
  assert.equal((await heard('one')).at(-1).reason, 'left');
  assert.equal(await page.evaluate(() => globalThis.viewer.state), 'idle');
});

test('request mode: the device offers, and gets its digest back', async () => {
  await device('two');
  await show({ device: 'two', mode: 'request' });
  await state('live');
  await moves();
  assert.deepEqual((await heard('two')).slice(0, 2).map((it) => it.type), ['request', 'answer']);
  await page.evaluate(() => globalThis.viewer.stop());
});

test('a lost broker stops no picture; when it is back the next call works', async () => {
  await device('three');
  await show({ device: 'three' });
  await state('live');
  const session = await page.evaluate(() => globalThis.viewer.watch.call.session);
  await broker.stop();
  await page.waitForFunction(() => !globalThis.viewer.watch.link.up);
  await moves();
  assert.equal(await page.evaluate(() => globalThis.viewer.state), 'live');
  await broker.run();
  await page.waitForFunction(() => globalThis.viewer.watch.link.up, null, { timeout: 30_000 });
  await moves();
  assert.equal(await page.evaluate(() => globalThis.viewer.watch.call.session), session);
  await stage.waitForFunction(() => globalThis.devices.three.client.connected, null, { timeout: 30_000 });
});

test('a device that starts anew is called anew', async () => {
  const session = await page.evaluate(() => globalThis.viewer.watch.call.session);
  await to('three', 'leave', 'shutdown');
  await page.waitForFunction(() => globalThis.viewer.state === 'offline');
  await device('three');
  await state('live');
  await moves();
  assert.notEqual(await page.evaluate(() => globalThis.viewer.watch.call.session), session);
});

test('a viewer whose network is cut finds its way again by a restart', async () => {
  const before = (await heard('three')).length;
  await page.evaluate(() => {
    const { call } = globalThis.viewer.watch;
    call.peer('lost', performance.now());
    globalThis.dispatchEvent(new Event('online'));
  });
  await stage.waitForFunction(
    (from) => globalThis.devices.three.heard.slice(from).some((it) => it.type === 'offer' && it.restart === true),
    before
  );
  await moves();
  await page.evaluate(() => globalThis.viewer.stop());
});

test('restarts that nobody hears or that are refused do not keep later ones from working', async () => {
  await device('deaf', { deafTo: 2, refuseRestarts: 1 });
  await show({ device: 'deaf' });
  await state('live');
  const before = await page.evaluate(() => globalThis.viewer.peerConnection.remoteDescription.sdp);
  await page.evaluate(() => {
    globalThis.viewer.watch.call.peer('lost', performance.now());
    globalThis.dispatchEvent(new Event('online'));
  });
  await page.waitForFunction((then) => {
    const { peerConnection: pc } = globalThis.viewer;
    return pc.signalingState === 'stable' && pc.remoteDescription.sdp !== then;
  }, before, { timeout: 20_000, polling: 100 });
  assert.equal((await heard('deaf')).filter((it) => it.restart).length, 4);
  await moves();
  assert.equal(await page.evaluate(() => globalThis.told.some((it) => it.type === 'fanlight-error')), false);
  await page.evaluate(() => globalThis.viewer.stop());
});

test('a broker that died without a word is noticed when the page wakes up', async () => {
  await show({ device: 'one' });
  await state('live');
  broker.child.kill('SIGSTOP');
  await page.evaluate(() => globalThis.dispatchEvent(new Event('online')));
  await page.waitForFunction(() => !globalThis.viewer.watch.link.up, null, { timeout: 6000 });
  await moves();
  broker.child.kill('SIGCONT');
  await page.waitForFunction(() => globalThis.viewer.watch.link.up, null, { timeout: 30_000 });
  await page.evaluate(() => globalThis.dispatchEvent(new Event('online')));
  assert.equal(
    await page.evaluate(
      () => new Promise((resolve) => setTimeout(() => resolve(globalThis.viewer.watch.link.up), 3500))
    ),
    true
  );
  await page.evaluate(() => globalThis.viewer.stop());
});

test('refusals are told by name, with the time of the next try', async () => {
  await device('four', { refuse: { code: 503, name: 'busy', message: 'full', retry_after_ms: 60_000 } });
  await show({ device: 'four' });
  await state('error');
  const told = (await page.evaluate(() => globalThis.told)).filter((it) => it.type === 'fanlight-error');
  assert.equal(told.length, 1);
  assert.equal(told[0].name, 'busy');
  assert.ok(told[0].retryInMs > 55_000 && told[0].retryInMs <= 61_000);
});

test('an answer for another call is refused', async () => {
  await device('five', { wrongHash: true });
  await show({ device: 'five' });
  await state('error');
  assert.equal((await page.evaluate(() => globalThis.told)).at(-1).name, 'hash_mismatch');
});

test('a broker that is lost while the camera is called is said instead of the step', async () => {
  const brief = await Broker.start();
  await device('asleep', { mute: true, broker: brief.url });
  await show({ device: 'asleep', broker: brief.url });
  await page.waitForFunction(() => globalThis.told.some((it) => it.step === 'offer'));
  await brief.stop();
  await page.waitForFunction(
    () =>
      /The connection to the broker was lost|The broker cannot be reached/.test(
        globalThis.viewer.shadowRoot.querySelector('.panel').innerText
      )
  );
  await page.evaluate(() => globalThis.viewer.stop());
});

const hide = (hidden) => page.evaluate((it) => {
  Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => (it ? 'hidden' : 'visible') });
  document.dispatchEvent(new Event('visibilitychange'));
}, hidden);
const sessions = (name, number) =>
  stage.waitForFunction(
    ([it, wanted]) => globalThis.devices[it].sessions.size === wanted, [name, number], { timeout: 20_000 }
  );

test('a picture that stands still is dimmed, says so though the controls rest, and recovers', async () => {
  await device('frozen', { name: 'Hall\u202e \u2028camera' });
  await show({ device: 'frozen', controls: '' });
  await state('live');
  await page.evaluate(() => {
    globalThis.viewer.shadowRoot.querySelector('.frame').classList.add('resting');
    globalThis.events = [];
    for (const type of ['waiting', 'playing'])
      globalThis.viewer.addEventListener(type, () => globalThis.events.push(type));
  });
  await to('frozen', 'freeze');
  await page.waitForFunction(
    () => globalThis.viewer.stale && !globalThis.viewer.shadowRoot.querySelector('.still').hidden, null,
    { timeout: 10_000 }
  );
  await page.waitForFunction(
    () =>
      ['.still', '.name', '.badge'].every(
        (it) => Number(getComputedStyle(globalThis.viewer.shadowRoot.querySelector(it)).opacity) === 1
      )
  );
  const seen = await page.evaluate(() => {
    const root = globalThis.viewer.shadowRoot;
    return {
      note: root.querySelector('.still').innerText, resting: root.querySelector('.frame').classList.contains('resting'),
      badge: root.querySelector('.badge').textContent,
      filter: getComputedStyle(root.querySelector('video')).filter, name: root.querySelector('.name').textContent,
      spoken: root.querySelector('.spoken').textContent,
      age: performance.now() - globalThis.viewer.playback.freshness.last,
      limit: globalThis.viewer.playback.freshness.limit,
    };
  });
  assert.match(seen.note, /The picture has stopped\s+Last picture \d+ seconds? ago/);
  assert.deepEqual(
    [seen.resting, seen.badge, seen.name, seen.spoken], [true, 'Not live', 'Hall camera', 'The picture has stopped']
  );
  assert.notEqual(seen.filter, 'none');
  assert.ok(seen.age >= seen.limit && seen.limit === 1000, JSON.stringify(seen));
  await to('frozen', 'thaw');
  await page.waitForFunction(
    () => !globalThis.viewer.stale && globalThis.viewer.shadowRoot.querySelector('.still').hidden, null,
    { timeout: 15_000 }
  );
  assert.deepEqual(await page.evaluate(() => globalThis.events), ['waiting', 'playing']);
  await page.evaluate(() => globalThis.viewer.stop());
});

test('a hidden page ends the call after a while and begins again at once when it is seen; ' +
  'keep-playing and picture-in-picture go on', async () => {
  await show({ device: 'one' });
  await state('live');
  await hide(true);
  await state('paused');
  await sessions('one', 0);
  assert.equal((await heard('one')).at(-1).reason, 'hidden');
  assert.deepEqual(
    await page.evaluate(() => [globalThis.viewer.paused, globalThis.viewer.peerConnection]), [true, null]
  );
  await hide(false);
  await state('live');
  await moves();
  const freeze = () => page.evaluate(() => document.dispatchEvent(new Event('freeze')));
  for (const [begin, end] of [
    [
      () => page.evaluate(() => { globalThis.viewer.keepPlaying = true; }),
      () => page.evaluate(() => { globalThis.viewer.keepPlaying = false; }),
    ],
    [() => page.evaluate(() => {
      Object.defineProperty(
        globalThis.viewer.shadowRoot, 'pictureInPictureElement',
        { configurable: true, get: () => globalThis.viewer.video }
      );
      globalThis.viewer.video.dispatchEvent(new Event('enterpictureinpicture'));
    }), () => page.evaluate(() => {
      delete globalThis.viewer.shadowRoot.pictureInPictureElement;
      globalThis.viewer.video.dispatchEvent(new Event('leavepictureinpicture'));
    })],
  ]) {
    await begin();
    await hide(true);
    await freeze(); // no timer runs later, so it must pause now
    assert.equal(await page.evaluate(() => globalThis.viewer.state), 'live');
    await end();
    await freeze();
    await state('paused');
    await hide(false);
    await state('live');
  }
  await page.evaluate(() => globalThis.viewer.stop());
});

test('only sound counts as seen while it can be heard', async () => {
  await device('radio', { media: { video: 'absent', audio: 'ok' } });
  await show({ device: 'radio' });
  await page.waitForFunction(
    () =>
      globalThis.viewer.peerConnection?.connectionState === 'connected'
        && globalThis.told.some((it) => it.video === 'absent')
  );
  const freeze = () => page.evaluate(() => document.dispatchEvent(new Event('freeze')));
  await hide(true);
  await freeze();
  await sessions('radio', 1);
  assert.notEqual(await page.evaluate(() => globalThis.viewer.state), 'paused');
  await page.evaluate(() => { globalThis.viewer.muted = true; });
  await freeze();
  await state('paused');
  await sessions('radio', 0);
  await hide(false);
  await sessions('radio', 1);
  await page.evaluate(() => globalThis.viewer.stop());
});

test('a viewer out of sight pauses, one that never was in sight does not call, ' +
  'and both go on when scrolled to', async () => {
  await device('below');
  await page.evaluate((url) => {
    document.body.replaceChildren();
    const spacer = Object.assign(document.createElement('div'), { style: 'height: 400vh' });
    globalThis.viewer = Object.assign(document.createElement('fanlight-viewer'), { broker: url, device: 'below' });
    document.body.append(spacer, globalThis.viewer);
  }, broker.url);
  await state('paused');
  assert.deepEqual(
    (await heard('below')).filter((it) => it.type !== 'bye' && it.type !== 'offer' && it.type !== 'candidates'), []
  );
  await page.evaluate(() => globalThis.viewer.scrollIntoView());
  await state('live');
  await page.evaluate(() => globalThis.scrollTo(0, 0));
  await state('paused');
  await sessions('below', 0);
  await page.evaluate(() => globalThis.viewer.scrollIntoView());
  await state('live');
  await page.evaluate(() => { globalThis.viewer.stop(); globalThis.scrollTo(0, 0); });
});

test('properties are attributes, before and after the element is known', async () => {
  const it = await page.evaluate(() => {
    const viewer = document.createElement('fanlight-viewer');
    const known = customElements.get('fanlight-viewer').observedAttributes;
    const wrong = [];
    for (const name of known) {
      const property = name.replace(/-(.)/g, (_, letter) => letter.toUpperCase());
      const is = typeof viewer[property];
      if (name === 'password') continue; // deliberately not an attribute
      viewer[property] = is === 'boolean' ? true : name === 'mode' ? 'request' : 'x';
      if (!viewer.hasAttribute(name)
        || viewer[property] !== (is === 'boolean' ? true : name === 'mode' ? 'request' : 'x'))
        wrong.push(name);
      if (is === 'boolean') viewer[property] = false;
      else viewer.removeAttribute(name);
      if (viewer.hasAttribute(name)) wrong.push(`${name} stays`);
      viewer.setAttribute(name, is === 'boolean' ? '' : name === 'mode' ? 'request' : 'y');
      if (viewer[property] !== (is === 'boolean' ? true : name === 'mode' ? 'request' : 'y'))
        wrong.push(`${name} from the attribute`);
    }
    viewer.password = 'secret';
    return { wrong, password: [viewer.password, viewer.outerHTML.includes('secret')], known };
  });
  assert.deepEqual([it.wrong, it.password], [[], ['secret', false]]);
  assert.ok(it.known.includes('name') && it.known.includes('keep-playing'));
  // Set before the script was loaded, as frameworks do.
  const early = await chromium.newPage();
  await early.goto(`${site.url}/device.html`);
  const taken = await early.evaluate(async () => {
    const viewer = Object.assign(
      document.createElement('fanlight-viewer'),
      {
        name: 'Porch', device: 'one', broker: 'wss://b.invalid/', muted: true, keepPlaying: true, volume: 0.5,
        manual: true,
      }
    );
    document.body.append(viewer);
    await import('/fanlight-viewer.js');
    return [
      viewer.getAttribute('name'), viewer.label, viewer.hasAttribute('muted'), viewer.hasAttribute('keep-playing'),
      viewer.volume, viewer.shadowRoot.querySelector('.name').textContent,
    ];
  });
  assert.deepEqual(taken, ['Porch', 'Porch', true, true, 0.5, 'Porch']);
  await early.close();
});

test('the name that the device gives itself is shown, until the page says another', async () => {
  await device('porch', { name: 'Front porch' });
  await show({ device: 'porch' });
  await page.waitForFunction(() => globalThis.viewer.shadowRoot.querySelector('.name').textContent === 'Front porch');
  await page.evaluate(() => { globalThis.viewer.name = 'Our porch'; });
  await page.waitForFunction(() => globalThis.viewer.shadowRoot.querySelector('.name').textContent === 'Our porch');
  await page.evaluate(() => globalThis.viewer.stop());
});

test('it behaves as media elements do', async () => {
  await show({ device: 'one', manual: '', poster: 'icon.svg' });
  const it = await page.evaluate(async () => {
    const { viewer } = globalThis;
    const events = [];
    for (const type of ['play', 'playing', 'pause', 'volumechange', 'loadedmetadata'])
      viewer.addEventListener(type, () => events.push(type));
    const before = [viewer.paused, viewer.muted, viewer.volume, viewer.poster, viewer.videoWidth];
    const poster = viewer.shadowRoot.querySelector('img.poster').getAttribute('src');
    await viewer.play();
    if (!events.includes('loadedmetadata'))
      await new Promise((resolve) => viewer.addEventListener('loadedmetadata', resolve, { once: true }));
    const playing = [viewer.paused, viewer.state, viewer.videoWidth > 0];
    viewer.volume = 0.25;
    viewer.volume = 0.25;
    viewer.muted = true;
    const sound = [viewer.video.volume, viewer.video.muted];
    const errors = [];
    for (const value of [1.1, -0.1, NaN, 'loud'])
      try { viewer.volume = value; } catch (error) { errors.push(error.name); }
    viewer.pause();
    const paused = [viewer.paused, viewer.state];
    const again = viewer.play();
    viewer.stop();
    const aborted = await again.catch((error) => error.name);
    viewer.device = 'no/id';
    const refused = await viewer.play().catch((error) => error.name);
    return { before, poster, playing, sound, errors, paused, aborted, refused, events };
  });
  assert.deepEqual(it.before, [true, false, 1, 'icon.svg', 0]);
  assert.equal(it.poster, 'icon.svg');
  assert.deepEqual(it.playing, [false, 'live', true]);
  assert.deepEqual(it.sound, [0.25, true]);
  assert.deepEqual(it.errors, ['IndexSizeError', 'IndexSizeError', 'TypeError', 'TypeError']);
  assert.deepEqual([it.paused, it.aborted, it.refused], [[true, 'paused'], 'AbortError', 'NotSupportedError']);
  assert.deepEqual(
    it.events.filter((type) => type !== 'loadedmetadata').slice(0, 5),
    ['play', 'playing', 'volumechange', 'volumechange', 'pause']
  );
  assert.ok(it.events.includes('loadedmetadata'));
});

test('buttons keep their names, tell their state by aria-pressed, and a camera without sound says so', async () => {
  await device('quiet', { noAudio: true, media: { video: 'ok', audio: 'absent' } });
  await show({ device: 'one', controls: '' });
  await state('live');
  const sound = () => page.evaluate(() => {
    const it = globalThis.viewer.shadowRoot.querySelector('.sound');
    return [
      it.getAttribute('aria-label'), it.getAttribute('aria-pressed'), it.getAttribute('aria-disabled') === 'true',
      it.title,
    ];
  });
  assert.deepEqual(await sound(), ['Sound', 'true', false, 'Sound (m)']);
  await page.evaluate(() => globalThis.viewer.shadowRoot.querySelector('.sound').click());
  assert.deepEqual(await sound(), ['Sound', 'false', false, 'Sound (m)']);
  await show({ device: 'quiet', controls: '' });
  await state('live');
  await page.waitForFunction(
    () => globalThis.viewer.shadowRoot.querySelector('.sound').getAttribute('aria-disabled') === 'true'
  );
  assert.deepEqual(await sound(), ['Sound', 'false', true, 'No sound from this camera']);
  // Touch screens have no tooltip.
  await page.evaluate(() => globalThis.viewer.shadowRoot.querySelector('.sound').click());
  assert.deepEqual(
    await page.evaluate(
      () => [globalThis.viewer.shadowRoot.querySelector('.toast').textContent, globalThis.viewer.muted]
    ),
    ['No sound from this camera', false]
  );
  await page.evaluate(() => globalThis.viewer.stop());
});

test('what the device says about its picture is shown on it', async () => {
  await device('odd');
  await show({ device: 'odd' });
  await state('live');
  await to(
    'odd',
    'media',
    {
      video: 'stalled', audio: 'stalled', video_reason: 'its H.264 pictures come out of order (B-frames)',
      audio_reason: 'nothing comes from it',
    }
  );
  await page.waitForFunction(
    () =>
      globalThis.viewer.shadowRoot.querySelector('.panel').innerText.includes(
        'Its H.264 pictures come out of order (B-frames).'
      )
  );
  assert.equal(
    await page.evaluate(() => globalThis.viewer.shadowRoot.querySelector('.sound').getAttribute('aria-description')),
    'The microphone is not responding: \u2068nothing comes from it\u2069'
  );
  await page.evaluate(() => globalThis.viewer.stop());
});

test('a broker’s address that is none is said at once and tried nowhere', async () => {
  const asked = [];
  page.on('request', (it) => asked.push(it.url()));
  await show({ device: 'one', broker: 'https//bad' });
  await state('error');
  const [error] = (await page.evaluate(() => globalThis.told)).filter((it) => it.type === 'fanlight-error');
  assert.equal(error.name, 'bad_setting');
  assert.match(error.message, /Did you mean https:\/\/bad/);
  assert.equal(error.retryInMs, null);
  assert.deepEqual(asked.filter((url) => url.includes('bad')), []);
});

/** A page with its own config.json. `tab.says(text)`: the chip shows this text. */
async function home(settings, path = '/', context = null) {
  const its = await serve(settings);
  const tab = await (context ?? chromium).newPage();
  tab.says = (text) =>
    tab.waitForFunction((it) => document.getElementById('change').textContent === it, text, { timeout: 20_000 });
  tab.url0 = its.url;
  await tab.goto(its.url + path);
  return { tab, its, async end() { await tab.close(); await its.close(); } };
}

test('the page follows a broker that moved in config.json', async () => {
  const old = await Broker.start();
  const settings = { broker: old.url };
  const { tab, end } = await home(settings);
  await tab.says('Broker connected');
  await old.stop();
  await tab.says('Broker not connected');
  settings.broker = broker.url;
  await tab.says('Broker connected');
  await end();
});

test('config.json’s broker wins over the address; without one the address may name it, and gets no login', async () => {
  const other = await Broker.start();
  const named = `/?broker=${encodeURIComponent(other.url)}&user=eve&device=one`;
  const first = await home({ broker: broker.url, user: 'hall', password: 'secret' }, named);
  await first.tab.says('Broker connected');
  assert.deepEqual(
    await first.tab.evaluate(() => {
      const it = document.querySelector('fanlight-viewer');
      return [it.broker, it.user, it.device];
    }),
    [broker.url, 'hall', 'one']
  );
  assert.match(await first.tab.textContent('#notices'), /names another broker .*It is ignored/);
  await first.end();
  const second = await home(null, named);
  await second.tab.says('Broker connected');
  assert.deepEqual(
    await second.tab.evaluate(() => {
      const it = document.querySelector('fanlight-viewer');
      return [it.broker, it.user, it.password];
    }),
    [other.url, 'eve', '']
  );
  await second.tab.click('#change');
  assert.match(
    await second.tab.textContent('#warning'), /The link that you opened names the broker \u2068127\.0\.0\.1:\d+/
  );
  assert.equal(await second.tab.getAttribute('[name=password]', 'autocomplete'), 'new-password');
  await second.end();
  await other.stop();
});

test('a refused login has buttons; the login that is typed is kept for the tab, ' +
  'longer only when asked, and for no other broker', async () => {
  writeFileSync(join(here, '.work/passwords'), ''); // mosquitto requires the file
  execFileSync('mosquitto_passwd', ['-b', join(here, '.work/passwords'), 'anna', 'pw']);
  const strict = await Broker.start('', `allow_anonymous false\npassword_file ${join(here, '.work/passwords')}\n`);
  const context = await chromium.newContext();
  const settings = { broker: strict.url, device: 'one' };
  const { tab, its } = await home(settings, '/', context);
  await tab.says('Login refused');
  const panel = tab.locator('fanlight-viewer .panel');
  await panel.getByRole('button', { name: 'Log in' }).waitFor();
  assert.match(
    await panel.innerText(),
    new RegExp(`refused the login\\s+ws://127\\.0\\.0\\.1:${strict.port}/mqtt asks for a user and a password`)
  );
  await panel.getByRole('button', { name: 'Change address' }).waitFor();
  await panel.getByRole('button', { name: 'Log in' }).click();
  assert.equal(
    await tab.evaluate(() => document.getElementById('dialog').matches(':modal') && document.activeElement.name), 'user'
  );
  await tab.fill('[name=user]', 'anna');
  await tab.fill('[name=password]', 'pw');
  await tab.click('#connect [type=submit]');
  await tab.says('Broker connected');
  await tab.reload();
  await tab.says('Broker connected');
  const fresh = await context.newPage();
  await fresh.goto(its.url);
  await fresh.waitForFunction(
    () => document.getElementById('change').textContent === 'Login refused', null, { timeout: 20_000 }
  );
  await fresh.close();
  // Another broker of the same page gets no login.
  settings.broker = broker.url;
  await tab.reload();
  await tab.says('Broker connected');
  assert.deepEqual(
    await tab.evaluate(() => { const it = document.querySelector('fanlight-viewer'); return [it.user, it.password]; }),
    ['', '']
  );
  settings.broker = strict.url;
  await tab.reload();
  await tab.says('Broker connected');
  await tab.click('#change');
  await tab.check('[name=remember]');
  await tab.fill('[name=password]', 'pw');
  await tab.click('#connect [type=submit]');
  await tab.says('Broker connected');
  const later = await context.newPage();
  await later.goto(its.url);
  await later.waitForFunction(
    () => document.getElementById('change').textContent === 'Broker connected', null, { timeout: 20_000 }
  );
  // The password in the form is removed if another broker is typed.
  await later.click('#change');
  await later.fill('[name=password]', 'pw');
  await later.fill('[name=broker]', 'wss://evil.example/mqtt');
  await later.press('[name=broker]', 'Tab');
  assert.equal(await later.inputValue('[name=password]'), '');
  await context.close();
  await its.close();
  await strict.stop();
});

test('why there is no broker is said with its address, and the list is not called online', async () => {
  const old = await Broker.start();
  const { tab, its } = await home({ broker: old.url });
  await stage.evaluate(
    (it) => new Promise((resolve) => { new FakeDevice(it).client.once('connect', () => setTimeout(resolve, 300)); }),
    { broker: old.url, device: 'lonely' }
  );
  await tab.waitForFunction(() => document.querySelector('[data-device="lonely"] small')?.textContent === 'Online');
  await old.stop();
  await tab.waitForFunction(
    () =>
      document.querySelector('[data-device="lonely"]').dataset.is === 'unknown'
        && document.querySelector('[data-device="lonely"] small').textContent === 'Unknown, was online'
  );
  await tab.waitForFunction(
    (port) =>
      new RegExp(
        `No connection to ws://127\\.0\\.0\\.1:${port}/mqtt|ws://127\\.0\\.0\\.1:${port}/mqtt no longer answers`
      ).test(document.getElementById('hint-text').textContent),
    old.port
  );
  await tab.getByRole('button', { name: 'Change address' }).waitFor();
  await tab.close();
  await its.close();
  for (const [url, why] of [
    ['/nothing', /A web server answers at ws:.*\/nothing, but no broker \(HTTP 404\)/],
    [`wss://127.0.0.1:${broker.port}/mqtt`, /does not trust its certificate/],
    ['https//bad', /Did you mean https:\/\/bad/],
  ]) {
    const it = await home({ broker: url });
    await it.tab.waitForFunction(
      ([source]) => new RegExp(source).test(document.getElementById('hint-text').textContent), [why.source],
      { timeout: 20_000 }
    );
    await it.end();
  }
});

test('a config.json that is wrong is told in words', async () => {
  for (const [body, why] of [
    ['{\n "broker": "/mqtt",\n}', /line 2: remove the comma/],
    [JSON.stringify({ brokr: '/mqtt' }), /did you mean “broker”/],
  ]) {
    const its = await serve(null);
    const tab = await chromium.newPage();
    await tab.route('**/config.json', (route) => route.fulfill({ body, contentType: 'application/json' }));
    await tab.goto(its.url);
    await tab.waitForFunction(
      ([source]) => new RegExp(source).test(document.getElementById('notices').textContent), [why.source]
    );
    assert.equal(await tab.evaluate(() => document.getElementById('dialog').open), true);
    await tab.close();
    await its.close();
  }
});

test('two thousand false cameras with huge numbers hide no name and no camera', async () => {
  const crowd = await Broker.start('', 'allow_anonymous true\nmax_queued_messages 0\n');
  const { tab, end } = await home({ broker: crowd.url });
  await tab.says('Broker connected');
  await stage.evaluate(async (url) => {
    const it = new FakeDevice({ broker: url, device: 'zzz-true', name: 'The true one', viewers: 2 ** 53 - 1 });
    await new Promise((resolve) => it.client.once('connect', resolve));
    for (let i = 0; i < 2000; i++) {
      it.client.publish(
        `fanlight/v1/fake-${i}/status`,
        JSON.stringify({
          v: 1, state: 'online', epoch: 'e', conn: 1, media: { video: 'ok', audio: 'ok' }, viewers: 2 ** 53 - 1,
          max_viewers: 2 ** 53 - 1,
        }),
        { qos: 0, retain: true }
      );
    }
  }, crowd.url);
  await tab.waitForFunction(() => document.getElementById('count').textContent === '2,001', null, { timeout: 60_000 });
  assert.equal(await tab.locator('#devices li').count(), 100);
  assert.match(await tab.textContent('#more'), /1,901 more are not shown\. Type a part of a name/);
  await tab.fill('#find', 'true');
  await tab.waitForFunction(() => document.querySelectorAll('#devices li').length === 1);
  const row = await tab.evaluate(() => {
    const [name, who, button] = ['b', '.who .spoken', 'button'].map(
      (it) => document.querySelector(`[data-device="zzz-true"] ${it}`)
    );
    return {
      name: name.textContent, wide: name.getBoundingClientRect().width, who: who.textContent,
      inside: who.getBoundingClientRect().right <= button.getBoundingClientRect().right,
    };
  });
  assert.equal(row.name, 'The true one');
  assert.match(row.who, /^99\+ watching$/);
  assert.ok(row.wide > 80 && row.inside, JSON.stringify(row));
  await end();
  await crowd.stop();
});

test('the list knows of a dead camera from its picture, before the broker does', async () => {
  await device('dying');
  const { tab, end } = await home({ broker: broker.url, device: 'dying' });
  await tab.waitForFunction(
    () => document.querySelector('fanlight-viewer')?.state === 'live', null, { timeout: 20_000 }
  );
  assert.equal(await tab.textContent('[data-device="dying"] small'), 'Online');
  await to('dying', 'freeze');
  await tab.waitForFunction(
    () => document.querySelector('[data-device="dying"]').dataset.is === 'unknown', null, { timeout: 10_000 }
  );
  assert.equal(await tab.textContent('[data-device="dying"] small'), 'Picture stopped');
  await end();
});

test('every visible word of a button is in its name, and the dialog is one', async () => {
  const { tab, end } = await home({ broker: broker.url, device: 'one,two' });
  await tab.says('Broker connected');
  await tab.waitForFunction(
    () => {
      const all = [...document.querySelectorAll('fanlight-viewer')];
      return all.length === 2 && all.every((it) => it.state === 'live');
    }, null, { timeout: 20_000 }
  );
  await tab.click('#change');
  assert.equal(
    await tab.evaluate(() => document.querySelector('dialog:modal')?.getAttribute('aria-labelledby')), 'connect-title'
  );
  await tab.keyboard.press('Escape');
  const wrong = await tab.evaluate(() => {
    const roots = [document, ...[...document.querySelectorAll('fanlight-viewer')].map((it) => it.shadowRoot)];
    return roots.flatMap((root) => [...root.querySelectorAll('button, a, input')]).filter((it) => {
      const name = it.getAttribute('aria-label');
      const text = it.innerText?.trim();
      return it.checkVisibility()
        && (name !== null && text ? !name.includes(text) : !name && !text && !it.labels?.length);
    }).map((it) => it.outerHTML.slice(0, 120));
  });
  assert.deepEqual(wrong, []);
  await end();
});

test('several viewers share one connection, and leave nothing behind', async () => {
  await page.evaluate((url) => {
    document.body.replaceChildren();
    globalThis.many = ['one', 'two', 'one'].map((name) => {
      const it = document.createElement('fanlight-viewer');
      it.broker = url;
      it.device = name;
      it.style.width = '320px'; // all visible
      document.body.append(it);
      return it;
    });
  }, broker.url);
  await page.waitForFunction(() => globalThis.many.every((it) => it.state === 'live'), null, { timeout: 20_000 });
  assert.equal(await page.evaluate(() => new Set(globalThis.many.map((it) => it.watch.link)).size), 1);
  await page.evaluate(() => document.body.replaceChildren());
  await stage.waitForFunction(
    () => globalThis.devices.one.sessions.size === 0 && globalThis.devices.two.sessions.size === 0
  );
});
