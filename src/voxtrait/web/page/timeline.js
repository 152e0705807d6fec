/** The timeline of a clip: requested once, filled in line by line during processing. */
import { Problem, timeline } from "./connection.js";

export const SHORT_S = 60; // longest recording that /v1/show draws completely

export class Timeline extends EventTarget {
  #clip;
  #control = null;

  constructor(clip) {
    super();
    this.#clip = clip;
    this.#clear();
  }

  /** The speakers, in the order in which they first speak. */
  get speakers() {
    return this.result?.speakers ?? [];
  }

  get turns() {
    return (this.result?.segments ?? []).filter(({ speaker }) => speaker !== null);
  }

  /** Whether to show lanes: several speakers, segments without a speaker, or more than a minute. */
  get hasLanes() {
    const { segments = [], duration_s: duration } = this.result ?? {};
    return segments.length > 0 && (this.speakers.length !== 1 || segments.length > this.turns.length || duration > SHORT_S);
  }

  /** Call `then` at each change while the element is in the document. */
  follow(element, then) {
    let before = false;
    const change = () => {
      if (element.isConnected) then();
      else if (before) this.removeEventListener("change", change);
      before = element.isConnected;
    };
    this.addEventListener("change", change);
  }

  async start() {
    if (["working", "done", "none"].includes(this.state)) return;
    this.#clear();
    this.state = "working";
    const control = (this.#control = new AbortController());
    this.#change();
    try {
      await timeline(this.#clip.file, this.#clip.name, control.signal, (line) => this.#take(line));
      this.state = "done";
    } catch (error) {
      if (control.signal.aborted) return;
      this.problem = error instanceof Problem ? error : new Problem("other", String(error));
      this.state = this.problem.kind === "unsupported" ? "none" : "failed";
    }
    this.#change();
  }

  /** Stop processing; the next `start` begins again. */
  stop(state = "stopped") {
    if (this.state !== "working") return;
    this.#control.abort();
    this.state = state;
    this.#change();
  }

  #clear() {
    this.state = "idle"; // working, done, stopped, failed, none: the server does not support timelines
    this.pieces = []; // pictures: { start, end, wave, peak, image }
    this.course = null;
    this.result = null;
    this.files = [];
    this.problem = null;
    this.at = 0; // processed seconds
  }

  #take(line) {
    if (line.type === "piece") {
      this.at = line.at_s;
      this.pieces.push(piece(line.start_s, line.end_s, line, () => this.#change()));
    } else if (line.type === "course") this.course = line;
    else if (line.type === "timeline") this.result = line.timeline;
    else if (line.type === "formats") this.files = line.formats;
    this.#change();
  }

  #change() {
    this.dispatchEvent(new Event("change"));
  }
}

/** A part of a recording as pictures; `drawn` is called when the spectrogram can be drawn. */
export function piece(start, end, { waveform, spectrogram }, drawn) {
  const wave = Float32Array.from(waveform.flat());
  const found = { start, end, wave, peak: wave.reduce((most, value) => Math.max(most, Math.abs(value)), 0), image: null };
  const image = new Image();
  image.src = spectrogram;
  image.decode().then(() => {
    found.image = image;
    drawn();
  }, () => {});
  return found;
}
