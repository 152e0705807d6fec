/** The rows of a recording on one axis of time, drawn on a canvas: seconds, waveform, spectrogram, lanes, charts. */
import { clock, number } from "./language.js";

export const RULER = 24; // heights of rows, in pixels
export const LANE = 52;
export const CHART = 112;
export const LABEL = 24; // space for the label at the top of a lane or chart
const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600]; // seconds between marks
const MARKS_APART = 72; // pixels, at least
const NARROWEST = 1.5; // smallest width of a turn in pixels
const HATCHED = 6; // smallest width of a turn with a pattern, in pixels
const FONT = "12px Onest, sans-serif";

/** The colours of the tape, from the style sheet. The tape is always dark: use the second colour of `light-dark()`. */
export function colours(element) {
  const style = getComputedStyle(element);
  const named = (name) => style.getPropertyValue(`--${name}`).trim().replace(/^light-dark\([^,]*,\s*(.*)\)$/, "$1");
  return {
    ink: named("tape-ink"), quiet: named("tape-quiet"), line: named("tape-line"), signal: named("signal"), paper: named("tape"),
    female: named("female"), male: named("male"), unsure: named("unsure"), music: named("music"),
  };
}

export function drawRuler(paint, axis, { top, height }, whole) {
  const step = STEPS.find((one) => one * axis.scale >= MARKS_APART) ?? STEPS.at(-1);
  paint.font = FONT;
  paint.textBaseline = "middle";
  for (let mark = Math.ceil(axis.begin / step); mark * step <= axis.end; mark += 1) {
    const x = Math.round(axis.x(mark * step));
    paint.fillStyle = paint.colours.line;
    paint.fillRect(x, top, 1, whole);
    paint.fillStyle = paint.colours.quiet;
    const text = step < 1 ? number(mark * step, 1) : clock(mark * step);
    const from = x + (mark ? 5 : 12); // keeps clear of the round corner
    if (from + paint.measureText(text).width < axis.width) paint.fillText(text, from, top + height / 2);
  }
}

/** Waveforms, and behind them the speech segments, if known. */
export function drawWave(paint, axis, row, pieces, loudest, speech) {
  const above = row.label ? LABEL : 0;
  const [top, height] = [row.top + above, row.height - above];
  const middle = top + height / 2;
  if (speech) {
    for (const [start, end] of inView(axis, speech, (one) => one)) {
      paint.fillStyle = paint.colours.ink;
      paint.globalAlpha = 0.15;
      paint.fillRect(axis.x(start), top, (end - start) * axis.scale, height);
      paint.globalAlpha = 1;
      paint.fillRect(axis.x(start), top + height - 3, (end - start) * axis.scale, 3);
    }
  }
  paint.fillStyle = paint.colours.signal;
  for (const { start, end, wave } of inView(axis, pieces, ({ start, end }) => [start, end])) {
    const strokes = wave.length / 2;
    const seconds = (end - start) / strokes;
    const up = (value) => middle - (0.46 * height * value) / loudest;
    paint.beginPath();
    if (seconds * axis.scale > 1) smooth(paint, axis, { start, seconds, strokes, wave }, up);
    else columns(paint, axis, { start, end, seconds, strokes, wave }, up);
    paint.fill();
  }
}

/** Strokes wider than a pixel: draw an outline through their middles. */
function smooth(paint, axis, { start, seconds, strokes, wave }, up) {
  const first = Math.max(0, Math.floor((axis.begin - start) / seconds) - 1);
  const last = Math.min(strokes, Math.ceil((axis.end - start) / seconds) + 1);
  const x = (stroke) => axis.x(start + (stroke + 0.5) * seconds);
  for (let stroke = first; stroke < last; stroke += 1) paint.lineTo(x(stroke), up(wave[2 * stroke + 1]) - 0.6);
  for (let stroke = last - 1; stroke >= first; stroke -= 1) paint.lineTo(x(stroke), up(wave[2 * stroke]) + 0.6);
}

/** Several strokes per pixel: draw from the lowest to the highest. */
function columns(paint, axis, { start, end, seconds, strokes, wave }, up) {
  const last = Math.min(axis.width, Math.ceil(axis.x(end)));
  const stroke = (x) => (axis.seconds(x) - start) / seconds;
  for (let x = Math.max(0, Math.floor(axis.x(start))); x < last; x += 1) {
    const from = Math.max(0, Math.floor(stroke(x)));
    const to = Math.min(strokes, Math.max(from + 1, Math.ceil(stroke(x + 1))));
    let [low, high] = [0, 0];
    for (let at = from; at < to; at += 1) {
      low = Math.min(low, wave[2 * at]);
      high = Math.max(high, wave[2 * at + 1]);
    }
    paint.rect(x, up(high) - 0.6, 1, up(low) - up(high) + 1.2);
  }
}

export function drawSpectrogram(paint, axis, { top, height }, pieces) {
  paint.fillStyle = "black";
  paint.fillRect(0, top, axis.width, height);
  for (const { start, end, image } of inView(axis, pieces, ({ start, end }) => [start, end])) {
    // whole pixels, to avoid seams
    const [from, to] = [Math.round(axis.x(start)), Math.round(axis.x(end))];
    if (image) paint.drawImage(image, from, top, Math.max(1, to - from), height);
  }
}

