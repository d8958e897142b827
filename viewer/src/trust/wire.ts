// What lies between a call and the broker. A board that this browser was paired with, or whose thumbprint the page
// knows, is spoken to in signed and sealed messages only; any other one in plain JSON (mode `broker`). Nothing of a
// known board is used before it is checked.

import type { Bytes } from '../bytes.ts';
import { Unusable } from '../json.ts';
import type { Link } from '../link.ts';
import { VERSION, decode, decodeInfo, decodeStatus, newSession, topics } from '../protocol.ts';
import type { Condition, FromDevice, Info, Received, Status } from '../protocol.ts';
import type { Target } from '../target.ts';
import {
  boardOf, introducedBy, isSigned, openReply, readPublic, sealRequest, signerOf, speechOf, welcomeOf,
} from './messages.ts';
import type { Peers, Speech } from './messages.ts';
import { News } from './news.ts';
import type { Happening } from './news.ts';
import { recognise } from './paired.ts';
import { placeOf } from './place.ts';
import { sealingPair, store } from './store.ts';
import type { Identity, PairedDevice } from './store.ts';
import { Tokens } from './tokens.ts';
import type { NoToken, TokenSource } from './tokens.ts';

/** Why this page does not speak to a device. Error names of `errors.ts`. */
export type Bar =
  'not_paired' | 'wrong_board' | 'keys_lost' | 'insecure_page' | 'no_store' | 'unknown_board' | 'other_board';

export interface WireHooks {
  status(status: Status | null): void;
  info(info: Info | null): void;
  /** Whether this viewer can talk, by what the board said last. One that said nothing may have a loudspeaker. */
  talks(yes: boolean): void;
  received(it: Received): void;
  /** An audit record. */
  event(it: Happening): void;
  /** The device must not be spoken to; null: it may. `over`: this also ends what runs. */
  bar(why: Bar | null, over?: boolean): void;
  /** Whether messages are sealed. */
  sealed(yes: boolean): void;
  /** A message was dropped. */
  unusable(): void;
  refused(message: string): void;
  /** There is a newer token, which the board must get before the old one ends. */
  renew(): void;
  /** There is no token, so nothing can be sent. */
  noToken(why: NoToken, message: string): void;
}

type Known = Pick<PairedDevice, 'thumb' | 'key'> & Partial<Pick<PairedDevice, 'talk' | 'rights'>>;
type Links = Pick<Link, 'url' | 'subscribe' | 'publish'>;
/** More waiting messages than this are dropped. */
const MOST_WAITING = 64;
const MOST_HELD = 32;

/** Why a board in the mode `keys` cannot be watched by this page, if it is not paired. */
export const unpaired = (): Bar =>
  (store.obstacle === 'insecure' ? 'insecure_page' : store.obstacle === null ? 'not_paired' : 'no_store');

export class Wire {
  /** `shut`: only a paired board would be spoken to, and this one is not, or no longer. Nothing is sent. */
  private mode: 'unknown' | 'plain' | 'keyed' | 'shut' = 'unknown';
  private peers: Peers | null = null;
  private speech: Speech | null = null;
  private status: Status | null = null;
  private condition: Condition | null = null;
  private hello: { session: string; epoch: string; token: string | null } | null = null;
  /** The start of the daemon that answered `hello`. */
  private confirmed: string | null = null;
  private barred = false;
  private lastStatus: Uint8Array | null = null;
  private lastInfo: Uint8Array | null = null;
  private held: string[] = [];
  private arriving: Promise<void> = Promise.resolve();
  private leaving: Promise<void> = Promise.resolve();
  private waiting = 0;
  private closed = false;
  /** It is known whether the board is paired, and what it said last. */
  readonly settled: Promise<void>;
  private readonly news = new News((text) => {
    if (this.ready) this.sendSealed(text, this.tokens?.text ?? null);
  }, () => this.peers?.self.id ?? null);
  private unlisten = (): void => {};
  private readonly undo: (() => void)[];
  private readonly tokens: Tokens | null;
  /** The page says that the board has a key. So nothing plain is said or believed. */
  private readonly strict: boolean;
  /** The key, as a point, of the board whose thumbprint the page knows. */
  private introduced: string | null = null;
  /** The token of the last message of the call, and whether the board said anything since. */
  private spoken: string | null = null;
  private answered = false;

