// Talk: when the microphone is open, when the board is asked for the turn, and when sound is sent. Pure: time is an
// argument, and the result is a list of effects.

import type { Refusal, Talker } from './results.ts';

/** `explain`: the browser will ask, and a person reads why. `link`: the connection gets a way for sound. */
export type TalkState = 'off' | 'explain' | 'link' | 'open' | 'turn' | 'on';
/** Why nobody is heard, as a key of the texts. */
export type TalkFault = 'insecure' | 'denied' | 'none' | 'failed' | 'noLink' | 'lost';
export type TalkEffect =
  /** Makes a connection with a way for sound. */
  | { do: 'link' }
  | { do: 'open' }
  /** Asks the board for the turn; `take`: also if somebody else talks. */
  | { do: 'begin'; take: boolean }
  | { do: 'send' }
  /** Sends no sound any more. */
  | { do: 'mute' }
  | { do: 'end' }
  /** Closes the microphone. */
  | { do: 'close' };

/** A press that is shorter begins to talk hands-free. */
const BRIEF_MS = 350;
/** The microphone stays open so long, because the next words often follow. */
const OPEN_MS = 10_000;
/** How often the board is asked whether this viewer still has the turn. */
const TURN_MS = 10_000;
const LINK_MS = 12_000;

/** What the talk needs to know of its surroundings. */
export interface TalkPlace {
  /** The page may use a microphone at all. */
  secure: boolean;
  /** The connection has a way for sound. */
  linked: boolean;
  /** The browser gives the microphone without a question. */
  granted: boolean;
}

export class Talk {
  state: TalkState = 'off';
  fault: TalkFault | null = null;
  /** Who talks instead. */
  other: Talker | null = null;
  /** Why the board refused, if it was for another reason. */
  refused: Refusal | null = null;

  private effects: TalkEffect[] = [];
  private pressedAt: number | null = null;
  private wanted = false;
  private take = false;
  private open = false;
  private timers = new Map<'close' | 'turn' | 'link', number>();

  effectsNow(): TalkEffect[] {
    return this.effects.splice(0);
  }

  /** The button is held. */
  press(now: number, place: TalkPlace): void {
    if (this.wanted) return this.stop(now);
    this.pressedAt = now;
    this.start(now, place);
  }

  /** The button is let go. After a brief press, the talk goes on hands-free. */
  release(now: number): void {
    if (this.pressedAt === null) return;
    const brief = now - this.pressedAt < BRIEF_MS;
    this.pressedAt = null;
    if (!brief && this.state !== 'explain') this.stop(now);
  }

  /** Begins hands-free, or stops. */
  toggle(now: number, place: TalkPlace, take = false): void {
    this.pressedAt = null;
    if (this.wanted) return this.stop(now);
    this.start(now, place, take);
  }

  /** The person read why the browser will ask. */
  understood(yes: boolean, now: number): void {
    if (this.state !== 'explain') return;
    if (!yes) return this.stop(now);
    this.state = 'open';
    this.effects.push({ do: 'open' });
  }

  /** The connection has a way for sound now. */
  linked(now: number, place: TalkPlace): void {
    if (this.state === 'link' && place.linked) this.onward(now, place);
  }

  /** The browser opened the microphone, or said why not. */
  opened(fault: TalkFault | null, now: number): void {
    this.open = fault === null;
    if (this.state !== 'open') return this.rest(now);
    if (fault) return this.fail(fault, now);
    this.askTurn();
  }

  /** The board gave the turn, or refused it. */
  begun(refused: Refusal | null, now: number): void {
    if (this.state !== 'turn' && this.state !== 'on') return;
    if (refused?.name === 'unknown_command') refused = null; // the first sound takes the turn
    if (refused) {
      const was = this.state;
      this.stop(now, false);
      this.other = refused.talker;
      if (was === 'on') this.fault = 'lost';
      else if (!refused.talker) this.refused = refused;
      return;
    }
    if (this.state === 'turn') this.effects.push({ do: 'send' });
    this.state = 'on';
    this.timers.set('turn', now + TURN_MS);
  }

  /** The session ended, and the turn with it. */
  lost(now: number): void {
    if (this.state !== 'turn' && this.state !== 'on') return;
    const was = this.state;
    this.stop(now, false);
    if (was === 'on') this.fault = 'lost';
  }

  /** Ends the talk; `tell`: the board is told. */
  stop(now: number, tell = true): void {
    const { state } = this;
    this.wanted = false;
    this.pressedAt = null;
    this.state = 'off';
    for (const timer of ['turn', 'link'] as const) this.timers.delete(timer);
    if (state === 'on') this.effects.push({ do: 'mute' });
    if (tell && (state === 'on' || state === 'turn')) this.effects.push({ do: 'end' });
    this.rest(now);
  }

  /** The viewer left, or its camera is another one. */
  leave(now: number): void {
    this.stop(now);
    if (this.open) this.effects.push({ do: 'close' });
    this.open = false;
    this.fault = this.other = this.refused = null;
    this.timers.clear();
  }

  nextWake(): number | null {
    return this.timers.size ? Math.min(...this.timers.values()) : null;
  }

  wake(now: number): void {
    for (const [timer, at] of [...this.timers]) {
      if (at > now) continue;
      this.timers.delete(timer);
      if (timer === 'link') this.fail('noLink', now);
      else if (timer === 'turn') {
        this.timers.set('turn', now + TURN_MS);
        this.effects.push({ do: 'begin', take: false });
      } else if (this.open && !this.wanted) {
        this.open = false;
        this.effects.push({ do: 'close' });
      }
    }
  }

  private start(now: number, place: TalkPlace, take = false): void {
    this.fault = this.other = this.refused = null;
    if (!place.secure) return this.fail('insecure', now);
    this.wanted = true;
    this.take = take;
    this.timers.delete('close');
    if (place.linked) return this.onward(now, place);
    this.state = 'link';
    this.timers.set('link', now + LINK_MS);
    this.effects.push({ do: 'link' });
  }

  private onward(_now: number, { granted }: TalkPlace): void {
    this.timers.delete('link');
    if (this.open) return this.askTurn();
    this.state = granted ? 'open' : 'explain';
    if (granted) this.effects.push({ do: 'open' });
  }

  private askTurn(): void {
    this.state = 'turn';
    this.effects.push({ do: 'begin', take: this.take });
  }

  private fail(fault: TalkFault, now: number): void {
    this.stop(now);
    this.fault = fault;
  }

  /** Nobody talks. The microphone closes soon. */
  private rest(now: number): void {
    if (this.open) this.timers.set('close', now + OPEN_MS);
  }
}

/** The fault of a microphone, by the name of the browser's error. */
export const microphoneFault = (name: string): TalkFault =>
  (name === 'NotAllowedError' || name === 'SecurityError' ? 'denied' : name === 'NotFoundError' ? 'none' : 'failed');

/** The loudness of some samples (0 to 255, silence is 128), from 0 to 1. */
export function loudness(samples: Uint8Array): number {
  let sum = 0;
  for (const it of samples) sum += ((it - 128) / 128) ** 2;
  return Math.min(1, Math.sqrt(sum / (samples.length || 1)) * 4);
}
