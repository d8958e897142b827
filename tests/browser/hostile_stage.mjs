// The stage of the attacks: a hostile broker between a daemon in the mode `keys`, a paired page, and viewers that are
// written with `jose`. It counts what an attack must not reach.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { HostileBroker } from './hostile_broker.mjs';
import { JoseViewer, request, seal } from './jose_viewer.mjs';
import { ViewerPage } from './paired_page.mjs';
import { Broker, Daemon, browser, folder, serve, until, viewerFiles } from './processes.mjs';

export const BOARD_NAME = 'Front porch';
export const VIEWER_NAME = 'Anna’s telephone';
export const FALSE_NAME = 'False camera';
export const TURN = { host: 'turn.invalid', secret: 'correct-horse-battery-staple' };
const STARTED = 'on, first picture after';

export class Stage {
  static async start() {
    const s = new Stage();
    Object.assign(s, { log: [], secrets: {}, undo: [], pending: [], others: {}, rewritten: 0, until });
    s.mosquitto = await Broker.start();
    s.hostile = await HostileBroker.start(s.mosquitto);
    // The witness asks what the board has done. Bert is an insider: he may watch, and breaks other rules.
    for (const [role, name] of [['witness', 'Witness'], ['bert', 'Bert'], ['carol', 'Carol'], ['mallory', 'Mallory']]) {
      s[role] = await JoseViewer.make(name);
    }
    const keys = [s.witness.entry('view,listen,control'), s.bert.entry(), s.carol.entry('listen')];
    s.board = await s.daemon('cam', { name: BOARD_NAME, keys, limits: { messages_per_second: 1000 }, more: turn() });
    for (const role of ['witness', 'bert', 'carol', 'mallory']) await s[role].connect(s.mosquitto, 'cam');
    s.site = await serve([viewerFiles], { '/config.json': JSON.stringify({ broker: s.hostile.url, device: 'cam' }) });
    s.chromium = await browser();
    return s;
  }

  async stop() {
    await this.peace();
    await this.chromium?.close();
    for (const { daemon, broker, witness } of Object.values(this.others)) {
      await witness?.close();
      await daemon.stop();
      await broker?.stop();
    }
    for (const role of ['witness', 'bert', 'carol', 'mallory']) await this[role]?.close();
    await this.board?.stop();
    await this.hostile?.stop();
    await this.mosquitto?.stop();
    this.site?.close();
  }

  /** A daemon whose log is kept. */
  async daemon(device, settings, broker = this.hostile) {
    const daemon = await Daemon.start(broker, {
      device, log: 'info,fanlight::signalling=debug', ...settings,
      video: { linger_s: 1, ...settings.video }, audio: { linger_s: 1 },
    });
    if (device === 'cam' && broker === this.hostile) this.follow(daemon);
    return daemon;
  }

  follow({ child }) {
    this.log.push(...child.output.split('\n'));
    for (const stream of [child.process.stdout, child.process.stderr]) {
      stream.on('data', (data) => this.log.push(...data.toString().split('\n')));
    }
  }

  async restart() {
    const { epoch } = await this.witness.board();
    await this.board.stop();
    this.board.up();
    this.follow(this.board);
    await until('the status of the new start', async () => (await this.witness.board()).epoch !== epoch);
    await this.witness.hello();
  }

  // --- The owner and the victim

