// The effects that a call requests, and the options of a call.

import type { Candidate, FromDevice, IceServer, Wanted } from './protocol.ts';

export type Effect =
  | { do: 'publish'; text: string }
  | { do: 'make_offer'; restart: boolean; servers: IceServer[] }
  | { do: 'take_offer'; sdp: string; servers: IceServer[] }
  | { do: 'take_answer'; sdp: string; servers: IceServer[] }
  | { do: 'take_candidates'; candidates: Candidate[] }
  | { do: 'set_servers'; servers: IceServer[] }
  | { do: 'digest' }
  /** The device answered a command. */
  | { do: 'answered'; body: FromDevice & { type: 'result' | 'part' } }
  | { do: 'close' };

export interface Options {
  mode: 'offer' | 'request';
  /** The viewer has an access token, of an issuer that the device may not know. */
  token?: boolean;
  wanted: Wanted;
  visible?: () => boolean;
  random?: () => number;
  session?: () => string;
}
