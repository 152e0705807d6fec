/** Gender as a bar: where the probability falls, and the zone in which the model is unsure. */
import { html } from "./elements.js";
import { number, probability, say } from "./language.js";

const percent = (share) => `${(100 * share).toFixed(2)}%`;

/** A label of the bar for screen readers. */
function described(prediction, unsure) {
  const answer = say(`presents.${prediction.gender}`);
  const p = number(prediction.p_female, 2);
  const q = number(1 - prediction.p_female, 2);
  const bar = say("gender.bar", { answer, p, q });
  if (!unsure) return bar;
  const zone = prediction.gender === "unsure" ? "gender.bar.here" : "gender.bar.zone";
  return `${bar} ${say(zone, { low: number(unsure[0], 2), high: number(unsure[1], 2) })}`;
}

/** `unsure` is the zone of `p_female`, or null where it is not known. */
export function genderBar(prediction, unsure) {
  const [low, high] = unsure ?? [0.5, 0.5];
  const zones = [["female", 1 - high], ["unsure", high - low], ["male", low]].filter(([, wide]) => wide > 0);
  const needle = html("div", { class: "needle" });
  needle.style.left = percent(1 - prediction.p_female);
  const track = html("div", { class: "track" }, ...zones.map(([name, wide]) => {
    const zone = html("div", { class: `zone ${name}${name === prediction.gender ? " here" : ""}` });
    zone.style.flexBasis = percent(wide);
    return zone;
  }), needle);
  const labels = html("div", { class: "labels" }, ...zones.map(([name, wide]) => {
    const label = html("div", { class: name === prediction.gender ? "here" : "", text: say(`gender.${name}`) });
    label.style.flexBasis = percent(wide);
    return label;
  }));
  return html("div", { class: "gender-bar", role: "img", "aria-label": described(prediction, unsure) }, track, labels);
}

/** The probability in words, of what is presented. */
export function genderInWords(prediction) {
  const p = prediction.p_female;
  if (prediction.gender === "unsure") return say("probability.unsure", { p: number(p, 2) });
  return say("probability", { p: probability(prediction.gender === "female" ? p : 1 - p) });
}
