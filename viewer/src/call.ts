// A call from "watch" to "stop", over as many sessions as it takes: presence of broker and device, retries, and what a person
// is told. Pure: time is an argument, and what is to be done comes out as a list of effects, so that every rule can be tested
// without a browser or a broker.

import type { Effect, Options } from './effect.ts';
import { isToldToDevice, nextAfter } from './errors.ts';
import { STEPS } from './phase.ts';
import type { Doing, Phase, Step } from './phase.ts';
import { newSession } from './protocol.ts';
import type { Candidate, IceServer, MediaHealth, Received, Status, Why } from './protocol.ts';
import { Retry, isCured } from './retry.ts';
import { Session } from './session.ts';
import type { Failure, Owner } from './session.ts';

const NOTHING: Why = { video: null, audio: null };

export class Call implements Owner {
  phase: Phase = { at: 'idle' };
  media: MediaHealth = { video: 'ok', audio: 'ok' };
  status: Status | null = null;
  /** What the device named last time. */
  servers: IceServer[] = [];
  brokerUp = false;
  /** When each step of the present session was reached. */
  reached: Partial<Record<Step | 'start' | 'shown', number>> = {};
  /** Messages that were ignored as the contract asks. */
  ignored = 0;

  private readonly retry: Retry;
  private readonly nextSession: () => string;
  private effects: Effect[] = [];
  private running: Session | null = null;
  private beginAt: number | null = null;

  constructor(readonly options: Options) {
    this.retry = new Retry(options.random ?? Math.random);
    this.nextSession = options.session ?? newSession;
  }

  /** The id of the present session. */
  get session(): string | null {
    return this.running?.id ?? null;
  }

  /** What the device says about its picture and its sound, in sentences. */
  get why(): Why {
    return this.running?.why ?? NOTHING;
  }

  /** The way media takes, as the device says it. */
  get route(): string | null {
    return this.running?.route ?? null;
  }

  /** The device announced that it will end the session. */
  get goaway(): boolean {
    return !!this.running?.goaway;
  }

  get watching(): boolean {
    return this.phase.at !== 'idle';
  }

  /** What is to be done now, in order. */
  take(): Effect[] {
    return this.effects.splice(0);
  }

  /** When `wake` wants to be called next. */
  nextWake(): number | null {
    const times = [this.running?.nextWake() ?? null, this.beginAt].filter((at) => at !== null);
    return times.length ? Math.min(...times) : null;
  }

  wake(now: number): void {
    this.running?.wake(now);
    if (this.beginAt !== null && this.beginAt <= now) this.begin(now);
  }

  // --- what people and the broker do

  watch(now: number): void {
    this.retry.reset();
    this.begin(now);
  }

  stop(reason = 'left'): void {
    this.end(reason);
    this.phase = { at: 'idle' };
  }

  broker(up: boolean, now: number): void {
    if (up === this.brokerUp) return;
    this.brokerUp = up;
    if (!this.watching) return;
    if (!up) {
      // A running picture does not need the broker; a call being set up does.
      if (!this.running && this.phase.at === 'offline') this.phase = { at: 'step', step: 'broker' };
      return;
    }
    if (this.running) this.running.brokerReturned(now);
    else if (this.phase.at === 'step' && this.beginAt === null) this.begin(now);
  }

  /** The device's retained presence; null: it was forgotten. */
  deviceStatus(status: Status | null, now: number): void {
    const before = this.status;
    this.status = status;
    if (status?.state === 'online') {
      // What this session was refused stays refused, whatever the device as a whole is doing.
      const of = (key: 'video' | 'audio') => (this.running && this.media[key] === 'refused' ? 'refused' : status.media[key]);
      this.media = { video: of('video'), audio: of('audio') };
    }
    if (!this.watching) return;
    if (status?.state !== 'online') {
      const waits = this.phase.at === 'error' && this.phase.next === 'wait';
      if (status && ((this.running && !this.running.connected) || waits)) this.offline(status.reason);
      else if (!status && this.phase.at === 'offline') this.phase = { at: 'offline', reason: '' };
      return;
    }
    const soon = now + this.retry.jitter();
    if (this.running) {
      const { epoch } = this.running;
      this.running.epoch = status.epoch;
      if (epoch !== null && status.epoch !== epoch) this.beginSoon(soon);
      else if (this.phase.at === 'step' && this.phase.step === 'device') this.step('offer', now);
    } else if (this.phase.at === 'offline') {
      this.beginSoon(soon);
    } else if (this.phase.at === 'error' && this.phase.next === 'wait' && isCured(this.phase.name, before, status)) {
      this.beginAt = Math.min(soon, this.beginAt ?? soon);
      this.phase = { ...this.phase, retryAt: this.beginAt };
    }
  }

