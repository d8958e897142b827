// Attacks on the page by a false camera: a second real daemon with other keys and the same id. If the page accepted it,
// it would really show its picture.

import mqtt from 'mqtt';
import { plainInfo, plainStatus } from './on_viewer.mjs';
import { HostileBroker } from '../hostile_broker.mjs';
import { BOARD_NAME } from '../hostile_stage.mjs';
import { ViewerPage } from '../paired_page.mjs';
import { serve, viewerFiles } from '../processes.mjs';

/** The page meets the impostor instead of the board. */
const met = (name, kind, ends = 'wrong_board') => ({
  name,
  ends,
  async begin(s) {
    const { broker } = await s.impostor(kind);
    s.hostile.divert(broker);
    await s.lost('cam');
  },
});

/** The page sees the true status and info. What it sends goes to the impostor, whose replies come back. */
const behind = (name, kind) => ({
  name,
  ends: 'unanswered',
  async begin(s) {
    const { broker } = await s.impostor(kind);
    const there = await mqtt.connectAsync(`mqtt://127.0.0.1:${broker.tcp}`, { protocolVersion: 5 });
    s.undo.push(() => there.endAsync(true));
    const reply = `fanlight/v1/cam/rsp/${s.victim.id}`;
    there.on('message', (_, payload) => s.hostile.inject('viewer', reply, payload));
    await there.subscribeAsync(reply, { qos: 1 });
    s.hostile.attack = ({ from, topic, payload }) => {
      if (from !== 'viewer' || !topic.includes('/cam/req/')) return undefined;
      s.pending.push(there.publishAsync(topic, payload, { qos: 1 }));
      return null;
    };
  },
});

export const IMPOSTORS = [
  met('an impostor in the mode broker takes the board’s place', 'plain'),
  met('an impostor with other keys, which has the viewer on its list, takes the board’s place', 'keys'),
  behind('an impostor with other keys answers, behind the true status', 'keys'),
  behind('an impostor in the mode broker answers, behind the true status', 'plain'),
  {
    name: 'the page is opened anew at an impostor in the mode broker',
    ends: 'wrong_board',
    async begin(s) {
      s.hostile.divert((await s.impostor('plain')).broker);
      await s.reopen();
    },
  },
  {
    name: 'the page is opened anew at an impostor with other keys',
    ends: 'wrong_board',
    async begin(s) {
      s.hostile.divert((await s.impostor('keys')).broker);
      await s.reopen();
    },
  },
  {
    name: 'another device takes the name of the board',
    ends: 'live',
    async begin(s) {
      s.hostile.inject('viewer', 'fanlight/v1/cam2/status', JSON.stringify(plainStatus), { retain: true });
      const info = JSON.stringify({ ...plainInfo, device: 'cam2', name: BOARD_NAME });
      s.hostile.inject('viewer', 'fanlight/v1/cam2/info', info, { retain: true });
      const row = (device) =>
        s.page.page.evaluate((it) => document.querySelector(`[data-device="${it}"] b`)?.textContent, device);
      await s.until('the other device is in the list', () => row('cam2'));
      await s.until('the list tells them apart', async () =>
        (await row('cam2')) !== (await row('cam')) && (await row('cam2')) !== BOARD_NAME);
      s.undo.push(() => s.hostile.cut('viewer'));
    },
  },
];

/** While the page shows the picture of the true board. It must stay there. */
export const TAKEOVERS = ['plain', 'keys'].map((kind) => ({
  name: `an impostor (${kind}) takes the board’s place while the page shows it`,
  async begin(s) {
    s.hostile.divert((await s.impostor(kind)).broker);
    await s.until('the list says that it is not the paired camera', () => s.page.page.evaluate(() => {
      const row = document.querySelector('[data-device="cam"]');
      return row && !['online', 'offline'].includes(row.dataset.is);
    }));
  },
}));

/**
 * A browser that is not paired sees the impostor: a false camera would really be seen. Returns what it showed, and all
 * messages, which have everything that must be nowhere else.
 */
export async function control(s) {
  const hostile = await HostileBroker.start((await s.impostor('plain')).broker);
  const site = await serve([viewerFiles], { '/config.json': JSON.stringify({ broker: hostile.url, device: 'cam' }) });
  const page = await ViewerPage.open(s.chromium, site.url);
  await page.is('live');
  const { shapes, names } = await page.seen();
  await page.close();
  await hostile.stop();
  site.close();
  return { shapes, names, recorded: hostile.recorded };
}
