"use strict";
// All data of the corpus are inserted as text, never as HTML.
const data = JSON.parse(document.getElementById("data").textContent);
const SIZE = 20; // entries of a page
const HEADER = ["scope", "id", "decision", "value", "note"];
const KINDS = { // in the order of the page
  "speaker gender": "speakers: gender", "clip gender": "clips: gender", "speaker age": "speakers: age",
  "clip age": "clips: age", "mixed speaker": "ids with several speakers", "same speaker": "speakers with several ids",
};
const $ = (id) => document.getElementById(id);
const byKey = new Map();
for (const entry of data.entries) { // an id with two labels has two entries, but one decision
  byKey.has(entry.key) ? byKey.get(entry.key).push(entry) : byKey.set(entry.key, [entry]);
}
let decided = new Map(); // key → [choice, note, lines]
let extra = []; // lines of a file or of an earlier audit that match no entry of this page
let shown = [], page = 0, now = 0, kept = true, saved = true;

const column = (entry) => (entry.task === "age" ? "age_group" : entry.task);
const plain = (text) => String(text).replaceAll("_", " ");
const clips = (count) => `${count} clip${count === 1 ? "" : "s"}`;
const short = (id) => (id.length > 60 ? `${id.slice(0, 24)}…${id.slice(-12)}` : id); // Common Voice's have 128 letters

// The possible decisions on an entry: [name, words, lines of the file without the note].
function choices(entry) {
  const line = (decision, value) => [entry.scope, entry.id, decision, value];
  if (entry.kind === "mixed") {
    const each = (decision, value) => entry.other_ids.map((clip) => ["clip", clip, decision, value]);
    return [
      ["one", "one speaker", [line("keep", "speaker")]],
      ["split", "two speakers: give group B a new id", each("speaker", `${entry.id}/2`)],
      ["remove", `remove group B (${entry.other_ids.length})`, each("remove", "")],
      ["unsure", "undecidable", [line("unsure", "speaker")]],
    ];
  }
  if (entry.kind === "same") {
    return [
      ["same", "one speaker: merge the ids", [line("speaker", entry.with)]],
      ["apart", "two speakers: keep both ids", [line("apart", entry.with)]],
      ["unsure", "undecidable", [line("unsure", entry.with)]],
    ];
  }
  const name = column(entry);
  const right = entry.several ? line(name, entry.label) : line("keep", name);
  const found = [["right", `label is correct: ${plain(entry.label)}`, [right]]];
  const values = name === "gender" ? ["female", "male"] : data.groups;
  for (const value of values) if (value !== entry.label) found.push([value, plain(value), [line(name, value)]]);
  found.push(["unknown", "undecidable: clear the label", [line(name, "")]]);
  found.push(["remove", entry.scope === "clip" ? "remove the clip" : `remove the speaker (${clips(entry.n_clips)})`, [line("remove", "")]]);
  return found;
}

function title(entry) {
  const labelled = (gender) => (gender ? `labelled ${plain(gender)}` : "no gender label");
  if (entry.kind === "mixed") {
    return `One id, possibly two speakers (likeness ${entry.likeness.toFixed(1)}): ${clips(entry.n_clips)}, ${labelled(entry.gender)}`;
  }
  if (entry.kind === "same") {
    return `Two ids, possibly one speaker (likeness ${entry.likeness.toFixed(1)}): ${clips(entry.n_clips)}, ${labelled(entry.gender)}; ` +
      `${clips(entry.n_other)}, ${labelled(entry.other_gender)}${entry.together ? "; same corpus and language" : ""}`;
  }
  const prediction = entry.task === "age" ? `presents as about ${entry.years} years` : `presents as ${plain(entry.answer)}`;
  const size = entry.kind === "speaker" && entry.scope === "speaker" ? `, ${clips(entry.n_clips)}` : "";
  const child = entry.child && entry.task === "gender" ? ", a child: no reliable information about gender" : "";
  return `Labelled ${plain(entry.label)}, ${prediction} (doubt ${entry.doubt.toFixed(3)})${size}${child}`;
}

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value !== undefined) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children); // strings become text nodes
  return element;
}

