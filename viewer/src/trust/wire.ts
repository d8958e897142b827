// What lies between a call and the broker. A board that this browser was paired with is spoken to in signed and sealed
// messages only; any other one in plain JSON (mode `broker`). Nothing of a paired board is used before it is checked.

import type { Bytes } from '../bytes.ts';
import { Unusable } from '../json.ts';
import type { Link } from '../link.ts';
import { VERSION, decode, decodeInfo, decodeStatus, newSession, topics } from '../protocol.ts';
import type { Condition, Info, Received, Status } from '../protocol.ts';
import type { Target } from '../target.ts';
import { boardOf, isSigned, openReply, readPublic, sealRequest, signerOf, speechOf, welcomeOf } from './messages.ts';
import type { Peers, Speech } from './messages.ts';
import { placeOf } from './place.ts';
import { sealingPair, store } from './store.ts';
import type { PairedDevice } from './store.ts';

/** Why this page does not speak to a device. Error names of `errors.ts`. */
export type Bar = 'not_paired' | 'wrong_board' | 'keys_lost' | 'insecure_page' | 'no_store';

export interface WireHooks {
  status(status: Status | null): void;
  info(info: Info | null): void;
  received(it: Received): void;
  /** The device must not be spoken to; null: it may. `over`: this also ends what runs. */
  bar(why: Bar | null, over?: boolean): void;
  /** Whether messages are sealed. */
  sealed(yes: boolean): void;
  /** A message was dropped. */
  unusable(): void;
  refused(message: string): void;
}

type Links = Pick<Link, 'url' | 'subscribe' | 'publish'>;
/** More waiting messages than this are dropped. */
const MOST_WAITING = 64;
const MOST_HELD = 32;

/** Why a board in the mode `keys` cannot be watched by this page, if it is not paired. */
export const unpaired = (): Bar =>
  (store.obstacle === 'insecure' ? 'insecure_page' : store.obstacle === null ? 'not_paired' : 'no_store');

export class Wire {
  /** `shut`: the keys of this browser are gone, or not made yet, so nothing is sent. */
  private mode: 'unknown' | 'plain' | 'keyed' | 'shut' = 'unknown';
  private peers: Peers | null = null;
  private speech: Speech | null = null;
  private status: Status | null = null;
  private condition: Condition | null = null;
  private hello: { session: string; epoch: string } | null = null;
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
  private unlisten = (): void => {};
  private readonly undo: (() => void)[];

  constructor(private readonly link: Links, private readonly target: Target, private readonly hooks: WireHooks) {
    const { root, device, viewer } = target;
    // Messages are handled one after the other, and the first step finds out whether the board is paired.
    this.queue(() => this.settle());
    this.undo = [
      // The reply topic is subscribed first, on the same ordered connection.
      link.subscribe(topics.reply(root, device, viewer), false, (_, it) => this.queue(() => this.heardPlain(it))),
      link.subscribe(topics.status(root, device), true, (_, it) => this.queue(() => this.heardStatus(it))),
      link.subscribe(topics.info(root, device), true, (_, it) => this.queue(() => this.heardInfo(it))),
      store.onChange(() => this.queue(() => this.settle())),
    ];
  }

  publish(text: string): void {
    if (this.mode === 'plain') this.send(this.target.viewer, text);
    else if (this.mode === 'keyed' && this.speech) this.sendSealed(text);
    // Until it is known how to speak to the board. The same message may come again meanwhile.
    else if (this.mode !== 'shut' && !this.held.includes(text) && this.held.length < MOST_HELD) this.held.push(text);
  }

  /** The session ended. What it could not send is not sent later. */
  drop(): void {
    this.held = [];
  }

  close(): void {
    this.closed = true;
    this.unlisten();
    for (const one of this.undo) one();
  }

  /** Finds out whether the board is paired: at the start, and when the keys of this browser change. */
  private async settle(): Promise<void> {
    const { root, device } = this.target;
    const before = this.peers;
    const paired = await this.find();
    if (before && paired === undefined) return; // the store failed, which proves nothing
    const self = store.obstacle ? null : await store.identity().catch(() => null);
    const board = paired && self ? await boardOf(paired) : null;
    // Keys that were there a moment ago, or whose board is still known, were deleted.
    const lost = !!paired || (!!(before || this.mode === 'shut') && !self);
    const invited = store.expects(this.place);
    const mode = board ? 'keyed' : lost || invited ? 'shut' : 'plain';
    const same = board ? before?.board.thumb === board.thumb && before.self.thumb === self!.thumb : mode === this.mode;
    if (this.closed || same) return;
    this.unlisten();
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
    this.hooks.info(null);
    if (this.mode === 'shut') this.bar(invited && !paired && !before ? unpaired() : 'keys_lost', true);
    else if (before) this.bar('not_paired', true);
    if (this.lastStatus) await this.heardStatus(this.lastStatus);
    if (this.mode === 'plain') this.flush();
  }

