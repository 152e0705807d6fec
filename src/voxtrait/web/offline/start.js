/** Starts the worker, as the first thing on the page: the runtime opens while the rest of the page is loaded. */

export const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });

/** Resolves to the reason if the worker stops, or cannot start. */
export const broken = new Promise((done) => {
  worker.addEventListener("error", ({ message }) => done(message || "the worker cannot be started"));
});
