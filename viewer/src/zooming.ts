// Wheel, pinch, drag and keys over the picture: they zoom it in the page, or move a camera that can.

import type { Values } from './controls.ts';
import { h } from './dom.ts';
import type { Operation } from './keys.ts';
import type { Language } from './language.ts';
import type { View } from './view.ts';
import { boardWords } from './words/languages.ts';
import { STEP, Steering, WHOLE, axesOf, isSteered, panned, pointIn, wheelFactor, zoomed } from './zoom.ts';
import type { Axes, Point, Zoom } from './zoom.ts';

const KEY_PAN = 0.12;
/** A press that moves less is a click. */
const LEAST_PX = 4;
const ARROWS: Partial<Record<Operation, Point>> = {
  left: { x: KEY_PAN, y: 0 }, right: { x: -KEY_PAN, y: 0 }, up: { x: 0, y: KEY_PAN }, down: { x: 0, y: -KEY_PAN },
};
const MIDDLE = { x: 0, y: 0 };

export interface Camera {
  /** The controls by which it turns and zooms, if this viewer may use them. */
  axes(): Axes;
  set(values: Values): void;
}

export class Zooming {
  private zoom: Zoom = WHOLE;
  private readonly steering = new Steering();
  private readonly pointers = new Map<number, { x: number; y: number }>();
  private dragging = false;
  private readonly chip = h('button', { class: 'whole', type: 'button', hidden: true });
  private language: Language | null = null;

  constructor(private readonly view: View, private readonly camera: Camera) {
    const { frame } = view;
    view.top.append(this.chip);
    this.chip.onclick = () => this.operate('whole');
    frame.addEventListener('wheel', (event) => this.wheel(event), { passive: false });
    frame.addEventListener('pointerdown', (event) => this.down(event));
    frame.addEventListener('pointermove', (event) => this.move(event));
    for (const type of ['pointerup', 'pointercancel'] as const) frame.addEventListener(type, (event) => this.up(event));
  }

  speak(language: Language): void {
    this.language = language;
    this.draw();
  }

  /** Whether there is something to reset: a double click then does so, instead of changing to full screen. */
  get changed(): boolean {
    const axes = this.camera.axes();
    return this.zoom.scale > 1 || [axes.zoom, axes.pan, axes.tilt].some((it) => it !== null && it.value !== it.default);
  }

  /** Does what a key asks. Returns false if it is none of the zoom, or changes nothing here. */
  operate(operation: Operation): boolean {
    if (!this.isPossible) return false;
    const arrow = ARROWS[operation];
    switch (operation) {
      case 'closer': this.by(STEP, MIDDLE); return true;
      case 'farther': this.by(1 / STEP, MIDDLE); return true;
      case 'whole':
        this.zoom = WHOLE;
        this.camera.set(this.steering.reset(this.camera.axes()));
        this.draw();
        return true;
    }
    if (!arrow || !this.movable) return false;
    this.pan(arrow.x, arrow.y);
    return true;
  }

  /** Another camera, or a new look at the same one. */
  forget(): void {
    this.zoom = WHOLE;
    this.draw();
  }

  /** Draws what is shown of the picture. */
  draw(): void {
    const { scale, x, y } = this.zoom;
    const { frame, video } = this.view;
    const style = scale === 1 ? '' : `translate(${x * 100}%, ${y * 100}%) scale(${scale})`;
    if (video.style.transform !== style) video.style.transform = style;
    frame.classList.toggle('movable', this.movable);
    this.chip.hidden = scale === 1;
    if (!this.language) return;
    const { zoom } = boardWords[this.language.tag];
    this.chip.textContent = zoom.at(this.language.number(scale, 1));
    this.chip.title = zoom.reset;
    this.chip.setAttribute('aria-label', `${zoom.reset} (${this.chip.textContent})`);
  }

  private get isPossible(): boolean {
    const { frame } = this.view;
    return frame.classList.contains('controls') && frame.dataset['shown'] === 'true';
  }

  /** A drag moves something. */
  private get movable(): boolean {
    const { pan, tilt } = this.camera.axes();
    return this.zoom.scale > 1 || pan !== null || tilt !== null;
  }

  private by(factor: number, at: Point): void {
    const axes = this.camera.axes();
    if (axes.zoom) return this.camera.set(this.steering.zoom(axes, factor));
    this.zoom = zoomed(this.zoom, factor, at);
    this.draw();
  }

  private pan(dx: number, dy: number): void {
    const axes = this.camera.axes();
    if (this.zoom.scale === 1 && isSteered(axes)) return this.camera.set(this.steering.drag(axes, dx, dy));
    this.zoom = panned(this.zoom, dx, dy);
    this.draw();
  }

  /** Only the picture itself takes gestures, not what lies over it. */
  private isPicture(event: Event): boolean {
    const [target] = event.composedPath();
    return this.isPossible && (target === this.view.video || target === this.view.frame);
  }

  private wheel(event: WheelEvent): void {
    if (!this.isPicture(event) || event.deltaY === 0) return;
    // At the whole picture, turning back scrolls the page.
    if (event.deltaY > 0 && this.zoom.scale === 1 && !this.camera.axes().zoom) return;
    event.preventDefault();
    // A pinch on a touchpad comes as a wheel with Ctrl, in small steps.
    const factor = wheelFactor(event.ctrlKey ? event.deltaY * 5 : event.deltaY, event.deltaMode);
    this.by(factor, pointIn(this.view.frame.getBoundingClientRect(), event.clientX, event.clientY));
  }

  private down(event: PointerEvent): void {
    if (event.button !== 0 || !this.isPicture(event) || this.pointers.size >= 2) return;
    this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    this.dragging = this.pointers.size === 2;
  }

  private move(event: PointerEvent): void {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = { x: event.clientX, y: event.clientY };
    if (!this.dragging && Math.hypot(now.x - before.x, now.y - before.y) < LEAST_PX) return;
    if (!this.dragging && !this.movable) return;
    if (!this.dragging) this.view.frame.setPointerCapture(event.pointerId);
    this.dragging = true;
    this.pointers.set(event.pointerId, now);
    const place = this.view.frame.getBoundingClientRect();
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const [was, is] = [before, now].map((it) => Math.hypot(it.x - other.x, it.y - other.y));
      const middle = pointIn(place, (now.x + other.x) / 2, (now.y + other.y) / 2);
      if (was && is) this.by(is / was, middle);
    }
    // Two fingers move the picture by the way of their middle.
    const share = other ? 2 : 1;
    if (this.movable)
      this.pan((now.x - before.x) / (place.width * share || 1), (now.y - before.y) / (place.height * share || 1));
  }

  private up(event: PointerEvent): void {
    this.pointers.delete(event.pointerId);
    if (!this.pointers.size) this.dragging = false;
  }
}

/** What a viewer that may not move its camera has. */
export const NO_AXES: Axes = axesOf(null);
