// Pairs this browser with a board by the link that `fanlight pair` prints (docs/reference/signed-messages.md). The link
// has a secret. Each side proves to the other that it knows it, so each learns the other's public key.

import { brokerUrl } from '../address.ts';
import { base64url, exactly, unbase64url, utf8 } from '../bytes.ts';
import type { Bytes } from '../bytes.ts';
import { Unusable, object, readJson, text } from '../json.ts';
import { languageAmong, languageOf } from '../language.ts';
import { Link } from '../link.ts';
import { MOST_NAME, VERSION, isId, isRoot, newSession, topics } from '../protocol.ts';
import { clean } from '../texts.ts';
import { troubleWords } from '../trouble.ts';
import type { TroubleWords } from '../trouble.ts';
import { componentWords } from '../words/languages.ts';
import { introducedBy, openReply, readPublic, rightsOf, sealRequest, signerOf, speechOf } from './messages.ts';
import type { Peers, Speech } from './messages.ts';
import { placeOf } from './place.ts';
import { sealingPair, store } from './store.ts';
import type { Identity, NoKeys, PairedDevice } from './store.ts';

/** What a pairing link says. `thumb`: the thumbprint of the board's key. */
export interface Invitation { broker: string; root: string; device: string; thumb: string; secret: Bytes }

/** The steps of a pairing, in order. */
export type PairStep = 'broker' | 'device' | 'answer';

/**
 * Why a pairing failed. `link`: the link is damaged; `broker`: it cannot be reached; `silent`: the board does not
 * announce itself there; `wrong_board`: another board does; `no_answer`: the board is there and does not answer.
 */
export type PairFault = NoKeys | 'link' | 'broker' | 'silent' | 'wrong_board' | 'no_answer' | 'stopped';

export class PairingError extends Error {
  constructor(
    readonly why: PairFault,
    /** Why the broker cannot be reached, as sentences. */
    readonly trouble: TroubleWords | null = null,
    /** The broker refused the login, or asks for one. */
    readonly login = false,
  ) {
    super(`pairing: ${why}`);
  }
}

export interface PairOptions {
  /** The name of this viewer, which the board puts on its list. */
  name: string;
  /** The broker login. */
  user?: string;
  password?: string;
  signal?: AbortSignal;
  progress?: (step: PairStep) => void;
  /** The language of `trouble`. Default: that of the document. */
  lang?: string;
}

const MOST_LINK = 4096;
/** How long each step may take, and when the request is repeated, in milliseconds. */
const TIMES = { step: 10_000, again: [2500, 5000] };
export const MOST_SELF = 64;

/** Reads a pairing link, or its part that begins with `#p=`. Null if it is none. */
export function invitationOf(link: string, page = location.href): Invitation | null {
  const found = link.length <= MOST_LINK ? /#p=([A-Za-z0-9_-]+)\s*$/.exec(link) : null;
  const bytes = found && unbase64url(found[1]!);
  try {
    const it = object(bytes && readJson(bytes), 'link');
    const [root, device, thumb] = [text(it, 'root', 256), text(it, 'device', 64), text(it, 'key', 43)];
    const secret = exactly(16, it['secret']);
    if (it['v'] !== VERSION || !isRoot(root) || !isId(device) || !exactly(32, thumb) || !secret) return null;
    return { broker: brokerUrl(text(it, 'broker', 512), page).href, root, device, thumb, secret };
  } catch {
    return null;
  }
}

/**
 * A person opened this link, so its board is in the mode `keys`: this page speaks to it only when it is paired. Without
 * this, whoever runs the broker could show another camera under its name until then.
 */
export const expectDevice = (invitation: Invitation): void => store.expect(placeOf(invitation));

/**
 * Pairs this browser with the board of this link. Rejects with a `PairingError`. Keeps the board afterwards: its
 * viewers on this origin connect by themselves.
 */
export async function pairDevice(link: string, options: PairOptions): Promise<PairedDevice> {
  const { obstacle } = store;
  if (obstacle) throw new PairingError(obstacle);
  const invitation = invitationOf(link);
  if (!invitation) throw new PairingError('link');
  // Browsers may delete what a page stores, unless the page asks. The answer changes nothing here.
  void globalThis.navigator?.storage?.persist?.().catch(() => {});
  let self: Identity;
  try {
    self = await store.makeIdentity();
  } catch {
    throw new PairingError('no_store');
  }
  const broker = Link.use(invitation.broker, options.user ?? '', options.password ?? '');
  try {
    const paired = await new Exchange(broker, invitation, self, options).run();
    await store.keep(paired).catch(() => { throw new PairingError('no_store'); });
    return paired;
  } finally {
    broker.release();
  }
}

