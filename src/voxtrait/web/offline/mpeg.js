/** Finds the frames of MP3 files, so that they can be cut. */

import { afterTags, reader, starting, view } from "./reading.js";

const KBPS = [ // by the bits of a header: MPEG 1, and MPEG 2 and 2.5
  [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
  [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];
const RATES = [44_100, 48_000, 32_000]; // Hz, of MPEG 1
const SHARES = [4, 0, 2, 1]; // MPEG 2.5 has a quarter of these rates, and MPEG 2 half
const LATE = 529; // samples by which decoders are late
const NEEDED = 200; // bytes of a frame that are looked at

/**
 * Reads the headers of an MP3 file, a Blob. Returns null for other files, and for those that are not frame after frame of
 * one kind; else { rate, samples, starts, before, after }: the rate in Hz, the samples of a frame, the bytes at which
 * frames with sound begin and, as the last number, at which the sound ends, and how many samples the encoder added.
 */
export async function framesOf(file) {
  const read = reader(file);
  const at = (place) => read(place, NEEDED);
  let place = await afterTags(at);
  let [kind, facts] = [null, null];
  const starts = [];
  for (let bytes = await at(place), frame; (frame = header(bytes)); bytes = await at(place)) {
    if (!kind) {
      kind = frame;
      facts = factsIn(bytes, frame);
    }
    if (["rate", "samples", "mono"].some((name) => frame[name] !== kind[name])) return null;
    starts.push(place);
    place += frame.size;
  }
  if (!kind || (await end(at, place)) !== file.size) return null; // also if the last frame is cut
  if (facts) starts.shift();
  const { count = 0, before = 0, after = 0 } = facts ?? {};
  if (!starts.length || (count && count !== starts.length)) return null; // such as two files in one
  return { rate: kind.rate, samples: kind.samples, starts: [...starts, place], before, after };
}

function header(bytes) {
  const [first, second, third, fourth] = bytes;
  if (bytes.length < 4 || first !== 0xff || second < 0xe0) return null;
  const [version, layer] = [(second >> 3) & 3, (second >> 1) & 3];
  const low = version === 3 ? 0 : 1;
  const [kbps, rate] = [KBPS[low][(third >> 4) - 1], RATES[(third >> 2) & 3] / SHARES[version]];
  if (version === 1 || layer !== 1 || !kbps || !rate) return null; // layer 1 is III; no kbps: a format of its own
  const samples = low ? 576 : 1152;
  const size = Math.floor((samples / 8) * 1000 * kbps / rate) + ((third >> 1) & 1);
  return { rate, samples, size, mono: fourth >> 6 === 3 };
}

/** What the first frame says about the file: the number of frames, and the samples that the encoder added. */
function factsIn(bytes, { samples, mono }) {
  if (starting(bytes.subarray(36), "VBRI")) return {};
  const side = samples === 1152 ? (mono ? 17 : 32) : mono ? 9 : 17;
  const facts = bytes.subarray(4 + side);
  if (!["Xing", "Info"].some((name) => starting(facts, name))) return null;
  const sizes = [4, 4, 100, 4].map((size, bit) => (facts[7] & (1 << bit) ? size : 0));
  const encoder = 8 + sizes.reduce((sum, size) => sum + size, 0);
  const [high, middle, low] = facts.subarray(encoder + 21);
  const count = sizes[0] ? view(facts).getUint32(8) : 0;
  return { count, before: LATE + (high << 4) + (middle >> 4), after: Math.max(0, ((middle & 15) << 8) + low - LATE) };
}

/** Where the tags end that follow the sound. */
async function end(at, place) {
  const bytes = await at(place);
  if (starting(bytes, "TAG")) return end(at, place + 128);
  if (starting(bytes, "APETAGEX")) return end(at, place + 32 + view(bytes).getUint32(12, true));
  return place;
}
