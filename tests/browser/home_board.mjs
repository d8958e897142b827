// Home mode as docs/guide/home.md has it, on a machine of the tests: one command that sets it up, and a browser outside
// that accepts the board's certificate and no other.

import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { ViewerPage } from './paired_page.mjs';
import { accepting, folder, launch, top, until as untilWithin } from './processes.mjs';

/** The machine may be busy: limits are generous, what is looked for is not. */
const PATIENCE = 120_000;
const until = (what, probe, ms = PATIENCE) => untilWithin(what, probe, ms);
const NAME = 'board.local';
const PAGE = `https://${NAME}:8443/`;
/** The side of the board's network where the browser is. */
const OUTSIDE = '10.77.0.1';
const UNITS = ['fanlight', 'fanlight-broker', 'fanlight-home'];

export class HomeBoard {
  /** `lab`: the machine, and the network beside it. */
  constructor(lab) {
    Object.assign(this, { lab, seconds: 0, profile: folder('phone') });
  }

  /** Does a step of the guide. `tell` gets the time that it took. */
  async step(tell, what, body) {
    const begun = performance.now();
    const result = await body();
    const seconds = (performance.now() - begun) / 1000;
    this.seconds += seconds;
    tell(`${what}: ${seconds.toFixed(1)} s, all steps so far ${this.seconds.toFixed(1)} s`);
    return result;
  }

  /** Sets it up without a question, with these devices; `told` is what the command printed. */
  async setUp(devices) {
    this.told = await this.lab.guest(`NO_COLOR=1 fanlight setup --home --device cam ${devices}`, 240);
    assert.ok(this.told.includes(`  ${PAGE}\n`), this.told);
  }

  /** avahi announces the page to the network. */
  announced() {
    return until('avahi announces the page', async () =>
      (await this.lab.guest('journalctl --no-pager -o cat -u avahi-daemon'))
        .includes('(/services/fanlight.service) successfully established'));
  }

  /** The board's address, by its name: as a phone asks for it. */
  address() {
    return until(`somebody in the network has the name ${NAME}`, () =>
      this.lab.outside('python3', path.join(top, 'tests/browser/mdns_lookup.py'), NAME, OUTSIDE).trim());
  }

  /** What the page shows for a host of its URL: its own certificate, and that of the authority. */
  certificates(address, host) {
    const named = host === address ? ['-noservername'] : ['-servername', host];
    const shown = this.lab.outside('openssl', 's_client', '-connect', `${address}:8443`, ...named, '-showcerts');
    const pem = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
    return shown.match(pem).map((text) => new X509Certificate(text));
  }

  /** The board has one certificate for its names and one for this address, both of the authority that it printed. */
  checkCertificates(address) {
    const [[own, authority], [other]] = [NAME, address].map((host) => this.certificates(address, host));
    assert.ok(own.verify(authority.publicKey) && own.checkHost(NAME), own.toString());
    assert.ok(other.verify(authority.publicKey) && other.checkIP(address), other.toString());
    assert.ok(this.told.includes(authority.fingerprint256), `${authority.fingerprint256} is not in:\n${this.told}`);
    return own;
  }

  /**
   * Starts the browser, which finds the board's name at its address and accepts the certificate for it. A second call
   * starts it again with the same profile: it is still paired.
   */
  async startBrowser() {
    const address = await this.address();
    const own = this.checkCertificates(address);
    await this.browser?.close();
    const more = [accepting(own), `--host-resolver-rules=MAP ${NAME} ${address}`];
    const options = launch({ enter: this.lab.enter, more });
    this.browser = await chromium.launchPersistentContext(this.profile, options);
    this.browser.setDefaultTimeout(PATIENCE);
    return address;
  }

  /** A browser that was not told about the certificate does not show the page. */
  async strangersAreWarned(address) {
    const stranger = await (await this.lab.chromium.newContext()).newPage();
    const opened = stranger.goto(`https://${address}:8443/`, { timeout: PATIENCE });
    await assert.rejects(opened, /ERR_CERT_AUTHORITY_INVALID/);
    await stranger.close();
  }

  /** Lets a viewer in by the link that the board prints below its QR code. */
  async pair() {
    await this.lab.background('pair', 'env NO_COLOR=1 fanlight pair');
    const [link] = await until('the link', () => /https:\S+#p=\S+/.exec(this.lab.log('pair')));
    assert.ok(link.startsWith(PAGE), link);
    assert.match(this.lab.log('pair'), /[\u2580\u2584\u2588]{20}/, 'the QR code');
    this.viewer = await ViewerPage.open(null, link, this.browser);
    await this.viewer.accept('phone');
    assert.equal(await this.viewer.pairing(PATIENCE), null);
    await until('the command ends', () => /^status 0$/m.test(this.lab.log('pair')));
  }

  /** Waits for the picture. */
  live() {
    return this.viewer.is('live', 2 * PATIENCE);
  }

  /** The picture moves. */
  async moves() {
    const frames = () =>
      this.viewer.page.evaluate(() => document.querySelector('fanlight-viewer').statistics?.framesDecoded);
    const before = await until('a decoded picture', frames);
    await until('moving pictures', async () => (await frames()) > before + 10, 2 * PATIENCE);
  }

  /** Opens the page again, as a phone that was paired. */
  async reopen() {
    await this.viewer?.page.close().catch(() => {}); // of a browser that was closed
    this.viewer = await ViewerPage.open(null, 'about:blank', this.browser);
    await until('the page is there', async () => Boolean(await this.viewer.page.goto(PAGE)));
  }

  async close() {
    await this.browser?.close();
  }

  /** All three units have this property. */
  async unitsAre(property, wanted) {
    await until(`${property} of ${UNITS} is ${wanted}`, async () => {
      const shown = await this.lab.guest(`systemctl show --value -p ${property} ${UNITS.join(' ')}`);
      const now = shown.split('\n').filter(Boolean);
      if (now.length !== UNITS.length || now.some((it) => it !== wanted)) throw new Error(now.join(' '));
      return true;
    });
  }
}
