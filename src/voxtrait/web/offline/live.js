/** The live estimates of a recording, computed in the worker: the page's own class with another source. */

import { send } from "./connection.js";

const SHARE = 1 / 3; // maximum share of the time for estimates, on a slow device

export class Live extends EventTarget {
  #rate;
  #began;
  #received = 0; // samples
  #asked = 0; // samples at the last estimate
  #next = 0; // the time of the next estimate

  constructor(samplingRate) {
    super();
    this.#rate = samplingRate;
    this.lost = false;
    this.#began = send("begin", { rate: samplingRate }).catch(() => this.#lose());
  }

  /** Add a block, an ArrayBuffer of float32. */
  give(block) {
    if (this.lost) return;
    this.#received += block.byteLength / 4;
    send("block", { block }).then( // a copy: the page still reads the block
      ({ columns, height, hop }) => columns.length && this.#dispatch("columns", { data: columns, height, hop }),
      () => this.#lose(),
    );
    if (performance.now() >= this.#next && this.#received - this.#asked >= this.#rate) this.#estimate();
  }

  /** End the recording; resolves to the prediction, or to null without one. */
  async end() {
    await this.#began;
    if (this.lost) return null;
    this.lost = true; // estimates that are still under way come too late
    return send("end").catch(() => null);
  }

  /** Estimate from the recording so far. On a slow device estimates are rarer: the result waits for one under way. */
  async #estimate() {
    const began = performance.now();
    this.#next = Infinity;
    this.#asked = this.#received;
    try {
      const estimate = await send("estimate");
      if (!this.lost) this.#dispatch("estimate", estimate);
    } catch {
      this.#lose();
    }
    this.#next = began + (performance.now() - began) / SHARE;
  }

  #dispatch(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  #lose() {
    if (this.lost) return;
    this.lost = true;
    this.dispatchEvent(new Event("lost"));
  }
}
