// Joins the three parts of a viewer: the broker link, the rules of a call, and the peer connection.

import { Call } from './call.ts';
import { Commands } from './commands.ts';
import type { Outcome } from './commands.ts';
import type { Options } from './effect.ts';
import { Link } from './link.ts';
import { Player } from './player.ts';
import { refusal } from './results.ts';
import type { Json } from './results.ts';
import type { FromDevice, Info } from './protocol.ts';
import type { Target } from './target.ts';
import type { Happening } from './trust/news.ts';
import type { TokenSource } from './trust/tokens.ts';
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

  private readonly commands = new Commands(
    (it) => (this.call.trusted && this.player.command(it) ? 'channel' : this.call.command(it))
  );
  private readonly wire: Wire;
  private readonly undo: (() => void)[] = [];
  private timer: ReturnType<typeof setTimeout> | undefined;
  private closed = false;
  private asked = false;

  /** Throws an error with a sentence if the broker's address is wrong. */
  constructor(
    target: Target, options: Options,
    private readonly changed: () => void, private readonly stream: (stream: MediaStream | null) => void,
    event: (it: Happening) => void,
    tokens: TokenSource | null = null,
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
      result: (it) => this.then(() => {
        if (!this.commands.result(it, now())) this.unusable += 1;
      }),
      unusable: () => { this.unusable += 1; },
      closed: () => this.then(() => this.commands.channelClosed()),
    });
    const networkChanged = () => this.then(() => call.networkChanged(now()));
    addEventListener('online', networkChanged);
    this.undo.push(
      () => removeEventListener('online', networkChanged),
      this.link.onState(() => this.then(() => call.broker(this.link.up, now()))),
    );
    this.wire = new Wire(this.link, target, {
      status: (it) => this.then(() => call.deviceStatus(it, now())),
      info: (it) => this.then(() => {
        this.info = it;
        if (it) this.talks(it.talk && this.rights.includes('talk'));
      }),
      talks: (yes) => this.talks(yes),
      received: (it) => this.then(() => call.received(it, now())),
      event,
      bar: (why, over) => this.then(() => call.bar(why, now(), over)),
      sealed: (yes) => { call.sealed = yes; },
      unusable: () => { this.unusable += 1; },
      refused: (message) => this.then(() => call.publishRefused(message, now())),
      renew: () => this.then(() => call.renew(now())),
      noToken: (why, message) => this.then(() => call.noToken(why, message, now())),
    }, tokens);
    this.player.known = this.wire.settled;
    this.call.broker(this.link.up, now());
  }

  /** What this viewer may do. Without keys, the device allows watching only. */
  get rights(): readonly string[] {
    return this.info?.rights ?? ['view', 'listen'];
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
    this.wire.prepare(); // while the broker connects
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
      this.player.prepare(this.call.turn.current(now()));
  }

  /** Makes a new session, which has a way for the sound of this viewer. */
  relink(): void {
    this.then(() => { if (this.call.watching) this.call.begin(now(), 'talk'); });
  }

  /** Whether the next session has a way for the sound of this viewer. */
  private talks(yes: boolean): void {
    if (this.player.talk === yes) return;
    this.player.talk = this.call.options.wanted.talk = yes;
    this.prepare();
  }

  shown(): void {
    this.then(() => this.call.shown(now()));
  }

  /** Gives the device a command. Resolves with what became of it. */
  ask(name: string, args: Json = {}): Promise<Outcome> {
    return new Promise((resolve) => {
      if (this.closed) resolve({ error: refusal('stopped') });
      else if (!this.info?.features.includes('commands')) resolve({ error: refusal('unsupported', '', 501) });
      else this.then(() => {
        this.asked = true;
        this.commands.ask(name, args, now(), resolve);
      });
    });
  }

  close(): void {
    this.stop();
    this.commands.stop();
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
        case 'set_servers': player.setServers(effect.servers); break;
        // It takes some milliseconds the first time, so it runs while the message travels.
        case 'digest': setTimeout(() => call.digest()); break;
        case 'answered':
          if (!this.heard(effect.body)) this.unusable += 1;
          break;
        case 'close':
          player.close();
          wire.drop();
          this.commands.ended();
          break;
      }
    }
    // What was asked without a session is answered, so an access token is no longer needed.
    if (this.asked && call.session === null && this.commands.idle) {
      this.asked = false;
      wire.drop();
    }
    clearTimeout(this.timer);
    const next = Math.min(call.nextWake() ?? Infinity, this.commands.nextWake() ?? Infinity);
    if (next !== Infinity) this.timer = setTimeout(() => this.then(() => this.wake()), Math.max(0, next - now()));
    this.changed();
  }

  private wake(): void {
    this.call.wake(now());
    this.commands.wake(now());
  }

  private heard(it: FromDevice & { type: 'result' | 'part' }): boolean {
    return it.type === 'part' ? this.commands.part(it) : this.commands.result(it, now());
  }
}
