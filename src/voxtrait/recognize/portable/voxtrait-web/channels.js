/**
 * Detects whether the channels of a recording hold different people, by the rules of voxtrait.audio.channels; their numbers
 * are in model.json, and tests hold both together.
 */

/** Compares the channels of a recording while it is read. Memory does not grow with its length. */
export class Comparison {
  #rules;
  #size; // samples of a frame
  #rest = null; // samples of an incomplete frame, for each channel
  #loudest;
  #dominated = []; // frames that each channel dominates
  #active = 0; // frames that are not silent

  constructor(rules, rate) {
    this.#rules = rules;
    this.#size = Math.max(1, Math.round(rules.frame_s * rate));
    this.#loudest = rules.quietest;
  }

  /** Processes the next samples: a Float32Array for each channel. */
  feed(channels) {
    if (channels.length === 1) return;
    const parts = channels.map((channel, k) => {
      if (!this.#rest?.[k].length) return channel;
      const part = new Float32Array(this.#rest[k].length + channel.length);
      part.set(this.#rest[k]);
      part.set(channel, this.#rest[k].length);
      return part;
    });
    const whole = parts[0].length - (parts[0].length % this.#size);
    for (let at = 0; at < whole; at += this.#size) this.#count(parts.map((part) => powerOf(part, at, at + this.#size)));
    this.#rest = parts.map((part) => part.slice(whole));
  }

  #count(powers) {
    const { dominant_db: dominant, active_db: active, quietest } = this.#rules;
    const [second, first] = [...powers].sort((a, b) => a - b).slice(-2);
    this.#loudest = Math.max(this.#loudest, first);
    if (!(first > Math.max(quietest, this.#loudest * 10 ** (-active / 10)))) return;
    this.#active += 1;
    const channel = powers.indexOf(first);
    if (first >= second * 10 ** (dominant / 10)) this.#dominated[channel] = (this.#dominated[channel] ?? 0) + 1;
  }

  /** The note on channels that hold different people in the part read so far, or null. */
  get note() {
    const { frame_s: frame, least_s: seconds, least_share: share, message } = this.#rules;
    const least = Math.max(seconds / frame, share * this.#active);
    const differ = this.#dominated.filter((count) => count >= least).length >= 2;
    return differ ? message.replace("{channels}", this.#rest.length) : null;
  }
}

function powerOf(channel, start, stop) {
  let sum = 0;
  for (let at = start; at < stop; at += 1) sum += channel[at] * channel[at];
  return sum / (stop - start);
}
