// A crowd at the broker of a board in the mode `keys`: strangers with an offer each, and a forger who uses the name of
// a viewer on the list. Everything is made before it is sent, so that making it costs no time meanwhile.

import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { JoseViewer } from './jose_viewer.mjs';
import { sessionId, top } from './processes.mjs';

/** Strangers in all, and how many of them come in a second. */
export const STRANGERS = 10_000;
const STRANGERS_A_SECOND = 1000;
/** Messages with a wrong signature in a second. */
const WRONG_A_SECOND = 50;
/** Strangers with keys of their own. The others have a topic of their own, and send the message of one of these. */
const MADE = 100;
/** Messages that the broker has not acknowledged yet. */
const WINDOW = 1000;

const sdp = fs.readFileSync(path.join(top, 'tests/sdp/clients/chromium.sdp'), 'utf8');
const offer = () => ({ v: 1, type: 'offer', session: sessionId(), seq: 0, sdp });

export class Crowd {
  /** `thumb`: the thumbprint of a viewer on the list. The forger knows it, as everybody can. */
  static async gather(broker, device, thumb) {
    const crowd = Object.assign(new Crowd(), { device, victim: thumb.slice(0, 22), ids: [], wrong: [], strange: [] });
    crowd.mallory = await (await JoseViewer.make('Mallory')).connect(broker, device);
    const board = await crowd.mallory.board();
    for (let n = 0; n < MADE; n += 1) {
      const stranger = await JoseViewer.make('Stranger');
      crowd.ids.push(stranger.id);
      crowd.strange.push(await stranger.message(board, offer()));
      // Right in all but the key that signs.
      crowd.wrong.push(await crowd.mallory.message(board, offer(), { kid: thumb }));
    }
    while (crowd.ids.length < STRANGERS) crowd.ids.push(crypto.randomBytes(17).toString('base64url').slice(0, 22));
    return crowd;
  }

  /** Sends each message once, and goes on for as long as `goes` says. Returns what was sent, and how long it took. */
  async flood(goes = () => false) {
    const began = performance.now();
    const sent = { strangers: 0, wrong: 0, seconds: 0 };
    const waiting = new Set();
    const say = (id, payload) => {
      const one = this.mallory.wire.client.publishAsync(`fanlight/v1/${this.device}/req/${id}`, payload, { qos: 1 })
        .finally(() => waiting.delete(one));
      waiting.add(one);
    };
    while (sent.strangers < STRANGERS || goes()) {
      sent.seconds = (performance.now() - began) / 1000;
      for (; sent.wrong < sent.seconds * WRONG_A_SECOND; sent.wrong += 1) {
        say(this.victim, this.wrong[sent.wrong % MADE]);
      }
      for (; sent.strangers < sent.seconds * STRANGERS_A_SECOND && waiting.size < WINDOW; sent.strangers += 1) {
        say(this.ids[sent.strangers % STRANGERS], this.strange[sent.strangers % MADE]);
      }
      await new Promise((tick) => setTimeout(tick, 10));
    }
    await Promise.all(waiting);
    sent.seconds = (performance.now() - began) / 1000;
    return sent;
  }

  close() {
    return this.mallory.close();
  }
}

/** What a daemon costs while something is done: CPU time in seconds, and the growth of its memory in KiB. */
export async function costOf(daemon, doing) {
  const [cpu, memory, heap] = [daemon.cpu(), daemon.memory(), daemon.heap()];
  const cost = { cpu: 0, memory: 0, heap: 0 };
  const look = () => {
    cost.memory = Math.max(cost.memory, daemon.memory() - memory);
    cost.heap = Math.max(cost.heap, daemon.heap() - heap);
  };
  const looking = setInterval(look, 200);
  try {
    const result = await doing();
    look();
    cost.cpu = daemon.cpu() - cpu;
    return { ...cost, ...result };
  } finally {
    clearInterval(looking);
  }
}
