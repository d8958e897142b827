// The page: the list of cameras, and the pictures of the chosen ones.

import { Activity } from './activity.ts';
import { watchDevices, watchPaired } from './index.ts';
import type { FanlightViewer, Listing, Paired, PairedDevice } from './index.ts';
import { WrongAddress, addressFault, brokerUrl, sameBroker } from './address.ts';
import { ConnectDialog } from './connect.ts';
import type { Question, Typed } from './connect.ts';
import { h, icon } from './dom.ts';
import { gridOf } from './grid.ts';
import { Keyring, rightsText } from './keyring.ts';
import { followLanguage, languageAmong, langOf } from './language.ts';
import type { Language } from './language.ts';
import { CameraList } from './list.ts';
import type { Places } from './list.ts';
import { Logins } from './logins.ts';
import { PairDialog } from './pair.ts';
import { configOf, settingsOf, settingsTyped } from './settings.ts';
import type { Config, Note, Settings } from './settings.ts';
import { placeOf } from './trust/place.ts';
import { addressWords, pageWords } from './words/languages.ts';
import type { PageWords } from './words/languages.ts';

// The part of the address after `#` may have the secret of a pairing. It leaves the address bar at once.
const takeInvitation = (): string | null => {
  const { hash } = location;
  if (!hash.startsWith('#p=')) return null;
  history.replaceState(null, '', location.pathname + location.search);
  return hash;
};
const invited = takeInvitation();

const find = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;
const stage = find('stage');
const hint = find('hint');
const chip = find('change');
const viewers = new Map<string, FanlightViewer>();
const GAP = 10;
const LOOK_MS = 3000;
const MOST_SHOWN = 64;

const storage = (name: 'sessionStorage' | 'localStorage'): Storage | null => {
  try {
    return globalThis[name];
  } catch {
    return null; // switched off
  }
};
const logins = new Logins(storage('sessionStorage'), storage('localStorage'), location.href);

let own: Settings = { config: {}, from: null, notes: [] };
let config: Config = {};
let listing: Listing | null = null;
let paired: Paired = { devices: [], obstacle: null };
let wrong: WrongAddress | null = null;
let stop: (() => void) | null = null;
let looking: ReturnType<typeof setInterval> | undefined;

let language: Language = languageAmong([]);
let direction = '';
const words = (): PageWords => pageWords[language.tag];

/** Shows the page in the language of `<html lang>`, else in one of the browser's. Sets `lang` and `dir`. */
function speak(): void {
  const html = document.documentElement;
  language = languageAmong([langOf(html), ...navigator.languages]);
  if (html.lang !== language.locale) html.lang = language.locale;
  // A direction that the page's author set is kept.
  if (html.dir === direction) html.dir = direction = words().direction;
  for (const it of document.querySelectorAll<HTMLElement>('[data-words]')) it.textContent = fixed(it.dataset['words']!);
  for (const it of document.querySelectorAll<HTMLInputElement>('[data-placeholder]'))
    it.placeholder = fixed(it.dataset['placeholder']!);
}

const fixed = (key: string): string => words().fixed[key as keyof PageWords['fixed']];

/** Reads `config.json`, which lies next to the page. Without it, the address or the dialog gives the settings. */
async function file(): Promise<{ config: Config; problems: Note[] }> {
  try {
    const answer = await fetch('./config.json', { cache: 'no-store' });
    if (answer.ok) return configOf(await answer.text());
    return {
      config: {},
      problems: answer.status === 404 ? [] : [({ config: it }) => it.unreadable(it.http(String(answer.status)))],
    };
  } catch {
    return { config: {}, problems: [({ config: it }) => it.unreadable(it.noServer)] };
  }
}

