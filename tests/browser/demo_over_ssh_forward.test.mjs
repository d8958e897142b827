// `fanlight demo` on a machine without a screen is watched from another one, through the port forwards of the ssh
// command that it prints.

import assert from 'node:assert/strict';
import net from 'node:net';
import { test } from 'node:test';
import { Place, cable, cannot, here } from './virtual_network.mjs';
import { Child, browser, daemonBinary, until } from './processes.mjs';

const [NEAR, FAR] = ['10.78.0.1', '10.78.0.2'];

// Does what ssh does on the board: forwards a port of its address to the same port of its loopback.
const FAR_END = `const net = require('net');
for (const port of process.argv.slice(2)) net.createServer((one) => {
  const other = net.connect(Number(port), '127.0.0.1');
  one.pipe(other).pipe(one);
  for (const end of [one, other]) end.on('error', () => { one.destroy(); other.destroy(); });
}).listen(Number(port), process.argv[1], () => console.log('forwards ' + port));`;

/** Does what ssh does on the other machine. */
function forward(port) {
  const server = net.createServer((one) => {
    const other = net.connect(port, FAR);
    one.pipe(other).pipe(one);
    for (const end of [one, other]) end.on('error', () => { one.destroy(); other.destroy(); });
  });
  return new Promise((resolve) => server.listen(port, '127.0.0.1', () => resolve(server)));
}

test('the ssh command that the demo prints is enough to watch from another machine', { skip: cannot }, async (t) => {
  const board = await Place.make();
  t.after(() => board.end());
  cable([here, 'to-board', `${NEAR}/24`], [board, 'out', `${FAR}/24`]);
  const env = {
    ...process.env,
    NO_COLOR: '1',
    DISPLAY: '',
    WAYLAND_DISPLAY: '',
    USER: 'pi',
    SSH_CONNECTION: `${NEAR} 50000 ${FAR} 22`,
  };
  const demo = new Child(daemonBinary, ['demo', '--video', 'test', '--audio', 'tone', '--size', '640x360'], {
    env,
    enter: board.enter,
  });
  t.after(() => demo.stop());
  await demo.said('From another machine: ssh ');
  const line = demo.output.split('\n').find((l) => l.startsWith('From another machine: ssh '));
  assert.ok(line.includes(` pi@${FAR} `), line);
  const ports = [...line.matchAll(/-L (\d+):127\.0\.0\.1:(\d+)/g)].map(
    ([, from, to]) => (assert.equal(from, to), Number(from)),
  );
  assert.equal(ports.length, 2, line);
  const far = new Child(process.execPath, ['-e', FAR_END, FAR, ...ports.map(String)], { enter: board.enter });
  t.after(() => far.stop());
  for (const port of ports) await far.said(`forwards ${port}`);
  const servers = await Promise.all(ports.map(forward));
  t.after(() => servers.forEach((server) => server.close()));

  // The browser hides its addresses, as browsers at home do.
  const chromium = await browser({ names: true });
  t.after(() => chromium.close());
  const page = await (await chromium.newContext()).newPage();
  await page.goto(/http:\/\/127\.0\.0\.1:\d+\//.exec(line)[0]);
  const moves = (video) => video.videoWidth === 640 && video.currentTime > 0.5;
  await until('a moving picture', () => page.locator('video').first().evaluate(moves), 40_000).catch((error) => {
    throw new Error(`${error.message}\n${demo.output.slice(-3000)}`);
  });
});
