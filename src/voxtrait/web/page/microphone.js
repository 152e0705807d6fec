/** The microphone, without echo cancellation, noise suppression and gain control, which change a voice. */

/** The microphone could not be opened: `kind` is one of insecure, denied, none, busy. */
export class Deaf extends Error {
  constructor(kind) {
    super(kind);
    this.kind = kind;
  }
}

const KINDS = { NotAllowedError: "denied", SecurityError: "denied", NotFoundError: "none", OverconstrainedError: "none" };

const PATIENCE_S = 5; // maximum wait until the browser's audio runs
const later = (s) => new Promise((done) => setTimeout(done, 1000 * s));

export class Microphone extends EventTarget {
  #stream;
  #context;
  #node;

  /** Open the microphone; float32 blocks are sent as "block" events. */
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
      await this.#context.audioWorklet.addModule(new URL("capture.js", import.meta.url));
      // without an audio device, Firefox waits forever
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
    // if the microphone is unplugged, the recording ends and is kept
    this.#stream.getAudioTracks()[0].addEventListener("ended", () => this.dispatchEvent(new Event("unplugged")));
  }

  get samplingRate() {
    return this.#context.sampleRate;
  }

  /** Close the microphone after the last block. */
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
