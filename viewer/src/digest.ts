// SHA-256, base64url. A library is used because `crypto.subtle` is missing on plain HTTP pages, which are common in
// home networks. Also, an answer is then checked at once, not in a later task. Pure.

import { sha256 as hash } from '@noble/hashes/sha2.js';
import { base64url } from './protocol.ts';

export const sha256 = (text: string): string => base64url(hash(new TextEncoder().encode(text)));
