// Sessions survive loss, slow links and changes of address. `./bench --network` measures how well; the limits here suit
// a busy machine.
// Alone: each test counts pictures on a link that is as slow as it says.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rebind } from './home_network.mjs';
import { cannot, ipv6, nat } from './virtual_network.mjs';
import {
  BEHIND, BEHIND_TOO, BOARD, BOARD6, PUBLIC, PUBLIC6, NetworkFixture, VIEWER6, back, gaps,
} from './network_fixture.mjs';
import { until } from './processes.mjs';

const options = { skip: cannot ?? false, timeout: 100_000 };

/** A viewer that sees moving pictures. */
async function watching(w, servers = []) {
  const viewer = await w.watch(await (await w.eyes()).page(), { servers });
  assert.ok(viewer.first > 0, `no picture: ${viewer.fault}\n${w.daemon.child.output.slice(-3000)}`);
  assert.ok(await back(viewer, await viewer.now()) !== undefined, 'steady pictures');
  return viewer;
}

/** Waits until the picture is back in the same session. */
async function isBack(w, viewer, t, what) {
  const ms = await back(viewer, await viewer.now(), 30_000);
  assert.ok(ms !== undefined, `${what}: no picture within 30 s\n${w.daemon.child.output.slice(-3000)}`);
  t.diagnostic(`${what}: picture back after ${ms.toFixed(0)} ms`);
  // An answer to an offer that another one followed meanwhile is refused, and costs nothing.
  const late = ({ name, message }) => name === 'conflict' && message === 'the answer is to another offer';
  assert.deepEqual(
    (await viewer.report()).said.filter((m) => (m.type === 'error' && !late(m)) || m.type === 'bye'),
    [],
  );
}

test('with 2 % loss and 50 ms delay each way, lost packets are retransmitted and the picture moves', options, (t) =>
  NetworkFixture.within({ board: { ...BOARD, link: {} } }, async (w) => {
    await w.board.link.both({ delay: 50, loss: 0.02 });
    await w.start();
    const viewer = await watching(w);
    const from = await viewer.now();
    const shown = [];
    const enough = await until('300 pictures, with packets sent again', async () => {
      const now = await viewer.take();
      shown.push(...now.shown);
      return shown.length > 300 && now.video.retransmittedPacketsReceived > 5 && now;
    }, 40_000);
    const longest = Math.max(...gaps(shown, from, enough.now).map(({ ms }) => ms));
    const { up, down } = await w.board.link.counters();
    const rate = 1000 * shown.length / (enough.now - from);
    t.diagnostic(
      `${rate.toFixed(1)} pictures/s, longest freeze ${longest.toFixed(0)} ms, ` +
        `${up.dropped_loss} of ${up.packets} lost, ${enough.video.retransmittedPacketsReceived} sent again`,
    );
    assert.ok(up.dropped_loss > 0 && down.dropped_loss > 0, 'the line was a bad one');
    assert.ok(longest < 5000, `a freeze of ${longest} ms`);
    assert.ok(
      enough.video.keyFramesDecoded <= 5,
      `${enough.video.keyFramesDecoded} keyframes: what is sent again is of no use`,
    );
  }));

test('the picture fits a link of 500 kbit/s, and grows when the link gets 2 Mbit/s', options, (t) =>
  NetworkFixture.within({ board: { ...BOARD, link: {} } }, async (w) => {
    const line = (rate) => w.board.link.both({ rate, delay: 20, buffer: 300 });
    await line(500_000);
    await w.start({ video: { size: '1280x720', fps: 30, bitrate_kbps: 2000 } });
    const viewer = await watching(w);
    const pictures = async (what, n, is = () => true) => {
      const { video: begun } = await viewer.take();
      return until(what, async () => {
        const { video } = await viewer.take();
        return video.framesDecoded >= begun.framesDecoded + n && is(video) && video;
      }, 60_000);
    };
    await pictures('the picture has found its rate', 30);
    const before = await w.board.link.counters();
    const small = await pictures('a picture that moves', 60);
    const after = await w.board.link.counters();
    const [sent, full] = [after.up.packets - before.up.packets, after.up.dropped_buffer - before.up.dropped_buffer];
    assert.ok(full < sent / 5, `${full} packets found no room on the line, ${sent} did`);
    assert.ok(small.frameHeight < 720, `${small.frameWidth}x${small.frameHeight} in 500 kbit/s`);
    await line(2_000_000);
    const large = await pictures('the whole picture', 1, (video) => video.frameHeight === 720);
    t.diagnostic(
      `first picture after ${viewer.first.toFixed(0)} ms; ${small.frameWidth}x${small.frameHeight}, ` +
        `${full} of ${full + sent} packets without room; then ${large.frameWidth}x${large.frameHeight}`,
    );
  }));

test('the session continues when the board\'s NAT assigns another port', options, (t) =>
  NetworkFixture.within({ board: BEHIND }, async (w) => {
    rebind(w.board.router, 1);
    const turn = await w.turn(PUBLIC);
    await w.start({ more: `[[webrtc.ice_servers]]\nurls = ["${turn.stun.urls[0]}"]\n` });
    const viewer = await watching(w, [turn.stun]);
    assert.match(await viewer.route(), /-(srflx|prflx) udp$/);
    rebind(w.board.router, 2);
    await isBack(w, viewer, t, 'another port');
  }));

