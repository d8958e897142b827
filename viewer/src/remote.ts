// What a viewer asks of a board: the privacy switch, the sheet with the camera's settings, the camera's own zoom, and
// the turn to talk (docs/reference/board-commands.md). Of a board without commands, only the zoom in the page and the
// button to talk are there.

import type { Outcome } from './commands.ts';
import { Controls } from './controlling.ts';
import { boardRows } from './figures.ts';
import type { Operation } from './keys.ts';
import type { Language } from './language.ts';
import { saveFile } from './operate.ts';
import type { Stopped } from './panel.ts';
import type { Phase } from './phase.ts';
import { PrivacyState, sentenceOf, switchOf } from './privacy.ts';
import type { Switch } from './privacy.ts';
import { refusedText } from './refused.ts';
import type { Json, Refusal } from './results.ts';
import type { Row } from './rows.ts';
import { Sheet } from './sheet.ts';
import { Talking } from './talking.ts';
import { button, label } from './view.ts';
import type { View } from './view.ts';
import type { Watch } from './watch.ts';
import { boardWords, componentWords } from './words/languages.ts';
import type { BoardWords } from './words/languages.ts';
import { axesOf } from './zoom.ts';
import { NO_AXES, Zooming } from './zooming.ts';

/** The viewer to which it belongs. */
export interface RemoteHost {
  readonly device: string;
  readonly language: Language;
  readonly shadowRoot: ShadowRoot | null;
  refresh(): void;
}

const FIGURES_MS = 2000;
/** The board's limit for a picture by the broker is low. A picture of this quality is half as large. */
const LESS_QUALITY = 60;

export class Remote {
  readonly controls: Controls;
  private readonly privacy = new PrivacyState();
  private readonly zooming: Zooming;
  private readonly talking: Talking;
  private readonly gear = button('gear', 'settings');
  private watch: Watch | null = null;
  private sheet: Sheet | null = null;
  private looked = ''; // the session in which the controls were read
  private asked = false; // about the switch, since the sheet was opened
  private sure = false;
  private taking = false;
  private rows: Row[] = [];
  /** Commands that this board does not have: what they do is not offered. */
  private readonly lacks = new Set<string>();
  private told = '';
  private polling: ReturnType<typeof setInterval> | undefined;

  constructor(private readonly host: RemoteHost, private readonly view: View) {
    this.controls = new Controls((name, args) => this.ask(name, args), {
      changed: () => this.draw(), refused: (it) => { if (it.name !== 'unknown_command') this.tell(it); },
    });
    this.gear.onclick = () => this.toggle();
    this.zooming = new Zooming(view, {
      axes: () => (this.may('control') ? axesOf(this.controls.all) : NO_AXES),
      set: (values) => { if (Object.keys(values).length) this.controls.set(values); },
    });
    this.zooming.speak(host.language);
    this.talking = this.makeTalking();
  }

  private makeTalking(): Talking {
    const it = this;
    return new Talking({
      get language() { return it.host.language; },
      get shadowRoot() { return it.host.shadowRoot; },
      get ready() { return it.ready; },
      get mayTake() { return it.may('control'); },
      ask: (name, args) => it.ask(name, args),
    }, this.view);
  }

  /** The board takes commands. */
  get ready(): boolean {
    return this.watch?.info?.features.includes('commands') ?? false;
  }

  /** Whether this viewer has a right. */
  may(right: string): boolean {
    return this.ready && this.watch!.rights.includes(right);
  }

  /** Something changed. Returns who stopped camera and microphone, if they are stopped and the board told it. */
  update(watch: Watch | null, phase: Phase | { at: 'paused' }): Stopped | null {
    if (watch !== this.watch) this.forget(watch);
    this.build();
    this.talking.update(watch, watch?.info?.talk === true && watch.rights.includes('talk'));
    this.zooming.draw();
    if (!watch || !this.ready) return null;
    this.look(watch, phase);
    const { video, audio } = watch.call.media;
    const refused = phase.at === 'error' && phase.name === 'privacy';
    const hidden = refused
      || ((phase.at === 'live' || phase.at === 'step') && (video === 'privacy' || audio === 'privacy'));
    if (!hidden) this.sure = false;
    if (this.privacy.shouldAsk(hidden, performance.now())) void this.askSwitch();
    this.draw();
    return this.stopped;
  }

  speak(): void {
    this.sheet?.speak(this.host.language);
    label(this.gear, 'settings', this.words.settings, 'c');
    this.told = '';
    this.zooming.speak(this.host.language);
    this.talking.speak();
  }

  /** Does what a button or a key asks. Returns false if it has no meaning here. */
  operate(operation: Operation): boolean {
    if (operation !== 'settings') return this.zooming.operate(operation);
    this.toggle();
    return this.sheet !== null;
  }

  /** A double click on the picture. Returns false if there is nothing to reset. */
  reset(): boolean {
    return this.zooming.changed && this.zooming.operate('whole');
  }

  private toggle(): void {
    this.sheet?.toggle();
  }

  /** The answer to the panel about privacy. The first "yes" is asked again. */
  lift(yes: boolean): void {
    const { known } = this.privacy;
    const sure = this.sure;
    this.sure = yes && !sure;
    if (yes && sure && known) void this.setPrivacy(false);
    this.host.refresh();
  }

  /** The viewer left the page. */
  stop(): void {
    this.forget(null);
    this.build();
    this.talking.update(null, false);
  }

  async ask(name: string, args: Json = {}): Promise<Outcome> {
    const { watch } = this;
    const it = await watch!.ask(name, args);
    if (watch === this.watch && 'error' in it && it.error.name === 'unknown_command') this.lacks.add(name);
    return it;
  }

