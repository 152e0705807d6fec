/** Opens an exported bundle, and predicts: the path of voxtrait.recognize.inference. */

import { Comparison } from "./channels.js";
import { Detector, joined } from "./detection.js";
import { Mixer } from "./mixing.js";
import { Offset } from "./offset.js";
import { Resampler } from "./resampling.js";
import { VoiceCount } from "./voices.js";

const BLOCK_S = 60; // seconds that are mixed at a time
const FORMAT = 1;
const LATER = "segmentation.onnx"; // opened when a recording may have several voices
const NOTHING = {
  gender: null,
  p_female: null,
  age_years: null,
  age_low: null,
  age_high: null,
  age_group: null,
  age_groups: null,
};

/** Reads a file of the folder of a bundle: with fetch, and in Node from the disk. */
async function reader(folder) {
  const base = String(folder).replace(/\/?$/, "/");
  const local = typeof process === "object" && process.versions?.node && !/^(https?|blob|data):/.test(base);
  if (!local) {
    return async (name) => {
      const response = await fetch(base + name);
      if (!response.ok) throw new Error(`${base}${name} cannot be loaded: status ${response.status}.`);
      return response.arrayBuffer();
    };
  }
  const { readFile } = await import(/* webpackIgnore: true */ "node:fs/promises");
  return (name) => readFile(base.startsWith("file:") ? new URL(base + name) : base + name);
}

/**
 * Opens the folder of `voxtrait bundle export BUNDLE --to onnx`, at a URL or, in Node, a path. `ort` is the module
 * onnxruntime-web or onnxruntime-node; `session` has options for its sessions.
 */
export async function load(folder, { ort, session = {} }) {
  const options = { graphOptimizationLevel: "disabled", ...session }; // they are optimised; doing it again takes a second
  const read = await reader(folder);
  const description = JSON.parse(new TextDecoder().decode(await read("model.json")));
  if (description.format !== FORMAT) throw new Error(`${folder} has format ${description.format}. Expected ${FORMAT}.`);
  const graphs = {};
  // all are read while the first session starts the runtime, which takes longer; the runtime opens one at a time
  const first = Object.keys(description.graphs).filter((name) => name !== LATER);
  const contents = first.map((name) => [name.replace(".onnx", ""), read(name)]);
  for (const [, content] of contents) content.catch(() => {}); // the loop reports it
  const open = async (content) => ort.InferenceSession.create(new Uint8Array(await content), options);
  for (const [name, content] of contents) graphs[name] = await open(content);
  return new Model(description, graphs, ort, () => open(read(LATER)));
}

/** A bundle that predicts. */
export class Model {
  #graphs;
  #ort;
  #later;

  constructor(description, graphs, ort, later) {
    this.description = description;
    this.#graphs = graphs;
    this.#ort = ort;
    this.#later = later; // opens the last graph
  }

  /** Name and version, such as "voxtrait-base 2.2". */
  get name() {
    return this.description.model;
  }

  /**
   * Predicts gender and age of a recording. `signal` is a Float32Array, or an array of one for each channel; samples are
   * in [-1, 1]. Returns an object with the fields of a prediction of voxtrait. Options: see `clip`.
   */
  async predict(signal, rate, options) {
    const channels = signal instanceof Float32Array ? [signal] : signal;
    const clip = this.clip(rate, options);
    const size = Math.max(1, Math.round(BLOCK_S * rate));
    for (let at = 0; at < channels[0].length; at += size) {
      await clip.feed(channels.map((channel) => channel.subarray(at, at + size)));
    }
    return clip.close();
  }

  /**
   * Returns a clip that takes a recording block by block, so that memory does not grow with its length. With `voices` false,
   * it does not examine whether there are several voices.
   */
  clip(rate, { voices = true } = {}) {
    return new Clip(this, rate, voices);
  }

