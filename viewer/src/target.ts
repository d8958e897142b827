// Whom a viewer calls, and what can be wrong with it. Pure.

import { isId, isRoot } from './protocol.ts';
import { clean } from './texts.ts';

export interface Target { broker: string; root: string; device: string; viewer: string; user: string; password: string }

/** What is wrong with a target, apart from the broker's address, in a sentence. */
export function faultOf({ broker, root, device, viewer }: Target): string | null {
  const id = (what: string, it: string) => `The ${what} “${clean(it, 64)}” has a character other than letters, digits, “-” and “_”, or is longer than 64.`;
  return broker === '' ? 'The attribute “broker” is missing.'
    : device === '' ? 'The attribute “device” is missing.'
    : !isId(device) ? id('device', device) : !isId(viewer) ? id('viewer', viewer)
    : !isRoot(root) ? `The root “${clean(root, 64)}” is not a topic.` : null;
}
