// A viewer whose reports are not true: werift receives, and what it says of that is made up here. See RFC 3550 section 6.4 for
// receiver reports, and draft-holmer-rmcat-transport-wide-cc-extensions-01 for transport feedback.

import { RtcpRrPacket } from 'werift';
import { Viewer } from './werift_viewer.mjs';

const NUMBER = 'http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01';
const TRANSPORT_FEEDBACK = 205;
const EACH = 100;
const [LOST, LARGE] = [0, 2];

/** One transport feedback packet. `arrivals`: in microseconds, or undefined for what did not arrive. */
function feedback(base, arrivals, count, reference) {
  const statuses = arrivals.map((at) => (at === undefined ? LOST : LARGE));
  const chunks = [];
  for (let i = 0; i < statuses.length; i += 7) {
    chunks.push(statuses.slice(i, i + 7).reduce((chunk, status, n) => chunk | (status << (12 - 2 * n)), 0xc000));
  }
  const deltas = [];
  let time = reference * 64_000;
  for (const at of arrivals.filter((at) => at !== undefined)) {
    const ticks = Math.max(-32768, Math.min(32767, Math.round((at - time) / 250)));
    deltas.push(ticks);
    time += ticks * 250;
  }
  const bytes = 20 + 2 * chunks.length + 2 * deltas.length;
  const packet = Buffer.alloc(Math.ceil(bytes / 4) * 4);
  packet.writeUInt8(0x80 | 15, 0);
  packet.writeUInt8(TRANSPORT_FEEDBACK, 1);
  packet.writeUInt16BE(packet.length / 4 - 1, 2);
  packet.writeUInt32BE(1, 4);
  packet.writeUInt16BE(base & 0xffff, 12);
  packet.writeUInt16BE(arrivals.length, 14);
  packet.writeUIntBE(reference % 2 ** 24, 16, 3);
  packet.writeUInt8(count & 255, 19);
  chunks.forEach((chunk, i) => packet.writeUInt16BE(chunk, 20 + 2 * i));
  deltas.forEach((delta, i) => packet.writeInt16BE(delta, 20 + 2 * chunks.length + 2 * i));
  return packet;
}

/** What each kind of viewer says of arrivals `[number, microseconds]`; `undefined`: nothing. */
const kinds = {
  /** The truth. */
  honest: (arrivals) => arrivals,
  /** Nothing ever arrived. */
  'all lost': (arrivals) => arrivals.map(([number]) => [number]),
  /** Of each report one packet arrived, as far as transport feedback goes. */
  'nearly all lost': (arrivals) => arrivals.map(([number, at], i) => [number, i === arrivals.length - 1 ? at : undefined]),
  /** Each packet was later than the one before: a queue that grows by half of the time that passes. */
  late: (arrivals, { since }) => arrivals.map(([number, at]) => [number, at + (at - since) / 2]),
  /** One report, and not a word after it. */
  silent: (arrivals, { reports }) => (reports ? undefined : arrivals),
  /** Receiver reports of a loss that is nearly total, and no other. */
  'loss reports': () => undefined,
  /** What werift says by itself: its transport feedback has wrong lengths, and its receiver reports are right. */
  broken: () => undefined,
};
export const FALSE_REPORTS = Object.keys(kinds).filter((kind) => kind !== 'honest' && kind !== 'broken');

export class FalseFeedbackViewer extends Viewer {
  static async start(broker, device, name, kind, options = {}) {
    const liar = await FalseFeedbackViewer.connect(broker, device, name, { ...options, transport: true });
    Object.assign(liar, { kind, arrivals: [], told: { reports: 0, since: undefined }, next: undefined });
    liar.pc.router.routeRtp = liar.noting(liar.pc.router.routeRtp);
    await liar.offer();
    await liar.until('a picture', () => liar.pictures().length > 10);
    liar.falsify();
    return liar;
  }

  /** Notes when each numbered packet came. */
  noting(route) {
    return (packet) => {
      const line = this.said.find(({ type }) => type === 'answer')?.sdp.match(/a=extmap:(\d+) (\S+)/g)?.find((l) => l.endsWith(NUMBER));
      const id = Number(/:(\d+)/.exec(line)?.[1]);
      const extension = packet.header.extensions?.find((e) => e.id === id);
      if (extension) this.note(extension.payload.readUInt16BE(0));
      route(packet);
    };
  }

  note(number) {
    const near = this.next ?? number;
    const full = near + ((((number - near) & 0xffff) ^ 0x8000) - 0x8000);
    this.next ??= full;
    const at = Math.round(performance.now() * 1000);
    this.told.since ??= at;
    if (full >= this.next) this.arrivals.push([full, at]);
  }

  /** From now on nothing goes out but what its kind says. */
  falsify() {
    const [transport] = this.pc.dtlsTransports;
    const send = transport.sendRtcp.bind(transport);
    transport.sendRtcp = async (packets) => {
      const kept = packets.filter((p) => this.kind === 'broken' || (p instanceof RtcpRrPacket && this.kind !== 'silent') || p.type === 206);
      if (this.kind === 'loss reports') {
        for (const { reports } of kept) for (const report of reports ?? []) report.fractionLost = Math.max(report.fractionLost, 250);
      }
      if (kept.length) await send(kept);
    };
    if (this.kind === 'broken') return;
    this.timer = setInterval(() => {
      const arrivals = this.arrivals.splice(0).sort(([a], [b]) => a - b);
      if (!arrivals.length) return;
      const [first, last] = [this.next, arrivals.at(-1)[0]];
      this.next = last + 1;
      const said = kinds[this.kind](arrivals, this.told);
      if (!said) return;
      const times = new Map(said);
      const all = Array.from({ length: last - first + 1 }, (_, i) => times.get(first + i));
      const came = all.find((at) => at !== undefined) ?? arrivals[0][1];
      const reference = Math.floor(came / 64_000);
      const packet = feedback(first, all, this.told.reports, reference);
      this.told.reports += 1;
      send([{ serialize: () => packet }]).catch(() => {});
    }, EACH);
  }

  async close() {
    clearInterval(this.timer);
    await super.close();
  }
}