  /** Runs a graph on Float32Arrays; `given` has name → [values, shape]. */
  async run(name, given) {
    const feeds = Object.fromEntries(
      Object.entries(given).map(([key, [values, shape]]) => [key, new this.#ort.Tensor("float32", values, shape)]),
    );
    return this.#graphs[name].run(feeds);
  }

  /** Runs the quick network of the speech detection. */
  async quick(signal, gain) {
    const found = await this.run("quick", { signal: [signal, [signal.length]], gain: [Float32Array.of(gain), [1]] });
    return found.shares.data;
  }

  /** Runs Silero's network, from a state or from the beginning. Returns the probabilities and the next state. */
  async silero(signal, gain, state) {
    const graph = this.description.graphs["silero.onnx"];
    const given = { signal: [signal, [signal.length]], gain: [Float32Array.of(gain), [1]] };
    for (const { name, shape } of graph.inputs.slice(2)) {
      given[name] = [state?.[name] ?? new Float32Array(shape.reduce((size, one) => size * one, 1)), shape];
    }
    const found = await this.run("silero", given);
    const next = Object.fromEntries(graph.inputs.slice(2).map(({ name }) => [name, found[`next_${name}`].data]));
    return [found.shares.data, next];
  }

  /** Runs the encoder on speech. Returns the summary of each window. */
  async summarise(speech) {
    const rows = [];
    for (let count = 1; rows.length < count; ) {
      const some = Float32Array.of(rows.length, rows.length + this.description.windows_at_once);
      const found = await this.run("voice", { speech: [speech, [speech.length]], rows: [some, [2]] });
      rows.push(...rowsOf(found.summaries));
      [count] = found.windows.data;
    }
    return rows;
  }

  /** Returns the speaker embedding of a summary. */
  async embed(summary) {
    const given = { summaries: [summary, [1, summary.length]], speech_s: [Float32Array.of(1), [1]] };
    return Float32Array.from((await this.run("answer", given)).embedding.data);
  }

  /** Separates the speakers of a window of speech. Returns the probability that each of them speaks, frame by frame. */
  async separate(window) {
    this.#graphs.segmentation ??= await this.#later();
    const { activity } = await this.run("segmentation", { signal: [window, [window.length]] });
    return rowsOf(activity);
  }
}

function rowsOf({ dims: [rows, width], data }) {
  return Array.from({ length: rows }, (_, row) => Float32Array.from(data.subarray(row * width, (row + 1) * width)));
}

/** A recording that is read block by block. */
class Clip {
  #model;
  #mixer = new Mixer();
  #offset = new Offset();
  #resampler;
  #detector;
  #samples = 0; // at 16 kHz
  #frames = 0; // with speech
  #waiting = []; // speech that no window has yet
  #summaries = [];
  #compared = null; // the channels
  #count = null; // of the voices

  constructor(model, rate, voices) {
    const { sampling_rate: newRate, speech, channels, voices: rules } = model.description;
    this.#model = model;
    this.#resampler = new Resampler(rate, newRate);
    this.#detector = new Detector(model, speech);
    if (channels) this.#compared = new Comparison(channels, rate);
    if (voices && rules) this.#count = new VoiceCount(model, rules, newRate);
  }

  /** Processes the next block: a Float32Array, or an array of one for each channel. */
  async feed(block) {
    const channels = block instanceof Float32Array ? [block] : block;
    this.#compared?.feed(channels);
    const mono = this.#mixer.mix(channels);
    if (!mono.every(Number.isFinite)) throw new RangeError("Got a signal with NaN or infinity. Expected finite samples in [-1, 1].");
    await this.#listen(this.#resampler.feed(mono));
  }

  /** Ends the recording, and returns the prediction. */
  async close() {
    await this.#listen(this.#resampler.close());
    const rest = this.#offset.close();
    this.#samples += rest.length;
    await this.#collect(await this.#detector.feed(rest));
    await this.#collect(await this.#detector.close());
    if (!this.#refusal()) await this.#summarise(joined(this.#waiting));
    this.#waiting = [];
    return this.#prediction();
  }

  async #listen(signal) {
    const steady = this.#offset.feed(signal);
    this.#samples += steady.length;
    if (steady.length) await this.#collect(await this.#detector.feed(steady));
  }

  /** Cuts the speech into pieces of a minute, the last of which has up to two. */
  async #collect(parts) {
    const { sampling_rate: rate, speech } = this.#model.description;
    const stretch = Math.round(speech.stretch_s * rate);
    for (const { frames, surrounded } of parts) {
      this.#frames += frames;
      if (surrounded.length) this.#waiting.push(surrounded);
    }
    if (this.#waiting.reduce((sum, part) => sum + part.length, 0) <= 2 * stretch) return;
    let waiting = joined(this.#waiting);
    while (waiting.length > 2 * stretch) {
      await this.#summarise(waiting.subarray(0, stretch));
      waiting = waiting.slice(stretch);
    }
    this.#waiting = [waiting];
  }

  async #summarise(speech) {
    if (!speech.length) return;
    const summaries = await this.#model.summarise(speech);
    this.#summaries.push(...summaries);
    await this.#count?.feed(speech, summaries);
  }

  #seconds() {
    const { sampling_rate: rate, speech } = this.#model.description;
    return { duration_s: this.#samples / rate, speech_s: (this.#frames * speech.frame_samples) / rate };
  }

  /** Returns status and message of a clip without a prediction, or null. */
  #refusal() {
    const { duration_s: duration, speech_s: spoken } = this.#seconds();
    const least = this.#model.description.speech.shortest_s;
    if (duration < least || (spoken > 0 && spoken < least)) {
      return ["too_short", `${Math.min(spoken, duration).toFixed(2)} s of speech, expected at least ${least} s`];
    }
    return spoken ? null : ["no_speech", "no speech was found"];
  }

  async #prediction() {
    const { description } = this.#model;
    const seconds = this.#seconds();
    const refusal = this.#refusal();
    if (refusal) return { status: refusal[0], message: refusal[1], ...seconds, ...NOTHING, model: description.model, voices: null };
    const voices = this.#count?.voices ?? null;
    const found = await this.#model.run("answer", {
      summaries: [joined(this.#summaries), [this.#summaries.length, this.#summaries[0].length]],
      speech_s: [Float32Array.of(seconds.speech_s), [1]],
    });
    return {
      status: "ok",
      message: this.#compared?.note ?? (voices === "several" ? description.voices.message : null),
      ...seconds,
      ...NOTHING,
      ...(found.p_female ? genderOf(found.p_female.data[0], description.unsure) : {}),
      ...(found.age_years ? agesOf(found, description.labels.age_groups) : {}),
      model: description.model,
      voices,
      embedding: Float32Array.from(found.embedding.data),
    };
  }
}

function genderOf(likely, [low, high]) {
  const gender = low < likely && likely < high ? "unsure" : likely >= 0.5 ? "female" : "male";
  return { gender, p_female: likely };
}

function agesOf(found, groups) {
  const years = found.age_years.data[0];
  return {
    age_years: years,
    age_low: found.age_low.data[0],
    age_high: found.age_high.data[0],
    age_group: groups[Math.min(Math.floor(years / 10), groups.length - 1)],
    age_groups: Object.fromEntries(groups.map((group, at) => [group, found.age_groups.data[at]])),
  };
}