function clip(index) {
  const [id, address, sentence, picture] = data.clips[index];
  const [width, height] = data.size;
  const drawn = picture
    ? [make("img", { src: `${data.pictures}/${picture}`, loading: "lazy", width, height, alt: `mel spectrogram of ${id}` })] : [];
  return make("figure", {}, ...drawn, make("audio", { controls: true, preload: "none", src: address, "aria-label": `clip ${id}` }),
    make("figcaption", {}, sentence ? `“${sentence}” ` : "", make("span", {}, id)));
}

// One group of a pair. The two groups are side by side.
function side(name, rows, id, count, gender) {
  const words = [clips(count), gender ? `labelled ${plain(gender)}` : "no gender label"].join(", ");
  return make("div", { role: "group", class: `side ${gender ?? ""}`.trim(), "aria-label": `Group ${name}` },
    make("h3", {}, `Group ${name}`, make("small", {}, words)), make("p", { class: "id", title: id }, short(id)),
    make("div", { class: "clips" }, ...rows.map(clip)));
}

function sides(entry) {
  if (entry.kind === "same") {
    return [side("A", entry.rows, entry.with, entry.n_clips, entry.gender), side("B", entry.others, entry.id, entry.n_other, entry.other_gender)];
  }
  const n = entry.other_ids.length;
  return [side("A", entry.rows, entry.id, entry.n_clips - n, entry.gender), side("B", entry.others, entry.id, n, entry.gender)];
}

function article(entry, at) {
  const groups = entry.others
    ? make("div", { class: "pair" }, ...sides(entry)) : make("div", { class: "clips" }, ...entry.rows.map(clip));
  const buttons = choices(entry).map(([name, words], number) =>
    make("button", { "data-choice": name, onclick: () => { now = at; choose(entry, name); } },
      ...(number < 9 ? [make("small", { "aria-hidden": "true" }, String(number + 1))] : []), words));
  const note = make("input", { placeholder: "note", "aria-label": "note", onchange: (event) => remark(entry, event.target.value) });
  const box = make("article", { tabindex: "-1", "aria-label": title(entry), onfocusin: () => point(at) },
    make("h2", {}, title(entry)), ...(entry.others ? [] : [make("p", { class: "id", title: entry.id }, `${entry.scope} ${short(entry.id)}`)]),
    groups, make("div", { class: "choices", role: "group", "aria-label": "Decision" }, ...buttons, note));
  mark(box, entry);
  return box;
}

function mark(box, entry) {
  const [choice, note] = decided.get(entry.key) ?? [null, ""];
  box.classList.toggle("done", choice !== null);
  for (const button of box.querySelectorAll("[data-choice]")) {
    button.setAttribute("aria-pressed", String(button.dataset.choice === choice));
  }
  box.querySelector(".choices input").value = note;
}

function choose(entry, name) {
  const before = decided.get(entry.key);
  if (name === null || before?.[0] === name) decided.delete(entry.key);
  else decided.set(entry.key, [name, before?.[1] ?? "", choices(entry).find(([one]) => one === name)[2]]);
  changed();
}

function remark(entry, text) {
  const before = decided.get(entry.key);
  if (before) { decided.set(entry.key, [before[0], text, before[2]]); changed(); }
}

function changed() {
  saved = false;
  const value = JSON.stringify({ decided: [...decided], extra });
  try { localStorage.setItem(data.key, value); kept = true; } catch { kept = false; }
  warn(kept ? "" : "The browser cannot store more decisions. Save the file before you leave.");
  onScreen().forEach(([entry, box]) => mark(box, entry));
  count();
}

