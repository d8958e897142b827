// The life of a call, from "watch" to "stop", over as many sessions as it takes. Pure: time is an argument, what is to be
// done comes out as a list of effects, so that every rule can be tested without a browser or a broker. It is long because
// a state machine is read in one piece.

import { sha256 } from './digest.ts';
import { Inbox, Outbox } from './order.ts';
import { newSession, ufragOf } from './protocol.ts';
import type { Candidate, FromDevice, IceServer, MediaHealth, Received, Status, Wanted, Why } from './protocol.ts';
import { STEPS, byeName, wordsFor } from './words.ts';
import type { Next, Step } from './words.ts';

export type Effect =
  | { do: 'publish'; text: string }
  | { do: 'make_offer'; restart: boolean; servers: IceServer[] }
  | { do: 'take_offer'; sdp: string; servers: IceServer[] }
  | { do: 'take_answer'; sdp: string; servers: IceServer[] }
  | { do: 'take_candidates'; candidates: Candidate[] }
  | { do: 'digest' }
  | { do: 'close' };

export type Phase =
  | { at: 'idle' }
  | { at: 'step'; step: Step }
  | { at: 'offline'; reason: string }
  | { at: 'live'; restarting: boolean }
  | { at: 'error'; name: string; message: string; next: Next; retryAt: number | null };

export interface Options { mode: 'offer' | 'request'; wanted: Wanted; visible?: () => boolean; random?: () => number; session?: () => string }

type Timer = 'batch' | 'begin' | 'answer' | 'setup' | 'lease' | 'gap' | 'lost' | 'restart' | 'relay' | 'goaway' | 'picture';

const BATCH_MS = 20;
const RESEND_MS = [2500, 5000, 10_000];
const ROUTE_MS = 17_000; // the device gives up after 15 s and says so; this is for when it cannot
const SECURE_MS = 12_000;
const PICTURE_MS = 15_000;
const LOST_MS = 4000;
const RESTARTS = 5;
const RESTART_MS = 3000;
const GIVE_UP_MS = 20_000;
const RELAY_MS = 3000;
const EARLY_MS = 5000;
const EARLY_MESSAGES = 8;
const GAP_MS = 1000;
const DOUBT_MS = 1500;
const BACKOFF_MS = [3000, 6000, 12_000, 30_000];
const DEFAULT_LEASE_S = 600;

export class Call {
  phase: Phase = { at: 'idle' };
  media: MediaHealth = { video: 'ok', audio: 'ok' };
  /** What the device says about its picture and its sound, in sentences. */
  why: Why = { video: null, audio: null };
  /** The way media takes, as the device says it. */
  route: string | null = null;
  status: Status | null = null;
  session: string | null = null;
  /** When each step of the present session was reached. */
  reached: Partial<Record<Step | 'start' | 'shown', number>> = {};
  goaway: { reason: string; at: number } | null = null;
  /** Messages that were ignored as the contract asks. */
  ignored = 0;

  private readonly random: () => number;
  private readonly nextSession: () => string;
  private effects: Effect[] = [];
  private timers = new Map<Timer, number>();
  private brokerUp = false;
  private epoch: string | null = null;
  private failures = 0;
  private servers: IceServer[] = [];

  // the present session
  private out: Outbox | null = null;
  private in = new Inbox();
  private resends = 0;
  private early: { at: number; message: FromDevice & { type: 'candidates' } }[] = [];
  private remoteUfrag: string | null = null;
  private nextUfrag: string | null = null;
  private endedUfrag: string | null = null;
  private offer: { sdp: string; at: number; refused: boolean } | null = null; // ours, waiting for its answer
  private theirs: string | null = null; // the device's offer, for our answer
  private digested = { text: '', is: '' };
  private accepted = false; // the device has answered or offered: it keeps this session
  private lastError: (FromDevice & { type: 'error' }) | null = null;
  private leaseS = DEFAULT_LEASE_S;
  private connected = false;
  private pictured = false;
  private lostAt: number | null = null;
  private restarts = 0;