  /** `fanlight pair`: the command that waits, and its link. */
  async invite(...more) {
    const command = this.board.command(
      'pair',
      '--no-qr',
      '--page',
      `${this.site.url}/`,
      '--broker',
      this.hostile.url,
      ...more,
    );
    await until('the link', () => /#p=\S+/.test(command.output), 10_000).catch((error) => {
      throw new Error(`${error.message}: ${command.output}`);
    });
    const link = /http\S+#p=\S+/.exec(command.output)[0];
    const says = JSON.parse(Buffer.from(link.split('#p=')[1], 'base64url'));
    this.secrets[`the secret of pairing ${Object.keys(this.secrets).length}`] = says.secret;
    return { command, link, says };
  }

  /** The list of viewers, as the owner sees it. */
  async listed() {
    const command = this.board.command('viewers', 'list', '--json');
    assert.equal(await command.ended, 0, command.output);
    return JSON.parse(command.output).viewers;
  }

  /** Pairs a new browser, as people do, and waits for the picture. */
  async pairVictim() {
    const { command, link } = await this.invite();
    const page = await ViewerPage.open(this.chromium, link);
    await page.accept(VIEWER_NAME);
    assert.equal(await page.pairing(), null);
    assert.equal(await command.ended, 0, command.output);
    await page.is('live');
    this.page = page;
    const { thumb, point } = await page.identity();
    this.victim = { id: thumb.slice(0, 22), thumb, point };
    const login = (await page.servers()).find(({ username }) => username);
    assert.ok(login?.credential, 'the page got a login for TURN');
    Object.assign(this.secrets, {
      'a TURN user': login.username,
      'a TURN password': login.credential,
      'a TURN server': TURN.host,
      'the TURN secret': TURN.secret,
      'the name of the board': BOARD_NAME,
      'the name of a viewer': VIEWER_NAME,
    });
  }

  // --- What is counted

  /** How often the camera started. */
  starts() {
    return this.log.filter((line) => line.includes(STARTED)).length;
  }

  isOn() {
    return this.board.threads().some((name) => name === 'video' || name === 'audio');
  }

  /** Waits until nobody watches, and the camera is off. */
  async quiet() {
    await until('no session', async () => (await this.witness.hello()).status.viewers === 0, 60_000);
    await until('the camera is off', () => !this.isOn(), 30_000);
  }

  /** Messages that the board sent since a moment, except to the witness. */
  replies(since, to = () => true) {
    return this.hostile.recorded.filter(
      ({ at, from, topic }) =>
        at >= since && from === 'daemon' && topic.includes('/rsp/') && !topic.endsWith(this.witness.id) && to(topic),
    );
  }

  /** Sends a message to the board. */
  send(payload, viewer = this.victim.id, options) {
    return this.hostile.publish(`fanlight/v1/cam/req/${viewer}`, payload, options);
  }

  /** The page watches, and what it sends and gets from now on is the live session. */
  async watch() {
    this.from = performance.now();
    await this.page.again();
    await this.page.is('live');
  }

  /** What the page and the board said to each other since `watch`. */
  live() {
    const of = (kind) =>
      this.hostile.recorded
        .filter(({ at, topic }) => at >= this.from && topic.endsWith(`/cam/${kind}/${this.victim.id}`))
        .map(({ payload }) => payload.toString());
    const longest = (list) => list.reduce((a, b) => (b.length > a.length ? b : a), '');
    const [requests, replies] = [of('req'), of('rsp')];
    return { requests, replies, offer: longest(requests), answer: longest(replies) };
  }

  /** Records one session of the page, from the first message to the last. */
  async tapeOfPage() {
    await this.watch();
    const { nonce } = await this.witness.board();
    await this.page.stop();
    await this.quiet();
    const tape = this.live();
    assert.ok(tape.requests.length >= 2 && tape.replies.length >= 2, JSON.stringify(tape).slice(0, 1000));
    return { ...tape, nonce };
  }

  // --- Attacks

  /** Does an attack on the board, while `viewers` sessions are running. */
  async attacked({ name, why, at, prepare, does }, viewers) {
    if (viewers === 0) await this.page.stop();
    const prepared = await prepare?.(this);
    if (viewers === 0) await this.quiet();
    const other = at === 'garden' ? await this.atGarden() : null;
    const [starts, mark, since] = [this.starts(), this.log.length, performance.now()];
    await does(this, prepared);
    // The witness's question comes after the attack, and so does its answer.
    assert.equal((await this.witness.hello()).status.viewers, viewers, `${name}: sessions`);
    if (other)
      assert.equal(
        (await this.others.garden.witness.hello()).status.viewers,
        0,
        `${name}: sessions at the other board`,
      );
    if (why) await this.ignored(why, mark);
    assert.equal(this.starts(), starts, `${name}: starts of the camera`);
    if (viewers === 0) assert.ok(!this.isOn(), `${name}: the camera is on`);
    const known = [this.victim, this.bert, this.carol, ...(other ? [this.others.garden.witness] : [])];
    const strange = this.replies(since, (topic) => !known.some(({ id }) => topic.endsWith(id)));
    assert.deepEqual(strange.map(({ topic }) => topic), [], `${name}: replies to strangers`);
    assert.deepEqual(await this.mallory.replies(await this.mallory.board()), [], `${name}: what the attacker can open`);
  }

  /** Waits until the log says that a message was stopped by this check. */
  ignored(why, mark) {
    return until(
      `a message is ignored: ${why}`,
      () => this.log.slice(mark).some((line) => line.includes(`a message was ignored: ${why}`)),
      10_000,
    ).catch((error) => {
      throw new Error(`${error.message}\n${this.log.slice(mark).join('\n')}`);
    });
  }

  /** What a page showed must be of the true board. */
  neverFalse({ states, names, shapes }, isLive) {
    assert.ok(!names.some((it) => it.includes(FALSE_NAME)), JSON.stringify(names));
    assert.deepEqual(shapes, isLive ? ['1.78'] : [], 'the shapes of the pictures');
    assert.equal(states.includes('live'), isLive, JSON.stringify(states));
    const seals = new Set(
      this.hostile.recorded
        .filter(({ from, topic }) => from === 'viewer' && topic.endsWith(`/req/${this.victim.id}`))
        .map(({ payload }) => JSON.parse(Buffer.from(payload.toString().split('.')[0], 'base64url')).kid),
    );
    assert.ok(!seals.has(this.mallory.sealing.thumb), 'the page sealed a message to the attacker');
  }

  /** The end of an attack. */
  async peace() {
    const wasAstray = this.hostile.elsewhere !== null;
    await Promise.allSettled(this.pending.splice(0));
    Object.assign(this.hostile, { attack: null, elsewhere: null });
    for (const one of this.undo.splice(0).reverse()) await one();
    this.later = null;
    if (wasAstray) this.hostile.cut('viewer');
    const { statusText, infoText } = await this.witness.board();
    if (wasAstray && this.page) {
      await this.page.page.waitForFunction(
        () => document.querySelector('[data-device="cam"]')?.dataset.is === 'online',
      );
    }
    this.hostile.inject('viewer', 'fanlight/v1/cam/info', infoText, { retain: true });
    this.hostile.inject('viewer', 'fanlight/v1/cam/status', statusText, { retain: true });
  }

  /** Waits until the page says that a device is not the one that was paired. */
  lost(device) {
    return until('the page sees another board', () => this.page.page.evaluate((it) => {
      const row = document.querySelector(`[data-device="${it}"]`);
      return row && !['online', 'offline'].includes(row.dataset.is);
    }, device));
  }

  /** Opens the page of the victim's browser anew. */
  async reopen() {
    const { context, page } = this.page;
    this.page = await ViewerPage.open(this.chromium, this.site.url, context);
    await page.close();
  }

  /** Another honest board, `garden`, that has the same viewers on its list. Returns what everybody knows of it. */
  async atGarden() {
    if (!this.others.garden) {
      const witness = await JoseViewer.make('Witness');
      const daemon = await this.daemon('garden', {
        keys: [witness.entry(), this.bert.entry(), `${this.victim.point} view,listen Anna`],
      });
      await witness.connect(this.mosquitto, 'garden');
      this.others.garden = { daemon, witness };
    }
    return this.others.garden.witness.board();
  }

  /** A false camera with the id of the board, at a broker of its own. `kind`: `plain` or `keys`. */
  async impostor(kind) {
    if (!this.others[kind]) {
      const broker = await Broker.start();
      const keys = kind === 'keys' ? [`${this.victim.point} view,listen Anna`] : undefined;
      const daemon = await this.daemon('cam', { name: FALSE_NAME, keys, video: { size: '320x240' } }, broker);
      this.others[kind] = { broker, daemon };
    }
    return this.others[kind];
  }

  // --- Insiders

  /** A command of the owner that must succeed. */
  async owner(...args) {
    const command = this.board.command(...args);
    assert.equal(await command.ended, 0, command.output);
  }

  /** A new viewer on the list. */
  async joined(name) {
    const viewer = await (await JoseViewer.make(name)).connect(this.mosquitto, 'cam');
    await this.owner('viewers', 'add', viewer.identity.point, '--name', name);
    this.undo.push(() => viewer.close());
    return viewer;
  }

  /** A viewer opens a session and ends it. Returns what opened it: signed, and sealed. */
  async opens(viewer, board) {
    const open = request();
    const signed = await viewer.signed(board, open);
    const sealed = await seal(board.seal, signed);
    await viewer.wire.say(sealed);
    await viewer.reply(board, ({ body }) => body.type === 'offer' && body.session === open.session);
    await viewer.say({ v: 1, type: 'bye', session: open.session, seq: 1, reason: 'left' });
    await viewer.reply(board, ({ body }) => body.type === 'bye' && body.session === open.session);
    return { board, signed, sealed };
  }
}

/** A TURN server with logins that expire. It does not exist, but its logins do. */
function turn() {
  const file = path.join(folder('turn'), 'secret');
  fs.writeFileSync(file, TURN.secret, { mode: 0o600 });
  return `[[webrtc.ice_servers]]\nurls = ["turn:${TURN.host}:3478"]\nsecret_file = "${file}"\n`;
}
