// The methods of a viewer that ask its device for something, and what is known of its call.

import { ViewerAttributes } from './attributes.ts';
import type { Outcome } from './commands.ts';
import type { Step } from './phase.ts';
import type { Playback } from './playback.ts';
import type { Refusal, Talker } from './results.ts';
import type { Watch } from './watch.ts';

/** Why the device did not do a command. */
export class CommandError extends Error {
  /** The name of the refusal, as in docs/reference/board-commands.md section 3, or one of this page. */
  readonly why: string;
  /** The number that belongs to the name; 0 if this page found out by itself. */
  readonly code: number;
  /** After how many milliseconds it is worth asking again; null: not given. */
  readonly retryAfterMs: number | null;
  /** Who talks, if that is the reason. */
  readonly talker: Talker | null;

  constructor(command: string, device: string, { name, code, message, retryAfterMs, talker }: Refusal) {
    super(`${command} of ${device}: ${name}${message && `: ${message}`}`);
    Object.assign(this, { name: 'CommandError' });
    [this.why, this.code, this.retryAfterMs, this.talker] = [name, code, retryAfterMs, talker];
  }
}

type Done = Exclude<Outcome, { error: Refusal }>;

/** How a picture is taken. */
export interface SnapshotOptions {
  /** The device takes it, at its full size, as JPEG. Otherwise it is the picture that is shown, as PNG. */
  board?: boolean;
  /** The most that it may be wide and high, in pixels. Only with `board`. */
  width?: number;
  height?: number;
  /** 1 to 100. Only with `board`. */
  quality?: number;
}

/** Commands, and figures of the call. */
export abstract class ViewerCommands extends ViewerAttributes {
  /** @internal */
  protected abstract get watch(): Watch | null;
  /** @internal */
  protected abstract readonly playback: Playback;

  /**
   * Gives the device a command of docs/reference/board-commands.md, such as `cameras`. Resolves with its result;
   * rejects with a `CommandError`.
   */
  async command(name: string, args: Record<string, unknown> = {}): Promise<Record<string, unknown>> {
    return (await this.done(name, args)).ok;
  }

  /** A picture: of the screen as PNG, or of the device itself as JPEG (`board`). Rejects if there is none. */
  async snapshot({ board = false, ...args }: SnapshotOptions = {}): Promise<Blob> {
    if (!board) return this.shownPicture();
    const { file } = await this.done('snapshot', args);
    return new Blob(file ? [file] : [], { type: 'image/jpeg' });
  }

  /** The volume, 0 to 1. Phones may ignore it. */
  get volume(): number { return this.playback.volume; }
  set volume(value: number) {
    const it = Number(value);
    if (!Number.isFinite(it)) throw new TypeError(`volume: ${String(value)} is not a number`);
    if (it < 0 || it > 1) throw new DOMException(`volume: ${it} is not from 0 to 1`, 'IndexSizeError');
    if (it === this.volume) return;
    this.playback.volume = it;
    this.playback.video.volume = it;
    this.dispatchEvent(new Event('volumechange'));
  }
  /** The size of the picture; 0 without a picture. */
  get videoWidth(): number { return this.playback.shown ? this.playback.video.videoWidth : 0; }
  get videoHeight(): number { return this.playback.shown ? this.playback.video.videoHeight : 0; }
  /** What the device can do beyond the first version, such as `commands`. Empty until it is known. */
  get features(): string[] { return [...this.watch?.info?.features ?? []]; }
  /** What this viewer may do, such as `view` or `control`. Empty until it is known. */
  get rights(): string[] { return this.watch?.info ? [...this.watch.rights] : []; }
  /** Milliseconds from the request to watch to the first picture. */
  get firstPictureMs(): number | null {
    const { start, shown } = this.watch?.call.reached ?? {};
    return start !== undefined && shown !== undefined ? shown - start : null;
  }
  /** When each step was reached, in milliseconds after the request to watch. */
  get timings(): Partial<Record<Step | 'shown', number>> {
    const { start = 0, ...reached } = this.watch?.call.reached ?? {};
    return Object.fromEntries(Object.entries(reached).map(([step, at]) => [step, at - start]));
  }
  /** The browser's peer connection, for measurements. */
  get peerConnection(): RTCPeerConnection | null { return this.watch?.player.pc ?? null; }

  private async shownPicture(): Promise<Blob> {
    if (!this.videoWidth || this.watch?.call.media.video === 'privacy')
      throw new Error(`snapshot of ${this.device}: there is no picture`);
    const blob = await this.playback.snapshot();
    if (!blob) throw new Error(`snapshot of ${this.device}: the browser made no PNG`);
    return blob;
  }

  private async done(name: string, args: Record<string, unknown>): Promise<Done> {
    const nothing: Refusal = { code: 0, name: 'no_way', message: '', retryAfterMs: null, talker: null };
    const outcome: Outcome = await this.watch?.ask(name, args) ?? { error: nothing };
    if ('error' in outcome) throw new CommandError(name, this.device, outcome.error);
    return outcome;
  }
}
