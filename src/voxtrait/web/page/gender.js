/** Gender as a slim gauge from male to female: the probability of female, and the abstention band. */
import { html } from "./elements.js";
import { number, probability, say } from "./language.js";

const percent = (share) => `${(100 * share).toFixed(2)}%`;

/** A label of the gauge for screen readers. */
function described(prediction, unsure) {
  const answer = say(`presents.${prediction.gender}`);
  const p = number(prediction.p_female, 2);
  const q = number(1 - prediction.p_female, 2);
  const bar = say("gender.bar", { answer, p, q });
  if (!unsure) return bar;
  const zone = prediction.gender === "unsure" ? "gender.bar.here" : "gender.bar.zone";
  return `${bar} ${say(zone, { low: number(unsure[0], 2), high: number(unsure[1], 2) })}`;
}

/** `unsure` is the abstention band of `p_female`, or null if it is unknown. */
export function genderGauge(prediction, unsure) {
  const [low, high] = unsure ?? [0.5, 0.5];
  const zones = [["male", low], ["unsure", high - low], ["female", 1 - high]].filter(([, wide]) => wide > 0);
  const needle = html("div", { class: `needle ${prediction.gender}` });
  needle.style.left = percent(prediction.p_female);
  const here = (name) => (name === prediction.gender ? " here" : "");
  const parts = (make) => zones.map(([name, wide]) => {
    const part = make(name);
    part.style.flexBasis = percent(wide);
    return part;
  });
  return html("div", { class: "gender-bar", role: "img", "aria-label": described(prediction, unsure) },
    html("div", { class: "track" }, ...parts((name) => html("div", { class: `zone ${name}${here(name)}` })), needle),
    html("div", { class: "labels" }, ...parts((name) => html("div", { class: `${name}${here(name)}`, text: say(`gender.${name}`) }))));
}

/** The probability of the predicted gender, in words. */
export function genderInWords(prediction) {
  const p = prediction.p_female;
  if (prediction.gender === "unsure") return say("probability.unsure", { p: number(p, 2) });
  return say("probability", { p: probability(prediction.gender === "female" ? p : 1 - p) });
}
