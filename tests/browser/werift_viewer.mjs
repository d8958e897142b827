// A viewer that uses werift, a WebRTC stack in JavaScript. It gives access to each received packet.

import { RTCPeerConnection, RTCRtpCodecParameters, RtcpSrPacket, useH264, useOPUS, useTransportWideCC } from 'werift';
import { Stranger, host, sessionId, until } from './processes.mjs';

/** The types of the NAL units that begin in an RTP payload (RFC 6184 sections 5.2 to 5.8). */
export function units(payload) {
  const type = payload[0] & 31;
  if (type === 28) return payload[1] & 0x80 ? [payload[1] & 31] : [];
  if (type !== 24) return [type];
  const types = [];
  for (let at = 1; at + 2 < payload.length; at += 2 + payload.readUInt16BE(at)) types.push(payload[at + 2] & 31);
  return types;
}

/** What a description says each payload type is: `h264`, `opus`, `rtx`. */
const formats = (sdp) =>
  new Map(
    [...sdp.matchAll(/^a=rtpmap:(\d+) ([^/\r\n]+)/gm)].map(([, type, name]) => [Number(type), name.toLowerCase()]),
  );
const ufrag = (sdp) => /^a=ice-ufrag:(\S+)/m.exec(sdp)[1];

export class Viewer {
  /**
   * `servers`: its own STUN and TURN servers. `at`: addresses that it would not show of itself. `transport`: it asks
   * for numbers across streams, and says when each packet came.
   */
  static async connect(broker, device, name, { servers = [], at = [host], transport = false } = {}) {
    const viewer = new this(servers, at, transport);
    viewer.line = await Stranger.connect(broker, device, name);
    viewer.line.client.on('message', (topic, payload) => {
      if (topic.includes('/rsp/'))
        viewer.turn = viewer.turn
          .then(() => viewer.hear(JSON.parse(payload)))
          .catch((error) => {
            viewer.failed ??= error;
          });
    });
    return viewer;
  }

  constructor(servers, at, transport) {
    Object.assign(this, { servers, session: sessionId(), seq: 0, turn: Promise.resolve(), said: [], lose: 0 });
    Object.assign(this, { packets: [], reports: [], lost: [], resent: [], sent: [] });
    const feedback = (type, parameter) => ({ type, parameter });
    const rtcpFeedback = [feedback('nack'), feedback('nack', 'pli'), feedback('ccm', 'fir')];
    if (transport) rtcpFeedback.push(feedback('transport-cc'));
    const numbers = () => (transport ? [useTransportWideCC()] : []);
    this.pc = new RTCPeerConnection({
      iceServers: servers, iceAdditionalHostAddresses: at, bundlePolicy: 'max-bundle',
      codecs: {
        video: [
          useH264({ rtcpFeedback }),
          new RTCRtpCodecParameters({ mimeType: 'video/rtx', clockRate: 90000 }),
        ],
        audio: [useOPUS()],
      },
      headerExtensions: { audio: numbers(), video: numbers() },
    });
    this.pc.onIceCandidate.subscribe((candidate) => {
      const fields = { ufrag: ufrag(this.pc.localDescription.sdp), candidates: [] };
      if (candidate)
        fields.candidates.push({
          candidate: candidate.candidate,
          mid: candidate.sdpMid,
          mline: candidate.sdpMLineIndex,
        });
      this.say('candidates', candidate ? fields : { ...fields, end: true });
    });
    this.tap();
  }

  say(type, fields = {}) {
    const message = { v: 1, type, session: this.session, seq: this.seq++, ...fields };
    this.sent.push(message);
    return this.line.say(message);
  }

  async offer() {
    for (const kind of ['video', 'audio']) this.pc.addTransceiver(kind, { direction: 'recvonly' });
    const offer = await this.pc.createOffer();
    this.alone();
    // Without candidates: they trickle.
    this.say('offer', { sdp: offer.sdp });
    await this.pc.setLocalDescription(offer);
  }

  request(media = { video: true, audio: true }) {
    return this.say('request', { media });
  }

