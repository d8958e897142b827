// The state of a call as the user sees it: the steps to the first picture, and the phases around them. Pure.

import type { Next } from './errors.ts';

/** The steps of a call, in order. */
export const STEPS = ['broker', 'device', 'offer', 'route', 'secure', 'picture'] as const;
export type Step = (typeof STEPS)[number];

export type Phase =
  | { at: 'idle' }
  | { at: 'step'; step: Step }
  | { at: 'offline'; reason: string }
  | { at: 'live'; restarting: boolean }
  /**
   * `doing`: what failed in this browser; `message`: the error text of device, broker or browser, in its own language.
   */
  | { at: 'error'; name: string; doing: Doing | null; message: string; next: Next; retryAt: number | null };

/** The operations of a peer connection that may fail. */
export type Doing = 'prepare' | 'restart' | 'take_answer' | 'take_offer' | 'take_candidates';
