/** The recording area: button, level ring, clock, live pictures, and the estimate so far. */
import { genderInWords } from "./gender.js";
import { number, say, spoken } from "./language.js";
import { Live } from "./live.js";
import { Deaf, Microphone } from "./microphone.js";
import { Tape } from "./tape.js";
import { Recorded } from "./wav.js";

const find = (id) => document.getElementById(id);
const DEFAULTS = { max_seconds: 3600, max_upload_bytes: 100e6 };

export class Stage extends EventTarget {
  #state = "idle"; // asking, recording, finishing
  #estimate = null;
  #notice = null; // names of two texts: the notice and what to do
  #work = null; // { microphone, live, recorded }
  #again = false;
  #stoppedByKey = false;

  /** `finished(blob, name, prediction or null)` is called with each recording. */
  constructor({ limits, model, authorise, announce, finished }) {
    super();
    Object.assign(this, { limits, model, authorise, announce, finished });
    this.tape = new Tape(find("tape"));
    find("record").addEventListener("click", () => this.toggle());
    document.addEventListener("keydown", (event) => {
      this.#stoppedByKey = false;
      if (this.#state !== "recording" || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
      if (document.querySelector("dialog[open]")) return;
      const elsewhere = event.target.closest?.("button, a, input") && event.target.id !== "record";
      if (event.key !== "Escape" && (event.key !== " " || elsewhere)) return;
      event.preventDefault(); // otherwise the button would start the next recording
      this.#stoppedByKey = true;
      this.stop();
    });
    // browsers press a button when the space key is released
    find("record").addEventListener("keyup", (event) => {
      if (event.key === " " && this.#stoppedByKey) event.preventDefault();
    });
    spoken.addEventListener("change", () => this.draw());
    this.draw();
  }

  get recording() {
    return this.#state !== "idle";
  }

  toggle() {
    if (this.#state === "idle") return this.start();
    if (this.#state === "recording") return this.stop();
    return null;
  }

  async start() {
    this.#notice = null;
    this.#become("asking");
    const microphone = new Microphone();
    try {
      if (!(await this.authorise())) return this.#become("idle");
      await microphone.open();
    } catch (error) {
      if (!(error instanceof Deaf)) throw error;
      this.notice(`mic.${error.kind}`, `mic.${error.kind}.do`);
      return this.#become("idle");
    }
    const recorded = new Recorded(microphone.samplingRate);
    const live = new Live(microphone.samplingRate);
    this.#work = { microphone, live, recorded };
    this.#estimate = null;
    this.tape.clear();
    microphone.addEventListener("block", ({ detail }) => this.#addBlock(detail));
    microphone.addEventListener("unplugged", () => this.stop());
    live.addEventListener("columns", ({ detail }) => this.tape.addColumns(detail.data, detail.height, detail.hop));
    live.addEventListener("estimate", ({ detail }) => this.#showEstimate(detail));
    live.addEventListener("lost", () => this.#state === "recording" && this.notice("live.lost"));
    this.#become("recording");
    this.tape.run();
    this.announce(say("announce.recording"));
    return null;
  }

  async stop() {
    if (this.#state !== "recording") return;
    const { microphone, live, recorded } = this.#work;
    this.#become("finishing");
    this.announce(say("announce.stopped"));
    await microphone.close();
    this.tape.rest();
    find("record").style.setProperty("--level", 0);
    const lost = live.lost;
    const prediction = await live.end();
    this.#become("idle");
    this.#again = true;
    this.draw();
    if (lost) this.notice(null);
    if (!recorded.samples) return this.notice("recording.empty");
    const time = new Date(Date.now() - new Date().getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
    this.finished(recorded.wav(), say("recording.name", { time: time.replace("T", " ").replaceAll(":", "-") }), prediction);
  }

  notice(name, todo = null) {
    this.#notice = name && [name, todo];
    this.draw();
  }

  #addBlock(block) {
    const { live, recorded } = this.#work;
    recorded.add(block);
    this.tape.addBlock(block, recorded.samplingRate);
    live.give(block.buffer); // last, because this transfers the buffer
    let power = 0;
    for (const value of block) power += value * value;
    const decibels = 10 * Math.log10(power / block.length + 1e-9);
    find("record").style.setProperty("--level", Math.max(0, Math.min(1, (decibels + 60) / 50)).toFixed(3));
    this.#clock();
    const limits = this.limits() ?? DEFAULTS;
    if (recorded.seconds > limits.max_seconds - 1 || recorded.bytes > limits.max_upload_bytes - 200_000) {
      this.notice("recording.limit");
      this.stop();
    }
  }

  #clock() {
    const whole = Math.floor(this.#work?.recorded.seconds ?? 0);
    const text = `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
    if (find("clock").textContent !== text) find("clock").textContent = text;
  }

  #showEstimate(estimate) {
    const kind = (one) => (one?.status === "ok" ? one.gender : one?.status);
    const changed = kind(estimate) !== kind(this.#estimate);
    this.#estimate = estimate;
    this.#drawEstimate();
    if (changed && estimate.status === "ok") this.announce(`${say("so_far")}: ${find("so-far-gender").textContent}, ${find("so-far-age").textContent}`);
  }

  #become(state) {
    this.#state = state;
    this.draw();
    this.dispatchEvent(new Event("change"));
  }

  draw() {
    const state = this.#state;
    find("stage").dataset.state = state;
    document.body.dataset.stage = state;
    const label = { idle: this.#again ? "record.again" : "record", asking: "asking", recording: "stop", finishing: "finishing" }[state];
    const hint = { idle: "record.hint", asking: "asking.hint", recording: "stop.hint", finishing: "finishing.hint" }[state];
    find("record-label").textContent = say(label);
    find("record-hint").textContent = say(hint);
    find("record").ariaDisabled = String(state === "asking" || state === "finishing");
    find("tape").ariaLabel = say("tape", { n: Math.round(this.tape.secondsShown) || 1 });
    find("notice").hidden = !this.#notice;
    find("notice-text").textContent = this.#notice ? say(this.#notice[0]) : "";
    find("notice-do").textContent = this.#notice?.[1] ? say(this.#notice[1]) : "";
    this.#clock();
    this.#drawEstimate();
  }

  #drawEstimate() {
    const estimate = this.#estimate;
    const ok = estimate?.status === "ok";
    const first = this.#work?.live.lost ? "so_far.end" : "so_far.waiting";
    const waiting = estimate ? { no_speech: "so_far.none", too_short: "so_far.short" }[estimate.status] : first;
    find("so-far-gender").textContent = ok ? (estimate.gender ? say(`gender.${estimate.gender}`) : "") : say(waiting ?? first);
    find("so-far-p").textContent = ok && estimate.gender ? genderInWords(estimate) : "";
    find("so-far-age").textContent = ok && estimate.age_years !== null ? say("age.about", { n: Math.round(estimate.age_years) }) : "";
    find("so-far-range").textContent = ok && estimate.age_low !== null
      ? `${number(Math.round(estimate.age_low))}–${number(Math.round(estimate.age_high))}` : "";
    const gender = ok && estimate.gender !== null;
    const age = ok && estimate.age_low !== null;
    const zone = this.model()?.unsure;
    find("gender-gauge").classList.toggle("known", gender);
    find("age-gauge").classList.toggle("known", age);
    if (gender) gauge("gender-gauge", estimate.p_female, zone ?? [0.5, 0.5]);
    if (age) gauge("age-gauge", estimate.age_years / 100, [estimate.age_low / 100, estimate.age_high / 100]);
  }
}

/** Set the point and the range of a gauge, as shares of its width. */
function gauge(name, point, [from, to]) {
  const [stretch, pin] = find(name).children;
  stretch.style.left = `${100 * from}%`;
  stretch.style.width = `${100 * (to - from)}%`;
  pin.style.left = `${100 * point}%`;
}
