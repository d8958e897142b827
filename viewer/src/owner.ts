// What a session needs of the call to which it belongs.

import type { Effect, Options } from './effect.ts';
import type { Doing, Phase, Step } from './phase.ts';
import type { MediaHealth, Status } from './protocol.ts';
import type { TurnLogins } from './turn-logins.ts';

/** A failure's details besides its name. */
export interface Failure { doing?: Doing | null; message?: string; retryAfterMs?: number | null }

/** The call to which a session belongs. */
export interface Owner {
  phase: Phase;
  media: MediaHealth;
  ignored: number;
  /** The ICE servers of the device. */
  readonly turn: TurnLogins;
  readonly reached: Partial<Record<Step | 'start' | 'shown', number>>;
  readonly options: Options;
  readonly brokerUp: boolean;
  readonly sealed: boolean;
  readonly status: Status | null;
  push(effect: Effect): void;
  step(step: Step, now: number): void;
  /** The session is connected. */
  succeeded(): void;
  /** Ends the session with an error. */
  fail(name: string, now: number, failure?: Failure): void;
  /** Ends the session because the device is offline. With a time, it is called again after a delay. */
  offline(reason: string, now?: number): void;
  /** Ends the session with this reason, and starts a new one. */
  begin(now: number, reason: string): void;
  /** A random time in milliseconds, so that many viewers do not act at the same moment. */
  jitter(): number;
}
