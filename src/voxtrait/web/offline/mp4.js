/** Finds the frames of MP4 files (M4A) with AAC, so that they can be cut. */

import { copies, joined, reader, starting, view } from "./reading.js";

const SIZE = 1024; // samples of a frame
const RATES = [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8000]; // Hz
const LEAD = 2; // frames before those of a piece: each one overlaps with the next
const MOST_BOXES = 1000; // before the tables
const LARGEST = 2 ** 25; // bytes of the tables
const MOST_FRAMES = 2 ** 20; // more than six hours of 48 kHz
const LONGEST = 8184; // bytes of a frame

/**
 * Reads the tables of an MP4 file, a Blob. Returns null for other files, and for those that do not have one track of
 * sound, AAC-LC in one edit; else what `pieces` needs, see there.
 */
export async function mp4Of(file) {
  const at = reader(file);
  const moov = await moovOf(at);
  if (!moov || inside(moov, "mvex").length) return null; // mvex: the tables are spread over the file
  const tracks = inside(moov, "trak").filter((one) => starting(first(one, "mdia", "hdlr"), "soun", 8));
  if (tracks.length !== 1) return null;
  const [track] = tracks;
  const tables = first(track, "mdia", "minf", "stbl");
  const coding = codingOf(first(tables, "stsd"));
  const rate = rateOf(first(track, "mdia", "mdhd"));
  if (!coding || rate !== coding.rate) return null; // else the lengths of frames are not in samples
  const edit = editOf(inside(track, "edts").flatMap((edits) => inside(edits, "elst")), moov);
  const frames = framesIn(tables, file.size);
  const last = lastOf(view(first(tables, "stts")));
  if (!edit || !frames || !last) return null;
  // decoders play whole frames up to the end of an edit, and the last frame of the file as far as it has a length
  const [all, { before }] = [frames.starts.length, edit];
  const count = Math.min(all, Math.ceil((before + Math.round(edit.seconds * rate)) / SIZE));
  const length = (count - 1) * SIZE + (count === all ? last : SIZE) - before;
  if (!(length > 0)) return null;

  /** A file of the kind ADTS with some of the frames. */
  async function content(start, stop) {
    const found = await copies(at, frames, start, stop);
    return joined(found.flatMap((frame) => [adts(frame.length, coding), frame])).buffer;
  }
  return { rate, size: SIZE, length, count, before, lead: LEAD, content };
}

/** The box with the tables. */
async function moovOf(at) {
  for (let [count, place] = [0, 0]; count < MOST_BOXES; count += 1) {
    const head = await at(place, 16);
    if (head.length < 16 || (count === 0 && !starting(head, "ftyp", 4))) return null;
    const facts = view(head);
    const short = facts.getUint32(0);
    const bytes = short === 1 ? facts.getUint32(8) * 2 ** 32 + facts.getUint32(12) : short;
    if (bytes < 8) return null; // also 0, up to the end of the file
    if (starting(head, "moov", 4)) return bytes <= LARGEST && short > 1 ? (await at(place + 8, bytes - 8)).slice() : null;
    place += bytes;
  }
  return null;
}

/** The contents of boxes of one name in a box. */
function inside(box, name) {
  const found = [];
  for (let at = 0; at + 8 <= box.length; ) {
    const bytes = view(box).getUint32(at);
    if (bytes < 8) break;
    if (starting(box, name, at + 4)) found.push(box.subarray(at + 8, at + bytes));
    at += bytes;
  }
  return found;
}

/** The content of a box in a box in a box; empty if there is none. */
const first = (box, ...names) => names.reduce((outer, name) => inside(outer, name)[0] ?? new Uint8Array(0), box);

