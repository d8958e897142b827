// The list of viewers when the file system fails: it was cut short, the disk is full, or read-only. Nobody gets in who
// should not, nobody loses a permission, and the owner learns what is wrong. And two viewers that use one link at the
// same moment: one of them gets in. Daemon, broker and file system are real; the viewers use a JOSE library of others.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { JoseViewer, macOf, pairMessage } from './jose_viewer.mjs';
import { Broker, Daemon, sessionId, until } from './processes.mjs';
import { SmallDisk, cannot } from './small_disk.mjs';

/** Rounds of two viewers that race for one link. */
const RACES = 10;
const options = { skip: cannot };
let broker;
before(async () => {
  if (!cannot) broker = await Broker.start();
});
after(() => broker?.stop());

/** A board whose state is on a small disk: a witness in its configuration, Anna and Bert on its list. */
class Board {
  static async start(t) {
    const it = new Board();
    it.t = t;
    it.disk = await SmallDisk.make(64);
    t.after(() => it.disk.stop());
    it.witness = await JoseViewer.make('Witness');
    const more = { video: { linger_s: 0 }, audio: { linger_s: 0 } };
    it.daemon = await Daemon.start(broker, { keys: [it.witness.entry()], place: it.disk, state: it.disk.at, ...more });
    t.after(() => it.daemon.stop());
    await it.arrives(it.witness);
    [it.anna, it.bert] = [await it.newcomer('Anna'), await it.newcomer('Bert')];
    for (const one of [it.anna, it.bert]) await it.owner(0, 'viewers', 'add', one.identity.point, '--name', one.name);
    return it;
  }

  async arrives(viewer) {
    await viewer.connect(broker, 'cam');
    this.t.after(() => viewer.close());
    return viewer;
  }

  /** A viewer that is connected and not on the list. */
  async newcomer(name) {
    return this.arrives(await JoseViewer.make(name));
  }

  /** What a command of the owner says, which has to end with this code. */
  async owner(code, ...args) {
    const command = this.daemon.command(...args);
    assert.equal(await command.ended, code, `fanlight ${args.join(' ')}: ${command.output}`);
    return command.output;
  }

  async names() {
    return JSON.parse(await this.owner(0, 'viewers', 'list', '--json')).viewers.map(({ name }) => name).sort();
  }

  /** A pairing: the command that waits, and what its link says. */
  async pair() {
    const { child, link } = await this.daemon.pair('http://localhost/', broker.url);
    return { child, says: JSON.parse(Buffer.from(link.split('#p=')[1], 'base64url')) };
  }

  /** A viewer that is not on the list gets no answer. The daemon reads in order: the witness's question comes later. */
  async ignores(viewer) {
    await viewer.say({ v: 1, type: 'hello', session: sessionId(), seq: 0 });
    await this.witness.hello();
    assert.deepEqual(await viewer.replies(await viewer.board()), [], `${viewer.name} got an answer`);
  }

  /** Stops the daemon, does something, and starts it again. */
  async restart(meanwhile = () => {}) {
    const { epoch } = await this.witness.board();
    await this.daemon.stop();
    await meanwhile();
    this.daemon.up();
    await this.daemon.child.said('connected by MQTT');
    for (const one of [this.witness, this.anna, this.bert]) {
      await until('the status of the new start', async () => (await one.board()).epoch !== epoch);
    }
  }

  list() {
    return fs.readFileSync(this.disk.path('viewers.json'), 'utf8');
  }
}

describe('a list of viewers that was cut short', options, () => {
  test('lets none of its viewers in, is not written over, and every command says what to do', async (t) => {
    const b = await Board.start(t);
    const whole = b.list();
    for (const length of [0, 1, whole.length >> 1, whole.length - 2]) {
      const cut = whole.slice(0, length);
      await b.restart(() => fs.writeFileSync(b.disk.path('viewers.json'), cut));
      await b.daemon.child.said('viewers.json: damaged or cut short. No viewer of this file may watch');
      await b.ignores(b.anna);
      // The witness is in the configuration, and may watch.
      assert.equal((await b.witness.hello()).status.viewers, 0);
      for (const words of [
        ['pair', '--page', 'http://localhost/', '--broker', broker.url],
        ['viewers', 'add', b.bert.identity.point, '--name', 'Bert'], ['viewers', 'remove', 'Anna'],
        ['viewers', 'rename', 'Anna', 'A'],
      ]) {
        const said = await b.owner(1, ...words);
        assert.match(said, /damaged or cut short.*sudo mv \S+viewers\.json \S+viewers\.json\.damaged/s);
      }
      assert.match(await b.owner(0, 'viewers'), /No viewer of this file may watch/);
      assert.equal(b.list(), cut);
    }
    // What the messages say to do helps, without a restart.
    fs.renameSync(b.disk.path('viewers.json'), b.disk.path('viewers.json.damaged'));
    await b.owner(0, 'viewers', 'add', b.anna.identity.point, '--name', 'Anna');
    await b.anna.hello();
    await b.ignores(b.bert);
  });
});

