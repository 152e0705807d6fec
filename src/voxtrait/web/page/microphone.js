/** The microphone: opened as it is, without anything that would change a voice. */

/** Why it could not be opened: `kind` is one of insecure, denied, none, busy. */
export class Deaf extends Error {
  constructor(kind) {
    super(kind);
    this.kind = kind;
  }
}

const KINDS = { NotAllowedError: "denied", SecurityError: "denied", NotFoundError: "none", OverconstrainedError: "none" };

const PATIENCE_S = 5; // until the browser's sound runs
const later = (s) => new Promise((done) => setTimeout(done, 1000 * s));

export class Microphone extends EventTarget {
  #stream;
  #context;
  #node;

  /** Open it; blocks come as "block" events, float32. */
  async open() {
    if (!navigator.mediaDevices?.getUserMedia) throw new Deaf(window.isSecureContext ? "none" : "insecure");
    try {
      this.#stream = await navigator.mediaDevices.getUserMedia({
        audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 },
      });
    } catch (error) {
      throw new Deaf(KINDS[error.name] ?? "busy");
    }
    try {
      this.#context = new AudioContext();
      await this.#context.audioWorklet.addModule("/static/capture.js");
      // without any sound device, Firefox waits for ever
      await Promise.race([this.#context.resume(), later(PATIENCE_S).then(() => Promise.reject(new Error("no sound device")))]);
    } catch {
      this.#release();
      throw new Deaf("busy");
    }
    this.#node = new AudioWorkletNode(this.#context, "capture", { numberOfOutputs: 0 });
    this.#node.port.onmessage = ({ data }) => {
      if (data?.length) this.dispatchEvent(new CustomEvent("block", { detail: data }));
      if (data === null) this.dispatchEvent(new Event("emptied"));
    };
    this.#context.createMediaStreamSource(this.#stream).connect(this.#node);
    // a microphone that is pulled out ends what it recorded, and does not lose it
    this.#stream.getAudioTracks()[0].addEventListener("ended", () => this.dispatchEvent(new Event("unplugged")));
  }

  get samplingRate() {
    return this.#context.sampleRate;
  }

  /** Close it, once the last block has come. */
  async close() {
    const emptied = new Promise((done) => this.addEventListener("emptied", done, { once: true }));
    this.#node.port.postMessage("end");
    await Promise.race([emptied, later(0.5)]);
    this.#release();
  }

  #release() {
    for (const track of this.#stream.getTracks()) track.stop();
    this.#context?.close();
  }
}
