/**
 * Decides whether one voice or several speak, by the rules of voxtrait.recognize.several; their numbers are in model.json,
 * and tests hold both together.
 */

import { joined } from "./detection.js";

/**
 * Counts voices while a clip is read, stretch by stretch. Memory does not grow with its length. `networks` has the functions
 * `summarise(speech)`, `embed(summary)` and `separate(window)`; `rules` are those of model.json.
 */
export class VoiceCount {
  #networks;
  #rules;
  #rate; // Hz
  #first = null; // the first window of the clip, and its summary
  #voices = null;

  constructor(networks, rules, rate) {
    this.#networks = networks;
    this.#rules = rules;
    this.#rate = rate;
  }

  /** "one" or "several"; null if there was no stretch with two windows. */
  get voices() {
    return this.#voices;
  }

  /** Processes a stretch of speech, and the summaries of its windows. */
  async feed(speech, summaries) {
    if (this.#voices === "several") return;
    const size = Math.floor(speech.length / summaries.length);
    const found = summaries.map((summary, at) => ({ window: speech.subarray(at * size, (at + 1) * size), summary }));
    if (this.#first) found.push(this.#first); // a later stretch may be of another person
    else this.#first = { window: found[0].window.slice(), summary: found[0].summary };
    if (found.length < 2) return;
    const vectors = [];
    for (const { summary } of found) vectors.push(await this.#networks.embed(summary));
    let [one, other, least] = [0, 0, Infinity];
    for (let i = 0; i < vectors.length; i += 1) {
      for (let j = i; j < vectors.length; j += 1) {
        const cosine = product(vectors[i], vectors[j]);
        if (cosine < least) [one, other, least] = [i, j, cosine];
      }
    }
    const differ = least < this.#rules.alike && (await this.#differ([found[one].window, found[other].window], least));
    this.#voices = differ ? "several" : "one";
  }

  /** Returns whether the speakers in two windows differ; `cosine` is that of the windows' embeddings. */
  async #differ(windows, cosine) {
    const { likely, same, slot_bonus: bonus, least_s: least } = this.#rules;
    const alone = [];
    for (const window of windows) alone.push(await this.#alone(window));
    if (cosine >= likely && alone.every((slots) => slots.length <= 1)) return false;
    const pieces = [];
    for (const [place, slots] of alone.entries()) {
      for (const [slot, frames] of slots.entries()) pieces.push(...(await this.#pieces(windows[place], frames, { place, slot })));
    }
    const similarity = pieces.map((one) =>
      pieces.map((other) => {
        const known = one.place !== other.place ? 0 : one.slot === other.slot ? bonus : -bonus;
        return Math.min(product(one.vector, other.vector) + known, 1);
      }),
    );
    const seconds = [];
    for (const [at, group] of merge(similarity, same).entries()) seconds[group] = (seconds[group] ?? 0) + pieces[at].seconds;
    seconds.sort((a, b) => b - a);
    return seconds.length > 1 && seconds[1] >= least;
  }

  /** Returns, for each speaker of a window who speaks alone long enough, these frames. */
  async #alone(window) {
    const { active, frame_samples: hop, shortest_s: shortest } = this.#rules;
    const activity = await this.#networks.separate(window);
    const slots = Array.from(activity[0], () => []);
    for (const [frame, shares] of activity.slice(0, Math.floor(window.length / hop)).entries()) {
      const speaking = [...shares.keys()].filter((slot) => shares[slot] >= active);
      if (speaking.length === 1) slots[speaking[0]].push(frame);
    }
    return slots.filter((frames) => frames.length * (hop / this.#rate) >= shortest);
  }

  /** Returns seconds and embedding of the pieces in which one slot of a window speaks alone. */
  async #pieces(window, frames, origin) {
    const { frame_samples: hop, piece_s: longest } = this.#rules;
    const pieces = [];
    for (const part of divided(frames, Math.ceil((frames.length * (hop / this.#rate)) / longest))) {
      const signal = joined(part.map((frame) => window.subarray(frame * hop, (frame + 1) * hop)));
      const summary = mean(await this.#networks.summarise(signal));
      pieces.push({ ...origin, seconds: signal.length / this.#rate, vector: await this.#networks.embed(summary) });
    }
    return pieces;
  }
}

/**
 * Merges the most similar clusters until no two have a mean similarity of at least `same`: `merge` of
 * voxtrait.recognize.merging with equal weights. Returns the cluster of each item, numbered from 0.
 */
export function merge(similarity, same) {
  const mean = similarity.map((row, i) => row.map((value, j) => (i === j ? -Infinity : value)));
  const members = similarity.map((_, at) => [at]);
  for (;;) {
    let [one, two, best] = [0, 0, -Infinity];
    for (let i = 0; i < mean.length; i += 1) {
      for (let j = i + 1; j < mean.length; j += 1) if (mean[i][j] > best) [one, two, best] = [i, j, mean[i][j]];
    }
    if (!(best >= same)) break;
    const share = members[one].length / (members[one].length + members[two].length);
    for (let at = 0; at < mean.length; at += 1) {
      if (at !== one && at !== two) mean[one][at] = mean[at][one] = share * mean[one][at] + (1 - share) * mean[two][at];
      mean[two][at] = mean[at][two] = -Infinity;
    }
    members[one].push(...members[two]);
    members[two] = [];
  }
  const labels = [];
  for (const [number, group] of members.filter((some) => some.length).entries()) for (const at of group) labels[at] = number;
  return labels;
}

function product(one, other) {
  return one.reduce((sum, value, at) => sum + value * other[at], 0);
}

/** Divides an array into parts whose lengths differ by at most one, the longer ones first. */
function divided(values, count) {
  const [length, longer] = [Math.floor(values.length / count), values.length % count];
  const start = (part) => part * length + Math.min(part, longer);
  return Array.from({ length: count }, (_, part) => values.slice(start(part), start(part + 1)));
}

function mean(rows) {
  return rows[0].map((_, at) => rows.reduce((sum, row) => sum + row[at], 0) / rows.length);
}
