/** Estimates how a voice presents, gender and age, from samples, with an exported bundle of voxtrait. */

export { decode } from "./decoding.js";
export { Mixer } from "./mixing.js";
export { Resampler } from "./resampling.js";
export { load, Model } from "./model.js";
