// Attacks on the board with messages that a viewer really sent. Nobody watches while they run, unless `running`.
// `why`: the check of the board that must stop the message. `null`: an earlier one, which says nothing.

import { malleated, swapped } from '../forged_forms.mjs';
import { request, seal } from '../jose_viewer.mjs';

const inOrder = async (s, payloads, viewer) => { for (const one of payloads) await s.send(one, viewer); };

/** While the page shows the picture. The number of sessions must stay the same. */
export const WHILE_WATCHING = [
  { name: 'the offer comes a second time, while its session runs', does: (s) => s.send(s.live().offer) },
  { name: 'the whole session comes a second time, while it runs', does: (s) => inOrder(s, s.live().requests) },
  { name: 'the session comes in reverse, while it runs', does: (s) => inOrder(s, s.live().requests.reverse()) },
  {
    name: 'another viewer ends the session, whose id it knows',
    does: async (s) => {
      const { bert } = s;
      const board = await bert.board();
      const open = request({ media: { video: true, audio: false } });
      await bert.wire.say(await bert.message(board, open));
      await bert.reply(board, ({ body }) => body.type === 'offer' && body.session === open.session);
      const before = (await s.witness.hello()).status.viewers;
      await s.carol.say({ v: 1, type: 'bye', session: open.session, seq: 1, reason: 'left' });
      const after = (await s.witness.hello()).status.viewers;
      await bert.say({ v: 1, type: 'bye', session: open.session, seq: 1, reason: 'left' });
      await s.until('its own end', async () => (await s.witness.hello()).status.viewers === 1);
      if (after !== before) throw new Error(`${before} sessions became ${after}`);
    },
  },
];

export const REPLAYS = [
  { name: 'the offer comes again, when its session has just ended', does: (s) => s.send(s.tape.offer) },
  { name: 'the whole session comes again', does: (s) => inOrder(s, s.tape.requests) },
  { name: 'the whole session comes again in reverse', does: (s) => inOrder(s, [...s.tape.requests].reverse()) },
  { name: 'each message comes three times', does: (s) =>
    inOrder(s, s.tape.requests.flatMap((one) => [one, one, one])) },
  {
    name: 'what came after the offer is brought forward, and the offer follows',
    does: (s) => inOrder(s, [...s.tape.requests.filter((one) => one !== s.tape.offer), s.tape.offer]),
  },
  { name: 'the offer comes on the topic of another viewer on the list', why: 'Form', does: (s) =>
    s.send(s.tape.offer, s.bert.id) },
  { name: 'the offer comes on the topic of a stranger', why: null, does: (s) => s.send(s.tape.offer, s.mallory.id) },
  { name: 'the whole session comes on the topic of another viewer', why: 'Form', does: (s) =>
    inOrder(s, s.tape.requests, s.bert.id) },
  {
    name: 'the offer comes at another board, where the same viewer is on the list',
    at: 'garden', does: (s) => s.hostile.publish(`fanlight/v1/garden/req/${s.victim.id}`, s.tape.offer),
  },
  {
    name: 'another board opens what was meant for it, and seals it to this one',
    why: 'Form',
    does: async (s) => {
      const board = await s.bert.board();
      const signed = await s.bert.signed(board, request(), { to: 'garden' });
      await s.send(await seal(board.seal, signed), s.bert.id);
    },
  },
  {
    name: 'the offer is kept by the broker, and delivered when the board connects again',
    does: async (s) => {
      const topic = `fanlight/v1/cam/req/${s.victim.id}`;
      await s.hostile.publish(topic, s.tape.offer, { retain: true });
      const { conn } = await s.witness.board();
      s.hostile.cut('daemon');
      await s.until('the board is back', async () => (await s.witness.board()).conn > conn);
      await s.witness.hello();
      await s.hostile.publish(topic, '', { retain: true });
    },
  },
  {
    name: 'the offer is delivered as one that the broker kept',
    does: (s) => s.hostile.inject('daemon', `fanlight/v1/cam/req/${s.victim.id}`, s.tape.offer, { retain: true }),
  },
  {
    name: 'a message is sealed again by somebody who has seen the signature',
    prepare: async (s) => s.opens(s.bert, await s.bert.board()),
    does: async (s, { board, signed }) => {
      await s.send(await seal(board.seal, signed), s.bert.id);
    },
  },
  {
    name: 'a message gets the twin of its signature (n − s)',
    prepare: async (s) => s.opens(s.bert, await s.bert.board()),
    does: async (s, { board, signed }) => {
      await s.send(await seal(board.seal, malleated(signed)), s.bert.id);
    },
  },
  {
    name: 'parts of two messages are swapped',
    why: 'Seal',
    does: async (s) => {
      const [a, b] = [s.tape.requests[0], s.tape.offer];
      await inOrder(
        s, [swapped(a, b, 3), swapped(a, b, 3, 4), swapped(a, b, 2, 3, 4), swapped(b, a, 0), swapped(b, a, 2)],
      );
    },
  },
  {
    name: 'a lift of the privacy switch is repeated and held back, after somebody stopped the camera again',
    does: async (s) => {
      const w = s.witness;
      const { ok: first } = await w.command('privacy.set', { on: true });
      const heldBack = await w.commandMessage('privacy.set', { on: false, change: first.privacy.change });
      const { ok: lifted, message } = await w.command('privacy.set', { on: false, change: first.privacy.change });
      const { ok: second } = await w.command('privacy.set', { on: true });
      if (lifted.privacy.on || !second.privacy.on) throw new Error(JSON.stringify({ lifted, second }));
      await s.send(heldBack, w.id);
      await inOrder(s, [message, message], w.id);
      const { ok: after } = await w.command('cameras');
      if (!after.privacy.on || after.privacy.change !== second.privacy.change) throw new Error(JSON.stringify(after));
      await s.until('the owner lifts it', async () => (await s.board.command('privacy', 'off').ended) === 0);
    },
  },
  {
    name: 'a viewer without the right uses the privacy switch',
    does: async (s) => {
      const { error } = await s.bert.command('privacy.set', { on: true });
      if (error?.name !== 'forbidden') throw new Error(JSON.stringify(error));
      const { ok } = await s.bert.command('cameras');
      if (ok.privacy.on) throw new Error(JSON.stringify(ok));
    },
  },
  {
    name: 'a reply of the board comes back to it as a request',
    why: 'Seal', does: (s) => inOrder(s, s.tape.replies),
  },
];

/** After the daemon started again. It has other keys for sealing, and other nonces. */
export const AFTER_A_RESTART = [
  { name: 'the offer comes after the daemon started again', why: 'Seal', does: (s) => s.send(s.tape.offer) },
  { name: 'the whole session comes after the daemon started again', why: 'Seal', does: (s) =>
    inOrder(s, s.tape.requests) },
  {
    name: 'a message with the nonce of the start before is sealed to the new key',
    why: 'Nonce',
    does: async (s) => {
      const board = await s.bert.board();
      await s.send(await s.bert.message(board, request(), { nonce: s.tape.nonce }), s.bert.id);
    },
  },
];
