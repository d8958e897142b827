// A call from "watch" to "stop", over as many sessions as needed: presence of broker and device, retries, and what is
// shown. Pure: time is an argument, and the result is a list of effects. So every rule can be tested without browser
// and broker.

import type { Effect, Options } from './effect.ts';
import { isToldToDevice, nextAfter } from './errors.ts';
import type { Failure, Owner } from './owner.ts';
import { STEPS } from './phase.ts';
import type { Doing, Phase, Step } from './phase.ts';
import type { Command, Way } from './commands.ts';
import { encode, newSession } from './protocol.ts';
import type { Candidate, MediaHealth, Received, Status, Why } from './protocol.ts';
import { refusal } from './results.ts';
import { Retry, isCured } from './retry.ts';
import { Session } from './session.ts';
import { TurnLogins } from './turn-logins.ts';

/** The board lets 8 commands wait. Of an older one, nobody expects anything. */
const MOST_ALONE = 16;
const NOTHING: Why = { video: null, audio: null };

export class Call implements Owner {
  phase: Phase = { at: 'idle' };
  media: MediaHealth = { video: 'ok', audio: 'ok' };
  status: Status | null = null;
  readonly turn = new TurnLogins();
  brokerUp = false;
  /** When each step of the current session was reached. */
  reached: Partial<Record<Step | 'start' | 'shown', number>> = {};
  /** How many messages were ignored, as the protocol requires. */
  ignored = 0;
  /** Messages are sealed: the device does not answer those whom it does not know. */
  sealed = false;

  private readonly retry: Retry;
  private readonly nextSession: () => string;
  private effects: Effect[] = [];
  private running: Session | null = null;
  private beginAt: number | null = null;
  /** The commands that were given without a session: the session of each message, and the command's id. */
  private readonly alone = new Map<string, number>();
  /** Why the device must not be spoken to, as an error name; null: it may. */
  private barred: string | null = null;

  constructor(readonly options: Options) {
    this.retry = new Retry(options.random ?? Math.random);
    this.nextSession = options.session ?? newSession;
  }

  /** The id of the current session. */
  get session(): string | null {
    return this.running?.id ?? null;
  }

  /** A session runs, and is connected. */
  get connected(): boolean {
    return this.running?.connected ?? false;
  }

  /** The device's faults of video and audio, as sentences. */
  get why(): Why {
    return this.running?.why ?? NOTHING;
  }

  /** The route of the media, as the device reports it. */
  get route(): string | null {
    return this.running?.route ?? null;
  }

  /** Whether commands may go by the data channel: the session is connected, and the device is the paired one. */
  get trusted(): boolean {
    return this.barred === null && !!this.running?.connected;
  }

  /** Whether the device announced that it will end the session. */
  get goaway(): boolean {
    return !!this.running?.goaway;
  }

  get watching(): boolean {
    return this.phase.at !== 'idle';
  }

  /** Takes the pending effects, in order. */
  take(): Effect[] {
    return this.effects.splice(0);
  }

  /** When to call `wake` next. */
  nextWake(): number | null {
    const times = [this.running?.nextWake() ?? null, this.beginAt].filter((at) => at !== null);
    return times.length ? Math.min(...times) : null;
  }

  wake(now: number): void {
    this.running?.wake(now);
    if (this.beginAt !== null && this.beginAt <= now) this.begin(now);
  }

