// The mode `token` with the real daemon, a real broker and a real browser: the component watches with tokens of an
// issuer, replaces them in time, and loses the picture when they are taken back.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { JoseViewer, boardOf, request } from './jose_viewer.mjs';
import { Broker, Daemon, Stranger, browser, folder, serve, until, viewerFiles } from './processes.mjs';
import { TestIssuer, seconds, tokenPage, watchWithTokens } from './token_stage.mjs';

const s = {};
before(async () => {
  s.issuer = await TestIssuer.make();
  const file = path.join(folder('issuer'), 'issuer.jwk');
  fs.writeFileSync(file, JSON.stringify(s.issuer.jwk));
  s.broker = await Broker.start();
  s.listed = await JoseViewer.make('Listed');
  s.daemon = await Daemon.start(s.broker, {
    access: { mode: 'token', issuer_file: file, viewers: [s.listed.entry()] }, name: 'Front porch', log: 'debug',
    limits: { messages_per_second: 1000 }, video: { linger_s: 0 }, audio: { linger_s: 0 },
  });
  await s.listed.connect(s.broker, 'cam');
  s.witness = await Stranger.connect(s.broker, 'cam', 'witness');
  await s.witness.client.subscribeAsync('#', { qos: 1 });
  s.thumb = (await boardOf(s.witness)).thumb;
  s.site = await serve([viewerFiles], tokenPage);
  s.chromium = await browser();
});
after(async () => {
  await s.chromium?.close();
  for (const it of [s.listed, s.witness]) await it?.close();
  await s.daemon?.stop();
  await s.broker?.stop();
  s.site?.close();
});
afterEach(async () => {
  for (const context of s.chromium.contexts()) await context.close();
  await until('the camera is off', () => !isOn(), 60_000);
});

const isOn = () => s.daemon.threads().some((name) => name === 'video' || name === 'audio');
/** Opens a viewer whose tokens have these claims. `issued`: all tokens that it got. */
async function watch(claims = () => ({}), to = {}) {
  const issued = [];
  const target = { broker: s.broker.url, thumb: s.thumb, ...to };
  const viewer = await watchWithTokens(s.chromium, s.site, target, async ({ device, key }) => {
    const it = await claims({ device, key });
    if (it.no !== undefined || typeof it === 'string') return it;
    issued.push(await s.issuer.token(key, { aud: [device], ...it }));
    return issued.at(-1);
  });
  const wait = (what, probe) => until(`the viewer ${what}`, probe, 60_000).catch(async (error) => {
    const log = s.daemon.child.output.slice(-3000);
    throw new Error(`${error.message}\n${JSON.stringify(await viewer.seen())}\n${log}`);
  });
  const is = (wanted) => wait(`is ${wanted}`, async () => (await viewer.state()) === wanted);
  const reports = (name) =>
    wait(`reports ${name}`, async () => (await viewer.seen()).find((it) => it.startsWith(`${name} `)));
  return { ...viewer, issued, is, reports };
}
const claimsOf = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));