function start(): void {
  stop?.();
  stop = null;
  for (const one of viewers.values()) one.remove();
  viewers.clear();
  listing = null;
  wrong = null;
  const { broker } = config;
  if (broker) {
    try {
      brokerUrl(broker, location.href);
      stop = watchDevices(broker, options(), (it) => {
        listing = it;
        lookForMove(it.broker === 'down' || it.broker === 'refused');
        draw();
      });
      for (const device of (config.device ?? '').split(',').map((it) => it.trim()).filter(Boolean).slice(0, MOST_SHOWN))
        show(device);
    } catch (error) {
      if (!(error instanceof WrongAddress)) throw error;
      wrong = error;
    }
  }
  draw();
  if ((!broker && !invited) || wrong) ask('address');
}

const options = () => ({
  ...(config.root ? { root: config.root } : {}), ...(config.user ? { user: config.user } : {}),
  ...(config.password ? { password: config.password } : {}), ...(config.keys ? { keys: true } : {}),
});

/** A broker that cannot be reached may have moved. The file then has its new address. */
function lookForMove(gone: boolean): void {
  if (!gone) {
    if (listing?.broker !== 'up') return; // the first attempt
    clearInterval(looking);
    looking = undefined;
    return;
  }
  looking ??= setInterval(() => void file().then((now) => {
    const moved = now.config.broker;
    if (moved && moved !== config.broker && own.config.broker === config.broker) location.reload();
  }), LOOK_MS);
}

function show(device: string): void {
  if (viewers.has(device)) return;
  const viewer = document.createElement('fanlight-viewer');
  for (const key of ['broker', 'root', 'user', 'viewer', 'mode'] as const)
    if (config[key]) viewer.setAttribute(key, config[key]!);
  if (config.password) viewer.password = config.password;
  viewer.keys = config.keys ?? false;
  viewer.device = device;
  viewer.controls = true;
  viewer.muted = viewers.size > 0; // sound of one camera at a time
  viewer.stats = new URLSearchParams(location.search).has('stats');
  viewer.addEventListener('fanlight-state', () => draw());
  viewer.addEventListener('fanlight-event', ({ detail }) => activity.hear(detail));
  viewers.set(device, viewer);
  stage.append(viewer);
}

function toggle(device: string): void {
  if (viewers.has(device)) {
    viewers.get(device)?.remove();
    viewers.delete(device);
  } else if (viewers.size < MOST_SHOWN) {
    show(device);
  }
  const address = new URL(location.href);
  if (viewers.size) address.searchParams.set('device', [...viewers.keys()].join(','));
  else address.searchParams.delete('device');
  history.replaceState(null, '', address);
  draw();
}

const cameras = new CameraList(
  toggle, (device) => viewers.get(device) ?? null, () => language, () => draw(), (board) => visit(board)
);

const activity = new Activity(() => language, viewers);

/** The paired cameras at the broker of the page, and those at others. */
function places(): Places {
  const at = (it: PairedDevice) => !!config.broker && sameBroker(it.broker, config.broker, location.href)
    && it.root === (config.root || 'fanlight/v1');
  return { here: paired.devices.filter(at), elsewhere: paired.devices.filter((it) => !at(it)) };
}

/** Shows a paired camera, also if that changes the broker. */
function visit(board: PairedDevice): void {
  if (places().here.some(({ device }) => device === board.device)) {
    if (!viewers.has(board.device)) toggle(board.device);
    return;
  }
  const { broker, root, device } = board;
  config = settingsTyped(config, { broker, root, device, ...loginFor(broker) }, location.href);
  if (own.from === null) logins.keepBroker(broker, root, true);
  const address = new URL(location.href);
  address.searchParams.delete('device'); // it belongs to the broker before
  history.replaceState(null, '', address);
  start();
}

/** The login for a broker: typed before, or of the configuration. */
function loginFor(broker: string): { user: string; password: string } | null {
  const kept = logins.get(broker);
  if (kept) return kept;
  const known = [config, own.config].find((it) => it.broker && sameBroker(it.broker, broker, location.href));
  return known?.user ? { user: known.user, password: known.password ?? '' } : null;
}

