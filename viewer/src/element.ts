// The web component: methods, state and events around a `Watch` and a `View`. Its attributes are in `attributes.ts`.

import { Attendance, pauseAfter } from './attendance.ts';
import { ATTRIBUTES, TARGET, ViewerAttributes, propertyOf } from './attributes.ts';
import { Freshness } from './freshness.ts';
import { isId, isRoot, MOST_NAME } from './protocol.ts';
import type { Phase } from './session.ts';
import type { ViewerStats } from './stats.ts';
import { clean } from './texts.ts';
import { troubleWords } from './trouble.ts';
import { STEPS } from './words.ts';
import type { Step } from './words.ts';
import { rowsOf } from './rows.ts';
import { View } from './view.ts';
import { Watch } from './watch.ts';
import type { Target } from './watch.ts';

export type ViewerState = 'idle' | 'connecting' | 'offline' | 'live' | 'reconnecting' | 'paused' | 'error';

export interface StateDetail {
  device: string; state: ViewerState; step: Step | null;
  /** Why there is no picture or no sound although the device is there. */
  video: string; audio: string;
  /** The picture stands still: no new frame came for a second, or for longer where frames came more slowly than that. */
  stale: boolean;
}
export interface ErrorDetail { device: string; name: string; message: string; retryInMs: number | null }

interface Frames { requestVideoFrameCallback?(call: (now: number, it: { expectedDisplayTime: number; receiveTime?: number }) => void): number }

const CLOCK_MS = 200;
const LOOK_MS = 250;
const BEGIN_MS = 1000;

/**
 * Shows the picture and plays the sound of one fanlight camera.
 *
 * @tag fanlight-viewer
 * @attr {string} broker - `ws://…`, `wss://…`, or a path on the page's own host such as `/mqtt`; required
 * @attr {string} device - the id of the device; required
 * @attr {string} root - the topic root; default `fanlight/v1`
 * @attr {string} user - the broker login
 * @attr {string} password - the broker's password; better set as a property
 * @attr {string} viewer - who watches; default the `user`, or a random id kept for the tab
 * @attr {"offer"|"request"} mode - who makes the offer; default `offer`, the browser
 * @attr {string} name - what people call the camera; default what the device calls itself
 * @attr {string} poster - the address of an image to show while there is no picture yet
 * @attr {boolean} muted - without sound
 * @attr {boolean} controls - shows the buttons and listens to the keys
 * @attr {boolean} stats - shows the statistics
 * @attr {boolean} manual - waits for `play()` or a click
 * @attr {boolean} keep-playing - goes on in hidden tabs and out of sight
 * @fires {CustomEvent<StateDetail>} fanlight-state - anything of the state changed
 * @fires {CustomEvent<ErrorDetail>} fanlight-error - a call failed
 * @fires {CustomEvent<ViewerStats>} fanlight-stats - each second while connected
 * @fires {Event} play - `paused` became false
 * @fires {Event} playing - the picture moves, at first or again
 * @fires {Event} waiting - the picture stands still, though it should not
 * @fires {Event} pause - `paused` became true
 * @fires {Event} volumechange - `muted` or `volume` changed
 * @fires {Event} loadedmetadata - the size of the picture is known
 * @fires {Event} resize - the size of the picture changed
 * @cssprop --fanlight-accent - the colour of what is active
 * @cssprop --fanlight-radius - the radius of the corners
 * @csspart frame - all of it
 * @csspart video - the picture
 * @csspart panel - the words in the middle
 * @csspart still - what says that the picture stands still
 * @csspart stats - the statistics
 * @csspart controls - the buttons
 */
export class FanlightViewer extends ViewerAttributes {
  static readonly observedAttributes = ATTRIBUTES;

  private readonly view: View;
  private readonly attendance: Attendance;
  private readonly freshness = new Freshness();
  private watch: Watch | null = null;
  private wrong: string | null = null;
  private pending = false;
  private wanted = false;
  private held = false; // by pause()
  private resting = false; // nobody can see it
  private restTimer: ReturnType<typeof setTimeout> | undefined;
  private begunAt = 0;
  private shown = false;
  private lastClock = 0;
  private lastHealth = '';
  private blocked = false;
  private loudness = 1;
  private asking: ((what: 'login' | 'address') => void) | null = null;
  private waiting: { resolve(): void; reject(error: Error): void }[] = [];
  private ticking: ReturnType<typeof setInterval> | undefined;
  private looking: ReturnType<typeof setInterval> | undefined;
  private figures: ViewerStats | null = null;
  private toldState = '';
  private toldError = '';
  private toldPaused = true;
  private toldPlaying = false;
  private toldStill = -1;
  private frames = 0;