/** What the header of each frame needs, from the description of the coding; null for others than AAC-LC. */
function codingOf(stsd) {
  const entry = first(stsd.subarray(8), "mp4a");
  if (view(stsd).getUint32(4) !== 1 || view(entry).getUint16(8) !== 0) return null;
  const stream = descriptor(first(entry.subarray(28), "esds").subarray(4), 3);
  const config = descriptor(stream.subarray(3), 4);
  const aac = descriptor(config.subarray(13), 5);
  const [one, two, three, four, five] = aac;
  const [kind, place, channels] = [one >> 3, (one & 7) * 2 + (two >> 7), (two >> 3) & 15];
  const doubled = three === 0x56 && four === 0xe5 && five > 127; // the decoder doubles the rate
  if (stream[2] & 0xe0 || config[0] !== 0x40 || kind !== 2 || two & 7 || channels < 1 || channels > 7 || doubled) return null;
  return RATES[place] ? { rate: RATES[place], place, channels } : null;
}

/** The content of a descriptor of one kind, and what follows; empty for others. */
function descriptor(bytes, kind) {
  if (bytes[0] !== kind) return bytes.subarray(bytes.length);
  let at = 1;
  while (bytes[at] > 127) at += 1;
  return bytes.subarray(at + 1);
}

const rateOf = (header) => view(header).getUint32(header[0] ? 20 : 12); // 1 in the first byte: wide numbers

/** The length of the last frame in samples; null if others have not all of them. */
function lastOf(stts) {
  const count = stts.getUint32(4);
  const last = stts.getUint32(4 + 8 * count);
  const even = count === 1 || (count === 2 && stts.getUint32(12) === SIZE && stts.getUint32(16) === 1);
  return even && (count === 2 || last === SIZE) && last <= SIZE ? last : null;
}

/** Where each frame begins, and its bytes; null if some are not in the file. */
function framesIn(tables, end) {
  const [stsz, stsc, stco, co64] = ["stsz", "stsc", "stco", "co64"].map((name) => view(first(tables, name)));
  const [equal, count] = [stsz.getUint32(4), stsz.getUint32(8)];
  const wide = co64.byteLength > 0;
  const chunks = (wide ? co64 : stco).getUint32(4);
  const runs = stsc.getUint32(4);
  const [starts, sizes] = [[], []];
  if (count > MOST_FRAMES) return null;
  for (let [chunk, run] = [0, 0]; chunk < chunks; chunk += 1) {
    if (run + 1 < runs && stsc.getUint32(8 + 12 * (run + 1)) === chunk + 1) run += 1;
    let place = wide ? co64.getUint32(8 + 8 * chunk) * 2 ** 32 + co64.getUint32(12 + 8 * chunk) : stco.getUint32(8 + 4 * chunk);
    for (let left = stsc.getUint32(12 + 12 * run); left > 0; left -= 1) {
      if (starts.length === count) return null;
      const bytes = equal || stsz.getUint32(12 + 4 * starts.length);
      if (!bytes || bytes > LONGEST || place + bytes > end) return null;
      starts.push(place);
      sizes.push(bytes);
      place += bytes;
    }
  }
  return count && starts.length === count ? { starts, sizes } : null;
}

/** How many samples at the beginning are not played, and how many seconds are; null if this is not known. */
function editOf(lists, moov) {
  const named = new TextDecoder("latin1").decode(moov).includes("iTunSMPB"); // the same numbers as text
  if (!lists.length) return named ? null : { before: 0, seconds: Infinity };
  const facts = view(lists[0]);
  const [long, late] = facts.getUint8(0) ? [12, 20] : [8, 12]; // the lower halves of wide numbers
  const seconds = facts.getUint32(long) / rateOf(first(moov, "mvhd"));
  const before = facts.getInt32(late);
  const plain = lists.length === 1 && facts.getUint32(4) === 1 && facts.getUint32(facts.byteLength - 4) === 0x10000;
  return plain && before >= 0 && seconds > 0 ? { before, seconds } : null;
}

/** The header of a frame in a file of the kind ADTS. */
function adts(bytes, { place, channels }) {
  const whole = bytes + 7;
  return Uint8Array.of(0xff, 0xf1, 0x40 | (place << 2) | (channels >> 2), ((channels & 3) << 6) | (whole >> 11), whole >> 3, ((whole & 7) << 5) | 31, 0xfc);
}
