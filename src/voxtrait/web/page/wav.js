/** A recording as 16-bit mono samples, and as a WAV file. */

export class Recorded {
  #blocks = [];

  constructor(samplingRate) {
    this.samplingRate = samplingRate;
    this.samples = 0;
  }

  add(block) {
    const kept = new Int16Array(block.length);
    for (let at = 0; at < block.length; at += 1) kept[at] = Math.max(-32768, Math.min(32767, Math.round(block[at] * 32768)));
    this.#blocks.push(kept);
    this.samples += kept.length;
  }

  get seconds() {
    return this.samples / this.samplingRate;
  }

  get bytes() {
    return 44 + 2 * this.samples;
  }

  wav() {
    const head = new DataView(new ArrayBuffer(44));
    const text = (at, letters) => [...letters].forEach((letter, index) => head.setUint8(at + index, letter.charCodeAt(0)));
    const rate = this.samplingRate;
    text(0, "RIFF");
    head.setUint32(4, this.bytes - 8, true);
    text(8, "WAVEfmt ");
    head.setUint32(16, 16, true);
    head.setUint16(20, 1, true); // PCM
    head.setUint16(22, 1, true); // mono
    head.setUint32(24, rate, true);
    head.setUint32(28, 2 * rate, true);
    head.setUint16(32, 2, true);
    head.setUint16(34, 16, true);
    text(36, "data");
    head.setUint32(40, 2 * this.samples, true);
    return new Blob([head, ...this.#blocks], { type: "audio/wav" });
  }
}
