// A TURN server that ends each relay when its login ends: the picture stops for some seconds, and comes back by a relay
// with the newest login, again and again. The session stays.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { browser } from './processes.mjs';
import { LIFE, LoginCheck, TurnStage, distinct, look, partOf } from './turn_stage.mjs';
import { cannot } from './virtual_network.mjs';

/** The longest time without a new picture. It has consent, LOST_MS of the viewer, and an ICE restart in it. */
const GAP_MS = 12_000;
const stage = new TurnStage();
let check;

before(async () => {
  if (cannot) return;
  await stage.up({ cli: true });
  check = await LoginCheck.start(stage.turn);
});

after(async () => {
  check?.stop();
  await stage.down();
});

afterEach(() => stage.stop());

/** The times without a new picture that are longer than a second, in milliseconds. */
function gaps(seen) {
  const found = [];
  let since = seen[0].at;
  for (const [i, { at, frames }] of seen.slice(1).entries()) {
    if (frames === seen[i].frames) continue;
    if (at - since > 1000) found.push(at - since);
    since = at;
  }
  return [...found, ...(seen.at(-1).at - since > 1000 ? [seen.at(-1).at - since] : [])];
}

/** Looks while at least two relays of this viewer end. */
async function outlives(see, t) {
  const seen = await stage.watched(see, 2.3 * LIFE);
  const users = distinct(seen.map((it) => it.user).filter(Boolean));
  const name = partOf(users[0]);
  const ended = distinct(check.ended.filter((user) => partOf(user) === name));
  const relays = distinct(seen.filter((it) => it.local === 'relay').map((it) => it.relay));
  const without = gaps(seen);
  t.diagnostic(JSON.stringify({ ended: ended.length, relays: relays.length, without }));
  const log = stage.daemon.child.output.slice(-3000);
  assert.ok(ended.length >= 2, `the server ended relays: ${ended}`);
  assert.ok(relays.length >= 3, `other relays replaced them: ${relays}`);
  assert.equal(distinct(users.map(partOf)).length, 1, `it is one session: ${users}\n${log}`);
  assert.ok(Math.max(...without) < GAP_MS, `the picture comes back: ${without}\n${log}`);
  assert.ok(seen.at(-1).frames > seen[0].frames + 300, `${seen[0].frames} to ${seen.at(-1).frames} pictures`);
}

describe('a picture by a relay that ends with its login', { skip: cannot ?? false }, () => {
  test('comes back by another relay in Chromium', async (t) => {
    await stage.start({ relays: false });
    const chromium = await browser({ enter: stage.viewer.place.enter });
    t.after(() => chromium.close());
    const page = await (await chromium.newContext()).newPage();
    await page.goto(stage.site.url);
    await outlives(() => page.evaluate(look), t);
  });
});
