// What a viewer looks like: builds the shadow tree once, then draws one state after the other into it.

import css from './viewer.css';
import { h, icon } from './dom.ts';
import type { Icon } from './dom.ts';
import type { MediaHealth } from './protocol.ts';
import type { Row } from './rows.ts';
import type { Phase } from './session.ts';
import { STEPS, pictureWords, selfExplaining, soundWords, stepWords, wordsFor } from './words.ts';

export interface Seen {
  name: string;
  phase: Phase;
  /** Why the broker is not there, in its own words if it has any. */
  broker: { refused: boolean; message: string } | null;
  media: MediaHealth;
  /** A picture was shown in this session. */
  shown: boolean;
  standsStill: boolean;
  muted: boolean;
  soundBlocked: boolean;
  full: boolean;
  goaway: boolean;
  now: number;
}

export interface Actions { toggle(): void; prepare(): void; retry(): void; mute(): void; snapshot(): void; stats(): void; full(): void }

interface Panel { icon: Icon; title: string; text: string; detail?: string; button: string | null; kind: 'calm' | 'trouble' }

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
  private readonly panel = h('div', { class: 'panel', part: 'panel' }, this.panelIcon, this.title, this.text, this.detail, this.stepper,
    h('div', { class: 'doing' }, this.action, this.count));
  private readonly name = h('span', { class: 'name' });
  private readonly badge = h('span', { class: 'badge' });
  private readonly toggle = button('toggle', 'stop', 'Stop watching');
  private readonly sound = button('sound', 'sound', 'Sound on');
  private readonly snap = button('snap', 'snapshot', 'Save a snapshot (s)');
  private readonly chart = button('chart', 'stats', 'Statistics (i)');
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
      this.video, this.last, h('div', { class: 'shade' }), this.panel,
      h('header', { class: 'top' }, this.name, this.badge),
      this.stats,
      h('div', { class: 'bar', part: 'controls', role: 'group', 'aria-label': 'Picture controls' },
        this.toggle, this.sound, h('span', { class: 'gap' }), this.snap, this.chart, this.expand),
      this.toast, this.spoken);
    root.append(this.frame);
    this.toggle.onclick = () => actions.toggle();
    this.action.onclick = () => actions.retry();
    // Whoever points at the button will press it: what can be ready is made ready.
    for (const one of [this.toggle, this.action]) one.onpointerenter = one.onpointerdown = one.onfocus = () => actions.prepare();
    this.sound.onclick = () => actions.mute();
    this.snap.onclick = () => actions.snapshot();
    this.chart.onclick = () => actions.stats();
    this.expand.onclick = () => actions.full();
    this.video.ondblclick = this.last.ondblclick = () => { if (this.frame.classList.contains('controls')) actions.full(); };
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
    const waits = phase.at === 'error' || phase.at === 'offline' ? phase : null;
    this.frame.classList.toggle('controls', controls);
    this.count.textContent = waits?.at === 'error' && waits.retryAt !== null ? countdown(waits.retryAt - it.now) : '';

    // The rest changes rarely; touching it each second would make screen readers and animations start again.
    const drawn = JSON.stringify([it.name, state, step, panel, it.media, it.muted, it.soundBlocked, it.full, it.standsStill, it.goaway, live, it.shown]);
    if (drawn === this.drawn) return;
    this.drawn = drawn;

    this.frame.dataset['state'] = state;
    this.frame.dataset['shown'] = String(live && it.shown && it.media.video !== 'privacy');
    this.frame.classList.toggle('dim', panel !== null);
    this.frame.setAttribute('aria-label', `Camera ${it.name}`);
    this.video.setAttribute('aria-label', `Live picture of ${it.name}`);
    this.name.textContent = it.name;
    this.badge.dataset['kind'] = badgeKind(it);
    this.badge.textContent = badgeText(it);

    this.panel.hidden = panel === null;
    if (panel) {
      this.panel.dataset['kind'] = panel.kind;
      this.panelIcon.replaceChildren(icon(panel.icon));
      this.title.textContent = panel.title;
      this.text.textContent = panel.text;
      this.detail.textContent = panel.detail ?? '';
      this.action.hidden = panel.button === null;
      label(this.action, phase.at === 'idle' ? 'play' : 'retry', '', panel.button ?? '');
    }
    this.stepper.hidden = step < 0 || panel === null || panel.kind === 'trouble' || panel.icon !== 'camera';
    this.panel.classList.toggle('quiet', !this.stepper.hidden);
    this.steps.forEach((one, i) => { one.dataset['is'] = i < step ? 'done' : i === step ? 'now' : 'next'; });

    const watching = phase.at !== 'idle';
    label(this.toggle, watching ? 'stop' : 'play', watching ? 'Stop watching (k)' : 'Watch (k)');
    const noSound = it.media.audio === 'ok' ? null : soundWords[it.media.audio];
    // The browser wants a click before it plays sound: say so in words.
    const asks = it.soundBlocked && it.muted && live && noSound === null;
    label(this.sound, it.muted ? 'muted' : 'sound', noSound && watching ? noSound : it.muted ? 'Turn the sound on (m)' : 'Turn the sound off (m)', asks ? 'Turn on sound' : '');
    this.sound.classList.toggle('wanted', asks);
    this.sound.setAttribute('aria-pressed', String(!it.muted));
    this.sound.disabled = !watching || noSound !== null;
    this.snap.disabled = !it.shown || it.media.video === 'privacy';
    label(this.expand, it.full ? 'small' : 'full', it.full ? 'Leave full screen (f)' : 'Full screen (f)');

    const words = panel ? `${panel.title}. ${panel.text}` : it.standsStill ? 'The picture stands still' : live ? `Live picture of ${it.name}` : '';
    // Steps go by faster than they can be read out.
    const said = step >= 0 && panel?.icon === 'camera' ? `Connecting to ${it.name}` : words;
    if (this.spoken.textContent !== said) this.spoken.textContent = said;
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
      const detail = phase.message !== text && !selfExplaining(phase.name) ? { detail: phase.message } : {};
      return { icon: glyph, title: words.title, text, ...detail, button: phase.retryAt === null ? 'Try again' : 'Try now', kind: phase.next === 'stay' ? 'trouble' : 'calm' };
    }
    case 'step':
      if (phase.step === 'broker' && it.broker !== null) {
        return it.broker.refused
          ? { icon: 'warning', title: 'The broker refused the login', text: 'Check the user and the password of this page.', detail: it.broker.message, button: null, kind: 'trouble' }
          : { icon: 'offline', title: 'The broker cannot be reached', text: 'This page keeps trying and goes on by itself.', button: null, kind: 'calm' };
      }
      if (phase.step !== 'picture' || it.media.video === 'ok') {
        return { icon: 'camera', title: stepWords[phase.step].text, text: it.name, button: null, kind: 'calm' };
      }
      break;
    case 'live':
      if (phase.restarting) return { icon: 'hourglass', title: 'Finding a new way', text: 'The connection was lost. The picture goes on as soon as there is a route.', button: null, kind: 'calm' };
  }
  if (it.media.video === 'ok' || (it.media.video === 'starting' && it.shown)) return null;
  const words = pictureWords[it.media.video];
  const glyph: Icon = it.media.video === 'absent' ? 'noCamera' : it.media.video === 'privacy' ? 'privacy' : 'hourglass';
  return { icon: glyph, ...words, button: null, kind: 'calm' };
}

function badgeKind({ phase, media, standsStill }: Seen): string {
  if (phase.at === 'live') return phase.restarting || standsStill || !pictured(media) ? 'busy' : 'live';
  return phase.at === 'step' ? 'busy' : phase.at === 'error' ? (phase.next === 'stay' ? 'bad' : 'busy') : 'off';
}

function badgeText({ phase, media, standsStill, goaway }: Seen): string {
  switch (phase.at) {
    case 'idle': return '';
    case 'offline': return 'Offline';
    case 'error': return phase.next === 'stay' ? 'Stopped' : 'Waiting';
    case 'step': return phase.step === 'picture' && media.video !== 'ok' ? (media.audio === 'ok' ? 'Sound only' : 'Connected') : 'Connecting';
    case 'live':
      if (phase.restarting) return 'Reconnecting';
      if (standsStill) return 'Picture stands still';
      if (goaway) return 'Restarts soon';
      return pictured(media) ? 'Live' : media.video === 'stalled' ? 'No new picture' : media.audio === 'ok' ? 'Sound only' : 'Connected';
  }
}

// Live means shown: a camera that says it is starting has started.
const pictured = (media: MediaHealth): boolean => media.video === 'ok' || media.video === 'starting';

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
