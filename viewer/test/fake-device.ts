// A device in a browser page: the device's side of the protocol, with a drawn picture and a tone. For screenshots, and
// for tests of the viewer without a board.

import { MqttClient, browserStreamBuilder } from '../src/mqtt.cjs';
import type { Candidate, IceServer, MediaHealth } from '../src/protocol.ts';
import { base64url } from '../src/protocol.ts';
import { checkOf } from '../src/clock.ts';
import { FakeBoard } from './fake-board.ts';
import { FakeCommands, TURNING } from './fake-commands.ts';
import { drawDoor } from './scene.ts';

interface Settings {
  broker: string; root?: string; device: string;
  /** Answers each offer with this error. */
  refuse?: { code: number; name: string; message: string; retry_after_ms?: number };
  media?: MediaHealth;
  viewers?: number;
  /** The name in `info`. */
  name?: string;
  /** There is no microphone in the configuration. */
  noAudio?: boolean;
  leaseS?: number;
  iceServers?: IceServer[];
  /** Receives messages but does not answer. */
  mute?: boolean;
  /** Speaks only to paired viewers, in the mode `keys`. */
  keys?: boolean;
  /** Answers with a wrong digest. */
  wrongHash?: boolean;
  /** Ignores this many restarts. */
  deafTo?: number;
  /** Refuses this many restarts. */
  refuseRestarts?: number;
  /** It takes commands of viewers who have these rights. */
  commands?: string[];
  /** It turns and zooms by itself. */
  turns?: boolean;
  /** It has a loudspeaker. */
  talk?: boolean;
}
interface Session {
  pc: RTCPeerConnection;
  seq: number;
  viewer: string;
  early: Candidate[];
  remote: boolean;
  offered: string | null;
}

let shared: MediaStream | undefined;

export class FakeDevice {
  readonly sessions = new Map<string, Session>();
  /** All messages received, the newest last. */
  readonly heard: Record<string, unknown>[] = [];
  readonly client: MqttClient;
  readonly epoch: string;
  readonly root: string;
  private told = 0;
  /** In the mode `keys`: signs, seals and pairs. */
  board: FakeBoard | null = null;
  readonly commands: FakeCommands;

  constructor(readonly settings: Settings) {
    this.root = settings.root ?? 'fanlight/v1';
    this.commands = new FakeCommands(
      () => settings.commands ?? [], () => this.media(this.health), (width, height) => picture(width, height)
    );
    if (settings.turns) this.commands.controls.push(...TURNING());
    this.epoch = base64url(crypto.getRandomValues(new Uint8Array(9)));
    const url = new URL(settings.broker);
    const options = {
      protocol: 'ws' as const, hostname: url.hostname, port: Number(url.port), path: url.pathname,
      protocolVersion: 5 as const,
      clientId: settings.device, reconnectPeriod: 300, timerVariant: 'native' as const, clean: true,
      will: {
        topic: this.topic('status'), payload: this.offline('lost') as unknown as Buffer, qos: 1 as const, retain: true,
      },
    };
    this.client = new MqttClient((it) => browserStreamBuilder(it, options), options);
    this.client.on('connect', async () => {
      if (settings.keys && !this.board) {
        this.board = await FakeBoard.make(
          (topic, payload, retain) => void this.client.publish(topic, payload, { qos: 1, retain }),
          settings.device, this.root
        );
        this.board.answer = ({ viewer, body }) => this.hear(viewer, body);
        this.board.info = { features: this.features, talk: settings.talk ?? false };
        if (settings.commands) this.board.rights = settings.commands;
      }
      this.client.subscribe(`${this.topic('req')}/+`, { qos: 1 }, () => {
        this.info();
        this.status();
      });
    });
    this.client.on(
      'message',
      (topic, payload) => {
        const viewer = topic.split('/').pop()!;
        if (this.board) void this.board.hear(viewer, payload.toString());
        else void this.hear(viewer, JSON.parse(payload.toString()) as Record<string, unknown>);
      }
    );
  }

  private get features(): string[] {
    return ['offer', 'request', ...(this.settings.commands ? ['commands'] : [])];
  }

  /** What is switched off on purpose sends nothing. */
  private get health(): MediaHealth {
    const it = this.commands.privacy.on ? 'privacy' : 'ok';
    return { video: it, audio: it };
  }

