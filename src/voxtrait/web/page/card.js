/** The result of one clip: estimates with their limits, the player, the timeline, and the accuracy by group. */
import { accuracy } from "./accuracy.js";
import { ageCurve } from "./age.js";
import { button, html, icon } from "./elements.js";
import { json, save } from "./export.js";
import { genderGauge, genderInWords } from "./gender.js";
import { bytes, minutes, say, seconds, wholeYears } from "./language.js";
import { ageLimits, expectedError, genderLimits } from "./limits.js";
import { player } from "./player.js";
import { SHORT_S } from "./timeline.js";
import { turns } from "./turns.js";

/** The result in one sentence, for screen readers. */
export function inWords({ prediction, name }) {
  if (prediction.status !== "ok") return `${name}: ${say(`nothing.${prediction.status}`)}.`;
  const parts = [];
  if (prediction.gender !== null) parts.push(`${say(`presents.${prediction.gender}`)}, ${genderInWords(prediction)}`);
  if (prediction.age_years !== null) {
    parts.push(say("age.about", { n: wholeYears(prediction.age_years) }), range(prediction));
  }
  return `${name}: ${parts.join(", ")}.`;
}

function range({ age_low: low, age_high: high }) {
  return say("age.range", { low: Math.round(low), high: Math.round(high) });
}

/** Returns an article. `again` repeats a failed request; `recorded`: the clip comes from the microphone. */
export function card(clip, { model, limits, again, announce, recorded = false }) {
  const { prediction, timeline } = clip;
  const served = model?.title === prediction.model ? model : null;
  const tape = prediction.status === "error" ? null : player(clip, { unsure: served?.unsure ?? null });
  if (prediction.status === "ok" || prediction.duration_s > SHORT_S) timeline.start();
  const title = html("h2", { class: "name", tabindex: "-1", text: clip.name });
  const article = html("article", { class: `card ${prediction.status}`, "aria-label": say("result.of", { name: clip.name }) },
    html("header", {}, title, prediction.speech_s === null ? null : speechShare(prediction)),
    prediction.status === "ok" ? estimates(clip, served) : nothing(clip, limits, again),
    tape,
    tape && turns(clip, { play: tape.playFrom, limits, announce }),
    prediction.status === "ok" && accuracy(served),
    html("footer", {},
      html("p", { class: "quiet", text: prediction.status === "error" ? "" : say("model", { model: prediction.model }) }),
      recorded && prediction.status !== "error"
        ? button(say("save.recording"), { class: "plain", onclick: () => save(clip.name.replaceAll(":", "-"), "audio/wav", clip.file) }, icon("save"))
        : null,
      button(say("save.json"), { class: "plain", onclick: () => save(`${stem(clip.name)}.json`, "application/json", json([prediction])) }, icon("save"))));
  return article;
}

function stem(name) {
  return name.replace(/^.*\//, "").replace(/\.[^.]*$/, "") || "voice";
}

function speechShare({ speech_s: speech, duration_s: duration }) {
  const bar = html("span", { class: "filled" });
  bar.style.width = `${duration ? Math.min(100, (100 * speech) / duration) : 0}%`;
  return html("p", { class: "speech-share" },
    html("span", { class: "quiet", text: say("speech") }), " ",
    html("strong", { class: "number", text: say("speech.of", { speech: seconds(speech), duration: seconds(duration) }) }),
    html("span", { class: "meter", "aria-hidden": "true" }, bar));
}

function estimates({ prediction, timeline }, served) {
  const parts = [];
  const scores = served?.scores;
  if (prediction.gender !== null) {
    parts.push(html("section", { class: "part gender" },
      html("h3", { text: say("gender") }),
      html("p", { class: "big", text: say(`gender.${prediction.gender}`) }),
      html("p", { class: "quiet", text: genderInWords(prediction) }),
      notes(genderLimits(prediction, scores?.gender?.by_group)),
      genderGauge(prediction, served?.unsure ?? null)));
  }
  if (prediction.age_years !== null || prediction.age_groups !== null) {
    const error = expectedError(prediction, scores?.age?.by_estimate);
    parts.push(html("section", { class: "part age" },
      html("h3", { text: say("age") }),
      prediction.age_years === null ? null : html("p", { class: "big" }, years(wholeYears(prediction.age_years))),
      html("p", { class: "quiet", text: [
        prediction.age_low === null ? null : range(prediction),
        prediction.age_group === null ? null : say("age.group", { group: say(`group.${prediction.age_group}`) }),
      ].filter(Boolean).join(" · ") }),
      error && html("p", { class: "quiet limit expected-error", text: error }),
      notes(ageLimits(prediction, scores?.age?.by_group, scores?.age?.by_estimate)),
      prediction.age_groups === null ? null : ageCurve(prediction)));
  }
  // a site has no timelines
  const several = html("p", { class: "several", text: say(document.body.dataset.local ? "several.here" : "several") });
  const look = () => (several.hidden = prediction.voices !== "several" && timeline.speakers.length < 2);
  timeline.follow(several, look);
  look();
  const averaged = prediction.message?.includes("channels hold different people");
  return html("div", { class: "estimates" }, several, averaged && html("p", { class: "several", text: say("averaged") }), html("div", { class: "parts" }, ...parts));
}

/** Limits that apply to a value, beside it. */
function notes(sentences) {
  return sentences.length ? html("ul", { class: "limits" }, ...sentences.map((text) => html("li", { class: "limit", text }))) : null;
}

/** "about 34 years", the number large. */
function years(n) {
  const text = say("age.about", { n });
  const [before, after] = text.split(String(n));
  const whole = html("span", { class: "years" });
  whole.append(html("small", { text: before }), String(n), html("small", { text: after }));
  return whole;
}

function nothing(clip, limits, again) {
  const { prediction, problem } = clip;
  const status = prediction.status;
  const todo = status === "error"
    ? say(`error.${problem.kind}`, { limit: bytes(limits?.max_upload_bytes ?? 0), minutes: minutes(limits?.max_seconds ?? 0) })
    : say(`nothing.${status}.do`, { speech: seconds(prediction.speech_s ?? 0) });
  return html("section", { class: "nothing" },
    html("p", { class: "big", text: say(`nothing.${status}`) }),
    html("p", { class: "todo", text: todo }),
    status === "error" && prediction.message ? html("p", { class: "quiet detail", lang: "en", text: prediction.message }) : null,
    clip.unlucky ? button(say("again"), { class: "main", onclick: () => again(clip) }, icon("again")) : null);
}
