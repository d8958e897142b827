// Zoom of the picture in the page, and by a camera that turns and zooms by itself.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { controlsOf } from '../src/controls.ts';
import { operationOf } from '../src/keys.ts';
import { STEP, Steering, WHOLE, axesOf, isSteered, panned, pointIn, wheelFactor, zoomed } from '../src/zoom.ts';
import { TURNING } from './fake-commands.ts';

test('what is under the pointer stays there, and nothing beside the picture is shown', () => {
  const at = { x: 0.25, y: -0.25 };
  const twice = zoomed(WHOLE, 2, at);
  assert.deepEqual(twice, { scale: 2, x: -0.25, y: 0.25 });
  const shown = (zoom: typeof WHOLE) => ({ x: (at.x - zoom.x) / zoom.scale, y: (at.y - zoom.y) / zoom.scale });
  assert.deepEqual(shown(zoomed(twice, 1.5, at)), shown(twice));
  assert.deepEqual(zoomed(twice, 0.1, { x: 0, y: 0 }), WHOLE);
  assert.equal(zoomed(twice, 99, at).scale, 8);
  assert.deepEqual(panned(twice, 9, -9), { scale: 2, x: 0.5, y: -0.5 });
  assert.deepEqual(panned(WHOLE, 0.1, 0.1), WHOLE);
});

test('wheels of every kind turn by steps, and never wildly', () => {
  assert.equal(wheelFactor(-100, 0), STEP);
  assert.equal(wheelFactor(100, 0), 1 / STEP);
  assert.ok(Math.abs(wheelFactor(-3, 1) - STEP) < 0.01);
  assert.equal(wheelFactor(-1e6, 2), STEP ** 3);
  assert.deepEqual(pointIn({ left: 100, top: 50, width: 200, height: 100 }, 300, 50), { x: 0.5, y: -0.5 });
  assert.deepEqual(pointIn({ left: 0, top: 0, width: 0, height: 0 }, 0, 0), { x: -0.5, y: -0.5 });
});

test('a camera that turns and zooms moves by its own steps, and goes back', () => {
  const axes = axesOf(controlsOf({ controls: TURNING() }).controls);
  assert.ok(isSteered(axes) && !isSteered(axesOf(null)) && !isSteered(axesOf([])));
  const it = new Steering();
  assert.deepEqual(it.zoom(axes, STEP), { zoom_absolute: 124 });
  axes.zoom!.value = 500;
  assert.deepEqual(it.zoom(axes, STEP), {}, 'it is at its end');
  assert.deepEqual(it.zoom(axes, 1 / STEP), { zoom_absolute: 476 }, 'and turns back at once');
  assert.deepEqual(it.drag(axes, 0.5, 0), { pan_absolute: -7200 }, 'to the right shows the left');
  axes.pan!.value = -7200;
  assert.deepEqual(it.drag(axes, 0, 0.5), { tilt_absolute: 10_800 }, 'down shows what is above');
  axes.tilt!.value = 10_800;
  let moved = 0;
  for (let n = 0; n < 10; n++) {
    const values = it.drag(axes, 0.02, 0);
    if ('pan_absolute' in values) {
      moved += 1;
      axes.pan!.value = values['pan_absolute']!;
    }
  }
  assert.ok(moved >= 1 && moved <= 2, `small drags add up: ${moved}`);
  assert.deepEqual(it.reset(axes), { zoom_absolute: 100, pan_absolute: 0, tilt_absolute: 0 });
});

test('keys zoom and move, unless they belong to the browser', () => {
  const press = (key: string, more = {}) => operationOf({ key, ...more } as KeyboardEvent);
  assert.deepEqual(
    ['+', '=', '-', '0', 'ArrowLeft', 'ArrowUp', 'c', 'x'].map((key) => press(key)),
    ['closer', 'closer', 'farther', 'whole', 'left', 'up', 'settings', null]
  );
  assert.equal(press('+', { ctrlKey: true }), null);
});
