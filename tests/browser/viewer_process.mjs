// Viewers that are programs with other WebRTC stacks: GStreamer's webrtcbin (webrtcbin_viewer.py), aiortc
// (aiortc_viewer.py), Pion (pion_viewer.go). Each speaks lines of JSON on its standard input and output. Here is their
// signalling.

import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { execFileSync, spawn } from 'node:child_process';
import { Stranger, remember, sessionId, target, top, until } from './processes.mjs';

const here = path.join(top, 'tests/browser');
// Debian's own Python: the modules are Debian's.
const python = (script, ...options) => ['/usr/bin/python3', path.join(here, script), ...options];

/** `policy`: none, balanced, max-compat or max-bundle. */
export const webrtcbin = (policy) => python('webrtcbin_viewer.py', policy);
export const aiortc = () => python('aiortc_viewer.py');
export const pion = (...options) => [path.join(target, 'pion'), ...options];

/** Compiles pion_viewer.go, if that is not done yet, with Debian's Go and sources of Pion. It needs no network. */
export function compilePion() {
  const settings = { GO111MODULE: 'off', GOPATH: '/usr/share/gocode', GOFLAGS: '', GOTOOLCHAIN: 'local' };
  const env = { ...process.env, ...settings, GOCACHE: path.join(target, 'go') };
  const [program] = pion();
  execFileSync('/usr/bin/go', ['build', '-o', program, path.join(here, 'pion_viewer.go')], { env, stdio: 'inherit' });
}

export class Program {
  /** `command`: the program and its arguments. `kinds`: what it offers to receive. */
  static async call(broker, name, [command, ...args], { calls, kinds = ['video', 'audio'] }) {
    const viewer = new Program();
    viewer.line = await Stranger.connect(broker, 'cam', name);
    viewer.process = remember(spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] }));
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

  /** What the program tells; its figures are fields of this. */
  happened({ offer, answer, candidate, mid, mline, ...figures }) {
    Object.assign(this, figures);
    if (offer || answer) {
      if (answer) this.say('answer', { sdp: answer });
      else if (this.described) this.say('offer', { sdp: offer, restart: true });
      else this.say('offer', { sdp: offer });
      this.described = true;
      this.own.splice(0).forEach((one) => this.say('candidates', { candidates: [one] }));
    }
    if (candidate) {
      const one = { candidate: candidate.replace(/^a=/, ''), mid, mline };
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
    for (const { candidate, mid, mline } of message.candidates ?? []) {
      if (this.remote) this.do('candidate', { candidate, mid, mline });
      else this.early.push({ candidate, mid, mline });
    }
  }

  until(what, test, ms) {
    return until(what, () => {
      if (this.error) throw new Error(this.error);
      return test(this);
    }, ms).catch((error) => {
      const { line, process, early, own, said, ...figures } = this;
      const brief = said.map((m) => ({ ...m, sdp: m.sdp?.length }));
      throw new Error(`${error.message}; ${JSON.stringify({ ...figures, said: brief })}`);
    });
  }

  /** Ends the session, if it was not refused; what the device says of its end. */
  async leave() {
    await this.say('bye', { reason: 'done' });
    return this.until('the end', ({ said }) => said.find((m) => m.type === 'bye' || m.type === 'error'));
  }

  /** Ends the program; its exit status, or the signal that ended it. */
  async close() {
    const { process } = this;
    process.stdin.end();
    if (process.exitCode === null && process.signalCode === null) await once(process, 'exit');
    await this.line.close();
    return process.exitCode ?? process.signalCode;
  }
}