  // --- Actions of the user and the broker.

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
      // A running picture does not need the broker, but a new call does.
      if (!this.running && this.phase.at === 'offline') this.phase = { at: 'step', step: 'broker' };
      return;
    }
    if (this.running) this.running.brokerReturned(now);
    else if (this.phase.at === 'step' && this.beginAt === null) this.begin(now);
  }

  /** The device's retained status; null: the device was removed. */
  deviceStatus(status: Status | null, now: number): void {
    const before = this.status;
    this.status = status;
    if (status?.state === 'online') {
      // What this session was refused stays refused, whatever the status of the device is.
      const of = (key: 'video' | 'audio') =>
        (this.running && this.media[key] === 'refused' ? 'refused' : status.media[key]);
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

  /**
   * The device must not be spoken to, because it is not the one that was paired; null: it may again. A running picture
   * is not concerned, since its keys were checked, unless it is `over`.
   */
  bar(why: string | null, now: number, over = false): void {
    const before = this.barred;
    this.barred = why;
    if (!this.watching || (why === before && !over)) return;
    if (why === null) {
      if (this.phase.at === 'error' && this.phase.name === before) this.begin(now);
    } else if (over || !this.running?.connected) {
      this.fail(why, now);
    }
  }

  /** The broker refused to publish a message. */
  publishRefused(message: string, now: number): void {
    if (this.running && !this.running.connected) this.fail('publish_refused', now, { message });
  }

  /** There is a newer access token, which the device must get. */
  renew(now: number): void {
    this.running?.renew(now);
  }

  /** There is no access token. A running picture continues with the token that it has. */
  noToken(why: string, message: string, now: number): void {
    if (this.running && !this.running.connected) this.fail(why, now, { message });
  }

  // --- Actions of the peer connection, and messages of the device.

  localOffer(sdp: string, now: number, restart = false): void {
    this.running?.localOffer(sdp, now, restart);
  }

  localAnswer(sdp: string): void {
    this.running?.localAnswer(sdp);
  }

  /** A local candidate; null: gathering is complete. */
  localCandidate(candidate: Candidate | null, ufrag: string, now: number): void {
    this.running?.localCandidate(candidate, ufrag, now);
  }

  /** The remote description is set. */
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
    // A failed restart is repeated by its timer, and the picture continues.
    if (this.running?.connected) this.ignored += 1;
    else if (this.watching) this.fail(name, now, { doing, message });
  }

  networkChanged(now: number): void {
    this.running?.networkChanged(now);
  }

  /** Computes the digest of the current offer ahead of time. */
  digest(): void {
    this.running?.digest();
  }

  received(it: Received, now: number): void {
    if (this.running && it.session === this.running.id) this.running.received(it, now);
    else if (it.session !== null && this.alone.has(it.session)) this.receivedAlone(it, this.alone.get(it.session)!);
    else this.ignored += 1;
  }

  /** Sends a command: in the session if one is connected, else alone. Null: there is no way to the device. */
  command(command: Command): Way | null {
    if (!this.brokerUp || this.barred !== null || this.status?.state === 'offline') return null;
    const body = { type: 'command' as const, ...command };
    if (this.running?.connected) {
      this.running.command(body);
      return 'session';
    }
    const session = this.nextSession();
    this.effects.push({ do: 'publish', text: encode(session, 0, body) });
    this.alone.set(session, command.id);
    for (const old of [...this.alone.keys()].slice(0, -MOST_ALONE)) this.alone.delete(old);
    return 'alone';
  }

  private receivedAlone({ body }: Received, id: number): void {
    if (body.type === 'error') {
      const { code, name, message, retryAfterMs } = body;
      const error = { ...refusal(name, message, code), retryAfterMs };
      this.effects.push({ do: 'answered', body: { type: 'result', id, error } });
    } else if ((body.type === 'result' && (body.id ?? id) === id) || (body.type === 'part' && body.id === id)) {
      this.effects.push({ do: 'answered', body: { ...body, id } });
    } else {
      this.ignored += 1;
    }
  }

  // --- For the session.

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
    if (this.phase.at === 'step' && this.running && STEPS.indexOf(step) < STEPS.indexOf(this.phase.step)
      && this.reached[step])
      return;
    this.reached[step] ??= now;
    this.phase = { at: 'step', step };
  }

  begin(now: number, reason = 'again'): void {
    this.end(reason);
    // Time counts from the click, not from the broker's answer.
    if (!(this.phase.at === 'step' && this.phase.step === 'broker')) this.reached = { start: now };
    if (this.barred !== null) return this.fail(this.barred, now);
    if (!this.brokerUp) return this.step('broker', now);
    if (this.status?.state === 'offline') return this.offline(this.status.reason);
    this.running = new Session(this.nextSession(), this);
    this.step(this.status ? 'offer' : 'device', now);
    this.running.open(now);
  }

  offline(reason: string, now?: number): void {
    this.end(null);
    this.phase = { at: 'offline', reason };
    // Even if this login may not read the device's status, the device can answer a call.
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

  // --- Internal.

  private beginSoon(at: number): void {
    this.end(null);
    this.phase = { at: 'step', step: 'device' };
    this.beginAt = at;
  }

  /** Ends the current session, if there is one. With a reason, the device gets a `bye`. */
  private end(reason: string | null): void {
    const { running } = this;
    this.beginAt = null;
    this.running = null;
    running?.close(reason);
    // What this session was refused says nothing about the next one.
    if (this.status?.state === 'online') this.media = this.status.media;
  }
}
