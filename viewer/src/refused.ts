// The text for a command that was not done. Pure.

import type { Refusal } from './results.ts';
import type { BoardWords } from './words/languages.ts';

/** For these, the board's own sentence adds what a person needs. */
const EXPLAINED = new Set(['device_error', 'out_of_range', 'internal']);

export function refusedText({ name, message }: Refusal, { refused, because }: BoardWords): string {
  const known = Object.hasOwn(refused, name);
  const text = refused[known ? name as keyof typeof refused : 'other'];
  return message && (!known || EXPLAINED.has(name)) ? because(text, message) : text;
}
