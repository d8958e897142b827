// The dialog with the cameras that this browser was paired with: what it may do there, forgetting one, adding one.

import { forgetDevice, invitationOf } from './index.ts';
import type { Paired, PairedDevice } from './index.ts';
import { h, icon } from './dom.ts';
import type { Language } from './language.ts';
import { placeOf } from './trust/place.ts';
import { pageWords } from './words/languages.ts';

export class Keyring {
  private readonly dialog = document.getElementById('keyring') as HTMLDialogElement;
  private readonly form = this.dialog.querySelector('form')!;
  private readonly list = document.getElementById('keyring-list')!;
  private readonly wrong = document.getElementById('keyring-wrong')!;
  private paired: Paired = { devices: [], obstacle: null };
  /** The place of the camera that may be forgotten, if the person confirms it. */
  private doubtful: string | null = null;

  constructor(private readonly language: () => Language, pair: (link: string) => void) {
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      const link = this.field.value.trim();
      if (!invitationOf(link)) {
        this.wrong.textContent = this.words.noLink;
        return this.field.focus();
      }
      this.dialog.close();
      pair(link);
    });
    document.getElementById('keyring-close')!.addEventListener('click', () => this.dialog.close());
    this.dialog.addEventListener('click', (event) => { if (event.target === this.dialog) this.dialog.close(); });
    this.dialog.addEventListener('close', () => { this.field.value = this.wrong.textContent = ''; });
  }

  open(): void {
    this.doubtful = null;
    this.draw(this.paired);
    this.dialog.showModal();
  }

  draw(paired: Paired): void {
    this.paired = paired;
    const { words } = this;
    const { devices, obstacle } = paired;
    document.getElementById('keyring-text')!.textContent = obstacle
      ? words.faults[obstacle].text
      : devices.length ? words.how : `${words.none} ${words.how}`;
    this.field.parentElement!.hidden = obstacle !== null;
    this.form.querySelector<HTMLElement>('[type=submit]')!.hidden = obstacle !== null;
    this.list.hidden = devices.length === 0;
    this.list.replaceChildren(...devices.map((it) => this.row(it)));
  }

  private row(board: PairedDevice): HTMLElement {
    const { words } = this;
    const language = this.language();
    const place = placeOf(board);
    const name = board.name || board.device;
    const when = [
      words.since(language.date(board.since)),
      ...(board.until === null ? [] : [words.until(language.date(board.until))]),
      words.self(board.self),
    ].join(', ');
    const button = (text: string, does: () => void, label = text) => {
      const it = h('button', { type: 'button', 'aria-label': label }, text);
      it.onclick = does;
      return it;
    };
    const doubt = (is: string | null) => {
      this.doubtful = is;
      this.draw(this.paired);
      this.list.querySelector<HTMLElement>(`[data-place="${CSS.escape(place)}"] button`)?.focus();
    };
    const sure = this.doubtful === place;
    const row = h('li', { class: sure ? 'sure' : '' },
      h('span', { class: 'face', 'aria-hidden': 'true' }, icon('key')),
      h('span', { class: 'words' },
        h('b', {}, h('bdi', {}, name), ...(name === board.device ? [] : [' ', h('bdi', {}, `(${board.device})`)])),
        h('small', {}, `${new URL(board.broker).host}: ${rightsText(board, language)}`), h('small', {}, when)),
      sure
        ? h('div', { class: 'doing', role: 'alert' }, h('p', {}, words.forgetSure),
          button(words.keep, () => doubt(null)), button(words.forget, () => void this.forget(board)))
        : h('div', { class: 'doing' }, button(words.forget, () => doubt(place), words.forgetThis(name))));
    row.dataset['place'] = place;
    return row;
  }

  private async forget(board: PairedDevice): Promise<void> {
    this.doubtful = null;
    await forgetDevice(board).catch(() => { this.wrong.textContent = this.words.notKept; });
  }

  private get words() {
    return pageWords[this.language().tag].pairing;
  }

  private get field(): HTMLInputElement {
    return this.form.elements.namedItem('link') as HTMLInputElement;
  }
}

/** What a browser may do, as an enumeration. */
export function rightsText({ rights }: PairedDevice, language: Language): string {
  const { pairing } = pageWords[language.tag];
  const known = rights.filter((it) => Object.hasOwn(pairing.rights, it)) as (keyof typeof pairing.rights)[];
  return known.length ? language.all(known.map((it) => pairing.rights[it])) : pairing.nothing;
}
