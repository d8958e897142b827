// Attacks on the page by its messages: the broker forges, replaces, repeats, reorders and withholds them. The true
// board is there. `begin` prepares the attack; then the page calls. `ends`: what becomes of the call. With `live`, the
// attack has no effect, and the picture is that of the true board.

import { base64url, flipped, jws } from '../forged_forms.mjs';
import { makeKey, seal, sign } from '../jose_viewer.mjs';
import { FALSE_NAME } from '../hostile_stage.mjs';

const STATUS = 'fanlight/v1/cam/status';
const INFO = 'fanlight/v1/cam/info';
const isStatus = ({ to, topic }) => to === 'viewer' && topic === STATUS;
const isReply = ({ to, topic }) => to === 'viewer' && topic.startsWith('fanlight/v1/cam/rsp/');
const isRequest = ({ from, topic }) => from === 'viewer' && topic.startsWith('fanlight/v1/cam/req/');

/** Shows the page another status or info before the true one. */
const shown = (name, topic, make) => ({
  name,
  ends: 'live',
  async begin(s) {
    const board = await s.witness.board();
    for (const payload of [await make(s, board)].flat()) s.hostile.inject('viewer', topic, payload, { retain: true });
    s.hostile.inject('viewer', STATUS, board.statusText, { retain: true });
  },
});

/** Shows the page another status instead of the true one. */
const instead = (name, ends, make) => ({
  name,
  ends,
  async begin(s) {
    const payload = await make(s, await s.witness.board());
    s.hostile.attack = (message) => (isStatus(message) ? payload : undefined);
    s.hostile.inject('viewer', STATUS, payload, { retain: true });
  },
});

const STATUS_HEADER = { typ: 'fanlight-status' };
const forgedStatus = async (s, board, header) => {
  const { v, state, epoch, conn, nonce, auth } = board;
  const status = { v, state, epoch, conn, nonce, auth, seal: s.mallory.sealing.point };
  return sign(s.mallory.identity, { ...STATUS_HEADER, ...header }, JSON.stringify(status));
};
export const plainStatus = {
  v: 1, state: 'online', epoch: 'false', conn: 1, media: { video: 'ok', audio: 'ok' }, viewers: 0, max_viewers: 8,
  clock: 'synced', nonce: 'A'.repeat(32), auth: 'broker', version: '0.1.0',
};
export const plainInfo = {
  v: 1, device: 'cam', name: FALSE_NAME, software: 'fanlight/0.1.0', protocol: [1], auth: 'broker', features: [],
  cameras: [{ id: 'main' }], audio: null,
};
/** A plain status that claims to be one of the mode `keys`. */
const falseStatus = (s) => JSON.stringify({ ...plainStatus, auth: 'keys', seal: s.mallory.sealing.point });

const FORGED_STATUS = [
  shown('a forged status names the board’s key', STATUS, (s, board) => forgedStatus(s, board, { kid: board.thumb })),
  shown('a status with the attacker’s sealing key keeps the true signature', STATUS, (s, board) => {
    const [header, , signature] = board.statusText.split('.');
    const { v, state, epoch, conn, nonce, auth } = board;
    const status = { v, state, epoch, conn, nonce, auth, seal: s.mallory.sealing.point };
    return `${header}.${base64url(JSON.stringify(status))}.${signature}`;
  }),
  shown('a forged status has the algorithm "none"', STATUS, (s, board) => ['', Buffer.alloc(64)].map((signature) =>
    jws({ alg: 'none', ...STATUS_HEADER, kid: board.thumb }, falseStatus(s), signature))),
  shown('a forged status has a signature of zeros', STATUS, (s, board) =>
    jws({ alg: 'ES256', ...STATUS_HEADER, kid: board.thumb }, falseStatus(s), Buffer.alloc(64))),
  shown('a forged status brings its own key', STATUS, (s, board) =>
    forgedStatus(s, board, { kid: board.thumb, jwk: s.mallory.identity.jwk })),
  shown('the board’s info comes as its status', STATUS, (_, board) => board.infoText),
  shown('the status is removed', STATUS, () => ''),
  shown('the info has another key', INFO, (s, board) =>
    sign(
      s.mallory.identity, { typ: 'fanlight-info', kid: board.thumb },
      JSON.stringify({ ...board.info, name: FALSE_NAME, key: s.mallory.identity.jwk }),
    )),
  shown('the info is plain, with another name', INFO, () => JSON.stringify(plainInfo)),
  instead('the status is by another key', 'wrong_board', (s, board) =>
    forgedStatus(s, board, { kid: s.mallory.identity.thumb })),
  instead('the status is plain JSON, of the mode broker', 'wrong_board', () => JSON.stringify(plainStatus)),
  instead('the status is that of another board', 'wrong_board', async (s) => (await s.atGarden()).statusText),
  instead('the status is of an earlier start of the board', 'unanswered', (s) => s.oldStatus),
  instead('the farewell of an earlier start comes again', 'offline', (s) => s.farewell),
  {
    name: 'the status is withheld for a while',
    ends: 'live',
    async begin(s) {
      s.hostile.attack = (message) => (isStatus(message) ? null : undefined);
      s.hostile.cut('viewer');
      s.later = async () => {
        s.hostile.attack = null;
        s.hostile.inject('viewer', STATUS, (await s.witness.board()).statusText, { retain: true });
      };
    },
  },
];

