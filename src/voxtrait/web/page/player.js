/** The player of a clip: its waveform, its spectrogram, and the position of the playback. */
import { button, html, icon, svg } from "./elements.js";
import { number, say, seconds } from "./language.js";

const WAVE_HIGH = 100; // units of the waveform's own picture

export function player(clip) {
  const duration = clip.prediction.duration_s ?? 0;
  let span = duration; // seconds in the picture
  const sound = html("audio", { preload: "metadata", src: clip.address });
  const picture = html("div", { class: "shown", role: "img", "aria-label": say("shown", { name: clip.name }) });
  const head = html("div", { class: "head" });
  const place = html("input", {
    type: "range", class: "place", min: 0, max: Math.max(duration, 0.01), step: 0.01, value: 0, "aria-label": say("position"),
  });
  const clock = html("p", { class: "clock number" });
  const part = html("p", { class: "clock" });
  const play = button(say("play"), { class: "play" }, icon("play"));
  const figure = html("div", { class: "tape player", hidden: true },
    html("div", { class: "window" }, picture, head, place),
    html("div", { class: "deck" }, play, clock, part, sound));

  const showPosition = (at) => {
    head.style.left = `${Math.min(100, (100 * at) / Math.max(span, 0.01))}%`;
    head.hidden = !at;
    place.value = at;
    place.ariaValueText = say("position.at", { at: seconds(at), duration: seconds(duration) });
    clock.textContent = `${number(at, 1)} / ${say("seconds", { n: seconds(duration) })}`;
  };
  const follow = () => {
    showPosition(sound.currentTime);
    if (!sound.paused && figure.isConnected) requestAnimationFrame(follow);
    else if (!figure.isConnected) sound.pause();
  };
  const face = () => play.replaceChildren(icon(sound.paused ? "play" : "pause"), html("span", { text: say(sound.paused ? "play" : "pause") }));
  play.addEventListener("click", () => (sound.paused ? sound.play().catch(() => {}) : sound.pause()));
  place.addEventListener("input", () => {
    sound.currentTime = Number(place.value);
    showPosition(Number(place.value));
  });
  sound.addEventListener("play", () => (face(), follow()));
  for (const name of ["pause", "ended"]) sound.addEventListener(name, face);
  sound.addEventListener("error", () => {
    play.hidden = place.hidden = head.hidden = true;
    clock.textContent = say("play.not");
  });
  showPosition(0);
  show(clip, picture).then((shown) => {
    figure.dataset.shown = shown ? "yes" : "no";
    if (!(shown?.shown_s < duration - 0.1)) return;
    span = place.max = shown.shown_s; // of a long recording, the picture is of its beginning
    part.textContent = say("shown.part", { n: Math.round(span) });
  });
  figure.hidden = false;
  return figure;
}

async function show(clip, picture) {
  const shown = await clip.shown();
  if (!shown) {
    picture.hidden = true;
    return null;
  }
  const spectrogram = html("img", { class: "spectrogram", src: shown.spectrogram, alt: "" });
  picture.replaceChildren(wave(shown.waveform), spectrogram);
  await spectrogram.decode().catch(() => {});
  return shown;
}

function wave(pairs) {
  const loudest = Math.max(0.05, ...pairs.flat().map(Math.abs));
  const y = (value) => (WAVE_HIGH / 2) * (1 - (0.96 * value) / loudest);
  const tops = pairs.map(([, high], at) => `${at ? "L" : "M"}${at + 0.5} ${(y(high) - 0.6).toFixed(1)}`);
  const bottoms = pairs.map(([low], at) => `L${at + 0.5} ${(y(low) + 0.6).toFixed(1)}`).reverse();
  return svg("svg", { class: "wave", viewBox: `0 0 ${Math.max(1, pairs.length)} ${WAVE_HIGH}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("path", { d: `${tops.join("")}${bottoms.join("")}Z` }));
}
