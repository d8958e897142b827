// The data channel for commands (docs/reference/board-commands.md): commands and results without the broker.

import { utf8 } from './bytes.ts';
import type { Command } from './commands.ts';
import { MAX_MESSAGE, Unusable, object, readJson } from './json.ts';
import { resultOf } from './results.ts';
import type { Result } from './results.ts';

/** What its owner learns. */
export interface ChannelHooks {
  result(it: Result): void;
  /** The board sent what is none. */
  unusable(): void;
  /** It was open, and is no longer. */
  closed(): void;
}

/** Bytes that may wait to leave. Above that, the board is slow, and a command goes by the broker. */
const MOST_WAITING = 64 * 1024;
const LABEL = 'fanlight';

/** The parts of an `RTCDataChannel` that are used. */
type Line = Pick<RTCDataChannel, 'readyState' | 'bufferedAmount' | 'onmessage' | 'onclose' | 'close'> & {
  send(text: string): void;
};

/** Opens the channel of a connection, as soon as that is possible. */
export const openLine = (pc: RTCPeerConnection): RTCDataChannel => pc.createDataChannel(LABEL);

/** Reads a message of the board: a result, or null for a notice. Throws `Unusable`. */
export function heard(data: unknown): Result | null {
  if (typeof data !== 'string') throw new Unusable('channel: not a text');
  const it = object(readJson(utf8(data)), 'message');
  return (it['ok'] ?? null) === null && (it['error'] ?? null) === null ? null : resultOf(it);
}

export class Channel {
  /** Whether a description has an m-line for it. */
  static isIn(sdp: string): boolean {
    return /^m=application [1-9]/m.test(sdp);
  }

  constructor(private readonly line: Line, hooks: ChannelHooks) {
    line.onmessage = ({ data }) => {
      try {
        const it = heard(data);
        if (it) hooks.result(it);
      } catch (error) {
        if (!(error instanceof Unusable)) throw error;
        hooks.unusable();
      }
    };
    line.onclose = () => hooks.closed();
  }

  /**
   * Sends a command. False: it is not open, or the board accepts nothing, or the command is one whose picture comes by
   * the broker. Throws `Unusable` if it is too long.
   */
  send(command: Command): boolean {
    const { line } = this;
    if (command.name === 'snapshot') return false;
    if (line.readyState !== 'open' || line.bufferedAmount > MOST_WAITING) return false;
    const text = JSON.stringify(command);
    if (utf8(text).length > MAX_MESSAGE) throw new Unusable(`message: longer than ${MAX_MESSAGE} bytes`);
    line.send(text);
    return true;
  }

  close(): void {
    this.line.onmessage = this.line.onclose = null;
    this.line.close();
  }
}