describe('a viewer with a token', () => {
  test('sees the picture, and the token is in no log, message or element', async () => {
    const viewer = await watch(() => ({ name: 'Anna' }));
    await viewer.is('live');
    assert.equal(await viewer.page.evaluate(() => document.querySelector('fanlight-viewer').label), 'Front porch');
    assert.equal(viewer.issued.length, 1);
    const secret = viewer.issued[0].split('.')[2];
    const elements = await viewer.page.evaluate(() =>
      document.documentElement.outerHTML + document.querySelector('fanlight-viewer').shadowRoot.innerHTML);
    const messages = s.witness.heard.map((it) => it.text).join();
    const places = { elements, console: viewer.told.join(), daemon: s.daemon.child.output, messages };
    for (const [where, text] of Object.entries(places))
      assert.ok(text.length === 0 || !text.includes(secret), `the token is in: ${where}`);
    assert.ok(s.witness.heard.some(({ topic }) => topic.includes('/req/')), 'the witness hears what the viewer says');
  });

  test('keeps the picture beyond the end of its token, until the service gives none', async (t) => {
    let refuse = null;
    const viewer = await watch(() => refuse ?? { exp: seconds() + 20 });
    await viewer.is('live');
    await viewer.forget();
    const first = claimsOf(viewer.issued[0]).exp;
    await until('a token has ended', () => viewer.issued.length >= 3 && seconds() > first + 2, 60_000);
    const log = s.daemon.child.output.slice(-6000);
    assert.deepEqual(await viewer.seen(), [], `the picture stopped\n${log}`);
    refuse = { no: 'logged out' };
    const last = claimsOf(viewer.issued.at(-1)).exp;
    await viewer.reports('token_refused');
    t.diagnostic(`the session ended ${(Date.now() / 1000 - last).toFixed(1)} s after its token`);
    assert.match(await viewer.panel(), /login service gives no access[^]*logged out/i);
    await until('the camera is off', () => !isOn(), 5000);
    refuse = null;
    await viewer.page.evaluate(() => void document.querySelector('fanlight-viewer').play());
    await viewer.is('live');
  });

  test('gets a new one if the board says that it has ended', async () => {
    let tokens = 0;
    // By the clock of the browser, which may be wrong, this says nothing.
    const viewer = await watch(() => ((tokens += 1) === 1 ? { iat: seconds() - 100, exp: seconds() - 50 } : {}));
    await viewer.is('live');
    assert.equal(viewer.issued.length, 2);
  });

  test('loses the picture within two seconds when it is on a deny list that came by MQTT', async (t) => {
    let refuse = null;
    const viewer = await watch(() => refuse ?? {});
    await viewer.is('live');
    refuse = { no: 'denied' };
    const list = await s.issuer.deny(1, [claimsOf(viewer.issued[0]).jti]);
    const at = performance.now();
    await s.witness.client.publishAsync(`fanlight/v1/cam/req/${s.issuer.id}`, list, { qos: 1, retain: true });
    await until('the camera is off', () => !isOn(), 10_000);
    const off = performance.now() - at;
    await viewer.reports('token_refused');
    t.diagnostic(`the camera was off after ${Math.round(off)} ms`);
    assert.ok(off < 2000, `${off} ms`);
  });

  test('does not watch another board that uses the name of its own', async () => {
    const other = await TestIssuer.make();
    const viewer = await watch(() => ({}), { thumb: other.thumb });
    await viewer.reports('other_board');
    assert.match(await viewer.panel(), /not the expected camera/i);
    assert.ok(!isOn());
  });
});

describe('a token', () => {
  test('for another board, or for the key of another viewer, is refused by the page', async () => {
    const anna = await JoseViewer.make('Anna');
    const rows = [[() => ({ aud: ['garden'] }), 'aud'], [() => s.issuer.token(anna.identity.jwk), 'cnf']];
    for (const [claims, why] of rows) {
      const viewer = await watch(claims);
      assert.match(await viewer.reports('token_unusable'), new RegExp(why));
      await viewer.close();
    }
    assert.ok(!isOn());
  });

  test('for another board, without its private key, or of another issuer, is refused by the board', async () => {
    const [anna, mallory] = [await JoseViewer.make('Anna'), await JoseViewer.make('Mallory')];
    const stranger = await TestIssuer.make();
    for (const it of [anna, mallory]) await it.connect(s.broker, 'cam');
    const good = await s.issuer.token(anna.identity.jwk);
    await anna.say(request(), { token: await s.issuer.token(anna.identity.jwk, { aud: ['garden'] }) });
    await anna.say(request(), { token: await stranger.token(anna.identity.jwk) });
    await mallory.say(request(), { token: good });
    // Under the name of the other viewer, too.
    const board = await mallory.board();
    const forged = await mallory.message(board, request(), { token: good, kid: anna.identity.thumb });
    await mallory.wire.client.publishAsync(`fanlight/v1/cam/req/${anna.id}`, forged, { qos: 1 });
    await s.listed.hello(); // the daemon answers in order
    const answers = [...anna.wire.heard, ...mallory.wire.heard].filter(({ topic }) => topic.includes('/rsp/'));
    assert.deepEqual(answers, []);
    assert.ok(!isOn());
    // It is a good token for whoever has the key.
    await anna.say(request(), { token: good });
    const { body } = await anna.reply(board, (it) => it.body.type === 'offer');
    await anna.say({ v: 1, type: 'bye', session: body.session, seq: 1 }, { token: good });
    await until('the camera is off', () => !isOn(), 30_000);
    for (const it of [anna, mallory]) await it.close();
  });
});
