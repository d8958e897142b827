// The sheet with the settings of a camera: the privacy switch, the camera's own controls, a snapshot at full size, and
// figures of the board. It draws what it is given, and reports what a person does.

import css from './sheet.css';
import { isShown, nameOf, valueText } from './controls.ts';
import type { Control, Values } from './controls.ts';
import { h, icon } from './dom.ts';
import type { Language } from './language.ts';
import type { Row } from './rows.ts';
import { boardWords } from './words/languages.ts';
import type { BoardWords } from './words/languages.ts';

export interface SheetActions {
  opened(): void;
  closed(): void;
  /** Camera and microphone stop, or may work again. */
  privacy(on: boolean): void;
  set(values: Values): void;
  defaults(): void;
  keep(): void;
  take(): void;
}

/** Everything that is drawn. */
export interface SheetSeen {
  mayControl: boolean;
  /** The camera has controls, and this viewer may set them. */
  hasControls: boolean;
  maySnapshot: boolean;
  /** Who stopped camera and microphone; null: they may work; undefined: not known yet. */
  stopped: string | null | undefined;
  /** Null: not known yet. */
  controls: Control[] | null;
  /** Values whose answer is on its way: the person's hand is newer than the board's news. */
  waits(name: string): boolean;
  /** Something was changed that the camera does not keep. */
  changed: boolean;
  taking: boolean;
  figures: Row[];
  /** What went wrong, or well. */
  told: string;
}

type Line = { root: HTMLElement; show(it: Control, mine: boolean): void };

export class Sheet {
  readonly dialog = h('dialog', { class: 'sheet', part: 'settings' });
  private readonly title = h('h2', { id: 'sheet-title', dir: 'auto' });
  private readonly shut = h('button', { class: 'shut', type: 'button' }, icon('close'));
  private readonly privacyTitle = h('h3', { dir: 'auto' });
  private readonly privacyText = h('p', { dir: 'auto' });
  private readonly privacyButton = h('button', { type: 'button' });
  private readonly privacyNo = h('button', { type: 'button', hidden: true });
  private readonly privacy = h('section', {},
    this.privacyTitle, this.privacyText, h('div', { class: 'acts' }, this.privacyButton, this.privacyNo));
  private readonly pictureTitle = h('h3', { dir: 'auto' });
  private readonly lines = h('div', { class: 'lines' });
  private readonly reading = h('p', { dir: 'auto' });
  private readonly passing = h('p', { class: 'small', dir: 'auto' });
  private readonly defaults = h('button', { type: 'button' });
  private readonly keep = h('button', { type: 'button' });
  private readonly acts = h('div', { class: 'acts' }, this.defaults, this.keep);
  private readonly picture = h('section', {}, this.pictureTitle, this.reading, this.lines, this.acts, this.passing);
  private readonly takeTitle = h('h3', { dir: 'auto' });
  private readonly take = h('button', { type: 'button' });
  private readonly snapshot = h('section', {}, this.takeTitle, h('div', { class: 'acts' }, this.take));
  private readonly figuresTitle = h('h3', { dir: 'auto' });
  private readonly list = h('dl');
  private readonly figures = h('section', {}, this.figuresTitle, this.list);
  private readonly told = h('p', { class: 'told', role: 'status', dir: 'auto' });
  private readonly drawnLines = new Map<string, Line>();
  private key = '';
  private sure = false;
  private seen: SheetSeen | null = null;

  constructor(root: ShadowRoot, private language: Language, private readonly actions: SheetActions) {
    const body = h('div', { class: 'body' }, this.privacy, this.picture, this.snapshot, this.figures);
    this.dialog.append(h('header', {}, this.title, this.shut), body, this.told);
    this.dialog.setAttribute('aria-labelledby', 'sheet-title');
    root.adoptedStyleSheets = [...root.adoptedStyleSheets, sheet()];
    root.append(this.dialog);
    this.shut.onclick = () => this.dialog.close();
    this.dialog.onclick = (event) => { if (event.target === this.dialog) this.dialog.close(); };
    this.dialog.onclose = () => {
      this.sure = false;
      actions.closed();
    };
    // A key that moves a slider does nothing to the viewer.
    this.dialog.addEventListener('keydown', (event) => event.stopPropagation());
    this.privacyButton.onclick = () => this.askPrivacy();
    this.privacyNo.onclick = () => this.decide(false);
    this.defaults.onclick = () => actions.defaults();
    this.keep.onclick = () => actions.keep();
    this.take.onclick = () => actions.take();
    this.speak(language);
  }

  get open(): boolean {
    return this.dialog.open;
  }

  toggle(): void {
    if (this.dialog.open) return this.dialog.close();
    this.dialog.showModal();
    this.actions.opened();
  }

  remove(): void {
    this.dialog.close();
    this.dialog.remove();
  }

  speak(language: Language): void {
    this.language = language;
    this.key = '';
    const { settings, close, privacy, picture, take, figures } = this.words;
    this.dialog.lang = language.locale;
    this.title.textContent = settings;
    this.shut.setAttribute('aria-label', close);
    this.shut.title = close;
    this.privacyTitle.textContent = privacy.title;
    this.pictureTitle.textContent = picture.title;
    this.defaults.textContent = picture.defaults;
    this.keep.textContent = picture.keep;
    this.passing.textContent = picture.passing;
    this.takeTitle.textContent = take.title;
    this.figuresTitle.textContent = figures.title;
    this.privacyNo.textContent = privacy.no;
    if (this.seen) this.draw(this.seen);
  }

