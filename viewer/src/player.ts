// The peer connection of one session: descriptions, candidates, tracks, and the time of each step.

import { Channel, openLine } from './channel.ts';
import type { ChannelHooks } from './channel.ts';
import type { Command } from './commands.ts';
import type { Candidate, IceServer } from './protocol.ts';
import { ufragOf } from './protocol.ts';
import { readClock, delayOf } from './clock.ts';
import { Delays } from './delay.ts';
import type { Doing } from './phase.ts';
import { readStats } from './stats.ts';
import type { Sample, ViewerStats } from './stats.ts';

export type PeerState = 'checking' | 'routed' | 'connected' | 'lost' | 'failed';

/** The callbacks to the owner of a player. All concern the current peer connection only. */
export interface Hooks extends ChannelHooks {
  offer(sdp: string, restart: boolean): void;
  answer(sdp: string): void;
  candidate(candidate: Candidate | null, ufrag: string): void;
  remoteSet(): void;
  peer(state: PeerState): void;
  stream(stream: MediaStream | null): void;
  failed(name: string, doing: Doing, message: string): void;
}

const PREPARED_MS = 20_000;

/** `set`: resolves when the offer is set and candidates are being gathered. `line`: the data channel. */
interface Prepared {
  pc: RTCPeerConnection; line: RTCDataChannel; offer: Promise<RTCSessionDescriptionInit>; set: Promise<void>;
}

let certificate: Promise<RTCCertificate[]> | undefined;
let spare: Promise<Prepared> | null = null;

/** Prepares a call for the next viewer of this page, if the page sees that the user is about to choose one. */
export function prepareCall(): void {
  if (!Player.possible || spare) return;
  const it = spare = ready([]);
  forgetLater(it, () => {
    if (spare !== it) return false;
    spare = null;
    return true;
  });
}

export class Player {
  pc: RTCPeerConnection | null = null;

  private channel: Channel | null = null;
  private stream: MediaStream | null = null;
  /** The device plays this viewer's sound, so an offer has a way for it. Until somebody talks, it stays empty. */
  talk = false;
  /** When `talk` is known. */
  known: Promise<void> = Promise.resolve();

  private prepared: Promise<Prepared> | null = null;
  private preparedTalk = false;
  private chain: Promise<unknown> = Promise.resolve();
  private generation = 0;
  private sample: Sample | null = null;
  private delays = new Delays();
  private canvas: OffscreenCanvas | HTMLCanvasElement | null = null;

  constructor(private readonly hooks: Hooks) {}

  static get possible(): boolean {
    return typeof RTCPeerConnection === 'function';
  }

  /** Does everything that is possible before the broker answers: key, offer and candidates. */
  prepare(servers: IceServer[]): void {
    if (this.prepared && this.preparedTalk === this.talk) return;
    this.discard();
    const found = servers.length || this.talk ? null : spare;
    if (found) spare = null;
    this.preparedTalk = this.talk;
    const it = this.prepared = found ?? ready(servers, this.talk);
    forgetLater(it, () => {
      if (this.prepared !== it) return false;
      this.prepared = null;
      return true;
    });
  }

  makeOffer(restart: boolean, servers: IceServer[]): void {
    if (restart) {
      this.queue('restart', async (pc) => {
        // A refused or lost offer is followed by a new one. An offer of the device comes first.
        if (pc.signalingState === 'have-remote-offer') return;
        pc.setConfiguration({ ...pc.getConfiguration(), iceServers: servers });
        const offer = await pc.createOffer({ iceRestart: true });
        // Sent before it is set here, so that the browser works while the message travels.
        this.hooks.offer(offer.sdp!, true);
        await pc.setLocalDescription(offer);
      });
      return;
    }
    this.close();
    const generation = ++this.generation;
    this.chain = this.known.then(() => this.take(servers)).then(async ({ pc, line, offer, set }) => {
      if (generation !== this.generation) return pc.close();
      this.adopt(pc, generation);
      this.channel = new Channel(line, this.hooks);
      const description = await offer;
      if (generation !== this.generation) return;
      // The candidates gathered so far are included; the others follow.
      this.hooks.offer(pc.localDescription?.sdp ?? description.sdp!, false);
      if (pc.iceGatheringState === 'complete') this.hooks.candidate(null, ufragOf(description.sdp!) ?? '');
      await set;
    }).catch((error: Error) => {
      if (generation === this.generation) this.hooks.failed('internal', 'prepare', error.message);
    });
  }

  /** The servers for the next time that candidates are gathered. */
  setServers(servers: IceServer[]): void {
    this.queue('restart', async (pc) => pc.setConfiguration({ ...pc.getConfiguration(), iceServers: servers }));
  }

  takeAnswer(sdp: string, servers: IceServer[]): void {
    this.queue('take_answer', async (pc) => {
      if (servers.length) pc.setConfiguration({ ...pc.getConfiguration(), iceServers: servers });
      await pc.setRemoteDescription({ type: 'answer', sdp });
      this.hooks.remoteSet();
    }, 'bad_sdp');
  }

