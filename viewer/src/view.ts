// The look of a viewer: builds the shadow tree once, and then draws each state into it.

import css from './viewer.css';
import { h, icon } from './dom.ts';
import type { Icon } from './dom.ts';
import type { Operation } from './keys.ts';
import { languageAmong } from './language.ts';
import type { Language } from './language.ts';
import { badgeKind, badgeText, panelOf } from './panel.ts';
import type { Panel, Situation } from './panel.ts';
import { STEPS } from './phase.ts';
import { rowsOf } from './rows.ts';
import type { Figures } from './rows.ts';
import { componentWords } from './words/languages.ts';
import type { ComponentWords } from './words/languages.ts';

/** Everything that is drawn. */
export interface Seen extends Situation {
  /** The page handles the buttons "Log in" and "Change address". */
  canAsk: boolean;
  /** For how long the picture has stood still, in milliseconds. */
  stillFor: number | null;
  /** The broker reports that the device is gone. */
  deviceGone: boolean;
  /** The device has no microphone. */
  noSound: boolean;
  muted: boolean;
  soundBlocked: boolean;
  full: boolean;
  now: number;
}

export interface Actions {
  operate(operation: Operation): void; prepare(): void; retry(): void; ask(what: 'login' | 'address'): void;
  /** The button of a panel about privacy: yes or no. */
  lift(yes: boolean): void;
  doubleClick(): void;
}

export class View {
  readonly video = h('video', { part: 'video', playsinline: true, autoplay: true, disablepictureinpicture: false });
  readonly frame: HTMLElement;

  private readonly last = h('canvas', { class: 'last', 'aria-hidden': 'true' });
  private readonly panelIcon = h('div', { class: 'glyph' });
  private readonly title = h('h2', { dir: 'auto' });
  private readonly text = h('p', { dir: 'auto' });
  private readonly detail = h('p', { class: 'detail', dir: 'auto', lang: 'en' });
  private readonly steps: HTMLElement[] = STEPS.map(() => h('li', {}, h('i'), h('span', { dir: 'auto' })));
  private readonly stepper = h('ol', { class: 'steps', 'aria-hidden': 'true' }, ...this.steps);
  private readonly action = button('action', 'play');
  private readonly count = h('p', { class: 'count', dir: 'auto' });
  private readonly login = h('button', { class: 'action', type: 'button' });
  private readonly address = h('button', { class: 'action second', type: 'button' });
  private readonly look = h('a', { class: 'look', dir: 'auto', target: '_blank', rel: 'noopener noreferrer' });
  private readonly no = h('button', { class: 'action second no', type: 'button', hidden: true });
  private readonly doing = h('div', { class: 'doing' }, this.action, this.login, this.address, this.no, this.count);
  private readonly panel = h(
    'div', { class: 'panel', part: 'panel' }, this.panelIcon, this.title, this.text, this.detail, this.look,
    this.stepper, this.doing
  );
  private readonly poster = h('img', { class: 'poster', alt: '', hidden: true });
  private readonly stillTitle = h('b', { dir: 'auto' });
  private readonly stillText = h('span', { dir: 'auto' });
  private readonly still = h(
    'div', { class: 'still', part: 'still', hidden: true }, icon('frozen'), h('p', {}, this.stillTitle, this.stillText)
  );
  private readonly name = h('span', { class: 'name' });
  private readonly badge = h('span', { class: 'badge', dir: 'auto' });
  readonly top = h('header', { class: 'top' }, this.name, this.badge);
  private readonly toggle = button('toggle', 'stop');
  private readonly sound = button('sound', 'sound');
  private readonly snap = button('snap', 'snapshot');
  readonly chart = button('chart', 'stats');
  private readonly float = button('float', 'float');
  private readonly expand = button('expand', 'full');
  readonly bar = h('div', { class: 'bar', part: 'controls', role: 'group' },
    this.toggle, this.sound, h('span', { class: 'gap' }), this.snap, this.chart, this.float, this.expand);
  private readonly figures = h('dl');
  private readonly stats = h('section', { class: 'stats', part: 'stats', hidden: true }, this.figures);
  private readonly toast = h('p', { class: 'toast', dir: 'auto', role: 'status' });
  private readonly spoken = h('p', { class: 'spoken', 'aria-live': 'polite' });
  private toastTimer: ReturnType<typeof setTimeout> | undefined;
  private idleTimer: ReturnType<typeof setTimeout> | undefined;
  private drawn = '';
  private lifts = false;
  private language: Language = languageAmong([]);

