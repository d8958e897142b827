// The link to a broker: one WebSocket for all components of a page with the same broker and login.

import { MqttClient, browserStreamBuilder } from './mqtt.cjs';
import type { IClientOptions } from './mqtt.cjs';
import { brokerUrl } from './address.ts';
import { base64url } from './protocol.ts';
import { PACKETS, RequestSocket } from './requests.ts';
import { clean } from './texts.ts';

/** Why the broker cannot be reached, as far as a browser lets a page find out. */
export type LinkError =
  | { why: 'login' | 'version' | 'unreachable' | 'not_mqtt' | 'mixed' | 'policy' | 'offline' | 'lost' }
  /** No answer within this time, in milliseconds. */
  | { why: 'silent'; afterMs: number }
  /** An HTTP server answers there. Its status is known only on the page's own host. */
  | { why: 'path'; status: number | null };
export interface LinkState {
  /** `down` and `refused` stay until the broker is reached, also during retries. */
  at: 'connecting' | 'up' | 'down' | 'refused';
  /** The broker's error text, if any. */
  message: string;
  trouble: LinkError | null;
}
type Listener = (topic: string, payload: Uint8Array) => void;
interface Subscription { filter: string; retained: boolean; listeners: Set<Listener> }

const BASE_MS = 500;
const CAP_MS = 15_000; // a user is waiting; a device's longest pause is longer
const STEADY_MS = 30_000;
const DOUBT_MS = 3000;
const KEPT_TOPICS = 12_000;
const KEPT_BYTES = 8 * 1024 * 1024;
const CONNECT_MS = 10_000;
const LOOK_MS = 4000;
const EXPIRY_S = 15;
const REFUSED = new Set([4, 5, 0x85, 0x86, 0x87, 0x8a, 0x8c]); // CONNACK: login, identity or banned
const WRONG_VERSION = new Set([1, 0x84]);

const links = new Map<string, Link>();

export class Link {
  state: LinkState = { at: 'connecting', message: '', trouble: null };

  private client: MqttClient | null = null;
  private readonly subscriptions = new Map<string, Subscription>();
  private readonly kept = new Map<string, Uint8Array>();
  private keptBytes = 0;
  private readonly stateListeners = new Set<() => void>();
  private users = 0;
  private attempts = 0;
  private version: 4 | 5 = 5;
  private seen = false; // connected before, so the broker keeps our replies for 30 s
  private timer: ReturnType<typeof setTimeout> | undefined;
  private doubt: ReturnType<typeof setTimeout> | undefined;
  private upSince = 0;
  /** Whether the server also takes requests, and the WebSocket does not open. */
  private byRequests = false;
  private forbidden = false; // by the page's content security policy
  private mayLook = true;
  private readonly id = `fanlight-viewer-${base64url(crypto.getRandomValues(new Uint8Array(9)))}`;

  private constructor(
    private readonly key: string, readonly url: URL, private readonly user: string, private readonly password: string,
  ) {}

  /** The link to this broker, made on first use. Each call needs one `release`. */
  static use(broker: string, user: string, password: string): Link {
    const url = brokerUrl(broker, location.href);
    const key = JSON.stringify([url.href, user, password]);
    let link = links.get(key);
    if (!link) {
      link = new Link(key, url, user, password);
      links.set(key, link);
      addEventListener('online', link.hurry);
      document.addEventListener('visibilitychange', link.hurry);
      document.addEventListener('securitypolicyviolation', link.violated);
      link.connect();
    }
    link.users += 1;
    return link;
  }

  release(): void {
    this.users -= 1;
    // A component that is moved in the page leaves and returns within one task, so the link is kept for that time.
    setTimeout(() => {
      if (this.users > 0 || links.get(this.key) !== this) return;
      links.delete(this.key);
      removeEventListener('online', this.hurry);
      document.removeEventListener('visibilitychange', this.hurry);
      document.removeEventListener('securitypolicyviolation', this.violated);
      clearTimeout(this.timer);
      this.drop();
    }, 1000);
  }

  get up(): boolean {
    return this.state.at === 'up';
  }

  onState(listener: () => void): () => void {
    this.stateListeners.add(listener);
    return () => this.stateListeners.delete(listener);
  }

  /** Subscribes to a topic filter. With `retained`, the last known message comes at once. */
  subscribe(filter: string, retained: boolean, listener: Listener): () => void {
    let one = this.subscriptions.get(filter);
    if (!one) {
      one = { filter, retained, listeners: new Set() };
      this.subscriptions.set(filter, one);
      if (this.up) this.ask(one);
    }
    // Retained messages that came by another filter are delivered at once.
    if (retained)
      for (const [topic, payload] of this.kept)
        if (matches(filter, topic)) queueMicrotask(() => listener(topic, payload));
    one.listeners.add(listener);
    return () => {
      one.listeners.delete(listener);
      if (one.listeners.size || this.subscriptions.get(filter) !== one) return;
      this.subscriptions.delete(filter);
      const wanted = (topic: string) =>
        [...this.subscriptions.values()].some((it) => it.retained && matches(it.filter, topic));
      for (const topic of this.kept.keys()) if (!wanted(topic)) this.keep(topic, null);
      if (this.up) this.client?.unsubscribe(filter, () => {});
    };
  }

