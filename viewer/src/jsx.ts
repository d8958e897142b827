// The props of `<fanlight-viewer>` in JSX, for all frameworks.

import type { FanlightViewer } from './element.ts';

type Hears<Detail> = (event: CustomEvent<Detail>) => void;

/** Attributes, and properties of the same names. */
export interface FanlightViewerProps {
  broker?: string;
  device?: string;
  root?: string;
  user?: string;
  password?: string;
  viewer?: string;
  mode?: 'offer' | 'request';
  keys?: boolean;
  thumb?: string;
  tokens?: FanlightViewer['tokens'];
  name?: string;
  poster?: string;
  muted?: boolean;
  controls?: boolean;
  stats?: boolean;
  manual?: boolean;
  'keep-playing'?: boolean;
  keepPlaying?: boolean;
  volume?: number;
  askFor?: FanlightViewer['askFor'];
  'onfanlight-state'?: Hears<import('./announcer.ts').StateDetail>;
  'onfanlight-error'?: Hears<import('./announcer.ts').ErrorDetail>;
  'onfanlight-event'?: Hears<import('./announcer.ts').EventDetail>;
  'onfanlight-stats'?: Hears<import('./stats.ts').ViewerStats>;
}
