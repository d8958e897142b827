// A hostile broker: it stands between daemon, viewers and a real mosquitto, and reads every MQTT packet. An attack can
// record, change, drop, delay, repeat and forge messages in both directions.

import net from 'node:net';
import packets from 'mqtt-packet';
import { WebSocketServer } from 'ws';
import { freePort } from './processes.mjs';

/** One client of the hostile broker, and its connection to the real one. */
class Pipe {
  constructor(hostile, who, write, end) {
    Object.assign(this, { hostile, who, write, end, version: 4, topics: [] });
    this.real = net.connect(hostile.broker.tcp, '127.0.0.1');
    this.real.on('error', () => {}).on('close', () => this.close());
    this.fromClient = packets.parser().on('packet', (packet) => this.up(packet)).on('error', () => this.close());
    this.fromReal = packets.parser().on('packet', (packet) => this.down(packet)).on('error', () => this.close());
    this.real.on('data', (data) => this.fromReal.parse(data));
    hostile.pipes.add(this);
  }

  read(data) {
    this.fromClient.parse(data);
  }

  /** A packet of the client. */
  up(packet) {
    if (packet.cmd === 'connect') {
      // A parser learns the version from CONNECT; the one of the other direction is told.
      this.version = packet.protocolVersion;
      this.fromReal = packets.parser({ protocolVersion: this.version }).on('packet', (it) => this.down(it)).on('error', () => this.close());
    }
    if (packet.cmd !== 'publish') return this.toReal(packet);
    const passed = this.hostile.pass({ from: this.who, to: 'broker', topic: packet.topic, payload: packet.payload, packet });
    if (!passed.length && packet.qos === 1) this.toClient({ cmd: 'puback', messageId: packet.messageId, reasonCode: 0 });
    passed.forEach((payload) => this.toReal({ ...packet, payload }));
  }

  /** A packet of the real broker. */
  down(packet) {
    if (packet.cmd !== 'publish') return this.toClient(packet);
    const passed = this.hostile.pass({ from: 'broker', to: this.who, topic: packet.topic, payload: packet.payload, packet });
    if (!passed.length && packet.qos === 1) this.toReal({ cmd: 'puback', messageId: packet.messageId, reasonCode: 0 });
    passed.forEach((payload) => this.toClient({ ...packet, payload }));
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

/** Who opens a pipe: `daemon` by TCP, `viewer` by WebSocket. */
export class HostileBroker {
  /** `broker`: a real one, with which it shares what is retained. */
  static async start(broker) {
    const hostile = new HostileBroker();
    Object.assign(hostile, { broker, pipes: new Set(), recorded: [], attack: null, at: '127.0.0.1' });
    hostile.tcp = await freePort();
    hostile.ws = await freePort();
    hostile.server = net.createServer((socket) => {
      const pipe = new Pipe(hostile, 'daemon', (data) => socket.writable && socket.write(data), () => socket.destroy());
      socket.on('data', (data) => pipe.read(data)).on('error', () => {}).on('close', () => pipe.close());
    });
    await new Promise((resolve) => hostile.server.listen(hostile.tcp, '127.0.0.1', resolve));
    hostile.web = new WebSocketServer({ host: '127.0.0.1', port: hostile.ws, handleProtocols: () => 'mqtt' });
    hostile.web.on('connection', (socket) => {
      const pipe = new Pipe(hostile, 'viewer', (data) => socket.readyState === 1 && socket.send(data), () => socket.close());
      socket.on('message', (data) => pipe.read(data)).on('error', () => {}).on('close', () => pipe.close());
    });
    await new Promise((resolve) => hostile.web.once('listening', resolve));
    return hostile;
  }

  /** As `Broker` in `processes.mjs` has it. */
  get config() {
    return { url: `mqtt://127.0.0.1:${this.tcp}` };
  }

  get url() {
    return `ws://127.0.0.1:${this.ws}`;
  }

  /**
   * Decides about a message: the attack returns nothing (it passes), `null` (it is dropped), a payload, or a list of
   * payloads. All messages are recorded as they were sent.
   */
  pass(message) {
    if (message.to === 'broker') this.recorded.push({ at: performance.now(), ...message, packet: undefined });
    const changed = this.attack?.(message);
    if (changed === undefined) return [message.payload];
    return changed === null ? [] : [changed].flat();
  }

  /** Publishes a message by the real broker, as if a client had sent it. */
  publish(topic, payload, { retain = false } = {}) {
    return new Promise((resolve, reject) => {
      const socket = net.connect(this.broker.tcp, '127.0.0.1');
      const parser = packets.parser({ protocolVersion: 5 });
      const send = (packet) => socket.write(packets.generate(packet, { protocolVersion: 5 }));
      parser.on('packet', (packet) => {
        if (packet.cmd === 'connack') send({ cmd: 'publish', topic, payload, qos: 1, messageId: 1, retain });
        if (packet.cmd === 'puback') {
          send({ cmd: 'disconnect' });
          socket.end();
          resolve();
        }
      });
      socket.on('data', (data) => parser.parse(data)).on('error', reject);
      send({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 5, clean: true, clientId: `hostile-${Math.random()}`, keepalive: 30 });
    });
  }

  /** Sends a message to all clients of one kind, past the real broker. */
  inject(to, topic, payload, { retain = false } = {}) {
    for (const pipe of this.pipes) {
      if (pipe.who === to) pipe.toClient({ cmd: 'publish', topic, payload, qos: 0, retain, dup: false });
    }
  }

  /** Closes all connections of one kind. Clients come back. */
  cut(who) {
    for (const pipe of [...this.pipes]) if (pipe.who === who) pipe.close();
  }

  async stop() {
    for (const pipe of [...this.pipes]) pipe.close();
    this.web.close();
    this.server.close();
  }
}
