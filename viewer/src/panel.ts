// The texts of a viewer in each state: the panel in the middle, and the badge next to the name. Pure.

import type { Icon } from './dom.ts';
import { isErrorName, selfExplaining } from './errors.ts';
import type { Doing, Phase } from './phase.ts';
import { STEPS } from './phase.ts';
import type { MediaHealth, Why } from './protocol.ts';
import type { TroubleWords } from './trouble.ts';
import type { ComponentWords } from './words/languages.ts';

/** The state of a call on which texts depend. */
export interface Situation {
  name: string;
  phase: Phase | { at: 'paused' };
  /** Why the broker cannot be reached; null if it is. */
  broker: TroubleWords | null;
  /** The broker refused the login. */
  refused: boolean;
  media: MediaHealth;
  /** The device's faults of video and audio, as sentences. */
  why: Why;
  /** A picture was shown in this session. */
  shown: boolean;
  /** The device announced that it will end the session. */
  goaway: boolean;
  /** Who stopped camera and microphone, if the device told it. */
  privacy: Stopped | null;
}

/** Camera and microphone were stopped on purpose. All are texts. */
export interface Stopped {
  text: string;
  /** The button that asks whether they may work again, or that answers "yes"; null: this viewer may not. */
  lift: string | null;
  /** The button that answers "no". */
  no: string | null;
}

export interface Panel {
  icon: Icon;
  title: string;
  text: string;
  /** The error text of device, broker or browser, mostly in English. */
  detail?: string;
  button: string | null;
  kind: 'calm' | 'trouble';
  asks?: boolean;
  look?: string | null;
  /** `text` is a sentence of the device, in English. */
  foreign?: boolean;
  /** `button` lifts the privacy switch, and `no` leaves it. */
  lifts?: boolean;
  no?: string | null;
}

/** The panel over the picture; null: no panel. */
export function panelOf(it: Situation, words: ComponentWords): Panel | null {
  const { phase } = it;
  const { panel } = words;
  const calm = { button: null, kind: 'calm' } as const;
  switch (phase.at) {
    case 'idle':
      return { ...calm, icon: 'camera', title: it.name, text: panel.notWatching, button: panel.watch };
    case 'paused':
      return { ...calm, icon: 'camera', title: panel.paused, text: it.name, button: panel.watch };
    case 'offline':
      return { ...calm, icon: 'offline', ...offline(phase.reason, it.name, words) };
    case 'error':
      if (phase.name === 'privacy' && it.privacy) return stopped(it.privacy, words);
      return failed(phase, words);
    case 'step':
      // Until the device has answered, nothing continues without the broker.
      if (STEPS.indexOf(phase.step) <= STEPS.indexOf('offer') && it.broker !== null) {
        const kind = it.refused ? 'trouble' : 'calm';
        return { ...it.broker, icon: it.refused ? 'warning' : 'offline', button: null, asks: true, kind };
      }
      if (phase.step !== 'picture' || it.media.video === 'ok') {
        return { ...calm, icon: 'camera', title: words.steps[phase.step].text, text: it.name };
      }
      break;
    case 'live':
      if (phase.restarting) return { ...calm, icon: 'hourglass', ...panel.rerouting };
  }
  const { video } = it.media;
  if (video === 'ok' || (video === 'starting' && it.shown)) return null;
  if (video === 'privacy' && it.privacy) return stopped(it.privacy, words);
  const icon = video === 'absent' ? 'noCamera' : video === 'privacy' ? 'privacy' : 'hourglass';
  const said = it.why.video === null ? {} : { text: sentence(it.why.video), foreign: true };
  return { ...calm, icon, ...words.picture[video], ...said };
}

function stopped({ text, lift, no }: Stopped, { picture }: ComponentWords): Panel {
  return { icon: 'privacy', title: picture.privacy.title, text, button: lift, kind: 'calm', lifts: lift !== null, no };
}

function offline(reason: string, name: string, { panel }: ComponentWords): { title: string; text: string } {
  const { unknown, offline: known } = panel;
  if (reason === 'unknown' || reason === '') return { title: unknown.title, text: unknown.text(name) };
  return { title: known.title, text: reason === 'shutdown' ? known.switchedOff : known.lost };
}

function failed(phase: Phase & { at: 'error' }, words: ComponentWords): Panel {
  const { name, doing, next, retryAt } = phase;
  const { title, text: known } = name === 'internal' && doing !== null ? words.browserError
    : isErrorName(name) ? words.errors[name] : words.unknownError;
  const message = messageOf(phase, words);
  const text = known || message;
  const icon: Icon = name === 'privacy'
    ? 'privacy'
    : name === 'busy' ? 'people' : name === 'no_media' ? 'noCamera' : next === 'stay' ? 'warning' : 'hourglass';
  const button = retryAt === null ? words.panel.tryAgain : words.panel.tryNow;
  return {
    icon, title, text, ...(message !== text && !selfExplaining(name) ? { detail: message } : {}), button,
    kind: next === 'stay' ? 'trouble' : 'calm',
  };
}

/** The text of an error in addition to the text for its name. */
export const messageOf = (
  { doing, message }: { doing: Doing | null; message: string }, words: ComponentWords
): string =>
  (doing === null ? message : words.doing[doing](message));

export function badgeKind({ phase, media }: Situation): string {
  if (phase.at === 'live') return phase.restarting || !pictured(media) ? 'busy' : 'live';
  return phase.at === 'step' ? 'busy' : phase.at === 'error' ? (phase.next === 'stay' ? 'bad' : 'busy') : 'off';
}

export function badgeText({ phase, media, goaway }: Situation, { badge }: ComponentWords): string {
  const without = media.audio === 'ok' ? badge.soundOnly : badge.noPicture;
  switch (phase.at) {
    case 'idle': return '';
    case 'paused': return badge.paused;
    case 'offline': return badge.offline;
    case 'error': return phase.next === 'stay' ? badge.stopped : badge.waiting;
    case 'step': return phase.step === 'picture' && media.video !== 'ok' ? without : badge.connecting;
    case 'live':
      if (phase.restarting) return badge.reconnecting;
      if (goaway) return badge.restarts;
      return pictured(media) ? badge.live : media.video === 'stalled' ? badge.stalled : without;
  }
}

// Live means that a picture is shown, so a camera that reports `starting` has started.
const pictured = (media: MediaHealth): boolean => media.video === 'ok' || media.video === 'starting';

/** The device's texts are not full sentences. */
const sentence = (text: string): string =>
  `${text[0]!.toUpperCase()}${text.slice(1)}${/[.!?…]$/.test(text) ? '' : '.'}`;
