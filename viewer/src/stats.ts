// Readable figures from the browser's counters. Pure.

import type { Look } from './delay.ts';

export interface Route {
  /** `direct`: packets go directly from the camera to the browser. `relay`: a TURN server forwards them. */
  kind: 'direct' | 'relay';
  local: string;
  remote: string;
  protocol: string;
  /** The TURN server, if the relay is the browser's own and the browser names it: `turns:turn.example.org:443`. */
  server?: string;
}

export interface ViewerStats {
  /** Milliseconds from the request to watch to the first picture on the screen. */
  firstPictureMs: number | null;
  /** Milliseconds from capture to screen; see `delayBy`. */
  delayMs: number | null;
  /**
   * `clock`: read from the picture. `capture`: from the capture time in the device's sender reports. `estimate`: half
   * the round trip, and the time from a frame's arrival to the screen.
   */
  delayBy: 'clock' | 'capture' | 'estimate' | null;
  /** The 50th and 95th percentile of the last 10 s; only with the picture clock. */
  delayP50Ms: number | null;
  delayP95Ms: number | null;
  fps: number | null;
  /** The bitrate of video and audio, in bit/s. */
  bitrate: number | null;
  width: number;
  height: number;
  /** The share of packets lost in the last second, 0 to 1, before repair. */
  loss: number | null;
  freezes: number;
  roundTripMs: number | null;
  route: Route | null;
  videoCodec: string | null;
  audioCodec: string | null;
  framesDecoded: number;
  framesDropped: number;
}

type Entry = Record<string, unknown> & { type: string };
export interface Sample {
  at: number; bytes: number; packets: number; lost: number; frames: number;
  processedS: number;
}

const NTP_EPOCH_MS = 2_208_988_800_000; // 1900 to 1970

const num = (entry: Entry | undefined, key: string): number => {
  const value = entry?.[key];
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
};

/** Reads one report. `before` is the sample of the previous report. */
export function readStats(report: Map<string, Entry>, before: Sample | null, at: number): {
  sample: Sample;
  look: Look;
  stats: ViewerStats;
} {
  let video: Entry | undefined;
  let audio: Entry | undefined;
  for (const entry of report.values()) {
    if (entry.type !== 'inbound-rtp') continue;
    if (entry['kind'] === 'video') video = entry;
    else if (entry['kind'] === 'audio') audio = entry;
  }
  const pair = pairOf(report);
  const codec = (of: Entry | undefined) => {
    const mime = report.get(String(of?.['codecId']))?.['mimeType'];
    return typeof mime === 'string' ? mime.replace(/^.*\//, '') : null;
  };

  const sample: Sample = {
    at,
    bytes: num(video, 'bytesReceived') + num(audio, 'bytesReceived'),
    packets: num(video, 'packetsReceived') + num(audio, 'packetsReceived'),
    lost: num(video, 'packetsLost') + num(audio, 'packetsLost'),
    frames: num(video, 'framesDecoded'),
    processedS: num(video, 'totalProcessingDelay'),
  };
  const seconds = before ? (at - before.at) / 1000 : 0;
  const rate = (now: number, then: number) => (seconds > 0 && now >= then ? (now - then) / seconds : null);
  const rtt = pair && typeof pair['currentRoundTripTime'] === 'number'
    ? num(pair, 'currentRoundTripTime') * 1000
    : null;

  const frames = before ? sample.frames - before.frames : 0;
  const said = report.get(String(video?.['remoteId']));
  const playout = num(video, 'estimatedPlayoutTimestamp');
  const look: Look = {
    playout: playout > 0 ? num(video, 'timestamp') - (playout - NTP_EPOCH_MS) : null,
    offset: num(said, 'remoteTimestamp') > 0 ? num(said, 'remoteTimestamp') - num(said, 'timestamp') : null,
    roundTrip: rtt,
    processing: before && frames > 0 ? ((sample.processedS - before.processedS) / frames) * 1000 : null,
  };
  let loss: number | null = null;
  if (before) {
    const lost = Math.max(0, sample.lost - before.lost);
    const all = lost + Math.max(0, sample.packets - before.packets);
    loss = all > 0 ? lost / all : 0;
  }
  const fps = before ? rate(sample.frames, before.frames) : null;
  const bytes = before ? rate(sample.bytes, before.bytes) : null;
  return {
    sample,
    look,
    stats: {
      firstPictureMs: null, delayMs: null, delayBy: null, delayP50Ms: null, delayP95Ms: null,
      fps, bitrate: bytes === null ? null : bytes * 8,
      width: num(video, 'frameWidth'), height: num(video, 'frameHeight'),
      loss, freezes: num(video, 'freezeCount'), roundTripMs: rtt, route: routeOf(pair, report),
      videoCodec: codec(video), audioCodec: codec(audio),
      framesDecoded: sample.frames, framesDropped: num(video, 'framesDropped'),
    },
  };
}

/** The pair that media uses. */
function pairOf(report: Map<string, Entry>): Entry | undefined {
  let transport: Entry | undefined;
  let pair: Entry | undefined;
  for (const entry of report.values()) {
    if (entry.type === 'transport') transport = entry;
    // Firefox has no transport entry, but marks the pair.
    else if (entry.type === 'candidate-pair' && entry['selected'] === true) pair = entry;
  }
  return report.get(String(transport?.['selectedCandidatePairId'])) ?? pair;
}

function routeOf(pair: Entry | undefined, report: Map<string, Entry>): Route | null {
  if (!pair) return null;
  const local = report.get(String(pair['localCandidateId']));
  const remote = report.get(String(pair['remoteCandidateId']));
  if (!local || !remote) return null;
  const type = (it: Entry) => String(it['candidateType'] ?? '?');
  const relayed = type(local) === 'relay' || type(remote) === 'relay';
  const by = type(local) === 'relay' ? local['relayProtocol'] : undefined;
  return {
    kind: relayed ? 'relay' : 'direct', local: type(local), remote: type(remote),
    protocol: String(by ?? local['protocol'] ?? 'udp').toLowerCase(),
    ...(by && typeof local['url'] === 'string' && local['url'] ? { server: local['url'] } : {}),
  };
}
