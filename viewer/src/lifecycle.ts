// Decides whether a viewer watches, by the user's requests and by whether anybody can see it. Owns the resulting
// `Watch`.

import { WrongAddress, addressFault } from './address.ts';
import { Pausing } from './attendance.ts';
import type { Presence } from './attendance.ts';
import type { Phase } from './phase.ts';
import type { Language } from './language.ts';
import { faultOf } from './target.ts';
import type { Fault, Target } from './target.ts';
import type { Happening } from './trust/news.ts';
import type { TokenSource } from './trust/tokens.ts';
import { Watch } from './watch.ts';
import { addressWords, componentWords } from './words/languages.ts';

/** The viewer that owns it. */
export interface Host {
  readonly isConnected: boolean;
  readonly manual: boolean;
  readonly mode: 'offer' | 'request';
  readonly target: Target;
  readonly tokens: TokenSource | null;
  readonly language: Language;
  readonly pageHidden: boolean;
  presence(begun: boolean): Presence;
  stream(stream: MediaStream | null): void;
  /** The device wrote something down that this browser may know. */
  event(it: Happening): void;
  /** The shown state changed. */
  refresh(): void;
  /** The call is over, and its last picture must go too. */
  dismantled(): void;
}

const BEGIN_MS = 1000;

export class Lifecycle {
  watch: Watch | null = null;
  /** The user asked for it and has not stopped it. */
  wanted = false;

  private wrong: Fault | WrongAddress | null = null;
  private held = false; // by pause()
  private resting = false; // paused because nobody can see it
  private pending = false;
  private begunAt = 0;
  private built = ''; // the target of the current watch
  private readonly pausing: Pausing;

  constructor(private readonly host: Host) {
    this.pausing = new Pausing(() => host.presence(performance.now() - this.begunAt > BEGIN_MS), () => this.rest());
  }

  get phase(): Phase | { at: 'paused' } {
    if (this.wrong !== null)
      return {
        at: 'error', name: 'bad_setting', doing: null, message: this.fault(this.wrong), next: 'stay', retryAt: null,
      };
    if (this.held || (this.resting && this.wanted)) return { at: 'paused' };
    return this.watch?.call.phase ?? { at: 'idle' };
  }

  /** It is not playing: not requested, stopped, or not visible. */
  get paused(): boolean {
    return !this.wanted || this.resting;
  }

  play(): void {
    this.wanted = true;
    this.held = this.resting = false;
    if (!this.watch) this.rebuild();
    else this.begin();
  }

  /** Returns false if it was paused already. */
  pause(): boolean {
    if (this.paused && !this.resting) return false;
    this.held = true;
    this.halt('paused');
    return true;
  }

  stop(): void {
    this.held = false;
    this.halt('left');
  }

  /**
   * The viewer was added to the page, moved or removed, or its target changed. Several changes in a row make one new
   * call.
   */
  changed(): void {
    if (this.pending) return;
    this.pending = true;
    queueMicrotask(() => {
      this.pending = false;
      if (!this.host.isConnected) this.dismantle();
      else if (!this.watch || this.built !== this.settings()) this.rebuild();
    });
  }

  /**
   * Pauses when nobody has seen it for a while, and continues at once when somebody does. `frozen`: no timer will run
   * any more.
   */
  attend(frozen: boolean): void {
    const seen = this.pausing.update(!this.paused, frozen);
    if (seen && this.resting && this.wanted) this.begin();
  }

  /** The page is being left. */
  leave(): void {
    this.watch?.stop('left');
  }

  /** The page returned from the browser's back/forward cache. */
  comeBack(): void {
    if (this.wanted) this.begin();
  }

  private fault(wrong: Fault | WrongAddress): string {
    const { tag } = this.host.language;
    return wrong instanceof WrongAddress ? addressFault(wrong, addressWords[tag]) : wrong(componentWords[tag]);
  }

  private settings(): string {
    // Another function is used for the next token, and changes nothing before.
    return JSON.stringify([this.host.target, this.host.mode, this.host.tokens !== null]);
  }

  private rebuild(): void {
    const { host } = this;
    this.dismantle();
    if (!host.isConnected) return;
    this.built = this.settings();
    try {
      this.wrong = faultOf(host.target);
      if (this.wrong === null) {
        const token = host.tokens !== null;
        this.watch = new Watch(
          host.target,
          {
            mode: host.mode, wanted: { video: true, audio: true, talk: false, commands: true },
            visible: () => !host.pageHidden, token,
          },
          () => host.refresh(), (stream) => host.stream(stream), (it) => host.event(it),
          token ? async (it) => host.tokens!(it) : null,
        );
      }
    } catch (error) {
      if (!(error instanceof WrongAddress)) throw error;
      this.wrong = error;
    }
    if (this.watch && !this.held && (this.wanted || !host.manual)) {
      this.wanted = true;
      this.begin();
    }
    host.refresh();
  }

  private begin(): void {
    this.begunAt = performance.now();
    this.resting = this.pausing.mustWait;
    if (!this.resting) this.watch?.start();
  }

  /** Ends the call; `reason` is sent to the device. */
  private halt(reason: string): void {
    this.wanted = this.resting = false;
    this.pausing.cancel();
    this.watch?.stop(reason);
  }

  private rest(): void {
    if (this.paused) return;
    this.resting = true;
    this.watch?.stop('hidden');
    this.host.refresh();
  }

  private dismantle(): void {
    const { watch } = this;
    this.watch = null;
    this.built = '';
    this.pausing.cancel();
    watch?.close();
    this.host.dismantled();
  }
}
