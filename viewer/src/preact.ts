// Types for Preact: `import type {} from '@fanlight/viewer/preact'`.

import type { HTMLAttributes } from 'preact';
import type { FanlightViewer } from './element.ts';
import type { FanlightViewerProps } from './jsx.ts';

export type FanlightViewerElement =
  Omit<HTMLAttributes<FanlightViewer>, keyof FanlightViewerProps> & FanlightViewerProps;

declare module 'preact' {
  namespace JSX {
    interface IntrinsicElements { 'fanlight-viewer': FanlightViewerElement }
  }
}
