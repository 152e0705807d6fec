/** Finds the samples of WAV files, so that they can be cut. */

import { free } from "./reading.js";

const EXTENSIBLE = 0xfffe;
const FIXED = [1, 3, 6, 7, EXTENSIBLE]; // formats in which each sample has its own bytes: PCM, floats, A-law, …
const READERS = { // by format and bits
  1: {
    8: (data, at) => (data.getUint8(at) - 128) / 2 ** 7,
    16: (data, at) => data.getInt16(at, true) / 2 ** 15,
    24: (data, at) => ((data.getInt8(at + 2) << 16) | data.getUint16(at, true)) / 2 ** 23,
    32: (data, at) => data.getInt32(at, true) / 2 ** 31,
  },
  3: {
    32: (data, at) => data.getFloat32(at, true),
    64: (data, at) => data.getFloat64(at, true),
  },
};
const MOST_CHUNKS = 1000; // before the samples
const LONGEST = 1000; // bytes of a format

/**
 * Reads the header of a WAV file, a Blob. Returns null for other files, and for those whose samples cannot be cut; else
 * what `pieces` needs, see there. A frame is a sample of each channel.
 */
export async function wavOf(file) {
  const read = async (start, stop) => new DataView(await file.slice(start, stop).arrayBuffer());
  const text = (view, at) => String.fromCharCode(...new Uint8Array(view.buffer, at, 4));
  const head = await read(0, 12);
  if (text(head, 0) !== "RIFF" || text(head, 8) !== "WAVE") return null;
  let format = null;
  for (let [at, count] = [12, 0]; at + 8 <= file.size && count < MOST_CHUNKS; count += 1) {
    const chunk = await read(at, at + 8);
    const [name, bytes] = [text(chunk, 0), chunk.getUint32(4, true)];
    if (name === "fmt ") format = await read(at + 8, at + 8 + Math.min(bytes, LONGEST));
    if (name === "data") return cuttable(file, format, at + 8, Math.min(bytes || Infinity, file.size - at - 8)); // 0 from a stream
    at += 8 + bytes + (bytes % 2);
  }
  return null;
}

function cuttable(file, format, begin, bytes) {
  if (!format || format.byteLength < 16 || !FIXED.includes(format.getUint16(0, true))) return null;
  const [rate, width] = [format.getUint32(4, true), format.getUint16(12, true)];
  const count = Math.floor(bytes / width);
  const size = (found) => Uint32Array.of(found); // WAV files and all processors of browsers have the lowest byte first
  const part = (start, stop) => file.slice(begin + start * width, begin + stop * width);

  /** A file with some of the samples. */
  async function content(start, stop) {
    const own = part(start, stop);
    return new Blob(["RIFF", size(20 + format.byteLength + own.size), "WAVEfmt ", size(format.byteLength), format, "data", size(own.size), own]);
  }

  const read = readerOf(format);

  /** Some of the samples of each channel. */
  async function samples(start, stop) {
    const data = new DataView(await part(start, stop).arrayBuffer());
    const channels = Array.from({ length: width / read.bytes }, () => new Float32Array(stop - start));
    channels.forEach((channel, at) => {
      for (let n = 0, place = at * read.bytes; n < channel.length; n += 1, place += width) channel[n] = read.sample(data, place);
    });
    free([data]);
    return channels;
  }
  return rate && count ? { rate, size: 1, length: count, count, before: 0, lead: 0, content, samples: read && samples } : null;
}

/** How samples of a format are read: their bytes, and a function; null for formats that only the browser knows. */
function readerOf(format) {
  const [kind, channels, width, bits] = [0, 2, 12, 14].map((at) => format.getUint16(at, true));
  const plain = kind === EXTENSIBLE && format.byteLength >= 26 ? format.getUint16(24, true) : kind;
  const sample = READERS[plain]?.[bits];
  return sample && channels * bits === 8 * width ? { bytes: bits / 8, sample } : null;
}
