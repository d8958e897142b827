// What buttons and keys do beyond a viewer's methods: save a snapshot, full screen, picture-in-picture.

import type { View } from './view.ts';

/** Saves a picture of a device as a file. */
export function saveFile(device: string, blob: Blob, ending: 'png' | 'jpg'): void {
  const url = URL.createObjectURL(blob);
  const link = document.createElement('a');
  link.href = url;
  link.download = `${device}-${new Date().toISOString().slice(0, 19).replace(/:/g, '-')}.${ending}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

export async function saveSnapshot(viewer: { device: string; snapshot(): Promise<Blob> }, view: View): Promise<void> {
  try {
    saveFile(viewer.device, await viewer.snapshot(), 'png');
    view.flash();
    view.note('saved');
  } catch {
    view.note('nothingToSave');
  }
}

export async function toggleFullScreen(viewer: HTMLElement, view: View): Promise<void> {
  try {
    if (document.fullscreenElement) await document.exitFullscreen();
    else if (viewer.requestFullscreen) await viewer.requestFullscreen();
    else (view.video as HTMLVideoElement & { webkitEnterFullscreen?(): void }).webkitEnterFullscreen?.(); // iPhone
  } catch {
    view.note('noFull');
  }
}

export async function togglePictureInPicture(viewer: HTMLElement, view: View): Promise<void> {
  try {
    if (viewer.shadowRoot?.pictureInPictureElement) await document.exitPictureInPicture();
    else await view.video.requestPictureInPicture();
  } catch {
    view.note('noFloat');
  }
}
