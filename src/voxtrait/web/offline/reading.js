/** Reads files in parts, joins bytes, and frees them. */

const READ = 2 ** 20; // bytes read at a time
const MOST_TAGS = 100;

const { port1: nowhere, port2: closed } = new MessageChannel();
closed.close();

/** Frees the memory of arrays. Browsers would keep hundreds of megabytes before they collect what is no longer used. */
export const free = (arrays) => nowhere.postMessage(null, arrays.map(({ buffer }) => buffer));

/** Returns a function that gives `count` bytes of a file, a Blob, from a place on, until the next call; fewer at its end. */
export function reader(file) {
  let [from, part] = [0, new Uint8Array(0)];
  return async (place, count) => {
    const stop = Math.min(place + count, file.size);
    if (place < from || stop > from + part.length) {
      free([part]);
      part = new Uint8Array(await file.slice(place, place + Math.max(READ, count)).arrayBuffer());
      from = place;
    }
    return part.subarray(place - from, place - from + count);
  };
}

/** Joins arrays of bytes. */
export function joined(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export const view = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export const starting = (bytes, text, at = 0) => [...text].every((letter, place) => bytes[at + place] === letter.charCodeAt(0));

/** Where the content begins: after tags of the kind ID3, which may be long. */
export async function afterTags(at) {
  let place = 0;
  for (let count = 0; count < MOST_TAGS; count += 1) {
    const bytes = await at(place, 10);
    if (!starting(bytes, "ID3")) break;
    const footer = bytes[5] & 16 ? 10 : 0;
    place += 10 + footer + [6, 7, 8, 9].reduce((size, byte) => size * 128 + bytes[byte], 0);
  }
  return place;
}

/** Copies of the bytes of some frames. */
export async function copies(at, { starts, sizes }, start, stop) {
  const found = [];
  for (let number = start; number < stop; number += 1) found.push((await at(starts[number], sizes[number])).slice());
  return found;
}
