// What a hostile broker reaches in the mode `keys`: nothing. The attacks are in `attacks/`; each has a name. Counted
// are starts of the camera, sessions, false pictures and names, and what can be read.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { FORGED_SEALS } from './attacks/forged_seals.mjs';
import { FORGED_SIGNATURES, INSIDERS } from './attacks/forged_signatures.mjs';
import { IMPOSTORS, TAKEOVERS, control } from './attacks/impostors.mjs';
import { ON_PAIRING } from './attacks/on_pairing.mjs';
import { ON_VIEWER } from './attacks/on_viewer.mjs';
import { AFTER_A_RESTART, REPLAYS, WHILE_WATCHING } from './attacks/replays.mjs';
import { sealBy } from './forged_forms.mjs';
import { BOARD_NAME, FALSE_NAME, Stage } from './hostile_stage.mjs';
import { request } from './jose_viewer.mjs';
import { leaks } from './leaks.mjs';
import { until } from './processes.mjs';

const TRUE_SHAPE = '1.78';
const FALSE_SHAPE = '1.33';
const all = [
  ...WHILE_WATCHING, ...REPLAYS, ...FORGED_SEALS, ...FORGED_SIGNATURES, ...INSIDERS, ...ON_VIEWER, ...IMPOSTORS,
  ...TAKEOVERS, ...ON_PAIRING, ...AFTER_A_RESTART,
];
let s;

before(async () => {
  s = await Stage.start();
  await s.pairVictim();
});
after(() => s?.stop());

test('there are at least 40 attacks, and each has a name of its own', () => {
  assert.ok(new Set(all.map(({ name }) => name)).size >= 40);
  assert.equal(new Set(all.map(({ name }) => name)).size, all.length);
});

test('a viewer written with another JOSE library is understood, and understands', async () => {
  await s.page.stop();
  await s.quiet();
  const board = await s.bert.board();
  assert.deepEqual(board.statusHeader, { alg: 'ES256', typ: 'fanlight-status', kid: board.thumb });
  assert.deepEqual(board.infoHeader, { alg: 'ES256', typ: 'fanlight-info', kid: board.thumb });
  const open = request();
  await s.bert.wire.say(await s.bert.message(board, open));
  const { outer, header, body } = await s.bert.reply(board, (it) => it.body.type === 'offer');
  assert.deepEqual(Object.keys(outer).sort(), ['alg', 'enc', 'epk', 'kid']);
  assert.deepEqual(header, { alg: 'ES256', typ: 'fanlight-rsp', kid: board.thumb, to: s.bert.id });
  assert.equal(body.session, open.session);
  await until('the camera is on', () => s.isOn());
  assert.equal((await s.witness.hello()).status.viewers, 1);
  await s.bert.say({ v: 1, type: 'bye', session: open.session, seq: 1, reason: 'left' });
  await s.bert.reply(board, (it) => it.body.type === 'bye');
  await s.quiet();
  // For the attacks that come later: old messages of an earlier start of the board.
  Object.assign(s, {
    oldStatus: board.statusText,
    otherReplies: s.bert.wire.heard.filter((it) => it.topic.includes('/rsp/')).map((it) => it.text),
  });
  await s.restart();
  const left = s.hostile.recorded.filter(({ from, topic }) => from === 'daemon' && topic.endsWith('/cam/status'));
  s.farewell = left.map(({ payload }) => payload.toString()).reverse()
    .find((it) => JSON.parse(Buffer.from(it.split('.')[1], 'base64url')).state === 'offline');
  assert.ok(s.farewell);
  s.first = s.tape = await s.tapeOfPage();
});

describe('attacks on the page', () => {
  afterEach(() => s.peace());

  test('a page that is not paired would show the false camera', async () => {
    s.control = await control(s);
    assert.deepEqual([s.control.shapes, s.control.names.includes(FALSE_NAME)], [[FALSE_SHAPE], true]);
  });

  for (const attack of [...ON_VIEWER, ...IMPOSTORS]) {
    test(attack.name, async () => {
      await s.page.stop();
      await s.page.forget();
      await attack.begin(s);
      await s.page.again();
      if (s.later) {
        await until('the page looks for the board', async () =>
          (await s.page.seen()).states.some((it) => it !== 'idle'),
        );
        await s.later();
      }
      if (['live', 'offline'].includes(attack.ends)) await s.page.is(attack.ends);
      else
        await until(
          `the page says ${attack.ends}`,
          async () => (await s.page.seen()).errors.includes(attack.ends),
          60_000,
        );
      await Promise.all(s.pending);
      if (attack.ends === 'live') await until('a picture', async () => (await s.page.seen()).shapes.length);
      s.neverFalse(await s.page.seen(), attack.ends === 'live');
    });
  }

  for (const attack of TAKEOVERS) {
    test(attack.name, async () => {
      await s.peace();
      await s.page.again();
      await s.page.is('live');
      await s.page.forget();
      await attack.begin(s);
      assert.equal((await s.page.now()).state, 'live');
      s.neverFalse(await s.page.seen(), true);
    });
  }

  test('in the end, the page shows the true camera', async () => {
    await s.page.again();
    await s.page.is('live');
    assert.deepEqual([(await s.page.seen()).shapes, (await s.page.now()).name], [[TRUE_SHAPE], BOARD_NAME]);
    assert.equal(s.rewritten, 0, 'nothing that could be rewritten was ever sent');
  });
});

