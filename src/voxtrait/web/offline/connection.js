/** Stands in for the server: the page's requests go to a worker of this page, and nothing leaves the device. */

import { pieces } from "./pieces.js";
import { broken, worker } from "./start.js";

export const busy = new EventTarget(); // the events of a server that is busy; this one never is

/** The reason for a missing result: see the page's own connection. */
export class Problem extends Error {
  constructor(kind, message, status = 0) {
    super(message);
    this.kind = kind;
    this.status = status;
  }
}

const LIMITS = { max_upload_bytes: 1e9, max_seconds: 2 * 3600, timeout_s: null, auth: false };
const PIECE_S = 60; // seconds sent to the worker at a time, and seconds that are drawn

const waiting = new Map(); // number of a request → what to call with its answer
let last = 0;
let reason = null; // why the worker is not running

worker.addEventListener("message", ({ data }) => {
  const { done, failed } = waiting.get(data.number);
  waiting.delete(data.number);
  if (data.problem) failed(new Problem(...data.problem));
  else done(data.answer);
});
broken.then((message) => {
  reason = message;
  for (const { failed } of waiting.values()) failed(new Problem("other", reason));
  waiting.clear();
});

/** Send a request to the worker. Requests are answered in order. */
export function send(kind, content = {}, transfer = []) {
  return new Promise((done, failed) => {
    if (reason) throw new Problem("other", reason);
    last += 1;
    waiting.set(last, { done, failed });
    worker.postMessage({ number: last, kind, ...content }, transfer);
  });
}

const GONE = ["NotFoundError", "NotReadableError"]; // of a file that was deleted or changed

/** Do something that decodes a file; its errors get the reason for the page. */
async function decoding(action) {
  try {
    return await action();
  } catch (error) {
    if (GONE.includes(error.name)) throw new Problem("gone", "the file can no longer be read");
    throw new Problem("not_audio", `The browser cannot decode this file. ${error.message}`);
  }
}

let beginning = null; // of the file that was decoded last: { file, sound, duration }

/** Decode the beginning of a file, and keep it, because its picture is drawn from it. Returns what follows, too. */
async function heard(file) {
  const { duration, parts } = await decoding(() => pieces(file, PIECE_S));
  if (duration > LIMITS.max_seconds) throw new Problem("too_long", `${Math.round(duration)} s, expected at most ${LIMITS.max_seconds} s`);
  const { value: sound } = await decoding(() => parts.next());
  const channels = sound.channels.map((channel) => channel.slice(0, PIECE_S * sound.rate));
  beginning = { file, sound: { channels, rate: sound.rate }, duration };
  return { sound, parts };
}

export async function predict(file, name, signal) {
  const { sound, parts } = await heard(file);
  const job = await send("open", { rate: sound.rate });
  try {
    // minute by minute, so that a long recording is not in memory twice
    for (let part = sound; part; part = (await decoding(() => parts.next())).value) {
      signal?.throwIfAborted();
      await send("feed", { job, channels: part.channels }, part.channels.map((channel) => channel.buffer));
    }
    signal?.throwIfAborted();
    return { path: name, ...(await send("close", { job })) };
  } catch (error) {
    send("drop", { job }).catch(() => {});
    throw error;
  }
}

export async function show(file) {
  if (beginning?.file !== file) await heard(file);
  const { sound, duration } = beginning;
  const { picture, ...shown } = await send("show", sound);
  return { ...shown, duration_s: duration, spectrogram: URL.createObjectURL(picture) };
}

export async function timeline() {
  throw new Problem("unsupported", "timelines need voxtrait's server or command line");
}

export const limits = async () => LIMITS;

/** The active bundle: its title, the abstention band of `p_female`, and the figures of its evaluation. */
export async function activeModel() {
  const response = await fetch(new URL("../model/model.json", import.meta.url)); // the worker still opens the graphs
  const { model: title, unsure, scores } = await response.json();
  return { title, unsure, scores };
}

// --- what a site does not need: tokens

export const token = () => null;
export const authorise = async () => true;
export const onToken = () => {};

// --- after the first visit, the page works without a network

if ("serviceWorker" in navigator && window.isSecureContext) navigator.serviceWorker.register("sw.js");
