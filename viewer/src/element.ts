// The web component: methods, state and events around a `Watch` and a `View`. Its attributes are in `attributes.ts`.

import { Announcer } from './announcer.ts';
import type { EventDetail, ViewerState } from './announcer.ts';
import { Attendance } from './attendance.ts';
import { ATTRIBUTES, TARGET, propertyOf } from './attributes.ts';
import { ViewerCommands } from './commanding.ts';
import { operationOf } from './keys.ts';
import type { Operation } from './keys.ts';
import { followLanguage, languageAmong, languageOf } from './language.ts';
import type { Language } from './language.ts';
import { Lifecycle } from './lifecycle.ts';
import { messageOf } from './panel.ts';
import { saveSnapshot, toggleFullScreen, togglePictureInPicture } from './operate.ts';
import type { Phase } from './phase.ts';
import { Playback } from './playback.ts';
import { Remote } from './remote.ts';
import type { RemoteHost } from './remote.ts';
import { MOST_NAME } from './protocol.ts';
import { stepTimes } from './rows.ts';
import type { ViewerStats } from './stats.ts';
import { clean } from './texts.ts';
import { troubleWords } from './trouble.ts';
import { View } from './view.ts';
import { componentWords } from './words/languages.ts';
import type { Watch } from './watch.ts';

const CLOCK_MS = 200;
const LOOK_MS = 250;

/**
 * Shows the picture and plays the sound of one fanlight camera.
 *
 * @tag fanlight-viewer
 * @attr {string} broker - `ws://…`, `wss://…`, or a path on the page's own host such as `/mqtt`; required
 * @attr {string} device - the id of the device; required
 * @attr {string} root - the topic root; default `fanlight/v1`
 * @attr {string} user - the broker login
 * @attr {string} password - the broker's password; better set as a property
 * @attr {string} viewer - the viewer's id; default the `user`, or a random id kept for the tab
 * @attr {"offer"|"request"} mode - who makes the offer; default `offer`, the browser
 * @attr {boolean} keys - speaks to paired cameras only, never in plain JSON
 * @attr {string} thumb - the thumbprint of the device's key, if it was not paired
 * @attr {string} name - the name of the camera; default the name that the device reports
 * @attr {string} poster - the address of an image to show while there is no picture yet
 * @attr {boolean} muted - without sound
 * @attr {boolean} controls - shows the buttons and reacts to keys
 * @attr {boolean} stats - shows the statistics
 * @attr {boolean} manual - waits for `play()` or a click
 * @attr {boolean} keep-playing - continues in hidden tabs and out of sight
 * @fires {CustomEvent<StateDetail>} fanlight-state - some part of the state changed
 * @fires {CustomEvent<ErrorDetail>} fanlight-error - a call failed
 * @fires {CustomEvent<EventDetail>} fanlight-event - the device wrote down who watches, and this browser may know
 * @fires {CustomEvent<ViewerStats>} fanlight-stats - each second while connected
 * @fires {Event} play - `paused` became false
 * @fires {Event} playing - the picture starts to move, or moves again
 * @fires {Event} waiting - the picture stands still, though it should not
 * @fires {Event} pause - `paused` became true
 * @fires {Event} volumechange - `muted` or `volume` changed
 * @fires {Event} loadedmetadata - the size of the picture is known
 * @fires {Event} resize - the size of the picture changed
 * @cssprop --fanlight-accent - the colour of active elements
 * @cssprop --fanlight-radius - the radius of the corners
 * @csspart frame - the whole component
 * @csspart video - the picture
 * @csspart panel - the text panel in the middle
 * @csspart still - the notice that the picture stands still
 * @csspart stats - the statistics
 * @csspart controls - the buttons
 * @csspart settings - the sheet with the settings of the camera
 * @csspart question - the question before the browser asks for the microphone
 */
export class FanlightViewer extends ViewerCommands {
  static readonly observedAttributes = ATTRIBUTES;

