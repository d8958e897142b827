// docs/examples/token-service with an OpenID provider that others wrote (oidc-provider), a real browser and the real
// daemon: who logs in gets tokens for what he may watch, and nobody else gets one.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import * as jose from 'jose';
import { boardOf, makeKey } from './jose_viewer.mjs';
import {
  Broker, Child, Daemon, Stranger, browser, folder, freePort, serve, top, until, viewerFiles,
} from './processes.mjs';
import { panelOf } from './token_stage.mjs';

const example = path.join(top, 'docs/examples/token-service');
const PEOPLE = {
  anna: { sub: 'anna', name: 'Anna', email: 'anna@example.org', email_verified: true, groups: ['family'] },
  bert: { sub: 'bert', name: 'Bert', email: 'bert@example.org', email_verified: false, groups: [] },
};
const s = {};
const { version } = process;
const skip = Number(version.slice(1).split('.')[0]) < 20 && `the example needs Node.js 20, and this is ${version}`;

/** A provider whose own pages ask for a login, and let everybody in. */
async function startProvider(redirect) {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const { Provider } = await import('oidc-provider');
  const provider = new Provider(url, {
    clients: [{
      client_id: 'cameras', client_secret: 'not so secret', redirect_uris: [redirect],
      grant_types: ['authorization_code'], response_types: ['code'],
    }],
    claims: { openid: ['sub'], profile: ['name', 'groups'], email: ['email', 'email_verified'] },
    findAccount: (_, id) => PEOPLE[id] && { accountId: id, claims: () => PEOPLE[id] },
    pkce: { required: () => true },
    cookies: { keys: ['test'] },
    features: { devInteractions: { enabled: true } },
  });
  provider.on('server_error', (_, error) => console.error(`provider: ${error.stack}`));
  const server = http.createServer(provider.callback());
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  return { url, close: () => { server.closeAllConnections(); server.close(); } };
}

function writeRights(grants) {
  const garden = { broker: s.broker.url, thumb: s.thumb };
  const boards = { cam: { name: 'Front porch', ...garden }, garden };
  fs.writeFileSync(path.join(s.dir, 'rights.json'), JSON.stringify({ boards, grants }));
}
const GRANTS = [
  { claim: 'groups', value: 'family', boards: ['cam'], rights: ['view', 'listen'] },
  { claim: 'email', value: 'bert@example.org', boards: ['*'], rights: ['view'] }, // not verified, so it does not count
];

before(async () => {
  if (skip) return;
  s.broker = await Broker.start();
  // The example as a user installs it, with the packages of the tests.
  s.dir = path.join(folder('service'), 'token-service');
  fs.cpSync(example, s.dir, { recursive: true });
  fs.rmSync(path.join(s.dir, 'node_modules'), { recursive: true, force: true });
  fs.symlinkSync(path.join(top, 'tests/browser/node_modules'), path.join(s.dir, 'node_modules'));
  const key = await makeKey('sign');
  s.issuer = { ...key, id: key.thumb.slice(0, 22) };
  fs.writeFileSync(path.join(s.dir, 'issuer.key'), JSON.stringify(await jose.exportJWK(key.secret)));
  fs.writeFileSync(path.join(s.dir, 'issuer.jwk'), JSON.stringify(key.jwk));
  fs.writeFileSync(path.join(s.dir, 'client.secret'), 'not so secret\n');
  s.daemon = await Daemon.start(s.broker, {
    access: { mode: 'token', issuer_file: path.join(s.dir, 'issuer.jwk') }, name: 'Front porch',
    video: { linger_s: 0 }, audio: { linger_s: 0 },
  });
  s.witness = await Stranger.connect(s.broker, 'cam', 'witness');
  s.thumb = (await boardOf(s.witness)).thumb;
  writeRights(GRANTS);
  const port = await freePort();
  s.url = `http://127.0.0.1:${port}`;
  s.provider = await startProvider(`${s.url}/callback`);
  fs.writeFileSync(path.join(s.dir, 'settings.json'), JSON.stringify({
    ...readJson(path.join(example, 'settings.example.json')), url: s.url, port, provider: s.provider.url,
    viewer: viewerFiles, publish: ['mosquitto_pub', '-h', '127.0.0.1', '-p', String(s.broker.tcp), '-r', '-q', '1',
      '-t', 'fanlight/v1/{device}/req/{issuer}', '-f', '{file}'],
  }));
  s.service = new Child(process.execPath, ['service.mjs', 'settings.json'], { cwd: s.dir });
  const ended = s.service.ended.then((code) => { throw new Error(`the service ended: ${code} ${s.service.output}`); });
  await Promise.race([s.service.said('"listens"'), ended]);
  ended.catch(() => {});
  s.chromium = await browser();
});
after(async () => {
  await s.chromium?.close();
  await s.service?.stop();
  s.provider?.close();
  await s.witness?.close();
  await s.daemon?.stop();
  await s.broker?.stop();
});

