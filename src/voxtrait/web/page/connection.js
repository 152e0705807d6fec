/** Requests to the server: they are repeated while it is busy, and carry the token if it requires one. */

const TRIES = 6; // of a request, if the server is busy
const TOKEN = "voxtrait.token";
export const busy = new EventTarget(); // events: "wait" with the seconds, "on" before the next attempt

/**
 * The reason for a missing result: `kind` is one of not_audio, unusable, too_large, too_long, too_slow, busy, unreachable, token,
 * gone, unsupported, other.
 */
export class Problem extends Error {
  constructor(kind, message, status = 0) {
    super(message);
    this.kind = kind;
    this.status = status;
  }
}

const KINDS = { 401: "token", 413: "too_large", 415: "not_audio", 422: "unusable", 429: "busy", 501: "unsupported", 503: "busy" };
const CODES = { // codes that are more specific than their status
  too_long: "too_long", too_big: "too_slow", too_slow: "too_slow", unusable: "unusable", decoder_crashed: "unusable", not_audio: "not_audio",
  interrupted: "busy",
};
const LINES = "application/x-ndjson";
let askForToken = null; // returns a token, or null

export function token() {
  try {
    return sessionStorage.getItem(TOKEN);
  } catch {
    return null;
  }
}

function keep(value) {
  try {
    sessionStorage.setItem(TOKEN, value);
  } catch {
    // without storage, the page asks for the token each time
  }
}

let asked = null; // one dialog at a time, shared by all requests that need the token

/** Ask the user for the token if it is missing or was `refused`. */
export async function authorise(refused = null) {
  if (token() && token() !== refused) return true;
  asked ??= askForToken(Boolean(refused)).finally(() => (asked = null));
  const given = await asked;
  if (given) keep(given);
  return Boolean(given);
}

export function onToken(ask) {
  askForToken = ask;
}

function waited(s, signal) {
  return new Promise((done, failed) => {
    const timer = setTimeout(done, s * 1000);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      failed(signal.reason);
    });
  });
}

/** Send a request for JSON, or for JSON lines: then `read(response)` reads them. */
async function ask(path, { body, signal, read } = {}) {
  for (let tried = 1; ; tried += 1) {
    const used = token();
    let response;
    try {
      response = await fetch(path, {
        method: body ? "POST" : "GET",
        body: body?.(),
        signal,
        headers: { ...(used && { Authorization: `Bearer ${used}` }), ...(read && { Accept: LINES }) },
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Problem("unreachable", "the server does not respond");
    }
    if (response.ok) return read ? read(response) : response.json();
    const content = await response.json().catch(() => null);
    const message = content?.error?.message ?? response.statusText;
    const kind = CODES[content?.error?.code] ?? KINDS[response.status] ?? "other";
    if (kind === "token" && (await authorise(used))) continue;
    if (kind !== "busy" || tried === TRIES) throw new Problem(kind, message, response.status);
    const after = Math.min(30, Math.max(1, Number(response.headers.get("Retry-After")) || 2 ** (tried - 1)));
    busy.dispatchEvent(new CustomEvent("wait", { detail: after }));
    await waited(after, signal);
    busy.dispatchEvent(new Event("on"));
  }
}

/** A function that makes a form of a file, for each attempt. Reads the file first, to report one that is gone. */
async function form(file, name) {
  try {
    await file.slice(0, 1).arrayBuffer();
  } catch {
    throw new Problem("gone", "the file can no longer be read");
  }
  return () => {
    const made = new FormData();
    made.append("file", file, name);
    return made;
  };
}

export async function predict(file, name, signal) {
  return ask("/v1/predict", { body: await form(file, name), signal });
}

export async function show(file, name, signal) {
  return ask("/v1/show", { body: await form(file, name), signal });
}

/** Make the timeline of a file; `each` is called with each line. */
export async function timeline(file, name, signal, each) {
  return ask("/v1/timeline", { body: await form(file, name), signal, read: (response) => readLines(response, each) });
}

async function readLines(response, each) {
  let [rest, complete] = ["", false];
  const take = (text) => {
    const line = JSON.parse(text);
    if (line.type === "error") throw new Problem(CODES[line.error.code] ?? "other", line.error.message);
    complete ||= line.type === "timeline";
    each(line);
  };
  try {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const lines = (rest + part.value).split("\n");
      rest = lines.pop();
      lines.forEach(take);
    }
  } catch (error) {
    if (error instanceof TypeError) throw new Problem("unreachable", "the connection broke"); // or the user cancelled
    throw error;
  }
  if (!complete) throw new Problem("unreachable", "the response is not complete");
}

export const limits = () => ask("/v1/limits");

/** The active bundle: its title, the abstention band of `p_female`, and the figures of its evaluation. */
export async function activeModel() {
  const found = await ask("/v1/models");
  const all = Array.isArray(found) ? found : (found.models ?? []);
  const active = all.find((one) => one.active) ?? all[0];
  if (!active) return null;
  return {
    title: active.title ?? [active.name, active.version].filter(Boolean).join(" "),
    unsure: active.unsure ?? null,
    scores: active.scores ?? {},
  };
}
