// Types for React 19 (and for 18 as far as attributes go): `import type {} from '@fanlight/viewer/react'`.

import type { DetailedHTMLProps, HTMLAttributes } from 'react';
import type { FanlightViewer } from './element.ts';
import type { FanlightViewerProps } from './jsx.ts';

export type FanlightViewerElement =
  DetailedHTMLProps<HTMLAttributes<FanlightViewer>, FanlightViewer> & FanlightViewerProps;

declare module 'react' {
  namespace JSX {
    interface IntrinsicElements { 'fanlight-viewer': FanlightViewerElement }
  }
}