/** Logs in as people do. Returns the page behind the login. */
async function login(name) {
  const page = await (await s.chromium.newContext()).newPage();
  page.on('pageerror', (error) => console.error(`page: ${error.message}`));
  // The pages of the provider ask for a font elsewhere, and nothing answers here.
  await page.route(({ hostname }) => hostname !== '127.0.0.1', (route) => route.abort());
  await page.goto(s.url);
  await page.click('text=Log in');
  await page.fill('[name=login]', name);
  await page.fill('[name=password]', 'any');
  await page.click('[type=submit]');
  // The provider asks whether the page may know who it is.
  await page.waitForSelector('text=Authorize');
  await page.click('[type=submit]');
  await page.waitForURL(`${s.url}/`);
  await page.waitForSelector('#logout:not([hidden])');
  return page;
}

/** Asks for a token in the page, as its own script does. */
const ask = (page, device, key) => page.evaluate(async (body) => {
  const headers = { 'content-type': 'application/json' };
  const answer = await fetch('/token', { method: 'POST', headers, body: JSON.stringify(body) });
  return { status: answer.status, text: await answer.text() };
}, { device, key });
/** Asks for a token without a browser. */
const post = (body, headers) => fetch(`${s.url}/token`, {
  method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body),
  headers: { origin: s.url, 'content-type': 'application/json', ...headers },
});
/** The tokens that the service logged. */
const issued = () =>
  s.service.output.split('\n').filter((line) => line.startsWith('{"issued"')).map((line) => JSON.parse(line));
const isLive = () => document.querySelector('fanlight-viewer')?.state === 'live';
const live = (page) => page.waitForFunction(isLive, null, { timeout: 60_000 }).catch(async ({ message }) => {
  const log = s.daemon.child.output.slice(-2000);
  throw new Error([message, await panelOf(page), s.service.output, log].join('\n'));
});
const readJson = (file) => JSON.parse(fs.readFileSync(file, 'utf8'));
/** The content of the deny list. Its signature is not checked. */
const denied = () => jose.decodeJwt(fs.readFileSync(path.join(s.dir, 'deny.jws'), 'utf8'));

