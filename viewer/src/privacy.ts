// The privacy switch of a board (docs/reference/board-commands.md): who stopped camera and microphone, and when this
// page asks the board about it. Pure.

import type { Language } from './language.ts';
import { object, text } from './json.ts';
import { clean } from './texts.ts';
import type { BoardWords } from './words/languages.ts';

const MAKERS = ['viewer', 'button', 'home_assistant', 'owner', 'nobody', 'fault'] as const;
const MOST_NAME = 80;
/** After a failed question, and after an answer that explains nothing, such as that of a covered lens. */
const AGAIN_MS = 5000;
const DULL_MS = 30_000;
const DAY_MS = 20 * 3_600_000;

export interface Switch {
  on: boolean;
  /** The number of its last change. */
  change: number;
  by: (typeof MAKERS)[number];
  /** The name of the viewer who changed it. */
  name: string | null;
  /** When, in milliseconds since 1970; null: before the daemon started. */
  at: number | null;
}

/** The switch of an answer. `now` is in milliseconds since 1970. Throws `Unusable`. */
export function switchOf(value: unknown, now: number): Switch {
  const it = object(value, 'privacy');
  const whole = (key: string) =>
    (Number.isSafeInteger(it[key]) && (it[key] as number) >= 0 ? (it[key] as number) : null);
  const seconds = whole('seconds');
  return {
    on: it['on'] === true, change: whole('change') ?? 0, by: MAKERS.find((known) => known === it['by']) ?? 'nobody',
    name: clean(text(it, 'name', 256, ''), MOST_NAME) || null, at: seconds === null ? null : now - seconds * 1000,
  };
}

/** Who switched it on, and since when. `now` is in milliseconds since 1970. */
export function sentenceOf({ by, name, at }: Switch, { privacy }: BoardWords, language: Language, now: number): string {
  const who = by !== 'viewer' ? privacy.by[by] : name === null ? privacy.by.someone : privacy.by.viewer(name);
  if (at === null) return who;
  return privacy.since(who, now - at < DAY_MS ? language.clock(at) : language.moment(at));
}

/** What is known of the switch, and when to ask. */
export class PrivacyState {
  known: Switch | null = null;
  private asking = false;
  private nextAt = 0;

  /** Whether to ask now. `hidden`: the board sends nothing on purpose. */
  shouldAsk(hidden: boolean, now: number): boolean {
    if (!hidden) {
      this.known = null;
      this.nextAt = 0;
      return false;
    }
    if (this.asking || this.known?.on || now < this.nextAt) return false;
    this.asking = true;
    return true;
  }

  /** The board answered; null: it did not. */
  answered(it: Switch | null, now: number): void {
    this.asking = false;
    this.nextAt = now + (it ? DULL_MS : AGAIN_MS);
    if (it) this.known = it;
  }

  /** Another board, or another way to it. */
  forget(): void {
    this.known = null;
    this.asking = false;
    this.nextAt = 0;
  }
}