  constructor(root: ShadowRoot, actions: Actions) {
    root.adoptedStyleSheets = [sheet()];
    this.frame = h('div', { class: 'frame', part: 'frame', role: 'group' },
      this.poster, this.video, this.last, h('div', { class: 'shade' }), this.panel, this.still,
      this.top,
      this.stats,
      this.bar, this.toast, this.spoken);
    root.append(this.frame);
    this.toggle.onclick = () => actions.operate('watch');
    this.action.onclick = () => (this.lifts ? actions.lift(true) : actions.retry());
    this.no.onclick = () => actions.lift(false);
    // Pointing at the button usually means pressing it, so the call is prepared.
    for (const one of [this.toggle, this.action])
      one.onpointerenter = one.onpointerdown = one.onfocus = () => actions.prepare();
    this.sound.onclick = () =>
      (this.sound.getAttribute('aria-disabled') === 'true' ? this.say(this.sound.title) : actions.operate('sound'));
    this.snap.onclick = () => actions.operate('snapshot');
    this.chart.onclick = () => actions.operate('stats');
    this.expand.onclick = () => actions.operate('full');
    this.float.onclick = () => actions.operate('float');
    this.float.hidden = !document.pictureInPictureEnabled;
    this.login.onclick = () => actions.ask('login');
    this.address.onclick = () => actions.ask('address');
    this.video.ondblclick = this.last.ondblclick = () => {
      if (this.frame.classList.contains('controls')) actions.doubleClick();
    };
    const awake = () => {
      this.frame.classList.remove('resting');
      clearTimeout(this.idleTimer);
      this.idleTimer = setTimeout(() => this.frame.classList.add('resting'), 3000);
    };
    for (const event of ['pointermove', 'pointerdown', 'focusin', 'keydown'])
      this.frame.addEventListener(event, awake, { passive: true });
    this.frame.addEventListener('pointerleave', () => this.frame.classList.add('resting'));
    awake();
    this.speak(this.language);
  }

  /** Shows all texts in this language. Those that depend on the call change with the next `draw`. */
  speak(language: Language): void {
    this.language = language;
    this.drawn = '';
    this.frame.lang = language.locale;
    const { steps, panel, buttons } = this.words;
    this.steps.forEach((one, i) => { one.querySelector('span')!.textContent = steps[STEPS[i]!].short; });
    this.login.textContent = panel.logIn;
    this.address.textContent = panel.changeAddress;
    this.bar.setAttribute('aria-label', buttons.all);
    this.stats.setAttribute('aria-label', buttons.stats);
    label(this.snap, 'snapshot', buttons.snapshot, 's');
    label(this.chart, 'stats', buttons.stats, 'i');
    label(this.float, 'float', buttons.float, 'p');
  }

  private get words(): ComponentWords {
    return componentWords[this.language.tag];
  }

