// Reads and sets the controls of a camera by commands.

import type { Outcome } from './commands.ts';
import { Pace, controlsOf, defaultsOf, valuesOf } from './controls.ts';
import type { Control, Values } from './controls.ts';
import { Unusable } from './json.ts';
import type { Json, Refusal } from './results.ts';

type Ask = (name: string, args: Json) => Promise<Outcome>;
interface Hooks { changed(): void; refused(it: Refusal): void }

const MOST_PAGES = 8;
const MOST_VALUES = 32;
/** A mode decides which other controls count, and a driver needs a moment for it. */
const AGAIN_MS = 300;

export class Controls {
  /** Null: not read yet. */
  all: Control[] | null = null;
  private readonly pace = new Pace();
  /** What a person changed and the camera does not keep. */
  private readonly changed = new Set<string>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private again: ReturnType<typeof setTimeout> | undefined;
  private generation = 0;
  private reading = false;

  constructor(private readonly ask: Ask, private readonly hooks: Hooks) {}

  /** Something was changed that the camera does not keep. */
  get touched(): boolean {
    return this.changed.size > 0;
  }

  waits(name: string): boolean {
    return this.pace.waits(name);
  }

  find(name: string): Control | null {
    return this.all?.find((it) => it.name === name) ?? null;
  }

  /** Reads all controls. `quiet`: nobody asked for it, so a refusal is nobody's business. */
  async load(quiet = false): Promise<void> {
    if (this.reading) return;
    const { generation } = this;
    this.reading = true;
    const it = await this.pages();
    if (generation !== this.generation) return;
    this.reading = false;
    if (Array.isArray(it)) {
      // What is on its way is newer than what was read.
      this.all = it.map((one) =>
        (this.waits(one.name) ? { ...one, value: this.find(one.name)?.value ?? one.value } : one));
    } else if (it && !quiet) {
      this.all ??= [];
      this.hooks.refused(it);
    }
    this.hooks.changed();
  }

  /** A person changed values. */
  set(values: Values): void {
    for (const [name, value] of Object.entries(values)) {
      const it = this.find(name);
      if (!it || it.type === 'button') continue;
      it.value = value;
      this.changed.add(name);
    }
    this.pace.set(values);
    this.pump();
    this.hooks.changed();
  }

  defaults(): void {
    const values = defaultsOf(this.all ?? []);
    if (Object.keys(values).length) this.set(values);
  }

  /** Has the camera keep what was changed. Returns whether it does. */
  async keep(): Promise<boolean> {
    const { generation } = this;
    const names = [...this.changed].filter((name) => this.find(name)?.value != null);
    for (let at = 0; at < names.length; at += MOST_VALUES) {
      const some = names.slice(at, at + MOST_VALUES);
      const values = Object.fromEntries(some.map((name) => [name, this.find(name)!.value]));
      const it = await this.ask('controls.set', { values, save: true });
      if (generation !== this.generation) return false;
      if ('error' in it) {
        this.hooks.refused(it.error);
        return false;
      }
      for (const name of some) this.changed.delete(name);
    }
    this.hooks.changed();
    return names.length > 0;
  }

  /** Another board, or none. */
  forget(): void {
    this.generation += 1;
    this.reading = false;
    this.all = null;
    this.changed.clear();
    this.pace.forget();
    clearTimeout(this.timer);
    clearTimeout(this.again);
  }

  /** All controls; a refusal; or null, if an answer breaks the contract. */
  private async pages(): Promise<Control[] | Refusal | null> {
    const all: Control[] = [];
    try {
      for (let page = 0; page < MOST_PAGES; page++) {
        const it = await this.ask('controls.list', all.length ? { after: all[all.length - 1]!.name } : {});
        if ('error' in it) return it.error;
        const { controls, more } = controlsOf(it.ok);
        all.push(...controls);
        if (!more) break;
      }
    } catch (error) {
      if (!(error instanceof Unusable)) throw error;
      return null;
    }
    return all;
  }

  private pump(): void {
    clearTimeout(this.timer);
    const values = this.pace.take(performance.now());
    if (values) void this.send(values);
    const next = this.pace.nextWake();
    if (next !== null) this.timer = setTimeout(() => this.pump(), Math.max(0, next - performance.now()));
  }

  private async send(values: Values): Promise<void> {
    const { generation } = this;
    const it = await this.ask('controls.set', { values });
    if (generation !== this.generation) return;
    const slow = 'error' in it && it.error.name === 'rate_limited' ? it.error.retryAfterMs ?? 1000 : null;
    this.pace.answered(performance.now(), slow);
    if ('error' in it) {
      if (slow === null) {
        this.hooks.refused(it.error);
        this.readAgain(); // the page shows what the camera has
      }
    } else {
      this.took(it.ok);
      if (Object.keys(values).some((name) => this.find(name)?.type !== 'integer')) this.readAgain();
    }
    this.pump();
    this.hooks.changed();
  }

  private took(ok: Json): void {
    try {
      for (const [name, value] of Object.entries(valuesOf(ok))) {
        const it = this.find(name);
        if (it && !this.waits(name)) it.value = value;
      }
    } catch (error) {
      if (!(error instanceof Unusable)) throw error;
    }
  }

  private readAgain(): void {
    clearTimeout(this.again);
    this.again = setTimeout(() => void this.load(true), AGAIN_MS);
  }
}
