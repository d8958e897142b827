// Offer, answer and candidates of one session (JSEP, RFC 8829): which offer waits for its answer, which side yields on
// glare, and to which description remote candidates belong. Pure.

import { sha256 } from './digest.ts';
import { ufragOf } from './protocol.ts';
import type { Candidate, FromDevice } from './protocol.ts';

export type CandidatesMessage = FromDevice & { type: 'candidates' };

const EARLY_MS = 5000;
const EARLY_MESSAGES = 8;

export class Negotiation {
  /** The device has answered or offered, so it knows this session. */
  accepted = false;

  private offer: { sdp: string; at: number; refused: boolean } | null = null; // ours, waiting for its answer
  private theirs: string | null = null; // the device's offer, for our answer
  private digested = { text: '', is: '' };
  private remoteUfrag: string | null = null;
  private nextUfrag: string | null = null;
  private endedUfrag: string | null = null;
  private early: { at: number; message: CandidatesMessage }[] = [];

  /** Whether our offer waits for its answer. */
  get waits(): boolean {
    return this.offer !== null;
  }

  offered(sdp: string, now: number): void {
    this.offer = { sdp, at: now, refused: false };
  }

  /** The device refused our offer. */
  refused(): void {
    if (this.offer) this.offer.refused = true;
  }

  /** SHA-256 of the current offer, for the next answer. It is computed ahead if this was called in an idle moment. */
  digest(): string {
    const text = this.offer?.sdp ?? this.theirs ?? '';
    if (this.digested.text !== text) this.digested = { text, is: sha256(text) };
    return this.digested.is;
  }

  tookAnswer(sdp: string): void {
    this.offer = null;
    this.nextUfrag = ufragOf(sdp);
  }

  /**
   * Glare: both sides made an offer. The device yields, and our offer stays valid for `ms`, unless it was refused or
   * did not reach the device.
   */
  ignoresOffer(now: number, ms: number): boolean {
    return this.offer !== null && !this.offer.refused && now - this.offer.at < ms;
  }

  tookOffer(sdp: string): void {
    this.offer = null;
    this.theirs = sdp;
    this.nextUfrag = ufragOf(sdp);
  }

  /** The remote description is set. Returns the candidates that came early, to be added now. */
  remoteSet(): { at: number; message: CandidatesMessage }[] {
    this.remoteUfrag = this.nextUfrag ?? this.remoteUfrag;
    return this.early.splice(0);
  }

  /** The candidates to add now. Those for a later description are kept. Null: the message is ignored. */
  candidates(message: CandidatesMessage, now: number): Candidate[] | null {
    this.early = this.early.filter((one) => one.at > now - EARLY_MS);
    const { ufrag } = message;
    if (this.remoteUfrag === null
      || (ufrag !== null && ufrag !== this.remoteUfrag && (this.offer || ufrag === this.nextUfrag))) {
      if (this.early.length >= EARLY_MESSAGES) return null;
      this.early.push({ at: now, message });
      return [];
    }
    if ((ufrag !== null && ufrag !== this.remoteUfrag) || this.endedUfrag === this.remoteUfrag) return null;
    if (message.end) this.endedUfrag = this.remoteUfrag;
    return message.candidates.filter((one) => one.candidate !== '');
  }
}