describe('attacks on a pairing', () => {
  afterEach(() => s.peace());

  for (const attack of ON_PAIRING) {
    test(attack.name, async () => {
      const before = (await s.listed()).map(({ id }) => id);
      const mark = s.log.length;
      await attack.does(s);
      await Promise.all(s.pending);
      const now = (await s.listed()).map(({ id }) => id);
      assert.deepEqual([now.length - before.length, before.filter((id) => !now.includes(id))], [attack.adds, []]);
      if (attack.why) await s.ignored(attack.why, mark);
    });
  }
});

describe('attacks on the board', () => {
  afterEach(() => s.peace());

  test('the page watches', async () => {
    await s.page.stop();
    await s.quiet();
    await s.watch();
  });

  for (const attack of WHILE_WATCHING) {
    test(attack.name, async () => {
      await s.attacked(attack, 1);
      assert.equal((await s.page.now()).state, 'live');
    });
  }

  test('a session is recorded', async () => {
    s.tape = await s.tapeOfPage();
  });

  test('what is forged below has one fault: without it, it opens a session', async () => {
    const board = await s.bert.board();
    const open = request();
    await s.send(sealBy(board.seal, await s.bert.signed(board, open)), s.bert.id);
    await s.bert.reply(board, ({ body }) => body.session === open.session && body.type === 'offer');
    await s.bert.say({ v: 1, type: 'bye', session: open.session, seq: 1, reason: 'left' });
    await s.quiet();
  });

  for (const attack of [...REPLAYS, ...FORGED_SEALS, ...FORGED_SIGNATURES, ...INSIDERS]) {
    test(attack.name, () => s.attacked(attack, 0));
  }

  // No form of message prevents this one: whoever carries a message decides when it arrives, while its nonce is valid.
  test('an opening that is delivered late opens one session, which nobody sees and which ends by itself', async (t) => {
    const withheld = [];
    s.hostile.attack = ({ from, topic, payload }) =>
      from === 'viewer' && topic.endsWith(`/cam/req/${s.victim.id}`)
        ? (void withheld.push(payload) ?? null)
        : undefined;
    await s.page.again();
    await until('the page calls', () => withheld.some(({ length }) => length > 5000));
    await s.page.stop();
    const opening = withheld.find(({ length }) => length > 5000);
    const [starts, mark, from] = [s.starts(), s.log.length, performance.now()];
    await s.send(opening);
    assert.equal((await s.witness.hello()).status.viewers, 1);
    await s.quiet();
    t.diagnostic(`the camera was on for ${Math.round((performance.now() - from) / 1000)} s`);
    await s.attacked({ name: 'the late opening, again', does: () => s.send(opening) }, 0);
    assert.ok(s.starts() - starts <= 1);
    assert.ok(!s.log.slice(mark).some((line) => line.includes('connected by')));
  });

  test('the first session of all comes again, when its nonce is over', async () => {
    const slot = (nonce) => Buffer.from(nonce, 'base64url').readBigUInt64BE();
    await until(
      'three minutes are over',
      async () => slot((await s.witness.board()).nonce) >= slot(s.first.nonce) + 3n,
      200_000,
    );
    await s.attacked({ why: 'Nonce', does: async () => { for (const one of s.first.requests) await s.send(one); } }, 0);
  });

  for (const [at, attack] of AFTER_A_RESTART.entries()) {
    test(attack.name, async () => {
      if (at === 0) await s.restart();
      await s.attacked(attack, 0);
    });
  }
});

describe('what the broker has seen', () => {
  test('addresses, SDP, logins, secrets and names are nowhere, in no layer', () => {
    const found = {};
    const look = (bytes, what) => { for (const leak of leaks(bytes, s.secrets)) (found[leak] ??= []).push(what); };
    for (const { from, chunks } of s.hostile.streams) look(Buffer.concat(chunks), `a connection of a ${from}`);
    for (const { topic, payload } of s.hostile.recorded) look(payload, topic);
    assert.deepEqual(found, {});
    assert.ok(s.hostile.recorded.length > 100 && s.hostile.streams.length > 5);
  });

  test('the same look finds everything in the mode broker', () => {
    const found = new Set(s.control.recorded.flatMap(({ payload }) => leaks(payload)));
    for (const what of ['a candidate', 'a fingerprint', 'ICE credentials', 'SDP', 'an IPv4 address'])
      assert.ok(found.has(what), `${what}: ${[...found]}`);
  });

  test('nothing broke', () => {
    assert.ok(!s.log.some((line) => line.includes('panicked')));
  });
});
