// The sound of a doorbell: two tones that fade. A browser lets a page sound only after somebody touched it; until then
// a ring is seen and not heard.

/** Frequencies in Hz, and when each begins, in seconds. */
const TONES: [number, number][] = [[659.3, 0], [523.3, 0.45]];
/** How long a tone takes to fade, in seconds. */
const FADE = 1.1;
const LOUDNESS = 0.25;

let sound: AudioContext | null = null;

/** Rings once. A ring that cannot sound is not kept for later. */
export function chime(): void {
  try {
    sound ??= new AudioContext();
  } catch {
    return; // no sound device
  }
  if (sound.state !== 'running') {
    // It works from the next ring on, if the page was touched.
    void sound.resume().catch(() => {});
    if (!navigator.userActivation?.hasBeenActive) return;
  }
  for (const [hertz, after] of TONES) {
    const begin = sound.currentTime + after;
    const tone = new OscillatorNode(sound, { type: 'sine', frequency: hertz });
    const volume = new GainNode(sound, { gain: LOUDNESS });
    volume.gain.setValueAtTime(LOUDNESS, begin);
    volume.gain.exponentialRampToValueAtTime(0.001, begin + FADE);
    tone.connect(volume).connect(sound.destination);
    tone.start(begin);
    tone.stop(begin + FADE);
  }
}