  /** The paired board of this place; null: none; undefined: unknown. */
  private async find(): Promise<PairedDevice | null | undefined> {
    return store.obstacle ? null : store.find(this.place).catch(() => undefined);
  }

  private get place(): string {
    const { root, device } = this.target;
    return placeOf({ broker: this.link.url.href, root, device });
  }

  private bar(why: Bar | null, over = false): void {
    this.barred = why !== null;
    if (this.barred) this.hooks.info(null); // what a stranger says is no name
    this.hooks.bar(why, over);
  }

  private async heardStatus(payload: Uint8Array): Promise<void> {
    this.lastStatus = payload;
    if (this.mode === 'keyed') return this.heardKeyedStatus(payload, this.peers!);
    if (this.mode === 'shut') return;
    if (isSigned(payload)) return this.bar(unpaired());
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
    if (!json) {
      const signer = signerOf(payload, 'status');
      // Another key, or none: it is not the board that was paired, or no longer. Its own forged messages are ignored.
      const plain = signer === null && !isSigned(payload) && decodeStatus(payload) !== null;
      if (plain || (signer !== null && signer !== board.thumb)) this.bar('wrong_board');
      return this.hooks.unusable();
    }
    const status = decodeStatus(json);
    if (status === null) throw new Unusable('status: empty');
    this.speech = status.state === 'online' ? speechOf(json) : null;
    this.status = status;
    if (this.barred) this.bar(null);
    // Anybody can repeat an old status, and a new start ends sessions. So the board itself has to confirm it.
    if (status.state !== 'online' || this.confirmed === null || this.confirmed === status.epoch) this.tellStatus();
    this.flush();
    // Repeated until it is answered: the nonce of a retained status may be too old.
    if (this.speech && (this.hello?.epoch !== status.epoch || !this.condition)) this.sayHello(status.epoch);
  }

  /** A signed status says nothing about the camera. What the board said sealed since its start stays valid. */
  private tellStatus(): void {
    const { status, condition } = this;
    this.hooks.status(status?.state === 'online' && condition ? { ...status, ...condition } : status);
  }

  private heardInfo(payload: Uint8Array): void {
    this.lastInfo = payload;
    if (this.mode !== 'plain' || this.barred || isSigned(payload)) return;
    this.hooks.info(decodeInfo(payload));
  }

  private heardPlain(payload: Uint8Array): void {
    if (this.mode === 'plain' && !this.barred) this.hooks.received(decode(payload));
    else this.hooks.unusable();
  }

  private async heardSealed(payload: Uint8Array): Promise<void> {
    const json = this.peers && await openReply(this.peers, payload);
    if (!json) return this.hooks.unusable();
    const it = decode(json);
    if (it.body.type === 'welcome') return this.heardWelcome(json);
    if (it.body.type === 'media' && this.condition) this.condition = { ...this.condition, media: it.body.media };
    this.hooks.received(it);
  }

  private async heardWelcome(json: Bytes): Promise<void> {
    const { session, nonce, condition, info, rights } = welcomeOf(json);
    if (session !== this.hello?.session || !this.speech) return this.hooks.unusable();
    this.speech = { ...this.speech, nonce };
    this.condition = condition;
    this.confirmed = this.hello.epoch;
    this.hooks.info(info);
    this.tellStatus();
    const known = await this.find();
    if (known && known.thumb === this.peers?.board.thumb)
      await store.update(known, { name: info?.name ?? '', rights }).catch(() => {});
  }

  private sayHello(epoch: string): void {
    this.condition = null;
    this.hello = { session: newSession(), epoch };
    this.sendSealed(JSON.stringify({ v: VERSION, type: 'hello', session: this.hello.session, seq: 0 }));
  }

  private flush(): void {
    for (const text of this.held.splice(0)) this.publish(text);
  }

  private sendSealed(text: string): void {
    this.leaving = this.leaving.then(async () => {
      const { peers, speech } = this;
      const sealed = peers && speech && await sealRequest(peers, speech, text);
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