  private readonly view: View;
  private readonly attendance: Attendance;
  private readonly lifecycle: Lifecycle;
  private readonly remote: Remote;
  /** @internal */
  protected override readonly playback: Playback;
  private readonly announcer = new Announcer(this);
  private language: Language = languageAmong([]);
  private unfollow = (): void => {};
  private lastClock = 0;
  private lastHealth = '';
  private asking: ((what: 'login' | 'address') => void) | null = null;
  private ticking: ReturnType<typeof setInterval> | undefined;
  private looking: ReturnType<typeof setInterval> | undefined;
  private figures: ViewerStats | null = null;
  private toldStill = -1;

  constructor() {
    super();
    this.view = new View(this.attachShadow({ mode: 'open' }), {
      operate: (it) => this.operate(it),
      prepare: () => this.watch?.prepare(), retry: () => void this.play(),
      ask: (what) => this.asking?.(what), lift: (yes) => this.remote.lift(yes),
      doubleClick: () => this.remote.reset() || this.operate('full'),
    });
    const { video } = this.view;
    this.playback = new Playback(video, {
      firstFrame: () => {
        this.watch?.shown();
        this.view.forgetLast();
      },
      frame: (shown, received) => this.frame(shown, received),
      ending: () => this.view.keepLast(),
      changed: () => this.refresh(),
    });
    this.attendance = new Attendance(this, (frozen) => this.attend(frozen));
    this.lifecycle = this.makeLifecycle();
    this.remote = new Remote(this.remoteHost(), this.view);
    for (const type of ['loadedmetadata', 'resize'])
      video.addEventListener(type, () => this.dispatchEvent(new Event(type)));
    for (const type of ['enterpictureinpicture', 'leavepictureinpicture'])
      video.addEventListener(type, () => this.attend(false));
    this.addEventListener('keydown', (event) => {
      const operation = this.controls ? operationOf(event) : null;
      if (operation !== null && this.operate(operation)) event.preventDefault();
    });
  }

  // --- for the page around it

  /** Starts watching, or retries at once. Resolves with the first picture; rejects if it is stopped or cannot work. */
  play(): Promise<void> {
    const playing = this.announcer.promise();
    this.lifecycle.play();
    // Within a click, the browser allows sound.
    this.playback.sound(this.muted);
    if (this.playback.shown && this.state === 'live') this.announcer.resolve();
    return playing;
  }

  /** Ends the call with a `bye` to the device. The last picture stays, dimmed. */
  pause(): void {
    if (!this.lifecycle.pause()) return;
    this.aborted();
    this.refresh();
  }

  /** Ends the call with a `bye` to the device. */
  stop(): void {
    this.lifecycle.stop();
    this.aborted();
    this.view.forgetLast();
    this.refresh();
  }

  get state(): ViewerState {
    const { phase } = this;
    if (phase.at === 'step') return phase.step === 'picture' && this.playback.shown ? 'live' : 'connecting';
    return phase.at === 'live' && phase.restarting ? 'reconnecting' : phase.at;
  }

  /** Whether it is not playing: not requested, stopped, or not visible (see `keepPlaying`). */
  get paused(): boolean { return this.lifecycle.paused; }
  /** The picture stands still: no new frame came for a second, or longer if frames were already slow. */
  get stale(): boolean { return this.stillFor() !== null; }
  /** The name that is shown. */
  get label(): string {
    const { camera } = componentWords[this.language.tag];
    return clean(this.name, MOST_NAME) || this.watch?.info?.name || this.device || camera;
  }

  /** If set, the panel shows buttons that call it when the broker refuses the login or cannot be reached. */
  get askFor(): ((what: 'login' | 'address') => void) | null { return this.asking; }
  set askFor(value: ((what: 'login' | 'address') => void) | null) {
    this.asking = typeof value === 'function' ? value : null;
    this.refresh();
  }

  /** The figures of the last second; null without a connection. */
  get statistics(): ViewerStats | null { return this.figures; }
  /** The browser's video element, for measurements. */
  get video(): HTMLVideoElement { return this.view.video; }

