// Measures the link emulator with streams of packets: they get the rate, delay and loss that were set.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { home } from './home_network.mjs';
import { cannot, here, ipv6 } from './virtual_network.mjs';
import { Child, until } from './processes.mjs';

const options = { skip: cannot ?? false };
const HOME = '198.51.100';
const SIZE = 1000; // of a packet, IP and UDP included

// Sends `count` packets at `rate` bit/s; each bears its number and the time.
const SENDER = `
import socket, struct, sys, time
to, count, rate = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
s = socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET, socket.SOCK_DGRAM)
begun = time.monotonic()
for n in range(count):
    time.sleep(max(0, begun + n * 8 * ${SIZE} / rate - time.monotonic()))
    s.sendto(struct.pack("!Id", n, time.monotonic()).ljust(${SIZE} - (48 if ":" in to else 28)), (to, 9000))
`;
// Says what came, when the packet came that tells it so.
const RECEIVER = `
import json, socket, struct, time
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
s.bind(("::", 9000))
print("listening", flush=True)
came = []
while len(data := s.recv(2048)) > 4:
    now = time.monotonic()
    n, sent = struct.unpack_from("!Id", data)
    came.append([n, sent, now])
print(json.dumps(came) + "\\nend", flush=True)
`;
const END = 'import socket, sys; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"end", (sys.argv[1], 9000))';

describe('the link emulator', () => {
  let place;
  before(async () => {
    if (cannot) return;
    here.forward();
    place = await home('line', { net: HOME, net6: ipv6 && '2001:db8:0:51', link: {} });
  });
  after(() => place?.end());

  /** Sends from here to the home, and gives what came there: number, and both times in ms. */
  async function stream(count, rate, to = `${HOME}.2`) {
    const receiver = new Child('python3', ['-c', RECEIVER], { enter: place.place.enter });
    await receiver.said('listening');
    const before = await place.link.counters();
    await new Child('python3', ['-c', SENDER, to, String(count), String(rate)]).ended;
    const after = await until('everything to be on its way', async () => {
      const c = await place.link.counters();
      return c.down.packets + c.down.dropped_buffer - before.down.packets - before.down.dropped_buffer >= count && c;
    }, 10_000).catch((error) => {
      throw new Error(`${error.message}\n${JSON.stringify(before)}\n${place.link.child.output}`);
    });
    // By the same line: it is the last.
    await until('the receiver ends', async () => {
      here.run(['python3', '-c', END, `${HOME}.2`]);
      return receiver.output.includes('end\n');
    });
    const came = JSON.parse(/^\[.*$/m.exec(receiver.output)[0]).map(([n, sent, at]) => ({
      n,
      sent: 1000 * sent,
      at: 1000 * at,
    }));
    const lost = (name) => after.down[name] - before.down[name];
    return {
      came,
      dropped: lost('dropped_buffer'),
      lost: lost('dropped_loss'),
      delays: came.map(({ sent, at }) => at - sent).sort((a, b) => a - b),
    };
  }
  const quantile = (list, q) => list[Math.floor(q * (list.length - 1))];
  const good = { rate: 0, buffer: 300, delay: 0, jitter: 0, loss: 0, reorder: 0 };
  const only = (settings) => place.link.both({ ...good, ...settings });

  test('keeps its rate, queues up to its buffer size, and drops the rest', options, async (t) => {
    await only({ rate: 500_000, buffer: 200 });
    const { came, dropped, delays } = await stream(300, 1_000_000);
    const seconds = (came.at(-1).at - came[0].at) / 1000;
    const rate = (came.length - 1) * 8 * SIZE / seconds;
    const [median, most] = [quantile(delays, 0.5), delays.at(-1)].map((ms) => ms.toFixed(0));
    t.diagnostic(`${(rate / 1000).toFixed(1)} kbit/s, ${dropped} dropped, delay ${median} ms, at most ${most} ms`);
    assert.ok(Math.abs(rate / 500_000 - 1) < 0.05, `${rate} bit/s`);
    assert.equal(came.length + dropped, 300);
    assert.ok(dropped > 100 && dropped < 170, `${dropped} dropped`);
    assert.ok(quantile(delays, 0.5) > 170 && quantile(delays, 0.5) < 230, `${quantile(delays, 0.5)} ms`);
  });

  test('can change its rate while it runs', options, async () => {
    await only({ rate: 250_000, buffer: 5000 });
    const sent = stream(150, 4_000_000);
    await until('a queue', async () => (await place.link.counters()).down.queue_bytes > 110 * SIZE);
    await place.link.both({ rate: 2_000_000 });
    const { came } = await sent;
    const last = came.slice(-100);
    const rate = 99 * 8 * SIZE / (last.at(-1).at - last[0].at) * 1000;
    assert.ok(Math.abs(rate / 2_000_000 - 1) < 0.2, `${rate} bit/s`);
  });

  test('delays packets with jitter, and keeps their order', options, async (t) => {
    await only({ delay: 50 });
    const even = await stream(200, 800_000);
    t.diagnostic(`50 ms: ${quantile(even.delays, 0.1).toFixed(1)} to ${quantile(even.delays, 0.9).toFixed(1)} ms`);
    assert.ok(even.delays[0] >= 50 && quantile(even.delays, 0.1) < 56, `${quantile(even.delays, 0.1)} ms`);
    await only({ delay: 20, jitter: 40 });
    const uneven = await stream(200, 400_000);
    assert.ok(uneven.came.every(({ n }, i) => n === i), 'in order');
    assert.ok(
      uneven.delays[0] >= 20 && uneven.delays[0] < 35 && quantile(uneven.delays, 0.95) > 45,
      `${uneven.delays[0]} to ${quantile(uneven.delays, 0.95)} ms`,
    );
    await only({ delay: 50, reorder: 0.1 });
    const mixed = await stream(200, 800_000);
    assert.equal(mixed.came.length, 200);
    assert.ok(!mixed.came.every(({ n }, i) => n === i), 'not in order');
  });

  test('loses the given share of packets', options, async () => {
    await only({ loss: 0.1 });
    const { came, lost } = await stream(2000, 16_000_000);
    assert.equal(came.length, 2000 - lost);
    assert.ok(lost > 150 && lost < 250, `${lost} of 2000`);
  });

  test('carries IPv6', { skip: options.skip || (!ipv6 && 'no IPv6 here') }, async () => {
    await only({ delay: 30 });
    const { delays } = await stream(50, 800_000, '2001:db8:0:51::2');
    assert.ok(delays[0] >= 30, `${delays[0]} ms`);
  });

  test('leaves TCP alone', options, async () => {
    const { up, down } = await place.link.counters();
    // Refused, for nobody listens: an answer, and no packet on the line.
    assert.throws(
      () => here.run(['python3', '-c', `import socket; socket.create_connection(("${HOME}.2", 9), 5)`]),
      /refused/,
    );
    const after = await place.link.counters();
    assert.deepEqual([after.up.packets, after.down.packets], [up.packets, down.packets]);
  });
});
