// Viewer and board in separate networks, with coturn between them as the package configures it: only a relay connects
// them. The board makes the logins.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { pages } from './fixture.mjs';
import { firewall, home } from './home_network.mjs';
import { Broker, Daemon, folder, serve, until, viewerFiles } from './processes.mjs';
import { Turn, certificate, here } from './virtual_network.mjs';

const TEMPLATE = fileURLToPath(new URL('../../package/examples/turnserver.conf', import.meta.url));
export const PUBLIC = '203.0.113.1';
const LEASE = 10;
/** How long the login of a viewer lives, in milliseconds. */
export const LIFE = 2 * LEASE * 1000;

/** The packaged settings, with nonces that end within the test. `cli`: and with the command line. */
function settings(cli) {
  const text = fs.readFileSync(TEMPLATE, 'utf8');
  for (const line of [/^stale-nonce=600$/m, /^no-cli$/m]) assert.match(text, line);
  const file = path.join(folder('turnserver'), 'turnserver.conf');
  const short = text.replace(/^stale-nonce=600$/m, 'stale-nonce=5');
  fs.writeFileSync(file, cli ? short.replace(/^no-cli$/m, '') : short);
  return file;
}

export class TurnStage {
  /** Broker, TURN server and page between two networks. `cli`: whether the server has its command line. */
  async up({ cli } = {}) {
    here.ip(`addr replace ${PUBLIC}/32 dev lo`);
    here.forward(false);
    this.broker = await Broker.start({ at: PUBLIC, tls: certificate(PUBLIC) });
    this.turn = await Turn.start(PUBLIC, { secret: 'north', conf: settings(cli), cli });
    this.site = await serve(
      [viewerFiles, ...pages],
      { '/config.json': JSON.stringify({ broker: this.broker.url, device: 'cam' }) },
      PUBLIC,
    );
    [this.board, this.viewer] = [await home('board', { net: '198.51.100' }), await home('viewer', { net: '192.0.2' })];
  }

  async down() {
    await this.turn?.stop();
    await this.broker?.stop();
    this.site?.close();
    for (const place of [this.board, this.viewer].filter(Boolean)) place.end();
  }

  /** Starts the daemon. `relays`: whether the board may have some. */
  async start({ relays, ...webrtc }) {
    this.board.place.nft('');
    if (!relays) firewall(this.board.place, 'meta l4proto tcp accept\n    oifname "out" udp dport != 3478');
    this.daemon = await Daemon.start(this.broker, {
      place: this.board.place,
      video: { linger_s: 0 },
      audio: { linger_s: 0 },
      webrtc: { addresses: [], loopback: false, ...webrtc },
      limits: { lease_s: LEASE },
      more: this.turn.secretConfig(),
    });
  }

  async stop() {
    await this.daemon?.stop();
    this.daemon = undefined;
  }

  /** Looks for `ms`, and returns what was seen each quarter of a second, from a steady picture on. */
  async watched(see, ms) {
    const steady = await until('a steady picture', async () => {
      const first = await see();
      return first?.frames > 60 && first;
    }, 40_000).catch((error) => { throw new Error(`${error.message}\n${this.daemon.child.output.slice(-3000)}`); });
    const seen = [{ at: Date.now(), ...steady }];
    const end = performance.now() + ms;
    while (performance.now() < end) {
      await new Promise((tick) => setTimeout(tick, 250));
      seen.push({ at: Date.now(), ...await see() });
    }
    return seen;
  }
}

/** When a login ends, in milliseconds: its user name begins with it. */
export const endOf = (user) => 1000 * Number.parseInt(user, 10);
/** The name in a login: one session of a viewer. */
export const partOf = (user) => user.slice(user.indexOf(':') + 1);
export const distinct = (list) => [...new Set(list)];

/** What the viewer component receives, and by which pair. Runs in the page. */
export const look = async () => {
  const pc = document.querySelector('fanlight-viewer')?.peerConnection;
  if (!pc) return null;
  const all = [...(await pc.getStats()).values()];
  const video = all.find((it) => it.type === 'inbound-rtp' && it.kind === 'video');
  const transport = all.find((it) => it.type === 'transport');
  const pair =
    all.find((it) => it.id === transport?.selectedCandidatePairId) ??
    all.find((it) => it.type === 'candidate-pair' && it.selected);
  const end = (key) => all.find((it) => it.id === pair?.[key]);
  return {
    frames: video?.framesDecoded ?? 0, freezes: video?.freezeCount, frozen: video?.totalFreezesDuration,
    lost: video?.packetsLost,
    nacks: video?.nackCount, keys: video?.keyFramesDecoded,
    local: end('localCandidateId')?.candidateType, remote: end('remoteCandidateId')?.candidateType,
    relay: `${end('localCandidateId')?.address}:${end('localCandidateId')?.port}`,
    user: pc.getConfiguration().iceServers[0]?.username, password: pc.getConfiguration().iceServers[0]?.credential,
  };
};

/**
 * Makes coturn end each relay when its login ends, as servers do that check the login at each refresh: by coturn's
 * command line, as an operator would. coturn itself checks it only when it allocates.
 */
export class LoginCheck {
  /** Connects to the command line of a coturn with `cli`. */
  static async start(turn) {
    const check = new LoginCheck();
    /** The logins of the relays that were ended. */
    check.ended = [];
    check.text = '';
    check.socket = net.connect(turn.cli.port, turn.cli.ip);
    check.socket.on('data', (data) => check.take(data));
    await until('the command line of coturn', () => check.text.includes('Enter password'));
    check.socket.write(`${turn.cli.password}\r\n`);
    check.timer = setInterval(() => check.socket.write('ps\r\n'), 500);
    return check;
  }

  take(data) {
    this.text += data;
    if (!this.text.includes('Total sessions:')) return;
    for (const [, id, user] of this.text.matchAll(/id=(\d+), user <([^>]+)>/g)) {
      if (endOf(user) > Date.now()) continue;
      this.socket.write(`cs ${id}\r\n`);
      this.ended.push(user);
    }
    this.text = '';
  }

  stop() {
    clearInterval(this.timer);
    this.socket.destroy();
  }
}