  /** What the device named last time. */
  get iceServers(): IceServer[] {
    return this.servers;
  }

  get mode(): 'offer' | 'request' {
    return this.options.mode;
  }

  constructor(private readonly options: Options) {
    this.random = options.random ?? Math.random;
    this.nextSession = options.session ?? newSession;
  }

  /** What is to be done now, in order. */
  take(): Effect[] {
    return this.effects.splice(0);
  }

  /** When `wake` wants to be called next. */
  nextWake(): number | null {
    return this.timers.size ? Math.min(...this.timers.values()) : null;
  }

  get watching(): boolean {
    return this.phase.at !== 'idle';
  }

  // --- what people and the broker do

  watch(now: number): void {
    this.failures = 0;
    this.begin(now);
  }

  stop(reason = 'left'): void {
    this.end(reason);
    this.timers.clear();
    this.phase = { at: 'idle' };
  }

  broker(up: boolean, now: number): void {
    if (up === this.brokerUp) return;
    this.brokerUp = up;
    if (!this.watching) return;
    if (!up) {
      // A running picture does not need the broker; a call being set up does.
      if (!this.session && this.phase.at === 'offline') this.phase = { at: 'step', step: 'broker' };
      return;
    }
    if (!this.session) {
      if (this.phase.at === 'step' && !this.timers.has('begin')) this.begin(now);
      return;
    }
    this.out?.repeat();
    if (this.timers.has('answer')) this.awaitAnswer(now);
    if (this.lostAt !== null) this.restart(now);
  }

  /** The device's retained presence; null: it was forgotten. */
  deviceStatus(status: Status | null, now: number): void {
    const before = this.status;
    this.status = status;
    if (status?.state === 'online') {
      // What this session was refused stays refused, whatever the device as a whole is doing.
      const of = (key: 'video' | 'audio') => (this.session && this.media[key] === 'refused' ? 'refused' : status.media[key]);
      this.media = { video: of('video'), audio: of('audio') };
    }
    if (!this.watching) return;
    if (status?.state !== 'online') {
      const waits = this.phase.at === 'error' && this.phase.next === 'wait';
      if (status && ((this.session && !this.connected) || waits)) this.offline(status.reason);
      else if (!status && this.phase.at === 'offline') this.phase = { at: 'offline', reason: '' };
      return;
    }
    const soon = now + this.random() * 1000;
    if (this.session) {
      if (this.epoch !== null && status.epoch !== this.epoch) {
        this.end(null);
        this.phase = { at: 'step', step: 'device' };
        this.timers.set('begin', soon);
      }
      this.epoch = status.epoch;
      if (this.phase.at === 'step' && this.phase.step === 'device' && this.session) this.step('offer', now);
      return;
    }
    if (this.phase.at === 'offline') {
      this.phase = { at: 'step', step: 'device' };
      this.timers.set('begin', soon);
    } else if (this.phase.at === 'error' && this.phase.next === 'wait' && this.cured(this.phase.name, before, status)) {
      this.timers.set('begin', Math.min(soon, this.timers.get('begin') ?? soon));
      this.phase = { ...this.phase, retryAt: this.timers.get('begin')! };
    }
  }

  /** The broker refused to carry a message. */
  publishRefused(message: string, now: number): void {
    if (this.session && !this.connected) this.fail('publish_refused', message, null, now);
  }

  // --- what the peer connection does

  localOffer(sdp: string, now: number, restart = false): void {
    if (!this.session) return;
    this.offer = { sdp, at: now, refused: false };
    this.out?.say(restart ? { type: 'offer', sdp, restart: true } : { type: 'offer', sdp });
    this.effects.push({ do: 'digest' });
    this.out?.generation(sdp);
    if (!restart) this.awaitAnswer(now);
  }

