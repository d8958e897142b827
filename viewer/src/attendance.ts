// Whether anybody can see or hear a viewer. Without an audience, camera and microphone should be off.

const HIDDEN_MS = 10_000;
const OUT_OF_SIGHT_MS = 5000;

export interface Presence {
  /** The page wants to continue in any case. */
  keep: boolean;
  pageHidden: boolean;
  outOfSight: boolean;
  pictureInPicture: boolean;
  /** There is sound to hear, and no picture to miss. */
  soundOnly: boolean;
  /** A call has begun, so ending and restarting it takes time. */
  begun: boolean;
}

/** The milliseconds after which to pause; null: continue. Pure. */
export function pauseAfter(it: Presence): number | null {
  if (it.keep || it.pictureInPicture || it.soundOnly) return null;
  if (it.pageHidden) return it.begun ? HIDDEN_MS : 0;
  if (it.outOfSight) return it.begun ? OUT_OF_SIGHT_MS : 0;
  return null;
}

/** Pauses a viewer that nobody sees or hears, after the time of `pauseAfter`. */
export class Pausing {
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly presence: () => Presence, private readonly pause: () => void) {}

  /** No call may begin. */
  get mustWait(): boolean {
    return pauseAfter(this.presence()) === 0;
  }

  /** Checks again. `frozen`: no timer will run any more. True if somebody can see or hear the viewer. */
  update(playing: boolean, frozen: boolean): boolean {
    const after = pauseAfter(this.presence());
    if (after === null) this.cancel();
    else if (playing && (frozen || after === 0)) this.now();
    else if (playing) this.timer ??= setTimeout(() => this.now(), after);
    return after === null;
  }

  cancel(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  private now(): void {
    this.timer = undefined;
    if (pauseAfter(this.presence()) !== null) this.pause();
  }
}

/** Observes the page of an element, and whether the element is in sight. */
export class Attendance {
  outOfSight = false;
  private observer: IntersectionObserver | null = null;
  private document: Document | null = null;

  constructor(private readonly element: HTMLElement, private readonly changed: (frozen: boolean) => void) {}

  get pageHidden(): boolean {
    return this.document?.visibilityState === 'hidden';
  }

  begin(): void {
    this.end();
    this.document = this.element.ownerDocument; // differs in a document picture-in-picture window
    this.document.addEventListener('visibilitychange', this.told);
    this.document.addEventListener('freeze', this.freeze);
    if (typeof IntersectionObserver !== 'function') return;
    // A little before the element scrolls into view, so that the picture is there in time.
    this.observer = new IntersectionObserver((entries) => {
      const now = !entries[entries.length - 1]!.isIntersecting;
      if (now === this.outOfSight) return;
      this.outOfSight = now;
      this.changed(false);
    }, { rootMargin: '25%' });
    this.observer.observe(this.element);
  }

  end(): void {
    this.observer?.disconnect();
    this.observer = null;
    this.document?.removeEventListener('visibilitychange', this.told);
    this.document?.removeEventListener('freeze', this.freeze);
    this.document = null;
    this.outOfSight = false;
  }

  private readonly told = (): void => this.changed(false);
  /** No timer will run any more until the page is visible again. */
  private readonly freeze = (): void => this.changed(true);
}
