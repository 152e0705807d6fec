/** Decodes files in pieces, so that memory does not grow with their length. */

import { decode } from "../voxtrait-web/decoding.js";
import { flacOf } from "./flac.js";
import { matroskaOf } from "./matroska.js";
import { mp4Of } from "./mp4.js";
import { framesOf } from "./mpeg.js";
import { oggOf } from "./ogg.js";
import { free } from "./reading.js";
import { wavOf } from "./riff.js";

/**
 * Each of these reads a kind of file, a Blob, and returns null for others and for those that cannot be cut; else
 * - `rate` in Hz, `count` of frames, `size`: the samples of each frame, the last one may have fewer,
 * - `length` in samples, without the ones `before` it that the encoder added,
 * - `lead`: frames before those of a piece that its first samples depend on,
 * - `content(start, stop)`: a promise of a file, Blob or ArrayBuffer, with these frames, of which all samples are decoded,
 * - `samples(start, stop)`: a promise of the samples, a Float32Array for each channel, if they are not compressed.
 */
const KINDS = [wavOf, flacOf, mp4Of, matroskaOf, oggOf];
const LARGE = 4e6; // bytes of a file from which it is decoded to 16 kHz, because memory is short
const HUGE = 1e8; // bytes of a file that is not decoded by the browser if possible, because it keeps them all in memory
const LOW_RATE = 16_000; // Hz
const EARLIER = 40; // frames before those of a piece of MP3: the data of a sound may begin in one of the 30 before it
const ALIGNED_S = 15; // maximum length of frames that are a whole number of samples at this rate
const AROUND_S = 0.02; // seconds on both sides of a sample that the resampling of browsers depends on

/**
 * Opens a file, a Blob. Returns its `duration` in seconds, and `parts`, which yields { channels, rate }: a Float32Array
 * for each channel. Parts have about `seconds`, the last one up to half of it more.
 */
export async function pieces(file, seconds) {
  const large = file.size > LARGE;
  const mpeg = large ? await framesOf(file).catch(() => null) : null;
  if (mpeg) return { duration: lengthOf(mpeg) / mpeg.rate, parts: runs(file, mpeg, seconds) };
  const cut = large ? await opened(file) : null;
  if (cut) return { duration: cut.length / cut.rate, parts: (cut.samples ? blocks : stretches)(cut, seconds) };
  const sound = await decode(file, large ? LOW_RATE : undefined);
  return { duration: sound.channels[0].length / sound.rate, parts: cuts(sound, seconds) };
}

/** What is known of a file that can be cut, and null for others. */
async function opened(file) {
  for (const kind of KINDS) {
    const cut = await kind(file).catch(() => null); // such as tables that end too early
    if (!cut) continue;
    // the page resamples more slowly than the browser
    const direct = cut.samples && (cut.rate === LOW_RATE || file.size > HUGE);
    return direct ? cut : adapted({ ...cut, samples: null }).catch(() => null);
  }
  return null;
}

/**
 * Decodes the first second, and returns what is known of a file with `late`: how many frames the browser leaves out at the
 * beginning, as Firefox does for AAC. Returns null if there is another number of samples than expected.
 */
async function adapted(cut) {
  const { rate, size, count, length, before, content } = cut;
  const stop = Math.min(count, Math.ceil(rate / size));
  const { channels } = await decode(await content(0, stop), LOW_RATE);
  for (const late of [0, 1]) {
    const most = (stop - late) * size;
    const least = Math.min(most, before + length - late * size);
    const [low, high] = [least, most].map((samples) => (samples * LOW_RATE) / rate);
    const fits = low - 2 <= channels[0].length && channels[0].length <= high + 2;
    if (fits && before >= late * size) return { ...cut, late, before: before - late * size };
  }
  return null;
}

/** Yields where each piece begins and ends. A short rest is no piece of its own, because decoders refuse a few samples. */
function* borders(length, size) {
  const count = Math.max(1, Math.round(length / size));
  for (let at = 0; at < count; at += 1) yield [at * size, at + 1 < count ? (at + 1) * size : length];
}

async function* cuts({ channels, rate }, seconds) {
  for (const [start, stop] of borders(channels[0].length, seconds * rate)) {
    yield { channels: channels.map((channel) => channel.slice(start, stop)), rate };
  }
}

async function* blocks({ rate, count, samples }, seconds) {
  for (const [start, stop] of borders(count, seconds * rate)) yield { channels: await samples(start, stop), rate };
}

/**
 * Each piece is decoded with the frames around it that its samples depend on, so that there is no seam. Places are counted
 * without frames that the browser leaves out at the beginning, of the file as of each piece.
 */
async function* stretches({ rate, size, count, length, before, lead, late, content }, seconds) {
  const aligned = unitOf(rate, size);
  const own = aligned * size > ALIGNED_S * rate; // else the browser resamples, which takes less time
  const [unit, around, out] = own ? [1, 0, rate] : [aligned, Math.ceil((AROUND_S * rate) / size), LOW_RATE];
  const early = Math.ceil((lead + around) / unit) * unit;
  const step = Math.max(1, Math.floor((seconds * rate) / size / unit)) * unit;
  const low = (number) => (number * out) / rate; // a whole number at borders, which are multiples of the unit
  const first = Math.round(low(before));
  const last = first + Math.floor(low(length));
  for (const [start, stop] of borders(count, step)) {
    const [from, to] = [Math.max(0, start - early), Math.min(count, stop + around + late)];
    const { channels } = await decode(await content(from, to), out);
    const [begin, end] = [start ? low(start * size) : first, stop < count ? low(stop * size) : last];
    yield { channels: channels.map((one) => one.slice(begin - low(from * size), end - low(from * size))), rate: out };
    free(channels);
  }
}

/** The least number of frames of which the samples are a whole number at the low rate. */
function unitOf(rate, size) {
  const divisor = (a, b) => (b ? divisor(b, a % b) : a);
  const down = rate / divisor(rate, LOW_RATE);
  return down / divisor(size, down);
}

const lengthOf = ({ samples, starts, before, after }) => (starts.length - 1) * samples - before - after;

/**
 * Browsers decode frames without the first one, which has facts about the file, to all of their samples. With it, Firefox
 * removes samples at the end of each piece.
 */
async function* runs(file, { rate, samples, starts, before, after }, seconds) {
  const count = starts.length - 1;
  for (const [start, stop] of borders(count, Math.floor((seconds * rate) / samples))) {
    const { channels } = await decode(file.slice(starts[Math.max(0, start - EARLIER)], starts[stop]), rate);
    const own = Math.max(0, channels[0].length - (stop - start) * samples) + (start ? 0 : before);
    const rest = channels[0].length - (stop < count ? 0 : after);
    yield { channels: channels.map((channel) => channel.subarray(own, rest)), rate };
  }
}
