// The devices of a broker, by their retained status.

import { followLanguage, languageAmong, languageOf } from './language.ts';
import { Link } from './link.ts';
import { Unusable, decodeInfo, decodeStatus, topics } from './protocol.ts';
import type { Status } from './protocol.ts';
import { troubleWords } from './trouble.ts';
import { componentWords } from './words/languages.ts';

export interface DirectoryOptions {
  root?: string; user?: string; password?: string;
  /** The language of `trouble`, as a BCP 47 tag. Default: that of the document. */
  lang?: string;
}
export interface Listing {
  /** By id. Devices that were removed are not in it. */
  devices: Map<string, Status>;
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
  const names = new Map<string, string>();
  const beyond = new Set<string>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let told = -Infinity;
  const tell = () => {
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
        devices: new Map([...devices].sort(([a], [b]) => (a < b ? -1 : 1))), names: new Map(names), left: beyond.size,
        broker: at, message,
        trouble: troubleWords(link.state, asker),
      });
    }, Math.max(0, told + TELL_MS - performance.now()));
  };
  /** Reads one retained message. Returns undefined if it violates the protocol. */
  const read = <T>(decode: (payload: Uint8Array) => T, payload: Uint8Array): T | undefined => {
    try {
      return decode(payload);
    } catch (error) {
      if (!(error instanceof Unusable)) throw error;
      return undefined;
    }
  };
  const undo = [
    link.onState(tell),
    followLanguage(document.documentElement, tell),
    link.subscribe(topics.everyStatus(root), true, (topic, payload) => {
      const device = topics.deviceOf(root, topic);
      const status = device === null ? undefined : read(decodeStatus, payload);
      if (device === null || status === undefined) return;
      if (status === null) {
        devices.delete(device);
        beyond.delete(device);
      } else if (devices.has(device) || devices.size < MOST) devices.set(device, status);
      else if (beyond.size < MOST) beyond.add(device);
      tell();
    }),
    link.subscribe(topics.everyInfo(root), true, (topic, payload) => {
      const device = topics.deviceOf(root, topic, 'info');
      const info = device === null ? undefined : read(decodeInfo, payload);
      if (device === null || info === undefined) return;
      if (!info?.name) names.delete(device);
      else if (names.has(device) || names.size < MOST) names.set(device, info.name);
      tell();
    }),
  ];
  tell();
  return () => {
    clearTimeout(timer);
    for (const one of undo) one();
    link.release();
  };
}
