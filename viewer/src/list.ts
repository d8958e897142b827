// The list of cameras next to the pictures.

import { prepareCall } from './index.ts';
import type { Listing, Locked, PairedDevice, Status } from './index.ts';
import { h, icon } from './dom.ts';
import type { Language } from './language.ts';
import { clean } from './texts.ts';
import { placeOf } from './trust/place.ts';
import { pageWords } from './words/languages.ts';
import type { PageWords } from './words/languages.ts';

/** How many rows are shown at most; the user finds others by typing. */
const ROWS = 100;
const FIND_FROM = 13;
const MANY = 30;
/** A device may report any number of viewers; a row shows `99+` at most. */
const MOST_WATCHING = 99;

/** What the page knows of a camera that it shows. */
export interface Watched { state: string; stale: boolean; label: string }

/** The cameras that this browser was paired with: at the broker of the page, and at others. */
export interface Places { here: PairedDevice[]; elsewhere: PairedDevice[] }

export class CameraList {
  private readonly list = document.getElementById('devices')!;
  private readonly find = document.getElementById('find') as HTMLInputElement;
  private readonly more = document.getElementById('more')!;
  private placed = false;

  constructor(private readonly toggle: (device: string) => void, private readonly watched: (
    device: string
  ) => Watched | null,
    private readonly language: () => Language, changed: () => void,
    private readonly change: (board: PairedDevice) => void) {
    this.find.addEventListener('input', changed);
  }

  /** Draws the list and returns how many cameras there are. */
  draw(listing: Listing | null, chosen: string[], { here, elsewhere }: Places): number {
    const language = this.language();
    const words = pageWords[language.tag].list;
    const devices = new Map<string, Status | null>(listing?.devices ?? []);
    const silent = [...listing?.locked.keys() ?? [], ...here.map(({ device }) => device), ...chosen];
    for (const device of silent) if (!devices.has(device)) devices.set(device, null);
    const kept = new Map(here.map(({ device, name }) => [device, name]));
    const old = listing !== null && listing.broker !== 'up';
    const asked = this.find.value.trim().toLowerCase();
    const nameOf = (device: string) => listing?.names.get(device)
      ?? (kept.get(device) || (this.watched(device)?.label ?? device));
    const names = new Map([...devices.keys()].map((device) => [device, nameOf(device)]));
    const times = new Map<string, number>();
    for (const name of names.values()) times.set(name, (times.get(name) ?? 0) + 1);
    const order = new Intl.Collator(language.locale, { numeric: true, sensitivity: 'base' });
    const wanted = [...devices].sort(
      ([a], [b]) => order.compare(names.get(a)!, names.get(b)!) || (a < b ? -1 : 1)
    ).filter(([device]) =>
      !asked || device.toLowerCase().includes(asked) || names.get(device)!.toLowerCase().includes(asked));
    // If not all fit, the cameras being shown come first.
    const first = wanted.length > ROWS
      ? [
        ...wanted.filter(([device]) => chosen.includes(device)),
        ...wanted.filter(([device]) => !chosen.includes(device)),
      ].slice(0, ROWS)
      : wanted;

    // Rows are reused, so that keyboard focus stays.
    const rows = new Map([...this.list.children].map(
      (row) => [(row as HTMLElement).dataset['device']!, row as HTMLElement]
    ));
    const others = elsewhere.filter(({ device, name }) =>
      !asked || device.toLowerCase().includes(asked) || name.toLowerCase().includes(asked)).slice(0, ROWS);
    const shown = new Set([...first.map(([device]) => device), ...others.map(placeOf)]);
    for (const [device, row] of rows) if (!shown.has(device)) row.remove();
    first.forEach(([device, status], at) => {
      const row = rows.get(device) ?? this.row(device, () => this.toggle(device));
      this.place(row, at);
      const name = names.get(device)!;
      this.fill(row, device, name, (times.get(name) ?? 0) > 1 && name !== device, status, old, chosen.includes(device),
        listing?.locked.get(device) ?? null);
    });
    others.forEach((board, at) => {
      const key = placeOf(board);
      const row = rows.get(key) ?? this.row(key, () => this.change(board));
      this.place(row, first.length + at);
      this.label(row, board.device, board.name || board.device, false);
      row.dataset['is'] = 'unknown';
      row.firstElementChild!.setAttribute('aria-pressed', 'false');
      row.querySelector('small')!.textContent = words.at(new URL(board.broker).host);
    });
    const field = this.find.parentElement as HTMLElement;
    field.hidden = devices.size < FIND_FROM && !asked;
    field.toggleAttribute('data-many', devices.size > MANY || !!asked);
    // A horizontal list scrolls to the camera that is shown.
    const pressed = chosen[0] === undefined
      ? null
      : this.list.querySelector<HTMLElement>(`[data-device="${CSS.escape(chosen[0])}"]`);
    if (!this.placed && pressed && listing?.broker === 'up') {
      this.placed = true;
      const [row, list] = [pressed.getBoundingClientRect(), this.list.getBoundingClientRect()];
      const fromRight = getComputedStyle(this.list).direction === 'rtl';
      this.list.scrollBy({
        left: fromRight ? row.right - list.right : row.left - list.left, top: row.top - list.top - 60,
      });
    }
    const hidden = wanted.length - first.length + (listing?.left ?? 0);
    // Above this, the page does not count, so the number is a minimum.
    const atLeast = (listing?.left ?? 0) >= 5000 ? '+' : '';
    const hiddenCount = { ...language.count(hidden), text: `${language.number(hidden)}${atLeast}` };
    const text = hidden > 0 ? words.hidden(hiddenCount) : wanted.length === 0 && asked ? words.noneFound : '';
    this.more.hidden = text === '';
    if (this.more.textContent !== text) this.more.textContent = text;
    return devices.size + elsewhere.length + (listing?.left ?? 0);
  }