  takeOffer(sdp: string, servers: IceServer[]): void {
    if (!this.pc) {
      const generation = ++this.generation;
      this.chain = keys().then((certificates) => {
        if (generation === this.generation)
          this.adopt(new RTCPeerConnection(configuration(servers, certificates)), generation);
      });
    }
    this.queue('take_offer', async (pc) => {
      if (pc.signalingState === 'have-local-offer') await pc.setLocalDescription({ type: 'rollback' });
      if (servers.length) pc.setConfiguration({ ...pc.getConfiguration(), iceServers: servers });
      await pc.setRemoteDescription({ type: 'offer', sdp });
      this.hooks.remoteSet();
      if (Channel.isIn(sdp)) this.channel ??= new Channel(openLine(pc), this.hooks);
      for (const one of pc.getTransceivers())
        if (this.talk && one.receiver.track.kind === 'audio' && one.direction === 'recvonly')
          one.direction = 'sendrecv';
      const answer = await pc.createAnswer();
      this.hooks.answer(answer.sdp!);
      await pc.setLocalDescription(answer);
    }, 'bad_sdp');
  }

  takeCandidates(candidates: Candidate[]): void {
    this.queue('take_candidates', async (pc) => {
      await Promise.all(candidates.map((one) => pc.addIceCandidate({
        candidate: one.candidate, sdpMid: one.mid ?? null,
        sdpMLineIndex: one.mid === undefined ? (one.mline ?? 0) : (one.mline ?? null),
      }).catch(() => {}))); // one bad candidate does not end a call
    });
  }

  /** Sends a command by the data channel. False: that is not possible now. Throws `Unusable` if it is too long. */
  command(command: Command): boolean {
    return this.pc?.connectionState === 'connected' && !!this.channel?.send(command);
  }

  close(): void {
    this.generation += 1;
    const { pc } = this;
    this.channel?.close();
    this.channel = null;
    this.pc = null;
    this.stream = null;
    this.sample = null;
    this.delays = new Delays();
    if (!pc) return;
    for (const name of ['onicecandidate', 'ontrack', 'onconnectionstatechange', 'oniceconnectionstatechange'] as const)
      pc[name] = null;
    pc.close();
    this.hooks.stream(null);
  }

  /** Discards what was prepared for a call that will not be made. */
  forget(): void {
    this.discard();
    this.close();
  }

  /** What was prepared, if it is of use. */
  private take(servers: IceServer[]): Promise<Prepared> {
    if (this.preparedTalk !== this.talk) this.discard();
    const it = this.prepared ?? ready(servers, this.talk);
    this.prepared = null;
    return it;
  }

  /** Where the sound of this viewer goes; null: the device does not take it in this session. */
  get voice(): RTCRtpSender | null {
    const { pc } = this;
    return pc?.getTransceivers().find(({ receiver, currentDirection }) =>
      receiver.track.kind === 'audio'
        && (currentDirection === 'sendrecv' || currentDirection === 'sendonly'))?.sender ?? null;
  }

  private discard(): void {
    this.prepared?.then(({ pc }) => pc.close()).catch(() => {});
    this.prepared = null;
  }

  /** A frame was presented at `shown`. */
  frame(shown: number, received: number): void {
    this.delays.frame(shown, received);
  }

  /** Reads the picture clock of the current frame. */
  readDelay(video: HTMLVideoElement, shownAt: number): void {
    const { videoWidth: width } = video;
    const side = Math.floor(width / 40);
    if (side < 2) return;
    this.canvas ??= typeof OffscreenCanvas === 'function'
      ? new OffscreenCanvas(width, side)
      : document.createElement('canvas');
    if (this.canvas.width !== width || this.canvas.height !== side) Object.assign(this.canvas, { width, height: side });
    const context = this.canvas.getContext('2d', { willReadFrequently: true }) as CanvasRenderingContext2D | null;
    if (!context) return;
    context.drawImage(video, 0, 0, width, side, 0, 0, width, side);
    const value = readClock(context.getImageData(0, 0, width, side).data, width, side);
    const ms = value === null ? null : delayOf(performance.timeOrigin + shownAt, value);
    if (ms !== null) this.delays.read(shownAt, ms);
  }

  async stats(): Promise<ViewerStats | null> {
    const { pc } = this;
    if (!pc) return null;
    const report = await pc.getStats();
    if (pc !== this.pc) return null;
    const { sample, look, stats } = readStats(
      report as unknown as Parameters<typeof readStats>[0], this.sample, performance.now()
    );
    this.sample = sample;
    this.delays.look(sample.at, look);
    const delay = this.delays.summary(sample.at);
    if (delay)
      Object.assign(
        stats,
        {
          delayMs: delay.ms, delayBy: delay.by, delayP50Ms: delay.by === 'clock' ? delay.ms : null,
          delayP95Ms: delay.p95,
        }
      );
    return stats;
  }