/** Sends the page forged messages, as soon as it has called. `make` returns payloads for a session. */
const told = (name, make) => ({
  name,
  ends: 'live',
  begin(s) {
    const topic = `fanlight/v1/cam/rsp/${s.victim.id}`;
    s.hostile.attack = (message) => {
      if (!isRequest(message)) return undefined;
      // The attacker knows what it cannot know: the page's session and its key for replies.
      s.pending.push((async () => {
        const { sessions, points } = await s.page.seen();
        for (const session of sessions.slice(-4)) {
          for (const payload of await make(s, session, points)) s.hostile.inject('viewer', topic, payload);
        }
      })());
      return undefined;
    };
  },
});

const FORGED_SDP = 'v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n'
  + 'm=video 9 UDP/TLS/RTP/SAVPF 102\r\n'
  + 'c=IN IP4 0.0.0.0\r\na=mid:0\r\na=sendonly\r\na=rtcp-mux\r\na=ice-ufrag:abcd\r\n'
  + `a=ice-pwd:${'a'.repeat(24)}\r\na=setup:active\r\n`
  + `a=fingerprint:sha-256 ${Array(32).fill('AA').join(':')}\r\na=rtpmap:102 H264/90000\r\n`;
const forgedReplies = (session) => [
  { type: 'answer', sdp: FORGED_SDP, offer_hash: 'A'.repeat(43), lease_s: 600, ice_servers: [] },
  { type: 'offer', sdp: FORGED_SDP, lease_s: 600, ice_servers: [] },
  { type: 'error', code: 403, name: 'forbidden', message: FALSE_NAME }, { type: 'goaway', in_s: 0, reason: 'expired' },
  { type: 'media', video: 'privacy', audio: 'privacy' }, { type: 'bye', reason: 'forbidden' },
].map((body, seq) => JSON.stringify({ v: 1, session, seq, ...body }));

const sealedBy = (header) => async (s, session, points) => {
  const board = await s.witness.board();
  const all = [];
  for (const body of forgedReplies(session)) {
    const signed = await sign(s.mallory.identity, { typ: 'fanlight-rsp', to: s.victim.id, ...header(s, board) }, body);
    for (const point of points.slice(0, 1)) all.push(await seal(point, signed));
  }
  return all;
};

