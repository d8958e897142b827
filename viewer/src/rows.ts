// Figures with names and units in a language. Pure.

import { NO_FIGURE } from './format.ts';
import type { Format } from './format.ts';
import { STEPS } from './phase.ts';
import type { Step } from './phase.ts';
import type { ViewerStats } from './stats.ts';
import type { ComponentWords } from './words/languages.ts';

export interface Figures {
  stats: ViewerStats;
  /** How long each step to the first picture took, in milliseconds. */
  steps: [Step, number][];
  /** The route as the device reports it. */
  way: string | null;
}

export interface Row {
  term: string;
  value: string;
  note?: string;
  /** The parts of the value, in order. */
  parts?: [name: string, ms: number, text: string][];
}

const CODECS: Record<string, string> = { h264: 'H.264', h265: 'H.265', opus: 'Opus' };

/** The route as the device reports it: `relay-prflx tls by turns:turn.example.org:5349`. */
const WAY = /^(\w+)-(\w+) (\w+)(?: by (\S+))?$/;

/** The figures in readable form. */
export function rowsOf(
  { stats, steps, way }: Figures, format: Format, { stats: words, steps: names }: ComponentWords
): Row[] {
  const { bitrate, fps, loss, route } = stats;
  const theirs = way === null ? undefined : WAY.exec(way)?.slice(1);
  const row = (term: string, value: string, note = ''): Row => (note ? { term, value, note } : { term, value });
  const routeText = (local: string, remote: string, protocol: string, server?: string) => {
    const pair = `${local} – ${remote}, ${protocol.toUpperCase()}`;
    return server ? words.by(pair, server) : pair;
  };
  const rate = bitrate === null ? NO_FIGURE
    : bitrate >= 1e6 ? words.mbit(format.number(bitrate / 1e6, 2)) : words.kbit(format.number(bitrate / 1000));
  const codecs = [stats.videoCodec, stats.audioCodec].filter((it) => it !== null).map(
    (it) => CODECS[it.toLowerCase()] ?? it
  );
  const parts = steps.map(([step, ms]) => [names[step].short, ms, format.number(ms)] as [string, number, string]);
  const kind = (relayed: boolean) => (relayed ? words.relay : words.direct);
  return [
    { ...row(words.first, format.ms(stats.firstPictureMs)), ...(parts.length ? { parts } : {}) },
    row(words.delay, format.ms(stats.delayMs), delayNote(stats, format, words)),
    row(
      words.rate, fps === null ? NO_FIGURE : words.fps(format.number(fps, fps < 10 ? 1 : 0)),
      stats.width ? `${stats.width} × ${stats.height}` : ''
    ),
    row(words.bitrate, rate, codecs.join(', ')),
    row(words.loss, loss === null ? NO_FIGURE : format.percent(loss, 1)),
    row(words.roundTrip, format.ms(stats.roundTripMs)),
    row(words.freezes, format.number(stats.freezes)),
    row(words.route, route ? kind(route.kind === 'relay' || theirs?.includes('relay') === true) : NO_FIGURE,
      route ? routeText(route.local, route.remote, route.protocol, route.server) : ''),
    ...(theirs
      ? [row(words.ownRoute, kind(theirs[0] === 'relay'), routeText(theirs[0]!, theirs[1]!, theirs[2]!, theirs[3]))]
      : []),
  ];
}

function delayNote({ delayBy, delayP95Ms }: ViewerStats, format: Format, words: ComponentWords['stats']): string {
  if (delayBy === null) return '';
  return delayP95Ms === null
    ? words[delayBy]
    : words.within(format.percent(0.95), format.ms(delayP95Ms), words[delayBy]);
}

/** How long each step to the first picture took, in milliseconds. `timings`: when each step was reached. */
export function stepTimes({ shown, ...reached }: Partial<Record<Step | 'shown', number>>): [Step, number][] {
  if (shown === undefined) return [];
  const at = STEPS.filter((step) => reached[step] !== undefined).map((step) => [step, reached[step]!] as const);
  return at.map(([step, from], i) => [step, Math.round((at[i + 1]?.[1] ?? shown) - from)] as [Step, number]).filter(
    ([, ms]) => ms > 0
  );
}