  private adopt(pc: RTCPeerConnection, generation: number): void {
    this.pc = pc;
    const mine = () => generation === this.generation;
    pc.onicecandidate = ({ candidate }) => {
      if (!mine()) return;
      const ufrag = candidate?.usernameFragment ?? ufragOf(pc.localDescription?.sdp ?? '') ?? '';
      if (!candidate) return this.hooks.candidate(null, ufrag);
      // An empty candidate ends one m-line; null ends all. A device cannot use TCP candidates.
      if (candidate.candidate === '' || candidate.protocol === 'tcp') return;
      const one: Candidate = { candidate: candidate.candidate };
      if (candidate.sdpMid !== null) one.mid = candidate.sdpMid;
      if (candidate.sdpMLineIndex !== null) one.mline = candidate.sdpMLineIndex;
      this.hooks.candidate(one, ufrag);
    };
    pc.oniceconnectionstatechange = () => {
      if (mine() && (pc.iceConnectionState === 'connected' || pc.iceConnectionState === 'completed'))
        this.hooks.peer('routed');
    };
    pc.onconnectionstatechange = () => {
      if (!mine()) return;
      if (pc.connectionState === 'connected') this.hooks.peer('connected');
      else if (pc.connectionState === 'disconnected') this.hooks.peer('lost');
      else if (pc.connectionState === 'failed') this.hooks.peer('failed');
    };
    pc.ontrack = ({ track, receiver }) => {
      if (!mine()) return;
      // No jitter buffer delay. The device may request more by the playout-delay extension.
      const eager = receiver as RTCRtpReceiver & { jitterBufferTarget?: number | null; playoutDelayHint?: number };
      if ('jitterBufferTarget' in receiver) eager.jitterBufferTarget = 0;
      else eager.playoutDelayHint = 0;
      // Both tracks share one stream: a browser synchronises picture and sound only within a stream.
      if (!this.stream) {
        this.stream = new MediaStream([track]);
        this.hooks.stream(this.stream);
      } else if (!this.stream.getTracks().includes(track)) {
        this.stream.addTrack(track);
      }
    };
  }

  /** The steps of one connection run one after the other, and not after it was closed. */
  private queue(doing: Doing, step: (pc: RTCPeerConnection) => Promise<void>, name = 'internal'): void {
    const { generation } = this;
    this.chain = this.chain.then(async () => {
      if (generation === this.generation && this.pc) await step(this.pc);
    }).catch((error: Error) => {
      if (generation === this.generation) this.hooks.failed(name, doing, error.message);
    });
  }
}

async function ready(servers: IceServer[], talk = false): Promise<Prepared> {
  const pc = new RTCPeerConnection(configuration(servers, await keys()));
  const video = pc.addTransceiver('video', { direction: 'recvonly' });
  prefer(video, 'video', 'video/H264');
  const audio = pc.addTransceiver('audio', { direction: talk ? 'sendrecv' : 'recvonly' });
  prefer(audio, 'audio', 'audio/opus');
  // A device without the channel refuses its m-line, and that costs nothing.
  const line = openLine(pc);
  const offer = pc.createOffer();
  const set = offer.then((it) => pc.setLocalDescription(it));
  set.catch(() => {}); // reported to those who await it
  return { pc, line, offer, set };
}

/** Discards a prepared call if no click follows. `letGo`: false if it was used. */
function forgetLater(prepared: Promise<Prepared>, letGo: () => boolean): void {
  const drop = () => {
    if (letGo()) prepared.then(({ pc }) => pc.close()).catch(() => {});
  };
  prepared.catch(drop);
  setTimeout(drop, PREPARED_MS);
}

// No candidate pool: with one, about every tenth connection that Chromium 156 uses at once gathers no candidates.
function configuration(iceServers: IceServer[], certificates: RTCCertificate[]): RTCConfiguration {
  return {
    iceServers, bundlePolicy: 'max-bundle', rtcpMuxPolicy: 'require', ...(certificates.length ? { certificates } : {}),
  };
}

/** One key for all calls of the page, since generating it is the slowest step of a new connection. */
function keys(): Promise<RTCCertificate[]> {
  certificate ??= RTCPeerConnection.generateCertificate({ name: 'ECDSA', namedCurve: 'P-256' } as EcKeyGenParams)
    .then((one) => [one]).catch(() => []);
  return certificate.then((list) => {
    if (list[0] && list[0].expires > Date.now() + 3_600_000) return list;
    certificate = undefined;
    return list.length ? keys() : [];
  });
}

function prefer(transceiver: RTCRtpTransceiver, kind: 'video' | 'audio', mime: string): void {
  const codecs = RTCRtpReceiver.getCapabilities(kind)?.codecs ?? [];
  const first = codecs.filter((one) => one.mimeType.toLowerCase() === mime.toLowerCase());
  if (!first.length || !transceiver.setCodecPreferences) return;
  try {
    transceiver.setCodecPreferences([...first, ...codecs.filter((one) => !first.includes(one))]);
  } catch {
    // An older browser that refuses the list keeps its own order.
  }
}