  draw(it: SheetSeen): void {
    this.seen = it;
    const { picture, take } = this.words;
    this.drawPrivacy(it);
    this.picture.hidden = !it.hasControls;
    const shown = it.controls?.filter(isShown) ?? [];
    this.reading.textContent = it.controls === null ? picture.reading : shown.length ? '' : picture.none;
    this.reading.hidden = shown.length > 0;
    this.acts.hidden = this.passing.hidden = shown.length === 0;
    this.drawControls(shown, it);
    this.keep.setAttribute('aria-disabled', String(!it.changed));
    this.snapshot.hidden = !it.maySnapshot;
    this.take.textContent = it.taking ? take.taking : take.full;
    this.take.setAttribute('aria-disabled', String(it.taking));
    this.figures.hidden = it.figures.length === 0;
    this.list.replaceChildren(...it.figures.map(({ term, value, note }) => h(
      'div', {}, h('dt', { dir: 'auto' }, term), h('dd', { dir: 'auto' }, note ? `${value}, ${note}` : value)
    )));
    if (this.told.textContent !== it.told) this.told.textContent = it.told;
  }

  private get words(): BoardWords {
    return boardWords[this.language.tag];
  }

  private drawPrivacy({ mayControl, stopped }: SheetSeen): void {
    const { privacy } = this.words;
    this.privacy.hidden = stopped === undefined || (!mayControl && stopped === null);
    if (stopped === null) this.sure = false;
    this.privacyText.textContent = this.sure ? privacy.sure : stopped ?? privacy.off;
    this.privacyButton.hidden = !mayControl;
    this.privacyButton.textContent = this.sure ? privacy.yes : stopped ? privacy.lift : privacy.stop;
    this.privacyNo.hidden = !this.sure;
  }

  /** To stop needs no second thought. To allow does: others may count on it. */
  private askPrivacy(): void {
    if (this.sure) return this.decide(true);
    if (!this.seen?.stopped) return this.actions.privacy(true);
    this.sure = true;
    this.drawPrivacy(this.seen);
  }

  private decide(yes: boolean): void {
    this.sure = false;
    if (this.seen) this.drawPrivacy(this.seen);
    if (yes) this.actions.privacy(false);
    this.privacyButton.focus();
  }

  /** The lines stay the same while somebody drags; they are made anew for other controls only. */
  private drawControls(shown: Control[], { waits }: SheetSeen): void {
    const key = JSON.stringify(
      shown.map(({ name, type, min, max, step, items }) => [name, type, min, max, step, items])
    );
    if (key !== this.key) {
      this.key = key;
      this.drawnLines.clear();
      for (const it of shown) this.drawnLines.set(it.name, this.lineOf(it));
      this.lines.replaceChildren(...[...this.drawnLines.values()].map(({ root }) => root));
    }
    for (const it of shown) this.drawnLines.get(it.name)!.show(it, waits(it.name));
  }

  private lineOf(it: Control): Line {
    const name = nameOf(it.name, this.words);
    const foreign = name.foreign ? { lang: 'en' } : {};
    const id = `control-${it.name}`;
    const label = h('label', { for: id, dir: 'auto', ...foreign }, name.text);
    const output = h('output', { for: id, dir: 'auto' });
    const send = (value: number) => this.actions.set({ [it.name]: value });
    const line = (field: HTMLElement, show: Line['show'], ...more: HTMLElement[]): Line => {
      field.id = id;
      const root = h('div', { class: `line ${it.type}` }, label, ...more, field);
      return {
        root, show: (now, mine) => {
          root.classList.toggle('inactive', now.inactive);
          field.setAttribute('aria-description', now.inactive ? this.words.picture.automatic : '');
          root.title = now.inactive ? this.words.picture.automatic : '';
          if (!mine) show(now, mine);
        },
      };
    };
    if (it.type === 'button') {
      const button = h('button', { type: 'button', 'aria-label': name.text, ...foreign }, this.words.picture.do);
      button.onclick = () => send(1);
      return line(button, () => {});
    }
    if (it.type === 'boolean') {
      const box = h('input', { type: 'checkbox', role: 'switch' });
      box.onchange = () => send(Number(box.checked));
      return line(box, ({ value }) => { box.checked = value === 1; });
    }
    if (it.items.length) {
      const options = it.items.map((one) => h('option', { value: String(one.value), lang: 'en' }, one.name));
      const select = h('select', { dir: 'auto' }, ...options);
      select.onchange = () => send(Number(select.value));
      return line(select, ({ value }) => { select.value = String(value); });
    }
    const slider = h('input', { type: 'range', min: String(it.min), max: String(it.max), step: String(it.step) });
    const write = (value: number) => {
      output.textContent = valueText(it, value, this.language, this.words);
      slider.setAttribute('aria-valuetext', output.textContent);
    };
    slider.oninput = () => {
      write(Number(slider.value));
      send(Number(slider.value));
    };
    return line(slider, ({ value }) => {
      slider.value = String(value ?? it.default);
      write(value ?? it.default);
    }, output);
  }
}

let shared: CSSStyleSheet | undefined;
function sheet(): CSSStyleSheet {
  if (!shared) {
    shared = new CSSStyleSheet();
    shared.replaceSync(css);
  }
  return shared;
}
