// A viewer that is GStreamer's webrtcbin (webrtcbin.py): here is its signalling.

import path from 'node:path';
import { createInterface } from 'node:readline';
import { spawn } from 'node:child_process';
import { Stranger, remember, sessionId, top, until } from './world.mjs';

export class WebrtcBin {
  /** `policy`: none, balanced, max-compat or max-bundle. `kinds`: what it offers to receive. */
  static async call(broker, name, { policy, calls, kinds = ['video', 'audio'] }) {
    const viewer = new WebrtcBin();
    viewer.line = await Stranger.connect(broker, 'cam', name);
    // Debian's own Python: the modules of GStreamer are Debian's.
    viewer.process = remember(spawn('/usr/bin/python3', [path.join(top, 'tests/browser/webrtcbin.py'), policy], { stdio: ['pipe', 'pipe', 'inherit'] }));
    createInterface({ input: viewer.process.stdout }).on('line', (line) => viewer.happened(JSON.parse(line)));
    viewer.line.client.on('message', (topic, payload) => {
      if (topic.includes('/rsp/')) viewer.hear(JSON.parse(payload));
    });
    if (calls === 'offer') viewer.do('offer', { kinds });
    else viewer.say('request', { media: { video: kinds.includes('video'), audio: kinds.includes('audio') } });
    return viewer;
  }

  constructor() {
    Object.assign(this, { session: sessionId(), seq: 0, said: [], video: 0, audio: 0, early: [], own: [] });
  }

  do(what, fields = {}) {
    this.process.stdin.write(`${JSON.stringify({ do: what, ...fields })}\n`);
  }

  say(type, fields = {}) {
    return this.line.say({ v: 1, type, session: this.session, seq: this.seq++, ...fields });
  }

  /** What webrtcbin tells. */
  happened({ offer, answer, candidate, mline, video, audio, error }) {
    if (error) this.failed = error;
    this.video = video ?? this.video;
    this.audio = audio ?? this.audio;
    if (offer || answer) {
      this.described = true;
      this.say(offer ? 'offer' : 'answer', { sdp: offer ?? answer });
      this.own.splice(0).forEach((one) => this.say('candidates', { candidates: [one] }));
    }
    if (candidate) {
      const one = { candidate: candidate.replace(/^a=/, ''), mline };
      if (this.described) this.say('candidates', { candidates: [one] });
      else this.own.push(one);
    }
  }

  /** What the device says. */
  hear(message) {
    this.said.push(message);
    if (message.type === 'answer' || message.type === 'offer') {
      this.do(`take_${message.type}`, { sdp: message.sdp });
      this.remote = true;
      this.early.splice(0).forEach((one) => this.do('candidate', one));
    }
    for (const { candidate, mline } of message.candidates ?? []) {
      if (this.remote) this.do('candidate', { candidate, mline });
      else this.early.push({ candidate, mline });
    }
  }

  until(what, test, ms) {
    return until(what, () => test(this), ms).catch((error) => {
      const { video, audio, failed, said } = this;
      throw new Error(`${error.message}; ${JSON.stringify({ video, audio, failed, said })}`);
    });
  }

  async close() {
    await this.say('bye', { reason: 'done' });
    await this.line.close();
    this.process.stdin.end();
    await new Promise((resolve) => this.process.exitCode !== null ? resolve() : this.process.once('exit', resolve));
  }
}