  draw(it: Seen, controls: boolean): void {
    const { language, words } = this;
    const { phase } = it;
    const live = phase.at === 'live' || (phase.at === 'step' && phase.step === 'picture' && it.shown);
    const panel = panelOf(it, words);
    const state = phase.at === 'step'
      ? 'connecting'
      : phase.at === 'live' && phase.restarting ? 'reconnecting' : phase.at;
    const step = phase.at === 'step' ? STEPS.indexOf(phase.step) : -1;
    const waits = phase.at === 'error' ? phase : null;
    const still = panel === null && it.stillFor !== null;
    this.frame.classList.toggle('controls', controls);
    this.count.textContent = waits !== null && waits.retryAt !== null
      ? countdown(waits.retryAt - it.now, language, words)
      : '';
    if (still) this.stillText.textContent = words.still.last(language.ago(it.stillFor!));

    // The rest changes rarely. Updating it each second would restart screen readers and animations.
    const drawn = JSON.stringify([
      it.name, state, step, panel, it.media, it.why, it.muted, it.soundBlocked, it.full, still, it.deviceGone,
      it.noSound, it.canAsk, it.goaway, live, it.shown,
    ]);
    if (drawn === this.drawn) return;
    this.drawn = drawn;

    this.frame.dataset['state'] = state;
    this.frame.dataset['shown'] = String(live && it.shown && it.media.video !== 'privacy');
    this.frame.classList.toggle('dim', panel !== null);
    this.frame.classList.toggle('stale', still);
    this.frame.setAttribute('aria-label', words.spoken.frame(it.name));
    this.video.setAttribute('aria-label', still ? words.spoken.still(it.name) : words.spoken.live(it.name));
    this.name.replaceChildren(h('bdi', {}, it.name));
    this.name.title = it.name;
    this.badge.dataset['kind'] = still ? 'bad' : badgeKind(it);
    this.badge.textContent = still ? words.badge.notLive : badgeText(it, words);
    this.still.hidden = !still;
    const stillWords = it.deviceGone ? words.still.offline : words.still.stopped;
    this.stillTitle.textContent = stillWords;

    this.panel.hidden = panel === null;
    if (panel) this.drawPanel(panel, it);
    this.stepper.hidden = step < 0 || panel === null || panel.kind === 'trouble' || panel.icon !== 'camera';
    this.panel.classList.toggle('quiet', !this.stepper.hidden);
    this.steps.forEach((one, i) => { one.dataset['is'] = i < step ? 'done' : i === step ? 'now' : 'next'; });

    const watching = phase.at !== 'idle' && phase.at !== 'paused';
    label(this.toggle, watching ? 'stop' : 'play', watching ? words.buttons.stop : words.buttons.watch, 'k');
    this.drawSound(it, watching, live);
    this.snap.disabled = !it.shown || it.media.video === 'privacy';
    this.float.disabled = this.snap.disabled;
    label(this.expand, it.full ? 'small' : 'full', words.buttons.full, 'f');
    this.expand.setAttribute('aria-pressed', String(it.full));

    const told = panel ? `${panel.title}. ${panel.text}` : still ? stillWords : live ? words.spoken.live(it.name) : '';
    // The steps pass faster than they can be read aloud.
    const said = step >= 0 && panel?.icon === 'camera' ? words.spoken.connecting(it.name) : told;
    if (this.spoken.textContent !== said) this.spoken.textContent = said;
  }

  private drawPanel(panel: Panel, { phase, canAsk, refused }: Seen): void {
    this.panel.dataset['kind'] = panel.kind;
    this.panelIcon.replaceChildren(icon(panel.icon));
    this.title.textContent = panel.title;
    this.text.textContent = panel.text;
    this.text.lang = panel.foreign ? 'en' : this.language.locale;
    this.detail.textContent = panel.detail ?? '';
    this.lifts = panel.lifts ?? false;
    this.action.hidden = panel.button === null;
    const glyph = this.lifts ? 'camera' : phase.at === 'idle' || phase.at === 'paused' ? 'play' : 'retry';
    label(this.action, glyph, '', '', panel.button ?? '');
    this.no.textContent = panel.no ?? '';
    this.no.hidden = !panel.no;
    this.login.hidden = !panel.asks || !canAsk || !refused;
    this.address.hidden = !panel.asks || !canAsk;
    this.doing.hidden = panel.button === null && this.address.hidden;
    this.look.hidden = !panel.look;
    if (!panel.look) return;
    this.look.href = panel.look;
    this.look.textContent = this.words.panel.open(panel.look);
  }

