// What tests of the mode `token` share: an issuer that is written with `jose`, and a page with one viewer that asks it.

import * as jose from 'jose';
import { sessionId } from './processes.mjs';

export const seconds = () => Math.floor(Date.now() / 1000);

/** A key of an issuer, with which it signs tokens and deny lists. */
export class TestIssuer {
  /** `alg`: `ES256`, or `EdDSA` with Ed25519. */
  static async make(alg = 'ES256') {
    const crv = alg === 'EdDSA' ? 'Ed25519' : 'P-256';
    const { publicKey, privateKey } = await jose.generateKeyPair(alg, { crv, extractable: true });
    const jwk = await jose.exportJWK(publicKey);
    const thumb = await jose.calculateJwkThumbprint(jwk);
    return Object.assign(new TestIssuer(), { alg, secret: privateKey, jwk, thumb, id: thumb.slice(0, 22) });
  }

  sign(typ, content) {
    return new jose.CompactSign(new TextEncoder().encode(JSON.stringify(content)))
      .setProtectedHeader({ alg: this.alg, typ, kid: this.thumb }).sign(this.secret);
  }

  /** A token for a public key, which lives for so many seconds. */
  token(jwk, change = {}, lives = 900) {
    const iat = seconds();
    const claims = { jti: sessionId(), aud: ['cam'], cnf: { jwk }, rights: ['view', 'listen'], iat, exp: iat + lives };
    return this.sign('fanlight-token', { ...claims, ...change });
  }

  deny(number, ids, before = 0) {
    return this.sign('fanlight-deny', { number, before, ids });
  }
}

/** The page of `watchWithTokens`. */
export const tokenPage = { '/watch.html': '<!doctype html><script type="module" src="fanlight-viewer.js"></script>' };

/** What the first viewer of a page says. */
export const panelOf = (page) =>
  page.evaluate(() => document.querySelector('fanlight-viewer')?.shadowRoot.querySelector('.panel').innerText);

/** Opens a page with one viewer, whose tokens `issue` makes. It throws, or returns a token, or `{ no: text }`. */
export async function watchWithTokens(chromium, site, { broker, device = 'cam', thumb }, issue) {
  const page = await (await chromium.newContext()).newPage();
  const told = [];
  page.on('pageerror', (error) => console.error(`page: ${error.message}`));
  page.on('console', (line) => told.push(line.text()));
  await page.exposeFunction('issue', issue);
  await page.goto(`${site.url}/watch.html`);
  await page.evaluate(async (it) => {
    await customElements.whenDefined('fanlight-viewer');
    const viewer = document.createElement('fanlight-viewer');
    window.seen = [];
    viewer.addEventListener('fanlight-state', ({ detail }) => window.seen.push(detail.state));
    viewer.addEventListener('fanlight-error', ({ detail }) => window.seen.push(`${detail.name} ${detail.message}`));
    const tokens = async ({ device, key }) => {
      const answer = await window.issue({ device, key });
      if (answer.no !== undefined) throw new DOMException(answer.no, 'NotAllowedError');
      return answer;
    };
    Object.assign(viewer, { ...it, tokens, keepPlaying: true });
    document.body.append(viewer);
  }, { broker, device, thumb });
  const seen = () => page.evaluate(() => window.seen);
  return {
    page, told, seen,
    state: () => page.evaluate(() => document.querySelector('fanlight-viewer').state),
    panel: () => panelOf(page),
    forget: () => page.evaluate(() => { window.seen = []; }),
    close: () => page.context().close(),
  };
}
