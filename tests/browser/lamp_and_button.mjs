// A part of emulated_board.test.mjs, whose board, camera and viewers it uses: lamps, a doorbell and a button for
// privacy, with the kernel's GPIO lines (gpio-mockup) and its LED class (uleds).

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe } from 'node:test';
import { until } from './emulated_board.mjs';

const LINE = (n) => `gpio:gpio-mockup-A-${n}`;
const [PICTURE, SOUND, BELL, PRIVACY] = [0, 1, 2, 3];
const LED = 'fanlight-test';

/** `world` gives what emulated_board.test.mjs has: its board, its daemon, its cameras and its viewers. */
export function lampAndButton(world) {
  const { check, start, watch, nodes } = world;
  const lab = () => world.lab();
  const daemon = () => world.daemon();
  let lines;
  const level = async (n) => Number(await lab().guest(`cat ${lines}/${n}`));
  const pull = (n, high) => lab().guest(`echo ${high ? 1 : 0} > ${lines}/${n}`);
  /** Presses a button to ground for a while. */
  const press = (n) => lab().guest(`echo 0 > ${lines}/${n}; sleep 0.3; echo 1 > ${lines}/${n}`);
  const lit = (n, on) => until(`line ${n} is ${on}`, async () => (await level(n)) === (on ? 1 : 0));
  const camera = () => ({ source: nodes.packed, format: 'yuyv', size: '640x480', fps: 5 });
  const config = (more) => ({ video: camera(), ...more });
  const open = async () => (await daemon().devices()).includes(nodes.packed);
  /** A page that reads `evt`; what it got. */
  const listener = async () => {
    const page = await lab().tab('listener');
    await page.evaluate(async () => {
      window.got = [];
      const client = await window.mqtt.connectAsync('ws://127.0.0.1:9001');
      client.on('message', (_, payload) => window.got.push(payload.toString()));
      await client.subscribeAsync('fanlight/v1/cam/evt', { qos: 1 });
    });
    return () => page.evaluate(() => window.got.map((text) => JSON.parse(text)).filter((m) => m.type === 'doorbell'));
  };

  describe('lamps and buttons', () => {
    let missing = false;
    before(async () => {
      const loaded = await lab().guest(
        'modprobe fanlight_gpio gpio_mockup_ranges=-1,8 gpio_mockup_named_lines=1 && modprobe uleds && ' +
          'mount -t debugfs none /sys/kernel/debug 2> /dev/null; ' +
          'ls -d /sys/kernel/debug/gpio-mockup/* 2> /dev/null; true',
      );
      lines = loaded.trim().split('\n')[0];
      missing = lines === '';
      if (!missing) for (const n of [BELL, PRIVACY]) await pull(n, true);
    });
    after(async () => {
      if (!missing) await lab().guest('rmmod fanlight_gpio');
    });
    /** A test that needs GPIO lines. */
    const checkLines = (what, body) => check(what, async () => {
      if (missing) console.error(`skipped, this board has no GPIO lines: ${what}`);
      else await body();
    });

    checkLines('probe lists free lines and LEDs, and check names what cannot be used', async () => {
      const json = JSON.parse(await lab().fanlight('probe --json'));
      const chip = json.gpio_chips.find(({ free }) => free.includes(LINE(0)));
      assert.deepEqual([chip.lines, chip.unusable], [8, null]);
      const wired = config({ lamp: { picture: LINE(PICTURE) }, button: { doorbell: LINE(BELL) } });
      const good = lab().config('wired', wired);
      assert.doesNotMatch(await lab().fanlight(`check --config ${good}`), /warning/);
      const wrong = config({ lamp: { picture: 'led:none' }, button: { doorbell: 'gpio:none' } });
      const said = await lab().fanlight(`check --config ${lab().config('unwired', wrong)}`);
      assert.match(said, /warning: lamp\.picture: .*there is no such LED/);
      assert.match(said, /warning: button\.doorbell: gpio:none: there is no such line/);
    });

    checkLines('a lamp is lit before the camera opens, and dark after it closed', async () => {
      await start(config({ lamp: { picture: LINE(PICTURE), sound: LINE(SOUND) } }));
      await lit(PICTURE, false);
      // Nobody but the daemon drives it now: without a viewer it stays dark.
      assert.deepEqual([await level(SOUND), await open()], [0, false]);
      const viewer = await watch({ audio: false });
      await until('the camera is open', open);
      assert.equal(await level(PICTURE), 1, 'a camera is never open in the dark');
      await viewer.moves();
      assert.equal(await level(SOUND), 0);
      await viewer.leave();
      // The lamp is dark only when the camera is closed.
      await lit(PICTURE, false);
      assert.equal(await open(), false);
      assert.equal(await daemon().stop(), 0);
      assert.equal(await level(PICTURE), 0);
    });

    checkLines('an LED is still lit when the daemon was killed, and the next start makes it dark', async () => {
      const log = path.join(lab().share, 'led.log');
      const led = await world.aside('led', `python3 ${path.join(world.board, 'led.py')} ${LED} /board/led.log`);
      await until('the LED', () => fs.existsSync(log) && fs.readFileSync(log, 'utf8').startsWith('made'));
      const shows = () => Number(fs.readFileSync(log, 'utf8').trim().split(/[ \n]/).at(-1));
      const lamp = config({ lamp: { picture: `led:${LED}` } });
      await start(lamp);
      const viewer = await watch({ audio: false });
      await viewer.moves();
      assert.equal(shows(), 255);
      await lab().guest(`kill -KILL ${daemon().pid}`);
      await until('the daemon is gone', () => daemon().ended);
      assert.equal(shows(), 255, 'nobody switched it off');
      daemon().stopped = true;
      await start(lamp);
      await until('the LED is dark', () => shows() === 0);
      await world.end(led);
    });

    checkLines('a doorbell rings once for each press, on evt and in the log', async () => {
      await start(config({ button: { doorbell: LINE(BELL) } }));
      await until('the line is followed', () => daemon().output.includes(`button.doorbell: ${LINE(BELL)} is followed`));
      const heard = await listener();
      const rings = () => daemon().output.split('FANLIGHT_AUDIT=doorbell').length - 1;
      await press(BELL);
      await until('a ring', () => rings() === 1);
      // Too short for a press, and too soon after a ring.
      await lab().guest(`for n in 1 2 3; do echo 0 > ${lines}/${BELL}; echo 1 > ${lines}/${BELL}; done`);
      await lab().guest('sleep 4');
      assert.equal(rings(), 1);
      await press(BELL);
      await until('a second ring', () => rings() === 2);
      const got = await until('both rings on evt', async () => (await heard()).length === 2 && heard());
      assert.ok(got.every(({ v, at }) => v === 1 && (at === undefined || at > 1_700_000_000)), JSON.stringify(got));
    });

    checkLines('a button for privacy stops the camera, and does not lift that', async () => {
      await start(config({ button: { privacy: LINE(PRIVACY) }, lamp: { picture: LINE(PICTURE) } }));
      const viewer = await watch({ audio: false });
      await viewer.moves();
      await press(PRIVACY);
      await viewer.until('privacy', async () => (await viewer.told()).at(-1) === 'privacy');
      await lit(PICTURE, false);
      assert.equal(await open(), false);
      await lab().guest('sleep 4');
      await press(PRIVACY);
      await until('the refusal', () => daemon().output.includes('button.privacy_lifts is false'));
      assert.equal((await viewer.told()).at(-1), 'privacy');
      await viewer.leave();
    });

    checkLines('with privacy_lifts, the next press lifts it', async () => {
      await start(config({ button: { privacy: LINE(PRIVACY), privacy_lifts: true } }));
      const viewer = await watch({ audio: false });
      await viewer.moves();
      await press(PRIVACY);
      await viewer.until('privacy', async () => (await viewer.told()).at(-1) === 'privacy');
      await lab().guest('sleep 4');
      await press(PRIVACY);
      await viewer.until('the picture again', async () => (await viewer.told()).at(-1) === 'ok');
      await viewer.moves();
      await viewer.leave();
    });
  });
}
