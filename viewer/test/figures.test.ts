import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkOf, delayOf, readClock } from '../src/clock.ts';
import { Delays, percentile } from '../src/delay.ts';
import type { Look } from '../src/delay.ts';
import { readStats } from '../src/stats.ts';
import { languageAmong } from '../src/language.ts';
import { rowsOf, stepTimes } from '../src/rows.ts';
import type { ViewerStats } from '../src/stats.ts';
import { componentWords } from '../src/words/languages.ts';

/** The strip of the test picture. The browser has already converted limited-range grey to RGB. */
function strip(value: number, width = 1280, white = 255, black = 0, flip = -1): {
  rgba: Uint8ClampedArray;
  side: number;
} {
  const side = Math.floor(width / 40);
  const bits = [
    1, 0, ...Array.from({ length: 32 }, (_, i) => (value >>> (31 - i)) & 1),
    ...Array.from({ length: 4 }, (_, i) => (checkOf(value) >> (3 - i)) & 1), 0, 1,
  ];
  if (flip >= 0) bits[flip] = 1 - bits[flip]!;
  const rgba = new Uint8ClampedArray(width * side * 4).fill(126);
  for (let y = 0; y < side; y++)
    for (let x = 0; x < side * 40; x++)
      rgba.fill(bits[Math.floor(x / side)] ? white : black, (y * width + x) * 4, (y * width + x) * 4 + 3);
  return { rgba, side };
}

for (const value of [0, 1, 0x12345678, 0xffffffff, 0x80000000]) {
  for (const width of [320, 640, 1280, 1283, 1920]) {
    test(`reads ${value} from a picture ${width} wide`, () => {
      const { rgba, side } = strip(value, width);
      assert.equal(readClock(rgba, width, side), value);
    });
  }
}
test('reads a washed-out strip, and refuses one without contrast', () => {
  const grey = strip(0xcafe, 1280, 160, 90);
  assert.equal(readClock(grey.rgba, 1280, grey.side), 0xcafe);
  const fog = strip(0xcafe, 1280, 120, 90);
  assert.equal(readClock(fog.rgba, 1280, fog.side), null);
});
test('one wrong cell is noticed wherever it is', () => {
  for (let cell = 2; cell < 38; cell++) {
    const { rgba, side } = strip(0x0badcafe, 1280, 255, 0, cell);
    assert.equal(readClock(rgba, 1280, side), null, `cell ${cell}`);
  }
});
test('a picture without a strip has no clock', () => {
  assert.equal(readClock(new Uint8ClampedArray(1280 * 32 * 4), 1280, 32), null);
  assert.equal(readClock(new Uint8ClampedArray(0), 30, 1), null);
});
test('the delay survives the wrap of the clock, and clocks that disagree give none', () => {
  const now = 1_700_000_000_000;
  assert.equal(delayOf(now, (now - 35) % 2 ** 32), 35);
  const wrap = Math.ceil(now / 2 ** 32) * 2 ** 32;
  assert.equal(delayOf(wrap + 10, 2 ** 32 - 25), 35);
  assert.equal(delayOf(now, (now + 500) % 2 ** 32), null);
  assert.equal(delayOf(now, (now - 60_000) % 2 ** 32), null);
});

const rows = (stats: ViewerStats, way: string | null = null, lang = 'en') => {
  const language = languageAmong([lang]);
  return rowsOf({ stats, steps: [['broker', 1012], ['picture', 88]], way }, language, componentWords[language.tag]);
};
const report = (frames: number, bytes: number, lost: number, local = 'host') => new Map(Object.entries({
  v: {
    type: 'inbound-rtp', kind: 'video', codecId: 'c', bytesReceived: bytes, packetsReceived: frames * 4,
    packetsLost: lost, framesDecoded: frames, totalProcessingDelay: frames * 0.01, timestamp: 1_700_000_000_014,
    estimatedPlayoutTimestamp: 1_700_000_000_000 + 2_208_988_800_000, remoteId: 'o', frameWidth: 1280, frameHeight: 720,
    freezeCount: 1, framesDropped: 2,
  },
  a: { type: 'inbound-rtp', kind: 'audio', bytesReceived: 1000, packetsReceived: 50, packetsLost: 0 },
  o: { type: 'remote-outbound-rtp', timestamp: 1_700_000_000_003, remoteTimestamp: 1_700_000_000_000 },
  c: { type: 'codec', mimeType: 'video/H264' },
  t: { type: 'transport', selectedCandidatePairId: 'p' },
  q: { type: 'candidate-pair', currentRoundTripTime: 9 },
  p: { type: 'candidate-pair', currentRoundTripTime: 0.02, localCandidateId: 'l', remoteCandidateId: 'r' },
  l: {
    type: 'local-candidate', candidateType: local, protocol: 'udp',
    ...(local === 'relay' ? { relayProtocol: 'tls', url: 'turns:turn.example:443' } : {}),
  },
  r: { type: 'remote-candidate', candidateType: 'srflx', protocol: 'udp' },
}).map(([id, it]) => [id, { id, ...it }])) as Parameters<typeof readStats>[0];

