// Reports changes of a viewer to the page: its events, each once, and the promises returned by `play()`.

import type { Phase, Step } from './phase.ts';
import type { Happening } from './trust/news.ts';

export type ViewerState = 'idle' | 'connecting' | 'offline' | 'live' | 'reconnecting' | 'paused' | 'error';

export interface StateDetail {
  device: string; state: ViewerState; step: Step | null;
  /** Why there is no picture or no sound although the device is online. */
  video: string; audio: string;
  /** The picture stands still: no new frame came for a second, or longer if frames were already slow. */
  stale: boolean;
}
export interface ErrorDetail { device: string; name: string; message: string; retryInMs: number | null }

/** Who watches the device, who was refused, and who may watch: one audit record of the device. */
export interface EventDetail extends Happening { device: string }

/** The state of a viewer. */
export interface Doings {
  detail: StateDetail;
  phase: Phase | { at: 'paused' };
  message: string;
  paused: boolean;
  shown: boolean;
}

export class Announcer {
  private state = '';
  private error = '';
  private paused = true;
  private playing = false;
  private waiting: { resolve(): void; reject(error: Error): void }[] = [];

  constructor(private readonly viewer: EventTarget) {}

  /** A promise that resolves with the first picture. */
  promise(): Promise<void> {
    const playing = new Promise<void>((resolve, reject) => this.waiting.push({ resolve, reject }));
    playing.catch(() => {}); // no warning if the caller ignores the promise
    return playing;
  }

  /** The picture plays. */
  resolve(): void {
    for (const { resolve } of this.waiting.splice(0)) resolve();
  }

  reject(error: DOMException): void {
    for (const { reject } of this.waiting.splice(0)) reject(error);
  }

  emit(type: string, detail: unknown): void {
    this.viewer.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }));
  }

  tell({ detail, phase, message, paused, shown }: Doings): void {
    const { device } = detail;
    const state = JSON.stringify(detail);
    if (state !== this.state) {
      this.state = state;
      this.emit('fanlight-state', detail);
    }
    if (paused !== this.paused) {
      this.paused = paused;
      this.viewer.dispatchEvent(new Event(paused ? 'pause' : 'play'));
    }
    const playing = detail.state === 'live' && shown && !detail.stale;
    if (playing !== this.playing) {
      this.playing = playing;
      if (playing) {
        this.resolve();
        this.viewer.dispatchEvent(new Event('playing'));
      } else if (!paused) {
        this.viewer.dispatchEvent(new Event('waiting'));
      }
    }
    if (phase.at !== 'error') {
      this.error = '';
      return;
    }
    if (phase.next === 'stay')
      this.reject(
        new DOMException(`play of ${device}: ${phase.name}${message && `: ${message}`}`, 'NotSupportedError')
      );
    const error = JSON.stringify(phase);
    if (error === this.error) return;
    this.error = error;
    const retryInMs = phase.retryAt === null ? null : Math.max(0, phase.retryAt - performance.now());
    this.emit('fanlight-error', { device, name: phase.name, message, retryInMs } satisfies ErrorDetail);
  }
}
