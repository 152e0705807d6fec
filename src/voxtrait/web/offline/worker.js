/** Runs the bundle beside the page: predictions, pictures and live estimates, one request after the other. */

import * as ort from "../runtime/ort.wasm.min.mjs";
import "../runtime/ort-wasm-simd-threaded.mjs"; // imported by the runtime too, but only when it starts
import { load, Mixer, Resampler } from "../voxtrait-web/index.js";
import { free } from "./reading.js";

const RATE = 16_000; // Hz
const STROKES = 600; // parts of a waveform
const WIDE = 432; // columns of a picture
const HOP = 320; // samples of a live column
const HALF = 512; // samples before and after the middle of a column
const RECENT_S = 20; // seconds of a live estimate

ort.env.wasm.wasmPaths = new URL("../runtime/", import.meta.url).href;
ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency) : 1;
// In this mode the runtime does not plan which buffers are used again. For a graph of a thousand nodes, that plan took three
// quarters of the time to open it. Results and memory are the same.
const options = { graphOptimizationLevel: "disabled", executionMode: "parallel" };
// first, because the runtime starts without waiting for a file of the bundle
const drawing = ort.InferenceSession.create(new URL("../model/columns.onnx", import.meta.url).href, options);
const opened = load(new URL("../model", import.meta.url), { ort, session: options });
for (const one of [opened, drawing]) one.catch(() => {}); // each request reports it

const jobs = new Map(); // number → the clip of a file
let last = 0;
let live = null; // the recording: { resampler, clip, recent, kept }, all at 16 kHz

/** The grey levels of columns of a spectrogram, the highest band first. */
async function greys(signal, centres) {
  const session = await drawing;
  const { greys: found } = await session.run({
    signal: new ort.Tensor("float32", signal, [signal.length]),
    centres: new ort.Tensor("int64", BigInt64Array.from(centres, BigInt), [centres.length]),
  });
  const [columns, height] = found.dims;
  const levels = new Uint8Array(columns * height);
  for (let at = 0; at < levels.length; at += 1) {
    const band = at % height;
    levels[at - band + (height - 1 - band)] = Math.round(found.data[at]);
  }
  return { levels, columns, height };
}

async function picture(signal) {
  const centres = Array.from({ length: WIDE }, (_, at) => Math.floor((at * signal.length) / (WIDE - 1)));
  const { levels, columns, height } = await greys(signal, centres);
  const canvas = new OffscreenCanvas(columns, height);
  const context = canvas.getContext("2d");
  const image = context.createImageData(columns, height);
  for (let at = 0; at < levels.length; at += 1) {
    const place = 4 * ((at % height) * columns + Math.floor(at / height));
    image.data.fill(levels[at], place, place + 3);
    image.data[place + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return canvas.convertToBlob();
}

function waveform(signal) {
  const count = Math.min(STROKES, signal.length);
  return Array.from({ length: count }, (_, at) => {
    const part = signal.subarray(Math.floor((at * signal.length) / count), Math.floor(((at + 1) * signal.length) / count));
    let [low, high] = [1, -1];
    for (const sample of part) {
      low = Math.min(low, sample);
      high = Math.max(high, sample);
    }
    return [Math.max(-1, low), Math.min(1, high)];
  });
}

/** Removes what only programs use. */
function answer({ embedding, ...prediction }) {
  return prediction;
}

const kinds = {
  async open({ rate }) {
    const model = await opened;
    jobs.set((last += 1), model.clip(rate));
    return last;
  },

  async feed({ job, channels }) {
    await jobs.get(job).feed(channels);
    free(channels); // the clip has copies
  },

  async close({ job }) {
    const found = answer(await jobs.get(job).close());
    jobs.delete(job);
    return found;
  },

  drop: ({ job }) => jobs.delete(job),

  async show({ channels, rate }) {
    const resampler = new Resampler(rate, RATE);
    const signal = joined([resampler.feed(new Mixer().mix(channels)), resampler.close()]);
    return {
      shown_s: signal.length / RATE,
      waveform: waveform(signal),
      picture: await picture(signal),
    };
  },

  async begin({ rate }) {
    const model = await opened;
    // clip, estimates and columns share what is resampled: that of an estimate took a third of its time
    live = { resampler: new Resampler(rate, RATE), clip: model.clip(RATE), recent: [], kept: new Float32Array(HALF) };
  },

  async block({ block }) {
    const signal = live.resampler.feed(new Float32Array(block));
    await live.clip.feed(signal);
    live.recent.push(signal);
    while (live.recent.length > 1 && length(live.recent.slice(1)) >= RECENT_S * RATE) live.recent.shift();
    live.kept = joined([live.kept, signal]);
    // column 0 has its middle at the first sample, half a frame into what is kept
    const count = Math.max(0, Math.floor((live.kept.length - 2 * HALF) / HOP) + 1);
    if (!count) return { columns: new Uint8Array(0), height: 0, hop: HOP / RATE };
    const { levels, height } = await greys(live.kept, Array.from({ length: count }, (_, at) => HALF + at * HOP));
    live.kept = live.kept.slice(count * HOP);
    return { columns: levels, height, hop: HOP / RATE };
  },

  async estimate() {
    const model = await opened;
    return answer(await model.predict(joined(live.recent), RATE, { voices: false }));
  },

  async end() {
    await live.clip.feed(live.resampler.close());
    const found = answer(await live.clip.close());
    live = null;
    return found;
  },
};

const length = (parts) => parts.reduce((sum, part) => sum + part.length, 0);

function joined(parts) {
  const whole = new Float32Array(length(parts));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

let before = Promise.resolve(); // the sessions of the runtime take one request at a time
self.addEventListener("message", ({ data: { number, kind, ...content } }) => {
  before = before.then(async () => {
    try {
      self.postMessage({ number, answer: await kinds[kind](content) });
    } catch (error) {
      self.postMessage({ number, problem: [error instanceof RangeError ? "unusable" : "other", String(error.message ?? error)] });
    }
  });
});
