// A viewer that sends false feedback: werift receives, and this file makes up the reports. RFC 3550 section 6.4 defines
// receiver reports, draft-holmer-rmcat-transport-wide-cc-extensions-01 transport feedback.

import { RtcpRrPacket } from 'werift';
import { Viewer } from './werift_viewer.mjs';

const NUMBER = 'http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01';
const TRANSPORT_FEEDBACK = 205;
const EACH = 100;
const [LOST, LARGE] = [0, 2];

/** A transport feedback packet. `arrivals`: in microseconds, or undefined for a lost packet. */
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

/** The report of each kind of viewer about arrivals `[number, microseconds]`; `undefined` is no report. */
const kinds = {
  /** The true arrivals. */
  honest: (arrivals) => arrivals,
  /** All packets were lost. */
  'all lost': (arrivals) => arrivals.map(([number]) => [number]),
  /** In each transport feedback, only one packet arrived. */
  'nearly all lost': (arrivals) =>
    arrivals.map(([number, at], i) => [number, i === arrivals.length - 1 ? at : undefined]),
  /** Each packet is later than the one before, as if a queue grew by half of the elapsed time. */
  late: (arrivals, { since }) => arrivals.map(([number, at]) => [number, at + (at - since) / 2]),
  /** One report, then none. */
  silent: (arrivals, { reports }) => (reports ? undefined : arrivals),
  /** Receiver reports with nearly total loss, and no transport feedback. */
  'loss reports': () => undefined,
  /** werift's own reports: its transport feedback has wrong lengths, its receiver reports are right. */
  broken: () => undefined,
};
export const FALSE_REPORTS = Object.keys(kinds).filter((kind) => kind !== 'honest' && kind !== 'broken');

export class FalseFeedbackViewer extends Viewer {
  static async start(broker, device, name, kind, options = {}) {
    const viewer = await FalseFeedbackViewer.connect(broker, device, name, { ...options, transport: true });
    Object.assign(viewer, { kind, arrivals: [], told: { reports: 0, since: undefined }, next: undefined });
    viewer.pc.router.routeRtp = viewer.noting(viewer.pc.router.routeRtp);
    await viewer.offer();
    await viewer.until('a picture', () => viewer.pictures().length > 10);
    viewer.falsify();
    return viewer;
  }

  /** Notes the arrival of each numbered packet. */
  noting(route) {
    return (packet) => {
      const line = this.said
        .find(({ type }) => type === 'answer')
        ?.sdp.match(/a=extmap:(\d+) (\S+)/g)
        ?.find((l) => l.endsWith(NUMBER));
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

  /** From now on the viewer sends only the reports of its kind. */
  falsify() {
    const [transport] = this.pc.dtlsTransports;
    const send = transport.sendRtcp.bind(transport);
    transport.sendRtcp = async (packets) => {
      const kept = packets.filter(
        (p) => this.kind === 'broken' || (p instanceof RtcpRrPacket && this.kind !== 'silent') || p.type === 206,
      );
      if (this.kind === 'loss reports') {
        for (const { reports } of kept)
          for (const report of reports ?? []) report.fractionLost = Math.max(report.fractionLost, 250);
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
