// The issuer of docs/reference/tokens.md: signs tokens and deny lists with the key that `fanlight token key` makes.

import { randomBytes } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import * as jose from 'jose';

const TOKEN_S = 900;
const MOST_LIVE = 20_000;
const MOST_DENIED = 1000;
const bytes = (of) => new TextEncoder().encode(JSON.stringify(of));
const now = () => Math.floor(Date.now() / 1000);

/** The public key of a viewer, and nothing else; null if it is none. A private key is refused, too. */
export async function viewerKey(key) {
  const { kty, crv, x, y, d } = key ?? {};
  if (kty !== 'EC' || crv !== 'P-256' || d !== undefined || ![x, y].every((it) => /^[\w-]{43}$/.test(it))) return null;
  const jwk = { kty, crv, x, y };
  return jose.importJWK(jwk, 'ES256').then(() => jwk, () => null); // null: not on the curve
}

export class Issuer {
  /** `keyFile`: the private key. `listFile`: the deny list, which is made when it is needed. */
  static async open(keyFile, listFile) {
    const { kty, crv, x, y, d } = JSON.parse(readFileSync(keyFile, 'utf8'));
    const secret = await jose.importJWK({ kty, crv, x, y, d }, 'ES256');
    const kid = await jose.calculateJwkThumbprint({ kty, crv, x, y });
    return Object.assign(new Issuer(), { secret, kid, id: kid.slice(0, 22), listFile, live: new Map() });
  }

  sign(typ, content) {
    const header = { alg: 'ES256', typ, kid: this.kid };
    return new jose.CompactSign(bytes(content)).setProtectedHeader(header).sign(this.secret);
  }

  /** A token for one board and one key. `person`: the claims of the login, to find the token again. */
  async token({ device, key, rights, person }) {
    const jti = randomBytes(12).toString('base64url');
    const [iat, exp] = [now(), now() + TOKEN_S];
    for (const [id, it] of this.live) if (it.exp <= iat) this.live.delete(id);
    if (this.live.size >= MOST_LIVE) throw new Error('too many tokens');
    this.live.set(jti, { device, rights, person, exp });
    const name = String(person.name ?? person.email ?? '').replace(/\p{C}/gu, ' ').trim().slice(0, 64);
    const claims = { jti, aud: [device], cnf: { jwk: key }, rights, iat, exp, ...(name && { name }) };
    const viewer = (await jose.calculateJwkThumbprint(key)).slice(0, 22);
    return { jti, viewer, token: await this.sign('fanlight-token', claims) };
  }

  /** Puts the living tokens on the deny list of which `holds` is false. Returns their boards. */
  async withdraw(holds) {
    const withdrawn = [...this.live].filter(([, it]) => it.exp > now() && !holds(it));
    const gone = withdrawn.map(([jti]) => jti);
    if (!gone.length) return [];
    let old = { number: 0, before: 0, ids: [] };
    try {
      old = jose.decodeJwt(readFileSync(this.listFile, 'utf8').trim());
    } catch (error) {
      if (error.code !== 'ENOENT') throw error; // a damaged list must not be replaced by one that denies less
    }
    const list = { number: old.number + 1, before: old.before, ids: [...new Set([...old.ids, ...gone])] };
    // A list must never shrink. When it is full, all tokens until now are refused, and everybody gets a new one.
    if (list.ids.length > MOST_DENIED) Object.assign(list, { before: now() + 1, ids: old.ids });
    writeFileSync(`${this.listFile}.new`, await this.sign('fanlight-deny', list));
    renameSync(`${this.listFile}.new`, this.listFile);
    for (const jti of gone) this.live.delete(jti);
    return withdrawn.map(([, { device }]) => device);
  }
}
