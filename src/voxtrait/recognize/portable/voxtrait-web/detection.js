/** Finds the speech in a signal, by the rules of voxtrait.speech.detector; their numbers are in model.json. */

/** Joins Float32Arrays. */
export function joined(parts) {
  const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Returns the runs of true values, as [first, past the last]. */
function runsOf(values) {
  const runs = [];
  for (let at = 0; at < values.length; at += 1) {
    if (!values[at]) continue;
    const start = at;
    while (at < values.length && values[at]) at += 1;
    runs.push([start, at]);
  }
  return runs;
}

/** Decides which frames are speech from the probabilities of the networks: a Uint8Array of 0 and 1. */
export function decide(shares, rules) {
  const stretches = [];
  for (let [start, stop] of runsOf([...shares].map((share) => share >= Math.fround(rules.off)))) {
    if (!shares.subarray(start, stop).some((share) => share >= rules.on)) continue;
    if (stretches.length && start - stretches.at(-1)[1] <= rules.bridge_frames) [start] = stretches.pop();
    stretches.push([start, stop]);
  }
  const frames = new Uint8Array(shares.length);
  for (const [start, stop] of stretches) {
    const sure = shares.subarray(start, stop).filter((share) => share >= Math.fround(rules.sure)).length;
    if (sure >= rules.sure_frames) frames.fill(1, Math.max(0, start - rules.margin_frames), stop + rules.margin_frames);
  }
  return frames;
}

/** Adds the surrounding frames to both sides of every run of frames. */
export function widened(frames, rules) {
  const wide = new Uint8Array(frames.length);
  for (const [start, stop] of runsOf(frames)) {
    wide.fill(1, Math.max(0, start - rules.surrounding_frames), stop + rules.surrounding_frames);
  }
  return wide;
}

/** Returns the mean power of each frame. */
function powersOf(signal, size) {
  return Float32Array.from({ length: signal.length / size }, (_, frame) => {
    let sum = 0;
    for (let at = frame * size; at < (frame + 1) * size; at += 1) sum += signal[at] * signal[at];
    return sum / size;
  });
}

/** Returns the level of the loud frames in dBFS. */
function loudDbfs(powers, rules) {
  const levels = [...powers].map((power) => 10 * Math.log10(power + 1e-12)).sort((a, b) => b - a);
  const loud = levels[Math.min(rules.loud_frames, levels.length) - 1];
  const brief = levels[Math.min(rules.brief_frames, levels.length) - 1];
  return brief >= rules.quietest_dbfs ? Math.max(loud, brief - rules.brief_db) : brief;
}

/** Returns whether a window clearly contains speech: enough of it, and few frames between speech and pause. */
function isClear(shares, rules) {
  const spoken = shares.filter((share) => share >= Math.fround(rules.quick_speech));
  const pauses = shares.filter((share) => share <= Math.fround(rules.quick_pause)).length;
  const mean = spoken.reduce((sum, share) => sum + share, 0) / Math.max(spoken.length, 1);
  const doubted = shares.length - spoken.length - pauses;
  return spoken.length >= rules.quick_speech_frames && mean >= rules.quick_sure && doubted <= rules.quick_doubted * shares.length;
}

/**
 * Detects speech in a signal that arrives in blocks. Memory does not grow with its length. The lengths of the blocks do
 * not change the result. `networks` has the functions `quick(signal, gain)` and `silero(signal, gain, state)`.
 */
export class Detector {
  #networks;
  #rules;
  #state = null; // of Silero's network; null is its beginning
  #waiting = []; // samples that the networks have not processed
  #samples = new Float32Array(0); // samples that they have processed, and that are not decided
  #shares = new Float32Array(0); // probabilities of their frames

  constructor(networks, rules) {
    this.#networks = networks;
    this.#rules = rules;
  }

  /** Processes the next block. Returns the parts of the signal that can be decided by now. */
  async feed(block) {
    const window = this.#rules.window_frames * this.#rules.frame_samples;
    this.#waiting.push(block);
    if (this.#waiting.reduce((sum, part) => sum + part.length, 0) < window) return [];
    const signal = joined(this.#waiting);
    const parts = [];
    const end = signal.length - (signal.length % window);
    for (let at = 0; at < end; at += window) {
      await this.#process(signal.subarray(at, at + window));
      parts.push(this.#decide(this.#decidable()));
    }
    this.#waiting = [signal.slice(end)];
    return parts;
  }

  /** Ends the signal, and returns the rest. Less than a frame at the end is dropped. */
  async close() {
    const left = joined(this.#waiting);
    this.#waiting = [];
    const whole = left.length - (left.length % this.#rules.frame_samples);
    if (whole) await this.#process(left.subarray(0, whole));
    return [this.#decide(this.#shares.length)];
  }

  async #process(signal) {
    const rules = this.#rules;
    const powers = powersOf(signal, rules.frame_samples);
    const level = loudDbfs(powers, rules);
    let shares = new Float32Array(powers.length);
    if (level < rules.quietest_dbfs) {
      this.#state = null;
    } else {
      const gain = 10 ** ((rules.target_dbfs - level) / 20);
      shares = await this.#networks.quick(signal, gain);
      if (isClear(shares, rules)) {
        // the quick network looks ahead, so its speech may begin too early
        const silent = 10 ** ((level - rules.silent_db) / 10);
        shares = shares.map((share, frame) => (powers[frame] < silent ? 0 : share));
        this.#state = null; // Silero's network has not processed this window
      } else {
        [shares, this.#state] = await this.#networks.silero(signal, gain, this.#state);
      }
    }
    this.#shares = joined([this.#shares, shares]);
    this.#samples = joined([this.#samples, signal]);
  }

  /** Returns the number of frames that later frames cannot change. */
  #decidable() {
    const rules = this.#rules;
    for (const [start, stop] of runsOf([...this.#shares].map((share) => share < Math.fround(rules.off))).reverse()) {
      if (stop - start >= rules.pause_frames) return stop - rules.margin_frames - rules.surrounding_frames;
    }
    return this.#shares.length >= 2 * rules.window_frames ? this.#shares.length : 0;
  }

  #decide(count) {
    const size = this.#rules.frame_samples;
    const frames = decide(this.#shares.subarray(0, count), this.#rules);
    const surrounded = runsOf(widened(frames, this.#rules)).map(([start, stop]) => this.#samples.slice(start * size, stop * size));
    this.#shares = this.#shares.slice(count);
    this.#samples = this.#samples.slice(count * size);
    return { frames: frames.reduce((sum, one) => sum + one, 0), surrounded: joined(surrounded) };
  }
}