  /** Says what went wrong: in the sheet, or over the picture. */
  tell(it: Refusal): void {
    this.say(refusedText(it, this.words));
  }

  private say(text: string): void {
    if (this.sheet?.open) {
      this.told = text;
      this.draw();
    } else {
      this.view.say(text);
    }
  }

  private get words(): BoardWords {
    return boardWords[this.host.language.tag];
  }

  private get sentence(): string | null {
    const { known } = this.privacy;
    return known?.on ? sentenceOf(known, this.words, this.host.language, Date.now()) : null;
  }

  private get stopped(): Stopped | null {
    const { sentence } = this;
    if (sentence === null) return null;
    const { privacy } = this.words;
    const mayLift = this.may('control');
    if (this.sure && mayLift) return { text: privacy.sure, lift: privacy.yes, no: privacy.no };
    return { text: sentence, lift: mayLift ? privacy.lift : null, no: null };
  }

  /** Finds out once in a session whether the camera turns and zooms by itself. */
  private look(watch: Watch, phase: Phase | { at: 'paused' }): void {
    const session = watch.call.session ?? '';
    if (phase.at !== 'live' || session === this.looked) return;
    if (!this.may('control') || this.lacks.has('controls.list')) return;
    this.looked = session;
    if (!this.controls.all) void this.controls.load(true);
  }

  private forget(watch: Watch | null): void {
    this.watch = watch;
    this.privacy.forget();
    this.controls.forget();
    this.rows = [];
    this.told = '';
    this.asked = this.sure = false;
    this.looked = '';
    this.zooming.forget();
    this.lacks.clear();
  }

  /** Button and sheet are in the page only if the board takes commands. */
  private build(): void {
    if (this.ready === (this.sheet !== null)) return;
    if (!this.ready) {
      this.sheet?.remove();
      this.sheet = null;
      this.gear.remove();
      return;
    }
    this.view.chart.before(this.gear);
    this.sheet = new Sheet(this.host.shadowRoot!, this.host.language, {
      opened: () => this.opened(),
      closed: () => clearInterval(this.polling),
      privacy: (on) => void this.setPrivacy(on),
      set: (values) => this.controls.set(values),
      defaults: () => this.controls.defaults(),
      keep: () => void this.controls.keep().then((kept) => { if (kept) this.say(this.words.picture.kept); }),
      take: () => void this.take(),
    });
    this.speak();
  }

  private opened(): void {
    this.told = '';
    this.asked = false;
    void this.askSwitch();
    if (this.may('control')) void this.controls.load();
    void this.askFigures();
    this.polling = setInterval(() => {
      // Without a session, the board allows few commands.
      if (this.watch?.call.session != null) void this.askFigures();
    }, FIGURES_MS);
    this.draw();
  }

  private draw(): void {
    this.zooming.draw();
    if (!this.sheet?.open) return;
    const { controls } = this;
    this.sheet.draw({
      mayControl: this.may('control'), hasControls: this.may('control') && !this.lacks.has('controls.list'),
      maySnapshot: this.may('snapshot') && !this.lacks.has('snapshot'),
      stopped: this.sentence ?? (this.asked ? null : undefined), controls: controls.all,
      waits: (name) => controls.waits(name), changed: controls.touched, taking: this.taking, figures: this.rows,
      told: this.told,
    });
  }

  /** The fields of a result; null: it was refused, or is of a board that was left meanwhile. */
  private async result(name: string, args: Json, quiet = false): Promise<Json | null> {
    const { watch } = this;
    const it = await this.ask(name, args);
    if (watch !== this.watch) return null;
    if ('ok' in it) return it.ok;
    if (!quiet) this.tell(it.error);
    return null;
  }

  private async askSwitch(): Promise<void> {
    this.takeSwitch(await this.result('cameras', {}, true));
  }

  private takeSwitch(ok: Json | null): Switch | null {
    let it: Switch | null = null;
    try {
      it = ok && switchOf(ok['privacy'], Date.now());
    } catch {
      // An answer that breaks the contract is no answer.
    }
    this.privacy.answered(it, performance.now());
    this.asked = this.asked || it !== null;
    this.host.refresh();
    return it;
  }

  private async setPrivacy(on: boolean): Promise<void> {
    const { known } = this.privacy;
    if (!on && !known) return;
    const { watch } = this;
    const it = await this.ask('privacy.set', on ? { on } : { on, change: known!.change });
    if (watch !== this.watch) return;
    if ('ok' in it) return void this.takeSwitch(it.ok);
    if (it.error.name === 'conflict') this.say(this.words.privacy.changed);
    else this.tell(it.error);
    await this.askSwitch();
  }

  private async askFigures(): Promise<void> {
    const ok = await this.result('stats', {}, true);
    if (!ok) return;
    this.rows = boardRows(ok, this.host.language, this.words, componentWords[this.host.language.tag]);
    this.draw();
  }

  private async take(): Promise<void> {
    if (this.taking) return;
    this.taking = true;
    this.told = '';
    this.draw();
    let it = await this.ask('snapshot');
    if ('error' in it && it.error.name === 'too_large') it = await this.ask('snapshot', { quality: LESS_QUALITY });
    this.taking = false;
    if ('error' in it) return this.tell(it.error);
    saveFile(this.host.device, new Blob([it.file!], { type: 'image/jpeg' }), 'jpg');
    const [width, height] = [Number(it.ok['width']), Number(it.ok['height'])];
    this.say(this.words.take.saved(`${width} × ${height}`));
  }
}