describe('a person who logs in', { skip }, () => {
  test('sees the cameras that the rights allow, and their pictures', async () => {
    const page = await login('anna');
    const shown = await page.evaluate(() => [...document.querySelectorAll('fanlight-viewer')].map((it) => it.device));
    assert.deepEqual(shown, ['cam']);
    await live(page);
    const [{ issued: jti, ...last }] = issued().slice(-1);
    const viewer = await page.evaluate(() => new Promise((resolve) => {
      indexedDB.open('fanlight').onsuccess = ({ target }) => {
        const keys = target.result.transaction('identity').objectStore('identity');
        keys.get('self').onsuccess = (it) => resolve(it.target.result.thumb.slice(0, 22));
      };
    }));
    assert.deepEqual(last, { device: 'cam', viewer, person: 'anna', rights: ['view', 'listen'] });
    assert.ok(jti);
    const cookies = await page.context().cookies(s.url);
    const session = cookies.find(({ name }) => name === 'session');
    assert.deepEqual([session.httpOnly, session.sameSite], [true, 'Lax']);
    assert.equal(await page.evaluate(() => document.cookie), '', 'no script reads the session');
    await page.context().close();
  });

  test('gets a token of fifteen minutes, for this board and this key', async () => {
    const page = await login('anna');
    const { jwk } = await makeKey('sign');
    const before = Date.now() / 1000;
    const { status, text } = await ask(page, 'cam', jwk);
    assert.equal(status, 200, text);
    const { payload, protectedHeader } = await jose.jwtVerify(text, s.issuer.open, {
      algorithms: ['ES256'], typ: 'fanlight-token', audience: 'cam',
    });
    assert.deepEqual(protectedHeader, { alg: 'ES256', typ: 'fanlight-token', kid: s.issuer.thumb });
    const { jti, iat, exp, ...rest } = payload;
    assert.deepEqual(rest, { aud: ['cam'], cnf: { jwk }, rights: ['view', 'listen'], name: 'Anna' });
    assert.match(jti, /^[\w-]{16}$/);
    assert.ok(exp - iat === 900 && Math.abs(iat - before) < 5 && Number.isInteger(iat), `${iat} ${exp}`);
    assert.ok(!s.service.output.includes(text.split('.')[2]), 'the token is in no log');
    await page.context().close();
  });

  test('gets no token for another board, or for what is not a public key', async () => {
    const page = await login('anna');
    const { jwk } = await makeKey('sign');
    const count = issued().length;
    for (const [device, key, status] of [
      ['garden', jwk, 403], ['nowhere', jwk, 403], ['__proto__', jwk, 403], ['cam', { ...jwk, d: jwk.x }, 400],
      ['cam', { ...jwk, y: jwk.x }, 400], ['cam', { ...jwk, crv: 'P-384' }, 400], ['cam', null, 400],
      ['cam', { ...jwk, x: ['a'] }, 400], [['cam'], jwk, 400],
      ['cam', { ...jwk, more: 'x'.repeat(5000) }, 400],
    ])
      assert.equal((await ask(page, device, key)).status, status, JSON.stringify([device, key]).slice(0, 200));
    await live(page);
    assert.ok(issued().length <= count + 1, 'only the viewer of the page itself may have asked');
    await page.context().close();
  });

  test('without rights sees no camera and gets no token; an address that is not verified gives none', async () => {
    const page = await login('bert');
    assert.equal(await page.evaluate(() => document.querySelectorAll('fanlight-viewer').length), 0);
    const { status, text } = await ask(page, 'cam', (await makeKey('sign')).jwk);
    assert.deepEqual([status, text], [403, 'This account may not watch this camera.']);
    await page.context().close();
  });

  test('cannot use a token for the key of another viewer', async () => {
    const page = await login('anna');
    const { text: foreign } = await ask(page, 'cam', (await makeKey('sign')).jwk);
    const said = await page.evaluate((token) => new Promise((resolve) => {
      const viewer = document.querySelector('fanlight-viewer');
      viewer.stop();
      const copy = document.createElement('fanlight-viewer');
      copy.addEventListener('fanlight-error', ({ detail }) => resolve(`${detail.name} ${detail.message}`));
      Object.assign(copy, { broker: viewer.broker, device: 'cam', thumb: viewer.thumb, tokens: async () => token });
      document.body.append(copy);
    }), foreign);
    assert.match(said, /^token_unusable cnf/);
    await page.context().close();
  });

  test('gets nothing more after logging out', async () => {
    const page = await login('anna');
    await page.click('#logout');
    await page.waitForSelector('a:visible');
    assert.equal((await ask(page, 'cam', (await makeKey('sign')).jwk)).status, 401);
    await page.context().close();
  });
});

