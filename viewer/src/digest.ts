// SHA-256, base64url. By a library, because `crypto.subtle` is missing on a page by plain HTTP, which is how many a camera
// in a house is reached, and because an answer is checked at once instead of in a later task. Pure.

import { sha256 as hash } from '@noble/hashes/sha2.js';
import { base64url } from './protocol.ts';

export const sha256 = (text: string): string => base64url(hash(new TextEncoder().encode(text)));
