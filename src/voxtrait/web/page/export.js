/** Predictions as files, equal to those of `voxtrait --format csv` and `json`. */
import { html } from "./elements.js";

const COLUMNS = [
  "path", "status", "message", "duration_s", "speech_s", "gender", "p_female",
  "age_years", "age_low", "age_high", "age_group", "model", "voices",
];
const FLOATS = new Set(["duration_s", "speech_s", "p_female", "age_years", "age_low", "age_high"]);

/** A CSV cell; floats in the format of Python: `2.0`, not `2`. */
function cell(name, value) {
  if (value === null || value === undefined) return "";
  if (FLOATS.has(name) && Number.isInteger(value)) return `${value}.0`;
  let text = String(value);
  // a spreadsheet would run the name =1+1.wav as a formula; ./=1+1.wav is the same file, but text
  if (name === "path" && /^[=+\-@\t\r]/.test(text)) text = `./${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function csv(predictions) {
  const columns = COLUMNS.filter((name) => name !== "voices" || predictions.some((one) => name in one));
  const lines = predictions.map((one) => columns.map((name) => cell(name, one[name])).join(","));
  return [columns.join(","), ...lines].map((line) => `${line}\n`).join("");
}

/** An object for one prediction, a list for several. */
export function json(predictions) {
  return `${JSON.stringify(predictions.length === 1 ? predictions[0] : predictions, null, 2)}\n`;
}

export function save(name, type, content) {
  const address = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  html("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000); // by then, the download has started
}
