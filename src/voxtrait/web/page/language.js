/** The language of the page, its texts, and the format of numbers. */
import english from "./english.js";
import russian from "./russian.js";

const TEXTS = { en: english, ru: russian };
export const spoken = new EventTarget(); // "change" after the language has changed

export function language() {
  return document.documentElement.lang in TEXTS ? document.documentElement.lang : "en";
}

/** The text of a name with its `{value}`s filled in; `n` selects the plural form. */
export function say(name, values = {}) {
  let text = TEXTS[language()][name] ?? english[name];
  if (text === undefined) throw new Error(`no text ${name}`);
  if (typeof text === "object") text = text[new Intl.PluralRules(language()).select(Number(values.n))] ?? text.other;
  return text.replace(/\{(\w+)\}/g, (_, key) => (typeof values[key] === "number" ? number(values[key]) : values[key]));
}

export function number(value, digits = 0) {
  return new Intl.NumberFormat(language(), { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);
}

/** Seconds with one decimal below a hundred: `3.9`. */
export function seconds(value) {
  return number(value, value < 100 ? 1 : 0);
}

/** A probability with two digits; above 0.99: "over 0.99". */
export function probability(value) {
  if (value > 0.99) return say("over", { p: number(0.99, 2) });
  return number(value, 2);
}

export function bytes(count) {
  const unit = count < 1e6 ? "kilobyte" : "megabyte";
  return new Intl.NumberFormat(language(), { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: 0 })
    .format(count / (count < 1e6 ? 1e3 : 1e6));
}

export function minutes(seconds) {
  return seconds < 120 ? say("seconds", { n: seconds }) : say("minutes", { n: Math.floor(seconds / 60) });
}

/** An age as the nearest whole year in the same decade, so that it does not contradict its age group. */
export const wholeYears = (age) => Math.min(Math.round(age), Math.floor(age / 10) * 10 + 9);

/** A time as `m:ss`, or `h:mm:ss` from an hour on. */
export function clock(value) {
  const whole = Math.floor(value + 1e-6);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (part) => String(part).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** A time with one decimal: `0:04.5`. */
export function moment(value) {
  const tenths = Math.round(10 * value);
  return `${clock(Math.floor(tenths / 10))}${number((tenths % 10) / 10, 1).slice(1)}`;
}

/** A duration: `9.5 s`, `91 s`, `12 min`. */
export function span(value) {
  return value < 120 ? say("seconds", { n: seconds(value) }) : say("minutes", { n: number(value / 60, value < 600 ? 1 : 0) });
}

/** Fill in the texts of the document: `data-say` for an element's text, `data-say-label` for its label. */
export function fill(root = document) {
  for (const element of root.querySelectorAll("[data-say]")) element.textContent = say(element.dataset.say);
  for (const element of root.querySelectorAll("[data-say-label]")) element.ariaLabel = say(element.dataset.sayLabel);
}

export function speak(chosen) {
  document.documentElement.lang = chosen;
  document.title = say("title");
  fill();
  document.documentElement.dataset.texts = "ready";
  spoken.dispatchEvent(new Event("change"));
}