  // --- for the browser

  /** @internal */
  connectedCallback(): void {
    this.takeEarly([...ATTRIBUTES.map(propertyOf), 'volume', 'askFor', 'tokens']);
    addEventListener('pagehide', this.leave);
    addEventListener('pageshow', this.comeBack);
    document.addEventListener('fullscreenchange', this.refresh);
    this.attendance.begin();
    this.unfollow = followLanguage(this, this.speak);
    this.speak();
    this.ticking = setInterval(() => void this.tick(), 1000);
    this.looking = setInterval(() => this.look(), LOOK_MS);
    this.lifecycle.changed();
  }

  /** @internal */
  disconnectedCallback(): void {
    removeEventListener('pagehide', this.leave);
    removeEventListener('pageshow', this.comeBack);
    document.removeEventListener('fullscreenchange', this.refresh);
    this.attendance.end();
    this.unfollow();
    clearInterval(this.ticking);
    clearInterval(this.looking);
    this.lifecycle.changed();
  }

  /** @internal */
  attributeChangedCallback(name: string, before: string | null, after: string | null): void {
    if (before === after) return;
    if (TARGET.includes(name)) this.lifecycle.changed();
    else if (name === 'muted') {
      this.playback.blocked = false;
      this.playback.sound(this.muted);
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

  /** @internal */
  protected override get watch(): Watch | null { return this.lifecycle.watch; }
  private get phase(): Phase | { at: 'paused' } { return this.lifecycle.phase; }

  /** @internal */
  protected targetChanged(): void {
    this.lifecycle.changed();
  }

  private remoteHost(): RemoteHost {
    const it = this;
    return {
      get device() { return it.device; },
      get language() { return it.language; },
      get shadowRoot() { return it.shadowRoot; },
      refresh: () => it.refresh(),
    };
  }

  private makeLifecycle(): Lifecycle {
    const it = this;
    return new Lifecycle({
      get isConnected() { return it.isConnected; },
      get manual() { return it.manual; },
      get mode() { return it.mode; },
      get target() { return it.target; },
      get tokens() { return it.tokens; },
      get language() { return it.language; },
      get pageHidden() { return it.attendance.pageHidden; },
      presence: (begun) => ({
        keep: it.keepPlaying, pageHidden: it.attendance.pageHidden, soundOnly: it.isHeardOnly,
        outOfSight: it.attendance.outOfSight, begun: it.playback.shown || begun,
        pictureInPicture: it.shadowRoot?.pictureInPictureElement === it.view.video,
      }),
      stream: (stream) => it.take(stream),
      event: (happening) =>
        it.announcer.emit('fanlight-event', { device: it.device, ...happening } satisfies EventDetail),
      refresh: () => it.refresh(),
      dismantled: () => {
        it.view.forgetLast();
        it.remote.stop();
      },
    });
  }

  /** There is sound to hear, and no picture to miss. */
  private get isHeardOnly(): boolean {
    const media = this.watch?.call.media;
    return (media?.video === 'absent' || media?.video === 'refused') && media.audio === 'ok'
      && this.peerConnection?.connectionState === 'connected' && !this.view.video.muted && this.volume > 0;
  }

  private aborted(): void {
    this.announcer.reject(new DOMException(`play of ${this.device}: it was stopped`, 'AbortError'));
  }

  private attend(frozen: boolean): void {
    this.playback.freshness.forgive(performance.now());
    this.lifecycle.attend(frozen);
    this.refresh();
  }

  private take(stream: MediaStream | null): void {
    this.figures = null;
    this.playback.take(stream);
  }

  private frame(shown: number, received: number | undefined): void {
    if (this.toldStill >= 0) this.look();
    if (this.stats && shown - this.lastClock > CLOCK_MS) {
      this.lastClock = shown;
      this.watch?.player.readDelay(this.view.video, shown);
    }
    if (received !== undefined) this.watch?.player.frame(shown, received);
  }

  /** For how long the picture has stood still although it is visible and should move; null while it moves. */
  private stillFor(): number | null {
    const { phase, view, watch } = this;
    if (!watch || !this.playback.shown || phase.at === 'paused' || view.video.paused) return null;
    if (this.attendance.pageHidden || this.attendance.outOfSight) return null;
    const { video } = watch.call.media;
    if ((phase.at !== 'live' && phase.at !== 'step') || (video !== 'ok' && video !== 'starting')) return null;
    return this.playback.freshness.staleFor(performance.now());
  }

  /** Draws again when the picture stops, each second while it stands still, and when it moves again. */
  private look(): void {
    const still = this.stillFor();
    const told = still === null ? -1 : Math.floor(still / 1000);
    if (told === this.toldStill) return;
    this.toldStill = told;
    this.refresh();
  }

  private readonly refresh = (): void => {
    const { phase, view, watch } = this;
    const words = componentWords[this.language.tag];
    const link = watch?.link;
    const media = watch?.call.media ?? { video: 'ok', audio: 'ok' };
    const now = performance.now();
    // A camera that was covered or absent a moment ago could not send a frame yet.
    if (media.video !== this.lastHealth) this.playback.freshness.forgive(now);
    this.lastHealth = media.video;
    const privacy = this.remote.update(watch, phase);
    view.draw({
      name: this.label, phase, media, why: watch?.call.why ?? { video: null, audio: null },
      shown: this.playback.shown, stillFor: this.stillFor(), deviceGone: watch?.call.status?.state === 'offline',
      broker: link ? troubleWords(link.state, {
        url: link.url, page: location.href, loginGiven: this.user !== '', format: this.language, words,
      }) : null,
      refused: link?.state.at === 'refused', canAsk: this.asking !== null,
      noSound: watch?.info ? watch.info.hasAudio === false : media.audio === 'absent',
      muted: this.view.video.muted || this.muted, soundBlocked: this.playback.blocked,
      full: document.fullscreenElement === this, goaway: watch?.call.goaway ?? false, privacy, now,
    }, this.controls);
    const { device, state, stale, paused } = this;
    const step = phase.at === 'step' ? phase.step : null;
    this.announcer.tell({
      detail: { device, state, step, video: media.video, audio: media.audio, stale },
      phase, message: phase.at === 'error' ? messageOf(phase, words) : '', paused, shown: this.playback.shown,
    });
  };

  private readonly speak = (): void => {
    const language = languageOf(this);
    if (language.locale === this.language.locale) return;
    this.language = language;
    this.view.speak(language);
    this.remote.speak();
    this.refresh();
  };

  private async tick(): Promise<void> {
    this.refresh();
    const stats = await this.watch?.player.stats();
    if (!stats) return;
    stats.firstPictureMs = this.firstPictureMs;
    this.figures = stats;
    this.view.drawStats({ stats, steps: stepTimes(this.timings), way: this.watch?.call.route ?? null });
    this.announcer.emit('fanlight-stats', stats);
  }

  /** Returns false if the operation has no meaning here. */
  private operate(operation: Operation): boolean {
    switch (operation) {
      case 'watch': if (this.lifecycle.wanted) this.stop(); else void this.play(); break;
      case 'sound': this.toggleSound(); break;
      case 'snapshot': void saveSnapshot(this, this.view); break;
      case 'stats': this.toggleAttribute('stats'); break;
      case 'full': void toggleFullScreen(this, this.view); break;
      case 'float': void togglePictureInPicture(this, this.view); break;
      default: return this.remote.operate(operation);
    }
    return true;
  }

  private toggleSound(): void {
    // The browser muted it, not the user, so a click may turn the sound on.
    if (this.playback.blocked && !this.muted) {
      this.playback.blocked = false;
      this.playback.sound(false);
      this.refresh();
    } else {
      this.muted = !this.muted;
    }
  }

  private readonly leave = (): void => this.lifecycle.leave();
  private readonly comeBack = (event: PageTransitionEvent): void => {
    if (event.persisted) this.lifecycle.comeBack();
  };
}