  localAnswer(sdp: string): void {
    if (!this.session) return;
    this.out?.say({ type: 'answer', sdp, offer_hash: this.digest() });
    this.out?.generation(sdp);
  }

  /** The digest that the next message needs; known beforehand when this was called in an idle moment. */
  digest(): string {
    const text = this.offer?.sdp ?? this.theirs ?? '';
    if (this.digested.text !== text) this.digested = { text, is: sha256(text) };
    return this.digested.is;
  }

  /** A local candidate; null: there are no more. */
  localCandidate(candidate: Candidate | null, ufrag: string, now: number): void {
    if (!this.out) return;
    if (!this.out.candidate(candidate, ufrag)) this.timers.delete('batch');
    else if (!this.timers.has('batch')) this.timers.set('batch', now + BATCH_MS);
  }

  /** The remote description is in place: candidates that came early may go in. */
  remoteSet(): void {
    this.remoteUfrag = this.nextUfrag ?? this.remoteUfrag;
    const early = this.early.splice(0);
    for (const one of early) this.takeCandidates(one.message, one.at);
  }

  peer(state: 'checking' | 'routed' | 'connected' | 'lost' | 'failed', now: number): void {
    if (!this.session) return;
    if (state === 'routed' && this.phase.at === 'step' && !this.connected) {
      this.step('secure', now);
      this.timers.set('setup', now + SECURE_MS);
      this.timers.delete('relay');
    } else if (state === 'connected') {
      const first = !this.connected;
      this.connected = true;
      this.failures = 0;
      this.lostAt = null;
      this.restarts = 0;
      for (const timer of ['setup', 'answer', 'lost', 'restart', 'relay'] as const) this.timers.delete(timer);
      this.out?.settle();
      if (first) {
        this.step('picture', now);
        this.timers.set('picture', now + PICTURE_MS);
      }
      if (this.pictured) this.phase = { at: 'live', restarting: false };
    } else if (state === 'lost' && this.connected && this.lostAt === null) {
      this.lostAt = now;
      this.timers.set('lost', now + LOST_MS);
    } else if (state === 'failed') {
      if (this.connected) {
        this.lostAt ??= now;
        this.restart(now);
      } else {
        // The peer fails for good only after route or handshake did.
        this.fail(this.phase.at === 'step' && this.phase.step === 'secure' ? 'dtls_failed' : 'ice_failed', '', null, now);
      }
    }
  }

  /** The first picture of this session was shown. */
  shown(now: number): void {
    if (!this.session) return;
    this.reached.shown ??= now;
    this.pictured = true; // the browser may tell of the connection later
    if (this.connected && this.phase.at === 'step') this.phase = { at: 'live', restarting: false };
  }

  /** Something on this side cannot work. */
  localFailed(name: string, message: string, now: number): void {
    // A restart that went wrong here is tried again in its time; what runs goes on.
    if (this.connected) this.ignored += 1;
    else if (this.watching) this.fail(name, message, null, now);
  }

  /** The network of this machine changed: look for a new route at once. */
  networkChanged(now: number): void {
    if (this.lostAt !== null) this.restart(now);
  }

  // --- what the device says

  received(it: Received, now: number): void {
    if (!this.session || it.session !== this.session) {
      this.ignored += 1;
      return;
    }
    // Without a number: outside the order, from a device that keeps no session.
    if (it.seq === null) return this.hear(it.body, now);
    if (it.body.type === 'bye') return this.hear(it.body, now);
    if (this.in.repeated(it.seq)) {
      this.ignored += 1;
      return;
    }
    this.in.put(it.seq, it.body);
    this.takeTurns(now);
  }

  private takeTurns(now: number): void {
    const { in: box } = this;
    // A message may end the session, and its order with it.
    for (let body = box.next(); body && box === this.in; body = box.next()) this.hear(body, now);
    if (!this.in.gap) this.timers.delete('gap');
    else if (!this.timers.has('gap')) this.timers.set('gap', now + GAP_MS);
  }

  // --- time