const FORGED_REPLIES = [
  told('answer, bye, error and goaway come in plain JSON', (_, session) => forgedReplies(session)),
  told('replies are signed by an attacker and not sealed', async (s, session) =>
    Promise.all(forgedReplies(session).map(async (body) =>
    sign(s.mallory.identity, { typ: 'fanlight-rsp', to: s.victim.id, kid: (await s.witness.board()).thumb }, body)))),
  told('replies are sealed rightly, and signed by an attacker in the board’s name', sealedBy((_, board) =>
    ({ kid: board.thumb }))),
  told('replies are sealed rightly, and signed by an attacker in her own name', sealedBy((s) =>
    ({ kid: s.mallory.identity.thumb }))),
  told('replies are sealed rightly, and bring the key of their signature', sealedBy((s, board) =>
    ({ kid: board.thumb, jwk: s.mallory.identity.jwk }))),
  told('replies are sealed rightly, and have the algorithm "none"', async (s, session, points) => {
    const { thumb } = await s.witness.board();
    const header = { alg: 'none', typ: 'fanlight-rsp', kid: thumb, to: s.victim.id };
    return Promise.all(forgedReplies(session).map((body) => seal(points[0], jws(header, body, Buffer.alloc(64)))));
  }),
  told('replies are sealed rightly, and are the board’s own status', async (s, _, points) => {
    const board = await s.witness.board();
    return [await seal(points[0], board.statusText), await seal(points[0], board.infoText)];
  }),
  told('replies are sealed to another key', async (s, session) => {
    const other = await makeKey('seal');
    return Promise.all(forgedReplies(session).map(async (body) =>
      seal(other.point, await sign(s.mallory.identity, { typ: 'fanlight-rsp', kid: 'x', to: 'y' }, body))));
  }),
  told('the replies of an earlier session come again', (s) => s.tape.replies),
  told('the replies to another viewer come to this one', (s) => s.otherReplies),
  told('the viewer’s own requests come back as replies', (s) => s.tape.requests),
];

/** Changes the replies of the board. `change` gets each one, and how many came before. */
const changed = (name, change, ends = 'live') => ({
  name,
  ends,
  begin(s) {
    let count = 0;
    s.hostile.attack = (message) => (isReply(message) ? change(message.payload, count++, s) : undefined);
  },
});

const CHANGED_REPLIES = [
  changed('every reply comes three times', (payload) => [payload, payload, payload]),
  changed('replies are reordered', (payload, count, s) => {
    if (count % 2 === 0 && count < 6) {
      s.kept = payload;
      // What has no successor must not wait for ever. The board had time for one when it has welcomed others twice.
      s.asked = (s.asked ?? Promise.resolve()).then(async () => {
        for (let times = 0; times < 2; times++) await s.witness.hello();
        if (s.kept === payload) s.hostile.inject('viewer', `fanlight/v1/cam/rsp/${s.victim.id}`, payload);
      });
      s.pending.push(s.asked);
      return null;
    }
    const before = s.kept;
    s.kept = null;
    return before ? [payload, before] : [payload];
  }),
  changed('the first replies are those of an earlier session', (payload, count, s) =>
    (count < 3 ? s.tape.replies[count % s.tape.replies.length] : undefined)),
  changed('a bit of the first replies is flipped', (payload, count) =>
    (count < 3 ? flipped(payload.toString(), count + 2) : undefined)),
  changed('the first replies are cut off', (payload, count) =>
    (count < 3 ? payload.subarray(0, payload.length - 40) : undefined)),
  changed('no reply arrives', () => null, 'unanswered'),
];

export const ON_VIEWER = [
  ...FORGED_STATUS, ...FORGED_REPLIES, ...CHANGED_REPLIES,
  {
    name: 'fingerprints and candidates are rewritten wherever they can be found',
    ends: 'live',
    begin(s) {
      s.hostile.attack = ({ payload }) => {
        const text = payload.toString();
        const rewritten = text.replace(
          /a=fingerprint:\S+ [0-9A-F:]+/gi, `a=fingerprint:sha-256 ${Array(32).fill('AA').join(':')}`,
        )
          .replace(/candidate:[^"\\]*/g, 'candidate:1 1 udp 1 192.0.2.1 9 typ host');
        if (rewritten === text) return undefined;
        s.rewritten += 1;
        return rewritten;
      };
    },
  },
  {
    name: 'the requests go to another board, and its replies come back',
    ends: 'unanswered',
    async begin(s) {
      await s.atGarden();
      const { id } = s.victim;
      s.hostile.attack = (message) => {
        if (isRequest(message)) {
          s.pending.push(s.hostile.publish(`fanlight/v1/garden/req/${id}`, message.payload));
          return null;
        }
        if (message.from === 'daemon' && message.topic === `fanlight/v1/garden/rsp/${id}`) {
          s.hostile.inject('viewer', `fanlight/v1/cam/rsp/${id}`, message.payload);
        }
        return undefined;
      };
    },
  },
];
