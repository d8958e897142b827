// A small file system in memory that a test can fill and make read-only. It is in a mount namespace of its own, which
// lasts as long as this process, and needs root.

import fs from 'node:fs';
import path from 'node:path';
import { Child, folder } from './processes.mjs';

/** Why this machine cannot have one, or `false`. */
export const cannot = process.getuid() !== 0 && 'needs root, for a file system of its own';

export class SmallDisk {
  /** `kib`: its size. */
  static async make(kib) {
    const disk = new SmallDisk();
    /** Its path in the namespace. */
    disk.at = folder('disk');
    const mount = `mount -t tmpfs -o size=${kib}k,mode=700 none "$0" && echo mounted && exec sleep infinity`;
    disk.holder = new Child('unshare', ['--mount', 'sh', '-c', mount, disk.at]);
    await disk.holder.said('mounted');
    return disk;
  }

  /** The words that run a command in the namespace. */
  get enter() {
    return ['nsenter', '--target', String(this.holder.pid), '--mount'];
  }

  /** The path of a file, from outside. */
  path(...names) {
    return path.join(`/proc/${this.holder.pid}/root`, this.at, ...names);
  }

  /** Fills it to the last block. */
  fill() {
    const file = fs.openSync(this.path('fill'), 'w');
    try {
      for (;;) fs.writeSync(file, Buffer.alloc(4096));
    } catch (error) {
      if (error.code !== 'ENOSPC') throw error;
    } finally {
      fs.closeSync(file);
    }
  }

  /** Makes room again. */
  empty() {
    fs.rmSync(this.path('fill'));
  }

  /** `how`: `ro` or `rw`. */
  async remount(how) {
    const command = new Child('mount', ['-o', `remount,${how}`, this.at], { enter: this.enter });
    if (await command.ended !== 0) throw new Error(command.output);
  }

  stop() {
    return this.holder.stop('SIGKILL');
  }
}
