/** Finds the frames of FLAC files, so that they can be cut. */

import { afterTags, free, joined, reader, starting, view } from "./reading.js";

const HEADER = 16; // maximum bytes of the header of a frame
const READ = 2 ** 20; // bytes searched at a time
const MOST_BLOCKS = 1000; // with facts about the file
const LONGEST_REST = 2 ** 24; // bytes of the last frame and of tags

/**
 * Reads a FLAC file, a Blob. Returns null for other files, and for those whose frames have several lengths or are not
 * found; else what `pieces` needs, see there.
 */
export async function flacOf(file) {
  const at = reader(file);
  let place = await afterTags(at);
  if (!starting(await at(place, 4), "fLaC")) return null;
  place += 4;
  let info = null;
  for (let [count, final] = [0, false]; !final; count += 1) {
    const head = await at(place, 4);
    const bytes = head[1] * 65_536 + head[2] * 256 + head[3];
    if (head.length < 4 || count > MOST_BLOCKS || (count === 0 && bytes !== 34)) return null;
    info ??= (await at(place + 4, bytes)).slice();
    final = head[0] > 127;
    place += 4 + bytes;
  }
  const facts = view(info);
  const [size, rate] = [facts.getUint16(0), facts.getUint32(10) >>> 12];
  const total = (info[13] & 15) * 2 ** 32 + facts.getUint32(14);
  if (!size || size !== facts.getUint16(2) || !rate || !total) return null;
  const starts = await framesOf(at, place, Math.ceil(total / size), file.size);
  if (!starts || (await isFollowed(file.slice(starts.at(-2))))) return null;
  info.fill(0, 18); // no checksum of all samples, and below the number of samples of a piece
  info[13] &= 240;

  /** A file with some of the frames. */
  async function content(start, stop) {
    const frames = new Uint8Array(await file.slice(starts[start], starts[stop]).arrayBuffer());
    facts.setUint32(14, Math.min(stop * size, total) - start * size);
    const whole = joined([Uint8Array.of(0x66, 0x4c, 0x61, 0x43, 0x80, 0, 0, 34), info, frames]);
    free([frames]);
    return whole.buffer;
  }
  return { rate, size, length: total, count: starts.length - 1, before: 0, lead: 0, content };
}

/** Finds the bytes at which frames begin and, as the last number, at which they end; null if one is missing. */
async function framesOf(at, place, count, end) {
  const starts = [];
  while (starts.length < count) {
    const bytes = await at(place, READ);
    const last = place + bytes.length >= end;
    let next = 0;
    while (starts.length < count) {
      next = bytes.indexOf(0xff, next);
      if (next < 0) next = bytes.length;
      if (!last && next > bytes.length - HEADER) break;
      if (next >= bytes.length) return null;
      if (isFrame(bytes.subarray(next, next + HEADER), starts.length)) starts.push(place + next);
      next += 1;
    }
    place += next;
  }
  return [...starts, end];
}

/** Whether another file follows, or more than a tag. The first argument begins with the last frame. */
async function isFollowed(rest) {
  return rest.size > LONGEST_REST || new TextDecoder("latin1").decode(await rest.arrayBuffer()).includes("fLaC");
}

/** Whether bytes are the header of the frame with this number: also its checksum must be right. */
function isFrame(bytes, number) {
  if (bytes[1] !== 0xf8 || bytes[3] & 1) return false; // f8: all frames have one length
  const more = bytes[4] < 128 ? 0 : Math.clz32(~(bytes[4] << 24)) - 1;
  let found = more ? bytes[4] & (63 >> more) : bytes[4];
  for (let k = 1; k <= more; k += 1) found = found * 64 + (bytes[4 + k] & 63);
  const [length, rate] = [bytes[2] >> 4, bytes[2] & 15];
  const end = 5 + more + (length === 6 ? 1 : length === 7 ? 2 : 0) + (rate === 12 ? 1 : rate === 13 || rate === 14 ? 2 : 0);
  return found === number && end < bytes.length && checksum(bytes.subarray(0, end)) === bytes[end];
}

function checksum(bytes) {
  let sum = 0;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit += 1) sum = (sum << 1) ^ (sum & 128 ? 0x107 : 0);
  }
  return sum;
}
