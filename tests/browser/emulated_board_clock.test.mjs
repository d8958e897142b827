// A board in the mode `keys` whose clock says 1970, as one without a battery does until a time server answers. Viewers
// pair and watch. One whose permission has an end is refused with the reason, until the clock is set: before that,
// nobody knows whether the end has come.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Lab, until } from './emulated_board.mjs';
import { ViewerPage } from './paired_page.mjs';
import { daemonBinary } from './processes.mjs';

const PAGE = 'http://127.0.0.1:9000/viewer/';
const BROKER = 'ws://127.0.0.1:9001';
const STATE = '/run/fanlight-state';
const RUN = '/run/fanlight';
const CONFIG = `device = "cam"
[broker]
url = "mqtt://10.77.0.1:1883"
[access]
mode = "keys"
page = "${PAGE}"
viewer_broker = "${BROKER}"
[video]
source = "test"
size = "320x240"
fps = 5
[audio]
source = "off"
`;
/** Seconds since 1970 that the clock has when the board starts. */
const START = 1000;
let lab;

before(async () => {
  lab = await Lab.up({ files: false });
  fs.writeFileSync(path.join(lab.share, 'keys.toml'), CONFIG);
  await lab.guest(`mkdir -p ${STATE} ${RUN} && date -s @${START}`);
  const environment = `env NO_COLOR=1 STATE_DIRECTORY=${STATE} RUNTIME_DIRECTORY=${RUN}`;
  await lab.background('daemon', `${environment} '${daemonBinary}' run --config /board/keys.toml`);
  await until('the daemon is at the broker', () => lab.log('daemon').includes('connected by MQTT'));
});
after(() => lab?.down());

/** A command of the owner, on the board. */
const owner = (words) => lab.guest(`'${daemonBinary}' ${words} --socket ${RUN}/control 2>&1`);
const viewers = async () => JSON.parse(await owner('viewers list --json')).viewers;

let pairings = 0;
/** Pairs a new browser by the link that the board prints. */
async function pair(name) {
  const log = `pair-${(pairings += 1)}`;
  await lab.background(log, `'${daemonBinary}' pair --no-qr --socket ${RUN}/control`);
  const [link] = await until('the link', () => /http\S+#p=\S+/.exec(lab.log(log)));
  const page = await ViewerPage.open(lab.chromium, link);
  await page.accept(name);
  assert.equal(await page.pairing(120_000), null);
  await until('the command ends', () => /^status 0$/m.test(lab.log(log)));
  await page.is('live', 120_000);
  return page;
}

test('in 1970, viewers pair and watch, and an end waits for the right time', async () => {
  assert.match(lab.log('daemon'), /the clock of this board is not set yet/);
  const [anna, bert] = [await pair('Anna'), await pair('Bert')];
  for (const { name, since, last_seen: seen } of await viewers()) {
    assert.deepEqual([since ?? null, seen ?? null], [null, null], `${name}: no date of 1970 is kept`);
  }

  // A time from now cannot be counted. A date can be given.
  await assert.rejects(owner('viewers rights Anna --until 30d'), /the clock of this board is not right yet/);
  await owner('viewers rights Anna --until 2099-12-31');
  await until('her session ends', async () => (await anna.now()).state !== 'live');
  await anna.forget();
  await anna.again();
  await until('she reads why', async () => (await anna.seen()).errors.includes('clock_unsynced'));
  assert.notEqual((await anna.now()).state, 'live');
  assert.equal((await bert.now()).state, 'live', 'a viewer without an end is not concerned');

  await lab.guest(`date -s @${Math.round(Date.now() / 1000)}`);
  await anna.again();
  await anna.is('live', 120_000);
  assert.equal((await bert.now()).state, 'live', 'the clock that was set ended no session');
  const seen = (await viewers()).find(({ name }) => name === 'Anna').last_seen;
  assert.ok(Math.abs(seen - Date.now() / 1000) < 600, `last seen at ${seen}`);
  assert.equal(lab.log('daemon').match(/connected by MQTT/g).length, 1, 'the link to the broker held');
});
