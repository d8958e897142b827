// Attacks on a pairing. Most attackers do not know the secret of the link. `adds`: how many viewers are on the list
// afterwards who were not before; each of them is an honest one.

import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { FALSE_NAME } from '../hostile_stage.mjs';
import { JoseViewer, macOf, pairMessage, seal, sign } from '../jose_viewer.mjs';
import { ViewerPage } from '../paired_page.mjs';

const guessed = () => crypto.randomBytes(16).toString('base64url');

const say = async (s, viewer, message, header) => {
  await s.send(await viewer.message(await s.witness.board(), message, header), viewer.id);
  await s.witness.hello();
};

/** A stranger with keys of its own. */
const stranger = async (s, name = 'Stranger') => {
  const it = await (await JoseViewer.make(name)).connect(s.mosquitto, 'cam');
  s.undo.push(() => it.close());
  return it;
};

const cancel = async (command) => {
  await command.stop('SIGINT');
};

/** One wrong message of somebody else, and then the honest viewer. */
const wrongMac = (name, make) => ({
  name,
  adds: 0,
  async does(s) {
    const { command, says } = await s.invite();
    const it = await stranger(s);
    await say(s, it, await make(s, it, says));
    await s.until('the owner reads of it', () => command.output.includes('1 of 5'));
    await cancel(command);
  },
});

/** A page opens the link while the broker attacks. It must find no board. */
const alone = (name, begin, said) => ({
  name,
  adds: 0,
  async does(s) {
    const { command, link } = await s.invite();
    const page = await ViewerPage.open(s.chromium, 'about:blank');
    s.undo.push(() => page.close());
    const sent = s.hostile.recorded.length;
    await begin(s, page);
    await page.page.goto(link);
    await page.accept('Somebody');
    assert.match(await page.pairing(), said);
    const { states, names, shapes } = await page.seen();
    const shown = [states.includes('live'), names.includes(FALSE_NAME), shapes];
    assert.deepEqual(shown, [false, false, []], JSON.stringify({ states, names }));
    assert.deepEqual(await page.boards(), []);
    await cancel(command);
    return s.hostile.recorded.slice(sent).filter(({ from }) => from === 'viewer');
  },
});

/** `paired`, forged by somebody without the secret, for everything that the page may have made. */
async function forgedPaired(s, page, id) {
  const { thumb } = await s.witness.board();
  const { sessions, points } = await page.seen();
  for (const session of sessions.slice(-6)) {
    for (const kid of [thumb, s.mallory.identity.thumb]) {
      const mac = guessed() + guessed().slice(1);
      const body = JSON.stringify({ v: 1, type: 'paired', name: 'Somebody', rights: ['view', 'listen'], mac, session });
      const signed = await sign(s.mallory.identity, { typ: 'fanlight-rsp', kid, to: id }, body);
      s.hostile.inject('viewer', `fanlight/v1/cam/rsp/${id}`, body);
      for (const point of points.slice(0, 1)) {
        s.hostile.inject('viewer', `fanlight/v1/cam/rsp/${id}`, await seal(point, signed));
      }
    }
  }
}

