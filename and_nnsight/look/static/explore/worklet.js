// In the audio thread: collects the microphone's samples, mono, and hands them over ten times a second.

class Microphone extends AudioWorkletProcessor {
  constructor() {
    super();
    this.samples = new Float32Array(Math.round(sampleRate / 10));
    this.filled = 0;
  }

  /** @param {Float32Array[][]} inputs */
  process([channels]) {
    const [first, ...others] = channels ?? [];
    for (let i = 0; first && i < first.length; i++) {
      let sum = first[i];
      for (const channel of others) sum += channel[i];
      this.samples[this.filled++] = sum / (others.length + 1);
      if (this.filled === this.samples.length) {
        this.port.postMessage(this.samples.slice());
        this.filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("microphone", Microphone);
