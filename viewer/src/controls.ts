// The controls of a camera (docs/reference/board-commands.md): what can be set, the pace at which it is sent, and how
// it is written. Pure.

import type { Format } from './format.ts';
import { Unusable, object, text } from './json.ts';
import type { Json } from './results.ts';
import { clean } from './texts.ts';
import type { BoardWords } from './words/languages.ts';

const TYPES = ['integer', 'boolean', 'menu', 'integer_menu', 'bitmask', 'button'] as const;
const NAME = /^[a-z0-9_]{1,64}$/;
const MOST = 64;
/** The board takes no more values of one command. */
const MOST_VALUES = 32;
/** Between two commands while somebody drags. */
const PACE_MS = 250;

export interface Control {
  name: string; type: (typeof TYPES)[number];
  min: number; max: number; step: number; default: number;
  /** Null: it cannot be read. */
  value: number | null;
  unit: string; items: { value: number; name: string }[];
  /** Another control, such as an automatic mode, makes it useless now. */
  inactive: boolean;
}
export type Values = Record<string, number>;

/** A page of controls. Throws `Unusable`. */
export function controlsOf(ok: Json): { controls: Control[]; more: boolean } {
  const all = ok['controls'];
  if (!Array.isArray(all) || all.length > MOST) throw new Unusable('controls: not a short list');
  return { controls: all.map((it) => controlOf(object(it, 'control'))), more: ok['more'] === true && all.length > 0 };
}

function controlOf(it: Json): Control {
  const name = text(it, 'name', 64);
  const type = TYPES.find((known) => known === it['type']);
  if (!NAME.test(name) || !type) throw new Unusable('control: no name or type');
  const whole = (key: string) => {
    if (!Number.isSafeInteger(it[key])) throw new Unusable(`${key} of ${name}: not a whole number`);
    return it[key] as number;
  };
  const items = Array.isArray(it['items']) ? it['items'].slice(0, MOST) : [];
  return {
    name, type, min: whole('min'), max: whole('max'), step: Math.max(1, whole('step')), default: whole('default'),
    value: Number.isSafeInteger(it['value']) ? it['value'] as number : null, unit: text(it, 'unit', 16, ''),
    items: items.map((one) => object(one, 'item')).filter((one) => Number.isSafeInteger(one['value']))
      .map((one) => ({ value: one['value'] as number, name: clean(text(one, 'name', 256, ''), 64) })),
    inactive: it['inactive'] === true,
  };
}

/** The values that an answer reports. */
export const valuesOf = (ok: Json): Values =>
  Object.fromEntries(Object.entries(object(ok['values'] ?? {}, 'values'))
    .filter((it): it is [string, number] => Number.isSafeInteger(it[1])));

/** Whether a page can show it: what has no value to show cannot be dragged. */
export const isShown = ({ type, value, min, max }: Control): boolean =>
  type === 'button' || (type !== 'bitmask' && value !== null && max > min);

/** The name of a control for people; `foreign`: it is the kernel's, in English. */
export function nameOf(name: string, { picture: { names } }: BoardWords): { text: string; foreign: boolean } {
  if (Object.hasOwn(names, name)) return { text: names[name as keyof typeof names], foreign: false };
  const plain = name.replace(/_+/g, ' ').trim();
  return { text: plain.charAt(0).toUpperCase() + plain.slice(1), foreign: true };
}

/** A value with its unit. */
export function valueText({ unit, type, items }: Control, value: number, format: Format, words: BoardWords): string {
  const { milliseconds, kelvin, degrees, on, off } = words.picture;
  if (type === 'boolean') return value ? on : off;
  const item = items.find((one) => one.value === value);
  if (item) return item.name;
  switch (unit) {
    case '100us': return milliseconds(format.number(value / 10, value < 100 ? 1 : 0));
    case 'kelvin': return kelvin(format.number(value));
    case 'arcsec': return degrees(format.number(value / 3600, 1));
    default: return format.number(value);
  }
}

/** The values that differ from their defaults, as their defaults. */
export const defaultsOf = (all: Control[]): Values => Object.fromEntries(
  all.filter(({ type, value, default: it }) => type !== 'button' && value !== null && value !== it)
    .map(({ name, default: it }) => [name, it])
);

/** The nearest value that a control can have. */
export function nearest({ min, max, step }: Control, value: number): number {
  return Math.min(max, Math.max(min, min + Math.round((value - min) / step) * step));
}

/** Sends values at most a few times a second, one command at a time. Of one control, the newest value wins. */
export class Pace {
  private readonly pending = new Map<string, number>();
  private flying: Values | null = null;
  private nextAt = 0;

  set(values: Values): void {
    for (const [name, value] of Object.entries(values)) this.pending.set(name, value);
  }

  /** Whether a value of this control is on its way, so that older news of it do not count. */
  waits(name: string): boolean {
    return this.pending.has(name) || (this.flying !== null && Object.hasOwn(this.flying, name));
  }

  get idle(): boolean {
    return this.flying === null && this.pending.size === 0;
  }

  /** The values to send now; null: not yet, or none. */
  take(now: number): Values | null {
    if (this.flying || !this.pending.size || now < this.nextAt) return null;
    this.flying = Object.fromEntries([...this.pending].slice(0, MOST_VALUES));
    for (const name of Object.keys(this.flying)) this.pending.delete(name);
    this.nextAt = now + PACE_MS;
    return this.flying;
  }

  /** The board answered. `after`: it was too often, and the values wait for so many milliseconds. */
  answered(now: number, after: number | null = null): void {
    if (after !== null) {
      for (const [name, value] of Object.entries(this.flying ?? {}))
        if (!this.pending.has(name)) this.pending.set(name, value);
      this.nextAt = now + after;
    }
    this.flying = null;
  }

  /** When to call `take` next; null: after the answer, or never. */
  nextWake(): number | null {
    return this.flying || !this.pending.size ? null : this.nextAt;
  }

  forget(): void {
    this.pending.clear();
    this.flying = null;
    this.nextAt = 0;
  }
}
