/** Decodes recordings in a browser. */

const RATE = 48_000; // Hz: browsers decode to a rate that is asked for, and this one loses nothing of a voice

/**
 * Decodes the content of a file, an ArrayBuffer or Blob, with the browser: MP3, M4A, WAV, FLAC, Ogg, Opus, WebM and
 * whatever else it knows. Returns { channels, rate }: a Float32Array for each channel, and their rate in Hz.
 */
export async function decode(content) {
  const data = content instanceof ArrayBuffer ? content.slice(0) : await content.arrayBuffer();
  const context = new OfflineAudioContext(1, 1, RATE);
  const found = await context.decodeAudioData(data);
  const channels = Array.from({ length: found.numberOfChannels }, (_, at) => found.getChannelData(at));
  return { channels, rate: found.sampleRate };
}
