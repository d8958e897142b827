// Figures in the words and units of people. Pure.

import { STEPS } from './phase.ts';
import type { Step } from './phase.ts';
import type { ViewerStats } from './stats.ts';

export interface Row {
  term: string;
  value: string;
  note?: string;
  /** What the value is made of, in order. */
  parts?: [name: string, ms: number][];
}

const CODECS: Record<string, string> = { h264: 'H.264', h265: 'H.265', opus: 'Opus' };

/** What the device says of the way, as `relay-prflx tls by turns:turn.example.org:5349`. */
const WAY = /^(\w+)-(\w+) (\w+)(?: by (\S+))?$/;

/** The figures as people read them. `steps`: how long each step to the first picture took; `way`: the route in the device's words. */
export function rowsOf(stats: ViewerStats, steps: [string, number][], way: string | null = null): Row[] {
  const ms = (value: number | null) => (value === null ? '–' : `${Math.round(value)} ms`);
  const rate = stats.bitrate === null ? '–' : stats.bitrate >= 1e6 ? `${(stats.bitrate / 1e6).toFixed(2)} Mbit/s` : `${Math.round(stats.bitrate / 1000)} kbit/s`;
  const by = { clock: 'by the picture clock', capture: 'by the capture time', estimate: 'estimated from here' };
  const codecs = [stats.videoCodec, stats.audioCodec].filter((it) => it !== null).map((it) => CODECS[it.toLowerCase()] ?? it);
  const { route } = stats;
  const theirs = way === null ? undefined : WAY.exec(way)?.slice(1);
  const row = (term: string, value: string, note = ''): Row => (note ? { term, value, note } : { term, value });
  return [
    { ...row('First picture', ms(stats.firstPictureMs)), ...(steps.length ? { parts: steps } : {}) },
    row('Delay', ms(stats.delayMs), stats.delayBy === null ? '' : `${stats.delayP95Ms === null ? '' : `95 % within ${ms(stats.delayP95Ms)}, `}${by[stats.delayBy]}`),
    row('Frame rate', stats.fps === null ? '–' : `${stats.fps.toFixed(stats.fps < 10 ? 1 : 0)} fps`, stats.width ? `${stats.width} × ${stats.height}` : ''),
    row('Bitrate', rate, codecs.join(', ')),
    row('Loss', stats.loss === null ? '–' : `${(stats.loss * 100).toFixed(1)} %`),
    row('Round trip', ms(stats.roundTripMs)),
    row('Freezes', String(stats.freezes)),
    row('Route', route ? (route.kind === 'direct' && !theirs?.includes('relay') ? 'Direct' : 'Relay') : '–', route ? `${route.local} – ${route.remote}, ${route.protocol.toUpperCase()}${route.server ? ` by ${route.server}` : ''}` : ''),
    ...(theirs ? [row('The camera’s route', theirs[0] === 'relay' ? 'Relay' : 'Direct', `${theirs[0]} – ${theirs[1]}, ${theirs[2]!.toUpperCase()}${theirs[3] ? ` by ${theirs[3]}` : ''}`)] : []),
  ];
}

/** How long each step to the first picture took, in milliseconds; `timings`: when each was reached. */
export function stepTimes({ shown, ...reached }: Partial<Record<Step | 'shown', number>>): [Step, number][] {
  if (shown === undefined) return [];
  const at = STEPS.filter((step) => reached[step] !== undefined).map((step) => [step, reached[step]!] as const);
  return at.map(([step, from], i) => [step, Math.round((at[i + 1]?.[1] ?? shown) - from)] as [Step, number]).filter(([, ms]) => ms > 0);
}
