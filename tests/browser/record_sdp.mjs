// node tests/browser/record_sdp.mjs [NAME...]: records the files of tests/sdp/clients, or those that begin with NAME.
// NAME.sdp is a client's offer, NAME-answer.sdp its answer to the device's offer. It needs the packages of the browser
// tests. Run it with tests/browser/in-netns, so that the addresses are always the same.

import fs from 'node:fs';
import path from 'node:path';
import { Firefox, withH264 } from './firefox.mjs';
import { Program, aiortc, compilePion, pion, webrtcbin } from './viewer_process.mjs';
import { open, pages } from './fixture.mjs';
import { Broker, Daemon, Stranger, browser, serve, top, until } from './processes.mjs';

const folder = path.join(top, 'tests/sdp/clients');
const only = process.argv.slice(2);
const broker = await Broker.start();
const daemon = await Daemon.start(broker);
const site = await serve(pages);
const ear = await Stranger.connect(broker, 'cam', 'recorder');
await ear.client.subscribeAsync('fanlight/v1/cam/req/+', { qos: 1 });

/** Lets `call` call in both directions, as a viewer of this name, and writes what it describes. */
async function record(name, call, directions = ['offer', 'request']) {
  if (only.length && !only.some((begin) => name.startsWith(begin))) return;
  for (const calls of directions) {
    const [type, file] = calls === 'offer' ? ['offer', name] : ['answer', `${name}-answer`];
    const end = await call(file, calls);
    const said = () => ear.heard.find(({ topic, json }) => topic.endsWith(`/${file}`) && json.type === type);
    const { json } = await until(`${file}: its ${type}`, said, 60_000);
    fs.writeFileSync(path.join(folder, `${file}.sdp`), json.sdp);
    console.log(`tests/sdp/clients/${file}.sdp`);
    await end();
  }
}

const program = (command) => async (viewer, calls) => {
  const running = await Program.call(broker, viewer, command, { calls });
  return async () => {
    await running.leave();
    await running.close();
  };
};
for (const policy of ['max-bundle', 'max-compat', 'none']) {
  await record(`webrtcbin-${policy}`, program(webrtcbin(policy)));
}
await record('aiortc', program(aiortc()));
compilePion();
await record('pion', program(pion()));
await record('pion-lite', program(pion('lite')));
await record('pion-passive', program(pion('passive')), ['request']);

const chromium = await browser({ names: true });
const inChromium = (options) => async (viewer, calls) => {
  const page = await open(chromium, site, broker, viewer);
  await page.evaluate((o) => window.watch(o), { calls, ...options });
  return async () => {
    await page.evaluate(() => window.leaveAll());
    await page.context().close();
  };
};
await record('chromium', inChromium({}));
await record('chromium-balanced', inChromium({ bundle: 'balanced' }), ['offer']);
await record('chromium-without-h264', inChromium({ without: 'H264' }));
await chromium.close();

for (const [name, preferences] of [['firefox', withH264], ['firefox-without-h264', {}]]) {
  const firefox = await Firefox.launch({ ...preferences, 'media.peerconnection.ice.obfuscate_host_addresses': true });
  const inFirefox = (options) => async (viewer, calls) => {
    const page = await firefox.open(`${site.url}/plain.html`);
    await until('the page is ready', () => page.run('Boolean(window.connect && window.mqtt)'));
    await page.run(`window.connect(${JSON.stringify({ broker: broker.url, device: 'cam', viewer })})`);
    await page.run(`window.watch(${JSON.stringify({ calls, ...options })})`);
    return async () => {
      await page.run('window.leaveAll()');
      await page.close();
    };
  };
  await record(name, inFirefox({}));
  if (preferences === withH264) await record('firefox-balanced', inFirefox({ bundle: 'balanced' }), ['offer']);
  await firefox.close();
}

await ear.close();
await daemon.stop();
await broker.stop();
site.close();
