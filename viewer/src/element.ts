// The web component: attributes, properties, methods and events around a `Watch` and a `View`.

import { isId, isRoot, base64url } from './protocol.ts';
import type { Phase } from './session.ts';
import type { ViewerStats } from './stats.ts';
import { STEPS } from './words.ts';
import type { Step } from './words.ts';
import { rowsOf } from './rows.ts';
import { View } from './view.ts';
import { Watch } from './watch.ts';
import type { Target } from './watch.ts';

export type ViewerState = 'idle' | 'connecting' | 'offline' | 'live' | 'reconnecting' | 'error';

export interface StateDetail {
  device: string; state: ViewerState; step: Step | null;
  /** Why there is no picture or no sound although the device is there. */
  video: string; audio: string;
}
export interface ErrorDetail { device: string; name: string; message: string; retryInMs: number | null }

interface Frames { requestVideoFrameCallback?(call: (now: number, it: { expectedDisplayTime: number; receiveTime?: number }) => void): number }

const TARGET = ['broker', 'root', 'device', 'viewer', 'user', 'password', 'mode'];
const STILL_MS = 3000;
const CLOCK_MS = 200;

export class FanlightViewer extends HTMLElement {
  static readonly observedAttributes = [...TARGET, 'name', 'muted', 'controls', 'stats', 'manual'];

  private readonly view: View;
  private watch: Watch | null = null;
  private wrong: string | null = null;
  private pending = false;
  private wanted = false;
  private shown = false;
  private lastFrame = 0;
  private lastClock = 0;
  private blocked = false;
  private ticking: ReturnType<typeof setInterval> | undefined;
  private figures: ViewerStats | null = null;
  private toldState = '';
  private toldError = '';
  private frames = 0;

  constructor() {
    super();
    this.view = new View(this.attachShadow({ mode: 'open' }), {
      toggle: () => (this.wanted ? this.stop() : this.play()),
      prepare: () => this.watch?.prepare(),
      retry: () => this.play(),
      mute: () => this.toggleSound(),
      snapshot: () => void this.saveSnapshot(),
      stats: () => this.toggleAttribute('stats'),
      full: () => void this.toggleFull(),
    });
    this.addEventListener('keydown', (event) => this.key(event));
  }

  // --- for the page around it

  /** Starts watching, or tries again at once. */
  play(): void {
    this.wanted = true;
    if (this.watch) this.watch.start();
    else this.rebuild();
    // Called from a click the browser allows sound.
    this.sound();
  }

  /** Ends the call and says so to the device. */
  stop(): void {
    this.wanted = false;
    this.watch?.stop();
    this.view.forgetLast();
    this.figures = null;
    this.refresh();
  }

