/** Finds the packets of Ogg files with Opus, so that they can be cut, and writes packets of Opus as an Ogg file. */

import { copies, joined, reader, starting, view } from "./reading.js";

const RATE = 48_000; // Hz, of every decoder of Opus
const LEAD_S = 0.5; // seconds before a piece: a decoder that begins in the middle needs 80 ms
const MOST_PAGES = 2 ** 18; // three days of pages of a second
const PAGE = 27; // bytes of a page before the lengths of its packets
const [CONTINUED, BEGINNING, END] = [1, 2, 4]; // bits of a page
const [SPEECH, BOTH, MUSIC] = [[480, 960, 1920, 2880], [480, 960, 480, 960], [120, 240, 480, 960]]; // samples of a frame
const POLYNOMIAL = 0x04c11db7;

const SUMS = Uint32Array.from({ length: 256 }, (_, byte) => {
  let sum = byte << 24;
  for (let bit = 0; bit < 8; bit += 1) sum = (sum << 1) ^ (sum < 0 ? POLYNOMIAL : 0);
  return sum;
});

/**
 * Reads an Ogg file, a Blob. Returns null for other files, and for those that are not one stream of Opus, with whole
 * packets of one length in each page; else what `pieces` needs, see there.
 */
export async function oggOf(file) {
  const at = reader(file);
  const packets = new Packets();
  let [head, serial, tagged, total] = [null, 0, false, 0];
  let [place, final] = [0, false];
  for (let number = 0; place < file.size; number += 1) {
    const page = await pageOf(at, place);
    serial = number ? serial : page?.serial;
    if (!page || page.end > file.size || final || page.serial !== serial || !page.packets.length || number === MOST_PAGES) return null;
    place = page.end;
    final = Boolean(page.flags & END);
    if (number === 0) head = (await at(...page.packets[0])).slice();
    else if (!tagged) tagged = page.whole;
    else {
      const earlier = packets.total;
      if (page.flags & CONTINUED || !page.whole) return null;
      for (const [begin, bytes] of page.packets) {
        if (!packets.add(begin, bytes, await at(begin, Math.min(bytes, 2)))) return null;
      }
      total = page.granule;
      if (total > packets.total || total <= earlier || (total < packets.total && !final)) return null;
    }
    if (!tagged && final) return null;
  }
  return head && opusOf(at, head, packets, packets.total - total);
}

async function pageOf(at, place) {
  const bytes = await at(place, PAGE + 255);
  const lengths = bytes.subarray(PAGE, PAGE + bytes[26]);
  if (bytes.length < PAGE + bytes[26] || !starting(bytes, "OggS\0")) return null;
  const facts = view(bytes);
  const packets = [];
  let [begin, end] = [place + PAGE + lengths.length, place + PAGE + lengths.length];
  for (const length of lengths) {
    end += length;
    if (length === 255) continue;
    packets.push([begin, end - begin]);
    begin = end;
  }
  if (begin < end) packets.push([begin, end - begin]);
  const granule = facts.getUint32(6, true) + facts.getUint32(10, true) * 2 ** 32;
  return { flags: bytes[5], serial: facts.getUint32(14, true), granule, packets, whole: lengths.at(-1) < 255, end };
}

/** The places of packets of Opus. All have the same length, but for the last one. */
export class Packets {
  starts = [];
  sizes = [];
  samples = 0; // of each packet
  total = 0; // samples of all

  /** Adds a packet, from its place and its first bytes; returns false if its length does not fit. */
  add(place, bytes, beginning) {
    const samples = beginning.length ? samplesOf(beginning) : 0;
    this.samples ||= samples;
    if (!samples || samples > this.samples || this.total < this.starts.length * this.samples) return false;
    this.starts.push(place);
    this.sizes.push(bytes);
    this.total += samples;
    return true;
  }
}

function samplesOf([first, second]) {
  const kind = first >> 3;
  const frame = (kind < 12 ? SPEECH : kind < 16 ? BOTH : MUSIC)[kind & 3];
  return frame * ((first & 3) === 0 ? 1 : (first & 3) < 3 ? 2 : second & 63);
}

/** What `pieces` needs of packets of Opus, and null if they cannot be cut: see there. */
export function opusOf(at, head, packets, after) {
  if (head.length !== 19 || !starting(head, "OpusHead") || head[18] !== 0) return null; // 18: more than two channels
  const [count, size] = [packets.starts.length, packets.samples];
  const before = view(head).getUint16(10, true);
  const length = packets.total - before - after;
  const opened = head.slice().fill(0, 10, 12); // no samples are left out
  const content = async (start, stop) => written(opened, await copies(at, packets, start, stop), size);
  return length > 0 ? { rate: RATE, size, length, count, before, lead: Math.ceil((LEAD_S * RATE) / size), content } : null;
}

/** Writes packets of Opus as an Ogg file, a page for each. */
function written(head, packets, samples) {
  const tags = new Uint8Array(16); // no names
  tags.set([..."OpusTags"].map((letter) => letter.charCodeAt(0)));
  return joined(
    [head, tags, ...packets].flatMap((packet, number, { length }) => {
      const flags = number === 0 ? BEGINNING : number === length - 1 ? END : 0;
      return [header(packet, flags, number, Math.max(0, number - 1) * samples), packet];
    }),
  ).buffer;
}

function header(packet, flags, number, granule) {
  const count = Math.floor(packet.length / 255) + 1; // parts of 255 bytes, and a shorter one
  const bytes = new Uint8Array(PAGE + count);
  const facts = view(bytes);
  facts.setUint32(0, 0x4f676753); // OggS
  bytes[5] = flags;
  facts.setUint32(6, granule, true);
  facts.setUint32(14, 1, true); // number of the stream
  facts.setUint32(18, number, true);
  bytes[26] = count;
  bytes.fill(255, PAGE);
  bytes[PAGE + count - 1] = packet.length % 255;
  facts.setUint32(22, checksum(packet, checksum(bytes, 0)), true);
  return bytes;
}

const checksum = (bytes, sum) => bytes.reduce((found, byte) => (found << 8) ^ SUMS[(found >>> 24) ^ byte], sum);