function draw(): void {
  const state = !config.broker || wrong ? 'none' : listing?.broker ?? 'connecting';
  const { broker, hint: hints, open, change, changeFrom, pairing: pairingWords } = words();
  chip.title = change;
  find('keys').title = pairingWords.manage;
  find('keys').setAttribute('aria-label', pairingWords.manage);
  if (chip.textContent !== broker[state]) {
    chip.textContent = broker[state];
    chip.setAttribute('aria-label', changeFrom(broker[state]));
    chip.dataset['is'] = state;
    find('said').textContent = broker[state];
  }
  const all = cameras.draw(listing, [...viewers.keys()], places());
  find('count').textContent = all ? language.number(all) : '';
  document.body.classList.toggle('empty', all === 0);
  // A list with only the camera being shown would waste space.
  document.body.classList.toggle('solo', all === 1 && viewers.size === 1);

  const trouble = state === 'none' ? null : listing?.trouble ?? null;
  const alone = viewers.size === 1 ? [...viewers.values()][0]! : null;
  for (const it of viewers.values()) {
    const asks = it === alone ? ask : null;
    if (it.askFor !== asks) it.askFor = asks;
  }
  // A single picture shows trouble in its own panel. For several, one notice shows it.
  const inPanel = alone !== null && alone.state !== 'live' && alone.state !== 'reconnecting';
  drawNotices(trouble && viewers.size > 0 && !inPanel ? trouble : null);
  activity.draw();

  hint.hidden = viewers.size > 0;
  stage.hidden = viewers.size === 0;
  const { title, text } = wrong ? { title: hints.wrong, text: addressFault(wrong, addressWords[language.tag]) }
    : state === 'none'
      ? (all ? hints.choose : hints.noBroker)
      : trouble ?? (all ? hints.choose : state === 'up' ? hints.empty : { title: hints.looking, text: '' });
  find('hint-title').textContent = title;
  find('hint-text').textContent = text;
  const look = find<HTMLAnchorElement>('hint-look');
  look.hidden = !trouble?.look;
  if (trouble?.look) Object.assign(look, { href: trouble.look, textContent: open(trouble.look) });
  fillDoing(
    hint.querySelector('.doing')!,
    state === 'none' ? ['address'] : trouble ? (state === 'refused' ? ['login', 'address'] : ['address']) : []
  );
  arrange();
}

/** The buttons that help. They are replaced only when they change. */
function fillDoing(place: Element, which: Question[]): void {
  const { logIn, changeAddress, connect: first } = words();
  const key = `${language.tag} ${which.join(' ')}`;
  if ((place as HTMLElement).dataset['key'] === key) return;
  (place as HTMLElement).dataset['key'] = key;
  place.replaceChildren(...which.map((what) => {
    const button = h(
      'button', { type: 'button', class: what === 'login' || which.length === 1 ? 'main' : '' },
      what === 'login' ? logIn : config.broker ? changeAddress : first
    );
    button.onclick = () => ask(what);
    return button;
  }));
}

const read = new Set<Note>(); // notices that were closed
const good = new Set<Note>(); // notices that something worked
let fileNotes: Note[] = [];
function drawNotices(trouble: Listing['trouble']): void {
  const notices = find('notices');
  const notes = fileNotes.filter((it) => !read.has(it));
  const { close: closeText, open } = words();
  const key = JSON.stringify([language.tag, notes.map((it) => it(words())), trouble, listing?.broker]);
  if (notices.dataset['key'] === key) return;
  notices.dataset['key'] = key;
  notices.replaceChildren();
  for (const note of notes) {
    const close = h('button', { type: 'button', 'aria-label': closeText, class: 'close' }, icon('close'));
    close.onclick = () => {
      read.add(note);
      draw();
    };
    notices.append(h(
      'div', { class: 'notice', role: 'alert' }, icon(good.has(note) ? 'check' : 'warning'),
      h('p', { dir: 'auto' }, note(words())), close
    ));
  }
  if (trouble) {
    const doing = h('div', { class: 'doing' });
    fillDoing(doing, listing?.broker === 'refused' ? ['login', 'address'] : ['address']);
    const link = trouble.look
      ? h('a', { href: trouble.look, target: '_blank', rel: 'noopener noreferrer' }, open(trouble.look))
      : null;
    notices.append(h(
      'div', { class: 'notice bad', role: 'alert' }, icon('offline'),
      h('p', { dir: 'auto' }, h('b', {}, trouble.title), ' ', trouble.text, ' ', link), doing
    ));
  }
}

