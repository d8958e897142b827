// One session of a call (docs/reference/protocol.md section 3): set-up, lease, ICE restarts and end. It is driven by
// messages, timers and the peer connection. Pure: time is an argument, and the result is a list of effects.

import { byeName } from './errors.ts';
import { Negotiation } from './negotiation.ts';
import type { CandidatesMessage } from './negotiation.ts';
import { Inbox, Outbox } from './order.ts';
import type { Owner } from './owner.ts';
import type { Candidate, FromDevice, Received, ToDevice, Why } from './protocol.ts';

type Timer =
  | 'batch' | 'answer' | 'setup' | 'lease' | 'gap' | 'lost' | 'restart' | 'relay' | 'goaway' | 'picture';
type ErrorMessage = FromDevice & { type: 'error' };

const BATCH_MS = 20;
const RESEND_MS = [2500, 5000, 10_000];
const ROUTE_MS = 17_000; // the device reports a timeout after 15 s; this covers a device that cannot
const SECURE_MS = 12_000;
const PICTURE_MS = 15_000;
const LOST_MS = 4000;
const RESTARTS = 5;
const RESTART_MS = 3000;
const GIVE_UP_MS = 20_000;
const RELAY_MS = 3000;
const GAP_MS = 1000;
const DOUBT_MS = 1500;
const ROUNDED_MS = 2000;
const DEFAULT_LEASE_S = 600;

export class Session {
  /** The device's faults of video and audio, as sentences. */
  why: Why = { video: null, audio: null };
  /** The route of the media, as the device reports it. */
  route: string | null = null;
  goaway: { reason: string; at: number } | null = null;
  /** The device's epoch, which changes with each start; null: unknown. */
  epoch: string | null;
  connected = false;

  private readonly timers = new Map<Timer, number>();
  private readonly out: Outbox;
  private readonly in = new Inbox();
  private readonly negotiation = new Negotiation();
  private resends = 0;
  private lastError: ErrorMessage | null = null;
  private leaseS = DEFAULT_LEASE_S;
  private pictured = false;
  private lostAt: number | null = null;
  private restarts = 0;
  private over = false;

  constructor(readonly id: string, private readonly call: Owner) {
    this.out = new Outbox(id, () => call.brokerUp, (text) => call.push({ do: 'publish', text }));
    this.epoch = call.status?.epoch ?? null;
  }

  open(now: number): void {
    const { options, turn } = this.call;
    if (options.mode === 'request') {
      this.out.say({ type: 'request', media: options.wanted });
      this.awaitAnswer(now);
    } else {
      this.call.push({ do: 'make_offer', restart: false, servers: turn.current(now) });
    }
  }

  /** Ends the session. With a reason, the device gets a `bye`. */
  close(reason: string | null): void {
    if (reason !== null && this.call.brokerUp && !this.out.silent) this.out.say({ type: 'bye', reason });
    this.call.push({ do: 'close' });
    this.over = true;
    this.timers.clear();
  }

  /** The broker is back. */
  brokerReturned(now: number): void {
    this.out.repeat();
    if (this.timers.has('answer')) this.awaitAnswer(now);
    this.networkChanged(now);
  }

  /** The network of this machine changed: look for a new route at once. */
  networkChanged(now: number): void {
    if (this.lostAt !== null) this.restart(now);
  }

  /** Sends a command in the order of the session. */
  command(command: ToDevice & { type: 'command' }): void {
    this.out.say(command);
  }

  // --- Actions of the peer connection.

  localOffer(sdp: string, now: number, restart: boolean): void {
    this.negotiation.offered(sdp, now);
    this.out.say(restart ? { type: 'offer', sdp, restart: true } : { type: 'offer', sdp });
    this.call.push({ do: 'digest' });
    this.out.generation(sdp);
    if (!restart) this.awaitAnswer(now);
  }

  localAnswer(sdp: string): void {
    this.out.say({ type: 'answer', sdp, offer_hash: this.digest() });
    this.out.generation(sdp);
  }

  /** The digest for the next message. It is computed ahead if this was called in an idle moment. */
  digest(): string {
    return this.negotiation.digest();
  }

  /** A local candidate; null: gathering is complete. */
  localCandidate(candidate: Candidate | null, ufrag: string, now: number): void {
    if (!this.out.candidate(candidate, ufrag)) this.timers.delete('batch');
    else if (!this.timers.has('batch')) this.timers.set('batch', now + BATCH_MS);
  }

  /** The remote description is set, so candidates that came early may be added. */
  remoteSet(): void {
    for (const { message, at } of this.negotiation.remoteSet()) this.takeCandidates(message, at);
  }

