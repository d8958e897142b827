// The sequence numbers of messages (section 3). Ours are kept until they were certainly received. The device's are
// processed in order, each once. Pure.

import { MAX_CANDIDATES, encode } from './protocol.ts';
import type { Candidate, FromDevice, ToDevice } from './protocol.ts';

const HELD_MESSAGES = 16;
const BATCH_SIZE = 8;

/** The messages that a viewer sends in one session. */
export class Outbox {
  private seq = 0;
  private kept: { text: string; sent: boolean }[] = [];
  private batch: Candidate[] = [];
  private ufrag = '';
  private gathered = 0;
  private settled = false;

  constructor(
    private readonly session: string, private readonly up: () => boolean,
    private readonly publish: (text: string) => void
  ) {}

  get silent(): boolean {
    return this.seq === 0;
  }

  say(body: ToDevice): void {
    const one = { text: encode(this.session, this.seq, body), sent: this.up() };
    this.seq += 1;
    if (one.sent) this.publish(one.text);
    if (!one.sent || !this.settled) this.kept.push(one);
  }

  /** Sends the message that opened the session again. */
  again(): void {
    if (this.kept[0] && this.up()) this.publish(this.kept[0].text);
  }

  /** The broker is back. Repeated messages have no effect, so during set-up all are sent again rather than lost. */
  repeat(): void {
    const { kept } = this;
    if (this.settled) this.kept = [];
    for (const one of kept) {
      if (one.sent && this.settled) continue;
      one.sent = true;
      this.publish(one.text);
    }
  }

  /** The session is connected, so all messages were received. */
  settle(): void {
    this.settled = true;
    this.kept = this.kept.filter((one) => !one.sent);
  }

  /** A new local description: candidates are counted from 0, beginning with those in it. */
  generation(sdp: string): void {
    this.gathered = sdp.match(/^a=candidate:\S+ \d+ udp /gim)?.length ?? 0;
  }

  /** Collects a candidate; null ends them. Returns true if more may follow. */
  candidate(candidate: Candidate | null, ufrag: string): boolean {
    if (this.batch.length && ufrag !== this.ufrag) this.flush();
    this.ufrag = ufrag;
    if (candidate === null) this.flush(true);
    else if (this.gathered < MAX_CANDIDATES) {
      this.gathered += 1;
      if (this.batch.push(candidate) >= BATCH_SIZE) this.flush();
    }
    return this.batch.length > 0;
  }

  flush(end = false): void {
    const candidates = this.batch.splice(0);
    if (!candidates.length && !end) return;
    this.say({ type: 'candidates', ufrag: this.ufrag, candidates, ...(end ? { end: true as const } : {}) });
  }
}

/** The messages that a device sends in one session. */
export class Inbox {
  private expected = 0;
  private readonly held = new Map<number, FromDevice>();

  /** A message is missing before those that are held. */
  get gap(): boolean {
    return this.held.size > 0;
  }

  repeated(seq: number): boolean {
    return seq < this.expected;
  }

  /** Stores a message; `next` returns those whose turn it is. */
  put(seq: number, body: FromDevice): void {
    if (seq === this.expected || this.held.size < HELD_MESSAGES) this.held.set(seq, body);
  }

  /** Gives up waiting for the messages before the first one held. */
  skip(): void {
    this.expected = Math.min(...this.held.keys());
  }

  next(): FromDevice | null {
    const body = this.held.get(this.expected);
    if (!body) return null;
    this.held.delete(this.expected);
    this.expected += 1;
    return body;
  }
}
