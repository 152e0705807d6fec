/** Mixes channels to mono, by the rules of voxtrait.audio.mixing; tests hold both together. */

const INVERTED = -0.5; // a channel with a lower correlation with the loudest was inverted, by a cable or a mixer
const FRAMES = 400; // frames for measuring levels
const LEAST_FRAMES = 40; // minimum frames before a channel is left out
const FRAME = 480; // samples of a frame
const STEADY_DB = 4; // maximum range of levels (10th to 90th percentile) of hiss or hum
const LIVELY_DB = 12; // minimum range of levels of speech
const QUIETEST = 1e-10; // mean square that counts as silence

/** Averages the channels of a recording while it is read. */
export class Mixer {
  #products = null; // channels × channels, summed over all samples so far
  #levels = []; // dB of each channel in the first frames

  /** Mixes the next samples: an array of Float32Arrays of one length → one Float32Array. */
  mix(channels) {
    if (channels.length === 1 || !channels[0].length) return channels[0];
    this.#measure(channels);
    const weights = this.#weights();
    const total = weights.reduce((sum, weight) => sum + Math.abs(weight), 0);
    return channels[0].map((_, at) => channels.reduce((sum, channel, k) => sum + weights[k] * channel[at], 0) / total);
  }

  #measure(channels) {
    const length = channels[0].length;
    const means = channels.map((channel) => channel.reduce((sum, one) => sum + one, 0) / length);
    this.#products ??= channels.map(() => channels.map(() => 0));
    for (let i = 0; i < channels.length; i += 1) {
      for (let j = i; j < channels.length; j += 1) {
        let sum = 0;
        for (let at = 0; at < length; at += 1) sum += (channels[i][at] - means[i]) * (channels[j][at] - means[j]);
        this.#products[i][j] += sum;
        if (i !== j) this.#products[j][i] += sum;
      }
    }
    const size = Math.min(FRAME, length);
    for (let at = 0; at <= length - size && this.#levels.length < FRAMES; at += Math.max(size, Math.floor(length / FRAMES))) {
      this.#levels.push(
        channels.map((channel, k) => {
          let sum = 0;
          for (let n = at; n < at + size; n += 1) sum += (channel[n] - means[k]) ** 2;
          return 10 * Math.log10(Math.max(sum / size, QUIETEST));
        }),
      );
    }
  }

  /** Returns the weight of each channel: 1, or -1 if it is inverted, or 0 if it is left out. */
  #weights() {
    const products = this.#products;
    const powers = products.map((row, k) => row[k]);
    const most = Math.max(...powers);
    if (!(most > 0 && most < Infinity)) return powers.map(() => 1);
    const reference = powers.indexOf(most);
    let weights = powers.map((power, k) => (power > 0 && products[reference][k] / Math.sqrt(power * most) < INVERTED ? -1 : 1));
    weights = weights.map((weight) => weight * weights[0]); // the first channel keeps its sign
    if (this.#levels.length < LEAST_FRAMES) return weights;
    const ranges = powers.map((_, k) => {
      const sorted = this.#levels.map((levels) => levels[k]).sort((a, b) => a - b);
      return percentile(sorted, 90) - percentile(sorted, 10);
    });
    const noisy = ranges.map((range, k) => range < STEADY_DB && powers[k] > 0);
    const liveliest = Math.max(0, ...ranges.filter((_, k) => !noisy[k]));
    return noisy.includes(true) && liveliest >= LIVELY_DB ? weights.map((weight, k) => (noisy[k] ? 0 : weight)) : weights;
  }
}

function percentile(sorted, share) {
  const place = ((sorted.length - 1) * share) / 100;
  const low = Math.floor(place);
  return sorted[low] + (place - low) * (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]);
}
