// What a viewer looks like: builds the shadow tree once, then draws one state after the other into it.

import css from './viewer.css';
import { h, icon } from './dom.ts';
import { selfExplaining } from './errors.ts';
import type { Icon } from './dom.ts';
import type { MediaHealth, Why } from './protocol.ts';
import type { Row } from './rows.ts';
import type { Operation } from './keys.ts';
import { STEPS } from './phase.ts';
import type { Phase } from './phase.ts';
import type { TroubleWords } from './trouble.ts';
import { messageOf, noSoundWords, pictureWords, soundWords, stepWords, wordsFor } from './words.ts';

export interface Seen {
  name: string;
  phase: Phase | { at: 'paused' };
  /** Why the broker is not there; null while it is. */
  broker: TroubleWords | null;
  refused: boolean;
  /** Somebody listens to the buttons "Log in" and "Change address". */
  canAsk: boolean;
  media: MediaHealth;
  /** What the device says about its picture and its sound. */
  why: Why;
  /** A picture was shown in this session. */
  shown: boolean;
  /** For how long the picture has stood still, in milliseconds. */
  stillFor: number | null;
  /** The broker says that the device is gone. */
  deviceGone: boolean;
  /** The device has no microphone to begin with. */
  noSound: boolean;
  muted: boolean;
  soundBlocked: boolean;
  full: boolean;
  goaway: boolean;
  now: number;
}

export interface Actions {
  operate(operation: Operation): void; prepare(): void; retry(): void; ask(what: 'login' | 'address'): void;
}

interface Panel { icon: Icon; title: string; text: string; detail?: string; button: string | null; kind: 'calm' | 'trouble'; asks?: boolean; look?: string | null }

export class View {
  readonly video = h('video', { part: 'video', playsinline: true, autoplay: true, disablepictureinpicture: false });
  readonly frame: HTMLElement;

  private readonly last = h('canvas', { class: 'last', 'aria-hidden': 'true' });
  private readonly panelIcon = h('div', { class: 'glyph' });
  private readonly title = h('h2');
  private readonly text = h('p');
  private readonly detail = h('p', { class: 'detail' });
  private readonly steps: HTMLElement[] = STEPS.map((step) => h('li', {}, h('i'), h('span', {}, stepWords[step].short)));
  private readonly stepper = h('ol', { class: 'steps', 'aria-hidden': 'true' }, ...this.steps);
  private readonly action = button('action', 'play', '');
  private readonly count = h('p', { class: 'count' });
  private readonly login = h('button', { class: 'action', type: 'button' }, 'Log in');
  private readonly address = h('button', { class: 'action second', type: 'button' }, 'Change address');
  private readonly look = h('a', { class: 'look', target: '_blank', rel: 'noopener noreferrer' });
  private readonly doing = h('div', { class: 'doing' }, this.action, this.login, this.address, this.count);
  private readonly panel = h('div', { class: 'panel', part: 'panel' }, this.panelIcon, this.title, this.text, this.detail, this.look, this.stepper, this.doing);
  private readonly poster = h('img', { class: 'poster', alt: '', hidden: true });
  private readonly stillTitle = h('b');
  private readonly stillText = h('span');
  private readonly still = h('div', { class: 'still', part: 'still', hidden: true }, icon('frozen'), h('p', {}, this.stillTitle, this.stillText));
  private readonly name = h('span', { class: 'name' });
  private readonly badge = h('span', { class: 'badge' });
  private readonly toggle = button('toggle', 'stop', 'Stop watching');
  private readonly sound = button('sound', 'sound', 'Sound (m)');
  private readonly snap = button('snap', 'snapshot', 'Save a snapshot (s)');
  private readonly chart = button('chart', 'stats', 'Statistics (i)');
  private readonly float = button('float', 'float', 'Picture in picture (p)');
  private readonly expand = button('expand', 'full', 'Full screen (f)');
  private readonly figures = h('dl');
  private readonly stats = h('section', { class: 'stats', part: 'stats', 'aria-label': 'Statistics', hidden: true }, this.figures);
  private readonly toast = h('p', { class: 'toast', role: 'status' });
  private readonly spoken = h('p', { class: 'spoken', 'aria-live': 'polite' });
  private toastTimer: ReturnType<typeof setTimeout> | undefined;
  private idleTimer: ReturnType<typeof setTimeout> | undefined;
  private drawn = '';

