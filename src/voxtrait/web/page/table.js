/** Many clips as a table: sorted by any column; a click on a row opens its result. */
import { ageStroke } from "./age.js";
import { html, svg } from "./elements.js";
import { language, number, say, seconds } from "./language.js";

// the name of a column, and its sort key
const COLUMNS = [
  ["name", (clip) => clip.name],
  ["gender", ({ prediction }) => (prediction?.status === "ok" ? (prediction.gender ?? "") : prediction ? `~${prediction.status}` : null)],
  ["p_female", ({ prediction }) => prediction?.p_female],
  ["age_years", ({ prediction }) => prediction?.age_years],
  ["interval", ({ prediction }) => (prediction?.age_low == null ? null : prediction.age_high - prediction.age_low)],
  ["speech_s", ({ prediction }) => prediction?.speech_s],
];

export class Table {
  #rows = new Map(); // clip → tr
  #by = null; // name of the sort column, or null for the order of arrival
  #down = false;
  #due = 0;

  constructor(place, session, open) {
    this.session = session;
    this.open = open;
    this.body = html("tbody", { role: "rowgroup" });
    this.head = html("tr", { role: "row" });
    this.table = html("table", { role: "table", "aria-labelledby": "many-title" },
      html("thead", { role: "rowgroup" }, this.head), this.body);
    place.append(this.table);
    this.title();
    session.addEventListener("added", () => this.#arrange());
    session.addEventListener("removed", () => this.#arrange());
    session.addEventListener("changed", ({ detail: clip }) => {
      this.#rows.get(clip)?.replaceWith(this.#row(clip));
      if (this.#by) this.later();
    });
  }

  /** Redraw everything in the current language. */
  again() {
    this.#rows.clear();
    this.title();
    this.#arrange();
  }

  /** Focus the row of a clip. */
  focus(clip) {
    this.#rows.get(clip)?.querySelector("button")?.focus();
  }

  title() {
    this.head.replaceChildren(...COLUMNS.map(([name]) => {
      const sorted = this.#by === name ? (this.#down ? "descending" : "ascending") : "none";
      const arrow = svg("svg", { viewBox: "0 0 12 12", "aria-hidden": "true", class: sorted },
        svg("path", { d: "M6 2v8M2.5 6.5L6 10l3.5-3.5" }));
      const button = html("button", { type: "button", onclick: () => this.#sort(name) }, html("span", { text: say(`column.${name}`) }), arrow);
      return html("th", { role: "columnheader", scope: "col", class: name, "aria-sort": sorted }, button, ends(name));
    }));
  }

  #sort(name) {
    this.#down = this.#by === name && !this.#down;
    this.#by = name;
    this.title();
    this.#arrange();
    this.head.querySelector(`.${name} button`).focus();
  }

  /** The clips in the order of the table. */
  get order() {
    const clips = [...this.session.clips];
    if (!this.#by) return clips;
    const key = COLUMNS.find(([name]) => name === this.#by)[1];
    const letters = new Intl.Collator(language(), { numeric: true });
    const sign = this.#down ? -1 : 1;
    return clips.sort((a, b) => {
      const [one, other] = [key(a) ?? null, key(b) ?? null];
      if (one === null || other === null) return (one === null) - (other === null); // unknown values come last
      return sign * (typeof one === "string" ? letters.compare(one, other) : one - other);
    });
  }

  later() {
    clearTimeout(this.#due);
    this.#due = setTimeout(() => this.#arrange(), 60);
  }

  #arrange() {
    const order = this.order;
    for (const clip of this.#rows.keys()) if (!this.session.clips.includes(clip)) this.#rows.delete(clip);
    const focused = document.activeElement;
    const rows = order.map((clip) => this.#rows.get(clip) ?? this.#row(clip));
    const same = rows.length === this.body.children.length && rows.every((row, at) => row === this.body.children[at]);
    if (same) return;
    this.body.replaceChildren(...rows);
    if (focused?.isConnected && focused !== document.activeElement) focused.focus();
  }

  #row(clip) {
    const row = html("tr", { role: "row", class: `row ${clip.prediction?.status ?? clip.state}` }, ...this.#cells(clip));
    const before = this.#rows.get(clip);
    this.#rows.set(clip, row);
    if (clip.prediction) {
      row.addEventListener("click", (event) => {
        if (!event.target.closest("button") && !String(getSelection())) this.open(clip);
      });
    }
    if (before?.contains(document.activeElement)) queueMicrotask(() => row.querySelector("button")?.focus());
    return row;
  }

  #cells(clip) {
    const cell = (name, ...children) => html("td", { role: "cell", class: name }, ...children);
    const text = (given) => html("span", { class: "number", text: given });
    const prediction = clip.prediction;
    const [folder, name] = [clip.name.replace(/[^/]*$/, ""), clip.name.replace(/^.*\//, "")];
    const shown = [html("span", { class: "folder", text: folder }), html("span", { text: name })];
    const opener = prediction
      ? html("button", { type: "button", class: "opener", "aria-label": say("row.open", { name: clip.name }), onclick: () => this.open(clip) }, ...shown)
      : html("span", { class: "opener" }, ...shown);
    const first = html("th", { role: "rowheader", scope: "row", class: "name", title: clip.name }, opener);
    if (prediction?.status !== "ok") {
      const status = say(`row.${prediction?.status ?? clip.state}`);
      const kind = html("span", { class: `pill ${prediction?.status ?? clip.state}`, text: status });
      const speech = prediction?.speech_s == null ? null : text(say("seconds", { n: seconds(prediction.speech_s) }));
      return [
        first, cell("gender", kind), cell("p_female"), cell("age_years"), cell("interval"), cell("speech_s", speech),
      ];
    }
    const { gender, p_female: p, age_years: age, age_low: low, age_high: high, speech_s: speech } = prediction;
    return [
      first,
      cell("gender", gender && html("span", { class: `pill ${gender}`, text: say(`gender.${gender}`) })),
      cell("p_female", p !== null && bar(p, gender, this.session.model?.unsure), p !== null && text(number(p, 2))),
      cell("age_years", age !== null && text(number(Math.round(age)))),
      cell("interval", low !== null && ageStroke(prediction),
        low !== null && text(say("age.range.short", { low: Math.round(low), high: Math.round(high) }))),
      cell("speech_s", text(say("seconds", { n: seconds(speech) }))),
    ];
  }
}

/** The probability on a line from male (left) to female (right), with the abstention band if known. */
function bar(p, gender, unsure) {
  return svg("svg", { class: "p-stroke", viewBox: "0 0 100 12", "aria-hidden": "true", preserveAspectRatio: "none" },
    svg("path", { class: "scale", d: "M0 6H100" }),
    unsure && svg("path", { class: "band", d: `M${100 * unsure[0]} 6H${100 * unsure[1]}` }),
    svg("path", { class: `point ${gender}`, d: `M${(100 * p).toFixed(1)} 0V12` }));
}

/** Labels of the ends of the lines in a column, for its heading. */
function ends(name) {
  const texts = { p_female: [say("end.male"), say("end.female")], interval: [number(0), number(100)] }[name];
  return texts && html("span", { class: `ends ${name}`, "aria-hidden": "true" }, ...texts.map((text) => html("span", { text })));
}