  media(media: MediaHealth & { video_reason?: string; audio_reason?: string }): void {
    this.settings.media = { video: media.video, audio: media.audio };
    this.status();
    for (const [id, it] of this.sessions) this.say(it, id, { type: 'media', ...media });
  }

  /** Tells the browser that asked for events last what happened. */
  async happen(...events: Record<string, unknown>[]): Promise<void> {
    const asked = this.board!.heard.filter(({ body }) => body['type'] === 'hello' && body['events'] === true).at(-1)!;
    for (const it of events)
      await this.board!.say(
        asked.viewer, { v: 1, type: 'event', n: this.told++, session: asked.body['session'], ...it }
      );
  }

  /** Stops without a message: no media, no answers, and the broker has not noticed yet. */
  async freeze(): Promise<void> {
    this.settings.mute = true;
    for (const { pc } of this.sessions.values()) for (const sender of pc.getSenders()) await sender.replaceTrack(null);
  }

  /** Sends media again. */
  async thaw(): Promise<void> {
    this.settings.mute = false;
    for (const { pc } of this.sessions.values()) {
      for (const one of pc.getTransceivers()) {
        const track = scene().getTracks().find((it) => it.kind === one.receiver.track.kind);
        if (track) await one.sender.replaceTrack(track);
      }
    }
  }

  info(): void {
    if (this.board) return;
    const { device, name = device, noAudio } = this.settings;
    this.client.publish(this.topic('info'), JSON.stringify({
      v: 1, device, name, software: 'fake/1', protocol: [1], auth: 'broker', features: this.features,
      cameras: [{ id: 'main', codecs: ['h264'], sizes: [[1280, 720]], rates: [30] }],
      audio: noAudio ? null : { codecs: ['opus'], rate: 48000, channels: 1 }, talk: this.settings.talk ?? false,
      controls: [], limits: {},
    }), { qos: 1, retain: true });
  }

  /** The link that pairs one browser. */
  invite(page: string): string {
    return this.board!.invite(this.settings.broker, page);
  }

  status(): void {
    if (this.board) return void this.board.announce();
    const { media = { video: 'ok', audio: 'ok' }, viewers = this.sessions.size } = this.settings;
    this.client.publish(this.topic('status'), JSON.stringify({
      v: 1, state: 'online', epoch: this.epoch, conn: 1, media, viewers, max_viewers: 8, clock: 'synced',
      auth: 'broker', version: '0.1.0', nonce: '',
    }), { qos: 1, retain: true });
  }

  each(body: Record<string, unknown>): void {
    for (const [id, it] of this.sessions) this.say(it, id, body);
  }

  /** Goes offline: by an unclean disconnect or a clean shutdown. */
  leave(reason: 'lost' | 'shutdown'): void {
    this.client.publish(this.topic('status'), this.offline(reason), { qos: 1, retain: true });
    if (reason === 'shutdown') this.each({ type: 'bye', reason: 'shutdown' });
    for (const it of this.sessions.values()) it.pc.close();
    this.sessions.clear();
    this.client.end();
  }

  /** Goes offline for good: its retained status is removed. */
  forget(): void {
    this.client.publish(this.topic('status'), '', { qos: 1, retain: true });
    this.client.publish(this.topic('info'), '', { qos: 1, retain: true });
    this.client.end();
  }

  private topic(kind: string): string {
    return `${this.root}/${this.settings.device}/${kind}`;
  }

  private offline(reason: string): string {
    return JSON.stringify({ v: 1, state: 'offline', reason, epoch: this.epoch, conn: 1 });
  }

  private turn: Promise<void> = Promise.resolve();
  private say(it: Session, session: string, body: Record<string, unknown>): void {
    const message = { v: 1, session, seq: it.seq++, ...body };
    if (this.board) return void (this.turn = this.turn.then(() => this.board!.say(it.viewer, message)));
    const text = JSON.stringify(message);
    this.client.publish(`${this.topic('rsp')}/${it.viewer}`, text, { qos: 1 });
  }