  constructor(root: ShadowRoot, actions: Actions) {
    root.adoptedStyleSheets = [sheet()];
    this.frame = h('div', { class: 'frame', part: 'frame', role: 'group' },
      this.poster, this.video, this.last, h('div', { class: 'shade' }), this.panel, this.still,
      h('header', { class: 'top' }, this.name, this.badge),
      this.stats,
      h('div', { class: 'bar', part: 'controls', role: 'group', 'aria-label': 'Picture controls' },
        this.toggle, this.sound, h('span', { class: 'gap' }), this.snap, this.chart, this.float, this.expand),
      this.toast, this.spoken);
    root.append(this.frame);
    this.toggle.onclick = () => actions.operate('watch');
    this.action.onclick = () => actions.retry();
    // Whoever points at the button will press it: what can be ready is made ready.
    for (const one of [this.toggle, this.action]) one.onpointerenter = one.onpointerdown = one.onfocus = () => actions.prepare();
    this.sound.onclick = () => (this.sound.getAttribute('aria-disabled') === 'true' ? this.say(this.sound.title) : actions.operate('sound'));
    this.snap.onclick = () => actions.operate('snapshot');
    this.chart.onclick = () => actions.operate('stats');
    this.expand.onclick = () => actions.operate('full');
    this.float.onclick = () => actions.operate('float');
    this.float.hidden = !document.pictureInPictureEnabled;
    this.login.onclick = () => actions.ask('login');
    this.address.onclick = () => actions.ask('address');
    this.video.ondblclick = this.last.ondblclick = () => { if (this.frame.classList.contains('controls')) actions.operate('full'); };
    const awake = () => {
      this.frame.classList.remove('resting');
      clearTimeout(this.idleTimer);
      this.idleTimer = setTimeout(() => this.frame.classList.add('resting'), 3000);
    };
    for (const event of ['pointermove', 'pointerdown', 'focusin', 'keydown']) this.frame.addEventListener(event, awake, { passive: true });
    this.frame.addEventListener('pointerleave', () => this.frame.classList.add('resting'));
    awake();
  }

  draw(it: Seen, controls: boolean): void {
    const { phase } = it;
    const live = phase.at === 'live' || (phase.at === 'step' && phase.step === 'picture' && it.shown);
    const panel = panelOf(it);
    const state = phase.at === 'step' ? 'connecting' : phase.at === 'live' && phase.restarting ? 'reconnecting' : phase.at;
    const step = phase.at === 'step' ? STEPS.indexOf(phase.step) : -1;
    const waits = phase.at === 'error' ? phase : null;
    const still = panel === null && it.stillFor !== null;
    this.frame.classList.toggle('controls', controls);
    this.count.textContent = waits !== null && waits.retryAt !== null ? countdown(waits.retryAt - it.now) : '';
    if (still) this.stillText.textContent = `Last picture ${ago(it.stillFor!)} ago`;

    // The rest changes rarely; touching it each second would make screen readers and animations start again.
    const drawn = JSON.stringify([it.name, state, step, panel, it.media, it.why, it.muted, it.soundBlocked, it.full, still, it.deviceGone, it.noSound, it.canAsk, it.goaway, live, it.shown]);
    if (drawn === this.drawn) return;
    this.drawn = drawn;

    this.frame.dataset['state'] = state;
    this.frame.dataset['shown'] = String(live && it.shown && it.media.video !== 'privacy');
    this.frame.classList.toggle('dim', panel !== null);
    this.frame.classList.toggle('stale', still);
    this.frame.setAttribute('aria-label', `Camera ${it.name}`);
    this.video.setAttribute('aria-label', still ? `Picture of ${it.name}, standing still` : `Live picture of ${it.name}`);
    this.name.replaceChildren(h('bdi', {}, it.name));
    this.name.title = it.name;
    this.badge.dataset['kind'] = still ? 'bad' : badgeKind(it);
    this.badge.textContent = still ? 'Not live' : badgeText(it);
    this.still.hidden = !still;
    const stillWords = it.deviceGone ? 'The camera is offline' : 'The picture has stopped';
    this.stillTitle.textContent = stillWords;

    this.panel.hidden = panel === null;
    if (panel) {
      this.panel.dataset['kind'] = panel.kind;
      this.panelIcon.replaceChildren(icon(panel.icon));
      this.title.textContent = panel.title;
      this.text.textContent = panel.text;
      this.detail.textContent = panel.detail ?? '';
      this.action.hidden = panel.button === null;
      label(this.action, phase.at === 'idle' || phase.at === 'paused' ? 'play' : 'retry', '', panel.button ?? '');
      this.login.hidden = !panel.asks || !it.canAsk || !it.refused;
      this.address.hidden = !panel.asks || !it.canAsk;
      this.doing.hidden = panel.button === null && this.address.hidden;
      this.look.hidden = !panel.look;
      if (panel.look) {
        this.look.href = panel.look;
        this.look.textContent = `Open ${panel.look}`;
      }
    }
    this.stepper.hidden = step < 0 || panel === null || panel.kind === 'trouble' || panel.icon !== 'camera';
    this.panel.classList.toggle('quiet', !this.stepper.hidden);
    this.steps.forEach((one, i) => { one.dataset['is'] = i < step ? 'done' : i === step ? 'now' : 'next'; });

    const watching = phase.at !== 'idle' && phase.at !== 'paused';
    label(this.toggle, watching ? 'stop' : 'play', watching ? 'Stop watching (k)' : 'Watch (k)');
    const noSound = it.noSound ? noSoundWords : it.media.audio === 'ok' ? null : it.why.audio ? `${soundWords[it.media.audio]}: ${it.why.audio}` : soundWords[it.media.audio];
    // The browser wants a click before it plays sound: the button then shows its name, and stays.
    const asks = it.soundBlocked && it.muted && live && noSound === null;
    label(this.sound, it.muted || noSound !== null ? 'muted' : 'sound', 'Sound (m)', asks ? 'Sound' : '');
    this.sound.classList.toggle('wanted', asks);
    this.sound.setAttribute('aria-pressed', String(!it.muted && noSound === null));
    this.sound.disabled = !watching;
    // It can be pressed all the same: fingers have no tooltip, so the reason is said then.
    this.sound.setAttribute('aria-disabled', String(watching && noSound !== null));
    const soundNote = noSound !== null && watching ? noSound : asks ? 'The browser plays sound only after a click' : '';
    this.sound.title = soundNote || 'Sound (m)';
    this.sound.setAttribute('aria-description', soundNote);
    this.snap.disabled = !it.shown || it.media.video === 'privacy';
    this.float.disabled = this.snap.disabled;
    label(this.expand, it.full ? 'small' : 'full', 'Full screen (f)');
    this.expand.setAttribute('aria-pressed', String(it.full));

    const words = panel ? `${panel.title}. ${panel.text}` : still ? stillWords : live ? `Live picture of ${it.name}` : '';
    // Steps go by faster than they can be read out.
    const said = step >= 0 && panel?.icon === 'camera' ? `Connecting to ${it.name}` : words;
    if (this.spoken.textContent !== said) this.spoken.textContent = said;
  }