  /** `source`: where access tokens come from, if the board wants them. */
  constructor(
    private readonly link: Links, private readonly target: Target, private readonly hooks: WireHooks,
    source: TokenSource | null = null,
  ) {
    const { root, device, viewer } = target;
    this.strict = source !== null || target.thumb !== '';
    this.tokens = source && new Tokens(source, device, {
      fresh: () => this.refreshed(), failed: (why, message) => hooks.noToken(why, message),
    });
    // Messages are handled one after the other, and the first step finds out whether the board is paired.
    this.queue(() => this.settle());
    this.settled = this.arriving;
    this.undo = [
      // The reply topic is subscribed first, on the same ordered connection.
      link.subscribe(topics.reply(root, device, viewer), false, (_, it) => this.queue(() => this.heardPlain(it))),
      link.subscribe(topics.status(root, device), true, (_, it) => this.queue(() => this.heardStatus(it))),
      link.subscribe(topics.info(root, device), true, (_, it) => this.queue(() => this.heardInfo(it))),
      store.onChange(() => this.queue(() => this.settle())),
    ];
  }

  /** A call will begin soon. */
  prepare(): void {
    if (!this.closed) this.tokens?.want();
  }

  publish(text: string): void {
    this.tokens?.use(true);
    if (this.mode === 'plain') return this.send(this.target.viewer, text);
    if (this.ready) {
      this.spoken = this.tokens?.text ?? null;
      return this.sendSealed(text, this.spoken);
    }
    // Until it is known how to speak to the board. The same message may come again meanwhile.
    if (this.mode !== 'shut' && !this.held.includes(text) && this.held.length < MOST_HELD) this.held.push(text);
    this.prepare();
  }

  /** The session ended. What it could not send is not sent later. */
  drop(): void {
    this.held = [];
    this.tokens?.use(false);
    // A board gives no answer to a token that it does not accept, so the next session has another one.
    if (this.spoken !== null && !this.answered) this.tokens?.forget();
    this.spoken = null;
    this.answered = false;
  }

  close(): void {
    this.closed = true;
    this.news.stop();
    this.tokens?.close();
    this.unlisten();
    for (const one of this.undo) one();
  }

  /** Finds out whether the board is paired: at the start, and when the keys of this browser change. */
  private async settle(): Promise<void> {
    const { root, device } = this.target;
    const before = this.peers;
    const known = await this.find();
    if (before && known === undefined) return; // the store failed, which proves nothing
    const self = store.obstacle ? null
      : await (this.strict ? store.makeIdentity() : store.identity()).catch(() => null);
    if (this.closed) return;
    if (self) this.tokens?.as(self.point);
    const board = known && self ? await boardOf({ ...known, device }) : null;
    const why = board ? null : this.obstacle(known, self);
    const mode = board ? 'keyed' : why ? 'shut' : this.strict ? 'unknown' : 'plain';
    const same = board ? before?.board.thumb === board.thumb && before.self.thumb === self!.thumb : mode === this.mode;
    if (this.closed || same) return;
    this.unlisten();
    this.news.stop();
    this.unlisten = () => {};
    this.peers = this.speech = this.status = this.condition = this.hello = this.confirmed = null;
    if (board) {
      const peers = this.peers = { self: self!, reply: await sealingPair(), board };
      this.unlisten = this.link.subscribe(
        topics.reply(root, device, peers.self.id), false, (_, it) => this.queue(() => this.heardSealed(it))
      );
    }
    this.mode = mode;
    this.hooks.sealed(board !== null);
    this.hooks.talks(known?.talk !== false && (known?.rights?.includes('talk') ?? false));
    this.hooks.info(null);
    if (why) this.bar(why, true);
    else if (before) this.bar('not_paired', true);
    if (this.lastStatus) await this.heardStatus(this.lastStatus);
    if (this.mode === 'plain') this.flush();
  }

  /** Why the board cannot be spoken to; null if it can, or if it is not known yet. */
  private obstacle(known: Known | null | undefined, self: Identity | null): Bar | null {
    if (this.strict && !self) return store.obstacle === 'insecure' ? 'insecure_page' : 'no_store';
    // Keys that were there a moment ago, or whose board is still known, were deleted.
    const lost = !!known || (this.peers !== null && !self);
    const stays = this.mode === 'shut' && !self;
    if (this.strict) return lost || stays ? 'keys_lost' : this.target.thumb === '' ? 'unknown_board' : null;
    if (lost) return 'keys_lost';
    return stays || this.target.keys || store.expects(this.place) ? unpaired() : null;
  }