  private async hear(viewer: string, it: Record<string, unknown>): Promise<void> {
    this.heard.push(it);
    const id = String(it['session']);
    const {
      refuse, leaseS = 600, iceServers = [], media = { video: 'ok', audio: 'ok' }, mute, wrongHash
    } = this.settings;
    if (mute) return;
    if (it['type'] === 'command' && this.settings.commands) return this.command(viewer, id, it);
    if ((it['type'] === 'offer' && !it['restart']) || it['type'] === 'request') {
      if (refuse) {
        if (this.board) return void this.board.say(viewer, { v: 1, session: id, type: 'error', ...refuse });
        this.client.publish(
          `${this.topic('rsp')}/${viewer}`, JSON.stringify({ v: 1, session: id, type: 'error', ...refuse }), { qos: 1 }
        );
        return;
      }
      if (this.sessions.has(id)) return;
      const pc = new RTCPeerConnection();
      const session: Session = { pc, seq: 0, viewer, early: [], remote: false, offered: null };
      this.sessions.set(id, session);
      pc.onicecandidate = ({ candidate }) => this.say(session, id, {
        type: 'candidates', ufrag: candidate?.usernameFragment ?? '', end: candidate === null,
        candidates: candidate?.candidate
          ? [{ candidate: candidate.candidate, mid: candidate.sdpMid, mline: candidate.sdpMLineIndex }]
          : [],
      });
      const tracks = media.video === 'absent' || media.video === 'starting'
        ? scene().getAudioTracks()
        : scene().getTracks();
      if (it['type'] === 'request') {
        for (const track of tracks) pc.addTrack(track, scene());
        const offer = await pc.createOffer();
        session.offered = offer.sdp!;
        this.say(session, id, { type: 'offer', sdp: offer.sdp, lease_s: leaseS, ice_servers: iceServers });
        await pc.setLocalDescription(offer);
      } else {
        await pc.setRemoteDescription({ type: 'offer', sdp: String(it['sdp']) });
        for (const track of tracks) {
          const to = pc.getTransceivers().find((one) => one.receiver.track.kind === track.kind);
          if (to) {
            await to.sender.replaceTrack(track);
            // The loudspeaker takes the sound of a viewer that offers some.
            to.direction = this.settings.talk && track.kind === 'audio' ? 'sendrecv' : 'sendonly';
          }
        }
        await this.answer(
          session, id, String(it['sdp']), wrongHash ?? false, { lease_s: leaseS, ice_servers: iceServers }
        );
      }
      this.say(session, id, { type: 'media', ...media });
      this.status();
      return;
    }
    const session = this.sessions.get(id);
    if (!session) return;
    if (it['type'] === 'offer') {
      if ((this.settings.deafTo ?? 0) > 0) return void (this.settings.deafTo! -= 1);
      if ((this.settings.refuseRestarts ?? 0) > 0) {
        this.settings.refuseRestarts! -= 1;
        return this.say(
          session, id, { type: 'error', code: 429, name: 'rate_limited', message: 'no', retry_after_ms: 500 }
        );
      }
      await session.pc.setRemoteDescription({ type: 'offer', sdp: String(it['sdp']) });
      await this.answer(session, id, String(it['sdp']), false, {});
    } else if (it['type'] === 'answer') {
      if (it['offer_hash'] !== (await digest(session.offered!)))
        this.say(session, id, { type: 'error', code: 409, name: 'conflict', message: 'offer_hash' });
      await session.pc.setRemoteDescription({ type: 'answer', sdp: String(it['sdp']) });
      await this.flush(session);
    } else if (it['type'] === 'candidates') {
      session.early.push(...(it['candidates'] as Candidate[]));
      await this.flush(session);
    } else if (it['type'] === 'renew') {
      this.say(session, id, { type: 'renewed', lease_s: leaseS });
    } else if (it['type'] === 'bye') {
      this.say(session, id, { type: 'bye', reason: 'bye' });
      session.pc.close();
      this.sessions.delete(id);
      this.status();
    }
  }

  /** A command: in a session, or alone. */
  private async command(viewer: string, id: string, it: Record<string, unknown>): Promise<void> {
    const session = this.sessions.get(id);
    const say = async (body: Record<string, unknown>) => {
      if (session) return this.say(session, id, body);
      const message = { v: 1, session: id, ...body };
      if (this.board) return this.board.say(viewer, message);
      this.client.publish(`${this.topic('rsp')}/${viewer}`, JSON.stringify(message), { qos: 1 });
    };
    const name = this.board ? [...this.board.viewers].find(([thumb]) => thumb.startsWith(viewer))?.[1] : viewer;
    const args = (it['args'] ?? {}) as Record<string, unknown>;
    const answer = await this.commands.answer(String(it['name']), args, name ?? viewer);
    await say({ type: 'result', id: it['id'], ...('ok' in answer ? { ok: answer.ok } : answer) });
    const file = 'ok' in answer ? answer.file : undefined;
    for (let at = 0; file && at < file.length; at += 16_384) {
      const data = base64url(file.subarray(at, at + 16_384));
      await say({ type: 'part', id: it['id'], part: at / 16_384, data });
    }
  }