for (const [what, said, begin, end] of [
  ['a full disk', 'No space left on device', (it) => it.fill(), (it) => it.empty()],
  ['a state folder that became read-only', 'Read-only file system', (it) => it.remount('ro'), (it) => it.remount('rw')],
]) {
  describe(what, options, () => {
    const cause = new RegExp(`write \\S+viewers\\.json: ${said} \\(os error \\d+\\); the file is as before`);

    test('grants nothing that could not be written, and takes away what the owner takes away', async (t) => {
      const b = await Board.start(t);
      const [before, carl] = [b.list(), await b.newcomer('Carl')];
      await begin(b.disk);
      assert.match(await b.owner(1, 'viewers', 'add', carl.identity.point, '--name', 'Carl'), cause);
      assert.match(await b.owner(1, 'viewers', 'rename', 'Anna', 'Ann'), cause);
      assert.match(await b.owner(1, 'viewers', 'rights', 'Anna', 'view,listen,talk'), cause);

      const { child, says } = await b.pair();
      await carl.say(pairMessage(carl, says));
      assert.equal(await child.ended, 1, child.output);
      assert.match(child.output, /a viewer came, and could not be put on the list: write /);
      assert.match(child.output, cause);
      await b.ignores(carl);

      // Who may watch still may, and has lost what the owner takes away.
      assert.deepEqual((await b.anna.hello()).rights, ['view', 'listen']);
      const restricted = await b.owner(1, 'viewers', 'rights', 'Anna', 'listen,talk');
      assert.match(restricted, /what was taken away is in force, but it could come back after a restart/);
      assert.match(restricted, cause);
      assert.deepEqual((await b.anna.hello()).rights, ['listen']);
      assert.deepEqual(await b.names(), ['Anna', 'Bert', 'Witness']);
      const removed = await b.owner(1, 'viewers', 'remove', 'Bert');
      assert.match(removed, /may watch no longer, but it could again after a restart/);
      assert.match(removed, cause);
      await b.ignores(b.bert);
      assert.match(await b.owner(0, 'viewers'), /what was taken away from viewers could come back/);
      assert.equal(b.list(), before);
      assert.ok(!fs.existsSync(b.disk.path('viewers.json.new')));

      // The next command that can write makes up for it.
      await end(b.disk);
      await b.owner(0, 'viewers', 'add', carl.identity.point, '--name', 'Carl');
      await b.restart();
      assert.deepEqual(await b.names(), ['Anna', 'Carl', 'Witness']);
      await b.ignores(b.bert);
      assert.deepEqual((await b.anna.hello()).rights, ['listen']);
    });

    test('lets the daemon start, and its viewers watch, as long as it has its identity', async (t) => {
      const b = await Board.start(t);
      await b.restart(() => begin(b.disk));
      await b.anna.hello();
      assert.match(await b.owner(1, 'viewers', 'rename', 'Anna', 'Ann'), cause);
      await end(b.disk);
      await b.owner(0, 'viewers', 'rename', 'Anna', 'Ann');

      // Without one, it says what it needs, and systemd tries again: no viewer meets a board that will be another one.
      await b.daemon.stop();
      fs.rmSync(b.disk.path('identity.key'));
      await begin(b.disk);
      b.daemon.up();
      assert.equal(await b.daemon.child.ended, 1, b.daemon.child.output);
      assert.match(b.daemon.child.output, new RegExp(`the board's identity \\S+identity\\.key: ${said}`));
      await end(b.disk);
      b.daemon.up();
      await b.daemon.child.said('connected by MQTT');
    });
  });
}

describe('two viewers that use one link at the same moment', options, () => {
  test('are one viewer on the list, with one answer; the other one gets none', async (t) => {
    const b = await Board.start(t);
    const winners = new Set();
    for (let round = 0; round < RACES; round += 1) {
      const { child, says } = await b.pair();
      const board = await b.witness.board();
      const both = [await b.newcomer('First'), await b.newcomer('Second')];
      const messages = await Promise.all(both.map((one) => one.message(board, pairMessage(one, says))));
      const order = round % 2 ? [1, 0] : [0, 1];
      // Both say it again, as pages do: the board hears a few strangers a second only.
      const again = async () => Promise.all(order.map((at) => both[at].wire.say(messages[at])));
      await again();
      const timer = setInterval(again, 1000);
      assert.equal(await child.ended.finally(() => clearInterval(timer)), 0, child.output);
      const name = /Paired: "(\w+)"/.exec(child.output)[1];
      winners.add(name);
      const [winner, loser] = name === 'First' ? both : both.toReversed();
      const { body } = await winner.reply(board, ({ body: it }) => it.type === 'paired');
      assert.deepEqual([body.name, body.mac], [name, macOf(says.secret, 'board', says, winner, winner.name)]);
      await winner.hello();
      // It does not get in by asking again, either.
      await loser.say(pairMessage(loser, says));
      await b.ignores(loser);
      assert.deepEqual(await b.names(), ['Anna', 'Bert', 'Witness', name].sort());
      await b.owner(0, 'viewers', 'remove', name);
    }
    t.diagnostic(`winners: ${[...winners].join(', ')}`);
  });
});
