// The protocol over the broker: topics and messages. Pure: no clock, no network, no DOM.
// It is defined in docs/reference/protocol.md, whose section numbers are used below.

import { base64url } from './bytes.ts';
import { MAX_MESSAGE, Unusable, fail, number, object, readJson, text } from './json.ts';
import { partOf, resultOf } from './results.ts';
import type { Part, Result } from './results.ts';
import { clean } from './texts.ts';

export { base64url } from './bytes.ts';
export { MAX_MESSAGE, Unusable } from './json.ts';

export const VERSION = 1;
/** Section 7. */
export const MAX_SDP = 24 * 1024;
export const MAX_CANDIDATES = 24;
/** Longer names are cut. The configuration allows 128 characters, which a screen does not. */
export const MOST_NAME = 80;
const MOST_FEATURES = 64;

/** `refused`: this viewer does not get it, because it has no codec of the device. Only in a session. */
export const HEALTHS = ['ok', 'starting', 'stalled', 'absent', 'privacy', 'refused'] as const;
export type Health = (typeof HEALTHS)[number];
export interface MediaHealth { video: Health; audio: Health }

/** The device's texts about faults of video and audio. */
export interface Why { video: string | null; audio: string | null }

export interface Candidate { candidate: string; mid?: string; mline?: number }
export interface IceServer { urls: string[]; username?: string; credential?: string }
/** For how many seconds the logins of the ICE servers are valid; without it they do not end. */
export interface Logins { loginsS?: number }
export interface Wanted { video: boolean; audio: boolean; talk: boolean; commands?: boolean }

/** A message of a viewer, without the envelope. */
export type ToDevice =
  | { type: 'offer'; sdp: string; restart?: true }
  | { type: 'request'; media: Wanted }
  | { type: 'answer'; sdp: string; offer_hash?: string }
  | { type: 'candidates'; ufrag: string; candidates: Candidate[]; end?: true }
  | { type: 'renew' }
  | { type: 'bye'; reason: string }
  | { type: 'ping' | 'pong'; n: number }
  | { type: 'command'; id: number; name: string; args?: Record<string, unknown> };

/** A checked message of a device. */
export type FromDevice =
  | { type: 'welcome' }
  | { type: 'event' }
  | ({ type: 'offer'; sdp: string; restart: boolean; leaseS: number | null; iceServers: IceServer[] | null } & Logins)
  | ({ type: 'answer'; sdp: string; offerHash: string | null; leaseS: number | null; iceServers: IceServer[] } & Logins)
  | { type: 'candidates'; ufrag: string | null; candidates: Candidate[]; end: boolean }
  | ({ type: 'renewed'; leaseS: number; iceServers?: IceServer[] } & Logins)
  | { type: 'media'; media: MediaHealth; route: string | null; why: Why }
  | { type: 'goaway'; inS: number; reason: string }
  | { type: 'bye'; reason: string }
  | { type: 'ping' | 'pong'; n: number }
  | ({ type: 'result' } & Result)
  | ({ type: 'part' } & Part)
  | { type: 'error'; code: number; name: string; message: string; retryAfterMs: number | null };

export interface Received { session: string | null; seq: number | null; body: FromDevice }

/** What a device reports about its condition; null: not given. */
export interface Condition {
  media: MediaHealth; viewers: number | null; maxViewers: number | null; version: string | null;
}

export type Status =
  | ({ state: 'online'; epoch: string; conn: number; auth: string | null } & Condition)
  | { state: 'offline'; epoch: string; conn: number; reason: string };

/** What a device reports about itself; null: not given. */
export interface Info {
  name: string | null; hasVideo: boolean | null; hasAudio: boolean | null;
  /** What the device can do beyond the first version. */
  features: string[];
  /** It has a loudspeaker. */
  talk: boolean;
  /** What this viewer may do, if the device says it. */
  rights: string[] | null;
}

const ID = /^[A-Za-z0-9_-]{1,64}$/;
export const isId = (text: string): boolean => ID.test(text);

