/** The live connection of a recording: it sends blocks, and receives columns, estimates and the final prediction. */
import { token } from "./connection.js";

const PATIENCE_S = 20; // maximum wait for the final prediction

export class Live extends EventTarget {
  #socket;
  #early = []; // messages until the connection is open

  constructor(samplingRate) {
    super();
    const address = new URL("/v1/live", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    this.#socket = token() ? new WebSocket(address, ["voxtrait", `token.${token()}`]) : new WebSocket(address);
    this.#socket.binaryType = "arraybuffer";
    this.lost = false;
    this.final = new Promise((done) => (this.done = done)); // null if the server sends none
    this.#send(JSON.stringify({ sampling_rate: samplingRate }));
    this.#socket.addEventListener("open", () => {
      for (const message of this.#early.splice(0)) this.#socket.send(message);
    });
    this.#socket.addEventListener("message", (event) => this.#receive(JSON.parse(event.data)));
    this.#socket.addEventListener("error", () => this.#lose());
    this.#socket.addEventListener("close", () => this.#lose());
  }

  /** Send a block, float32. */
  give(block) {
    this.#send(block);
  }

  /** End the recording; resolves to the prediction, or to null if the server sends none. */
  end() {
    this.#send(JSON.stringify({ end: true }));
    setTimeout(() => this.#lose(), PATIENCE_S * 1000);
    return this.final;
  }

  #send(message) {
    if (this.lost) return;
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(message);
    else this.#early.push(message);
  }

  #receive(message) {
    if (message.type === "columns") {
      const data = Uint8Array.from(atob(message.data), (character) => character.charCodeAt(0));
      this.dispatchEvent(new CustomEvent("columns", { detail: { data, height: message.height, hop: message.hop_s } }));
    } else if (message.type === "estimate") {
      this.dispatchEvent(new CustomEvent("estimate", { detail: message.estimate }));
    } else if (message.type === "final") {
      this.done(message.prediction);
      this.#socket.close();
    } else if (message.type === "error") {
      this.#lose();
    }
  }

  #lose() {
    if (this.lost) return;
    this.lost = true;
    this.done(null); // has no effect after the final prediction
    if (this.#socket.readyState <= WebSocket.OPEN) this.#socket.close();
    this.dispatchEvent(new Event("lost"));
  }
}
