// From what a viewer saw and counted to figures, and from figures to what was asked of them.

import { gaps } from '../../tests/browser/network_fixture.mjs';

export const pause = (ms) => new Promise((done) => setTimeout(done, ms));

export const quantile = (list, q) => {
  const sorted = [...list].sort((a, b) => a - b);
  return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] : NaN;
};

/**
 * A stretch of watching: begun where it is made, and measured where it is asked. `link` is the line, if there is one.
 */
export class Stretch {
  static async begin(viewer, link) {
    const stretch = Object.assign(new Stretch(), { viewer, link, line: await link?.counters() });
    const before = await viewer.take();
    stretch.before = before;
    // A freeze begins with the last picture of what was before.
    stretch.from = before.shown.at(-1)?.at ?? before.now;
    return stretch;
  }

  async end() {
    const [after, line] = [await this.viewer.take(), await this.link?.counters()];
    const { before } = this;
    const seconds = (after.now - before.now) / 1000;
    const grown = (kind, key) => (after[kind]?.[key] ?? 0) - (before[kind]?.[key] ?? 0);
    const delays = after.shown.map(({ delay }) => delay).filter((delay) => delay !== null);
    const still = gaps(after.shown, this.from, after.now).map(({ ms }) => ms);
    const up = line && {
      bytes: line.up.bytes - this.line.up.bytes,
      seconds: line.at - this.line.at,
      rate: line.up.rate,
    };
    const concealed = grown('audio', 'concealedSamples') - grown('audio', 'silentConcealedSamples');
    return {
      seconds, now: after.now, shown: after.shown, from: this.from,
      fps: after.shown.length / seconds,
      decoded: grown('video', 'framesDecoded') / seconds,
      longest: Math.max(...still),
      over300: still.filter((ms) => ms > 300).length,
      over1000: still.filter((ms) => ms > 1000).length,
      kbps: 8 * (grown('video', 'bytesReceived') + grown('audio', 'bytesReceived')) / seconds / 1000,
      usage: up?.rate ? 8 * up.bytes / up.seconds / up.rate : NaN,
      p50: quantile(delays, 0.5), p95: quantile(delays, 0.95),
      lost: grown('video', 'packetsLost'),
      resent: grown('video', 'retransmittedPacketsReceived'),
      nacks: grown('video', 'nackCount'),
      keys: grown('video', 'keyFramesDecoded'),
      qp: grown('video', 'qpSum') / grown('video', 'framesDecoded'),
      concealed: concealed / grown('audio', 'totalSamplesReceived'),
      sizes: after.sizes, dropped: line ? line.up.dropped_buffer - this.line.up.dropped_buffer : NaN,
    };
  }
}

/** What a row found: figures that are bound, and others that explain them. */
export class Findings {
  constructor() {
    this.list = [];
  }

  bound(what, value, unit, sign, limit, met) {
    this.list.push({ what, value, unit, must: `${sign} ${show(limit)}`, met });
  }

  most(what, value, limit, unit = '') {
    this.bound(what, value, unit, '≤', limit, value <= limit);
  }

  least(what, value, limit, unit = '') {
    this.bound(what, value, unit, '≥', limit, value >= limit);
  }

  /** `like`: a word, or a pattern. */
  is(what, value, like) {
    const met = like instanceof RegExp ? like.test(value ?? '') : value === like;
    this.bound(what, value, '', 'is', like instanceof RegExp ? like.source : like, met);
  }

  note(what, value, unit = '') {
    this.list.push({ what, value, unit });
  }

  /** What explains a stretch. */
  explain(f, skip = []) {
    const all = {
      'frames shown': [f.fps, '/s'], 'frames decoded': [f.decoded, '/s'],
      'longest freeze': [f.longest, 'ms'], 'freezes > 300 ms': [f.over300], 'freezes > 1 s': [f.over1000],
      received: [f.kbps, 'kbit/s'], 'link used': [100 * f.usage, '%'],
      'delay p50': [f.p50, 'ms'], 'delay p95': [f.p95, 'ms'],
      'packets lost': [f.lost], 'sent again': [f.resent], 'dropped by the buffer': [f.dropped],
      'keyframes': [f.keys], QP: [f.qp],
      'sound concealed': [100 * f.concealed, '%'], 'sizes': [f.sizes.join(' ') || undefined],
    };
    for (const [what, [value, unit]] of Object.entries(all)) {
      if (!skip.includes(what) && value !== undefined && !Number.isNaN(value)) this.note(what, value, unit);
    }
  }

  get met() {
    return this.list.every(({ met }) => met !== false);
  }
}

export function show(value) {
  if (typeof value !== 'number') return value ?? '–';
  if (Number.isNaN(value)) return '–';
  return String(Math.abs(value) < 100 && !Number.isInteger(value) ? Number(value.toFixed(1)) : Math.round(value));
}
