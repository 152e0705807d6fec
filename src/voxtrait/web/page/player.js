/** The player of a clip: its pictures and its timeline on one axis of time, and the position of the playback. */
import { Axis } from "./axis.js";
import { button, html, icon } from "./elements.js";
import { charts, lanes, rowLabel } from "./lanes.js";
import { clock, moment, number, say, seconds } from "./language.js";
import { LABEL, RULER, colours, drawChart, drawLane, drawRuler, drawSpectrogram, drawWave } from "./rows.js";
import { SHORT_S, piece } from "./timeline.js";

const NEAR = 5; // pixels around a turn in which a click hits it
const NARROW = 24; // pixels; a click on a narrower turn plays from its start
const GAP = 6; // pixels below the spectrogram
const PHONE = 600; // pixels; a narrower page gets smaller pictures

/** `unsure` is the abstention band of p_female, or null. */
export function player(clip, { unsure = null } = {}) {
  const { timeline } = clip;
  const duration = clip.prediction.duration_s ?? 0;
  const sound = html("audio", { preload: "metadata", src: clip.address });
  const canvas = html("canvas", { class: "shown", role: "img", "aria-label": say("shown", { name: clip.name }) });
  const head = html("div", { class: "head" });
  const labels = html("div", { class: "row-labels" });
  const place = html("input", {
    type: "range", class: "place", min: 0, max: Math.max(duration, 0.01), step: duration > SHORT_S ? 0.1 : 0.01, value: 0, "aria-label": say("position"),
  });
  const view = html("div", { class: "view" }, canvas, labels, head, place);
  const length = html("div", { class: "length" }, view);
  const scroller = html("div", { class: "scroll" }, length);
  const time = html("p", { class: "clock number" });
  const part = html("p", { class: "clock beginning" });
  const play = button(say("play"), { class: "play" }, icon("play"));
  const axis = new Axis(scroller, length, duration);
  const zooms = [["zoom.out", "minus", () => axis.farther()], ["zoom.in", "plus", () => axis.closer()], ["zoom.whole", "whole", () => axis.whole()]]
    .map(([name, sign, onclick]) => html("button", { type: "button", class: "button icon", "aria-label": say(name), title: say(name), onclick }, icon(sign)));
  const figure = html("div", { class: "tape player" },
    html("div", { class: "window" }, scroller),
    html("div", { class: "deck" }, play, time, part, html("div", { class: "zooms", role: "group", "aria-label": say("zoom") }, ...zooms), sound));
  let shown = []; // pictures from /v1/show
  let rows = [];
  let due = 0;
  let paint = null;

  // --- the picture

  const arrange = () => {
    const high = axis.width < PHONE ? [64, 112] : [88, 160];
    const has = figure.dataset.shown !== "no" || timeline.pieces.length;
    const pictures = [
      { draw: "ruler", height: RULER },
      { draw: "wave", height: high[0] + (timeline.course ? LABEL : 0), label: timeline.course && [say("speech.wave"), say("speech.shaded")] },
      { draw: "spectrogram", height: high[1] },
    ];
    rows = [...(has ? pictures : []), ...lanes(timeline), ...charts(timeline, unsure)];
    let top = 0;
    for (const row of rows) {
      row.top = top;
      top += row.height + (row.draw === "spectrogram" ? GAP : 0);
    }
    view.style.height = `${Math.max(top, 56)}px`;
    labels.replaceChildren(...rows.filter(({ label }) => label).map(rowLabel));
    canvas.hidden = !rows.length;
    canvas.ariaLabel = described(clip);
    if (shown.length || timeline.pieces.length) figure.dataset.shown = "yes";
    draw();
  };
  const draw = () => (due ||= requestAnimationFrame(() => {
    due = 0;
    if (!figure.isConnected || !axis.width) return;
    const ratio = window.devicePixelRatio || 1;
    const [wide, high] = [axis.width, view.clientHeight];
    view.style.width = `${wide}px`;
    const size = { width: Math.round(wide * ratio), height: Math.round(high * ratio) };
    if (canvas.width !== size.width || canvas.height !== size.height) {
      Object.assign(canvas, size);
      paint = null;
    }
    paint ??= Object.assign(canvas.getContext("2d"), { colours: colours(figure), patterns: new Map() });
    paint.setTransform(ratio, 0, 0, ratio, 0, 0);
    paint.clearRect(0, 0, wide, high);
    const pieces = [...timeline.pieces, ...shown];
    const waves = shown.length ? shown : timeline.pieces;
    const loudest = Math.max(0.05, ...waves.map(({ peak }) => peak));
    for (const row of rows) {
      if (row.draw === "ruler") drawRuler(paint, axis, row, high);
      else if (row.draw === "wave") drawWave(paint, axis, row, waves, loudest, timeline.course?.speech);
      else if (row.draw === "spectrogram") drawSpectrogram(paint, axis, row, pieces);
      else if (row.draw === "lane") drawLane(paint, axis, row);
      else drawChart(paint, axis, row);
    }
    zooms[0].disabled = zooms[2].disabled = axis.isWhole;
    zooms[1].disabled = axis.isClosest;
    showHead(sound.currentTime);
  }));

  // --- the position

  const showHead = (at) => {
    const left = (100 * axis.x(at)) / Math.max(1, axis.width);
    head.style.left = `${left}%`;
    head.hidden = !at || left < 0 || left > 100.5;
  };
  const showPosition = (at) => {
    showHead(at);
    place.value = at;
    place.ariaValueText = say("position.at", { at: seconds(at), duration: seconds(duration) });
    time.textContent = duration > SHORT_S
      ? `${clock(at)} / ${clock(duration)}`
      : `${number(at, 1)} / ${say("seconds", { n: seconds(duration) })}`;
  };
  const seek = (at) => {
    sound.currentTime = at;
    showPosition(at);
  };
  const playFrom = (at) => {
    seek(at);
    sound.play().catch(() => {});
  };
  const follow = () => {
    showPosition(sound.currentTime);
    if (!sound.paused) axis.reveal(sound.currentTime);
    if (!sound.paused && figure.isConnected) requestAnimationFrame(follow);
    else if (!figure.isConnected) sound.pause();
  };
  const face = () => play.replaceChildren(icon(sound.paused ? "play" : "pause"), html("span", { text: say(sound.paused ? "play" : "pause") }));
  const toggle = () => (sound.paused ? sound.play().catch(() => {}) : sound.pause());

  /** The turn under a pointer, or null. */
  const turnAt = (event) => {
    const { left, top } = view.getBoundingClientRect();
    const [x, y] = [event.clientX - left, event.clientY - top];
    const row = rows.find((one) => y >= one.top && y < one.top + one.height);
    if (row?.draw !== "lane") return null;
    const away = ({ start_s: start, end_s: end }) => Math.max(axis.x(start) - x, x - axis.x(end), 0);
    const nearest = row.segments.reduce((best, one) => (best && away(best) <= away(one) ? best : one), null);
    return nearest && away(nearest) <= NEAR ? { ...nearest, row, x } : null;
  };
  view.addEventListener("click", (event) => {
    const turn = turnAt(event);
    const at = axis.seconds(event.clientX - view.getBoundingClientRect().left);
    place.focus({ preventScroll: true });
    if (!turn) return seek(at);
    const narrow = (turn.end_s - turn.start_s) * axis.scale < NARROW;
    return playFrom(narrow ? turn.start_s : Math.min(turn.end_s, Math.max(turn.start_s, at)));
  });
  view.addEventListener("pointermove", (event) => {
    const turn = turnAt(event);
    view.title = turn ? `${turn.row.name} ${moment(turn.start_s)}–${moment(turn.end_s)}` : "";
  });
  place.addEventListener("input", () => {
    seek(Number(place.value));
    axis.reveal(Number(place.value));
  });
  place.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const then = { "+": () => axis.closer(), "=": () => axis.closer(), "-": () => axis.farther(), "0": () => axis.whole(), " ": toggle }[event.key];
    if (step && duration > SHORT_S) {
      seek(Math.min(duration, Math.max(0, sound.currentTime + step)));
      axis.reveal(sound.currentTime);
    } else if (then) then();
    else return;
    event.preventDefault();
  });
  play.addEventListener("click", toggle);
  sound.addEventListener("play", () => (face(), follow()));
  for (const name of ["pause", "ended"]) sound.addEventListener(name, face);
  sound.addEventListener("error", () => {
    play.hidden = place.hidden = head.hidden = true;
    time.textContent = say("play.not");
  });

  // --- new data

  let width = 0;
  axis.addEventListener("change", () => {
    if (axis.width === width) return draw();
    width = axis.width;
    return arrange();
  });
  let asked = false;
  const showBeginning = async () => {
    if (asked) return;
    asked = true;
    const found = await clip.shown();
    if (!found && !timeline.pieces.length) figure.dataset.shown = "no";
    if (found) shown = [piece(0, found.shown_s, found, draw)];
    if (found?.shown_s < duration - 0.1) part.textContent = say("shown.part", { n: Math.round(found.shown_s) });
    arrange();
  };
  // /v1/show draws only the beginning of a longer recording; its timeline draws all of it
  const fallBack = () => {
    const none = ["none", "failed", "stopped"].includes(timeline.state) && !timeline.pieces.length;
    if (duration <= SHORT_S || none) showBeginning();
  };
  timeline.follow(figure, () => {
    fallBack();
    arrange();
  });
  fallBack();
  showPosition(0);
  arrange();
  figure.playFrom = playFrom;
  return figure;
}

/** The label of the picture, for screen readers. */
function described({ name, timeline }) {
  const parts = [say("shown", { name })];
  if (timeline.hasLanes) {
    parts.push(say("timeline.speakers", { n: timeline.speakers.length }), say("timeline.turns", { n: timeline.turns.length }));
  }
  if (timeline.course) parts.push(say("chart.all"));
  return parts.join(". ");
}
