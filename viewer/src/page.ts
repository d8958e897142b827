// The page: who is there, and the pictures of those that were chosen.

import { prepareCall, watchDevices } from './index.ts';
import type { FanlightViewer, Listing, Status } from './index.ts';
import { h, icon } from './dom.ts';
import { settingsOf, settingsTyped } from './settings.ts';
import type { Config } from './settings.ts';

const find = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;
const list = find<HTMLUListElement>('devices');
const stage = find('stage');
const hint = find('hint');
const form = find<HTMLFormElement>('connect');
const link = find('link');
const viewers = new Map<string, FanlightViewer>();
let config: Config = {};
let listing: Listing | null = null;
let stop: (() => void) | null = null;
let looking: ReturnType<typeof setInterval> | undefined;

const LOOK_MS = 3000;

/** The file beside the page; none, or not JSON: the address or the form says it. */
const file = (): Promise<unknown> => fetch('./config.json', { cache: 'no-store' }).then((answer) => (answer.ok ? answer.json() : null)).catch(() => null);

function start(): void {
  stop?.();
  for (const one of viewers.values()) one.remove();
  viewers.clear();
  listing = null;
  const broker = config.broker;
  document.body.classList.toggle('unset', !broker);
  ask(!broker);
  if (!broker) return draw();
  try {
    stop = watchDevices(broker, options(), (it) => {
      listing = it;
      lookForMove(it.broker === 'down' || it.broker === 'refused');
      draw();
    });
  } catch (error) {
    return wrong((error as Error).message);
  }
  for (const device of (config.device ?? '').split(',').filter(Boolean)) show(device.trim());
  draw();
}

const options = () => ({
  ...(config.root ? { root: config.root } : {}), ...(config.user ? { user: config.user } : {}), ...(config.password ? { password: config.password } : {}),
});

/** A broker that is gone may have moved: then the file says where to, and a new page may go there. */
function lookForMove(gone: boolean): void {
  if (!gone) {
    if (listing?.broker !== 'up') return; // between two tries
    clearInterval(looking);
    looking = undefined;
    return;
  }
  looking ??= setInterval(() => void file().then((now) => {
    const moved = settingsOf(now, location.search, location.href).broker;
    if (moved && moved !== config.broker && own.broker === config.broker) location.reload();
  }), LOOK_MS);
}

function wrong(message: string): void {
  const { broker, ...rest } = config;
  config = rest;
  document.body.classList.add('unset');
  ask(true);
  (form.elements.namedItem('broker') as HTMLInputElement).value = broker ?? '';
  find('wrong').textContent = message;
}

function show(device: string): void {
  if (viewers.has(device)) return;
  const viewer = document.createElement('fanlight-viewer');
  for (const key of ['broker', 'root', 'user', 'viewer', 'mode'] as const) if (config[key]) viewer.setAttribute(key, config[key]!);
  if (config.password) viewer.password = config.password;
  viewer.device = device;
  viewer.controls = true;
  viewer.muted = viewers.size > 0; // one voice at a time
  viewer.stats = new URLSearchParams(location.search).has('stats');
  viewers.set(device, viewer);
  stage.append(viewer);
}

function hide(device: string): void {
  viewers.get(device)?.remove();
  viewers.delete(device);
}

function toggle(device: string): void {
  if (viewers.has(device)) hide(device);
  else show(device);
  const address = new URL(location.href);
  if (viewers.size) address.searchParams.set('device', [...viewers.keys()].join(','));
  else address.searchParams.delete('device');
  history.replaceState(null, '', address);
  draw();
}