  wake(now: number): void {
    for (const [timer, at] of [...this.timers]) {
      if (at > now || this.timers.get(timer) !== at) continue;
      this.timers.delete(timer);
      this.due(timer, now);
    }
  }

  private due(timer: Timer, now: number): void {
    switch (timer) {
      case 'batch': return this.out?.flush();
      case 'begin': return this.begin(now);
      case 'gap':
        // A broker that was away longer than a message lives leaves a gap; a running picture does not care.
        if (!this.connected) return this.fail('conflict', 'a message of the device is missing', null, now);
        this.in.skip();
        return this.takeTurns(now);
      case 'answer': {
        const wait = RESEND_MS[this.resends];
        if (wait === undefined) {
          if (this.lastError) return this.fail(this.lastError.name, this.lastError.message, this.lastError.retryAfterMs, now);
          // Nobody is there, rather than somebody who does not answer.
          if (this.status === null) return this.offline('unknown', now);
          return this.fail('timeout', '', null, now);
        }
        if (this.brokerUp) {
          this.resends += 1;
          this.out?.again();
        }
        this.timers.set('answer', now + wait);
        return;
      }
      case 'setup':
        return this.fail(this.phase.at === 'step' && this.phase.step === 'secure' ? 'dtls_failed' : 'ice_timeout', '', null, now);
      case 'relay': return this.offerAgain();
      case 'picture':
        if (this.pictured) return;
        // A browser shows nothing to nobody.
        if (this.media.video === 'ok' && (this.options.visible?.() ?? true)) return this.fail('no_picture', '', null, now);
        this.timers.set('picture', now + PICTURE_MS);
        return;
      case 'lost': return this.restart(now);
      case 'restart': return this.restart(now);
      case 'goaway':
        this.end('goaway');
        return this.begin(now);
      case 'lease':
        if (this.brokerUp) this.out?.say({ type: 'renew' });
        this.timers.set('lease', now + Math.max(2000, (this.leaseS * 1000) / 16));
    }
  }

  // --- inside

  private begin(now: number): void {
    this.end('again');
    this.timers.clear();
    // The wish to watch counts from the click, not from the broker's answer.
    if (!(this.phase.at === 'step' && this.phase.step === 'broker')) this.reached = { start: now };
    if (!this.brokerUp) return void this.step('broker', now);
    if (this.status?.state === 'offline') return this.offline(this.status.reason);
    this.session = this.nextSession();
    this.out = new Outbox(this.session, () => this.brokerUp, (text) => this.effects.push({ do: 'publish', text }));
    this.epoch = this.status?.epoch ?? null;
    this.route = null;
    this.why = { video: null, audio: null };
    this.step(this.status ? 'offer' : 'device', now);
    if (this.options.mode === 'request') {
      this.out.say({ type: 'request', media: this.options.wanted });
      this.awaitAnswer(now);
    } else {
      this.effects.push({ do: 'make_offer', restart: false, servers: this.servers });
    }
  }

  /** Ends the present session, if there is one. A reason is told to the device. */
  private end(reason: string | null): void {
    if (this.session) {
      if (reason !== null && this.brokerUp && !this.out?.silent) this.out?.say({ type: 'bye', reason });
      this.effects.push({ do: 'close' });
    }
    this.session = null;
    // What this session was refused says nothing about the next one.
    if (this.status?.state === 'online') this.media = this.status.media;
    this.timers.clear();
    this.resends = this.restarts = 0;
    this.out = null;
    this.in = new Inbox();
    this.early = [];
    this.remoteUfrag = this.nextUfrag = this.endedUfrag = this.lostAt = this.goaway = this.offer = this.theirs = null;
    this.connected = this.accepted = this.pictured = false;
    this.lastError = null;
    this.leaseS = DEFAULT_LEASE_S;
  }

  private step(step: Step, now: number): void {
    if (this.phase.at === 'step' && this.session && STEPS.indexOf(step) < STEPS.indexOf(this.phase.step) && this.reached[step]) return;
    this.reached[step] ??= now;
    this.phase = { at: 'step', step };
  }