  /** Shows an image where there is no picture yet. */
  showPoster(address: string): void {
    this.poster.hidden = address === '';
    if (address) this.poster.src = address;
    else this.poster.removeAttribute('src');
  }

  showStats(open: boolean): void {
    this.stats.hidden = !open;
    this.chart.setAttribute('aria-pressed', String(open));
  }

  drawStats(rows: Row[]): void {
    if (this.stats.hidden) return;
    this.figures.replaceChildren(...rows.map(({ term, value, note, parts }) =>
      h('div', {}, h('dt', {}, term), h('dd', {}, value), note ? h('dd', { class: 'note' }, note) : null, parts ? partsOf(parts) : null)));
  }

  /** Keeps the picture on the screen while there is none. */
  keepLast(): void {
    const { videoWidth: width, videoHeight: height } = this.video;
    if (!width || !height) return;
    Object.assign(this.last, { width, height });
    this.last.getContext('2d')?.drawImage(this.video, 0, 0);
    this.frame.classList.add('kept');
  }

  forgetLast(): void {
    this.frame.classList.remove('kept');
    this.last.width = this.last.height = 0;
  }

  say(text: string): void {
    this.toast.textContent = text;
    this.toast.classList.add('open');
    clearTimeout(this.toastTimer);
    this.toastTimer = setTimeout(() => this.toast.classList.remove('open'), 2500);
  }

  flash(): void {
    this.frame.classList.remove('flash');
    void this.frame.offsetWidth; // starts the animation again
    this.frame.classList.add('flash');
  }
}

