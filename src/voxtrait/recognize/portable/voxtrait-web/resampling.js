/** Changes the sampling rate of a signal that arrives in blocks, with a windowed sinc. */

// fitted to the filter of soxr (quality HQ), which Python uses: to -75 dB for white noise from 48 to 16 kHz
const REJECTION_DB = 128; // of frequencies that the new rate cannot hold
const ROLLOFF = 0.086; // width of the transition below half the lower rate, as a share of it
const CUTOFF = 0.9569; // where the filter halves, as a share of half the lower rate

/** Modified Bessel function of the first kind of order 0, for Kaiser's window. */
function bessel(x) {
  let sum = 1;
  let term = 1;
  for (let k = 1; term > 1e-12 * sum; k += 1) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

function divisor(a, b) {
  return b ? divisor(b, a % b) : a;
}

/**
 * A filter with linear phase and no delay: sample m of the output is at the time m / newRate. The lengths of the blocks
 * do not change the result.
 */
export class Resampler {
  #rows = new Map(); // weights of the input samples around an output sample, by its phase
  #kept = new Float32Array(0); // input that later output needs
  #first = 0; // number of the first sample in it, from the beginning of the signal
  #seen = 0; // input samples so far
  #given = 0; // output samples so far

  constructor(rate, newRate) {
    if (!(rate > 0 && newRate > 0)) throw new RangeError(`Got sampling rates of ${rate} and ${newRate} Hz. Expected positive numbers.`);
    const common = Number.isInteger(rate) && Number.isInteger(newRate) ? divisor(rate, newRate) : 1;
    this.up = newRate / common;
    this.down = rate / common;
    const lower = Math.min(1, newRate / rate); // half the lower rate, as a share of half the input's
    this.beta = 0.1102 * (REJECTION_DB - 8.7);
    this.half = (REJECTION_DB - 8) / (2.285 * ROLLOFF * Math.PI * 2) / lower; // input samples on each side
    this.cutoff = lower * CUTOFF;
  }

  /** Returns the output that the input so far allows, a Float32Array. */
  feed(block) {
    if (this.up === this.down) return block;
    this.#keep(block);
    return this.#output(Math.floor(((this.#seen - this.half - 1) * this.up) / this.down));
  }

  /** Ends the signal, and returns the rest of the output. */
  close() {
    if (this.up === this.down) return new Float32Array(0);
    const stop = Math.round((this.#seen * this.up) / this.down);
    this.#keep(new Float32Array(Math.ceil(this.half) + 2));
    return this.#output(stop);
  }

  #keep(block) {
    const joined = new Float32Array(this.#kept.length + block.length);
    joined.set(this.#kept);
    joined.set(block, this.#kept.length);
    this.#kept = joined;
    this.#seen += block.length;
  }

  #output(stop) {
    const out = new Float32Array(Math.max(0, stop - this.#given));
    for (let at = 0; at < out.length; at += 1) {
      const place = (this.#given + at) * this.down;
      const [row, begin] = this.#row(place % this.up);
      const start = Math.floor(place / this.up) + begin - this.#first;
      let sum = 0;
      for (let k = Math.max(0, -start); k < row.length; k += 1) sum += row[k] * this.#kept[start + k];
      out[at] = sum;
    }
    this.#given += out.length;
    const needed = Math.floor((this.#given * this.down) / this.up - this.half) - 2;
    const spare = Math.min(Math.max(0, needed - this.#first), this.#kept.length);
    this.#kept = this.#kept.slice(spare);
    this.#first += spare;
    return out;
  }

  /** Returns the weights for an output sample that is phase / up after an input sample, and where they begin. */
  #row(phase) {
    if (!this.#rows.has(phase)) {
      const offset = phase / this.up;
      const begin = Math.ceil(offset - this.half);
      const row = new Float32Array(Math.floor(offset + this.half) - begin + 1);
      let sum = 0;
      for (let k = 0; k < row.length; k += 1) {
        const x = begin + k - offset;
        const angle = Math.PI * this.cutoff * x;
        const sinc = x === 0 ? 1 : Math.sin(angle) / angle;
        row[k] = sinc * bessel(this.beta * Math.sqrt(Math.max(0, 1 - (x / this.half) ** 2)));
        sum += row[k];
      }
      this.#rows.set(phase, [row.map((weight) => weight / sum), begin]);
    }
    return this.#rows.get(phase);
  }
}
