// Makes texts from outside safe to show. Pure.

// Control characters, line and paragraph separators, and characters that are invisible or change the text direction.
// With these, a name can look like another one, or move the text next to it.
const BREAKS = /[\p{Cc}\p{Zl}\p{Zp}]+/gu;
const UNSEEN = /[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\u{e0000}-\u{e0fff}]+/gu;

/** One line of at most `most` characters, without invisible characters. */
export function clean(text: string, most: number): string {
  // Unpaired surrogates, and stacks of combining marks, which would cover the lines above and below.
  const line = text.slice(0, most * 8)
    .replace(/[\ud800-\udfff]/gu, '\ufffd')
    .replace(BREAKS, ' ')
    .replace(UNSEEN, '')
    .replace(/(\p{M}{3})\p{M}+/gu, '$1')
    .replace(/\s+/g, ' ')
    .trim();
  const letters = [...line];
  return letters.length <= most ? line : `${letters.slice(0, most - 1).join('').trimEnd()}…`;
}