  /** The broker refused to carry a message. */
  publishRefused(message: string, now: number): void {
    if (this.running && !this.running.connected) this.fail('publish_refused', now, { message });
  }

  // --- what the peer connection does, and what the device says

  localOffer(sdp: string, now: number, restart = false): void {
    this.running?.localOffer(sdp, now, restart);
  }

  localAnswer(sdp: string): void {
    this.running?.localAnswer(sdp);
  }

  /** A local candidate; null: there are no more. */
  localCandidate(candidate: Candidate | null, ufrag: string, now: number): void {
    this.running?.localCandidate(candidate, ufrag, now);
  }

  /** The remote description is in place. */
  remoteSet(): void {
    this.running?.remoteSet();
  }

  peer(state: 'checking' | 'routed' | 'connected' | 'lost' | 'failed', now: number): void {
    this.running?.peer(state, now);
  }

  /** The first picture of this session was shown. */
  shown(now: number): void {
    this.running?.shown(now);
  }

  /** Something in this browser failed. */
  localFailed(name: string, now: number, doing: Doing | null = null, message = ''): void {
    // A failed restart is repeated by its timer; the picture continues.
    if (this.running?.connected) this.ignored += 1;
    else if (this.watching) this.fail(name, now, { doing, message });
  }

  networkChanged(now: number): void {
    this.running?.networkChanged(now);
  }

  /** Computes the digest of the present offer in an idle moment. */
  digest(): void {
    this.running?.digest();
  }

  received(it: Received, now: number): void {
    if (this.running && it.session === this.running.id) this.running.received(it, now);
    else this.ignored += 1;
  }

  // --- for the session

  push(effect: Effect): void {
    this.effects.push(effect);
  }

  jitter(): number {
    return this.retry.jitter();
  }

  succeeded(): void {
    this.retry.reset();
  }

  step(step: Step, now: number): void {
    if (this.phase.at === 'step' && this.running && STEPS.indexOf(step) < STEPS.indexOf(this.phase.step) && this.reached[step]) return;
    this.reached[step] ??= now;
    this.phase = { at: 'step', step };
  }

  begin(now: number, reason = 'again'): void {
    this.end(reason);
    // The wish to watch counts from the click, not from the broker's answer.
    if (!(this.phase.at === 'step' && this.phase.step === 'broker')) this.reached = { start: now };
    if (!this.brokerUp) return this.step('broker', now);
    if (this.status?.state === 'offline') return this.offline(this.status.reason);
    this.running = new Session(this.nextSession(), this);
    this.step(this.status ? 'offer' : 'device', now);
    this.running.open(now);
  }

  offline(reason: string, now?: number): void {
    this.end(null);
    this.phase = { at: 'offline', reason };
    // A device whose status this login may not read can still answer a call.
    if (now !== undefined) this.beginAt = now + this.retry.delay();
  }

  fail(name: string, now: number, { doing = null, message = '', retryAfterMs = null }: Failure = {}): void {
    const next = nextAfter(name);
    this.end(isToldToDevice(name) ? name : null);
    if (next === 'wait' && this.status?.state === 'offline') return this.offline(this.status.reason);
    const after = this.retry.after(next, retryAfterMs);
    this.beginAt = after === null ? null : now + after;
    this.phase = { at: 'error', name, doing, message, next, retryAt: this.beginAt };
  }

  // --- inside

  private beginSoon(at: number): void {
    this.end(null);
    this.phase = { at: 'step', step: 'device' };
    this.beginAt = at;
  }

  /** Ends the present session, if there is one. A reason is told to the device. */
  private end(reason: string | null): void {
    const { running } = this;
    this.beginAt = null;
    this.running = null;
    running?.close(reason);
    // What this session was refused says nothing about the next one.
    if (this.status?.state === 'online') this.media = this.status.media;
  }
}
