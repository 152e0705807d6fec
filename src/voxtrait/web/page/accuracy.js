/** Accuracy of the bundle by group, as tables: recall of gender, and the error of age by labelled age group. */
import { GROUPS } from "./density.js";
import { html } from "./elements.js";
import { number, say } from "./language.js";
import { percent } from "./limits.js";

const PEOPLE = [["accuracy.clips", "n_clips", number], ["accuracy.speakers", "n_speakers", number]];
const years = (value) => number(value, 1);
const signed = (value) => `${value < 0 ? "−" : "+"}${years(Math.abs(value))}`;
const GENDER = [...PEOPLE, ["accuracy.recall", "recall", percent], ["accuracy.wrong_sure", "wrong_sure", percent]];
const AGE = [...PEOPLE, ["accuracy.mae", "mae", years], ["accuracy.bias.years", "bias", signed], ["accuracy.coverage80", "coverage80", percent]];
const PEOPLE_OF_GENDER = ["female_adults", "male_adults", "under_13"];

/** A `details` element, closed at first; null if the bundle has no figures by group. */
export function accuracy(model) {
  const { scores = {}, title } = model ?? {};
  const tables = [
    table(say("accuracy.gender"), GENDER, scores.gender?.by_group, PEOPLE_OF_GENDER, (group) => say(`accuracy.${group}`)),
    table(say("accuracy.age"), AGE, scores.age?.by_group, GROUPS, (group) => say(`group.${group}`)),
  ].filter(Boolean);
  if (!tables.length) return null;
  const leakage = scores.leakage === "none" ? say("leakage.none") : (scores.leakage ?? say("leakage.unknown"));
  const people = (name, n) => (Number.isFinite(n) ? say(name, { n }) : say("leakage.unknown"));
  const of = { model: title, clips: people("clips", scores.n_clips), speakers: people("speakers", scores.n_speakers), leakage };
  return html("details", { class: "accuracy" },
    html("summary", { text: say("accuracy") }),
    html("p", { class: "quiet", text: say("accuracy.of", of) }),
    html("div", { class: "tables" }, ...tables),
    html("p", { class: "quiet" }, say("accuracy.bias"), " ", html("a", { href: "/model-card", text: say("accuracy.more") })));
}

function table(caption, columns, rows, names, label) {
  const found = names.filter((name) => columns.slice(2).some(([, key]) => Number.isFinite(rows?.[name]?.[key])));
  if (!found.length) return null;
  const used = columns.filter(([, key]) => found.some((name) => Number.isFinite(rows[name][key])));
  return html("div", { class: "groups", tabindex: "0", role: "region", "aria-label": caption },
    html("table", {}, html("caption", { text: caption }),
      html("thead", {}, html("tr", {}, html("th", { scope: "col", text: say("accuracy.group") }),
        ...used.map(([heading]) => html("th", { scope: "col", text: say(heading) })))),
      html("tbody", {}, ...found.map((name) => html("tr", {}, html("th", { scope: "row", text: label(name) }),
        ...used.map(([, key, written]) => html("td", { class: "number", text: Number.isFinite(rows[name][key]) ? written(rows[name][key]) : "–" })))))));
}
