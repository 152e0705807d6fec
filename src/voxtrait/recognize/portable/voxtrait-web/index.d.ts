/** Estimates how a voice presents, gender and age, from samples, with an exported bundle of voxtrait. */

/** Samples in [-1, 1]: one array, or one for each channel. */
export type Signal = Float32Array | Float32Array[];

/** The prediction for one recording; its fields are those of voxtrait's command line and REST API. */
export interface Prediction {
  /** "ok"; or why the fields from `gender` to `age_groups` are null. */
  status: "ok" | "no_speech" | "too_short";
  /** The reason if the status is not "ok"; a note on several voices, or on channels with different people. */
  message: string | null;
  /** Duration of the recording, in seconds. */
  duration_s: number;
  /** Duration of the speech in it, in seconds. */
  speech_s: number;
  /** "unsure" if the probability is inside the band of the bundle. */
  gender: "female" | "male" | "unsure" | null;
  /** Calibrated probability of "female", from 0 to 1. */
  p_female: number | null;
  /** Age in years, halfway between median and mean of the calibrated distribution. */
  age_years: number | null;
  /** Ends of the calibrated 80 % interval, in years. */
  age_low: number | null;
  age_high: number | null;
  /** Decade of `age_years`. */
  age_group: string | null;
  /** Probability of each age group. The sum is 1. */
  age_groups: Record<string, number> | null;
  /** Name and version of the bundle. */
  model: string;
  /** Whether one voice or several speak; null if that was not examined. */
  voices: "one" | "several" | null;
  /** Speaker embedding of length 1; only if the status is "ok". */
  embedding?: Float32Array;
}

/** A recording that is read block by block. Memory does not grow with its length. */
export interface Clip {
  /** Processes the next block. Wait for it before the next call. */
  feed(block: Signal): Promise<void>;
  /** Ends the recording, and returns the prediction. */
  close(): Promise<Prediction>;
}

/** A bundle that predicts. Run one recording at a time. */
export class Model {
  /** Content of model.json. */
  readonly description: Record<string, unknown>;
  /** Name and version, such as "voxtrait-base 2.2". */
  readonly name: string;
  /** Predicts gender and age of a recording. `rate` is in Hz. */
  predict(signal: Signal, rate: number, options?: ClipOptions): Promise<Prediction>;
  /** Returns a clip that takes a recording block by block. `rate` is in Hz. */
  clip(rate: number, options?: ClipOptions): Clip;
}

/** What a prediction has. */
export interface ClipOptions {
  /** Whether to examine `voices`; true by default. */
  voices?: boolean;
}

/** What `load` needs. */
export interface LoadOptions {
  /** The module onnxruntime-web or onnxruntime-node. */
  ort: { InferenceSession: unknown; Tensor: unknown };
  /** Options of onnxruntime's sessions. By default, graphs are not optimised again, which only takes time. */
  session?: object;
}

/** Opens the folder of an exported bundle, at a URL or, in Node, a path. */
export function load(folder: string | URL, options: LoadOptions): Promise<Model>;

/** Decodes the content of a file with the browser, to a rate in Hz or the file's own. Takes the ArrayBuffer away from the caller. */
export function decode(content: ArrayBuffer | Blob, rate?: number): Promise<{ channels: Float32Array[]; rate: number }>;

/** Mixes channels to mono: an inverted channel is corrected, and a channel of only noise left out. */
export class Mixer {
  mix(channels: Float32Array[]): Float32Array;
}

/** Changes the sampling rate of a signal that arrives in blocks. */
export class Resampler {
  constructor(rate: number, newRate: number);
  feed(block: Float32Array): Float32Array;
  close(): Float32Array;
}
