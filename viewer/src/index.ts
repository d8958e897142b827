// The package: importing it defines <fanlight-viewer>.

import { CommandError } from './commanding.ts';
import { FanlightViewer } from './element.ts';
import type { ErrorDetail, EventDetail, StateDetail } from './announcer.ts';
import type { ViewerStats } from './stats.ts';

export { CommandError, FanlightViewer };
export type { ErrorDetail, EventDetail, StateDetail, ViewerState } from './announcer.ts';
export type { SnapshotOptions } from './commanding.ts';
export { watchDevices } from './directory.ts';
export { prepareCall } from './player.ts';
export { PairingError, expectDevice, invitationOf, pairDevice } from './trust/pairing.ts';
export { forgetDevice, watchPaired } from './trust/paired.ts';
export type { Invitation, PairFault, PairOptions, PairStep } from './trust/pairing.ts';
export type { Paired } from './trust/paired.ts';
export type { PairedDevice } from './trust/store.ts';
export type { TokenRequest, TokenSource } from './trust/tokens.ts';
export type { DirectoryOptions, Listing, Locked } from './directory.ts';
export type { Health, MediaHealth, Status } from './protocol.ts';
export type { Route, ViewerStats } from './stats.ts';
export type { Step } from './phase.ts';
export type { Talker } from './results.ts';
export type { FanlightViewerProps } from './jsx.ts';

declare global {
  interface HTMLElementTagNameMap { 'fanlight-viewer': FanlightViewer }
  interface HTMLElementEventMap {
    'fanlight-state': CustomEvent<StateDetail>;
    'fanlight-error': CustomEvent<ErrorDetail>;
    'fanlight-event': CustomEvent<EventDetail>;
    'fanlight-stats': CustomEvent<ViewerStats>;
  }
}

// A server has no custom elements; it only renders the page.
if (globalThis.customElements && !customElements.get('fanlight-viewer'))
  customElements.define('fanlight-viewer', FanlightViewer);