function draw(): void {
  const state = listing?.broker ?? 'connecting';
  link.dataset['is'] = config.broker ? state : 'none';
  link.textContent = !config.broker ? 'Not connected' : { connecting: 'Connecting', up: 'Connected', down: 'Broker not reachable', refused: 'Login refused' }[state];

  const devices = new Map<string, Status | null>(listing?.devices ?? []);
  for (const device of viewers.keys()) if (!devices.has(device)) devices.set(device, null);
  // Rows are kept, so that the keyboard stays where it is.
  const rows = new Map([...list.children].map((row) => [(row as HTMLElement).dataset['device']!, row as HTMLElement]));
  for (const [device, row] of rows) if (!devices.has(device)) row.remove();
  let at = 0;
  for (const [device, status] of devices) {
    const row = rows.get(device) ?? makeRow(device);
    if (list.children[at] !== row) list.insertBefore(row, list.children[at] ?? null);
    at += 1;
    fillRow(row, device, status);
  }
  document.body.classList.toggle('empty', devices.size === 0);
  stage.dataset['count'] = String(Math.min(viewers.size, 5));
  hint.hidden = viewers.size > 0 || !config.broker;
  find('hint-title').textContent = devices.size ? 'Choose a camera' : state === 'up' ? 'No cameras yet' : state === 'refused' ? 'The broker refused the login' : state === 'down' ? 'The broker cannot be reached' : 'Looking for cameras';
  find('hint-text').textContent = devices.size ? 'Several at once are fine.'
    : state === 'up' ? 'A camera appears here as soon as its daemon reaches this broker.'
    : state === 'refused' ? 'Check the user and the password: press “Login refused” above.' : state === 'down' ? 'This page keeps trying and goes on by itself.' : '';
  find('count').textContent = devices.size ? String(devices.size) : '';
}

function makeRow(device: string): HTMLElement {
  const button = h('button', { type: 'button' }, h('span', { class: 'face', 'aria-hidden': 'true' }, icon('camera')),
    h('span', { class: 'words' }, h('b', {}, device), ' ', h('small')), h('span', { class: 'who' }), h('span', { class: 'mark' }, icon('check')));
  button.onclick = () => toggle(device);
  // Whoever points at a camera will watch it.
  button.onpointerenter = button.onpointerdown = button.onfocus = () => { if (!viewers.has(device)) prepareCall(); };
  const row = h('li', {}, button);
  row.dataset['device'] = device;
  return row;
}

function fillRow(row: HTMLElement, device: string, status: Status | null): void {
  const online = status?.state === 'online';
  row.dataset['is'] = !online ? 'offline' : status.media.video === 'ok' ? 'online' : 'trouble';
  row.firstElementChild!.setAttribute('aria-pressed', String(viewers.has(device)));
  const small = row.querySelector('small')!;
  const text = describe(status);
  if (small.textContent !== text) small.textContent = text;
  const who = row.querySelector<HTMLElement>('.who')!;
  const count = online ? status.viewers ?? 0 : 0;
  if (who.dataset['is'] === String(count)) return;
  who.dataset['is'] = String(count);
  who.title = `${count} watching`;
  who.replaceChildren(...(count ? [icon('people'), String(count), h('span', { class: 'spoken' }, ' watching')] : []));
}

function describe(status: Status | null): string {
  if (!status) return 'Not heard of yet';
  if (status.state === 'offline') return status.reason === 'shutdown' ? 'Offline: switched off' : 'Offline: connection lost';
  return { ok: 'Online', starting: 'Camera starting', stalled: 'Camera hangs', absent: 'No camera', privacy: 'Privacy is on', refused: 'Online' }[status.media.video];
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  find('wrong').textContent = '';
  config = settingsTyped(config, Object.fromEntries(new FormData(form)) as Record<string, string>, location.href);
  start();
});
/** Shows the form with what is set; without a broker it is all there is to do. */
function ask(open: boolean): void {
  form.hidden = !open;
  find('wrong').textContent = '';
  find('cancel').hidden = !config.broker;
  if (!open) return;
  for (const key of ['broker', 'root', 'device', 'user'] as const) (form.elements.namedItem(key) as HTMLInputElement).value = config[key] ?? '';
  (form.elements.namedItem('broker') as HTMLInputElement).focus();
}

find('change').addEventListener('click', () => ask(form.hidden || !config.broker));
const cancel = (): void => {
  ask(false);
  find('change').focus();
};
find('cancel').addEventListener('click', cancel);
form.addEventListener('keydown', (event) => { if (event.key === 'Escape' && config.broker) cancel(); });

const own = settingsOf(await file(), location.search, location.href);
config = own;
start();