  constructor() {
    super();
    this.view = new View(this.attachShadow({ mode: 'open' }), {
      toggle: () => (this.wanted ? this.stop() : void this.play()),
      prepare: () => this.watch?.prepare(),
      retry: () => void this.play(),
      mute: () => this.toggleSound(),
      snapshot: () => void this.saveSnapshot(),
      stats: () => this.toggleAttribute('stats'),
      full: () => void this.toggleFull(),
      float: () => void this.toggleFloat(),
      ask: (what) => this.asking?.(what),
    });
    const { video } = this.view;
    this.attendance = new Attendance(this, (frozen) => this.attend(frozen));
    for (const type of ['loadedmetadata', 'resize']) video.addEventListener(type, () => this.dispatchEvent(new Event(type)));
    for (const type of ['enterpictureinpicture', 'leavepictureinpicture']) video.addEventListener(type, () => this.attend(false));
    this.addEventListener('keydown', (event) => this.key(event));
  }

  // --- for the page around it

  /** Starts watching, or tries again at once. Resolves with the first picture; rejects when it is stopped or cannot work. */
  play(): Promise<void> {
    this.wanted = true;
    this.held = this.resting = false;
    const playing = new Promise<void>((resolve, reject) => this.waiting.push({ resolve, reject }));
    playing.catch(() => {}); // for those who do not wait for it
    if (!this.watch) this.rebuild();
    else this.begin();
    // Called from a click the browser allows sound.
    this.sound();
    if (this.shown && this.state === 'live') this.settle();
    return playing;
  }

  /** Ends the call and says so to the device. The last picture stays, dimmed. */
  pause(): void {
    if (this.paused && !this.resting) return;
    this.held = true;
    this.halt('paused');
    this.refresh();
  }

