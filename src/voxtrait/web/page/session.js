/** The clips of this visit: processed two at a time, kept only in the page. */
import { Problem, predict, show } from "./connection.js";
import { Timeline } from "./timeline.js";

const AT_ONCE = 2;
const FIELDS = [
  "path", "status", "message", "duration_s", "speech_s", "gender", "p_female",
  "age_years", "age_low", "age_high", "age_group", "age_groups", "model", "voices",
];

export class Clip {
  #address = null;
  #shown = null;

  constructor(id, file, name) {
    this.id = id;
    this.file = file;
    this.name = name;
    this.state = "waiting"; // working, done
    this.prediction = null;
    this.problem = null;
    this.timeline = new Timeline(this);
  }

  /** Whether the request can be repeated. */
  get unlucky() {
    return ["busy", "unreachable", "token", "other"].includes(this.problem?.kind);
  }

  /** The URL for the browser's player. */
  get address() {
    this.#address ??= URL.createObjectURL(this.file);
    return this.#address;
  }

  /** Waveform and spectrogram, requested once. */
  shown() {
    this.#shown ??= show(this.file, this.name).catch(() => null);
    return this.#shown;
  }

  forget() {
    this.timeline.stop();
    if (this.#address) URL.revokeObjectURL(this.#address);
  }
}

export class Session extends EventTarget {
  #next = 1;
  #working = new Map(); // clip → AbortController

  constructor() {
    super();
    this.clips = [];
    this.model = null; // the active bundle
    this.limits = null;
  }

  /** Add files to predict: `[{ file, name }]`. */
  add(files) {
    const added = files.map(({ file, name }) => new Clip(this.#next++, file, name));
    this.clips.push(...added);
    this.#dispatch("added", added);
    this.#go();
    return added;
  }

  /** Add a recording that already has its prediction. */
  addAnswered(file, name, prediction) {
    const clip = new Clip(this.#next++, file, name);
    this.clips.push(clip);
    this.#dispatch("added", [clip]);
    this.#finish(clip, prediction);
    return clip;
  }

  again(clip) {
    clip.state = "waiting";
    clip.prediction = clip.problem = null;
    this.#dispatch("again", clip);
    this.#dispatch("changed", clip);
    this.#go();
  }

  /** Cancel the remaining clips; returns their number. */
  cancel() {
    const left = this.clips.filter((clip) => clip.state !== "done");
    this.clips = this.clips.filter((clip) => clip.state === "done");
    for (const control of this.#working.values()) control.abort();
    this.#dispatch("removed", left);
    return left.length;
  }

  clear() {
    this.cancel();
    for (const clip of this.clips.splice(0)) clip.forget();
    this.#dispatch("removed", []);
  }

  get done() {
    return this.clips.filter((clip) => clip.state === "done").length;
  }

  #go() {
    for (const clip of this.clips) {
      if (this.#working.size >= AT_ONCE) return;
      if (clip.state === "waiting") this.#predict(clip);
    }
  }

  async #predict(clip) {
    const control = new AbortController();
    this.#working.set(clip, control);
    clip.state = "working";
    this.#dispatch("changed", clip);
    try {
      const most = this.limits?.max_upload_bytes;
      if (most && clip.file.size > most) throw new Problem("too_large", `${clip.file.size} bytes, expected at most ${most}`);
      this.#finish(clip, await predict(clip.file, clip.name, control.signal));
    } catch (error) {
      if (!control.signal.aborted) {
        clip.problem = error instanceof Problem ? error : new Problem("other", String(error));
        this.#finish(clip, { status: "error", message: clip.problem.message, model: this.model?.title });
      }
    } finally {
      this.#working.delete(clip);
      this.#go();
    }
  }

  #finish(clip, prediction) {
    const fields = FIELDS.filter((field) => field !== "voices" || field in prediction); // older servers do not send it
    // the page knows the folder of a file, the server only the name
    clip.prediction = Object.fromEntries(fields.map((field) => [field, field === "path" ? clip.name : (prediction[field] ?? null)]));
    if (prediction.status === "error") clip.problem ??= new Problem("unusable", prediction.message);
    clip.state = "done";
    this.#dispatch("changed", clip);
    this.#dispatch("done", clip);
  }

  #dispatch(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
