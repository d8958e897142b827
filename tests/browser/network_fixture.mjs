// A network with an internet (this namespace, with broker, page and TURN), a board at home and viewers at home. For the
// tests, and for the table of `./bench --network`. The caller ends it.

import { home } from './home_network.mjs';
import { KillableBrowser } from './killable_browser.mjs';
import { Turn, certificate, here, ipv6 } from './virtual_network.mjs';
import { open, pages } from './fixture.mjs';
import { Broker, Daemon, browser, serve, until } from './processes.mjs';

export const PUBLIC = '203.0.113.1', SECOND = '203.0.113.2', PUBLIC6 = '2001:db8::1';
export const BOARD = { net: '198.51.100' }, VIEWER = { net: '192.0.2' }, WEAK = { net: '100.65.0' };
export const BEHIND = { ...BOARD, inside: '192.168.1' }, BEHIND_TOO = { ...VIEWER, inside: '192.168.2' };
export const BOARD6 = { net6: '2001:db8:0:51' }, VIEWER6 = { net6: '2001:db8:0:2' };
/** The broker's name, because mqtt.js accepts no URL with an IPv6 address. */
const BROKER = 'broker.test';
/** Milliseconds after which a session counts as one without a picture. */
const PATIENCE = 30_000;

let addressed = false;
function internet() {
  if (addressed) return;
  addressed = true;
  here.forward();
  for (const address of [`${PUBLIC}/32`, `${SECOND}/32`, ...(ipv6 ? [`${PUBLIC6}/128`] : [])])
    here.ip(`addr replace ${address} dev lo`);
}

export class NetworkFixture {
  /** `board`, `viewer`: homes; `at`: the address of broker and page; `port`: the broker's port for daemons. */
  static async make({ board = BOARD, viewer = VIEWER, at = PUBLIC, port } = {}) {
    internet();
    const w = Object.assign(new NetworkFixture(), { ends: [], at, tabs: 0 });
    try {
      w.broker = w.ending(await Broker.start({ at, name: BROKER, tls: w.tlsOf(at), tlsPort: port }), (b) => b.stop());
      const site = await serve(pages, {}, at);
      w.site = w.ending(site, (s) => s.close());
      w.board = await w.home('board', board);
      w.viewer = viewer && await w.home('viewer', viewer);
      return w;
    } catch (error) {
      await w.end();
      throw error;
    }
  }

  ending(thing, end) {
    this.ends.unshift(() => end(thing));
    return thing;
  }

  /** The certificate of an address. */
  tlsOf(address) {
    this.certificates ??= {};
    return this.certificates[address] ??= certificate(address);
  }

  async home(name, settings) {
    return this.ending(await home(name, settings), (h) => h.end());
  }

  async turn(address, options) {
    return this.ending(await Turn.start(address, options), (t) => t.stop());
  }

  async start(settings = {}) {
    const daemon = await Daemon.start(this.broker, {
      place: this.board.place, ...settings,
      video: { linger_s: 0, ...settings.video }, audio: { linger_s: 0 },
      webrtc: { addresses: [], loopback: false, ...settings.webrtc },
    });
    this.daemon = this.ending(daemon, (d) => d.stop());
    return this;
  }

  /** Starts a browser in a network; each of its pages has the given login or a new one. */
  async eyes(place = this.viewer.place, options = {}) {
    return this.pagesOf(await browser(this.seeing(place, options)));
  }

  /** The same with a browser that can be killed and frozen. */
  async killable(place = this.viewer.place, options = {}) {
    const killable = await KillableBrowser.start(this.seeing(place, options));
    return Object.assign(killable, this.pagesOf(killable));
  }

  seeing(place, options) {
    return {
      ...options,
      enter: place.enter,
      more: [`--host-resolver-rules=MAP ${BROKER} ${this.at.includes(':') ? `[${this.at}]` : this.at}`],
    };
  }

  pagesOf(chromium) {
    this.ending(chromium, (c) => c.close());
    return { page: (login = `tab${(this.tabs += 1)}`) => open(chromium, this.site, this.broker, login) };
  }

  /** Starts a viewer. Its `first` is the time to the first picture in ms, or NaN. */
  async watch(page, options = {}) {
    const session = await page.evaluate((o) => window.watch(o), options);
    const viewer = new Viewer(page, session);
    const report = await until('a picture', async () => {
      const r = await viewer.report();
      return (r.at.picture || r.said.some((m) => m.type === 'bye' || m.type === 'error')) && r;
    }, PATIENCE).catch(() => viewer.report());
    viewer.first = report.at.picture ? report.at.picture - report.at.asked : NaN;
    viewer.fault = report.said.find((m) => m.type === 'error')?.name;
    return viewer;
  }

  /** The reasons in the daemon's log for the end of sessions, such as `bye; host-host udp`. */
  endings() {
    return [...this.daemon.child.output.matchAll(/: ended after [\d.]+ s: ([^,\n]*), /g)].map(([, said]) => said);
  }

  /** The warnings and errors of the daemon's log. */
  warnings() {
    return this.daemon.child.output.split('\n').flatMap((line) => / (?:WARN|ERROR) +(.*)/.exec(line)?.[1] ?? []);
  }

  /** Makes a fixture, and ends it after `run`. */
  static async within(settings, run) {
    const w = await NetworkFixture.make(settings);
    try {
      return await run(w);
    } finally {
      await w.end();
    }
  }

  async end() {
    for (const end of this.ends) await Promise.resolve(end()).catch(() => {});
  }
}

class Viewer {
  constructor(page, session) {
    Object.assign(this, { page, session });
  }

  report() {
    return this.page.evaluate((s) => window.report(s), this.session);
  }

  take() {
    return this.page.evaluate((s) => window.take(s), this.session);
  }

  leave() {
    return this.page.evaluate((s) => window.leave(s), this.session);
  }

  /** The time of the viewer's clock. */
  async now() {
    return (await this.take()).now;
  }

  /** `viewer's candidate-board's candidate protocol`, as the browser sees both. */
  async route() {
    const { route, protocol } = await this.report();
    return route && `${route} ${protocol}`;
  }
}

/** The intervals without a new picture between `from` and `to` (viewer's clock): duration and end, in ms. */
export function gaps(shown, from, to) {
  const times = [from, ...shown.map(({ at }) => at).filter((at) => at > from && at < to), to];
  return times.slice(1).map((end, i) => ({ ms: end - times[i], end }));
}

/** Milliseconds without a picture that count as a freeze. */
const FREEZE = 250;

/** Whether pictures came steadily in the last half second, at least a second after `since` (viewer's clock). */
const steady = (shown, since, now) => now - since > 1000 && shown.filter(({ at }) => at > now - 500).length >= 8;

/**
 * The ms from `since` (viewer's clock) to the end of the last freeze before pictures came steadily. It is `undefined`
 * if they never do or if the session ended.
 */
export async function back(viewer, since, patience = 40_000) {
  const shown = [];
  let last;
  await until('steady pictures', async () => {
    last = await viewer.take();
    shown.push(...last.shown);
    // An `error` does not end a session. For example, an answer to an outdated offer gets one.
    return last.said.some(({ type }) => type === 'bye') || steady(shown, since, last.now);
  }, patience).catch(() => {});
  if (!steady(shown, since, last.now)) return undefined;
  const freeze = gaps(shown, since, last.now).filter(({ ms }) => ms > FREEZE).at(-1);
  return freeze ? freeze.end - since : 0;
}
