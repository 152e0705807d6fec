/** The page: its parts, and the events that connect them. */
import { card, inWords } from "./card.js";
import { activeModel, authorise, limits, onToken } from "./connection.js";
import { html } from "./elements.js";
import { examples } from "./examples.js";
import { intake } from "./intake.js";
import { language, say, speak, spoken } from "./language.js";
import { Many } from "./many.js";
import { Session } from "./session.js";
import { Stage } from "./stage.js";
import { askForToken } from "./token.js";

const find = (id) => document.getElementById(id);
const session = new Session();
let single = null; // the clip whose card is on the page itself
let opened = null; // the clip whose card is in the dialog
const recordings = new WeakSet(); // clips that came from the microphone

function keep(name, value) {
  try {
    localStorage.setItem(`voxtrait.${name}`, value);
  } catch {
    // storage may be forbidden
  }
}

/** Announce a text to screen readers. */
function announce(text) {
  find("announcer").textContent = text;
}

// --- language and colours

function dark() {
  const theme = document.documentElement.dataset.theme;
  return theme ? theme === "dark" : window.matchMedia("(prefers-color-scheme: dark)").matches;
}

function drawSwitches() {
  const other = say(dark() ? "theme.light" : "theme.dark");
  find("theme").ariaLabel = say("theme.label", { theme: other.toLowerCase() });
  find("theme").dataset.now = dark() ? "dark" : "light";
  find("language").lang = language() === "en" ? "ru" : "en";
  const loopback = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(location.hostname);
  const local = loopback || document.body.dataset.local; // a site processes the audio in the browser
  find("private").textContent = say(local ? "private.here" : "private.there", { host: location.hostname });
}

find("theme").addEventListener("click", () => {
  const theme = dark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  keep("theme", theme);
  drawSwitches();
});
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawSwitches);
find("language").addEventListener("click", () => {
  const chosen = language() === "en" ? "ru" : "en";
  keep("language", chosen);
  speak(chosen);
});
spoken.addEventListener("change", () => {
  drawSwitches();
  examples(find("examples"), { take, failed: () => note([say("examples.failed")]) });
  many.again();
  drawSingle();
  if (opened) drawOpened();
});

// --- results

function makeCard(clip) {
  return card(clip, {
    model: session.model, limits: session.limits, again: (one) => session.again(one), announce, recorded: recordings.has(clip),
  });
}

function drawSingle() {
  const place = find("single");
  if (!single) place.replaceChildren();
  else if (single.state === "done") place.replaceChildren(makeCard(single));
  else place.replaceChildren(html("p", { class: "working", text: say("working", { name: single.name }) }));
}

function arrange() {
  const { clips } = session;
  if (single && !clips.includes(single)) single = null;
  find("many").hidden = clips.length < 2;
  document.body.dataset.view = clips.length ? "results" : "first";
  drawSingle();
}

function drawOpened() {
  const order = many.table.order.filter((clip) => clip.prediction);
  const at = order.indexOf(opened);
  find("opened").replaceChildren(makeCard(opened));
  find("previous").disabled = at <= 0;
  find("next").disabled = at < 0 || at >= order.length - 1;
}

/** Stop the timeline of a clip that is no longer shown. */
function leave(clip) {
  if (clip && clip !== single) clip.timeline.stop("idle");
}

function open(clip) {
  if (clip !== opened) leave(opened);
  opened = clip;
  drawOpened();
  const dialog = find("dialog");
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  find("opened").querySelector("h2").focus();
}

function step(by) {
  const order = many.table.order.filter((clip) => clip.prediction);
  const next = order[order.indexOf(opened) + by];
  if (next) open(next);
}

find("previous").addEventListener("click", () => step(-1));
find("next").addEventListener("click", () => step(1));
find("close").addEventListener("click", () => find("dialog").close());
find("dialog").addEventListener("keydown", (event) => {
  if (event.target.type === "range") return; // there, the arrow keys move the position
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});
find("dialog").addEventListener("close", () => {
  const row = opened;
  opened = null;
  leave(row);
  find("opened").replaceChildren();
  many.table.focus(row);
});

const many = new Many(session, open, announce);
session.addEventListener("added", arrange);
session.addEventListener("removed", arrange);
session.addEventListener("changed", ({ detail: clip }) => {
  if (clip === single) drawSingle();
  if (clip === opened && clip.prediction) drawOpened();
});
session.addEventListener("done", ({ detail: clip }) => {
  if (clip !== single) return;
  announce(inWords(clip));
  find("single").querySelector("h2")?.focus();
});
find("many-clear").addEventListener("click", () => {
  session.clear();
  find("record").focus();
});

// --- new files and recordings

function note(texts) {
  find("drop-note").textContent = texts.join(" ");
  find("drop-note").hidden = !texts.length;
}

function take({ files, skipped }) {
  note([files.length ? "" : say("drop.none"), skipped ? say("drop.skipped", { n: skipped }) : ""].filter(Boolean));
  if (!files.length) return;
  const before = single;
  single = null;
  leave(before);
  const added = session.add(files);
  if (added.length === 1) [single] = added;
  arrange();
  if (!single) find("many-title").focus();
}

intake({
  chooser: find("files"),
  folderChooser: find("folder"),
  take,
  over: (hanging) => (document.body.dataset.hanging = hanging ? "yes" : "no"),
});
find("choose").addEventListener("click", () => find("files").click());
find("choose-folder").addEventListener("click", () => find("folder").click());

const stage = new Stage({
  limits: () => session.limits,
  model: () => session.model,
  authorise: async () => !session.limits?.auth || authorise(),
  announce,
  finished(blob, name, prediction) {
    const before = single;
    single = null;
    leave(before);
    // without a prediction from the live connection, upload the recording like any file
    const [clip] = prediction ? [session.addAnswered(blob, name, prediction)] : session.add([{ file: blob, name }]);
    recordings.add(clip);
    single = clip;
    arrange();
    if (clip.state === "done") {
      announce(inWords(clip));
      find("single").querySelector("h2").focus();
    }
  },
});

// --- start

onToken(askForToken);
speak(language());
arrange();
document.body.dataset.hanging = "no";
(async () => {
  session.limits = await limits().catch(() => null);
  if (session.limits?.auth) await authorise();
  session.model = await activeModel().catch(() => null);
  document.body.dataset.ready = "yes";
  stage.draw();
})();