function panelOf(it: Seen): Panel | null {
  const { phase } = it;
  switch (phase.at) {
    case 'idle':
      return { icon: 'camera', title: it.name, text: 'Not watching', button: 'Watch', kind: 'calm' };
    case 'offline':
      return phase.reason === 'unknown' || phase.reason === ''
        ? { icon: 'offline', title: 'This camera is not known here', text: `Nothing named “${it.name}” answers on this broker. The picture starts by itself when it does.`, button: null, kind: 'calm' }
        : { icon: 'offline', title: 'The camera is offline', text: `${phase.reason === 'shutdown' ? 'It was switched off.' : 'It lost its power or its network.'} The picture starts by itself when it is back.`, button: null, kind: 'calm' };
    case 'error': {
      const words = wordsFor(phase.name);
      const text = phase.name === 'bad_setting' || (words.text === '' && phase.message) ? phase.message : words.text;
      const glyph: Icon = phase.name === 'privacy' ? 'privacy' : phase.name === 'busy' ? 'people' : phase.name === 'no_media' ? 'noCamera' : phase.next === 'stay' ? 'warning' : 'hourglass';
      const message = messageOf(phase);
      const detail = message !== text && !selfExplaining(phase.name) ? { detail: message } : {};
      return { icon: glyph, title: words.title, text, ...detail, button: phase.retryAt === null ? 'Try again' : 'Try now', kind: phase.next === 'stay' ? 'trouble' : 'calm' };
    }
    case 'paused':
      return { icon: 'camera', title: 'Paused', text: it.name, button: 'Watch', kind: 'calm' };
    case 'step':
      // Until the device has answered, nothing goes on without the broker.
      if (STEPS.indexOf(phase.step) <= STEPS.indexOf('offer') && it.broker !== null) {
        const { title, text, look } = it.broker;
        return { icon: it.refused ? 'warning' : 'offline', title, text, look, button: null, asks: true, kind: it.refused ? 'trouble' : 'calm' };
      }
      if (phase.step !== 'picture' || it.media.video === 'ok') {
        return { icon: 'camera', title: stepWords[phase.step].text, text: it.name, button: null, kind: 'calm' };
      }
      break;
    case 'live':
      if (phase.restarting) return { icon: 'hourglass', title: 'Connection lost', text: 'Looking for a new route. The picture goes on as soon as there is one.', button: null, kind: 'calm' };
  }
  if (it.media.video === 'ok' || (it.media.video === 'starting' && it.shown)) return null;
  const words = pictureWords[it.media.video];
  const glyph: Icon = it.media.video === 'absent' ? 'noCamera' : it.media.video === 'privacy' ? 'privacy' : 'hourglass';
  return { icon: glyph, title: words.title, text: it.why.video ? sentence(it.why.video) : words.text, button: null, kind: 'calm' };
}

function badgeKind({ phase, media }: Seen): string {
  if (phase.at === 'live') return phase.restarting || !pictured(media) ? 'busy' : 'live';
  return phase.at === 'step' ? 'busy' : phase.at === 'error' ? (phase.next === 'stay' ? 'bad' : 'busy') : 'off';
}

function badgeText({ phase, media, goaway }: Seen): string {
  const without = media.audio === 'ok' ? 'Sound only' : 'No picture';
  switch (phase.at) {
    case 'idle': return '';
    case 'paused': return 'Paused';
    case 'offline': return 'Offline';
    case 'error': return phase.next === 'stay' ? 'Stopped' : 'Waiting';
    case 'step': return phase.step === 'picture' && media.video !== 'ok' ? without : 'Connecting';
    case 'live':
      if (phase.restarting) return 'Reconnecting';
      if (goaway) return 'Restarts soon';
      return pictured(media) ? 'Live' : media.video === 'stalled' ? 'No new picture' : without;
  }
}

// Live means shown: a camera that says it is starting has started.
const pictured = (media: MediaHealth): boolean => media.video === 'ok' || media.video === 'starting';

/** The device speaks in halves of sentences. */
const sentence = (text: string): string => `${text[0]!.toUpperCase()}${text.slice(1)}${/[.!?…]$/.test(text) ? '' : '.'}`;

const ago = (ms: number): string => (ms < 60_000 ? `${Math.max(1, Math.floor(ms / 1000))} s` : ms < 3_600_000 ? `${Math.floor(ms / 60_000)} min` : 'over an hour');
const countdown = (ms: number): string => (ms > 1500 ? `Again in ${Math.ceil(ms / 1000)} s` : 'Again in a moment');

function button(name: string, glyph: Icon, text: string): HTMLButtonElement {
  const it = h('button', { class: name, type: 'button' });
  label(it, glyph, text);
  return it;
}

function label(it: HTMLButtonElement, glyph: Icon, text: string, written = ''): void {
  const key = `${glyph} ${text} ${written}`;
  if (it.dataset['key'] === key) return;
  it.dataset['key'] = key;
  it.replaceChildren(icon(glyph), ...(written ? [h('span', {}, written)] : []));
  if (!text) return;
  it.title = text;
  it.setAttribute('aria-label', text.replace(/ \(.\)$/, ''));
  const shortcut = / \((.)\)$/.exec(text)?.[1];
  if (shortcut) it.setAttribute('aria-keyshortcuts', shortcut);
}

/** A bar cut in the steps' shares, and what each of them is. */
function partsOf(parts: [string, number][]): HTMLElement {
  const bar = h('div', { class: 'parts', 'aria-hidden': 'true' }, ...parts.map(([, ms]) => {
    const part = h('i');
    part.style.flexGrow = String(ms);
    return part;
  }));
  return h('dd', { class: 'note' }, bar, h('div', { class: 'names' }, ...parts.flatMap(([name, ms]) => [h('span', {}, `${name} ${ms}`), ' '])));
}

let shared: CSSStyleSheet | undefined;
function sheet(): CSSStyleSheet {
  if (!shared) {
    shared = new CSSStyleSheet();
    shared.replaceSync(css);
  }
  return shared;
}