describe('nobody else', { skip }, () => {
  test('gets a token without a login', async () => {
    const { jwk: key } = await makeKey('sign');
    for (const cookie of ['', 'session=', 'session=AAAA', 'login=AAAA'])
      assert.equal((await post({ device: 'cam', key }, { cookie })).status, 401, cookie);
    assert.equal((await fetch(`${s.url}/boards`)).status, 401);
  });

  test('can ask from another page, even while somebody is logged in', async () => {
    const page = await login('anna');
    const { jwk: key } = await makeKey('sign');
    const cookie = (await page.context().cookies(s.url)).map(({ name, value }) => `${name}=${value}`).join('; ');
    assert.equal((await post({ device: 'cam', key }, { cookie })).status, 200, 'the session is good');
    for (const headers of [{ origin: 'https://evil.example' }, { origin: 'null' }, { 'content-type': 'text/plain' }])
      assert.equal((await post({ device: 'cam', key }, { cookie, ...headers })).status, 403, JSON.stringify(headers));
    await live(page);
    const count = issued().length;
    // A page on another port is of the same site, so its requests have the cookie.
    const evil = await serve([], { '/index.html': '<!doctype html>' });
    const other = await page.context().newPage();
    await other.goto(evil.url);
    const results = await other.evaluate(async ([url, body]) => {
      const answers = [];
      for (const type of ['application/json', 'text/plain']) {
        const request = { method: 'POST', credentials: 'include', headers: { 'content-type': type }, body };
        answers.push(await fetch(`${url}/token`, request).then((it) => it.status, () => 'blocked'));
      }
      answers.push(await fetch(`${url}/boards`, { credentials: 'include' }).then((it) => it.status, () => 'blocked'));
      return answers;
    }, [s.url, JSON.stringify({ device: 'cam', key })]);
    assert.deepEqual(results, ['blocked', 'blocked', 'blocked']);
    assert.equal(issued().length, count);
    evil.close();
    await page.context().close();
  });

  test('can bring a login that its browser did not begin', async () => {
    for (const query of ['', '?code=abc&state=def', '?error=access_denied&state=def'])
      assert.equal((await fetch(`${s.url}/callback${query}`, { redirect: 'manual' })).status, 400);
    const begun = await fetch(`${s.url}/login`, { redirect: 'manual' });
    const cookie = begun.headers.get('set-cookie').split(';')[0];
    const wrong = await fetch(`${s.url}/callback?code=abc&state=def`, { redirect: 'manual', headers: { cookie } });
    assert.deepEqual([wrong.status, wrong.headers.get('set-cookie')], [403, null]);
    assert.equal(new URL(begun.headers.get('location')).searchParams.get('code_challenge_method'), 'S256');
  });
});

describe('rights that are taken away', { skip }, () => {
  test('end the picture: the service signs a deny list, and publishes it', async (t) => {
    const page = await login('anna');
    await live(page);
    const [{ issued: jti }] = issued().slice(-1);
    writeRights([]);
    const at = performance.now();
    s.service.process.kill('SIGHUP');
    await until('the camera is off', () => !s.daemon.threads().includes('video'), 15_000);
    t.diagnostic(`the camera was off ${Math.round(performance.now() - at)} ms after the signal`);
    const text = fs.readFileSync(path.join(s.dir, 'deny.jws'), 'utf8');
    const { payload, protectedHeader } = await jose.compactVerify(text, s.issuer.open, { algorithms: ['ES256'] });
    const list = JSON.parse(new TextDecoder().decode(payload));
    assert.deepEqual([protectedHeader.typ, list.number, list.before], ['fanlight-deny', 1, 0]);
    assert.ok(list.ids.includes(jti), JSON.stringify(list));
    await until('the page says so', async () => /login service gives no access/i.test(await panelOf(page)));
    // Given back, a new token works. Taken again, the list has grown.
    writeRights(GRANTS);
    s.service.process.kill('SIGHUP');
    await until('the rights are read', () => s.service.output.includes('"denied":0'));
    await page.evaluate(() => void document.querySelector('fanlight-viewer').play());
    await live(page);
    writeRights([{ ...GRANTS[0], rights: ['listen'] }]);
    s.service.process.kill('SIGHUP');
    await until('the second list', () => denied().number === 2);
    assert.ok(list.ids.every((id) => denied().ids.includes(id)));
    await page.context().close();
  });

  test('that cannot be read change nothing', async () => {
    fs.writeFileSync(path.join(s.dir, 'rights.json'), '{"boards":{"cam":{}},"grants":[]}');
    s.service.process.kill('SIGHUP');
    await s.service.said('thumb');
    assert.match(s.service.output, /"failed":"rights"/);
    assert.equal((await fetch(s.url)).status, 200);
  });
});

describe('the example', { skip }, () => {
  test('has the versions that are tested, and its files of settings can be used', () => {
    const own = readJson(path.join(example, 'package.json'));
    const tests = readJson(path.join(top, 'tests/browser/package.json'));
    const { packages } = readJson(path.join(example, 'package-lock.json'));
    for (const [name, wanted] of Object.entries(own.dependencies)) {
      assert.equal(tests.devDependencies[name], wanted, name);
      assert.equal(packages[`node_modules/${name}`].version, wanted, name);
    }
    assert.ok(readJson(path.join(example, 'rights.example.json')).grants.length);
  });
});
