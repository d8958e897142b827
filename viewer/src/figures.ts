// The figures of a board with names and units in a language. Pure.

import type { Format } from './format.ts';
import type { Json } from './results.ts';
import type { Row } from './rows.ts';
import { clean } from './texts.ts';
import type { BoardWords, ComponentWords } from './words/languages.ts';

const part = (it: unknown): Json => (typeof it === 'object' && it !== null && !Array.isArray(it) ? it as Json : {});

/** The figures in readable form. What the board did not tell is left out. */
export function boardRows(ok: Json, format: Format, { figures: words }: BoardWords, { stats }: ComponentWords): Row[] {
  const [video, session] = [part(ok['video']), part(ok['session'])];
  const rows: Row[] = [];
  const number = (it: Json, key: string) =>
    (typeof it[key] === 'number' && Number.isFinite(it[key]) ? it[key] as number : null);
  const row = (term: string, value: number | null, write: (value: number) => string, note = '') => {
    if (value !== null) rows.push({ term, value: write(value), ...(note ? { note } : {}) });
  };
  const rate = (bits: number) =>
    (bits >= 1e6 ? stats.mbit(format.number(bits / 1e6, 2)) : stats.kbit(format.number(bits / 1000)));
  const size = Array.isArray(video['size']) ? video['size'].map(Number) : [];
  const most = number(ok, 'max_viewers');
  row(words.uptime, number(ok, 'uptime_s'), (it) => format.duration(it * 1000));
  row(words.viewers, number(ok, 'viewers'), (it) => words.of(format.count(it), format.number(most ?? it)));
  row(words.temperature, number(ok, 'temperature_mc'), (it) => format.unit(it / 1000, 'celsius'));
  if (typeof video['encoder'] === 'string') rows.push({ term: words.encoder, value: clean(video['encoder'], 40) });
  row(words.rate, number(video, 'frames_per_s'), (it) => stats.fps(format.number(it)),
    size.length === 2 && size.every(Number.isSafeInteger) ? `${size[0]} × ${size[1]}` : '');
  row(words.bitrate, number(video, 'bitrate_bps'), rate);
  row(words.leftOut, number(video, 'left_out'), (it) => format.number(it));
  row(words.session, number(session, 'seconds'), (it) => format.duration(it * 1000));
  row(words.network, number(session, 'estimate_bps'), rate);
  row(words.roundTrip, number(session, 'round_trip_ms'), (it) => format.ms(it));
  row(words.loss, number(session, 'loss_permille'), (it) => format.percent(it / 1000, 1));
  row(words.sent, number(session, 'bytes'), (it) => format.unit(it / 1e6, 'megabyte', it < 1e7 ? 1 : 0));
  row(words.again, number(session, 'retransmitted'), (it) => words.packets(format.count(it)));
  return rows;
}
