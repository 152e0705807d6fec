/** The rows below the spectrogram: a lane for each speaker, or charts for one voice, with labels. */
import { html } from "./elements.js";
import { number, say, span, wholeYears } from "./language.js";
import { CHART, LANE } from "./rows.js";

const PITCH_MARKS = [50, 100, 150, 200, 250, 300, 400];
const AGE_MARKS = [0, 20, 40, 60, 80, 100];

/** A lane for each speaker, and one for each kind of segment without a speaker. */
export function lanes(timeline) {
  if (!timeline.hasLanes) return [];
  const { segments } = timeline.result;
  const found = timeline.speakers.map((one) => ({
    draw: "lane", height: LANE, kind: one.gender ?? "unsure", name: one.speaker, label: [who(one), how(one, timeline)],
    segments: segments.filter(({ speaker }) => speaker === one.speaker),
  }));
  const others = segments.filter(({ speaker }) => speaker === null);
  for (const kind of new Set(others.map(({ kind }) => kind))) {
    const own = others.filter((one) => one.kind === kind);
    const name = kind === "music" ? say("lane.music") : String(kind ?? "");
    found.push({
      draw: "lane", height: LANE, kind: "music", name, segments: own,
      label: [name, span(own.reduce((sum, one) => sum + one.end_s - one.start_s, 0))],
    });
  }
  return found;
}

/** "S1 female" */
function who({ speaker, gender }) {
  return gender === null ? speaker : `${speaker} ${say(`gender.${gender}`)}`;
}

function how({ age_years: age, age_low: low, age_high: high, gender, speech_s: speech }, timeline) {
  const all = timeline.speakers.reduce((sum, one) => sum + one.speech_s, 0);
  const years = age === null ? null
    : low === null ? say("age.about", { n: wholeYears(age) })
      : `${say("age.about", { n: wholeYears(age) })} (${say("age.range.short", { low: Math.round(low), high: Math.round(high) })})`;
  const nothing = gender === null && age === null ? say("lane.little") : null;
  const share = all ? `, ${number((100 * speech) / all)} %` : "";
  return [years ?? nothing, `${span(speech)}${share}`].filter(Boolean).join(" · ");
}

/** Gender, age and pitch over time; `unsure` is the abstention band of p_female, or null. */
export function charts({ course }, unsure) {
  if (!course) return [];
  const apart = course.at_s.map((at, index) => at - (course.at_s[index - 1] ?? at)).sort((a, b) => a - b);
  const gap = 4 * Math.max(1, apart[Math.floor(apart.length / 2)] ?? 1); // longer gaps interrupt the line
  const points = (value, low = [], high = []) => course.at_s.map((at, index) => [at, value[index], low[index], high[index]]);
  const found = [];
  if (several(course.p_female)) {
    found.push({
      draw: "chart", height: CHART, label: [say("chart.p_female"), unsure ? say("chart.p_female.zone") : ""], range: [0, 1], marks: [0, 0.5, 1],
      ends: { 0: say("end.male"), 1: say("end.female") }, zone: unsure, points: points(course.p_female), gap, dots: course.at_s.length < 100,
    });
  }
  if (several(course.age_years)) {
    const most = Math.max(...course.age_high.map((value) => value ?? 0), ...course.age_years.map((value) => value ?? 0));
    const range = [0, Math.max(60, 20 * Math.ceil(most / 20))];
    found.push({
      draw: "chart", height: CHART, label: [say("chart.age"), say("chart.age.band")], range, marks: AGE_MARKS.filter((mark) => mark <= range[1]),
      points: points(course.age_years, course.age_low, course.age_high), gap, dots: course.at_s.length < 100,
    });
  }
  const { start_s: start, step_s: step, hz } = course.pitch;
  if (known(hz)) {
    const sorted = hz.filter((value) => value !== null).sort((a, b) => a - b);
    const share = (part) => sorted[Math.floor(part * (sorted.length - 1))];
    const range = [50 * Math.floor(share(0.01) / 50), 50 * Math.ceil(share(0.99) / 50)]; // ignores outliers
    if (range[1] - range[0] < 100) range[1] = range[0] + 100;
    const inside = PITCH_MARKS.filter((mark) => mark >= range[0] && mark <= range[1]);
    const marks = inside.length > 4 ? inside.filter((mark) => mark % 100 === 0) : inside;
    const middle = Math.round(share(0.5));
    found.push({
      draw: "chart", height: CHART, label: [say("chart.pitch"), say("chart.pitch.median", { n: middle })], range, marks,
      points: hz.map((value, index) => [start + index * step, value]), gap: 1.5 * step,
    });
  }
  return found;
}

function known(values) {
  return values.some((value) => value !== null);
}

/** A single estimate is not drawn over time: it is the result itself. */
function several(values) {
  return values.filter((value) => value !== null).length > 1;
}

/** The label above a row. */
export function rowLabel({ label: [name, more], top, kind, draw }) {
  const made = html("p", { class: "row-label" },
    draw === "lane" ? html("span", { class: `swatch ${kind}`, "aria-hidden": "true" }) : null,
    html("strong", { text: name }), " ", html("span", { text: more }));
  made.style.top = `${top}px`;
  return made;
}
