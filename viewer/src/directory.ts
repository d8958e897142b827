// The devices of a broker, by their retained status.

import { followLanguage, languageAmong, languageOf } from './language.ts';
import { Link } from './link.ts';
import { Unusable, decodeInfo, topics } from './protocol.ts';
import type { Status } from './protocol.ts';
import { troubleWords } from './trouble.ts';
import { isSigned } from './trust/messages.ts';
import { Doorman } from './trust/paired.ts';
import type { Locked } from './trust/paired.ts';
import { componentWords } from './words/languages.ts';

export interface DirectoryOptions {
  root?: string; user?: string; password?: string;
  /** Nothing plain is believed: devices in the mode `broker` count as not paired. */
  keys?: boolean;
  /** The language of `trouble`, as a BCP 47 tag. Default: that of the document. */
  lang?: string;
}
export type { Locked } from './trust/paired.ts';
export interface Listing {
  /** By id. Devices that were removed are not in it. */
  devices: Map<string, Status>;
  /**
   * Devices that announce themselves and cannot be watched: they know only paired viewers and this browser is none
   * (`not_paired`), or they are not the board that was paired (`wrong_board`). They are not in `devices`.
   */
  locked: Map<string, Locked>;
  /** The name that each device reports, if any: one line of at most 80 characters. */
  names: Map<string, string>;
  /** How many more devices exist than this list holds. */
  left: number;
  /** `down` and `refused` stay until the broker is reached. Meanwhile, `devices` is out of date. */
  broker: 'connecting' | 'up' | 'down' | 'refused';
  /** The broker's error text, if any. */
  message: string;
  /** The fault and what to do, as sentences; null if there is none. */
  trouble: { title: string; text: string; look: string | null } | null;
}

const MOST = 5000;
const TELL_MS = 100;

/** A message that violates the protocol changes nothing. */
const ignore = (error: unknown): void => {
  if (!(error instanceof Unusable)) throw error;
};

/**
 * Reports the devices now and on each change, at most ten times a second, until the returned function is called. Throws
 * an error with a sentence if the broker's address is wrong.
 */
export function watchDevices(
  broker: string, options: DirectoryOptions, changed: (listing: Listing) => void
): () => void {
  const root = options.root ?? 'fanlight/v1';
  const link = Link.use(broker, options.user ?? '', options.password ?? '');
  const devices = new Map<string, Status>();
  const locked = new Map<string, Locked>();
  const names = new Map<string, string>();
  let paired = new Map<string, string>();
  const beyond = new Set<string>();
  const last = new Map<string, Uint8Array>(); // to be checked again when something is paired
  let timer: ReturnType<typeof setTimeout> | undefined;
  let told = -Infinity;
  let over = false;
  const tell = () => {
    if (over) return;
    // A broker sends all retained messages in one burst.
    timer ??= setTimeout(() => {
      timer = undefined;
      told = performance.now();
      const { at, message } = link.state;
      const format = options.lang === undefined ? languageOf(document.documentElement) : languageAmong([options.lang]);
      const asker = {
        url: link.url, page: location.href, loginGiven: !!options.user, format, words: componentWords[format.tag],
      };
      changed({
        devices: new Map([...devices].sort(([a], [b]) => (a < b ? -1 : 1))), locked: new Map(locked), names: named(),
        left: beyond.size, broker: at, message,
        trouble: troubleWords(link.state, asker),
      });
    }, Math.max(0, told + TELL_MS - performance.now()));
  };
  /** Nothing that a locked device says is a name, and a paired one says it sealed. */
  const named = () => new Map([
    ...[...names].filter(([device]) => !locked.has(device) && !paired.has(device)),
    ...[...paired].filter(([, name]) => name !== ''),
  ]);
  const put = (device: string, it: Status | Locked | null) => {
    if (typeof it === 'string') {
      devices.delete(device);
      if (locked.has(device) || locked.size < MOST) locked.set(device, it);
    } else {
      locked.delete(device);
      if (it === null) {
        devices.delete(device);
        beyond.delete(device);
      } else if (devices.has(device) || devices.size < MOST) devices.set(device, it);
      else if (beyond.size < MOST) beyond.add(device);
    }
    tell();
  };
  // Signatures are checked in order, one after the other.
  let checking: Promise<void> = Promise.resolve();
  const check = (device: string, payload: Uint8Array) => {
    if (last.has(device) || last.size < MOST) last.set(device, payload);
    checking = checking.then(async () => put(device, await doorman.status(device, payload))).catch(ignore);
  };
  const doorman = new Doorman(link.url.href, root, () => void doorman.names().then((now) => {
    paired = now;
    for (const [device, payload] of last) check(device, payload);
    tell();
  }), options.keys);
  void doorman.names().then((now) => { paired = now; });
  const undo = [
    link.onState(tell),
    followLanguage(document.documentElement, tell),
    () => doorman.close(),
    link.subscribe(topics.everyStatus(root), true, (topic, payload) => {
      const device = topics.deviceOf(root, topic);
      if (device !== null) check(device, payload);
    }),
    link.subscribe(topics.everyInfo(root), true, (topic, payload) => {
      const device = topics.deviceOf(root, topic, 'info');
      if (device === null || options.keys || isSigned(payload)) return;
      // Not before it is known which devices are paired: they say their names sealed.
      void doorman.names().then(() => {
        const info = decodeInfo(payload);
        if (!info?.name) names.delete(device);
        else if (names.has(device) || names.size < MOST) names.set(device, info.name);
        tell();
      }).catch(ignore);
    }),
  ];
  tell();
  return () => {
    over = true;
    clearTimeout(timer);
    for (const one of undo) one();
    link.release();
  };
}
