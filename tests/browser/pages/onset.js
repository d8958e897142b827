// Tells when sound begins: the time, by its AudioContext, of the first loud sample after 200 ms without one.

const LOUD = 0.1;
const SILENCE = 0.2;

registerProcessor('onset', class extends AudioWorkletProcessor {
  constructor() {
    super();
    this.loud = 0;
  }

  process([[samples]]) {
    samples?.forEach((sample, i) => {
      if (Math.abs(sample) < LOUD) return;
      const time = (currentFrame + i) / sampleRate;
      if (time - this.loud > SILENCE) this.port.postMessage(time);
      this.loud = time;
    });
    return true;
  }
});
