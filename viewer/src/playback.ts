// The stream of a call in its `<video>`: frames, sound, and whether the picture still moves.

import { Freshness } from './freshness.ts';

interface Frames {
  requestVideoFrameCallback?(
    call: (now: number, it: { expectedDisplayTime: number; receiveTime?: number }) => void
  ): number;
}

/** The callbacks to the owner of a playback. */
export interface PlaybackHooks {
  /** The first frame of a stream was presented. */
  firstFrame(): void;
  /** A frame was presented at `shown`. `received`: when it arrived, if the browser reports it. */
  frame(shown: number, received: number | undefined): void;
  /** The stream ends while its picture is still on the screen. */
  ending(): void;
  /** The shown state may have changed. */
  changed(): void;
}

export class Playback {
  readonly freshness = new Freshness();
  /** A frame of the current stream was presented. */
  shown = false;
  /** The browser allows no sound before a click. */
  blocked = false;
  /** 0 to 1. */
  volume = 1;

  private generation = 0;
  private wantsMuted = false;

  constructor(readonly video: HTMLVideoElement, private readonly hooks: PlaybackHooks) {}

  take(stream: MediaStream | null): void {
    const { video } = this;
    if (!stream && this.shown) this.hooks.ending();
    this.shown = false;
    this.generation += 1;
    this.freshness.begin();
    video.srcObject = stream;
    if (!stream) return;
    this.sound(this.wantsMuted);
    this.followFrames(this.generation);
  }

  /** Plays with sound if that is wanted and allowed. The picture never waits for it. */
  sound(muted: boolean): void {
    const { video } = this;
    this.wantsMuted = muted;
    video.muted = muted || this.blocked;
    video.volume = this.volume;
    if (!video.srcObject) return;
    video.play().catch((error: Error) => {
      if (error.name !== 'NotAllowedError' || video.muted) return;
      this.blocked = true;
      video.muted = true;
      video.play().catch(() => {});
      this.hooks.changed();
    });
  }

  /** The current picture as PNG in its own size; null if the browser cannot make one. */
  snapshot(): Promise<Blob | null> {
    const { video } = this;
    const canvas = document.createElement('canvas');
    Object.assign(canvas, { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext('2d')!.drawImage(video, 0, 0);
    return new Promise((resolve) => canvas.toBlob(resolve, 'image/png'));
  }

  private followFrames(mine: number): void {
    const { video } = this;
    const each = video as unknown as Frames;
    if (!each.requestVideoFrameCallback) {
      video.onloadeddata = video.ontimeupdate = () => this.seen(mine, performance.now(), performance.now(), undefined);
      return;
    }
    const again = () => each.requestVideoFrameCallback!((now, { expectedDisplayTime, receiveTime }) => {
      this.seen(mine, now, Math.max(now, expectedDisplayTime), receiveTime);
      if (mine === this.generation) again();
    });
    again();
  }

  private seen(mine: number, now: number, shown: number, received: number | undefined): void {
    if (mine !== this.generation) return;
    this.freshness.frame(now);
    if (!this.shown) {
      this.shown = true;
      this.hooks.firstFrame();
    }
    if (mine === this.generation) this.hooks.frame(shown, received);
  }
}