  private async answer(
    session: Session, id: string, offer: string, wrong: boolean, more: Record<string, unknown>
  ): Promise<void> {
    const answer = await session.pc.createAnswer();
    const sdp = withoutChannel(answer.sdp!);
    this.say(session, id, { type: 'answer', sdp, offer_hash: await digest(wrong ? 'another' : offer), ...more });
    await session.pc.setLocalDescription(answer);
    await this.flush(session);
  }

  private async flush(session: Session): Promise<void> {
    if (!session.pc.remoteDescription) return;
    for (const one of session.early.splice(0)) {
      if (one.candidate)
        await session.pc.addIceCandidate({
          candidate: one.candidate, sdpMid: one.mid ?? null, sdpMLineIndex: one.mline ?? null,
        });
    }
  }
}

/** It takes commands by the broker only, and refuses the m-line of the data channel. */
function withoutChannel(sdp: string): string {
  const [mid] = /^a=mid:(\S+)/m.exec(sdp.split('m=application ')[1] ?? '')?.slice(1) ?? [];
  if (mid === undefined) return sdp;
  const group = (line: string) => line.split(' ').filter((one) => one !== mid).join(' ');
  return sdp.replace(/^m=application \d+/m, 'm=application 0').replace(/^a=group:BUNDLE .*$/m, group);
}

const digest = async (text: string) =>
  base64url(new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))));

/** The picture as JPEG, in its own shape. */
async function picture(width: number, height: number): Promise<Uint8Array> {
  const scale = Math.min(1, width / 1280, height / 720);
  const canvas = new OffscreenCanvas(Math.round(1280 * scale), Math.round(720 * scale));
  const context = canvas.getContext('2d')!;
  context.scale(scale, scale);
  drawDoor(context as unknown as CanvasRenderingContext2D, 3);
  return new Uint8Array(await (await canvas.convertToBlob({ type: 'image/jpeg', quality: 0.5 })).arrayBuffer());
}

/** A door at dusk with the picture clock at the top, and a soft tone. */
function scene(): MediaStream {
  if (shared) return shared;
  // Nine encoders of the full size are too much for a busy machine.
  const small = new URLSearchParams(location.search).has('small');
  const canvas = Object.assign(
    document.createElement('canvas'), small ? { width: 320, height: 180 } : { width: 1280, height: 720 }
  );
  const context = canvas.getContext('2d', { alpha: false })!;
  if (small) context.scale(0.25, 0.25);
  const draw = () => {
    drawDoor(context, performance.now() / 1000);
    clock(context);
  };
  draw();
  setInterval(draw, small ? 200 : 33);
  const stream = canvas.captureStream(small ? 5 : 30);
  for (const track of stream.getVideoTracks()) track.contentHint = 'detail';
  const audio = new AudioContext();
  const tone = new OscillatorNode(audio, { frequency: 440 });
  const to = audio.createMediaStreamDestination();
  tone.connect(new GainNode(audio, { gain: 0.05 })).connect(to);
  tone.start();
  stream.addTrack(to.stream.getAudioTracks()[0]!);
  shared = stream;
  return stream;
}

function clock(context: CanvasRenderingContext2D): void {
  const value = Math.floor(Date.now() % 2 ** 32);
  const bits = [
    1, 0, ...Array.from({ length: 32 }, (_, i) => (value >>> (31 - i)) & 1),
    ...Array.from({ length: 4 }, (_, i) => (checkOf(value) >> (3 - i)) & 1), 0, 1,
  ];
  context.fillStyle = '#7e7e7e';
  context.fillRect(0, 32, 1280, 32);
  bits.forEach((bit, i) => {
    context.fillStyle = bit ? '#fff' : '#000';
    context.fillRect(i * 32, 0, 32, 32);
  });
}

Object.assign(globalThis, { FakeDevice, drawDoor });