  async hear(message) {
    if (message.session !== this.session) return;
    this.said.push(message);
    if (message.type === 'answer') {
      await this.pc.setRemoteDescription({ type: 'answer', sdp: message.sdp });
      this.formats = formats(message.sdp);
    } else if (message.type === 'offer') {
      await this.pc.setRemoteDescription({ type: 'offer', sdp: message.sdp });
      this.alone();
      const answer = await this.pc.createAnswer();
      this.formats = formats(answer.sdp);
      this.say('answer', { sdp: answer.sdp });
      await this.pc.setLocalDescription(answer);
    } else if (message.type === 'candidates') {
      for (const { candidate, mid, mline } of message.candidates) {
        await this.pc.addIceCandidate({ candidate, sdpMid: mid, sdpMLineIndex: mline });
      }
    }
  }

  /** It asks a public STUN server where none is given. */
  alone() {
    if (this.servers.some(({ urls }) => urls.startsWith('stun:'))) return;
    for (const { connection } of this.pc.iceTransports) connection.stunServer = undefined;
  }

  /** Looks at each packet before the stack does. `lose`: how many packets of the picture the stack never gets. */
  tap() {
    const { router } = this.pc;
    const [rtp, rtcp] = [router.routeRtp, router.routeRtcp];
    router.routeRtp = (packet) => {
      const { header, payload } = packet;
      const format = this.formats?.get(header.payloadType);
      if (format === 'rtx') {
        this.resent.push({
          ssrc: header.ssrc,
          sequence: payload.readUInt16BE(0),
          timestamp: header.timestamp,
          marker: header.marker,
          payload: Buffer.from(payload.subarray(2)),
          at: performance.now(),
        });
      } else {
        const seen = {
          format,
          ssrc: header.ssrc,
          sequence: header.sequenceNumber,
          timestamp: header.timestamp,
          marker: header.marker,
          payload: Buffer.from(payload),
          at: performance.now(),
        };
        this.packets.push(seen);
        if (format === 'h264' && this.lose > 0) {
          this.lose -= 1;
          this.lost.push(seen);
          return;
        }
      }
      rtp(packet);
    };
    router.routeRtcp = (packet) => {
      if (packet.type === RtcpSrPacket.type) {
        const { ntpTimestamp, rtpTimestamp, packetCount, octetCount } = packet.senderInfo;
        const own = this.of(packet.ssrc);
        this.reports.push({
          ssrc: packet.ssrc, rtp: rtpTimestamp, packets: packetCount, octets: octetCount,
          unix: Number(ntpTimestamp >> 32n) - 2_208_988_800 + Number(ntpTimestamp & 0xffff_ffffn) / 2 ** 32,
          received: own.length, receivedOctets: own.reduce((sum, { payload }) => sum + payload.length, 0),
          now: Date.now() / 1000,
        });
      }
      rtcp(packet);
    };
  }

  /** The pair in use: the types of its candidates, its own first. */
  route() {
    const pair = this.pc.iceTransports[0]?.connection.nominated;
    return pair && `${pair.localCandidate.type}-${pair.remoteCandidate.type}`;
  }

  of(ssrc) {
    return this.packets.filter((packet) => packet.ssrc === ssrc);
  }

  pictures() {
    return this.packets.filter(({ format }) => format === 'h264');
  }

  sounds() {
    return this.packets.filter(({ format }) => format === 'opus');
  }

  receiver(kind) {
    return this.pc.getTransceivers().find((transceiver) => transceiver.kind === kind).receiver;
  }

  until(what, probe, ms = 20_000) {
    return until(what, () => {
      if (this.failed) throw this.failed;
      return probe();
    }, ms).catch((error) => {
      const brief = JSON.stringify(this.said.map((m) => ({ ...m, sdp: m.sdp?.length })));
      const { iceConnectionState } = this.pc;
      throw new Error(`${error.message}\nICE ${iceConnectionState}, ${this.packets.length} packets; heard ${brief}`);
    });
  }

  async close() {
    await this.say('bye');
    await this.pc.close();
    await this.line.close();
  }
}
