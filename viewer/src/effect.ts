// The effects that a call requests, and the options of a call.

import type { Candidate, IceServer, Wanted } from './protocol.ts';

export type Effect =
  | { do: 'publish'; text: string }
  | { do: 'make_offer'; restart: boolean; servers: IceServer[] }
  | { do: 'take_offer'; sdp: string; servers: IceServer[] }
  | { do: 'take_answer'; sdp: string; servers: IceServer[] }
  | { do: 'take_candidates'; candidates: Candidate[] }
  | { do: 'digest' }
  | { do: 'close' };

export interface Options {
  mode: 'offer' | 'request';
  wanted: Wanted;
  visible?: () => boolean;
  random?: () => number;
  session?: () => string;
}
