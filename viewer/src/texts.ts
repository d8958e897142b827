// Texts from outside, made fit to be shown. Pure.

// Control characters, line and paragraph separators, and what turns the direction of the text around it or cannot be seen:
// with these a name can look like another one, or move the words beside it.
const BREAKS = /[\p{Cc}\p{Zl}\p{Zp}]+/gu;
const UNSEEN = /[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\u{e0000}-\u{e0fff}]+/gu;

/** One line without unseen characters, of at most `most` characters. */
export function clean(text: string, most: number): string {
  // Lone halves of a pair, and piles of marks on one letter, which reach into the lines above and below.
  const line = text.slice(0, most * 8).replace(/[\ud800-\udfff]/gu, '\ufffd').replace(BREAKS, ' ').replace(UNSEEN, '').replace(/(\p{M}{3})\p{M}+/gu, '$1').replace(/\s+/g, ' ').trim();
  const letters = [...line];
  return letters.length <= most ? line : `${letters.slice(0, most - 1).join('').trimEnd()}…`;
}
