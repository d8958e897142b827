// The mode `token` with the real daemon and a real broker. Tokens and deny lists come from `jose`, a JOSE library of
// others, and from `fanlight token`.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import * as jose from 'jose';
import { JoseViewer, request } from './jose_viewer.mjs';
import { Broker, Child, Daemon, Stranger, daemonBinary, folder, sessionId, until } from './processes.mjs';
import { TestIssuer, seconds } from './token_stage.mjs';

const s = {};
before(async () => {
  s.dir = folder('issuer');
  s.file = path.join(s.dir, 'issuer.jwk');
  [s.ec, s.ed, s.stranger] = await Promise.all(['ES256', 'EdDSA', 'ES256'].map((alg) => TestIssuer.make(alg)));
  trust(s.ec, s.ed);
  s.broker = await Broker.start();
  s.listed = await JoseViewer.make('Listed');
  s.daemon = await Daemon.start(s.broker, {
    access: { mode: 'token', issuer_file: s.file, viewers: [s.listed.entry()] }, limits: { messages_per_second: 1000 },
    log: 'info,fanlight::signalling=debug', video: { linger_s: 0 }, audio: { linger_s: 0 },
  });
  await s.listed.connect(s.broker, 'cam');
});
after(async () => {
  await s.listed?.close();
  await s.daemon?.stop();
  await s.broker?.stop();
});

/** Writes the file of the board's issuers. */
const trust = (...issuers) => fs.writeFileSync(s.file, JSON.stringify({ keys: issuers.map(({ jwk }) => jwk) }));

async function viewer(t, name = 'Anna') {
  const made = await (await JoseViewer.make(name)).connect(s.broker, 'cam');
  t.after(() => made.close());
  return made;
}

const of = (session, type) => ({ body }) => body.session === session && (!type || body.type === type);

/** A token for a viewer that lives for so many seconds. */
const tokenFor = (issuer, who, lives, change) => issuer.token(who.identity.jwk, change, lives);

/** Says a message with a token. */
const say = (who, message, token) => who.say(message, { token });

/** Opens a session, which then waits for the viewer's answer. */
async function open(who, token) {
  const message = request();
  await say(who, message, token);
  const { body } = await who.reply(await who.board(), of(message.session));
  assert.equal(body.type, 'offer', JSON.stringify(body));
  return { session: message.session, lease: body.lease_s };
}

/** The daemon answers in order: once it has answered the viewer on the list, it has read everything before. */
async function ignored(who, what) {
  await s.listed.hello();
  const heard = await who.replies(await who.board());
  assert.deepEqual(heard.map(({ body }) => body), [], what);
}

const bye = async (who, session) => (await who.reply(await who.board(), of(session, 'bye'), 30_000)).body.reason;

/** Repeats `hello` with a token until it is answered: a reload takes effect a moment after its line in the log. */
const known = (who, token) => until('the issuer is known', async () => {
  const message = hello();
  await say(who, message, token);
  return (await who.replies(await who.board())).find(({ body }) => body.type === 'welcome');
});

const hello = () => ({ v: 1, type: 'hello', session: sessionId(), seq: 0 });