test('figures are differences between two reports', () => {
  const first = readStats(report(30, 250_000, 0), null, 1000);
  assert.deepEqual(
    [first.stats.fps, first.stats.bitrate, first.stats.delayMs, first.stats.loss], [null, null, null, null]
  );
  const { stats, look } = readStats(report(60, 500_000, 12), first.sample, 2000);
  assert.equal(stats.fps, 30);
  assert.equal(stats.bitrate, 2_000_000);
  assert.deepEqual(look, { playout: 14, offset: -3, roundTrip: 20, processing: 10 });
  assert.ok(Math.abs(stats.loss! - 12 / 132) < 1e-9);
  assert.deepEqual([stats.width, stats.height, stats.freezes, stats.videoCodec], [1280, 720, 1, 'H264']);
  assert.deepEqual(stats.route, { kind: 'direct', local: 'host', remote: 'srflx', protocol: 'udp' });
});
test('a relay is named with its own protocol', () => {
  const { stats } = readStats(report(1, 1, 0, 'relay'), null, 0);
  assert.deepEqual(
    stats.route, { kind: 'relay', local: 'relay', remote: 'srflx', protocol: 'tls', server: 'turns:turn.example:443' }
  );
  assert.equal(rows(stats).find((row) => row.term === 'Route')?.note, 'relay – srflx, TLS by turns:turn.example:443');
});
test('the relay of the device is told by the device', () => {
  const { stats } = readStats(report(1, 1, 0), null, 0);
  const told = (way: string | null) =>
    rows(stats, way).filter((row) => row.term.endsWith('oute')).map((row) => [row.value, row.note]);
  const own = 'host – srflx, UDP';
  assert.deepEqual(told(null), [['Direct', own]]);
  assert.deepEqual(told('host-srflx udp'), [['Direct', own], ['Direct', 'host – srflx, UDP']]);
  assert.deepEqual(told('relay-prflx tls by turns:t.example:5349?transport=tcp'),
    [['Relay', own], ['Relay', 'relay – prflx, TLS by turns:t.example:5349?transport=tcp']]);
  assert.deepEqual(told('a word of a device of tomorrow'), [['Direct', own]]);
});
test('figures are written as the language writes them', () => {
  const stats: ViewerStats = {
    ...readStats(new Map(), null, 0).stats, firstPictureMs: 1100.4, delayMs: 44, delayP95Ms: 46, delayBy: 'clock',
    fps: 7.25, bitrate: 2_345_678, loss: 0.012,
    freezes: 1200,
    route: { kind: 'relay', local: 'relay', remote: 'host', protocol: 'udp', server: 'turn:t.example:3478' },
    videoCodec: 'H264',
  };
  const values = (lang: string) =>
    rows(stats, null, lang).map(({ value, note }) => (note ? `${value} | ${note}` : value).replace(/\u00a0/g, ' '));
  assert.deepEqual(
    values('en'),
    [
      '1,100 ms', '44 ms | 95% within 46 ms, by the picture clock', '7.3 fps', '2.35 Mbit/s | H.264', '1.2%', '–',
      '1,200', 'Relay | relay – host, UDP by turn:t.example:3478',
    ]
  );
  assert.deepEqual(
    values('de-AT').slice(1, 5),
    ['44 ms | 95 % unter 46 ms, nach der Bilduhr', '7,3 Bilder/s', '2,35 Mbit/s | H.264', '1,2 %']
  );
  assert.deepEqual(rows(stats, null, 'de')[0]!.parts, [['Broker', 1012, '1.012'], ['Bild', 88, '88']]);
  assert.deepEqual(stepTimes({ broker: 0, offer: 40, picture: 40.4, shown: 90 }), [['broker', 40], ['picture', 50]]);
});
test('nothing connected yet is no figures, and no fault', () => {
  const { stats } = readStats(new Map(), null, 0);
  assert.equal(stats.route, null);
  assert.deepEqual(rows(stats).map((row) => row.value), ['–', '–', '–', '–', '–', '–', '0', '–']);
});
test('the delay is the surest one that is known, of the last 10 s', () => {
  const all = new Delays();
  const look = (at: number, more: Partial<Look> = {}) =>
    all.look(at, { playout: null, offset: null, roundTrip: 20, processing: 9, ...more });
  assert.equal(all.summary(0), null);
  for (let i = 1; i <= 100; i++) all.frame(i * 33, i * 33 - 25);
  all.frame(3300, 3400); // from the future: ignored
  assert.equal(all.summary(3300), null); // no round trip yet
  look(3300);
  assert.deepEqual(all.summary(3300), { ms: 35, by: 'estimate', p95: null });
  // The device's clock is a minute behind. Its reports took 10, 12 and 400 ms; it is 14 ms to the playout, and 16 to
  // the screen.
  for (const late of [12, 10, 400])
    look(3400 + late, { playout: 60_014, offset: -60_000 - late, roundTrip: late === 400 ? 800 : 20 });
  assert.deepEqual(all.summary(4000), { ms: 30, by: 'capture', p95: null });
  look(4000, { playout: 14_000_000, offset: 0 });
  all.read(4000, 44);
  all.read(4100, 46);
  assert.deepEqual(all.summary(4100), { ms: 44, by: 'clock', p95: 46 });
  assert.equal(all.summary(14_500), null);
});
test('percentiles', () => {
  const values = Array.from({ length: 100 }, (_, i) => 100 - i);
  assert.deepEqual(
    [percentile(values, 0.5), percentile(values, 0.95), percentile([7], 0.95), percentile([], 0.5)], [50, 95, 7, null]
  );
});
