// Numbers, units, times and plural forms as a language writes them, by the browser's `Intl`. Pure.

/** The forms of a text for the numbers of a language (CLDR plural rules); `other` is the form of all that are not named. */
export type Forms = Partial<Record<Intl.LDMLPluralRule, string>> & { other: string };

/** A number of things, for a text. */
export interface Count {
  /** As the language writes it. */
  text: string;
  /** The form that this number asks for. */
  of(forms: Forms): string;
}

/** What a text could not know: shown where a figure is missing. */
export const NO_FIGURE = '–';

/**
 * Keeps the direction of writing of a text from outside to itself (Unicode FSI … PDI, UAX #9): a Hebrew name does not turn the
 * English sentence around it. `clean` has taken such characters out of the text before.
 */
export const isolated = (text: string): string => `\u2068${text}\u2069`;

export class Format {
  private readonly made = new Map<string, Intl.NumberFormat>();
  private plurals: Intl.PluralRules | undefined;
  private relative: Intl.RelativeTimeFormat | undefined;

  /** `locale`: a BCP 47 tag that `Intl` accepts. */
  constructor(readonly locale: string) {}

  number(value: number, digits = 0): string {
    return this.by({ minimumFractionDigits: digits, maximumFractionDigits: digits }, value);
  }

  /** A share from 0 to 1. */
  percent(share: number, digits = 0): string {
    return this.by({ style: 'percent', minimumFractionDigits: digits, maximumFractionDigits: digits }, share);
  }

  /** Milliseconds with their unit. */
  ms(value: number | null): string {
    return value === null ? NO_FIGURE : this.by({ style: 'unit', unit: 'millisecond', maximumFractionDigits: 0 }, value);
  }

  /** A span of time, in milliseconds: `10 seconds`. */
  seconds(ms: number): string {
    return this.by({ style: 'unit', unit: 'second', unitDisplay: 'long' }, ms / 1000);
  }

  /** `most`: larger numbers are written as `99+`, so that a text keeps its width. */
  count(value: number, most = Infinity): Count {
    this.plurals ??= new Intl.PluralRules(this.locale);
    const rule = this.plurals.select(value);
    return { text: value > most ? `${this.number(most)}+` : this.number(value), of: (forms) => forms[rule] ?? forms.other };
  }

  /** A time that has passed, in milliseconds: `5 seconds ago`. */
  ago(ms: number): string {
    const [value, unit] = ms < 60_000 ? [Math.max(1, Math.floor(ms / 1000)), 'second'] as const
      : ms < 3_600_000 ? [Math.floor(ms / 60_000), 'minute'] as const : [Math.floor(ms / 3_600_000), 'hour'] as const;
    return this.time(-value, unit);
  }

  /** A time to come, in milliseconds: `in 5 seconds`. */
  later(ms: number): string {
    return this.time(Math.ceil(ms / 1000), 'second');
  }

  private time(value: number, unit: Intl.RelativeTimeFormatUnit): string {
    this.relative ??= new Intl.RelativeTimeFormat(this.locale);
    return this.relative.format(value, unit);
  }

  private by(options: Intl.NumberFormatOptions, value: number): string {
    const key = JSON.stringify(options);
    const made = this.made.get(key) ?? new Intl.NumberFormat(this.locale, options);
    this.made.set(key, made);
    return made.format(value);
  }
}