describe('a viewer with a token', () => {
  test('of each kind of key gets what the token permits', async (t) => {
    for (const issuer of [s.ec, s.ed]) {
      const anna = await viewer(t);
      const board = await anna.board();
      assert.deepEqual([board.auth, board.info.auth], ['token', 'token']);
      const message = hello();
      await say(
        anna,
        message,
        await tokenFor(issuer, anna, 600, { rights: ['listen'], aud: '*', name: 'Anna', extra: { a: 1 } }),
      );
      const { body } = await anna.reply(board, of(message.session));
      assert.deepEqual([body.type, body.rights, body.info.auth], ['welcome', ['listen'], 'token']);
      const token = await tokenFor(issuer, anna, 600);
      const { lease } = await open(anna, token);
      assert.ok(lease >= 598 && lease <= 600, `${lease}`);
      await until('the camera is on', () => s.daemon.threads().includes('video'));
    }
  });

  test('that does not count gets no answer', async (t) => {
    const [anna, mallory] = [await viewer(t), await viewer(t, 'Mallory')];
    const good = await tokenFor(s.ec, anna, 600);
    const cut = async (who) => (await tokenFor(s.ec, who, 600)).replace(/[^.]*$/, '');
    const rows = {
      none: () => undefined,
      'of a stranger': (who) => tokenFor(s.stranger, who, 600),
      'for another board': (who) => tokenFor(s.ec, who, 600, { aud: ['garden'] }),
      'for another viewer': () => tokenFor(s.ec, mallory, 600),
      'that lives for too long': (who) => tokenFor(s.ec, who, 86_401),
      'from the future': (who) => tokenFor(s.ec, who, 600, { iat: seconds() + 120, exp: seconds() + 600 }),
      'that is a deny list': () => s.ec.sign('fanlight-deny', {}),
      'with another signature': async (who) => `${await cut(who)}${'A'.repeat(86)}`,
      'without a signature': cut,
    };
    // Strangers share ten messages a second, and one topic gets one of them: each row has a viewer of its own.
    for (const [what, token] of Object.entries(rows)) {
      const who = await viewer(t, what);
      await say(who, hello(), await token(who));
      await ignored(who, what);
    }
    // A token that somebody else shows.
    const kid = anna.identity.thumb;
    await mallory.wire.client.publishAsync(
      `fanlight/v1/cam/req/${anna.id}`,
      await mallory.message(await mallory.board(), hello(), { kid, token: good }),
    );
    await ignored(anna, 'stolen');
    const welcome = hello();
    await say(anna, welcome, good);
    await anna.reply(await anna.board(), of(welcome.session, 'welcome'));
  });

  test('that has ended is told to get a new one', async (t) => {
    const anna = await viewer(t);
    const message = request();
    await say(anna, message, await tokenFor(s.ec, anna, 60, { iat: seconds() - 60, exp: seconds() }));
    const { body } = await anna.reply(await anna.board(), of(message.session));
    assert.deepEqual([body.type, body.code, body.name], ['error', 401, 'auth_required']);
    await open(anna, await tokenFor(s.ec, anna, 60));
  });

  test('has a session for as long as its newest token lasts', async (t) => {
    const [anna, bert] = [await viewer(t), await viewer(t, 'Bert')];
    const began = performance.now();
    const first = await tokenFor(s.ec, anna, 3);
    const [long, short] = [await open(anna, first), await open(bert, await tokenFor(s.ec, bert, 3))];
    assert.ok(long.lease <= 3, `${long.lease}`);
    const second = await tokenFor(s.ec, anna, 7);
    await say(anna, { v: 1, type: 'renew', session: long.session, seq: 1 }, second);
    const { body } = await anna.reply(await anna.board(), of(long.session, 'renewed'));
    assert.ok(body.lease_s > 3 && body.lease_s <= 7, JSON.stringify(body));
    assert.equal(await bye(bert, short.session), 'expired');
    assert.equal(await bye(anna, long.session), 'expired');
    const lasted = performance.now() - began;
    assert.ok(lasted > 5000 && lasted < 14_000, `${lasted} ms`);
    const less = await open(anna, await tokenFor(s.ec, anna, 600));
    const view = await tokenFor(s.ec, anna, 600, { rights: ['events'] });
    await say(anna, { v: 1, type: 'renew', session: less.session, seq: 1 }, view);
    assert.equal(await bye(anna, less.session), 'forbidden');
  });
});

describe('a deny list', () => {
  test('ends sessions at once, stays after a restart, and only grows', async (t) => {
    const [anna, bert] = [await viewer(t), await viewer(t, 'Bert')];
    const [tokenA, tokenB] = [
      await tokenFor(s.ec, anna, 600, { jti: 'of-anna' }),
      await tokenFor(s.ec, bert, 600, { jti: 'of-bert' }),
    ];
    const [a, b] = [await open(anna, tokenA), await open(bert, tokenB)];
    const issuer = await Stranger.connect(s.broker, 'cam', s.ec.id);
    t.after(() => issuer.close());
    const taken = performance.now();
    await issuer.say(await s.ec.deny(5, ['of-anna']), { retain: true });
    assert.equal(await bye(anna, a.session), 'forbidden');
    t.diagnostic(`the session ended ${Math.round(performance.now() - taken)} ms after the list was published`);
    for (const [what, list] of [
      ['an old one', await s.ec.deny(4, ['of-anna', 'of-bert'])],
      ['one that shrinks', await s.ec.deny(6, ['of-bert'])],
      ['one of another', await s.stranger.deny(6, ['of-anna', 'of-bert'])],
      ['no list', '{"number":9}'],
    ]) {
      await issuer.say(list);
      await s.listed.hello();
      assert.ok(!(await bert.replies(await bert.board())).some(of(b.session, 'bye')), what);
    }
    const { epoch } = await anna.board();
    await s.daemon.stop();
    s.daemon.up();
    for (const who of [s.listed, anna, bert]) {
      await until('the status of the new start', async () => {
        const board = await who.board();
        return board.nonce && board.epoch !== epoch;
      });
    }
    anna.wire.heard = anna.wire.heard.filter(({ topic }) => !topic.includes('/rsp/'));
    await say(anna, request(), tokenA);
    await ignored(anna, 'after a restart');
    await open(bert, tokenB);
  });

  test('that the broker keeps is read at the start, with each version of MQTT', async (t) => {
    const publisher = await Stranger.connect(s.broker, 'late', s.ec.id);
    t.after(() => publisher.close());
    await publisher.say(await s.ec.deny(1, ['of-anna']), { retain: true });
    await publisher.say(await s.ec.deny(2, ['of-anna', 'of-bert']), { retain: true });
    for (const version of ['5', '3.1.1']) {
      const broker = { config: { ...s.broker.config, version } };
      const access = { mode: 'token', issuer_file: s.file };
      const daemon = await Daemon.start(broker, { device: 'late', access, log: 'info' });
      t.after(() => daemon.stop());
      await daemon.child.said(`deny list 2 of the issuer ${s.ec.id} is in force: 2 ids`);
      await daemon.stop();
    }
  });
});

