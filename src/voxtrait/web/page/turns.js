/** The text of a timeline below its picture: progress, speaking time by gender, turns, and files to save. */
import { button, html, icon } from "./elements.js";
import { save } from "./export.js";
import { clock, minutes, moment, number, say, span } from "./language.js";
import { SHORT_S } from "./timeline.js";

const FORMATS = { json: "JSON", csv: "CSV", rttm: "RTTM", textgrid: "Praat TextGrid", srt: "SRT", audacity: "Audacity" };
const TYPES = { json: "application/json", csv: "text/csv;charset=utf-8", srt: "application/x-subrip" };
const GENDERS = ["female", "male", "unsure"];

/** Returns a section that follows its timeline; `play(seconds)` plays the recording from there. */
export function turns(clip, { play, limits, announce }) {
  const { timeline } = clip;
  const section = html("section", { class: "timeline", "aria-label": say("timeline") });
  let before = null; // the state that was drawn last
  const draw = () => {
    if (before === "working" && timeline.state === "working") {
      progress(section, clip);
      return;
    }
    if (before === "working" && timeline.state === "done" && timeline.hasLanes) announce?.(inWords(clip));
    before = timeline.state;
    section.replaceChildren(...content(clip, play, limits));
    section.hidden = !section.children.length;
    if (before === "working") progress(section, clip);
  };
  timeline.follow(section, draw);
  draw();
  return section;
}

function inWords({ name, timeline }) {
  return `${name}: ${say("timeline.speakers", { n: timeline.speakers.length })}, ${say("timeline.turns", { n: timeline.turns.length })}.`;
}

function content(clip, play, limits) {
  const { timeline } = clip;
  const long = clip.prediction.duration_s > SHORT_S;
  if (timeline.state === "working") {
    return [
      html("p", { class: "making" }, html("span", { class: "quiet number at" }),
        button(say("timeline.cancel"), { class: "plain", onclick: () => timeline.stop() }, icon("close"))),
      html("progress", { max: 1, "aria-label": say("timeline.making") }),
    ];
  }
  if (timeline.state === "failed" || timeline.state === "stopped") {
    const why = timeline.problem
      ? `${say("timeline.failed")} ${say(`error.${timeline.problem.kind}`, { limit: "", minutes: minutes(limits?.max_seconds ?? 0) })}`
      : say("timeline.stopped");
    return [html("p", { class: "making" }, html("span", { class: "quiet", text: why }),
      button(say("timeline.make"), { class: "plain", onclick: () => timeline.start() }, icon("again")))];
  }
  if (timeline.state !== "done") return [];
  if (!timeline.hasLanes) return long && !timeline.turns.length ? [html("p", { class: "quiet", text: say("timeline.none") })] : [];
  return [
    html("header", {},
      html("h3", { text: say("timeline") }),
      html("p", { class: "quiet number", text: [
        say("timeline.speakers", { n: timeline.speakers.length }), say("timeline.turns", { n: timeline.turns.length }), say("timeline.speech", { time: span(timeline.result.speech_s) }),
      ].join(" · ") })),
    ...shares(timeline.result),
    list(timeline, play),
    files(clip),
  ];
}

function progress(section, { timeline, prediction }) {
  const duration = prediction.duration_s ?? 0;
  const [at, bar] = [section.querySelector(".at"), section.querySelector("progress")];
  if (!at) return;
  const all = duration && timeline.at >= duration - 0.1;
  at.textContent = all ? say("timeline.last") : say("timeline.progress", { at: clock(timeline.at), duration: clock(duration) });
  bar.value = duration ? Math.min(1, timeline.at / duration) : 0;
}

/** Speaking time by gender: a bar and its numbers. If a voice is unsure, also the share of female voices. */
function shares({ speaking, speakers, female_share: female }) {
  const parts = GENDERS.map((gender) => [gender, speaking?.gender?.[gender]]).filter(([, part]) => part?.seconds > 0);
  if (!parts.length) return [];
  const bar = html("div", { class: "shares", "aria-hidden": "true" }, ...parts.map(([gender, { share }]) => {
    const made = html("span", { class: `share-part ${gender}` });
    made.style.flexGrow = share;
    return made;
  }));
  const names = html("ul", { class: "share-names", "aria-label": say("shares") }, ...parts.map(([gender, { seconds, share }]) => html("li", {},
    html("span", { class: `swatch ${gender}`, "aria-hidden": "true" }),
    html("strong", { text: say(`gender.${gender}`) }), " ",
    html("span", { class: "number", text: `${span(seconds)}, ${number(100 * share)} %` }))));
  const caption = html("p", { class: "quiet caption-line", text: say("shares") });
  if (!female || !speakers.some(({ gender }) => gender === "unsure")) return [caption, bar, names];
  const [share, low, high] = [female.share, female.low, female.high].map((part) => number(100 * part));
  return [caption, bar, names, html("p", { class: "quiet number", text: say("shares.female", { share, low, high }) })];
}

/** The list of turns, created when it is opened: there may be hundreds. */
function list(timeline, play) {
  const genders = new Map(timeline.speakers.map(({ speaker, gender }) => [speaker, gender]));
  const place = html("ol", { class: "turns" });
  const details = html("details", {}, html("summary", { text: say("turns.list", { n: timeline.turns.length }) }), place);
  details.addEventListener("toggle", () => {
    if (place.children.length) return;
    place.append(...timeline.result.segments.map(({ start_s: start, end_s: end, speaker, kind }) => {
      const gender = genders.get(speaker);
      const who = speaker ?? (kind === "music" ? say("lane.music") : (kind ?? ""));
      const text = gender ? `${who}, ${say(`gender.${gender}`)}` : who;
      return html("li", {}, html("button", { type: "button", onclick: () => play(start), "aria-label": say("turn.play", { at: moment(start), end: moment(end), who: text }) },
        html("span", { class: "number", text: `${moment(start)}–${moment(end)}` }), html("span", { class: `swatch ${gender ?? (speaker ? "unsure" : "music")}` }), html("span", { text })));
    }));
  });
  return details;
}

function files({ name, timeline }) {
  const stem = name.replace(/^.*\//, "").replace(/\.[^.]*$/, "") || "recording";
  const target = ({ format, ending }) => (format === "json" || format === "csv" ? `${stem}.timeline${ending}` : `${stem}${ending}`);
  return html("div", { class: "files", role: "group", "aria-label": say("timeline.save") },
    html("p", { class: "quiet", text: say("timeline.save") }),
    ...timeline.files.filter(({ format }) => format in FORMATS).map((file) => button(FORMATS[file.format], {
      onclick: () => save(target(file), TYPES[file.format] ?? "text/plain;charset=utf-8", file.content),
    }, icon("save"))));
}
