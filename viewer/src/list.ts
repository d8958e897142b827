// The list of cameras beside the pictures.

import { prepareCall } from './index.ts';
import type { Listing, Status } from './index.ts';
import { h, icon } from './dom.ts';
import { clean, count } from './texts.ts';

/** Rows on the screen at most; the others are found by typing. */
const ROWS = 100;
const FIND_FROM = 13;
const MANY = 30;

/** What the page itself sees of a camera that it shows. */
export interface Watched { state: string; stale: boolean; label: string }

export class CameraList {
  private readonly list = document.getElementById('devices')!;
  private readonly find = document.getElementById('find') as HTMLInputElement;
  private readonly more = document.getElementById('more')!;
  private placed = false;

  constructor(private readonly toggle: (device: string) => void, private readonly watched: (device: string) => Watched | null, changed: () => void) {
    this.find.addEventListener('input', changed);
  }

  /** Draws what is known; returns how many cameras there are. */
  draw(listing: Listing | null, chosen: string[]): number {
    const devices = new Map<string, Status | null>(listing?.devices ?? []);
    for (const device of chosen) if (!devices.has(device)) devices.set(device, null);
    const old = listing !== null && listing.broker !== 'up';
    const asked = this.find.value.trim().toLowerCase();
    const nameOf = (device: string) => listing?.names.get(device) ?? this.watched(device)?.label ?? device;
    const names = new Map([...devices.keys()].map((device) => [device, nameOf(device)]));
    const times = new Map<string, number>();
    for (const name of names.values()) times.set(name, (times.get(name) ?? 0) + 1);
    const order = new Intl.Collator(undefined, { numeric: true, sensitivity: 'base' });
    const wanted = [...devices].sort(([a], [b]) => order.compare(names.get(a)!, names.get(b)!) || (a < b ? -1 : 1)).filter(([device]) => !asked || device.toLowerCase().includes(asked) || names.get(device)!.toLowerCase().includes(asked));
    // Those that are shown come first where not all fit.
    const first = wanted.length > ROWS ? [...wanted.filter(([device]) => chosen.includes(device)), ...wanted.filter(([device]) => !chosen.includes(device))].slice(0, ROWS) : wanted;

    // Rows are kept, so that the keyboard stays where it is.
    const rows = new Map([...this.list.children].map((row) => [(row as HTMLElement).dataset['device']!, row as HTMLElement]));
    const shown = new Set(first.map(([device]) => device));
    for (const [device, row] of rows) if (!shown.has(device)) row.remove();
    first.forEach(([device, status], at) => {
      const row = rows.get(device) ?? this.row(device);
      if (this.list.children[at] !== row) this.list.insertBefore(row, this.list.children[at] ?? null);
      const name = names.get(device)!;
      this.fill(row, device, name, (times.get(name) ?? 0) > 1 && name !== device, status, old, chosen.includes(device));
    });
    const field = this.find.parentElement as HTMLElement;
    field.hidden = devices.size < FIND_FROM && !asked;
    field.toggleAttribute('data-many', devices.size > MANY || !!asked);
    // A strip begins with what is shown.
    const pressed = chosen[0] === undefined ? null : this.list.querySelector<HTMLElement>(`[data-device="${CSS.escape(chosen[0])}"]`);
    if (!this.placed && pressed && listing?.broker === 'up') {
      this.placed = true;
      this.list.scrollTo({ left: pressed.offsetLeft - this.list.offsetLeft, top: pressed.offsetTop - this.list.offsetTop - 60 });
    }
    const hidden = wanted.length - first.length + (listing?.left ?? 0);
    const text = hidden > 0 ? `${hidden.toLocaleString('en')}${(listing?.left ?? 0) >= 5000 ? ' or more' : ''} more are not shown. Type a part of a name to find one.` : wanted.length === 0 && asked ? 'No camera of that name.' : '';
    this.more.hidden = text === '';
    if (this.more.textContent !== text) this.more.textContent = text;
    return devices.size + (listing?.left ?? 0);
  }

  private row(device: string): HTMLElement {
    const button = h('button', { type: 'button' }, h('span', { class: 'face', 'aria-hidden': 'true' }, icon('camera')),
      h('span', { class: 'words' }, h('b'), ' ', h('small')), h('span', { class: 'who' }), h('span', { class: 'mark', 'aria-hidden': 'true' }, icon('check')));
    button.onclick = () => this.toggle(device);
    // Whoever points at a camera will watch it.
    button.onpointerenter = button.onpointerdown = button.onfocus = () => { if (button.getAttribute('aria-pressed') !== 'true') prepareCall(); };
    const row = h('li', {}, button);
    row.dataset['device'] = device;
    return row;
  }

  private fill(row: HTMLElement, device: string, name: string, alike: boolean, status: Status | null, old: boolean, pressed: boolean): void {
    const { is, text } = describe(status, old, this.watched(device));
    const button = row.firstElementChild as HTMLElement;
    row.dataset['is'] = is;
    button.setAttribute('aria-pressed', String(pressed));
    const bold = row.querySelector('b')!;
    const written = alike ? `${name} (${device})` : name;
    if (bold.textContent !== written) {
      bold.replaceChildren(h('bdi', {}, name), ...(alike ? [' ', h('bdi', {}, `(${device})`)] : []));
      button.title = name === device ? name : `${name} (${device})`;
    }
    const small = row.querySelector('small')!;
    if (small.textContent !== text) small.textContent = text;
    const who = row.querySelector<HTMLElement>('.who')!;
    const watching = status?.state === 'online' && !old && is !== 'unknown' ? status.viewers ?? 0 : 0;
    if (who.dataset['is'] === String(watching)) return;
    who.dataset['is'] = String(watching);
    who.title = watching ? `${count(watching)} watching` : '';
    who.replaceChildren(...(watching ? [icon('people'), count(watching), h('span', { class: 'spoken' }, ' watching')] : []));
  }
}

/** What is known of a camera, and how surely. Pure. */
export function describe(status: Status | null, old: boolean, watched: Watched | null): { is: 'online' | 'trouble' | 'offline' | 'unknown'; text: string } {
  // A picture that comes is the surest news of all; the broker may tell of a death only after its time.
  const seen = watched?.state === 'live' && !watched.stale;
  if (watched?.stale) return { is: 'unknown', text: status?.state === 'offline' ? offlineWords(status.reason) : 'Picture stopped' };
  if (watched?.state === 'reconnecting') return { is: 'unknown', text: 'Connection lost' };
  if (old) return seen ? { is: 'unknown', text: 'Live, but no broker' } : { is: 'unknown', text: !status ? 'Unknown' : status.state === 'online' ? 'Unknown, was online' : 'Unknown, was offline' };
  if (!status) return { is: 'unknown', text: 'Not heard of yet' };
  if (status.state === 'offline') return { is: 'offline', text: offlineWords(status.reason) };
  const { video } = status.media;
  return { is: video === 'ok' ? 'online' : 'trouble', text: { ok: 'Online', starting: 'Camera starting', stalled: 'Camera hangs', absent: 'No camera', privacy: 'Privacy is on', refused: 'Online' }[video] };
}

const offlineWords = (reason: string): string => (reason === 'shutdown' ? 'Offline: switched off' : reason === 'lost' || reason === '' ? 'Offline: connection lost' : `Offline: ${clean(reason, 40)}`);
