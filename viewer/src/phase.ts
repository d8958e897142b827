// What a person is told about a call: the steps until the first picture, and the phases around them. Pure.

import type { Next } from './errors.ts';

/** The steps of a call, in order. */
export const STEPS = ['broker', 'device', 'offer', 'route', 'secure', 'picture'] as const;
export type Step = (typeof STEPS)[number];

export type Phase =
  | { at: 'idle' }
  | { at: 'step'; step: Step }
  | { at: 'offline'; reason: string }
  | { at: 'live'; restarting: boolean }
  /** `doing`: what failed in this browser; `message`: what the device, the broker or the browser says, in its own language. */
  | { at: 'error'; name: string; doing: Doing | null; message: string; next: Next; retryAt: number | null };

/** What this browser does with a peer connection, and what may fail there. */
export type Doing = 'prepare' | 'restart' | 'take_answer' | 'take_offer' | 'take_candidates';