function restore() {
  let value = null;
  try { value = JSON.parse(localStorage.getItem(data.key)); } catch { kept = false; }
  if (!value) return;
  extra = value.extra ?? [];
  for (const [key, [choice, note, lines]] of value.decided) {
    const entry = byKey.get(key)?.[0];
    if (entry && choices(entry).some(([name]) => name === choice)) decided.set(key, [choice, note, lines]);
    else extra.push(...lines.map((line) => [...line, note])); // from an earlier audit of this manifest
  }
}

// The file: comma-separated, quoted as in RFC 4180.
const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

function lines() {
  const found = new Map(), parent = new Map();
  const root = (id) => { while (parent.has(id)) id = parent.get(id); return id; };
  const add = (line) => found.set(JSON.stringify(line.slice(0, 4)), line);
  const all = [...extra, ...[...decided.values()].flatMap(([, note, some]) => some.map((line) => [...line, note]))];
  const merged = (line) => line[0] === "speaker" && line[2] === "speaker" && line[3] !== "";
  for (const line of all.filter(merged)) { // a speaker with three ids is in two or three pairs: all get one id
    const [a, b] = [root(line[1]), root(line[3])];
    if (a !== b) parent.set(a, b);
  }
  for (const line of all) if (!merged(line)) add(line);
  for (const line of all.filter(merged)) if (root(line[1]) !== line[1]) add(["speaker", line[1], "speaker", root(line[1]), line[4]]);
  for (const id of parent.keys()) {
    const line = ["speaker", id, "speaker", root(id), ""];
    if (!found.has(JSON.stringify(line.slice(0, 4)))) add(line);
  }
  return [...found.values()];
}

function save() {
  const text = [HEADER, ...lines()].map((line) => line.map(quoted).join(",")).join("\n") + "\n";
  const link = make("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: "decisions.csv" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  saved = true;
}

function parse(text) {
  const rows = [[]];
  const field = /("(?:[^"]|"")*"|[^",\r\n]*)(,|\r\n|\n|\r|$)/y;
  text = text.replace(/^\uFEFF/, "");
  while (field.lastIndex < text.length) {
    const match = field.exec(text);
    if (!match) return null;
    rows.at(-1).push(match[1].startsWith('"') ? match[1].slice(1, -1).replaceAll('""', '"') : match[1]);
    if (match[2] === "") break;
    if (match[2] !== ",") rows.push([]);
    else if (field.lastIndex === text.length) rows.at(-1).push("");
  }
  return rows.filter((row) => row.length);
}

async function open(file) {
  const rows = parse(await file.text());
  const names = rows?.shift() ?? [];
  if (!rows || !HEADER.slice(0, 4).every((name) => names.includes(name))) {
    return warn(`${file.name} is not a decisions file. Expected the columns ${HEADER.join(", ")}.`);
  }
  const read = rows.map((row) => HEADER.map((name) => row[names.indexOf(name)] ?? ""));
  const notes = new Map(read.map((line) => [JSON.stringify(line.slice(0, 4)), line[4]]));
  const group = new Map(read.filter((line) => line[0] === "speaker" && line[2] === "speaker").map((line) => [line[1], line[3]]));
  const ids = new Set(read.flatMap((line) => [line[1], line[3]])), used = new Set();
  for (const entry of data.entries) {
    const known = ids.has(entry.id) || ids.has(entry.with) || entry.other_ids?.some((id) => ids.has(id));
    if (!known) continue;
    for (const [name, , some] of choices(entry)) {
      const keys = some.map((line) => JSON.stringify(line));
      const merged = name === "same" && (group.get(entry.id) ?? entry.id) === (group.get(entry.with) ?? entry.with);
      if (!merged && !(keys.length && keys.every((key) => notes.has(key)))) continue;
      decided.set(entry.key, [name, notes.get(keys[0]) ?? "", some]);
      keys.forEach((key) => used.add(key));
      if (merged) [entry.id, entry.with].forEach((id) => used.add(JSON.stringify(["speaker", id, "speaker", group.get(id)])));
    }
  }
  extra = [...extra, ...read.filter((line) => !used.has(JSON.stringify(line.slice(0, 4))))];
  changed();
  list();
}

