/** Decodes files in pieces. WAV and MP3 files are decoded piece by piece, so that memory does not grow with their length. */

import { decode } from "../voxtrait-web/decoding.js";
import { framesOf } from "./mpeg.js";

const LARGE = 4e6; // bytes of a file from which it is decoded to 16 kHz, because memory is short
const LOW_RATE = 16_000; // Hz
const EARLIER = 40; // frames before those of a piece of MP3: the data of a sound may begin in one of the 30 before it
const FIXED = [1, 3, 6, 7, 0xfffe]; // formats of WAV files in which each sample has its own bytes: PCM, floats, A-law, …

/**
 * Opens a file, a Blob. Returns its `duration` in seconds, and `parts`, which yields { channels, rate }: a Float32Array
 * for each channel. Each part has `seconds`, the last one up to twice as many.
 */
export async function pieces(file, seconds) {
  const wav = file.size > LARGE ? await wavOf(file) : null;
  if (wav) return { duration: wav.frames / wav.rate, parts: slices(file, wav, seconds) };
  const mpeg = file.size > LARGE ? await framesOf(file) : null;
  if (mpeg) return { duration: lengthOf(mpeg) / mpeg.rate, parts: runs(file, mpeg, seconds) };
  const sound = await decode(file, file.size > LARGE ? LOW_RATE : undefined);
  return { duration: sound.channels[0].length / sound.rate, parts: cuts(sound, seconds) };
}

/** Yields where each piece begins and ends. A short rest is no piece of its own, because decoders refuse a few samples. */
function* borders(length, size) {
  const count = Math.max(1, Math.floor(length / size));
  for (let at = 0; at < count; at += 1) yield [at * size, at + 1 < count ? (at + 1) * size : length];
}

async function* cuts({ channels, rate }, seconds) {
  for (const [start, stop] of borders(channels[0].length, seconds * rate)) {
    yield { channels: channels.map((channel) => channel.slice(start, stop)), rate };
  }
}

async function* slices(file, { format, begin, width, rate, frames }, seconds) {
  for (const [start, stop] of borders(frames, seconds * rate)) {
    const samples = file.slice(begin + start * width, begin + stop * width);
    yield decode(new Blob(["RIFF", size(20 + format.byteLength + samples.size), "WAVEfmt ", size(format.byteLength), format, "data", size(samples.size), samples]), LOW_RATE);
  }
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

const size = (bytes) => Uint32Array.of(bytes); // WAV files and all processors of browsers have the lowest byte first

/** Reads the header of a WAV file; null for other files, and for those whose samples cannot be cut. */
async function wavOf(file) {
  const read = async (start, stop) => new DataView(await file.slice(start, stop).arrayBuffer());
  const text = (view, at) => String.fromCharCode(...new Uint8Array(view.buffer, at, 4));
  const head = await read(0, 12);
  if (text(head, 0) !== "RIFF" || text(head, 8) !== "WAVE") return null;
  let format = null;
  for (let at = 12; at + 8 <= file.size; ) {
    const chunk = await read(at, at + 8);
    const [name, bytes] = [text(chunk, 0), chunk.getUint32(4, true)];
    if (name === "fmt ") format = await read(at + 8, at + 8 + bytes);
    if (name === "data") return cuttable(format, at + 8, Math.min(bytes || Infinity, file.size - at - 8)); // 0 from a stream
    at += 8 + bytes + (bytes % 2);
  }
  return null;
}

function cuttable(format, begin, bytes) {
  if (!format || format.byteLength < 16 || !FIXED.includes(format.getUint16(0, true))) return null;
  const [rate, width] = [format.getUint32(4, true), format.getUint16(12, true)];
  return rate && width ? { format: format.buffer, begin, width, rate, frames: Math.floor(bytes / width) } : null;
}
