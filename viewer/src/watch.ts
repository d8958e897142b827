// Joins the three parts of a viewer: the broker link, the rules of a call, and the peer connection.

import { Call } from './call.ts';
import type { Options } from './effect.ts';
import { Link } from './link.ts';
import { Player } from './player.ts';
import { Unusable, decode, decodeInfo, decodeStatus, topics } from './protocol.ts';
import type { Info, Received } from './protocol.ts';
import type { Target } from './target.ts';

const now = () => performance.now();

export class Watch {
  readonly link: Link;
  readonly call: Call;
  readonly player: Player;
  /** The device's retained info. */
  info: Info | null = null;
  /** How many messages of the device violated the protocol. */
  unusable = 0;

  private readonly undo: (() => void)[] = [];
  private timer: ReturnType<typeof setTimeout> | undefined;
  private closed = false;

  /** Throws an error with a sentence if the broker's address is wrong. */
  constructor(
    private readonly target: Target, options: Options,
    private readonly changed: () => void, private readonly stream: (stream: MediaStream | null) => void,
  ) {
    const { root, device, viewer } = target;
    this.link = Link.use(target.broker, target.user, target.password);
    this.call = new Call(options);
    const { call } = this;
    this.player = new Player({
      offer: (sdp, restart) => this.then(() => call.localOffer(sdp, now(), restart)),
      answer: (sdp) => this.then(() => call.localAnswer(sdp)),
      candidate: (one, ufrag) => this.then(() => call.localCandidate(one, ufrag, now())),
      remoteSet: () => this.then(() => call.remoteSet()),
      peer: (state) => this.then(() => call.peer(state, now())),
      stream: (it) => this.stream(it),
      failed: (name, doing, message) => this.then(() => call.localFailed(name, now(), doing, message)),
    });
    const networkChanged = () => this.then(() => call.networkChanged(now()));
    addEventListener('online', networkChanged);
    this.undo.push(
      () => removeEventListener('online', networkChanged),
      // The reply topic is subscribed first, on the same ordered connection.
      this.link.subscribe(topics.reply(root, device, viewer), false, (_, payload) => this.received(payload)),
      this.link.subscribe(topics.status(root, device), true, (_, payload) => this.status(payload)),
      this.link.subscribe(topics.info(root, device), true, (_, payload) => this.tellInfo(payload)),
      this.link.onState(() => this.then(() => call.broker(this.link.up, now()))),
    );
    this.call.broker(this.link.up, now());
  }

  start(): void {
    if (!Player.possible) {
      this.then(() => {
        this.call.watch(now());
        this.call.localFailed('no_webrtc', now());
      });
      return;
    }
    this.prepare();
    this.then(() => this.call.watch(now()));
  }

  /** Ends the call; the reason is sent to the device. */
  stop(reason = 'left'): void {
    this.then(() => this.call.stop(reason));
    this.player.forget();
  }

  /** Prepares key and offer, so that a click takes no time. */
  prepare(): void {
    if (Player.possible && !this.player.pc && this.call.session === null && this.call.options.mode === 'offer')
      this.player.prepare(this.call.servers);
  }

  shown(): void {
    this.then(() => this.call.shown(now()));
  }

  close(): void {
    this.stop();
    this.closed = true;
    clearTimeout(this.timer);
    for (const one of this.undo.splice(0)) one();
    this.link.release();
  }

  private status(payload: Uint8Array): void {
    try {
      const status = decodeStatus(payload);
      this.then(() => this.call.deviceStatus(status, now()));
    } catch (error) {
      if (!(error instanceof Unusable)) throw error;
      this.unusable += 1;
    }
  }

  private tellInfo(payload: Uint8Array): void {
    try {
      this.info = decodeInfo(payload);
      this.then(() => {});
    } catch (error) {
      if (!(error instanceof Unusable)) throw error;
      this.unusable += 1;
    }
  }

  private received(payload: Uint8Array): void {
    let it: Received;
    try {
      it = decode(payload);
    } catch (error) {
      if (!(error instanceof Unusable)) throw error;
      this.unusable += 1;
      return;
    }
    this.then(() => this.call.received(it, now()));
  }

  /** Changes the call, and then runs all effects. */
  private then(step: () => void): void {
    if (this.closed) return;
    step();
    const { call, player } = this;
    for (const effect of call.take()) {
      switch (effect.do) {
        case 'publish': {
          const { root, device, viewer } = this.target;
          this.link.publish(topics.request(root, device, viewer), effect.text)
            .catch((error: Error) => this.then(() => call.publishRefused(error.message, now())));
          break;
        }
        case 'make_offer': player.makeOffer(effect.restart, effect.servers); break;
        case 'take_offer': player.takeOffer(effect.sdp, effect.servers); break;
        case 'take_answer': player.takeAnswer(effect.sdp, effect.servers); break;
        case 'take_candidates': player.takeCandidates(effect.candidates); break;
        // It takes some milliseconds the first time, so it runs while the message travels.
        case 'digest': setTimeout(() => call.digest()); break;
        case 'close': player.close(); break;
      }
    }
    clearTimeout(this.timer);
    const next = call.nextWake();
    if (next !== null) this.timer = setTimeout(() => this.then(() => call.wake(now())), Math.max(0, next - now()));
    this.changed();
  }
}