  private place(row: HTMLElement, at: number): void {
    if (this.list.children[at] !== row) this.list.insertBefore(row, this.list.children[at] ?? null);
  }

  private row(key: string, click: () => void): HTMLElement {
    const button = h('button', { type: 'button' }, h('span', { class: 'face', 'aria-hidden': 'true' }, icon('camera')),
      h('span', { class: 'words' }, h('b'), ' ', h('small')), h('span', { class: 'who' }),
      h('span', { class: 'mark', 'aria-hidden': 'true' }, icon('check')));
    button.onclick = click;
    // Pointing at a camera usually means watching it next.
    button.onpointerenter = button.onpointerdown = button.onfocus = () => {
      if (button.getAttribute('aria-pressed') !== 'true') prepareCall();
    };
    const row = h('li', {}, button);
    row.dataset['device'] = key;
    return row;
  }

  private fill(
    row: HTMLElement, device: string, name: string, alike: boolean, status: Status | null, old: boolean,
    pressed: boolean, lock: Locked | null
  ): void {
    const language = this.language();
    const { list: words } = pageWords[language.tag];
    const { is, text } = describe(status, old, this.watched(device), words, lock);
    const button = row.firstElementChild as HTMLElement;
    row.dataset['is'] = is;
    button.setAttribute('aria-pressed', String(pressed));
    this.label(row, device, name, alike);
    const small = row.querySelector('small')!;
    if (small.textContent !== text) small.textContent = text;
    const who = row.querySelector<HTMLElement>('.who')!;
    const watching = status?.state === 'online' && !old && is !== 'unknown' ? status.viewers ?? 0 : 0;
    const viewers = language.count(watching, MOST_WATCHING);
    const said = watching ? words.watching(viewers) : '';
    if (who.title === said) return;
    who.title = said;
    who.replaceChildren(
      ...(watching
        ? [icon('people'), h('span', { 'aria-hidden': 'true' }, viewers.text), h('span', { class: 'spoken' }, said)]
        : [])
    );
  }

  private label(row: HTMLElement, device: string, name: string, alike: boolean): void {
    const bold = row.querySelector('b')!;
    const written = alike ? `${name} (${device})` : name;
    if (bold.textContent === written) return;
    bold.replaceChildren(h('bdi', {}, name), ...(alike ? [' ', h('bdi', {}, `(${device})`)] : []));
    row.querySelector('button')!.title = name === device ? name : `${name} (${device})`;
  }
}

type ListWords = PageWords['list'];

/** The known state of a camera, and how certain it is. Pure. */
export function describe(
  status: Status | null, old: boolean, watched: Watched | null, words: ListWords, lock: Locked | null = null
): { is: 'online' | 'trouble' | 'offline' | 'unknown'; text: string } {
  const unknown = (text: string) => ({ is: 'unknown', text }) as const;
  // A picture that arrives is the most certain sign. The broker may report that a device is gone only after a delay.
  if (watched?.stale)
    return unknown(status?.state === 'offline' ? offlineText(status.reason, words) : words.pictureStopped);
  if (watched?.state === 'reconnecting') return unknown(words.connectionLost);
  if (old && watched?.state === 'live') return unknown(words.liveNoBroker);
  if (lock && watched?.state !== 'live') return unknown(words[lock]);
  if (old) return unknown(!status ? words.unknown : status.state === 'online' ? words.wasOnline : words.wasOffline);
  if (!status) return unknown(words.unheard);
  if (status.state === 'offline') return { is: 'offline', text: offlineText(status.reason, words) };
  const { video } = status.media;
  return {
    is: video === 'ok' ? 'online' : 'trouble',
    text: video === 'ok' || video === 'refused' ? words.online : words[video],
  };
}

const offlineText = (reason: string, words: ListWords): string =>
  (reason === 'shutdown'
    ? words.switchedOff
    : reason === 'lost' || reason === '' ? words.offlineLost : words.offline(clean(reason, 40)));
