// Numbers, units, times and plural forms in a language, by the browser's `Intl`. Pure.

/** The plural forms of a text (CLDR plural rules). `other` is used for all forms that are not listed. */
export type Forms = Partial<Record<Intl.LDMLPluralRule, string>> & { other: string };

/** A number of things, for use in a text. */
export interface Count {
  /** The number as the language writes it. */
  text: string;
  /** The form for this number. */
  of(forms: Forms): string;
}

/** Shown if a figure is unknown. */
export const NO_FIGURE = '–';

/**
 * Isolates the writing direction of a text from outside (Unicode FSI … PDI, UAX #9), so that a Hebrew name does not
 * change the English sentence around it. `clean` removed such characters from the text before.
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
    return value === null
      ? NO_FIGURE
      : this.by({ style: 'unit', unit: 'millisecond', maximumFractionDigits: 0 }, value);
  }

  /** A duration, given in milliseconds: `10 seconds`. */
  seconds(ms: number): string {
    return this.by({ style: 'unit', unit: 'second', unitDisplay: 'long' }, ms / 1000);
  }

  /** `most`: larger numbers are written as `99+`, so that the text stays narrow. */
  count(value: number, most = Infinity): Count {
    this.plurals ??= new Intl.PluralRules(this.locale);
    const rule = this.plurals.select(value);
    return {
      text: value > most ? `${this.number(most)}+` : this.number(value), of: (forms) => forms[rule] ?? forms.other,
    };
  }

  /** A time in the past, given in milliseconds: `5 seconds ago`. */
  ago(ms: number): string {
    const [value, unit] = ms < 60_000 ? [Math.max(1, Math.floor(ms / 1000)), 'second'] as const
      : ms < 3_600_000 ? [Math.floor(ms / 60_000), 'minute'] as const : [Math.floor(ms / 3_600_000), 'hour'] as const;
    return this.time(-value, unit);
  }

  /** A time in the future, given in milliseconds: `in 5 seconds`. */
  later(ms: number): string {
    return this.time(Math.ceil(ms / 1000), 'second');
  }

  /** A duration in its largest unit, given in milliseconds: `2 hours`. */
  duration(ms: number): string {
    const [value, unit] = ms < 60_000 ? [ms / 1000, 'second'] as const
      : ms < 3_600_000 ? [ms / 60_000, 'minute'] as const : [ms / 3_600_000, 'hour'] as const;
    return this.by({ style: 'unit', unit, unitDisplay: 'long', maximumFractionDigits: 0 }, Math.floor(value));
  }

  /** The time of day, given in milliseconds since 1970: `14:05`. */
  clock(ms: number): string {
    return new Intl.DateTimeFormat(this.locale, { timeStyle: 'short' }).format(ms);
  }

  /** A date, given in milliseconds since 1970. */
  date(ms: number): string {
    return new Intl.DateTimeFormat(this.locale, { dateStyle: 'medium' }).format(ms);
  }

  /** A date with the time of day, given in milliseconds since 1970. */
  moment(ms: number): string {
    return new Intl.DateTimeFormat(this.locale, { dateStyle: 'medium', timeStyle: 'short' }).format(ms);
  }

  /** A value with its unit, in a short form. */
  unit(value: number, unit: 'celsius' | 'megabyte', digits = 0): string {
    return this.by({ style: 'unit', unit, minimumFractionDigits: digits, maximumFractionDigits: digits }, value);
  }

  /** Several texts as an enumeration. */
  all(texts: string[]): string {
    return new Intl.ListFormat(this.locale).format(texts);
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
