// A hostile broker: it stands between daemon, viewers and a real mosquitto, and reads every MQTT packet. An attack can
// record, change, drop, delay, repeat and forge messages in both directions, and lead viewers to another broker.

import net from 'node:net';
import mqtt from 'mqtt';
import packets from 'mqtt-packet';
import { WebSocketServer } from 'ws';
import { freePort } from './processes.mjs';

/** One client of the hostile broker, and its connection to a real one. */
class Pipe {
  constructor(hostile, who, write, end) {
    Object.assign(this, { hostile, who, write, end, version: 4, stream: { from: who, chunks: [] } });
    hostile.streams.push(this.stream);
    this.astray = who === 'viewer' && hostile.elsewhere !== null;
    this.real = net.connect((this.astray ? hostile.elsewhere : hostile.broker).tcp, '127.0.0.1');
    this.real.on('error', () => {}).on('close', () => this.close());
    this.fromClient = this.parser(undefined, (packet) => this.up(packet));
    this.fromReal = this.parser(undefined, (packet) => this.down(packet));
    this.real.on('data', (data) => this.fromReal.parse(data));
    hostile.pipes.add(this);
  }

  parser(protocolVersion, take) {
    return packets.parser({ protocolVersion }).on('packet', take).on('error', () => this.close());
  }

  read(data) {
    this.stream.chunks.push(Buffer.from(data));
    this.fromClient.parse(data);
  }

  /** A packet of the client. */
  up(packet) {
    if (packet.cmd === 'connect') {
      // A parser learns the version from CONNECT, which the other direction does not have.
      this.version = packet.protocolVersion;
      this.fromReal = this.parser(this.version, (it) => this.down(it));
    }
    if (packet.cmd !== 'publish') return this.toReal(packet);
    this.hostile.record(this, packet);
    const passed = this.hostile.pass({ from: this.who, to: 'broker', topic: packet.topic, payload: packet.payload });
    if (!passed.length && packet.qos === 1)
      this.toClient({ cmd: 'puback', messageId: packet.messageId, reasonCode: 0 });
    this.several(passed, packet).forEach((it) => this.toReal(it));
  }

  /** A packet of the real broker. */
  down(packet) {
    if (packet.cmd !== 'publish') return this.toClient(packet);
    const passed = this.hostile.pass({ from: 'broker', to: this.who, topic: packet.topic, payload: packet.payload });
    if (!passed.length && packet.qos === 1) this.toReal({ cmd: 'puback', messageId: packet.messageId, reasonCode: 0 });
    this.several(passed, packet).forEach((it) => this.toClient(it));
  }

  /** The packet with each of these payloads. Only the first one is acknowledged. */
  several(payloads, packet) {
    return payloads.map((payload, at) =>
      at === 0 ? { ...packet, payload } : { ...packet, payload, qos: 0, messageId: undefined, dup: false },
    );
  }

  toReal(packet) {
    if (!this.real.destroyed) this.real.write(packets.generate(packet, { protocolVersion: this.version }));
  }

  toClient(packet) {
    this.write(packets.generate(packet, { protocolVersion: this.version }));
  }

  close() {
    if (!this.hostile.pipes.delete(this)) return;
    this.real.destroy();
    this.end();
  }
}

/** The daemon reaches it by TCP, viewers by WebSocket. */
export class HostileBroker {
  /** `broker`: a real one, with which it shares what is retained. */
  static async start(broker) {
    const hostile = new HostileBroker();
    Object.assign(hostile, { broker, elsewhere: null, pipes: new Set(), recorded: [], streams: [], attack: null });
    hostile.tcp = await freePort();
    hostile.ws = await freePort();
    hostile.server = net.createServer((socket) => {
      const pipe = new Pipe(hostile, 'daemon', (data) => socket.writable && socket.write(data), () => socket.destroy());
      socket.on('data', (data) => pipe.read(data)).on('error', () => {}).on('close', () => pipe.close());
    });
    await new Promise((resolve) => hostile.server.listen(hostile.tcp, '127.0.0.1', resolve));
    hostile.web = new WebSocketServer({ host: '127.0.0.1', port: hostile.ws, handleProtocols: () => 'mqtt' });
    hostile.web.on('connection', (socket) => {
      const pipe = new Pipe(
        hostile,
        'viewer',
        (data) => socket.readyState === 1 && socket.send(data),
        () => socket.close(),
      );
      socket.on('message', (data) => pipe.read(data)).on('error', () => {}).on('close', () => pipe.close());
    });
    await new Promise((resolve) => hostile.web.once('listening', resolve));
    hostile.client = await mqtt.connectAsync(`mqtt://127.0.0.1:${broker.tcp}`, {
      protocolVersion: 5,
      clientId: 'hostile',
    });
    return hostile;
  }

  /** As `Broker` in `processes.mjs` has it. */
  get config() {
    return { url: `mqtt://127.0.0.1:${this.tcp}` };
  }

  get url() {
    return `ws://127.0.0.1:${this.ws}`;
  }

  /** Everything that clients publish is recorded as they sent it, whatever an attack makes of it. */
  record({ who, astray }, { topic, payload }) {
    this.recorded.push({ at: performance.now(), from: who, astray, topic, payload: Buffer.from(payload) });
  }

  /**
   * Decides about a message: the attack returns nothing (it passes), `null` (it is dropped), a payload, or a list of
   * payloads.
   */
  pass(message) {
    const changed = this.attack?.(message);
    if (changed === undefined) return [message.payload];
    return changed === null ? [] : [changed].flat();
  }

  /** Publishes a message at the real broker, in order, as if a client had sent it. */
  publish(topic, payload, { retain = false } = {}) {
    return this.client.publishAsync(topic, payload, { qos: 1, retain });
  }

  /** Sends a message to all clients of one kind, past the real broker. */
  inject(to, topic, payload, { retain = false } = {}) {
    for (const pipe of this.pipes) {
      if (pipe.who === to) pipe.toClient({ cmd: 'publish', topic, payload, qos: 0, retain, dup: false });
    }
  }

  /** Leads viewers to another broker; `null`: no longer. */
  divert(elsewhere) {
    this.elsewhere = elsewhere;
    this.cut('viewer');
  }

  /** Closes all connections of one kind. Clients come back. */
  cut(who) {
    for (const pipe of [...this.pipes]) if (pipe.who === who) pipe.close();
  }

  async stop() {
    await this.client.endAsync(true);
    for (const pipe of [...this.pipes]) pipe.close();
    this.web.close();
    this.server.close();
  }
}