  private offline(reason: string, now?: number): void {
    this.end(null);
    this.phase = { at: 'offline', reason };
    // A device whose status nobody may read can still answer a call.
    if (now !== undefined) this.timers.set('begin', now + this.delay());
  }

  private delay(): number {
    const most = BACKOFF_MS[Math.min(this.failures, BACKOFF_MS.length - 1)]!;
    this.failures += 1;
    return most / 2 + (this.random() * most) / 2;
  }

  private fail(name: string, message: string, retryAfterMs: number | null, now: number): void {
    const { next } = wordsFor(name);
    const told = name === 'hash_mismatch' || name === 'ice_failed' || name === 'ice_timeout' || name === 'dtls_failed' || name === 'conflict' || name === 'timeout' || name === 'no_picture';
    this.end(told ? name : null);
    if (next === 'wait' && this.status?.state === 'offline') return this.offline(this.status.reason);
    let retryAt: number | null = null;
    if (next === 'now' && this.failures < 2) {
      this.failures += 1;
      retryAt = now + this.random() * 1000;
    } else if (next !== 'stay') {
      // Never all at the same moment: the pause the device asks for is stretched a little by chance.
      retryAt = now + (retryAfterMs === null ? this.delay() : retryAfterMs + this.random() * 1000);
    }
    if (retryAt !== null) this.timers.set('begin', retryAt);
    this.phase = { at: 'error', name, message, next, retryAt };
  }

  private cured(name: string, before: Status | null, status: Status & { state: 'online' }): boolean {
    if (name === 'busy') return status.viewers !== null && status.maxViewers !== null && status.viewers < status.maxViewers;
    if (name === 'privacy' || name === 'no_media') return status.media.video === 'ok' || status.media.video === 'starting';
    return before?.state !== 'online' || before.epoch !== status.epoch;
  }

  private awaitAnswer(now: number): void {
    this.resends = 0;
    this.timers.set('answer', now + RESEND_MS[0]!);
  }

  private hear(body: FromDevice, now: number): void {
    switch (body.type) {
      case 'answer':
        return this.takeAnswer(body, now);
      case 'offer':
        return this.takeOffer(body, now);
      case 'candidates':
        return this.takeCandidates(body, now);
      case 'renewed':
        return this.lease(body.leaseS, now);
      case 'media':
        this.media = body.media;
        this.route = body.route;
        this.why = body.why;
        return;
      case 'goaway':
        this.goaway = { reason: body.reason, at: now + body.inS * 1000 };
        this.timers.set('goaway', this.goaway.at + this.random() * 1000);
        return;
      case 'ping':
        this.out?.say({ type: 'pong', n: body.n });
        return;
      case 'bye':
        return this.fail(byeName(body.reason), this.lastError?.name === body.reason ? this.lastError.message : '', null, now);
      case 'error':
        return this.refused(body, now);
      case 'welcome':
      case 'pong':
        return;
    }
  }

  private refused(error: FromDevice & { type: 'error' }, now: number): void {
    // An error ends nothing by itself: what must end, the device ends with `bye`. Only where the way is lost, a device that
    // no longer knows the session will not find it again either.
    const over = (error.name === 'no_session' || error.name === 'gone') && !(this.connected && this.lostAt === null);
    if (this.accepted && !over) {
      this.lastError = error;
      this.ignored += 1;
      if (this.offer) {
        this.offer.refused = true;
        if (error.retryAfterMs !== null && this.lostAt !== null) {
          this.timers.set('restart', Math.min(now + error.retryAfterMs, this.lostAt + GIVE_UP_MS));
        }
      }
      if (error.retryAfterMs !== null && this.timers.has('lease')) this.timers.set('lease', now + error.retryAfterMs);
      return;
    }
    // A refused candidate looks like a refused offer until the answer comes: give it a moment.
    if (!this.accepted && (error.name === 'bad_request' || error.name === 'conflict')) {
      this.lastError = error;
      this.resends = RESEND_MS.length;
      this.timers.set('answer', now + DOUBT_MS);
      return;
    }
    this.fail(error.name, error.message, error.retryAfterMs, now);
  }