/** A lane: the turns of one speaker, filled by gender, or the segments of music. */
export function drawLane(paint, axis, { top, height, segments, kind }) {
  const [bar, high] = [top + LABEL + 1, height - LABEL - 9];
  paint.fillStyle = paint.colours.line;
  paint.fillRect(0, bar + high / 2, axis.width, 1);
  for (const { start_s: start, end_s: end } of inView(axis, segments, (one) => [one.start_s, one.end_s])) {
    const wide = Math.max(NARROWEST, (end - start) * axis.scale);
    const from = Math.max(-4, axis.x(start));
    const to = Math.min(axis.width + 4, axis.x(start) + wide);
    const pattern = wide < HATCHED ? paint.colours[kind] : hatched(paint, kind);
    paint.fillStyle = { female: paint.colours.female, male: paint.colours.male }[kind] ?? pattern;
    paint.fillRect(from, bar, to - from, high);
    if (kind === "female" || kind === "male") continue;
    paint.strokeStyle = paint.colours[kind];
    if (wide >= HATCHED) paint.strokeRect(from + 0.5, bar + 0.5, to - from - 1, high - 1);
  }
}

/** Diagonal lines for unsure, dots for music. */
function hatched(paint, kind) {
  paint.patterns ??= new Map();
  if (paint.patterns.has(kind)) return paint.patterns.get(kind);
  const tile = Object.assign(document.createElement("canvas"), { width: 8, height: 8 });
  const brush = tile.getContext("2d");
  brush.fillStyle = paint.colours.line;
  brush.fillRect(0, 0, 8, 8);
  brush.fillStyle = brush.strokeStyle = paint.colours[kind];
  brush.lineWidth = 1.5;
  if (kind === "unsure") {
    for (const at of [-8, 0, 8]) {
      brush.moveTo(at, 8);
      brush.lineTo(at + 8, 0);
    }
    brush.stroke();
  } else {
    brush.arc(4, 4, 1.6, 0, 7);
    brush.fill();
  }
  const found = paint.createPattern(tile, "repeat");
  paint.patterns.set(kind, found);
  return found;
}

/**
 * A chart: a line through `points` ([seconds, value, low, high]; a null value is a gap) in the `range` of its axis, with
 * marks, words for the `ends` of the axis, and a band between low and high.
 */
export function drawChart(paint, axis, { top, height, points, range: [least, most], marks, ends = {}, zone, gap, dots }) {
  const y = (value) => top + height - 8 - ((height - LABEL - 14) * (Math.min(most, Math.max(least, value)) - least)) / (most - least);
  paint.font = FONT;
  if (zone) {
    paint.fillStyle = hatched(paint, "unsure");
    paint.globalAlpha = 0.4;
    paint.fillRect(0, y(zone[1]), axis.width, y(zone[0]) - y(zone[1]));
    paint.globalAlpha = 1;
  }
  for (const mark of marks) {
    paint.fillStyle = paint.colours.line;
    paint.fillRect(0, Math.round(y(mark)), axis.width, 1);
  }
  const margin = gap * 2;
  const seen = points.filter(([at]) => at >= axis.begin - margin && at <= axis.end + margin);
  const runs = [[]];
  for (const point of seen) {
    const before = runs.at(-1).at(-1);
    if (point[1] === null || (before && point[0] - before[0] > gap)) runs.push([]);
    if (point[1] !== null) runs.at(-1).push(point);
  }
  for (const run of runs.filter(({ length }) => length)) {
    if (run[0][2] !== undefined && run[0][2] !== null) {
      paint.fillStyle = paint.colours.quiet;
      paint.globalAlpha = 0.4;
      paint.beginPath();
      for (const [at, , low] of run) paint.lineTo(axis.x(at), y(low));
      for (const [at, , , high] of run.toReversed()) paint.lineTo(axis.x(at), y(high));
      paint.fill();
      paint.globalAlpha = 1;
    }
    paint.strokeStyle = paint.fillStyle = paint.colours.ink;
    paint.lineWidth = 2;
    paint.beginPath();
    for (const [at, value] of run) paint.lineTo(axis.x(at), y(value));
    paint.stroke();
    if (run.length > 1 && !dots) continue;
    for (const [at, value] of run) {
      if (zone) paint.fillStyle = paint.colours[value < zone[0] ? "male" : value > zone[1] ? "female" : "unsure"];
      paint.beginPath();
      paint.arc(axis.x(at), y(value), zone ? 4.5 : 2.5, 0, 7);
      paint.fill();
    }
  }
  paint.lineWidth = 1;
  paint.textBaseline = "middle";
  paint.textAlign = "right";
  for (const mark of marks) {
    const value = Number.isInteger(mark) ? number(mark) : number(mark, 1);
    const text = ends[mark] ? `${ends[mark]} ${value}` : value;
    paint.fillStyle = paint.colours.paper;
    paint.fillRect(axis.width - paint.measureText(text).width - 10, y(mark) - 7, paint.measureText(text).width + 6, 14);
    paint.fillStyle = paint.colours.quiet;
    paint.fillText(text, axis.width - 7, y(mark));
  }
  paint.textAlign = "left";
}

/** The items that overlap the visible part; `ends` returns the start and end of an item. */
function inView(axis, things, ends) {
  return things.filter((one) => {
    const [start, end] = ends(one);
    return end >= axis.begin && start <= axis.end;
  });
}