  /** The picture being shown, as PNG in its own size. Rejects where there is none. */
  snapshot(): Promise<Blob> {
    const { video } = this.view;
    if (!this.shown || !video.videoWidth || this.watch?.call.media.video === 'privacy') return Promise.reject(new Error(`snapshot of ${this.device}: there is no picture`));
    const canvas = document.createElement('canvas');
    Object.assign(canvas, { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext('2d')!.drawImage(video, 0, 0);
    return new Promise((resolve, reject) =>
      canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error(`snapshot of ${this.device}: no PNG`))), 'image/png'));
  }

  get state(): ViewerState {
    const { phase } = this;
    if (phase.at === 'step') return phase.step === 'picture' && this.shown ? 'live' : 'connecting';
    return phase.at === 'live' && phase.restarting ? 'reconnecting' : phase.at;
  }

  /** The figures of the last second; null while there is no connection. */
  get statistics(): ViewerStats | null { return this.figures; }
  /** Milliseconds from the wish to watch to the first picture. */
  get firstPictureMs(): number | null {
    const { start, shown } = this.watch?.call.reached ?? {};
    return start !== undefined && shown !== undefined ? shown - start : null;
  }
  /** When each step was reached, in milliseconds after the wish to watch. */
  get timings(): Partial<Record<Step | 'shown', number>> {
    const { start = 0, ...reached } = this.watch?.call.reached ?? {};
    return Object.fromEntries(Object.entries(reached).map(([step, at]) => [step, at - start]));
  }
  /** The browser's own connection and video element, for measuring. */
  get peerConnection(): RTCPeerConnection | null { return this.watch?.player.pc ?? null; }
  get video(): HTMLVideoElement { return this.view.video; }

  get broker(): string { return this.getAttribute('broker') ?? ''; }
  set broker(value: string) { this.setAttribute('broker', value); }
  get device(): string { return this.getAttribute('device') ?? ''; }
  set device(value: string) { this.setAttribute('device', value); }
  get root(): string { return this.getAttribute('root') || 'fanlight/v1'; }
  set root(value: string) { this.setAttribute('root', value); }
  get user(): string { return this.getAttribute('user') ?? ''; }
  set user(value: string) { this.setAttribute('user', value); }
  private secret: string | null = null;
  /** As a property the password does not show in the page's tree. */
  get password(): string { return this.secret ?? this.getAttribute('password') ?? ''; }
  set password(value: string) { this.secret = value; this.later(); }
  /** Who watches; must be the broker login where the broker checks it. */
  get viewer(): string { return this.getAttribute('viewer') || (isId(this.user) ? this.user : ownId()); }
  set viewer(value: string) { this.setAttribute('viewer', value); }
  get mode(): 'offer' | 'request' { return this.getAttribute('mode') === 'request' ? 'request' : 'offer'; }
  set mode(value: 'offer' | 'request') { this.setAttribute('mode', value); }
  get muted(): boolean { return this.hasAttribute('muted'); }
  set muted(value: boolean) { this.toggleAttribute('muted', value); }
  get controls(): boolean { return this.hasAttribute('controls'); }
  set controls(value: boolean) { this.toggleAttribute('controls', value); }
  get stats(): boolean { return this.hasAttribute('stats'); }
  set stats(value: boolean) { this.toggleAttribute('stats', value); }
  /** Waits for `play()` or a click instead of starting by itself. */
  get manual(): boolean { return this.hasAttribute('manual'); }
  set manual(value: boolean) { this.toggleAttribute('manual', value); }

  // --- for the browser

  connectedCallback(): void {
    addEventListener('pagehide', this.leave);
    addEventListener('pageshow', this.comeBack);
    document.addEventListener('fullscreenchange', this.refresh);
    this.ticking = setInterval(() => void this.tick(), 1000);
    this.later();
  }

  disconnectedCallback(): void {
    removeEventListener('pagehide', this.leave);
    removeEventListener('pageshow', this.comeBack);
    document.removeEventListener('fullscreenchange', this.refresh);
    clearInterval(this.ticking);
    this.later();
  }

  attributeChangedCallback(name: string, before: string | null, after: string | null): void {
    if (before === after) return;
    if (TARGET.includes(name)) this.later();
    else if (name === 'muted') {
      this.blocked = false;
      this.sound();
    } else if (name === 'stats') {
      this.view.showStats(this.stats);
      void this.tick();
    }
    this.refresh();
  }

  // --- inside

  private get phase(): Phase {
    if (this.wrong !== null) return { at: 'error', name: 'bad_setting', message: this.wrong, next: 'stay', retryAt: null };
    return this.watch?.call.phase ?? { at: 'idle' };
  }

  /** Several attributes set in a row make one new call; a move within the page makes none. */
  private later(): void {
    if (this.pending) return;
    this.pending = true;
    queueMicrotask(() => {
      this.pending = false;
      if (!this.isConnected) this.dismantle();
      else if (!this.watch || this.watchKey !== this.settings()) this.rebuild();
    });
  }

  private watchKey = '';
  private settings(): string {
    const { broker, root, device, viewer, user, password, mode } = this;
    return JSON.stringify([broker, root, device, viewer, user, password, mode]);
  }

  private rebuild(): void {
    this.dismantle();
    if (!this.isConnected) return;
    this.watchKey = this.settings();
    const { broker, root, device, viewer, user, password } = this;
    const target: Target = { broker, root, device, viewer, user, password };
    try {
      this.wrong = broker === '' ? 'The attribute “broker” is missing.'
        : device === '' ? 'The attribute “device” is missing.'
        : !isId(device) ? `The device “${device.slice(0, 64)}” has a character other than letters, digits, “-” and “_”, or is longer than 64.`
        : !isId(viewer) ? `The viewer “${viewer.slice(0, 64)}” has a character other than letters, digits, “-” and “_”, or is longer than 64.`
        : !isRoot(root) ? `The root “${root.slice(0, 64)}” is not a topic.` : null;
      if (this.wrong === null) {
        this.watch = new Watch(target, { mode: this.mode, wanted: { video: true, audio: true, talk: false }, visible: () => document.visibilityState === 'visible' },
          () => this.refresh(), (stream) => this.take(stream));
      }
    } catch (error) {
      this.wrong = (error as Error).message;
    }
    if (this.watch && (this.wanted || !this.manual)) {
      this.wanted = true;
      this.watch.start();
    }
    this.refresh();
  }

  private dismantle(): void {
    const { watch } = this;
    this.watch = null;
    this.watchKey = '';
    watch?.close();
    this.view.forgetLast();
  }

  private take(stream: MediaStream | null): void {
    const { video } = this.view;
    if (!stream && this.shown) this.view.keepLast();
    this.shown = false;
    this.figures = null;
    this.frames += 1;
    video.srcObject = stream;
    if (!stream) return;
    this.sound();
    const mine = this.frames;
    const seen = (now: number, at: number) => {
      if (mine !== this.frames) return;
      this.lastFrame = now;
      if (!this.shown) {
        this.shown = true;
        this.watch?.shown();
        this.view.forgetLast();
      }
      if (this.stats && now - this.lastClock > CLOCK_MS) {
        this.lastClock = now;
        this.watch?.player.readDelay(video, at);
      }
    };
    const each = video as unknown as Frames;
    if (each.requestVideoFrameCallback) {
      const again = () => each.requestVideoFrameCallback!((now, { expectedDisplayTime, receiveTime }) => {
        const at = Math.max(now, expectedDisplayTime);
        seen(now, at);
        if (mine === this.frames && receiveTime !== undefined) this.watch?.player.frame(at, receiveTime);
        if (mine === this.frames) again();
      });
      again();
    } else {
      video.onloadeddata = video.ontimeupdate = () => seen(performance.now(), performance.now());
    }
  }

  /** Plays with sound where that is wanted and allowed; the picture never waits for it. */
  private sound(): void {
    const { video } = this.view;
    video.muted = this.muted || this.blocked;
    if (!video.srcObject) return;
    video.play().catch((error: Error) => {
      if (error.name !== 'NotAllowedError' || video.muted) return;
      this.blocked = true;
      video.muted = true;
      video.play().catch(() => {});
      this.refresh();
    });
  }

  private readonly refresh = (): void => {
    const { phase, view, watch } = this;
    const link = watch?.link.state;
    const media = watch?.call.media ?? { video: 'ok', audio: 'ok' };
    const now = performance.now();
    const standsStill = phase.at === 'live' && this.shown && media.video === 'ok' && document.visibilityState === 'visible'
      && !view.video.paused && now - this.lastFrame > STILL_MS;
    view.draw({
      name: this.getAttribute('name') || this.device || 'Camera', phase, media, shown: this.shown, standsStill,
      broker: link && (link.at === 'refused' || link.at === 'down' || this.brokerWasDown) ? { refused: link.at === 'refused', message: link.message } : null,
      muted: this.view.video.muted || this.muted, soundBlocked: this.blocked, full: document.fullscreenElement === this,
      goaway: !!watch?.call.goaway, now,
    }, this.controls);
    this.brokerWasDown = link?.at === 'down' || (this.brokerWasDown && link?.at === 'connecting');
    this.tell(media);
  };

  // Between two tries the link is "connecting" for a moment; the words should not jump.
  private brokerWasDown = false;

  private tell(media: { video: string; audio: string }): void {
    const { phase, device, state } = this;
    const detail: StateDetail = { device, state, step: phase.at === 'step' ? phase.step : null, ...media };
    const told = JSON.stringify(detail);
    if (told !== this.toldState) {
      this.toldState = told;
      this.emit('fanlight-state', detail);
    }
    if (phase.at !== 'error') {
      this.toldError = '';
      return;
    }
    const error = JSON.stringify(phase);
    if (error === this.toldError) return;
    this.toldError = error;
    const retryInMs = phase.retryAt === null ? null : Math.max(0, phase.retryAt - performance.now());
    this.emit('fanlight-error', { device, name: phase.name, message: phase.message, retryInMs } satisfies ErrorDetail);
  }

  private emit(type: string, detail: unknown): void {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }));
  }

  private async tick(): Promise<void> {
    this.refresh();
    const stats = await this.watch?.player.stats();
    if (!stats) return;
    stats.firstPictureMs = this.firstPictureMs;
    this.figures = stats;
    this.view.drawStats(rowsOf(stats, this.breakdown(), this.watch?.call.route ?? null));
    this.emit('fanlight-stats', stats);
  }

  /** How long each step to the first picture took. */
  private breakdown(): [Step, number][] {
    const { shown, ...reached } = this.timings;
    if (shown === undefined) return [];
    const at = STEPS.filter((step) => reached[step] !== undefined).map((step) => [step, reached[step]!] as const);
    return at.map(([step, from], i) => [step, Math.round((at[i + 1]?.[1] ?? shown) - from)] as [Step, number]).filter(([, ms]) => ms > 0);
  }

  private async saveSnapshot(): Promise<void> {
    try {
      const url = URL.createObjectURL(await this.snapshot());
      const link = document.createElement('a');
      link.href = url;
      link.download = `${this.device}-${new Date().toISOString().slice(0, 19).replace(/:/g, '-')}.png`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(url), 10_000);
      this.view.flash();
      this.view.say('Snapshot saved');
    } catch {
      this.view.say('There is no picture to save');
    }
  }

  private async toggleFull(): Promise<void> {
    try {
      if (document.fullscreenElement) await document.exitFullscreen();
      else if (this.requestFullscreen) await this.requestFullscreen();
      else (this.view.video as HTMLVideoElement & { webkitEnterFullscreen?(): void }).webkitEnterFullscreen?.(); // iPhone
    } catch {
      this.view.say('The browser does not allow full screen here');
    }
  }

  private key(event: KeyboardEvent): void {
    if (!this.controls || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    switch (event.key.toLowerCase()) {
      case 'k': if (this.wanted) this.stop(); else this.play(); break;
      case 'm': this.toggleSound(); break;
      case 's': void this.saveSnapshot(); break;
      case 'i': this.toggleAttribute('stats'); break;
      case 'f': void this.toggleFull(); break;
      default: return;
    }
    event.preventDefault();
  }

  private toggleSound(): void {
    // The browser muted it, not a person: a click may turn it on.
    if (this.blocked && !this.muted) {
      this.blocked = false;
      this.sound();
      this.refresh();
    } else {
      this.muted = !this.muted;
    }
  }

  private readonly leave = (): void => this.watch?.stop();
  private readonly comeBack = (event: PageTransitionEvent): void => {
    if (event.persisted && this.wanted) this.watch?.start();
  };
}

/** An id for this tab: a reload stays the same viewer. */
function ownId(): string {
  const make = () => `web-${base64url(crypto.getRandomValues(new Uint8Array(9)))}`;
  try {
    const kept = sessionStorage.getItem('fanlight-viewer');
    if (kept && isId(kept)) return kept;
    const made = make();
    sessionStorage.setItem('fanlight-viewer', made);
    return made;
  } catch {
    return (passing ??= make()); // storage is switched off
  }
}
let passing: string | undefined;
