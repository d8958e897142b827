// The devices of a broker, as their retained status tells.

import { Link } from './link.ts';
import { Unusable, decodeStatus, topics } from './protocol.ts';
import type { Status } from './protocol.ts';

export interface DirectoryOptions { root?: string; user?: string; password?: string }
export interface Listing {
  /** By name; a device that was forgotten is gone. */
  devices: Map<string, Status>;
  broker: 'connecting' | 'up' | 'down' | 'refused';
  message: string;
}

const MOST = 500;

/**
 * Tells who is there, now and on each change, until the returned function is called. Throws with a sentence when the
 * broker's address is wrong.
 */
export function watchDevices(broker: string, options: DirectoryOptions, changed: (listing: Listing) => void): () => void {
  const root = options.root ?? 'fanlight/v1';
  const link = Link.use(broker, options.user ?? '', options.password ?? '');
  const devices = new Map<string, Status>();
  let pending = false;
  const tell = () => {
    if (pending) return;
    pending = true; // a broker sends all retained statuses in one go
    queueMicrotask(() => {
      pending = false;
      changed({ devices: new Map([...devices].sort(([a], [b]) => a.localeCompare(b))), broker: link.state.at, message: link.state.message });
    });
  };
  const undo = [
    link.onState(tell),
    link.subscribe(topics.everyStatus(root), true, (topic, payload) => {
      const device = topics.deviceOf(root, topic);
      if (device === null) return;
      try {
        const status = decodeStatus(payload);
        if (status === null) devices.delete(device);
        else if (devices.has(device) || devices.size < MOST) devices.set(device, status);
      } catch (error) {
        if (!(error instanceof Unusable)) throw error;
        return;
      }
      tell();
    }),
  ];
  tell();
  return () => {
    for (const one of undo) one();
    link.release();
  };
}
