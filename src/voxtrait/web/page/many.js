/** All clips of this visit: their progress, the counts of the results, the table, and the files to download. */
import { busy } from "./connection.js";
import { csv, json, save } from "./export.js";
import { number, say } from "./language.js";
import { Table } from "./table.js";

const KINDS = ["female", "male", "unsure", "no_speech", "too_short", "error"];
const find = (id) => document.getElementById(id);

export class Many {
  #began = 0; // start time of the current batch
  #before = 0; // clips that were done before it
  #note = null; // name of a text, and its values

  constructor(session, open, announce) {
    this.session = session;
    this.announce = announce;
    this.table = new Table(find("table"), session, open);
    for (const name of ["added", "again"]) session.addEventListener(name, () => this.#start());
    for (const name of ["added", "removed"]) session.addEventListener(name, () => this.draw());
    session.addEventListener("changed", () => this.later());
    session.addEventListener("done", () => this.#finish());
    find("cancel").addEventListener("click", () => {
      const n = session.cancel();
      if (n) this.note("many.stopped", { n });
      find("many-title").focus();
    });
    find("many-again").addEventListener("click", () => {
      for (const clip of this.unlucky) session.again(clip);
    });
    find("csv").addEventListener("click", () => save("voices.csv", "text/csv;charset=utf-8", csv(this.predictions)));
    find("json").addEventListener("click", () => save("voices.json", "application/json", json(this.predictions)));
    busy.addEventListener("wait", ({ detail: n }) => this.note("many.busy", { n }));
    busy.addEventListener("on", () => this.note(null));
  }

  /** All predictions, in the order of the table. */
  get predictions() {
    return this.table.order.map((clip) => clip.prediction).filter(Boolean);
  }

  /** Clips that failed for a reason outside the clip. */
  get unlucky() {
    return this.session.clips.filter((clip) => clip.unlucky);
  }

  note(name, values = {}) {
    this.#note = name && [name, values];
    this.draw();
  }

  again() {
    this.table.again();
    this.draw();
  }

  later() {
    this.due ??= requestAnimationFrame(() => {
      this.due = undefined;
      this.draw();
    });
  }

  #start() {
    if (this.#began) return;
    this.#note = null;
    this.#began = performance.now();
    this.#before = this.session.done;
  }

  #finish() {
    const { clips, done } = this.session;
    if (done < clips.length) return;
    const n = done - this.#before;
    if (n > 1) this.announce(say("announce.done", { n }));
    this.#began = 0;
  }

  draw() {
    const { clips, done } = this.session;
    const working = done < clips.length;
    find("many-count").textContent = say("many.count", { n: clips.length });
    find("progress").hidden = find("cancel").hidden = !working;
    find("csv").hidden = find("json").hidden = !done;
    find("many-clear").hidden = working;
    const n = this.unlucky.length;
    find("many-again").hidden = working || !n;
    find("many-again").textContent = say("many.again", { n });
    find("progress").max = Math.max(1, clips.length - this.#before);
    find("progress").value = Math.max(0, done - this.#before);
    find("many-progress").textContent = working
      ? [say("many.progress", { done, n: clips.length }), this.#left(), this.#note && say(...this.#note)].filter(Boolean).join(" · ")
      : this.#note ? say(...this.#note) : "";
    const counts = KINDS.map((kind) => [kind, clips.filter(({ prediction }) => kindOf(prediction) === kind).length]);
    find("counts").replaceChildren(...counts.filter(([, n]) => n).map(([kind, n]) => {
      const item = document.createElement("li");
      item.className = `pill ${kind}`;
      item.textContent = say(`count.${kind}`, { n });
      return item;
    }));
  }

  #left() {
    const { clips, done } = this.session;
    const processed = done - this.#before;
    const passed = (performance.now() - this.#began) / 1000;
    if (processed < 4 || passed < 5) return null;
    const left = (passed / processed) * (clips.length - done);
    const time = left < 90 ? say("seconds", { n: number(Math.ceil(left / 5) * 5) }) : say("minutes", { n: number(Math.ceil(left / 60)) });
    return say("many.left", { time });
  }
}

function kindOf(prediction) {
  return prediction?.status === "ok" ? prediction.gender : prediction?.status;
}