describe('the commands of an issuer', () => {
  const run = async (...args) => {
    const child = new Child(daemonBinary, ['token', ...args]);
    assert.equal(await child.ended, 0, child.output);
    return child.output.trim();
  };

  test('make a key, tokens and deny lists that others can check and the board accepts', async (t) => {
    const [key, list] = ['issuer.key', 'deny.jws'].map((name) => path.join(s.dir, name));
    const jwk = JSON.parse(await run('key', key));
    assert.equal(jwk.d, undefined);
    assert.equal(jwk.kid, await jose.calculateJwkThumbprint(jwk));
    fs.writeFileSync(s.file, JSON.stringify(jwk));
    s.daemon.child.process.kill('SIGHUP');
    await s.daemon.child.said('changed at once: access.issuer_file');

    const anna = await viewer(t);
    const token = await run(
      'issue', '--key', key, '--viewer', anna.identity.point, '--board', 'garden', 'cam', '--rights', 'view,listen',
      '--for', '8h', '--name', 'Anna',
    );
    const { payload, protectedHeader } = await jose.compactVerify(token, await jose.importJWK(jwk, 'ES256'), {
      algorithms: ['ES256'],
    });
    const claims = JSON.parse(new TextDecoder().decode(payload));
    assert.deepEqual(
      [protectedHeader.typ, claims.aud, claims.name, claims.exp - claims.iat],
      ['fanlight-token', ['garden', 'cam'], 'Anna', 28_800],
    );
    assert.equal(await jose.calculateJwkThumbprint(claims.cnf.jwk), anna.identity.thumb);
    await known(anna, token);
    const { session } = await open(anna, token);

    await run('deny', '--key', key, '--list', list, claims.jti);
    const apply = s.daemon.command('token', 'apply', list);
    assert.equal(await apply.ended, 0, apply.output);
    assert.match(apply.output, /deny list 1 of the issuer \S+ is in force: 1 ids/);
    assert.equal(await bye(anna, session), 'forbidden');
    const again = s.daemon.command('token', 'apply', list);
    assert.equal(await again.ended, 1);
    assert.match(again.output, /not newer/);
  });

  test('print the thumbprint of the board, and make no key where there is none', async () => {
    const thumb = (state) =>
      new Child(daemonBinary, ['token', 'thumb'], { env: { ...process.env, STATE_DIRECTORY: state } });
    const board = await s.listed.board();
    const told = thumb(s.daemon.folders.STATE_DIRECTORY);
    assert.equal(await told.ended, 0, told.output);
    assert.equal(told.output.trim(), board.thumb);
    const empty = folder('empty');
    const failed = thumb(empty);
    assert.equal(await failed.ended, 1);
    assert.match(failed.output, /token: read the thumbprint of this board: \S+identity\.key: no such file; the daemon/);
    assert.deepEqual(fs.readdirSync(empty), []);
  });

  test('a reload that takes the issuer away ends its sessions', async (t) => {
    const anna = await viewer(t);
    trust(s.ed);
    s.daemon.child.process.kill('SIGHUP');
    await known(anna, await tokenFor(s.ed, anna, 600));
    const { session } = await open(anna, await tokenFor(s.ed, anna, 600));
    trust(s.stranger);
    s.daemon.child.process.kill('SIGHUP');
    assert.equal(await bye(anna, session), 'forbidden');
  });
});
