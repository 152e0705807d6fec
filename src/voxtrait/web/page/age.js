/** Age as a distribution over the years, with the shares of the decades and the 80 % interval. */
import { GROUPS, density } from "./density.js";
import { html, svg } from "./elements.js";
import { number, say, wholeYears } from "./language.js";

const HEIGHT = 166;
const TOP = 26; // above the curve, where the shares of the decades are
const BASE = 114; // the base line of the curve
const SIDE = 14;
const SHARES_FROM = 520; // smallest width in pixels at which the shares are shown
let drawn = 0; // curves so far: the clip path of each needs a unique id

function described(prediction) {
  const group = say(`group.${prediction.age_group}`);
  if (prediction.age_low === null) return say("age.curve.no_interval", { group });
  const [low, high] = [prediction.age_low, prediction.age_high].map(Math.round);
  return say("age.curve", { n: wholeYears(prediction.age_years), low, high, group });
}

/** Returns a figure that redraws itself when its width changes. */
export function ageCurve(prediction) {
  const figure = html("div", { class: "age-curve", role: "img", "aria-label": described(prediction) });
  let width = 0;
  new ResizeObserver(() => {
    if (!figure.clientWidth || figure.clientWidth === width) return;
    width = figure.clientWidth;
    figure.replaceChildren(curve(prediction, width));
  }).observe(figure);
  return figure;
}

function curve(prediction, width) {
  const shares = density(prediction.age_groups);
  const most = Math.max(...shares);
  const x = (year) => SIDE + ((width - 2 * SIDE) * Math.min(100, Math.max(0, year))) / 100;
  const top = width < SHARES_FROM ? 0 : TOP;
  const y = (share) => BASE - ((BASE - top - 12) * share) / most;
  const points = [[0, shares[0]], ...shares.map((share, year) => [year + 0.5, share]), [100, shares.at(-1)]];
  const line = points.map(([year, share], at) => `${at ? "L" : "M"}${x(year).toFixed(1)} ${y(share).toFixed(1)}`).join("");
  const area = `${line}L${x(100)} ${BASE}L${x(0)} ${BASE}Z`;
  const { age_low: low, age_high: high, age_years: middle } = prediction;
  const name = `interval-${++drawn}`;
  const inside = low !== null && high !== null;
  return svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, "aria-hidden": "true" },
    ...decades(prediction, x, width, top),
    svg("path", { class: "outside", d: area }),
    inside && svg("clipPath", { id: name }, svg("rect", { x: x(low), y: 0, width: x(high) - x(low), height: BASE })),
    inside && svg("path", { class: "inside", d: area, "clip-path": `url(#${name})` }),
    svg("path", { class: "line", d: line }),
    svg("path", { class: "base", d: `M${x(0)} ${BASE}H${x(100)}` }),
    ...(inside ? interval(low, high, x) : []),
    ...(middle === null ? [] : pin(x(middle), y(between(shares, middle)))));
}

/** The height of the curve at an age, interpolated between years. */
function between(shares, age) {
  const at = Math.min(98.999, Math.max(0, age - 0.5));
  const year = Math.floor(at);
  return shares[year] + (at - year) * (shares[year + 1] - shares[year]);
}

function pin(x, y) {
  return [svg("path", { class: "middle", d: `M${x} ${BASE}V${y}` }), svg("circle", { class: "middle", cx: x, cy: y, r: 5.5 })];
}

function decades(prediction, x, width, top) {
  const every = width < 420 ? 20 : 10;
  const marks = [];
  for (let year = 0; year <= 100; year += 10) {
    marks.push(svg("path", { class: "decade", d: `M${x(year)} ${top}V${BASE}` }));
    if (year % every) continue;
    marks.push(svg("text", { x: x(year), y: HEIGHT - 6, "text-anchor": "middle", text: number(year) }));
  }
  if (width < SHARES_FROM) return marks;
  for (const [index, group] of GROUPS.entries()) {
    const share = prediction.age_groups[group] ?? 0;
    if (share < 0.005) continue;
    const here = group === prediction.age_group ? " here" : "";
    marks.push(svg("text", {
      class: `share${here}`, x: x(10 * index + 5), y: 18, "text-anchor": "middle", text: `${number(100 * share)} %`,
    }));
  }
  return marks;
}

function interval(low, high, x) {
  const y = BASE + 16;
  return [
    svg("path", { class: "interval", d: `M${x(low)} ${y - 5}v10M${x(low)} ${y}H${x(high)}M${x(high)} ${y - 5}v10` }),
  ];
}

/** The interval alone, small enough for a row of a table. */
export function ageStroke(prediction) {
  const { age_low: low, age_high: high, age_years: middle } = prediction;
  return svg("svg", { class: "age-stroke", viewBox: "0 0 100 12", "aria-hidden": "true", preserveAspectRatio: "none" },
    svg("path", { class: "scale", d: "M0 6H100" }),
    svg("path", { class: "span", d: `M${low} 6H${high}` }),
    svg("path", { class: "point", d: `M${middle} 1V11` }));
}
