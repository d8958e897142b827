// The newest TURN logins of a call. They end, and each renewal of the lease brings new ones. What is gathered next uses
// these; a relay in use keeps the login with which it was made. Pure: time is an argument.

import type { IceServer, Logins } from './protocol.ts';

export class TurnLogins {
  private servers: IceServer[] = [];
  /** When the logins end, in milliseconds; null: they do not. */
  private end: number | null = null;

  /** Takes servers of the device. */
  take(servers: IceServer[], { loginsS }: Logins, now: number): void {
    if (JSON.stringify(servers) === JSON.stringify(this.servers)) return; // the same logins, which end when they did
    this.servers = servers;
    this.end = loginsS === undefined ? null : now + loginsS * 1000;
  }

  /** The newest servers; none if their logins have ended. */
  current(now: number): IceServer[] {
    return this.end !== null && this.end <= now ? [] : this.servers;
  }
}