  /** The board of this place, by the page or by pairing; null: not known yet; undefined: the store failed. */
  private async find(): Promise<Known | null | undefined> {
    const { thumb } = this.target;
    const paired = await this.paired();
    if (thumb === '' || paired?.thumb === thumb) return paired;
    return this.introduced === null ? null : { thumb, key: this.introduced };
  }

  /** The paired board of this place; null: none; undefined: unknown. */
  private async paired(): Promise<PairedDevice | null | undefined> {
    return store.obstacle ? null : store.find(this.place).catch(() => undefined);
  }

  private get place(): string {
    const { root, device } = this.target;
    return placeOf({ broker: this.link.url.href, root, device });
  }

  private bar(why: Bar | null, over = false): void {
    this.barred = why !== null;
    if (this.barred) {
      this.hooks.info(null); // what a stranger says is no name
      this.condition = null; // the true board says it again
    }
    this.hooks.bar(why, over);
  }

  private async heardStatus(payload: Uint8Array): Promise<void> {
    this.lastStatus = payload;
    if (this.mode === 'keyed') return this.heardKeyedStatus(payload, this.peers!);
    if (this.mode === 'unknown') { // until the board of this thumbprint has told its key
      if (payload.length && signerOf(payload, 'status') !== this.target.thumb) this.bar('other_board');
      return;
    }
    if (this.mode === 'shut' || isSigned(payload)) {
      const { root, device } = this.target;
      const known = await recognise({ broker: this.link.url.href, root, device }, payload).catch(() => false);
      return known || this.closed || this.mode === 'shut' ? undefined : this.bar(unpaired());
    }
    const status = decodeStatus(payload);
    if (this.barred) {
      this.bar(null);
      if (this.lastInfo) await this.heardInfo(this.lastInfo);
    }
    this.hooks.status(status);
  }

  private async heardKeyedStatus(payload: Uint8Array, { board }: Peers): Promise<void> {
    if (payload.length === 0) return this.hooks.status(null); // anybody may remove what is retained
    const json = await readPublic(payload, 'status', board);
    if (this.closed) return;
    if (!json) {
      const signer = signerOf(payload, 'status');
      // Another key, or none: it is not the board that was paired, or no longer. Its own forged messages are ignored.
      const plain = signer === null && !isSigned(payload) && decodeStatus(payload) !== null;
      if (plain || (signer !== null && signer !== board.thumb))
        this.bar(this.target.thumb === '' ? 'wrong_board' : 'other_board');
      return this.hooks.unusable();
    }
    const status = decodeStatus(json);
    if (status === null) throw new Unusable('status: empty');
    this.speech = status.state === 'online' ? speechOf(json) : null;
    this.status = status;
    if (this.barred) this.bar(null);
    // Anybody can repeat an old status, and a new start ends sessions. So the board itself has to confirm it.
    if (status.state !== 'online' || this.confirmed === null || this.confirmed === status.epoch) this.tellStatus();
    this.proceed();
  }

  /** Sends what waits, as soon as nonce, sealing key and token are there. */
  private proceed(): void {
    const { status } = this;
    if (!this.ready || !status) return;
    this.flush();
    // Repeated until it is answered: the nonce of a retained status may be too old.
    if (this.hello?.epoch !== status.epoch || !this.condition) this.sayHello(status.epoch);
  }

  /** Whether a message can be sealed. */
  private get ready(): boolean {
    return this.mode === 'keyed' && this.speech !== null && (this.tokens === null || this.tokens.text !== null);
  }

  private refreshed(): void {
    const greeted = this.condition !== null;
    this.proceed();
    if (greeted) this.news.again(); // another token may have other rights
    this.hooks.renew();
  }

  /** A signed status says nothing about the camera. What the board said sealed since its start stays valid. */
  private tellStatus(): void {
    const { status, condition } = this;
    this.hooks.status(status?.state === 'online' && condition ? { ...status, ...condition } : status);
  }

  private async heardInfo(payload: Uint8Array): Promise<void> {
    this.lastInfo = payload;
    if (this.strict) return this.introduce(payload);
    if (this.mode !== 'plain' || this.barred || isSigned(payload)) return;
    this.hooks.info(decodeInfo(payload));
  }