/** Arranges the pictures on the stage, as large as possible. */
function arrange(): void {
  const { width, height } = stage.getBoundingClientRect();
  if (!viewers.size || !width || !height) return;
  const grid = gridOf(viewers.size, width, height, GAP);
  stage.style.setProperty('--tracks', String(grid.tracks));
  stage.style.setProperty('--row', grid.rowHeight === null ? 'minmax(0, 1fr)' : `${grid.rowHeight}px`);
  stage.dataset['count'] = String(viewers.size);
  [...viewers.values()].forEach((it, at) => {
    it.style.gridColumn = `span ${grid.spans[at]!}`;
  });
}
new ResizeObserver(arrange).observe(stage);

function ask(what: Question): void {
  const login = config.broker ? logins.get(config.broker) : null;
  dialog.ask(what, {
    config, remembered: login?.remembered ?? false,
    wrong: wrong
      ? addressFault(wrong, addressWords[language.tag])
      : config.broker ? '' : fileNotes.map((it) => it(words())).join(' '),
    fromAddress: own.from === 'address' && config.broker === own.config.broker,
  });
}

function connect(typed: Typed): void {
  config = settingsTyped(config, typed, location.href);
  if (config.broker) {
    logins.keep(config.broker, config.user ?? '', config.password ?? '', typed.remember);
    if (own.from === null) logins.keepBroker(config.broker, config.root ?? '', typed.remember);
  }
  start();
}
const pairing = new PairDialog({
  language: () => language, login: loginFor,
  keepLogin: (broker, user, password, remember) => logins.keep(broker, user, password, remember),
  paired: (board) => {
    const note: Note = (it) => it.pairing.done(board.name || board.device, rightsText(board, language));
    good.add(note);
    fileNotes.push(note);
    if (!paired.devices.some((it) => placeOf(it) === placeOf(board))) paired.devices.unshift(board);
    visit(board);
    draw();
  },
});
const dialog = new ConnectDialog(location.href, () => language, connect, (link) => pairing.ask(link));
const keyring = new Keyring(() => language, (link) => pairing.ask(link));
chip.addEventListener('click', () => ask('address'));
find('keys').append(icon('key'));
find('keys').addEventListener('click', () => keyring.open());
addEventListener('hashchange', () => {
  const link = takeInvitation();
  if (!link) return;
  dialog.close();
  pairing.ask(link);
});

const found = await file();
own = settingsOf(found.config, location.search, location.href);
fileNotes = [...found.problems, ...own.notes];
config = { ...own.config };
if (config.lang) document.documentElement.lang = config.lang;
speak();
followLanguage(document.documentElement, () => {
  speak();
  dialog.draw();
  draw();
});
const asked = new Promise<void>((resolve) => watchPaired((it) => {
  paired = it;
  keyring.draw(it);
  draw();
  resolve();
}));
await Promise.race([asked, new Promise((resolve) => setTimeout(resolve, LOOK_MS))]);
const typed = config.broker ? null : logins.broker;
if (typed) config = { ...config, broker: typed.broker, ...(typed.root ? { root: typed.root } : {}) };
// Without a broker of the web server, the page is that of the camera that was paired last.
const newest = paired.devices.find((it) => !config.broker || sameBroker(it.broker, config.broker, location.href));
if ((!config.broker || typed) && newest && !invited) {
  const { broker, root, device } = newest;
  config = { ...config, broker, root, device: config.device ?? device };
}
const kept = config.broker ? logins.get(config.broker) : null;
// What the user typed for this broker takes precedence over the file.
if (kept) {
  const { viewer, ...rest } = config;
  config = {
    ...rest, ...(viewer && config.user === kept.user ? { viewer } : {}), user: kept.user, password: kept.password,
  };
}
// The camera of the link is not called before it is paired.
if (invited) pairing.ask(invited);
start();