test('the session continues without signalling when the viewer\'s NAT assigns another port', options, (t) =>
  NetworkFixture.within({ viewer: BEHIND_TOO }, async (w) => {
    rebind(w.viewer.router, 1);
    await w.start();
    const viewer = await watching(w);
    rebind(w.viewer.router, 2);
    await isBack(w, viewer, t, 'another port');
    assert.match(w.daemon.child.output, /viewer tab\d+: its NAT changed the port; sending to the new one/);
    assert.equal((await viewer.report()).said.filter(({ type }) => type === 'offer').length, 0, 'no ICE restart');
  }));

test('the session continues after the board\'s link was down for five seconds', options, (t) =>
  NetworkFixture.within({}, async (w) => {
    await w.start();
    const viewer = await watching(w);
    const down = await viewer.now();
    w.board.place.ip('link set out down');
    let last = down;
    await until('five seconds without a picture', async () => {
      const { now, shown } = await viewer.take();
      last = shown.at(-1)?.at ?? last;
      return now - last > 5000;
    });
    w.board.place.ip('link set out up');
    w.board.route();
    await isBack(w, viewer, t, 'link up');
  }));

test('the session continues after the only allowed interface lost its address and got it back', options, (t) =>
  NetworkFixture.within({}, async (w) => {
    await w.start({ webrtc: { interfaces: ['out'] } });
    const viewer = await watching(w);
    const gone = await viewer.now();
    w.board.place.ip(`addr del ${w.board.outer}/24 dev out`);
    let last = gone;
    await until('two seconds without a picture', async () => {
      const { now, shown } = await viewer.take();
      last = shown.at(-1)?.at ?? last;
      return now - last > 2000;
    });
    w.board.place.ip(`addr add ${w.board.outer}/24 dev out`);
    w.board.route();
    await isBack(w, viewer, t, 'the address is back');
    assert.ok(!w.daemon.child.output.includes('stopped unexpectedly'), w.daemon.child.output.slice(-3000));
  }));

test('an unused address that appears and disappears does not disturb the session', options, () =>
  NetworkFixture.within({}, async (w) => {
    await w.start();
    const viewer = await watching(w);
    for (let round = 0; round < 3; round += 1) {
      for (const command of [
        'link add container type veth peer name inside',
        'link set container up',
        'addr add 172.17.0.1/16 dev container',
      ])
        w.board.place.ip(command);
      const { video: with_it } = await viewer.take();
      await until(
        'pictures with it',
        async () => (await viewer.take()).video.framesDecoded > with_it.framesDecoded + 20,
      );
      w.board.place.ip('link del container');
      const { video: without } = await viewer.take();
      await until(
        'pictures without it',
        async () => (await viewer.take()).video.framesDecoded > without.framesDecoded + 20,
      );
    }
    assert.equal((await viewer.report()).said.filter(({ type }) => type === 'offer').length, 0, 'no ICE restart');
    assert.equal([...w.daemon.child.output.matchAll(/connected by MQTT/g)].length, 1, 'one broker connection');
  }));

const withIpv6 = { ...options, skip: options.skip || (!ipv6 && 'no IPv6 here') };
test('IPv6 alone connects a viewer and a board at two homes', withIpv6, () =>
  NetworkFixture.within({ board: BOARD6, viewer: VIEWER6, at: PUBLIC6 }, async (w) => {
    await w.start();
    const viewer = await watching(w);
    assert.match((await viewer.report()).remote, /^2001:db8:0:51:/);
  }));

/** A LAN whose viewer hides its address behind a `.local` name. The board receives only from where it has sent to. */
const named = (mdns, watched) => NetworkFixture.within({ board: BEHIND, viewer: null }, async (w) => {
  nat(w.board.router, 'out', 'cone');
  const lan = await w.board.join();
  w.ending(lan, (place) => place.end());
  w.board.place.nft(`table inet own {
    chain in { type filter hook input priority 0
      udp dport 5353 accept
      meta l4proto udp ct state new drop
    }
  }`);
  await w.start({ webrtc: { mdns } });
  const viewer = await w.watch(await (await w.eyes(lan, { names: true })).page());
  const names = (await viewer.report()).own.filter((candidate) => / \S+\.local /.test(candidate));
  assert.ok(names.length > 0, 'the browser hides its address');
  await watched(viewer, w);
});

test('the board resolves a `.local` name if the configuration says so', options, () =>
  named('resolve', async (viewer, w) => {
    assert.ok(viewer.first > 0, `no picture: ${viewer.fault}\n${w.daemon.child.output.slice(-3000)}`);
  }));

test('the board ignores a `.local` name otherwise, and cannot reach that viewer', options, () =>
  named('ignore', async (viewer) => {
    assert.equal(viewer.fault, 'ice_timeout');
  }));
