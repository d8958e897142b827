// Figures in the words and units of people. Pure.

import type { ViewerStats } from './stats.ts';

/** The figures as people read them. */
export function rowsOf(stats: ViewerStats, breakdown: string): [string, string, string?][] {
  const ms = (value: number | null) => (value === null ? '–' : `${Math.round(value)} ms`);
  const rate = stats.bitrate === null ? '–' : stats.bitrate >= 1e6 ? `${(stats.bitrate / 1e6).toFixed(2)} Mbit/s` : `${Math.round(stats.bitrate / 1000)} kbit/s`;
  const p95 = stats.delayBy === 'clock' ? `95 %: ${ms(stats.delayP95Ms)} · picture clock` : stats.delayBy === 'estimate' ? 'estimated' : undefined;
  const route = stats.route;
  return [
    ['First picture', ms(stats.firstPictureMs), breakdown],
    ['Delay', ms(stats.delayMs), p95],
    ['Pictures', stats.fps === null ? '–' : `${stats.fps.toFixed(stats.fps < 10 ? 1 : 0)} /s`, stats.width ? `${stats.width} × ${stats.height}` : undefined],
    ['Bitrate', rate, [stats.videoCodec, stats.audioCodec].filter(Boolean).join(', ') || undefined],
    ['Loss', stats.loss === null ? '–' : `${(stats.loss * 100).toFixed(1)} %`, `round trip ${ms(stats.roundTripMs)}`],
    ['Freezes', String(stats.freezes)],
    ['Route', route ? (route.kind === 'direct' ? 'Direct' : 'Relay') : '–', route ? `${route.local} – ${route.remote}, ${route.protocol.toUpperCase()}` : undefined],
  ].map((row) => row.filter((cell) => cell !== undefined) as [string, string, string?]);
}