  private drawSound(it: Seen, watching: boolean, live: boolean): void {
    const { words } = this;
    const { audio } = it.media;
    const noSound = it.noSound ? words.noSound
      : audio === 'ok'
        ? null
        : it.why.audio ? words.soundBecause(words.sound[audio], it.why.audio) : words.sound[audio];
    // The browser requires a click before it plays sound. The button then shows its name, and stays visible.
    const asks = it.soundBlocked && it.muted && live && noSound === null;
    label(
      this.sound, it.muted || noSound !== null ? 'muted' : 'sound', words.buttons.sound, 'm',
      asks ? words.buttons.sound : ''
    );
    this.sound.classList.toggle('wanted', asks);
    this.sound.setAttribute('aria-pressed', String(!it.muted && noSound === null));
    this.sound.disabled = !watching;
    // It can still be pressed: touch screens have no tooltips, so the reason is shown then.
    this.sound.setAttribute('aria-disabled', String(watching && noSound !== null));
    const note = noSound !== null && watching ? noSound : asks ? words.buttons.clickForSound : '';
    if (note) this.sound.title = note;
    this.sound.setAttribute('aria-description', note);
  }

  /** Shows an image before the first picture. */
  showPoster(address: string): void {
    this.poster.hidden = address === '';
    if (address) this.poster.src = address;
    else this.poster.removeAttribute('src');
  }

  showStats(open: boolean): void {
    this.stats.hidden = !open;
    this.chart.setAttribute('aria-pressed', String(open));
  }

  drawStats(figures: Figures): void {
    if (this.stats.hidden) return;
    const rows = rowsOf(figures, this.language, this.words);
    this.figures.replaceChildren(...rows.map(({ term, value, note, parts }) => h('div', {}, h(
      'dt', {}, h('bdi', {}, term)
    ), h('dd', {}, h('bdi', {}, value)),
      note ? h('dd', { class: 'note' }, h('bdi', {}, note)) : null, parts ? partsOf(parts) : null)));
  }

  /** Keeps the last picture on the screen while there is none. */
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

  note(which: keyof ComponentWords['notes']): void {
    this.say(this.words.notes[which]);
  }

  say(text: string): void {
    this.toast.textContent = text;
    this.toast.classList.add('open');
    clearTimeout(this.toastTimer);
    this.toastTimer = setTimeout(() => this.toast.classList.remove('open'), Math.max(2500, text.length * 70));
  }

  flash(): void {
    this.frame.classList.remove('flash');
    void this.frame.offsetWidth; // restarts the animation
    this.frame.classList.add('flash');
  }
}

const countdown = (ms: number, language: Language, { panel }: ComponentWords): string =>
  (ms > 1500 ? panel.retryIn(language.later(ms)) : panel.retrySoon);

export function button(name: string, glyph: Icon): HTMLButtonElement {
  return h('button', { class: name, type: 'button' }, icon(glyph));
}

/** `written`: the text next to the icon. Without it, `text` is the accessible name, and the tooltip shows the key. */
export function label(it: HTMLButtonElement, glyph: Icon, text: string, shortcut = '', written = ''): void {
  if (text) {
    it.title = shortcut ? `${text} (${shortcut})` : text;
    it.setAttribute('aria-label', text);
    if (shortcut) it.setAttribute('aria-keyshortcuts', shortcut);
  }
  const key = `${glyph} ${written}`;
  if (it.dataset['key'] === key) return;
  it.dataset['key'] = key;
  it.replaceChildren(icon(glyph), ...(written ? [h('span', { dir: 'auto' }, written)] : []));
}

/** A bar divided by the steps' shares, with the name of each step. */
function partsOf(parts: [name: string, ms: number, text: string][]): HTMLElement {
  const bar = h('div', { class: 'parts', 'aria-hidden': 'true' }, ...parts.map(([, ms]) => {
    const part = h('i');
    part.style.flexGrow = String(ms);
    return part;
  }));
  return h(
    'dd',
    { class: 'note' },
    bar,
    h(
      'div', { class: 'names' },
      ...parts.flatMap(([name, , text]) => [h('span', { dir: 'auto' }, `${name} ${text}`), ' '])
    )
  );
}

let shared: CSSStyleSheet | undefined;
function sheet(): CSSStyleSheet {
  if (!shared) {
    shared = new CSSStyleSheet();
    shared.replaceSync(css);
  }
  return shared;
}