  peer(state: 'checking' | 'routed' | 'connected' | 'lost' | 'failed', now: number): void {
    const { call } = this;
    if (state === 'routed' && call.phase.at === 'step' && !this.connected) {
      call.step('secure', now);
      this.timers.set('setup', now + SECURE_MS);
      this.timers.delete('relay');
    } else if (state === 'connected') {
      const first = !this.connected;
      this.connected = true;
      call.succeeded();
      this.lostAt = null;
      this.restarts = 0;
      for (const timer of ['setup', 'answer', 'lost', 'restart', 'relay'] as const) this.timers.delete(timer);
      this.out.settle();
      if (first) {
        call.step('picture', now);
        this.timers.set('picture', now + PICTURE_MS);
      }
      if (this.pictured) call.phase = { at: 'live', restarting: false };
    } else if (state === 'lost' && this.connected && this.lostAt === null) {
      this.lostAt = now;
      this.timers.set('lost', now + LOST_MS);
    } else if (state === 'failed') {
      if (this.connected) {
        this.lostAt ??= now;
        this.restart(now);
      } else {
        // The peer connection fails only after ICE or DTLS failed.
        call.fail(this.securing ? 'dtls_failed' : 'ice_failed', now);
      }
    }
  }

  /** The first picture was shown. */
  shown(now: number): void {
    this.call.reached.shown ??= now;
    this.pictured = true; // the browser may report the connection later
    if (this.connected && this.call.phase.at === 'step') this.call.phase = { at: 'live', restarting: false };
  }

  // --- Messages of the device.

  received({ seq, body }: Received, now: number): void {
    // A message without a number is outside the order, from a device that keeps no session. A `bye` is processed at
    // once too.
    if (seq === null || body.type === 'bye') return this.hear(body, now);
    if (this.in.repeated(seq)) return this.ignore();
    this.in.put(seq, body);
    this.takeTurns(now);
  }

