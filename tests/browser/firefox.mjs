// Debian's Firefox, without a screen, driven by WebDriver BiDi over its own WebSocket (Debian's build does not speak
// Playwright's protocol). It can do what the tests need: open a page, evaluate in it, close.

import fs from 'node:fs';
import path from 'node:path';
import WebSocket from 'ws';
import { Child, folder, freePort } from './processes.mjs';

const binary = process.env.FIREFOX ?? '/usr/bin/firefox-esr';

// Quiet: no first pages, no updates, no reports. Host candidates are shown as they are.
const prefs = {
  'browser.shell.checkDefaultBrowser': false,
  'browser.startup.page': 0,
  'app.update.enabled': false,
  'datareporting.policy.dataSubmissionEnabled': false,
  'toolkit.telemetry.reportingpolicy.firstRun': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'media.autoplay.default': 0,
  'media.peerconnection.ice.loopback': true,
  'media.peerconnection.ice.obfuscate_host_addresses': false,
  'media.navigator.permission.disabled': true,
  'media.gmp-manager.updateEnabled': false,
};

/**
 * H.264 by the system's own decoder. Firefox otherwise offers it only with a plugin that it fetches from its maker, and
 * Debian's comes without.
 */
export const withH264 = {
  'media.webrtc.hw.h264.enabled': true,
  'media.navigator.mediadatadecoder_h264_enabled': true,
  'gfx.blacklist.webrtc.hw.acceleration.h264': 1,
  'gfx.blacklist.webrtc.hw.acceleration.decode': 1,
};

export class Firefox {
  /** `more`: further preferences. */
  static async launch(more = {}) {
    const firefox = new Firefox();
    const profile = folder('firefox');
    const lines = Object.entries({ ...prefs, ...more }).map(
      ([key, value]) => `user_pref(${JSON.stringify(key)}, ${JSON.stringify(value)});\n`,
    );
    fs.writeFileSync(path.join(profile, 'user.js'), lines.join(''));
    const port = await freePort();
    const options = ['--headless', '--no-remote', '--profile', profile, '--remote-debugging-port', String(port)];
    firefox.child = new Child(binary, options, { env: { ...process.env, HOME: profile } });
    await firefox.child.said('WebDriver BiDi listening', 60_000);
    firefox.socket = new WebSocket(`ws://127.0.0.1:${port}/session`);
    await new Promise((resolve, reject) => firefox.socket.once('open', resolve).once('error', reject));
    firefox.socket.on('message', (data) => firefox.heard(JSON.parse(data)));
    await firefox.call('session.new', { capabilities: {} });
    return firefox;
  }

  constructor() {
    this.waiting = new Map();
    this.calls = 0;
  }

  heard(message) {
    const wait = this.waiting.get(message.id);
    if (!wait) return;
    this.waiting.delete(message.id);
    if (message.type === 'success') wait.resolve(message.result);
    else wait.reject(new Error(`Firefox: ${wait.method}: ${message.error}: ${message.message}`));
  }

  call(method, params = {}) {
    const id = (this.calls += 1);
    return new Promise((resolve, reject) => {
      const late = setTimeout(
        () => this.heard({ id, type: 'error', error: 'no answer', message: 'within 60 s' }),
        60_000,
      );
      const settled = (settle) => (it) => { clearTimeout(late); settle(it); };
      this.waiting.set(id, { resolve: settled(resolve), reject: settled(reject), method });
      this.socket.send(JSON.stringify({ id, method, params }));
    });
  }

  /** A new tab with this page, as far as its DOM. */
  async open(url) {
    const { context } = await this.call('browsingContext.create', { type: 'tab' });
    await this.call('browsingContext.navigate', { context, url, wait: 'interactive' });
    const page = {
      /** What `expression` gives, by way of JSON; a promise is waited for. */
      run: async (expression) => {
        const { type, result, exceptionDetails } = await this.call('script.evaluate', {
          expression: `Promise.resolve(${expression}).then((it) => JSON.stringify(it ?? null))`,
          target: { context }, awaitPromise: true,
        });
        if (type !== 'success') throw new Error(`Firefox: ${expression}: ${exceptionDetails.text}`);
        return JSON.parse(result.value);
      },
      close: () => this.call('browsingContext.close', { context }),
    };
    return page;
  }

  async close() {
    this.socket?.close();
    await this.child.stop();
  }
}

