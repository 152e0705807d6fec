/** The last seconds of a recording, scrolling: the waveform above the mel spectrogram, on one time axis. */

import { colours } from "./rows.js";

const WAVE_S = 0.01; // seconds per stroke of the waveform
const KEPT_S = 40; // seconds kept, more than any screen shows
const BEHIND_S = 0.3; // delay of the picture, so that waveform and spectrogram are both available
const PIXELS = 110; // per second
const WAVE_SHARE = 0.36; // share of the height for the waveform

export class Tape {
  #canvas;
  #colours;
  #strokes = new Float32Array(2 * Math.round(KEPT_S / WAVE_S));
  #columns = null; // ring buffer of spectrogram columns, a canvas
  #hop = 0.01;
  #first = 0; // start of the recording, on the browser's clock
  #frame = 0;
  #reducedMotion = window.matchMedia("(prefers-reduced-motion: reduce)");

  constructor(canvas) {
    this.#canvas = canvas;
    this.#colours = colours(canvas);
    this.clear();
  }

  clear() {
    cancelAnimationFrame(this.#frame);
    this.#strokes.fill(0);
    this.stroke = 0; // strokes so far
    this.column = 0; // columns so far
    this.seconds = 0; // so far
    this.#columns = null;
    this.#rest = { low: 0, high: 0, samples: 0 };
  }

  #rest;

  run() {
    this.#first = performance.now();
    let drawn = -Infinity;
    const step = (now) => {
      this.#frame = requestAnimationFrame(step);
      if (this.#reducedMotion.matches && now - drawn < 500) return;
      drawn = now;
      this.#draw(Math.min(this.seconds, (now - this.#first) / 1000) - BEHIND_S);
    };
    this.#frame = requestAnimationFrame(step);
  }

  /** Stop scrolling, and draw up to the end. */
  rest() {
    cancelAnimationFrame(this.#frame);
    this.#draw(this.seconds);
  }

  get secondsShown() {
    return this.#canvas.clientWidth / PIXELS;
  }

  addBlock(block, samplingRate) {
    const length = Math.round(WAVE_S * samplingRate);
    const rest = this.#rest;
    for (const value of block) {
      if (value < rest.low) rest.low = value;
      if (value > rest.high) rest.high = value;
      if (++rest.samples < length) continue;
      const at = 2 * (this.stroke % (this.#strokes.length / 2));
      this.#strokes[at] = rest.low;
      this.#strokes[at + 1] = rest.high;
      this.stroke += 1;
      rest.low = rest.high = rest.samples = 0;
    }
    this.seconds += block.length / samplingRate;
  }

  /** Append columns of grey levels, each from the highest band down. */
  addColumns(data, height, hop) {
    this.#hop = hop || this.#hop;
    if (!this.#columns) {
      this.#columns = Object.assign(document.createElement("canvas"), { width: Math.round(KEPT_S / this.#hop), height });
    }
    const context = this.#columns.getContext("2d");
    const image = context.createImageData(1, height);
    for (let from = 0; from + height <= data.length; from += height) {
      for (let row = 0; row < height; row += 1) {
        image.data.fill(data[from + row], 4 * row, 4 * row + 3);
        image.data[4 * row + 3] = 255;
      }
      context.putImageData(image, this.column % this.#columns.width, 0);
      this.column += 1;
    }
  }

  #draw(end) {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth: wide, clientHeight: high } = this.#canvas;
    const width = Math.round(wide * ratio);
    const height = Math.round(high * ratio);
    if (this.#canvas.width !== width || this.#canvas.height !== height) Object.assign(this.#canvas, { width, height });
    const context = this.#canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, wide, high);
    const begin = end - wide / PIXELS;
    const tall = high * WAVE_SHARE;
    this.#drawSeconds(context, begin, end, high, tall, wide);
    this.#drawWave(context, begin, end, tall);
    this.#drawColumns(context, begin, end, tall + 8, high - tall - 8);
  }

  #drawSeconds(context, begin, end, high, tall, wide) {
    context.fillStyle = this.#colours.line;
    context.fillRect(0, tall / 2, wide, 1); // a line also before the start
    context.font = "12px Onest, sans-serif";
    for (let second = Math.max(0, Math.ceil(begin - 1)); second <= end; second += 1) {
      const x = Math.round((second - begin) * PIXELS);
      context.fillStyle = this.#colours.line;
      context.fillRect(x, 0, 1, high);
      context.fillStyle = this.#colours.quiet;
      context.fillText(second, x + 5, 12);
    }
  }

  #drawWave(context, begin, end, tall) {
    const kept = this.#strokes.length / 2;
    const first = Math.max(0, Math.floor(begin / WAVE_S), this.stroke - kept);
    const last = Math.min(this.stroke, Math.ceil(end / WAVE_S));
    if (last <= first) return;
    const x = (stroke) => ((stroke + 0.5) * WAVE_S - begin) * PIXELS;
    const y = (stroke, which) => (tall / 2) * (1 - bent(this.#strokes[2 * (stroke % kept) + which])) + (which ? -0.7 : 0.7);
    context.fillStyle = this.#colours.signal;
    context.beginPath();
    for (let stroke = first; stroke < last; stroke += 1) context.lineTo(x(stroke), y(stroke, 1));
    for (let stroke = last - 1; stroke >= first; stroke -= 1) context.lineTo(x(stroke), y(stroke, 0));
    context.fill();
  }

  #drawColumns(context, begin, end, top, tall) {
    if (!this.#columns) return;
    const ring = this.#columns.width;
    const first = Math.max(0, Math.floor(begin / this.#hop), this.column - ring);
    const last = Math.min(this.column, Math.ceil(end / this.#hop));
    for (let column = first; column < last; ) {
      const many = Math.min(last - column, ring - (column % ring)); // up to the end of the ring
      const x = (column * this.#hop - begin) * PIXELS;
      context.drawImage(this.#columns, column % ring, 0, many, this.#columns.height, x, top, many * this.#hop * PIXELS, tall);
      column += many;
    }
  }
}

/** Compress amplitudes, as hearing does: otherwise quiet speech would look like a line. */
function bent(value) {
  return Math.sign(value) * Math.abs(value) ** 0.6;
}
