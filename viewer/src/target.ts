// The target of a viewer's call, and its possible faults. Pure.

import { exactly } from './bytes.ts';
import { isId, isRoot } from './protocol.ts';
import { clean } from './texts.ts';
import type { ComponentWords } from './words/languages.ts';

export interface Target {
  broker: string;
  root: string;
  device: string;
  viewer: string;
  user: string;
  password: string;
  /** Only if it is paired: nothing plain is said or believed. */
  keys: boolean;
  /** The thumbprint of the device's key; empty if the page does not know it. */
  thumb: string;
}

/** A sentence about a wrong setting, in the requested language. */
export type Fault = (words: ComponentWords) => string;

/** The fault of a target except for the broker's address; null if there is none. */
export function faultOf({ broker, root, device, viewer, thumb }: Target): Fault | null {
  for (const [attribute, value] of Object.entries({ broker, device }))
    if (value === '') return ({ settings }) => settings.missing(attribute);
  for (const [attribute, value] of Object.entries({ device, viewer })) {
    if (!isId(value)) return ({ settings }) => settings.badId(attribute, clean(value, 64));
  }
  if (thumb !== '' && !exactly(32, thumb)) return ({ settings }) => settings.badThumb(clean(thumb, 64));
  return isRoot(root) ? null : ({ settings }) => settings.badRoot(clean(root, 64));
}
