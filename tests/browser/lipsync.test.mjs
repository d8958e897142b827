// Lips and voice: the sound's content against the picture's, as a browser plays them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { leave, scene } from './scene.mjs';

const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];
// On a machine with time to spare it is within 45 ms; here others may be at work.
const LOOSE = 120;

const s = scene();

test('sound and picture of one moment are played together', async (t) => {
  const page = await s.tab();
  const { session } = await s.watch(page);
  // The browser moves one towards the other by and by.
  await page.evaluate((id) => window.skew(id, 5000), session);
  const { sounds, pictures, figures, latency } = await page.evaluate((id) => window.skew(id, 10_000), session);
  assert.ok(sounds.length >= 8, `${sounds.length} bursts in 10 s`);
  assert.ok(pictures.length > 100, `${pictures.length} pictures in 10 s`);
  assert.ok(figures.length > 50, `${figures.length} figures in 10 s`);
  const content = median(sounds) - median(pictures);
  const round = (list) => list.map((n) => Math.round(n));
  t.diagnostic(`sound minus picture: ${content.toFixed(0)} ms by content (sound ${median(sounds).toFixed(0)} ms after its capture, ` +
    `picture ${median(pictures).toFixed(0)} ms), ${median(figures).toFixed(0)} ms by the browser's figures; ` +
    `audio output latency ${latency.base.toFixed(0)} + ${latency.output.toFixed(0)} ms`);
  assert.ok(Math.abs(content) < LOOSE, `bursts ${round(sounds)}, pictures ${round(pictures)}`);
  assert.ok(Math.abs(median(figures)) < LOOSE, `figures ${round(figures)}`);
  await leave(page, session);
});