  /** Ends the call and says so to the device. */
  stop(): void {
    this.held = false;
    this.halt('left');
    this.view.forgetLast();
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

  /** Whether it does not play: nobody asked for it, it was stopped, or nobody can see it (see `keepPlaying`). */
  get paused(): boolean { return !this.wanted || this.resting; }
  /** The picture stands still: no new frame came for a second, or for longer where frames came more slowly than that. */
  get stale(): boolean { return this.stillFor() !== null; }
  /** The loudness, 0 to 1. Telephones may ignore it. */
  get volume(): number { return this.loudness; }
  set volume(value: number) {
    const it = Number(value);
    if (!Number.isFinite(it)) throw new TypeError(`volume: ${String(value)} is not a number`);
    if (it < 0 || it > 1) throw new DOMException(`volume: ${it} is not from 0 to 1`, 'IndexSizeError');
    if (it === this.loudness) return;
    this.loudness = it;
    this.view.video.volume = it;
    this.dispatchEvent(new Event('volumechange'));
  }
  /** The size of the picture; 0 while there is none. */
  get videoWidth(): number { return this.shown ? this.view.video.videoWidth : 0; }
  get videoHeight(): number { return this.shown ? this.view.video.videoHeight : 0; }

  /** What is shown as its name. */
  get label(): string { return clean(this.name, MOST_NAME) || this.watch?.info?.name || this.device || 'Camera'; }

  /** Where it is set, the panel has buttons that call it when the broker refuses the login or cannot be reached. */
  get askFor(): ((what: 'login' | 'address') => void) | null { return this.asking; }
  set askFor(value: ((what: 'login' | 'address') => void) | null) {
    this.asking = typeof value === 'function' ? value : null;
    this.refresh();
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
  /** The browser's own connection, for measuring. */
  get peerConnection(): RTCPeerConnection | null { return this.watch?.player.pc ?? null; }
  /** The browser's own video element, for measuring. */
  get video(): HTMLVideoElement { return this.view.video; }

  // --- for the browser

  /** @internal */
  connectedCallback(): void {
    this.takeEarly([...ATTRIBUTES.map(propertyOf), 'volume', 'askFor']);
    addEventListener('pagehide', this.leave);
    addEventListener('pageshow', this.comeBack);
    document.addEventListener('fullscreenchange', this.refresh);
    this.attendance.begin();
    this.ticking = setInterval(() => void this.tick(), 1000);
    this.looking = setInterval(() => this.look(), LOOK_MS);
    this.later();
  }

  /** @internal */
  disconnectedCallback(): void {
    removeEventListener('pagehide', this.leave);
    removeEventListener('pageshow', this.comeBack);
    document.removeEventListener('fullscreenchange', this.refresh);
    this.attendance.end();
    clearInterval(this.ticking);
    clearInterval(this.looking);
    this.later();
  }

  /** @internal */
  attributeChangedCallback(name: string, before: string | null, after: string | null): void {
    if (before === after) return;
    if (TARGET.includes(name)) this.later();
    else if (name === 'muted') {
      this.blocked = false;
      this.sound();
      this.dispatchEvent(new Event('volumechange'));
    } else if (name === 'poster') {
      this.view.showPoster(this.poster);
    } else if (name === 'keep-playing') {
      this.attend(false);
    } else if (name === 'stats') {
      this.view.showStats(this.stats);
      void this.tick();
    }
    this.refresh();
  }

  // --- inside

  private get phase(): Phase | { at: 'paused' } {
    if (this.wrong !== null) return { at: 'error', name: 'bad_setting', message: this.wrong, next: 'stay', retryAt: null };
    if (this.held || (this.resting && this.wanted)) return { at: 'paused' };
    return this.watch?.call.phase ?? { at: 'idle' };
  }

  /** @internal */
  protected targetChanged(): void {
    this.later();
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
      const id = (what: string, it: string) => `The ${what} “${clean(it, 64)}” has a character other than letters, digits, “-” and “_”, or is longer than 64.`;
      this.wrong = broker === '' ? 'The attribute “broker” is missing.'
        : device === '' ? 'The attribute “device” is missing.'
        : !isId(device) ? id('device', device) : !isId(viewer) ? id('viewer', viewer)
        : !isRoot(root) ? `The root “${clean(root, 64)}” is not a topic.` : null;
      if (this.wrong === null) {
        this.watch = new Watch(target, { mode: this.mode, wanted: { video: true, audio: true, talk: false }, visible: () => !this.attendance.pageHidden },
          () => this.refresh(), (stream) => this.take(stream));
      }
    } catch (error) {
      this.wrong = (error as Error).message;
    }
    if (this.watch && !this.held && (this.wanted || !this.manual)) {
      this.wanted = true;
      this.begin();
    }
    this.refresh();
  }

  private begin(): void {
    this.begunAt = performance.now();
    this.resting = pauseAfter(this.presence()) === 0;
    if (!this.resting) this.watch?.start();
  }

  /** Ends the call; `reason` is said to the device. */
  private halt(reason: string): void {
    this.wanted = this.resting = false;
    clearTimeout(this.restTimer);
    this.restTimer = undefined;
    this.watch?.stop(reason);
    this.figures = null;
    for (const { reject } of this.waiting.splice(0)) reject(new DOMException(`play of ${this.device}: it was stopped`, 'AbortError'));
  }

  private presence() {
    const { call } = this.watch ?? {};
    const { video } = this.view;
    return {
      keep: this.keepPlaying, pageHidden: this.attendance.pageHidden, outOfSight: this.attendance.outOfSight,
      pictureInPicture: this.shadowRoot?.pictureInPictureElement === video,
      soundOnly: (call?.media.video === 'absent' || call?.media.video === 'refused') && call.media.audio === 'ok' && this.peerConnection?.connectionState === 'connected' && !video.muted && this.loudness > 0,
      begun: this.shown || performance.now() - this.begunAt > BEGIN_MS,
    };
  }

  /** Pauses when nobody has seen it for a while, and goes on at once when somebody does. */
  private attend(frozen: boolean): void {
    this.freshness.forgive(performance.now());
    const after = pauseAfter(this.presence());
    if (after === null) {
      clearTimeout(this.restTimer);
      this.restTimer = undefined;
      if (this.resting && this.wanted) this.begin();
    } else if (this.wanted && !this.resting) {
      const rest = () => {
        this.restTimer = undefined;
        if (!this.wanted || this.resting || pauseAfter(this.presence()) === null) return;
        this.resting = true;
        this.watch?.stop('hidden');
        this.figures = null;
        this.refresh();
      };
      if (frozen || after === 0) rest();
      else this.restTimer ??= setTimeout(rest, after);
    }
    this.refresh();
  }

  private dismantle(): void {
    const { watch } = this;
    this.watch = null;
    this.watchKey = '';
    clearTimeout(this.restTimer);
    this.restTimer = undefined;
    watch?.close();
    this.view.forgetLast();
  }

  private take(stream: MediaStream | null): void {
    const { video } = this.view;
    if (!stream && this.shown) this.view.keepLast();
    this.shown = false;
    this.figures = null;
    this.frames += 1;
    this.freshness.begin();
    video.srcObject = stream;
    if (!stream) return;
    this.sound();
    const mine = this.frames;
    const seen = (now: number, at: number) => {
      if (mine !== this.frames) return;
      this.freshness.frame(now);
      if (!this.shown) {
        this.shown = true;
        this.watch?.shown();
        this.view.forgetLast();
      } else if (this.toldStill >= 0) {
        this.look();
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
    video.volume = this.loudness;
    if (!video.srcObject) return;
    video.play().catch((error: Error) => {
      if (error.name !== 'NotAllowedError' || video.muted) return;
      this.blocked = true;
      video.muted = true;
      video.play().catch(() => {});
      this.refresh();
    });
  }

  /** For how long the picture has stood still although somebody looks and it should move; null while it moves. */
  private stillFor(): number | null {
    const { phase, view, watch } = this;
    if (!watch || !this.shown || phase.at === 'paused' || this.attendance.pageHidden || this.attendance.outOfSight || view.video.paused) return null;
    const { video } = watch.call.media;
    if ((phase.at !== 'live' && phase.at !== 'step') || (video !== 'ok' && video !== 'starting')) return null;
    return this.freshness.staleFor(performance.now());
  }

  /** Draws again when the picture has come to stand, each second that it stands, and when it moves again. */
  private look(): void {
    const still = this.stillFor();
    const told = still === null ? -1 : Math.floor(still / 1000);
    if (told === this.toldStill) return;
    this.toldStill = told;
    this.refresh();
  }

  private readonly refresh = (): void => {
    const { phase, view, watch } = this;
    const link = watch?.link;
    const media = watch?.call.media ?? { video: 'ok', audio: 'ok' };
    const now = performance.now();
    // A camera that was covered or away a moment ago has had no chance to send a frame yet.
    if (media.video !== this.lastHealth) this.freshness.forgive(now);
    this.lastHealth = media.video;
    const info = watch?.info ?? null;
    view.draw({
      name: this.label, phase, media, why: watch?.call.why ?? { video: null, audio: null }, shown: this.shown, stillFor: this.stillFor(),
      deviceGone: watch?.call.status?.state === 'offline',
      broker: link ? troubleWords(link.state, link.url, location.href, this.user !== '') : null,
      refused: link?.state.at === 'refused', canAsk: this.asking !== null,
      noSound: info?.hasAudio === false || (info === null && media.audio === 'absent'),
      muted: this.view.video.muted || this.muted, soundBlocked: this.blocked, full: document.fullscreenElement === this,
      goaway: !!watch?.call.goaway, now,
    }, this.controls);
    this.tell(media);
  };

  private tell(media: { video: string; audio: string }): void {
    const { phase, device, state, stale, paused } = this;
    const detail: StateDetail = { device, state, step: phase.at === 'step' ? phase.step : null, video: media.video, audio: media.audio, stale };
    const told = JSON.stringify(detail);
    if (told !== this.toldState) {
      this.toldState = told;
      this.emit('fanlight-state', detail);
    }
    if (paused !== this.toldPaused) {
      this.toldPaused = paused;
      this.dispatchEvent(new Event(paused ? 'pause' : 'play'));
    }
    const playing = state === 'live' && this.shown && !stale;
    if (playing !== this.toldPlaying) {
      this.toldPlaying = playing;
      if (playing) {
        this.settle();
        this.dispatchEvent(new Event('playing'));
      } else if (!paused) {
        this.dispatchEvent(new Event('waiting'));
      }
    }
    if (phase.at !== 'error') {
      this.toldError = '';
      return;
    }
    if (phase.next === 'stay') {
      for (const { reject } of this.waiting.splice(0)) reject(new DOMException(`play of ${device}: ${phase.name}${phase.message && `: ${phase.message}`}`, 'NotSupportedError'));
    }
    const error = JSON.stringify(phase);
    if (error === this.toldError) return;
    this.toldError = error;
    const retryInMs = phase.retryAt === null ? null : Math.max(0, phase.retryAt - performance.now());
    this.emit('fanlight-error', { device, name: phase.name, message: phase.message, retryInMs } satisfies ErrorDetail);
  }

  private settle(): void {
    for (const { resolve } of this.waiting.splice(0)) resolve();
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

  private async toggleFloat(): Promise<void> {
    try {
      if (this.shadowRoot?.pictureInPictureElement) await document.exitPictureInPicture();
      else await this.view.video.requestPictureInPicture();
    } catch {
      this.view.say('The browser does not allow picture-in-picture here');
    }
  }

  private key(event: KeyboardEvent): void {
    if (!this.controls || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    switch (event.key.toLowerCase()) {
      case 'k': if (this.wanted) this.stop(); else void this.play(); break;
      case 'm': this.toggleSound(); break;
      case 's': void this.saveSnapshot(); break;
      case 'i': this.toggleAttribute('stats'); break;
      case 'f': void this.toggleFull(); break;
      case 'p': void this.toggleFloat(); break;
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

  private readonly leave = (): void => this.watch?.stop('left');
  private readonly comeBack = (event: PageTransitionEvent): void => {
    if (event.persisted && this.wanted) this.begin();
  };
}
