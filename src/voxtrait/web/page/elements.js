/** Creates elements. Text is never parsed as HTML, because file names are untrusted. */

/** `html("p", { class: "quiet", text: "…", hidden: true }, child, …)`. */
export function html(name, given = {}, ...children) {
  return filled(document.createElement(name), given, children);
}

export function svg(name, given = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), given, children);
}

function filled(element, given, children) {
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const ICONS = {
  play: "M7 4.5v15l12-7.5z",
  pause: "M8 5v14M16 5v14",
  save: "M12 4v11M7 11l5 5 5-5M5 20h14",
  close: "M6 6l12 12M18 6L6 18",
  previous: "M15 5l-7 7 7 7",
  next: "M9 5l7 7-7 7",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  whole: "M4 6v12M20 6v12M7 12h10M10 9l-3 3 3 3M14 9l3 3-3 3",
  again: "M19 12a7 7 0 1 1-2-5M19 4v4h-4",
};

export function icon(name) {
  return svg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, svg("path", { d: ICONS[name] }));
}

export function button(text, given = {}, ...children) {
  const { class: more, ...rest } = given;
  return html("button", { type: "button", class: ["button", more].filter(Boolean).join(" "), ...rest }, ...children, html("span", { text }));
}