  private takeTurns(now: number): void {
    // A message may end the session.
    for (let body = this.in.next(); body; body = this.over ? null : this.in.next()) this.hear(body, now);
    if (this.over) return;
    if (!this.in.gap) this.timers.delete('gap');
    else if (!this.timers.has('gap')) this.timers.set('gap', now + GAP_MS);
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
        this.lease(body.leaseS, now);
        if (!body.iceServers) return;
        this.call.turn.take(body.iceServers, body, now);
        this.call.push({ do: 'set_servers', servers: body.iceServers });
        return;
      case 'media':
        [this.call.media, this.route, this.why] = [body.media, body.route, body.why];
        return;
      case 'goaway':
        this.goaway = { reason: body.reason, at: now + body.inS * 1000 };
        this.timers.set('goaway', this.goaway.at + this.call.jitter());
        return;
      case 'ping': return this.out.say({ type: 'pong', n: body.n });
      case 'bye':
        // If the owner changed what this viewer may do, a new session may have what is left.
        return this.call.fail(
          body.reason === 'forbidden' && this.connected ? 'withdrawn' : byeName(body.reason), now,
          this.lastError?.name === body.reason ? { message: this.lastError.message } : {}
        );
      case 'error':
        return this.refused(body, now);
      case 'result': case 'part':
        return this.call.push({ do: 'answered', body });
      case 'welcome': case 'event':
      case 'pong':
        return;
    }
  }

  private refused(error: ErrorMessage, now: number): void {
    // An error does not end a session; the device ends it with `bye`. Only if the route is lost, a device that no
    // longer knows the session cannot restore it.
    const over = (error.name === 'no_session' || error.name === 'gone') && !(this.connected && this.lostAt === null);
    if (this.negotiation.accepted && !over) {
      this.lastError = error;
      this.ignore();
      if (this.negotiation.waits) {
        this.negotiation.refused();
        if (error.retryAfterMs !== null && this.lostAt !== null) {
          this.timers.set('restart', Math.min(now + error.retryAfterMs, this.lostAt + GIVE_UP_MS));
        }
      }
      if (error.retryAfterMs !== null && this.timers.has('lease')) this.timers.set('lease', now + error.retryAfterMs);
      return;
    }
    // Until the answer comes, a refused candidate looks like a refused offer, so this waits a moment.
    if (!this.negotiation.accepted && (error.name === 'bad_request' || error.name === 'conflict')) {
      this.lastError = error;
      this.resends = RESEND_MS.length;
      this.timers.set('answer', now + DOUBT_MS);
      return;
    }
    this.call.fail(error.name, now, error);
  }

  private takeAnswer(answer: FromDevice & { type: 'answer' }, now: number): void {
    if (!this.negotiation.waits) return this.ignore();
    if (answer.offerHash !== this.digest()) {
      // During a restart, this may be the answer to an earlier offer that a newer one replaced.
      return this.negotiation.accepted ? this.ignore() : this.call.fail('hash_mismatch', now);
    }
    this.negotiation.tookAnswer(answer.sdp);
    this.call.turn.take(answer.iceServers, answer, now);
    this.call.push({ do: 'take_answer', sdp: answer.sdp, servers: answer.iceServers });
    if (this.connected) return;
    this.lease(answer.leaseS ?? this.leaseS, now);
    this.routing(now);
    // The servers came after gathering began. The device's own relay is usually enough; if not, gather again with these
    // servers.
    if (answer.iceServers.length) this.timers.set('relay', now + RELAY_MS);
  }

  private takeOffer(offer: FromDevice & { type: 'offer' }, now: number): void {
    if (this.negotiation.ignoresOffer(now, RESTART_MS)) return this.ignore();
    this.negotiation.tookOffer(offer.sdp);
    this.call.push({ do: 'digest' });
    const { turn } = this.call;
    if (offer.iceServers) turn.take(offer.iceServers, offer, now);
    this.call.push({ do: 'take_offer', sdp: offer.sdp, servers: turn.current(now) });
    if (this.connected) return;
    this.lease(offer.leaseS ?? this.leaseS, now);
    this.routing(now);
  }

  private routing(now: number): void {
    const { phase } = this.call;
    this.negotiation.accepted = true;
    this.lastError = null;
    this.timers.delete('answer');
    if (phase.at === 'step' && phase.step !== 'secure') this.call.step('route', now);
    this.timers.set('setup', now + ROUTE_MS);
  }

  private lease(seconds: number, now: number): void {
    this.leaseS = seconds;
    this.timers.set('lease', now + seconds * 500);
    // A newer access token moved the end that the device had announced.
    if (this.goaway && now + seconds * 1000 > this.goaway.at + ROUNDED_MS) {
      this.goaway = null;
      this.timers.delete('goaway');
    }
  }

  /** Sends a `renew`, and again until it is answered: it has the newer access token. */
  renew(now: number): void {
    if (!this.out.silent) this.timers.set('lease', now);
  }

  private takeCandidates(message: CandidatesMessage, now: number): void {
    const candidates = this.negotiation.candidates(message, now);
    if (candidates === null) this.ignore();
    else if (candidates.length) this.call.push({ do: 'take_candidates', candidates });
  }

  // --- Time.

  /** When to call `wake` next. */
  nextWake(): number | null {
    return this.timers.size ? Math.min(...this.timers.values()) : null;
  }

  wake(now: number): void {
    for (const [timer, at] of [...this.timers]) {
      if (at > now || this.timers.get(timer) !== at) continue;
      this.timers.delete(timer);
      this.due(timer, now);
    }
  }

  private due(timer: Timer, now: number): void {
    const { call } = this;
    switch (timer) {
      case 'batch': return this.out.flush();
      case 'gap':
        // If the broker was away for longer than messages live, some are lost. This does not concern a running picture.
        if (!this.connected) return call.fail('conflict', now);
        this.in.skip();
        return this.takeTurns(now);
      case 'answer': return this.resend(now);
      case 'setup': return call.fail(this.securing ? 'dtls_failed' : 'ice_timeout', now);
      case 'relay': return this.offerAgain(now);
      case 'picture':
        if (this.pictured) return;
        // A browser presents no frames while nobody looks.
        if (call.media.video === 'ok' && (call.options.visible?.() ?? true)) return call.fail('no_picture', now);
        this.timers.set('picture', now + PICTURE_MS);
        return;
      case 'lost': case 'restart': return this.restart(now);
      case 'goaway': return call.begin(now, 'goaway');
      case 'lease':
        if (call.brokerUp) this.out.say({ type: 'renew' });
        this.timers.set('lease', now + Math.max(2000, (this.leaseS * 1000) / 16));
    }
  }

  private awaitAnswer(now: number): void {
    this.resends = 0;
    this.timers.set('answer', now + RESEND_MS[0]!);
  }

  private resend(now: number): void {
    const { call } = this;
    // A device that knows this viewer answers at once. One that does not is silent.
    const silent = call.sealed && call.status?.state === 'online' && this.resends >= RESEND_MS.length - 1;
    const wait = silent ? undefined : RESEND_MS[this.resends];
    if (wait === undefined) {
      if (this.lastError) return call.fail(this.lastError.name, now, this.lastError);
      const why = !silent ? 'timeout' : call.options.token ? 'token_unanswered' : 'unanswered';
      return call.status ? call.fail(why, now) : call.offline('unknown', now);
    }
    if (call.brokerUp) {
      this.resends += 1;
      this.out.again();
    }
    this.timers.set('answer', now + wait);
  }

  private restart(now: number): void {
    const { call } = this;
    this.timers.delete('lost');
    if (this.lostAt === null) return;
    if (call.phase.at === 'live') call.phase = { at: 'live', restarting: true };
    if (this.restarts >= RESTARTS || now - this.lostAt >= GIVE_UP_MS) return call.fail('ice_failed', now);
    this.timers.set('restart', now + RESTART_MS);
    if (!call.brokerUp) return; // called again when the broker is back
    this.restarts += 1;
    this.offerAgain(now);
  }

  private offerAgain(now: number): void {
    this.call.push({ do: 'make_offer', restart: true, servers: this.call.turn.current(now) });
  }

  private get securing(): boolean {
    return this.call.phase.at === 'step' && this.call.phase.step === 'secure';
  }

  private ignore(): void { this.call.ignored += 1; }
}
