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
    for (const [i, sample] of (first ?? []).entries()) {
      const sum = others.reduce((total, channel) => total + channel[i], sample);
      this.samples[this.filled++] = sum / (others.length + 1);
      if (this.filled === this.samples.length) this.send();
    }
    return true;
  }

  send() {
    const samples = this.samples.slice();
    this.port.postMessage(samples, [samples.buffer]);
    this.filled = 0;
  }
}

registerProcessor("microphone", Microphone);
