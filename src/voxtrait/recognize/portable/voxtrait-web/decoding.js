/** Decodes recordings in a browser. */

const RATE = 48_000; // Hz: loses nothing of a voice
const LOWEST = 8000; // Hz, of every browser's decoder
const HIGHEST = 96_000;
const BEGINNING = 4096; // bytes in which a header is looked for
const MPEG = [44_100, 48_000, 32_000]; // Hz, by the bits of a frame's header

/**
 * Decodes the content of a file, an ArrayBuffer or Blob, with the browser: MP3, M4A, WAV, FLAC, Ogg, Opus, WebM and
 * whatever else it knows. Returns { channels, rate }: a Float32Array for each channel, and their rate in Hz, which is the
 * second argument. By default it is the file's own rate, or 48000. 16000 needs a third of the memory of 48000.
 */
export async function decode(content, rate) {
  const data = content instanceof ArrayBuffer ? content : await content.arrayBuffer();
  const context = new OfflineAudioContext(1, 1, rate ?? ownRate(data));
  const found = await context.decodeAudioData(data);
  const channels = Array.from({ length: found.numberOfChannels }, (_, at) => found.getChannelData(at));
  return { channels, rate: found.sampleRate };
}

/**
 * The rate in the header of a WAV, FLAC, Ogg Vorbis or MP3 file, in Hz; 48000 for others. A browser that decodes to
 * another rate resamples, and the filter of Chromium removes the highest sounds of a recording of 16 kHz.
 */
export function ownRate(data) {
  const bytes = new Uint8Array(data);
  const text = new TextDecoder("latin1").decode(bytes.subarray(0, BEGINNING));
  const found = [wav, flac, vorbis, mpeg].map((kind) => kind(bytes, text)).find((rate) => rate);
  return found >= LOWEST && found <= HIGHEST ? found : RATE;
}

const little = (bytes, at) => bytes[at] + 256 * (bytes[at + 1] + 256 * (bytes[at + 2] + 256 * bytes[at + 3]));

function wav(bytes, text) {
  const at = text.indexOf("fmt ");
  return text.startsWith("RIFF") && at > 0 && little(bytes, at + 12);
}

function flac(bytes, text) {
  return text.startsWith("fLaC") && bytes[18] * 4096 + bytes[19] * 16 + (bytes[20] >> 4);
}

function vorbis(bytes, text) {
  const at = text.indexOf("\x01vorbis");
  return text.startsWith("OggS") && at > 0 && little(bytes, at + 12);
}

function mpeg(bytes, text) {
  const tag = text.startsWith("ID3") ? 10 + [6, 7, 8, 9].reduce((size, at) => size * 128 + bytes[at], 0) : 0;
  const [first, second, third] = bytes.subarray(tag, tag + 3);
  const version = (second >> 3) & 3; // 3 is MPEG 1; 2 has half of its rates, and 0 a quarter
  const layer = (second >> 1) & 3;
  if (first !== 0xff || second < 0xe0 || version === 1 || layer === 0) return 0;
  return MPEG[(third >> 2) & 3] / [4, 0, 2, 1][version];
}
