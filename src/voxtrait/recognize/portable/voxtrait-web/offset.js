/** Removes the DC offset of a signal at 16 kHz, by the rules of voxtrait.audio.offset; tests hold both together. */

const FRAME = 512;
const FOLLOWS = 0.2; // share of the difference to a frame's mean by which the offset moves
const SHARE = 0.05; // minimum share of the power for removing an offset
const LEAST = 1e-6; // minimum mean square for removing an offset
const SMOOTHED = 0.03; // weight of a frame in the running means

/** A signal without an offset is unchanged. The delay is at most one frame. */
export class Offset {
  #waiting = new Float32Array(0); // less than a frame
  #offset = null;
  #ramp = [0, 0]; // the offset at both ends of the next frame
  #low = 0; // mean squares of the offset and of the signal
  #all = 0;
  #active = false;

  /** Returns the next samples, a Float32Array. */
  feed(block) {
    const joined = new Float32Array(this.#waiting.length + block.length);
    joined.set(this.#waiting);
    joined.set(block, this.#waiting.length);
    const whole = joined.length - (joined.length % FRAME);
    for (let at = 0; at < whole; at += FRAME) this.#frame(joined.subarray(at, at + FRAME));
    this.#waiting = joined.slice(whole);
    return joined.subarray(0, whole);
  }

  /** Ends the signal, and returns the rest. */
  close() {
    const rest = this.#waiting;
    if (rest.length && this.#offset === null) this.#begin(rest);
    this.#remove(rest);
    this.#waiting = new Float32Array(0);
    return rest;
  }

  #begin(frame) {
    const [mean, power] = moments(frame);
    this.#offset = mean;
    this.#ramp = [mean, mean];
    this.#low = mean * mean;
    this.#all = power;
    this.#active = this.#low > Math.max(LEAST, SHARE * power);
  }

  #frame(frame) {
    if (this.#offset === null) this.#begin(frame);
    const [mean, power] = moments(frame);
    this.#remove(frame);
    const before = this.#offset;
    this.#offset += FOLLOWS * (mean - before);
    this.#low += SMOOTHED * (this.#offset ** 2 - this.#low);
    this.#all += SMOOTHED * (power - this.#all);
    const begins = !this.#active && this.#low > Math.max(LEAST, SHARE * this.#all);
    this.#active ||= begins;
    this.#ramp = [begins ? this.#offset : before, this.#offset];
  }

  #remove(samples) {
    if (!this.#active) return;
    const [begin, end] = this.#ramp;
    for (let at = 0; at < samples.length; at += 1) samples[at] -= begin + ((end - begin) * (at + 1)) / FRAME;
  }
}

function moments(frame) {
  let sum = 0;
  let squares = 0;
  for (const sample of frame) {
    sum += sample;
    squares += sample * sample;
  }
  return [sum / frame.length, squares / frame.length];
}