  /** The board whose thumbprint the page knows tells its key. */
  private async introduce(payload: Uint8Array): Promise<void> {
    const { device, thumb } = this.target;
    if (thumb === '' || this.mode !== 'unknown') return;
    const found = await introducedBy(payload, device, thumb);
    if (this.closed) return;
    if (found) {
      this.introduced = found.point;
      return this.settle();
    }
    if (payload.length && signerOf(payload, 'info') !== thumb) this.bar('other_board');
  }

  private heardPlain(payload: Uint8Array): void {
    if (this.mode === 'plain' && !this.barred) this.hooks.received(decode(payload));
    else this.hooks.unusable();
  }

  private async heardSealed(payload: Uint8Array): Promise<void> {
    const json = this.peers && await openReply(this.peers, payload);
    if (this.closed) return; // while it was opened
    if (!json) return this.hooks.unusable();
    const it = decode(json);
    this.answered = true;
    if (this.tokens && it.body.type === 'error' && it.body.name === 'auth_required') return this.heardEnd(it);
    this.tokens?.accepted();
    // The owner of the board, or the issuer, took something back. Another token may still have the rest.
    if (it.body.type === 'bye' && it.body.reason === 'forbidden') this.tokens?.forget();
    if (it.body.type === 'welcome') return this.heardWelcome(json);
    if (it.body.type === 'event') {
      const happening = this.news.read(json);
      return happening ? this.hooks.event(happening) : this.hooks.unusable();
    }
    if (it.body.type === 'error' && this.news.owns(it.session)) return this.news.refused(it.body.name);
    if (it.body.type === 'media' && this.condition) this.condition = { ...this.condition, media: it.body.media };
    this.hooks.received(it);
  }

  /** The token of a message has ended. The board is asked again with a new one. */
  private heardEnd(it: Received): void {
    const greeted = it.session === this.hello?.session;
    const token = greeted ? this.hello!.token : this.spoken;
    const hope = token !== null && this.tokens!.ended(token);
    if (greeted) this.hello = null;
    if (hope) this.prepare();
    const body = { ...it.body, name: 'token_ended' } as FromDevice;
    if (!greeted) this.hooks.received(hope ? { ...it, body } : it);
  }

  private async heardWelcome(json: Bytes): Promise<void> {
    const { session, nonce, condition, info, rights } = welcomeOf(json);
    const { hello, speech } = this;
    const again = this.news.owns(session);
    if (!speech || !(again || session === hello?.session)) return this.hooks.unusable();
    this.speech = { ...speech, nonce };
    this.hooks.info(info && { ...info, rights });
    if (again) this.news.answered(rights);
    else {
      this.condition = condition;
      this.confirmed = hello!.epoch;
      this.tellStatus();
      this.news.begin(rights);
    }
    const known = await this.paired();
    if (known && known.thumb === this.peers?.board.thumb)
      await store.update(known, { name: info?.name ?? '', rights, talk: info?.talk ?? false }).catch(() => {});
  }

  private sayHello(epoch: string): void {
    this.condition = null;
    const token = this.tokens?.text ?? null;
    this.hello = { session: newSession(), epoch, token };
    this.sendSealed(JSON.stringify({ v: VERSION, type: 'hello', session: this.hello.session, seq: 0 }), token);
  }

  private flush(): void {
    for (const text of this.held.splice(0)) this.publish(text);
  }

  private sendSealed(text: string, token: string | null): void {
    this.leaving = this.leaving.then(async () => {
      const { peers, speech } = this;
      const sealed = peers && speech && await sealRequest(peers, speech, text, token);
      if (sealed) this.send(peers.self.id, sealed);
    }).catch(() => this.hooks.unusable());
  }

  private send(viewer: string, text: string): void {
    const { root, device } = this.target;
    this.link.publish(topics.request(root, device, viewer), text)
      .catch((error: Error) => this.hooks.refused(error.message));
  }

  private queue(step: () => Promise<void> | void): void {
    if (this.waiting >= MOST_WAITING) return this.hooks.unusable();
    this.waiting += 1;
    this.arriving = this.arriving.then(() => (this.closed ? undefined : step())).catch((error: unknown) => {
      this.hooks.unusable();
      if (!(error instanceof Unusable)) globalThis.reportError?.(error);
    }).then(() => { this.waiting -= 1; });
  }
}
