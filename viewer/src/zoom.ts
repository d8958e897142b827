// Zoom of the picture: in the page, or by the controls of a camera that turns and zooms by itself. Pure.

import { isShown, nearest } from './controls.ts';
import type { Control, Values } from './controls.ts';

/** The part of the picture that is shown. `x` and `y`: its shift, as a share of the size of the picture's place. */
export interface Zoom { scale: number; x: number; y: number }
export interface Point { x: number; y: number }

export const WHOLE: Zoom = { scale: 1, x: 0, y: 0 };
const MOST = 8;
/** One turn of a wheel, or one press of a key. */
export const STEP = 1.25;
/** A turn of the wheel by so many pixels is one step. */
const NOTCH_PX = 100;
/** One step of a camera's zoom, and its way for a drag over the whole picture, as shares of its range. */
const ZOOM_SHARE = 0.06;
const DRAG_SHARE = 0.25;

/** Nothing beside the picture is shown. */
function bounded({ scale, x, y }: Zoom): Zoom {
  const most = (scale - 1) / 2;
  const within = (it: number) => Math.min(most, Math.max(-most, it)) + 0; // no negative zero
  return { scale, x: within(x), y: within(y) };
}

/** Zooms by a factor. What is at `at`, counted from the middle, stays there. */
export function zoomed({ scale, x, y }: Zoom, factor: number, at: Point): Zoom {
  const next = Math.min(MOST, Math.max(1, scale * factor));
  const by = next / scale;
  return bounded({ scale: next, x: at.x - (at.x - x) * by, y: at.y - (at.y - y) * by });
}

export const panned = ({ scale, x, y }: Zoom, dx: number, dy: number): Zoom => bounded({ scale, x: x + dx, y: y + dy });

/** The factor of a turn of the wheel; `mode` is that of the event: pixels, lines or pages. */
export function wheelFactor(delta: number, mode: number): number {
  const pixels = delta * (mode === 1 ? 33 : mode === 2 ? 300 : 1);
  return STEP ** (-Math.min(3, Math.max(-3, pixels / NOTCH_PX)));
}

export interface Place { left: number; top: number; width: number; height: number }

/** A point of the screen, counted from the middle of a place, as a share of its size. */
export const pointIn = ({ left, top, width, height }: Place, x: number, y: number): Point =>
  ({ x: (x - left) / (width || 1) - 0.5, y: (y - top) / (height || 1) - 0.5 });

/** The controls by which a camera turns and zooms; null: it has not this one. */
export interface Axes { zoom: Control | null; pan: Control | null; tilt: Control | null }

export function axesOf(all: Control[] | null): Axes {
  const find = (name: string) => all?.find((it) => it.name === name && it.type === 'integer' && isShown(it)) ?? null;
  return { zoom: find('zoom_absolute'), pan: find('pan_absolute'), tilt: find('tilt_absolute') };
}

export const isSteered = ({ zoom, pan, tilt }: Axes): boolean => !!(zoom || pan || tilt);

/** Moves a camera. Parts of a step are kept until they make a whole one. */
export class Steering {
  private readonly rests = new Map<string, number>();

  /** The values for a zoom by this factor. */
  zoom({ zoom }: Axes, factor: number): Values {
    return zoom ? this.move(zoom, (Math.log(factor) / Math.log(STEP)) * ZOOM_SHARE) : {};
  }

  /** The values for a drag of the picture: to the right shows what is on the left. */
  drag({ pan, tilt }: Axes, dx: number, dy: number): Values {
    return {
      ...(pan ? this.move(pan, -dx * DRAG_SHARE) : {}), ...(tilt ? this.move(tilt, dy * DRAG_SHARE) : {}),
    };
  }

  /** The values that show what the camera shows by itself. */
  reset({ zoom, pan, tilt }: Axes): Values {
    this.rests.clear();
    const moved = [zoom, pan, tilt].filter((it): it is Control => it !== null && it.value !== it.default);
    return Object.fromEntries(moved.map((it) => [it.name, it.default]));
  }

  private move(it: Control, share: number): Values {
    const wanted = (it.value ?? it.default) + (it.max - it.min) * share + (this.rests.get(it.name) ?? 0);
    const value = nearest(it, wanted);
    const ended = wanted <= it.min || wanted >= it.max;
    this.rests.set(it.name, ended ? 0 : wanted - value);
    return value === it.value ? {} : { [it.name]: value };
  }
}
