/** Decodes recordings in a browser. */

const RATE = 48_000; // Hz: loses nothing of a voice

/**
 * Decodes the content of a file, an ArrayBuffer or Blob, with the browser: MP3, M4A, WAV, FLAC, Ogg, Opus, WebM and
 * whatever else it knows. Returns { channels, rate }: a Float32Array for each channel, and their rate in Hz, which is the
 * second argument. 16000 needs a third of the memory of 48000.
 */
export async function decode(content, rate = RATE) {
  const data = content instanceof ArrayBuffer ? content : await content.arrayBuffer();
  const context = new OfflineAudioContext(1, 1, rate);
  const found = await context.decodeAudioData(data);
  const channels = Array.from({ length: found.numberOfChannels }, (_, at) => found.getChannelData(at));
  return { channels, rate: found.sampleRate };
}