const ON_THE_BOARD = [
  {
    name: 'a stranger guesses the secret until the pairing ends',
    adds: 0,
    async does(s) {
      const { command, says } = await s.invite();
      const it = await stranger(s);
      for (let n = 0; n < 5; n += 1) await say(s, it, pairMessage(it, says, { secret: guessed() }));
      assert.notEqual(await command.ended, 0);
      assert.match(command.output, /5 messages with a wrong secret/);
      // The link is worth nothing any more, also for those who know the secret.
      await say(s, it, pairMessage(it, says));
    },
  },
  {
    name: 'a stranger races the page, without the secret',
    adds: 1,
    async does(s) {
      const { command, link, says } = await s.invite();
      const it = await stranger(s);
      for (let n = 0; n < 4; n += 1) await say(s, it, pairMessage(it, says, { secret: guessed() }));
      const page = await ViewerPage.open(s.chromium, link);
      s.undo.push(() => page.close());
      await page.accept('Honest');
      assert.equal(await page.pairing(), null);
      assert.equal(await command.ended, 0, command.output);
    },
  },
  wrongMac('the MAC of the honest viewer is used for another key', async (s, it, says) => {
    const honest = await JoseViewer.make(it.name);
    return pairMessage(it, says, { mac: macOf(says.secret, 'viewer', says, honest, it.name) });
  }),
  wrongMac('the MAC is for another name', (s, it, says) =>
    pairMessage(it, says, { mac: macOf(says.secret, 'viewer', says, it, 'Anna') })),
  wrongMac('the MAC is for another board', (s, it, says) =>
    pairMessage(it, says, { mac: macOf(says.secret, 'viewer', { ...says, device: 'garden' }, it, it.name) })),
  wrongMac('the MAC of the board is used as that of a viewer', (s, it, says) =>
    pairMessage(it, says, { side: 'board' })),
  {
    name: 'somebody with the secret claims the key of another viewer',
    adds: 0, why: 'Signature',
    async does(s) {
      const { command, says } = await s.invite();
      const [it, owner] = [await stranger(s), await JoseViewer.make('Stranger')];
      const board = await s.witness.board();
      const header = it.header(board, { kid: owner.identity.thumb });
      await s.send(
        await seal(board.seal, await sign(it.identity, header, JSON.stringify(pairMessage(owner, says)))), owner.id,
      );
      await s.witness.hello();
      await cancel(command);
    },
  },
  {
    name: 'the key of the message is not that of its signature',
    adds: 0, why: 'Pairing',
    async does(s) {
      const { command, says } = await s.invite();
      const [it, other] = [await stranger(s), await JoseViewer.make('Stranger')];
      await say(s, it, pairMessage(it, says, { key: other.identity.point }));
      await cancel(command);
    },
  },
  {
    name: 'a request to pair is plain, or sealed and not signed, or signed and not sealed',
    adds: 0,
    async does(s) {
      const { command, says } = await s.invite();
      const it = await stranger(s);
      const board = await s.witness.board();
      const message = pairMessage(it, says);
      for (const payload of [
        JSON.stringify(message), await seal(board.seal, JSON.stringify(message)), await it.signed(board, message),
      ]) {
        await s.send(payload, it.id);
      }
      await s.witness.hello();
      await cancel(command);
    },
  },
  {
    name: 'a link is used after the owner cancelled the pairing',
    adds: 0,
    async does(s) {
      const { command, says } = await s.invite();
      await cancel(command);
      const it = await stranger(s);
      await say(s, it, pairMessage(it, says));
    },
  },
  {
    name: 'a removed viewer sends its old request to pair into the next pairing',
    adds: 0, why: 'Pairing',
    async does(s) {
      const first = await s.invite('--name', 'Removed');
      const it = await stranger(s);
      const board = await s.witness.board();
      const sealed = await it.message(board, pairMessage(it, first.says));
      await s.send(sealed, it.id);
      assert.equal(await first.command.ended, 0, first.command.output);
      await s.owner('viewers', 'remove', 'Removed');
      const second = await s.invite();
      await s.send(sealed, it.id);
      await s.witness.hello();
      await cancel(second.command);
      const paired = (await it.replies(board)).filter(({ body }) => body.type === 'paired');
      assert.equal(paired.length, 1, 'the first one was answered, so the request was right');
    },
  },
  {
    name: 'the right request comes on the topic of another viewer',
    adds: 0, why: 'Form',
    async does(s) {
      const { command, says } = await s.invite();
      const it = await stranger(s);
      await s.send(await it.message(await s.witness.board(), pairMessage(it, says)), s.bert.id);
      await s.witness.hello();
      await cancel(command);
    },
  },
];

const ON_THE_PAGE = [
  alone('"paired" is forged, and the request is withheld', (s, page) => {
    s.hostile.attack = ({ from, topic }) => {
      if (from !== 'viewer' || !topic.includes('/req/')) return undefined;
      s.pending.push(forgedPaired(s, page, topic.split('/').at(-1)));
      return null;
    };
  }, /does not answer/),
  alone('a board with another key takes the place of the board of the link', async (s) => {
    s.hostile.divert((await s.impostor('keys')).broker);
  }, /./),
  alone('a board of the mode broker takes the place of the board of the link', async (s) => {
    s.hostile.divert((await s.impostor('plain')).broker);
  }, /./),
  {
    name: 'a link is used a second time',
    adds: 1,
    async does(s) {
      const { command, link } = await s.invite();
      const pages = [];
      for (const expected of [null, /does not answer/]) {
        const page = await ViewerPage.open(s.chromium, link);
        pages.push(page);
        s.undo.push(() => page.close());
        await page.accept(`Number ${pages.length}`);
        const said = await page.pairing();
        if (expected === null) assert.equal(said, null);
        else assert.match(said, expected);
      }
      assert.equal(await command.ended, 0, command.output);
      assert.deepEqual([(await pages[0].boards()).length, (await pages[1].boards()).length], [1, 0]);
    },
  },
  {
    name: 'the answer is withheld once',
    adds: 1,
    async does(s) {
      const { command, link } = await s.invite();
      let withheld = 0;
      s.hostile.attack = ({ from, to, topic }) =>
        (from === 'broker' && to === 'viewer' && topic.includes('/rsp/') && (withheld += 1) === 1 ? null : undefined);
      const page = await ViewerPage.open(s.chromium, link);
      s.undo.push(() => page.close());
      await page.accept('Patient');
      assert.equal(await page.pairing(), null);
      assert.equal(await command.ended, 0, command.output);
    },
  },
];

export const ON_PAIRING = [...ON_THE_BOARD, ...ON_THE_PAGE];
