// Logins for TURN that live for twice the lease: the picture outlives them, and nothing else does.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { firewall } from './home_network.mjs';
import { browser } from './processes.mjs';
import { LIFE, PUBLIC, TurnStage, distinct, endOf, look, partOf } from './turn_stage.mjs';
import { cannot } from './virtual_network.mjs';

const stage = new TurnStage();
let chromium;

before(async () => {
  if (cannot) return;
  await stage.up();
  chromium = await browser({ enter: stage.viewer.place.enter });
});

after(async () => {
  await chromium?.close();
  await stage.down();
});

afterEach(async () => {
  for (const context of chromium?.contexts() ?? []) await context.close();
  await stage.stop();
});

/** What a picture must show that went on over several lives of its login, by a relay of the viewer. */
function wentOn(seen, t) {
  const [relays, users] = [distinct(seen.map((it) => it.relay)), distinct(seen.map((it) => it.user))];
  const last = seen.at(-1);
  const steps = seen.slice(1).map((it, i) => it.frames - seen[i].frames);
  const { frozen, lost, nacks } = last;
  const freezes = [seen[0].freezes, last.freezes];
  t.diagnostic(JSON.stringify({ relays, users, freezes, frozen, lost, nacks, least: Math.min(...steps) }));
  assert.ok(seen.every((it) => it.local === 'relay'), 'media went by a relay of the viewer all the time');
  assert.equal(relays.length, 1, `the relay stays: ${relays}`);
  assert.ok(users.length > 3, `new logins came: ${users}`);
  assert.equal(distinct(users.map(partOf)).length, 1, `one name for the session: ${users}`);
  assert.ok(endOf(users.at(-1)) - endOf(users[0]) > 2 * LIFE);
  // A replaced relay freezes the picture for seconds. A busy machine can freeze it for a few frames.
  if (last.frozen !== undefined) assert.ok(last.frozen - seen[0].frozen < 1, `frozen for ${last.frozen} s`);
  return users;
}

/** Whether a browser gets a relay by this login, and the codes of the errors. Runs in a page. */
const allocates = async ({ urls, username, credential }) => {
  const pc = new RTCPeerConnection({ iceServers: [{ urls, username, credential }], iceTransportPolicy: 'relay' });
  const codes = [];
  let relay = false;
  pc.onicecandidateerror = ({ errorCode }) => codes.push(errorCode);
  const done = new Promise((resolve) => {
    pc.onicecandidate = ({ candidate }) => {
      if (candidate === null) resolve();
      else relay ||= candidate.type === 'relay';
    };
  });
  pc.addTransceiver('video', { direction: 'recvonly' });
  await pc.setLocalDescription(await pc.createOffer());
  await done;
  pc.close();
  return { relay, codes };
};

describe('a picture by a relay of the viewer', { skip: cannot ?? false }, () => {
  test('goes on for more than three lives of its login, which nobody can use afterwards', async (t) => {
    await stage.start({ relays: false });
    const page = await (await chromium.newContext()).newPage();
    await page.goto(stage.site.url);
    const seen = await stage.watched(() => page.evaluate(look), 3.3 * LIFE);
    const users = wentOn(seen, t);
    const of = (user) => seen.find((it) => it.user === user);
    const login = (user) => ({ urls: stage.turn.url, username: user, credential: of(user).password });
    assert.ok(endOf(users[0]) < Date.now());
    assert.deepEqual(await page.evaluate(allocates, login(users[0])), { relay: false, codes: [401] });
    assert.equal((await page.evaluate(allocates, login(users.at(-1)))).relay, true);
  });

  test('goes on where the board has a relay, too', async (t) => {
    await stage.start({ relays: true, relay_only: true });
    firewall(
      stage.viewer.place,
      `ip daddr ${PUBLIC} udp dport 3478 accept\n    oifname "out" ip daddr ${PUBLIC} meta l4proto tcp`,
    );
    const page = await (await chromium.newContext()).newPage();
    await page.goto(stage.site.url);
    const seen = await stage.watched(() => page.evaluate(look), 3.3 * LIFE);
    wentOn(seen, t);
  });
});
