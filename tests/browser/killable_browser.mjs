// A browser that can be killed or frozen at any time, like a tab that crashes or a phone that sleeps.

import fs from 'node:fs';
import { chromium } from 'playwright-core';
import { launch } from './processes.mjs';

/** A process and all its descendants. */
export function family(pid) {
  const parents = fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((name) => {
    try {
      return [[Number(name), Number(fs.readFileSync(`/proc/${name}/stat`, 'utf8').split(') ').at(-1).split(' ')[1])]];
    } catch {
      return []; // it ended meanwhile
    }
  });
  const of = (parent) => [parent, ...parents.filter(([, p]) => p === parent).flatMap(([child]) => of(child))];
  return of(pid);
}

export class KillableBrowser {
  static async start(options) {
    const server = await chromium.launchServer(launch(options));
    const browser = await chromium.connect(server.wsEndpoint());
    return Object.assign(new KillableBrowser(), { server, browser });
  }

  contexts() {
    return this.browser.contexts();
  }

  newContext() {
    return this.browser.newContext();
  }

  signal(name) {
    for (const pid of family(this.server.process().pid).reverse()) {
      try {
        process.kill(pid, name);
      } catch (error) {
        if (error.code !== 'ESRCH') throw error; // it ended meanwhile
      }
    }
  }

  /** Ends it without a goodbye. */
  kill() {
    this.signal('SIGKILL');
  }

  freeze() {
    this.signal('SIGSTOP');
  }

  thaw() {
    this.signal('SIGCONT');
  }

  async close() {
    this.kill();
  }
}