  /**
   * Publishes with QoS 1. Rejects with the broker's error text if it refuses. A lost link is not an error; the caller
   * repeats.
   */
  publish(topic: string, text: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const { client } = this;
      if (!client?.connected) return resolve();
      const properties = this.version === 5 ? { properties: { messageExpiryInterval: EXPIRY_S } } : {};
      client.publish(topic, text, { qos: 1, ...properties }, (error) => {
        const code = (error as { code?: number } | undefined)?.code;
        if (error && typeof code === 'number' && code >= 0x80) reject(error);
        else resolve();
      });
    });
  }

  private readonly hurry = (event?: Event): void => {
    if (event?.type === 'visibilitychange' && document.visibilityState !== 'visible') return;
    if (this.up) return this.probe();
    if (this.state.at !== 'down' || !this.timer) return;
    clearTimeout(this.timer);
    this.connect();
  };

  private readonly violated = (event: SecurityPolicyViolationEvent): void => {
    if (event.disposition === 'enforce'
      && (event.blockedURI === this.url.href || event.blockedURI.startsWith(this.url.origin))) this.forbidden = true;
    else if (event.blockedURI.startsWith(this.url.origin.replace(/^ws/, 'http')))
      this.mayLook = false; // one report is enough
  };

  /**
   * After sleep or a change of network, a connection may be dead unnoticed. Sends a ping now instead of waiting for the
   * keep-alive.
   */
  private probe(): void {
    const { client } = this;
    if (!client || this.doubt) return;
    const settle = () => {
      clearTimeout(this.doubt);
      this.doubt = undefined;
    };
    this.doubt = setTimeout(() => {
      settle();
      client.end(true);
    }, DOUBT_MS);
    client.once('packetreceive', settle).once('close', settle).sendPing();
  }

  private connect(): void {
    this.timer = undefined;
    this.attempts += 1;
    this.forbidden = false;
    const { url } = this;
    const begun = performance.now();
    let opened = false;
    let fate: {
      at: 'down' | 'refused';
      message: string;
      again?: boolean;
      trouble?: LinkError;
    } = { at: 'down', message: '' };
    const options: IClientOptions = {
      protocol: url.protocol.slice(0, -1) as 'ws' | 'wss',
      hostname: url.hostname, path: url.pathname + url.search,
      port: Number(url.port) || (url.protocol === 'wss:' ? 443 : 80),
      clientId: this.id, protocolVersion: this.version, protocolId: 'MQTT',
      // Pings are sent at half this interval. Timers of hidden pages run once a minute, and brokers wait for 1.5 times
      // the interval.
      keepalive: 60, timerVariant: 'native', connectTimeout: CONNECT_MS,
      reconnectPeriod: 0, resubscribe: false, queueQoSZero: false,
      clean: this.version === 4 || !this.seen,
      createWebsocket: (address: string, protocols: string[]) => {
        if (this.byRequests)
          return new RequestSocket(this.httpUrl(), () => { opened = true; }) as unknown as WebSocket;
        const socket = new WebSocket(address, protocols);
        socket.addEventListener('open', () => { opened = true; });
        return socket;
      },
    };
    if (this.version === 5) options.properties = { sessionExpiryInterval: 30, maximumPacketSize: 64 * 1024 };
    if (this.user) options.username = this.user;
    if (this.password) options.password = this.password;

    let client: MqttClient;
    try {
      client = new MqttClient((it) => browserStreamBuilder(it, options), options);
    } catch (error) {
      this.enter('refused', (error as Error).message, { why: 'mixed' }); // an https page may not use ws:
      return;
    }
    this.client = client;
    client.on('connect', () => {
      if (client !== this.client) return;
      this.seen = true;
      this.upSince = Date.now();
      for (const one of this.subscriptions.values()) this.ask(one);
      this.enter('up', '', null);
    });
    client.on('message', (topic, payload) => {
      if (client === this.client) this.deliver(topic, payload);
    });
    client.on('error', (error) => {
      const code = (error as { code?: number }).code ?? -1;
      if (WRONG_VERSION.has(code)) fate = {
        at: 'down', message: error.message, again: true, trouble: { why: 'version' },
      };
      else if (REFUSED.has(code)) fate = { at: 'refused', message: error.message, trouble: { why: 'login' } };
      client.end(true);
    });
    client.on('close', () => {
      if (client !== this.client) return;
      this.client = null;
      client.end(true);
      // A broker that only supports 3.1.1 may close the connection without an error.
      const silent = opened && this.upSince === 0 && this.attempts % 2 === 0;
      if (fate.again || silent) this.version = this.version === 5 ? 4 : 5;
      const lost = this.upSince > 0;
      if (lost && Date.now() - this.upSince > STEADY_MS) this.attempts = 0;
      this.upSince = 0;
      const trouble: LinkError = fate.trouble ?? (navigator.onLine === false ? { why: 'offline' }
        : lost ? { why: 'lost' } : opened ? { why: 'not_mqtt' } : this.forbidden ? { why: 'policy' }
        : performance.now() - begun > CONNECT_MS - 500
          ? { why: 'silent', afterMs: CONNECT_MS }
          : { why: 'unreachable' });
      // What was found out about an address stays valid until something else is found.
      const known = trouble.why === 'unreachable' && this.state.trouble?.why === 'path' ? this.state.trouble : trouble;
      if (!fate.again) this.enter(fate.at, fate.message, known);
      // The other way is tried next. A server that takes requests says so when it is looked at.
      if (!opened) this.byRequests = false;
      if (known.why === 'unreachable' || known.why === 'path') void this.look();
      const most = Math.min(CAP_MS, BASE_MS * 2 ** Math.min(this.attempts, 10));
      this.timer = setTimeout(
        () => this.connect(), fate.again ? 0 : fate.at === 'refused' ? CAP_MS : Math.random() * most
      );
    });
  }

  /** The broker's URL for HTTP. */
  private httpUrl(): URL {
    const http = new URL(this.url);
    http.protocol = this.url.protocol === 'wss:' ? 'https:' : 'http:';
    return http;
  }

  /**
   * A failed WebSocket gives no reason. A plain HTTP request to the same URL at least shows whether a server answers.
   */
  private async look(): Promise<void> {
    if (!this.mayLook) return;
    const http = this.httpUrl();
    const own = http.origin === location.origin;
    let found: LinkError = { why: 'unreachable' };
    try {
      const answer = await fetch(http, {
        mode: own ? 'same-origin' : 'no-cors', cache: 'no-store', credentials: own ? 'same-origin' : 'omit',
        signal: AbortSignal.timeout(LOOK_MS),
      });
      void answer.body?.cancel();
      if (own && answer.headers.get('accept-post') === PACKETS) this.byRequests = true;
      found = { why: 'path', status: own ? answer.status : null };
    } catch {
      // No server, an untrusted certificate, or a policy that forbids the request: a page cannot tell them apart.
    }
    if (this.state.at === 'down' && (this.state.trouble?.why === 'unreachable' || this.state.trouble?.why === 'path')) {
      this.enter('down', '', this.forbidden && found.why === 'unreachable' ? { why: 'policy' } : found);
    }
  }

  private drop(): void {
    const { client } = this;
    this.client = null;
    client?.end();
  }

  private ask(one: Subscription): void {
    // Retain handling 2: no old messages on a reply topic. A refused subscription gets no replies, so the call times
    // out.
    const rh = this.version === 5 ? { rh: one.retained ? 0 : 2 } : {};
    this.client?.subscribe(one.filter, { qos: 1, ...rh }, () => {});
  }

  private deliver(topic: string, payload: Uint8Array): void {
    for (const one of [...this.subscriptions.values()]) {
      if (!matches(one.filter, topic)) continue;
      if (one.retained) this.keep(topic, payload);
      for (const listener of [...one.listeners]) listener(topic, payload);
    }
  }

  /** Keeps a retained message for later subscribers, up to a limit for the page. */
  private keep(topic: string, payload: Uint8Array | null): void {
    this.keptBytes -= this.kept.get(topic)?.length ?? 0;
    this.kept.delete(topic);
    if (!payload?.length || this.kept.size >= KEPT_TOPICS || this.keptBytes + payload.length > KEPT_BYTES) return;
    this.kept.set(topic, payload);
    this.keptBytes += payload.length;
  }

  private enter(at: LinkState['at'], message: string, trouble: LinkError | null): void {
    const before = this.state;
    this.state = { at, message: clean(message, 200), trouble };
    if (JSON.stringify(before) === JSON.stringify(this.state) && at !== 'up') return;
    for (const listener of [...this.stateListeners]) listener();
  }
}

function matches(filter: string, topic: string): boolean {
  if (!filter.includes('+')) return filter === topic;
  const parts = filter.split('/');
  const levels = topic.split('/');
  return parts.length === levels.length && parts.every((part, i) => part === '+' || part === levels[i]);
}