function warn(text) { $("warning").textContent = text; $("warning").hidden = !text; }

function list() {
  const kind = $("kind").value, state = $("state").value, words = $("search").value.trim().toLowerCase();
  shown = data.entries.filter((entry) => (kind === "all" || `${entry.kind} ${entry.task}` === kind) &&
    (state === "all" || decided.has(entry.key) === (state === "done")) && (!words || text(entry).includes(words)));
  turn(0);
}

const text = (entry) => [entry.id, entry.with ?? "", ...[...entry.rows, ...(entry.others ?? [])].flatMap((at) =>
  [data.clips[at][0], data.clips[at][2]])].join(" ").toLowerCase();
const pages = () => Math.max(1, Math.ceil(shown.length / SIZE));
const onScreen = () => [...$("list").querySelectorAll("article")].map((box, at) => [shown[page * SIZE + at], box]);

function turn(to) {
  page = Math.min(Math.max(to, 0), pages() - 1);
  now = 0;
  const some = shown.slice(page * SIZE, (page + 1) * SIZE);
  $("list").replaceChildren(...(some.length ? some.map(article) : [make("p", { class: "quiet" }, "No entries match the filter.")]));
  $("page").textContent = `${page + 1} of ${pages()}`;
  $("before").disabled = page === 0;
  $("after").disabled = page === pages() - 1;
  point(0);
  count();
}

function point(at) {
  now = at;
  onScreen().forEach(([, box], index) => box.classList.toggle("now", index === at));
}

function step(by) {
  const boxes = onScreen();
  if (!boxes[now + by]) return;
  point(now + by);
  boxes[now][1].focus({ preventScroll: true });
  boxes[now][1].scrollIntoView({ block: "start" });
}

function count() {
  $("progress").textContent = `${decided.size} of ${byKey.size} decided`;
  $("meter").value = decided.size;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, audio")) return;
  const [entry, box] = onScreen()[now] ?? [];
  if (event.key === "n" || event.key === "b") { turn(page + (event.key === "n" ? 1 : -1)); scrollTo(0, 0); }
  else if (event.key === "j" || event.key === "k") step(event.key === "j" ? 1 : -1);
  else if (!entry) return;
  else if (event.key === "u") choose(entry, null);
  else if (event.key === "p") { const sound = box.querySelector("audio"); sound.paused ? sound.play() : sound.pause(); }
  else if (/^[1-9]$/.test(event.key)) { const found = choices(entry)[event.key - 1]; if (found) { choose(entry, found[0]); step(1); } }
  else return;
  event.preventDefault();
});
document.addEventListener("play", (event) => { // one clip at a time
  for (const sound of document.querySelectorAll("audio")) if (sound !== event.target) sound.pause();
}, true);
addEventListener("beforeunload", (event) => { if (!kept && !saved) event.preventDefault(); });
$("save").addEventListener("click", save);
$("open").addEventListener("change", (event) => { if (event.target.files[0]) open(event.target.files[0]); event.target.value = ""; });
$("before").addEventListener("click", () => turn(page - 1));
$("after").addEventListener("click", () => { turn(page + 1); scrollTo(0, 0); });
for (const id of ["kind", "state"]) $(id).addEventListener("change", list);
$("search").addEventListener("input", list);
const counts = Object.groupBy?.(data.entries, (entry) => `${entry.kind} ${entry.task}`) ?? {};
$("kind").append(make("option", { value: "all" }, `everything (${data.entries.length})`),
  ...Object.entries(KINDS).filter(([kind]) => data.entries.some((entry) => `${entry.kind} ${entry.task}` === kind))
    .map(([kind, words]) => make("option", { value: kind }, counts[kind] ? `${words} (${counts[kind].length})` : words)));
$("meter").max = Math.max(1, byKey.size);
restore();
list();
