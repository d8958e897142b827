// A token service for fanlight: people log in by OpenID Connect, and their browsers get short tokens for the boards
// that rights.json allows. Start: node service.mjs settings.json. README.md says what it does not do.

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import path from 'node:path';
import * as oidc from 'openid-client';
import { Issuer, viewerKey } from './issuer.mjs';
import { readRights, rightsOn } from './rights.mjs';

const LOGIN_S = 600;
const SESSION_S = 8 * 3600;
const MOST_BODY = 4096;
const KINDS = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css' };

/** Values by random ids, which end. The oldest one goes when there are too many. */
class Memory {
  #kept = new Map();

  put(value, seconds) {
    const id = randomBytes(24).toString('base64url');
    if (this.#kept.size >= 10_000) this.#kept.delete(this.#kept.keys().next().value);
    this.#kept.set(id, { value, until: Date.now() + seconds * 1000 });
    return id;
  }

  get = (id) => (this.#kept.get(id)?.until > Date.now() ? this.#kept.get(id).value : null);
  drop = (id) => this.#kept.delete(id);
}

const file = path.resolve(process.argv[2] ?? 'settings.json');
const settings = JSON.parse(readFileSync(file, 'utf8'));
const beside = (name) => path.resolve(path.dirname(file), name);
const { origin, protocol } = new URL(settings.url);
const issuer = await Issuer.open(beside(settings.issuer_key), beside(settings.deny_list));
let rights = readRights(beside(settings.rights));
const [logins, sessions] = [new Memory(), new Memory()];

const provider = new URL(settings.provider);
const local = ['localhost', '127.0.0.1'].includes(provider.hostname); // plain HTTP is for tests only
const client = await oidc.discovery(
  provider, settings.client_id, readFileSync(beside(settings.client_secret_file), 'utf8').trim(), undefined,
  { execute: local ? [oidc.allowInsecureRequests] : [] },
);

const prefix = protocol === 'https:' ? '__Host-' : '';
const cookie = (name, value, seconds) =>
  `${prefix}${name}=${value}; Path=/; HttpOnly; SameSite=Lax; Max-Age=${seconds}${prefix && '; Secure'}`;
const cookieOf = (request, name) =>
  (request.headers.cookie ?? '').split('; ').find((it) => it.startsWith(`${prefix}${name}=`))?.split('=')[1];
const personOf = (request) => sessions.get(cookieOf(request, 'session'));
const socket = origin.replace(/^http/, 'ws');
const brokers = () => Object.values(rights.boards).map(({ broker }) => new URL(broker, socket).origin);
const policy = () => [
  "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' blob: data:", "media-src 'self' blob:",
  `connect-src 'self' ${[...new Set(brokers())].join(' ')}`,
  "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
].join('; ');

function send(response, status, body, headers = {}) {
  const text = typeof body === 'string' || Buffer.isBuffer(body);
  response.writeHead(status, {
    'content-type': text ? 'text/plain; charset=utf-8' : 'application/json', 'cache-control': 'no-store',
    'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer', ...headers,
  }).end(text ? body : JSON.stringify(body));
}

/** The JSON of a request; undefined if it is too large or none. */
async function bodyOf(request) {
  let text = '';
  for await (const chunk of request) if ((text += chunk).length > MOST_BODY) return undefined;
  try {
    return JSON.parse(text) ?? undefined;
  } catch {
    return undefined;
  }
}

const routes = {
  async 'GET /login'(_, response) {
    const [verifier, state, nonce] = [oidc.randomPKCECodeVerifier(), oidc.randomState(), oidc.randomNonce()];
    const to = oidc.buildAuthorizationUrl(client, {
      redirect_uri: `${origin}/callback`, scope: settings.scope ?? 'openid email profile', state, nonce,
      code_challenge: await oidc.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
    });
    const id = logins.put({ verifier, state, nonce }, LOGIN_S);
    send(response, 302, '', { location: to.href, 'set-cookie': cookie('login', id, LOGIN_S) });
  },

  async 'GET /callback'(request, response) {
    const id = cookieOf(request, 'login');
    const login = logins.get(id);
    logins.drop(id);
    if (!login) return send(response, 400, 'This login was not begun here, or it took too long. Begin again.');
    const answer = await oidc.authorizationCodeGrant(client, new URL(request.url, origin), {
      pkceCodeVerifier: login.verifier, expectedState: login.state, expectedNonce: login.nonce, idTokenExpected: true,
    });
    const claims = answer.claims();
    // Many providers tell address and groups only here.
    const more = client.serverMetadata().userinfo_endpoint
      ? await oidc.fetchUserInfo(client, answer.access_token, claims.sub) : {};
    const session = cookie('session', sessions.put({ ...more, ...claims }, SESSION_S), SESSION_S);
    send(response, 302, '', { location: '/', 'set-cookie': [session, cookie('login', '', 0)] });
  },

  async 'GET /boards'(request, response) {
    const person = personOf(request);
    if (!person) return send(response, 401, 'Log in first.');
    const mine = Object.entries(rights.boards).filter(([device]) => rightsOn(rights, device, person).length);
    send(response, 200, mine.map(([device, it]) => ({ device, ...it })));
  },

  async 'POST /token'(request, response) {
    const person = personOf(request);
    if (!person) return send(response, 401, 'Log in first.');
    const { device, key: jwk } = (await bodyOf(request)) ?? {};
    const key = await viewerKey(jwk);
    if (!key || typeof device !== 'string') return send(response, 400, 'Send the id of a board and a public key.');
    const may = rightsOn(rights, device, person);
    if (!may.length) return send(response, 403, 'This account may not watch this camera.');
    const { token, jti, viewer } = await issuer.token({ device, key, rights: may, person });
    console.log(JSON.stringify({ issued: jti, device, viewer, person: person.sub, rights: may }));
    send(response, 200, token);
  },

  async 'POST /logout'(request, response) {
    sessions.drop(cookieOf(request, 'session'));
    send(response, 204, '', { 'set-cookie': cookie('session', '', 0) });
  },
};

/** A file of the page or of the viewer. */
function serveFile(name, response) {
  const page = path.join(import.meta.dirname, 'page');
  const folders = { '/index.html': page, '/page.js': page, '/page.css': page };
  folders['/fanlight-viewer.js'] = beside(settings.viewer);
  const wanted = name === '/' ? '/index.html' : name;
  if (!Object.hasOwn(folders, wanted)) return send(response, 404, 'There is nothing here.');
  const headers = { 'content-type': KINDS[path.extname(wanted)], 'content-security-policy': policy() };
  send(response, 200, readFileSync(path.join(folders[wanted], wanted)), headers);
}

const server = createServer({ requestTimeout: 30_000 }, async (request, response) => {
  const name = request.url.split('?')[0];
  try {
    // A form of another page cannot send JSON, and its browser says where a request comes from.
    const { origin: from, 'content-type': kind } = request.headers;
    if (request.method === 'POST' && (from !== origin || kind !== 'application/json'))
      return send(response, 403, 'Only the page of this service may ask.');
    const route = `${request.method} ${name}`;
    if (Object.hasOwn(routes, route)) await routes[route](request, response);
    else if (request.method === 'GET') serveFile(name, response);
    else send(response, 405, 'This is not possible here.');
  } catch (error) {
    console.error(JSON.stringify({ failed: name, error: error.code ?? error.name })); // its text may have secrets
    if (!response.headersSent) send(response, name === '/callback' ? 403 : 500, 'This failed. Log in again.');
  }
});

/** Tells the boards the new deny list, by the command of the settings. */
function publish(devices) {
  for (const device of settings.publish ? devices : []) {
    const gap = { device, issuer: issuer.id, file: issuer.listFile };
    const filled = settings.publish.map((it) => it.replace(/\{(device|issuer|file)\}/g, (_, one) => gap[one]));
    const [command, ...words] = filled;
    const failed = (why) => console.error(JSON.stringify({ failed: 'publish', device, why }));
    spawn(command, words, { stdio: ['ignore', 'ignore', 'inherit'] })
      .on('error', (error) => failed(error.code)).on('exit', (code) => code && failed(code));
  }
}

/** rights.json changed: tokens that it no longer allows go on the deny list. */
process.on('SIGHUP', async () => {
  try {
    rights = readRights(beside(settings.rights));
    const gone = await issuer.withdraw(({ device, rights: had, person }) => {
      const may = rightsOn(rights, device, person);
      return had.every((it) => may.includes(it));
    });
    console.log(JSON.stringify({ read: 'rights', denied: gone.length }));
    if (gone.length) publish(new Set([...Object.keys(rights.boards), ...gone]));
  } catch (error) {
    console.error(JSON.stringify({ failed: 'rights', error: error.message })); // the rights before stay in force
  }
});

server.listen(settings.port, settings.address ?? '127.0.0.1', () => {
  console.log(JSON.stringify({ listens: server.address().port, issuer: issuer.id }));
});