  private takeAnswer(answer: FromDevice & { type: 'answer' }, now: number): void {
    if (!this.offer) return void (this.ignored += 1);
    if (answer.offerHash !== this.digest()) {
      // Of a restart it is the answer to an offer that a newer one took over from.
      return this.accepted ? void (this.ignored += 1) : this.fail('hash_mismatch', '', null, now);
    }
    this.offer = null;
    this.servers = answer.iceServers;
    this.nextUfrag = ufragOf(answer.sdp);
    this.effects.push({ do: 'take_answer', sdp: answer.sdp, servers: answer.iceServers });
    if (this.connected) return;
    if (answer.leaseS !== null) this.lease(answer.leaseS, now);
    else this.lease(this.leaseS, now);
    this.routing(now);
    // The servers came after gathering began. Mostly the device's own relay is enough; if not, gather again with them.
    if (answer.iceServers.length) this.timers.set('relay', now + RELAY_MS);
  }

  private takeOffer(offer: FromDevice & { type: 'offer' }, now: number): void {
    // On glare the device yields: ours stands, unless it was refused or nobody heard it.
    if (this.offer && !this.offer.refused && now - this.offer.at < RESTART_MS) return void (this.ignored += 1);
    this.offer = null;
    this.theirs = offer.sdp;
    this.effects.push({ do: 'digest' });
    if (offer.iceServers) this.servers = offer.iceServers;
    this.nextUfrag = ufragOf(offer.sdp);
    this.effects.push({ do: 'take_offer', sdp: offer.sdp, servers: this.servers });
    if (this.connected) return;
    this.lease(offer.leaseS ?? this.leaseS, now);
    this.routing(now);
  }

  private routing(now: number): void {
    this.accepted = true;
    this.lastError = null;
    this.timers.delete('answer');
    if (this.phase.at === 'step' && this.phase.step !== 'secure') this.step('route', now);
    this.timers.set('setup', now + ROUTE_MS);
  }

  private lease(seconds: number, now: number): void {
    this.leaseS = seconds;
    this.timers.set('lease', now + seconds * 500);
  }

  private takeCandidates(message: FromDevice & { type: 'candidates' }, now: number): void {
    this.early = this.early.filter((one) => one.at > now - EARLY_MS);
    const { ufrag } = message;
    if (this.remoteUfrag === null || (ufrag !== null && ufrag !== this.remoteUfrag && (this.offer || ufrag === this.nextUfrag))) {
      if (this.early.length < EARLY_MESSAGES) this.early.push({ at: now, message });
      else this.ignored += 1;
      return;
    }
    if ((ufrag !== null && ufrag !== this.remoteUfrag) || this.endedUfrag === this.remoteUfrag) return void (this.ignored += 1);
    if (message.end) this.endedUfrag = this.remoteUfrag;
    const candidates = message.candidates.filter((one) => one.candidate !== '');
    if (candidates.length) this.effects.push({ do: 'take_candidates', candidates });
  }

  private restart(now: number): void {
    this.timers.delete('lost');
    if (!this.session || this.lostAt === null) return;
    if (this.phase.at === 'live') this.phase = { at: 'live', restarting: true };
    if (this.restarts >= RESTARTS || now - this.lostAt >= GIVE_UP_MS) return this.fail('ice_failed', '', null, now);
    this.timers.set('restart', now + RESTART_MS);
    if (!this.brokerUp) return; // it comes back here when the broker does
    this.restarts += 1;
    this.offerAgain();
  }

  private offerAgain(): void {
    this.effects.push({ do: 'make_offer', restart: true, servers: this.servers });
  }
}
