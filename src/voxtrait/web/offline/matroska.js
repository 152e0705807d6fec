/** Finds the packets of WebM and Matroska files with Opus, so that they can be cut. */

import { opusOf, Packets } from "./ogg.js";
import { reader, starting, view } from "./reading.js";

const RATE = 48_000; // Hz
const MOST = 2 ** 21; // elements of a file: ten hours of packets of 20 ms
const LARGEST = 2 ** 20; // bytes of the description of the tracks
const [FILE, SEGMENT, CLUSTER, GROUP] = [0x1a45dfa3, 0x18538067, 0x1f43b675, 0xa0];
const [TRACKS, TRACK, NUMBER, KIND, CODEC, PRIVATE, CODED] = [0x1654ae6b, 0xae, 0xd7, 0x83, 0x86, 0x63a2, 0x6d80];
const [BLOCK, SIMPLE, SPARE] = [0xa1, 0xa3, 0x75a2];
const SOUND = 2; // kind of a track
const LACED = 6; // bits of a block with several packets

/**
 * Reads a WebM or Matroska file, a Blob. Returns null for other files, and for those whose sound is not one track of
 * Opus with packets of one length; else what `pieces` needs, see there.
 */
export async function matroskaOf(file) {
  const at = reader(file);
  const packets = new Packets();
  let [track, after, place] = [null, 0, 0];
  for (let count = 0; place < file.size; count += 1) {
    const element = elementIn(await at(place, 12));
    if (!element || (element.id === FILE) !== (count === 0) || count === MOST) return null;
    place += element.begin;
    if ([SEGMENT, CLUSTER, GROUP].includes(element.id)) continue; // what is in it follows; some have no known size
    if (place + element.size > file.size) return null; // also without a known size
    if (element.id === TRACKS) {
      track = element.size <= LARGEST && !track ? trackIn((await at(place, element.size)).slice()) : null;
      if (!track) return null;
    }
    if (element.id === SPARE) {
      const time = (await at(place, element.size)).reduce((sum, byte) => sum * 256 + byte, 0); // ns; huge if negative
      after += Math.round((time * RATE) / 1e9);
    }
    if (element.id === BLOCK || element.id === SIMPLE) {
      const head = await at(place, Math.min(element.size, 6));
      if (!track || head[0] < 128) return null;
      const own = head[0] === track.number + 128;
      if (own && (after || head[3] & LACED || !packets.add(place + 4, element.size - 4, head.subarray(4)))) return null;
    }
    place += element.size;
  }
  return track && opusOf(at, track.head, packets, after);
}

/** The name and the size of an element, Infinity if it is not known, and where its content begins. */
function elementIn(bytes) {
  const named = Math.clz32(bytes[0]) - 23; // bytes of the name
  const sized = Math.clz32(bytes[named]) - 23;
  if (!(bytes.length >= named + sized) || named > 4 || sized > 8) return null;
  const value = (part, begin) => part.reduce((sum, byte) => sum * 256 + byte, begin);
  const rest = bytes.subarray(named + 1, named + sized);
  const high = bytes[named] & (255 >> sized);
  const unknown = high === 255 >> sized && rest.every((byte) => byte === 255);
  return { id: value(bytes.subarray(0, named), 0), size: unknown ? Infinity : value(rest, high), begin: named + sized };
}

function contents(bytes) {
  const found = [];
  for (let at = 0; at < bytes.length; ) {
    const element = elementIn(bytes.subarray(at, at + 12));
    if (!element || !(at + element.begin + element.size <= bytes.length)) return [];
    found.push([element.id, bytes.subarray(at + element.begin, at + element.begin + element.size)]);
    at += element.begin + element.size;
  }
  return found;
}

/** The number of the track with sound, and the head of its stream; null if there is not one such track of Opus. */
function trackIn(bytes) {
  const tracks = contents(bytes).filter(([id]) => id === TRACK).map(([, content]) => new Map(contents(content)));
  const sounds = tracks.filter((one) => one.get(KIND)?.at(-1) === SOUND);
  if (sounds.length !== 1) return null;
  const [codec, head, number] = [CODEC, PRIVATE, NUMBER].map((id) => sounds[0].get(id) ?? new Uint8Array(0));
  const fits = starting(codec, "A_OPUS") && codec.length === 6 && number.length === 1 && number[0] < 128;
  return fits && !sounds[0].has(CODED) ? { number: number[0], head } : null;
}