/** A topic prefix that is safe to publish under: no wildcards, no empty level. */
export const isRoot = (text: string): boolean => /^[^+#\0/]+(\/[^+#\0/]+)*$/.test(text) && text.length <= 256;

export const topics = {
  status: (root: string, device: string) => `${root}/${device}/status`,
  everyStatus: (root: string) => `${root}/+/status`,
  info: (root: string, device: string) => `${root}/${device}/info`,
  everyInfo: (root: string) => `${root}/+/info`,
  request: (root: string, device: string, viewer: string) => `${root}/${device}/req/${viewer}`,
  reply: (root: string, device: string, viewer: string) => `${root}/${device}/rsp/${viewer}`,
  /** The device of a topic of this kind. */
  deviceOf(root: string, topic: string, kind: 'status' | 'info' = 'status'): string | null {
    if (!topic.startsWith(`${root}/`) || !topic.endsWith(`/${kind}`)) return null;
    const device = topic.slice(root.length + 1, -(kind.length + 1));
    return isId(device) ? device : null;
  },
};

/** A session id: 128 random bits. */
export const newSession = (): string => base64url(crypto.getRandomValues(new Uint8Array(16)));

/** Adds the envelope to a message. */
export function encode(session: string, seq: number, body: ToDevice): string {
  const text = JSON.stringify({ v: VERSION, session, seq, ...body });
  if (new TextEncoder().encode(text).length > MAX_MESSAGE) {
    throw new Unusable(`${body.type}: longer than ${MAX_MESSAGE} bytes`);
  }
  return text;
}

/** Reads and checks one message of a device. Throws `Unusable`. */
export function decode(payload: Uint8Array): Received {
  const it = object(readJson(payload), 'message');
  if (it['v'] !== VERSION) throw new Unusable('version: not 1');
  const session = it['session'];
  return {
    session: typeof session === 'string' && /^[A-Za-z0-9_-]{22}$/.test(session) ? session : null,
    seq: Number.isSafeInteger(it['seq']) && (it['seq'] as number) >= 0 ? (it['seq'] as number) : null,
    body: bodyOf(it),
  };
}

/** Reads a retained status. Null: an empty payload, which removes the device. */
export function decodeStatus(payload: Uint8Array): Status | null {
  if (payload.length === 0) return null;
  const it = object(readJson(payload), 'status');
  if (it['v'] !== VERSION) throw new Unusable('version: not 1');
  const epoch = text(it, 'epoch', 128, '');
  const conn = typeof it['conn'] === 'number' ? it['conn'] : 0;
  if (it['state'] === 'offline') return { state: 'offline', epoch, conn, reason: text(it, 'reason', 64, '') };
  if (it['state'] !== 'online') throw new Unusable('status: state is neither online nor offline');
  return { state: 'online', epoch, conn, auth: text(it, 'auth', 32, '') || null, ...conditionOf(it) };
}

/** The condition of a device, from the fields of its status. Throws `Unusable`. */
export function conditionOf(it: Record<string, unknown>): Condition {
  const count = (key: string) =>
    (Number.isSafeInteger(it[key]) && (it[key] as number) >= 0 ? (it[key] as number) : null);
  return {
    media: mediaOf(it['media'] ?? {}), viewers: count('viewers'), maxViewers: count('max_viewers'),
    version: text(it, 'version', 64, '') || null,
  };
}

/** Reads a retained info. Null: an empty payload, which removes the device. */
export function decodeInfo(payload: Uint8Array): Info | null {
  return payload.length === 0 ? null : infoOf(readJson(payload));
}

/** What an info says. Throws `Unusable`. */
export function infoOf(value: unknown): Info {
  const it = object(value, 'info');
  if (it['v'] !== VERSION) throw new Unusable('version: not 1');
  const name = typeof it['name'] === 'string' ? clean(it['name'], MOST_NAME) : '';
  return {
    name: name || null,
    hasVideo: Array.isArray(it['cameras']) ? it['cameras'].length > 0 : null,
    hasAudio: it['audio'] === undefined ? null : it['audio'] !== null,
    features: Array.isArray(it['features'])
      ? it['features'].slice(0, MOST_FEATURES).filter((one): one is string => typeof one === 'string') : [],
    talk: it['talk'] === true, rights: null,
  };
}

function bodyOf(it: Record<string, unknown>): FromDevice {
  switch (it['type']) {
    case 'welcome':
    case 'event':
      return { type: it['type'] };
    case 'offer':
      return {
        type: 'offer', sdp: text(it, 'sdp', MAX_SDP), restart: it['restart'] === true, leaseS: lease(it),
        iceServers: someServersOf(it), ...loginsOf(it),
      };
    case 'answer':
      return {
        type: 'answer', sdp: text(it, 'sdp', MAX_SDP), offerHash: text(it, 'offer_hash', 128, '') || null,
        leaseS: lease(it), iceServers: someServersOf(it) ?? [], ...loginsOf(it),
      };
    case 'candidates':
      return {
        type: 'candidates', ufrag: text(it, 'ufrag', 256, '') || null,
        candidates: candidatesOf(it['candidates'] ?? []), end: it['end'] === true,
      };
    case 'renewed': {
      const leaseS = lease(it) ?? fail('renewed: no lease_s');
      const iceServers = someServersOf(it);
      return { type: 'renewed', leaseS, ...(iceServers ? { iceServers, ...loginsOf(it) } : {}) };
    }
    case 'media':
      return {
        type: 'media', media: mediaOf(it), route: routeOf(it['route']),
        why: { video: reasonOf(it['video_reason']), audio: reasonOf(it['audio_reason']) },
      };
    case 'goaway':
      return { type: 'goaway', inS: number(it, 'in_s', 86_400), reason: text(it, 'reason', 64, '') };
    case 'bye':
      return { type: 'bye', reason: text(it, 'reason', 64, '') };
    case 'ping':
    case 'pong':
      return { type: it['type'], n: number(it, 'n', Number.MAX_SAFE_INTEGER) };
    case 'result':
      return { type: 'result', ...resultOf(it) };
    case 'part':
      return { type: 'part', ...partOf(it) };
    case 'error': {
      const after = it['retry_after_ms'];
      return {
        type: 'error', code: number(it, 'code', 999), name: text(it, 'name', 64),
        message: clean(text(it, 'message', 1024, ''), 300),
        retryAfterMs: typeof after === 'number' && after >= 0 ? Math.min(after, 3_600_000) : null,
      };
    }
    default:
      throw new Unusable('message: unknown type');
  }
}

function seconds(it: Record<string, unknown>, key: string): number | null {
  const s = it[key];
  return typeof s === 'number' && Number.isFinite(s) && s > 0 ? Math.min(s, 30 * 86_400) : null;
}

function lease(it: Record<string, unknown>): number | null {
  const s = seconds(it, 'lease_s');
  return s === null ? null : Math.min(s, 86_400);
}

function loginsOf(it: Record<string, unknown>): Logins {
  const loginsS = seconds(it, 'logins_s');
  return loginsS === null ? {} : { loginsS };
}

/** The device's text about a fault; null if it is not a text. */
const reasonOf = (value: unknown): string | null => (typeof value === 'string' ? clean(value, 300) || null : null);

/** The route of the media, as the device reports it. */
function routeOf(value: unknown): string | null {
  return typeof value === 'string' && value.length <= 400 ? clean(value, 400) : null;
}

function mediaOf(value: unknown): MediaHealth {
  const it = object(value, 'media');
  const one = (key: string): Health => {
    const is = it[key];
    return HEALTHS.includes(is as Health) ? (is as Health) : 'ok';
  };
  return { video: one('video'), audio: one('audio') };
}

function candidatesOf(value: unknown): Candidate[] {
  if (!Array.isArray(value) || value.length > MAX_CANDIDATES) throw new Unusable('candidates: not a short list');
  return value.map((entry) => {
    const it = object(entry, 'candidate');
    const one: Candidate = { candidate: text(it, 'candidate', 1024, '') };
    if (typeof it['mid'] === 'string' && it['mid'].length <= 64) one.mid = it['mid'];
    if (Number.isSafeInteger(it['mline']) && (it['mline'] as number) >= 0 && (it['mline'] as number) < 16) {
      one.mline = it['mline'] as number;
    }
    return one;
  });
}

const someServersOf = (it: Record<string, unknown>): IceServer[] | null =>
  ((it['ice_servers'] ?? null) === null ? null : serversOf(it['ice_servers']));

function serversOf(value: unknown): IceServer[] {
  if (!Array.isArray(value) || value.length > 16) throw new Unusable('ice_servers: not a short list');
  return value.map((entry) => {
    const it = object(entry, 'ice server');
    const urls = (Array.isArray(it['urls']) ? it['urls'] : [it['urls']]).filter(
      (u): u is string => typeof u === 'string' && u.length <= 512 && /^(stun|stuns|turn|turns):/.test(u),
    );
    const one: IceServer = { urls };
    if (typeof it['username'] === 'string') one.username = it['username'];
    if (typeof it['credential'] === 'string') one.credential = it['credential'];
    return one;
  }).filter((s) => s.urls.length > 0);
}

/** The ICE user fragment of a description: that of the first m-line that has one. */
export const ufragOf = (sdp: string): string | null => /^a=ice-ufrag:(\S+)/m.exec(sdp)?.[1] ?? null;