/** HMAC-SHA256 over texts, each followed by a zero byte. */
export async function pairingMac(secret: Bytes, texts: string[]): Promise<string> {
  const key = await crypto.subtle.importKey('raw', secret, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
  const mac = await crypto.subtle.sign('HMAC', key, utf8(texts.map((it) => `${it}\0`).join('')));
  return base64url(new Uint8Array(mac));
}

type Broker = Pick<Link, 'state' | 'up' | 'url' | 'onState' | 'subscribe' | 'publish'>;

/** One pairing. */
export class Exchange {
  private readonly name: string;
  private readonly session = newSession();
  private step: PairStep = 'broker';
  private speech: Speech | null = null;
  private key: { point: string; peers: Peers } | null = null;
  private lastStatus: Uint8Array | null = null;
  private other = false; // another board uses this name
  private timers: ReturnType<typeof setTimeout>[] = [];
  private undo: (() => void)[] = [];
  private arriving: Promise<void> = Promise.resolve();
  private finish!: { resolve(it: PairedDevice): void; reject(error: Error): void };

  constructor(
    private readonly link: Broker, private readonly invitation: Invitation, private readonly self: Identity,
    private readonly options: PairOptions, private readonly times = TIMES,
  ) {
    this.name = clean(options.name, MOST_SELF);
  }

  async run(): Promise<PairedDevice> {
    const { link, self, options: { signal } } = this;
    const { root, device } = this.invitation;
    const done = new Promise<PairedDevice>((resolve, reject) => { this.finish = { resolve, reject }; });
    const stop = () => this.fail('stopped');
    signal?.addEventListener('abort', stop);
    this.enter('broker');
    this.undo = [
      link.subscribe(topics.reply(root, device, self.id), false, (_, it) => this.queue(() => this.heardReply(it))),
      link.subscribe(topics.info(root, device), true, (_, it) => this.queue(() => this.heardInfo(it))),
      link.subscribe(topics.status(root, device), true, (_, it) => this.queue(() => this.heardStatus(it))),
      link.onState(() => this.reached()),
      () => signal?.removeEventListener('abort', stop),
    ];
    if (signal?.aborted) stop();
    this.reached();
    try {
      return await done;
    } finally {
      for (const timer of this.timers) clearTimeout(timer);
      for (const one of this.undo) one();
    }
  }

  private enter(step: PairStep): void {
    for (const timer of this.timers.splice(0)) clearTimeout(timer);
    this.step = step;
    this.options.progress?.(step);
    this.timers.push(setTimeout(() => this.late(), this.times.step));
  }

  private late(): void {
    if (this.step === 'broker') this.fail('broker');
    else if (this.step === 'answer') this.fail('no_answer');
    else this.fail(this.other ? 'wrong_board' : 'silent');
  }

  private fail(why: PairFault): void {
    const { state, url } = this.link;
    const { lang, user } = this.options;
    const format = lang === undefined ? languageOf(document.documentElement) : languageAmong([lang]);
    const trouble = why !== 'broker' ? null : troubleWords(state, {
      url, page: location.href, loginGiven: !!user, format, words: componentWords[format.tag],
    });
    this.finish.reject(new PairingError(why, trouble, trouble !== null && state.trouble?.why === 'login'));
  }

  private reached(): void {
    if (this.link.state.at === 'refused') return this.fail('broker');
    if (this.step === 'broker' && this.link.up) this.enter('device');
    void this.proceed();
  }

  private async heardInfo(payload: Uint8Array): Promise<void> {
    if (this.key) return;
    const { thumb, device } = this.invitation;
    const found = await introducedBy(payload, device, thumb);
    if (!found) {
      this.other ||= payload.length > 0 && signerOf(payload, 'info') !== thumb;
      return;
    }
    this.key = { point: found.point, peers: { self: this.self, reply: await sealingPair(), board: found.board } };
    if (this.lastStatus) await this.heardStatus(this.lastStatus);
  }

  private async heardStatus(payload: Uint8Array): Promise<void> {
    this.lastStatus = payload;
    const json = this.key && await readPublic(payload, 'status', this.key.peers.board);
    if (!json) return;
    const it = object(readJson(json), 'status');
    this.speech = it['v'] === VERSION && it['state'] === 'online' ? speechOf(json) : null;
    await this.proceed();
  }

  /** Asks, as soon as everything is known that is needed. */
  private async proceed(): Promise<void> {
    if (this.step !== 'device' || !this.key || !this.speech) return;
    this.enter('answer');
    for (const after of this.times.again) this.timers.push(setTimeout(() => void this.ask(), after));
    await this.ask();
  }

  private texts(kind: 'viewer' | 'board'): string[] {
    const { thumb, device } = this.invitation;
    return [`fanlight pair ${kind}`, thumb, device, this.self.thumb, this.name];
  }

  /** Sends the request, with the newest nonce. The board answers each copy in the same way. */
  private async ask(): Promise<void> {
    const { root, device, secret } = this.invitation;
    const mac = await pairingMac(secret, this.texts('viewer'));
    const message = JSON.stringify({
      v: VERSION, type: 'pair', session: this.session, seq: 0, key: this.self.point, name: this.name, mac,
    });
    const sealed = this.key && this.speech && await sealRequest(this.key.peers, this.speech, message);
    if (sealed) await this.link.publish(topics.request(root, device, this.self.id), sealed).catch(() => {});
  }

  private async heardReply(payload: Uint8Array): Promise<void> {
    const json = this.key && await openReply(this.key.peers, payload);
    if (!json) return;
    const it = object(readJson(json), 'paired');
    if (it['v'] !== VERSION || it['type'] !== 'paired' || it['session'] !== this.session) return;
    if (it['mac'] !== await pairingMac(this.invitation.secret, this.texts('board'))) return;
    const { broker, root, device, thumb } = this.invitation;
    const until = it['until'] ?? null;
    if (until !== null && !(Number.isSafeInteger(until) && (until as number) > 0)) throw new Unusable('until: no time');
    this.finish.resolve({
      broker, root, device, thumb, key: this.key!.point, name: '', self: clean(text(it, 'name', 256), MOST_NAME),
      rights: rightsOf(it['rights']), until: until === null ? null : (until as number) * 1000, since: Date.now(),
    });
  }

  private queue(step: () => Promise<void>): void {
    this.arriving = this.arriving.then(step).catch(() => {}); // what cannot be used is ignored
  }
}
