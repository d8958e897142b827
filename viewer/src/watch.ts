// Joins the three parts of a viewer: the broker link, the rules of a call, and the peer connection.

import { Call } from './call.ts';
import type { Options } from './effect.ts';
import { Link } from './link.ts';
import { Player } from './player.ts';
import type { Info } from './protocol.ts';
import type { Target } from './target.ts';
import { Wire } from './trust/wire.ts';

const now = () => performance.now();

export class Watch {
  readonly link: Link;
  readonly call: Call;
  readonly player: Player;
  /** What the device says about itself. */
  info: Info | null = null;
  /** How many messages violated the protocol, or were not by the device. */
  unusable = 0;

  private readonly wire: Wire;
  private readonly undo: (() => void)[] = [];
  private timer: ReturnType<typeof setTimeout> | undefined;
  private closed = false;

  /** Throws an error with a sentence if the broker's address is wrong. */
  constructor(
    target: Target, options: Options,
    private readonly changed: () => void, private readonly stream: (stream: MediaStream | null) => void,
  ) {
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
      this.link.onState(() => this.then(() => call.broker(this.link.up, now()))),
    );
    this.wire = new Wire(this.link, target, {
      status: (it) => this.then(() => call.deviceStatus(it, now())),
      info: (it) => this.then(() => { this.info = it; }),
      received: (it) => this.then(() => call.received(it, now())),
      bar: (why, over) => this.then(() => call.bar(why, now(), over)),
      sealed: (yes) => { call.sealed = yes; },
      unusable: () => { this.unusable += 1; },
      refused: (message) => this.then(() => call.publishRefused(message, now())),
    });
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
    this.wire.close();
    this.link.release();
  }

  /** Changes the call, and then runs all effects. */
  private then(step: () => void): void {
    if (this.closed) return;
    step();
    const { call, player, wire } = this;
    for (const effect of call.take()) {
      switch (effect.do) {
        case 'publish': wire.publish(effect.text); break;
        case 'make_offer': player.makeOffer(effect.restart, effect.servers); break;
        case 'take_offer': player.takeOffer(effect.sdp, effect.servers); break;
        case 'take_answer': player.takeAnswer(effect.sdp, effect.servers); break;
        case 'take_candidates': player.takeCandidates(effect.candidates); break;
        // It takes some milliseconds the first time, so it runs while the message travels.
        case 'digest': setTimeout(() => call.digest()); break;
        case 'close':
          player.close();
          wire.drop();
          break;
      }
    }
    clearTimeout(this.timer);
    const next = call.nextWake();
    if (next !== null) this.timer = setTimeout(() => this.then(() => call.wake(now())), Math.max(0, next - now()));
    this.changed();
  }
}
