/** The time axis of a recording: the visible part, changed by scrolling and zooming. */

const MOST_PIXELS = 240; // per second, at the closest zoom
const STEP = 2; // zoom factor of the buttons

export class Axis extends EventTarget {
  #scale = 0; // pixels per second; smaller values show the whole recording
  #left = 0; // scroll position; cached like the width, because reading both from the browser is slow
  #pinch = null; // the distance of two fingers and the scale when the pinch began

  /** `length` is an element inside `scroller`, as wide as the whole recording. */
  constructor(scroller, length, duration) {
    super();
    Object.assign(this, { scroller, length, duration: Math.max(duration, 0.01), width: 0 });
    scroller.addEventListener("scroll", () => this.#change());
    scroller.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    for (const name of ["touchstart", "touchmove", "touchend"]) {
      scroller.addEventListener(name, (event) => this.#touch(event), { passive: false });
    }
    new ResizeObserver(() => this.#arrange()).observe(scroller);
  }

  get least() {
    return this.width / this.duration;
  }

  get scale() {
    return Math.max(this.least, this.#scale);
  }

  get isWhole() {
    return this.scale <= this.least * 1.001;
  }

  get isClosest() {
    return this.scale >= Math.max(this.least, MOST_PIXELS) * 0.999;
  }

  /** Seconds at the left edge. */
  get begin() {
    return this.isWhole ? 0 : this.#left / this.scale;
  }

  get end() {
    return Math.min(this.duration, this.begin + this.width / this.scale);
  }

  x(seconds) {
    return (seconds - this.begin) * this.scale;
  }

  seconds(x) {
    return Math.min(this.duration, Math.max(0, this.begin + x / this.scale));
  }

  /** Change the scale; the time at `x` keeps its position. */
  zoom(factor, x = this.width / 2) {
    const at = this.begin + x / this.scale;
    this.#scale = Math.min(Math.max(this.least, MOST_PIXELS), Math.max(this.least, this.scale * factor));
    this.#arrange();
    this.scroller.scrollLeft = at * this.scale - x;
    this.#change();
  }

  closer() {
    this.zoom(STEP);
  }

  farther() {
    this.zoom(1 / STEP);
  }

  whole() {
    this.zoom(0);
  }

  /** Scroll to a time that is out of view. */
  reveal(seconds) {
    const x = this.x(seconds);
    if (this.isWhole || (x >= 0 && x <= this.width)) return;
    this.scroller.scrollLeft = seconds * this.scale - 0.1 * this.width;
    this.#change();
  }

  #arrange() {
    this.width = this.scroller.clientWidth;
    this.length.style.width = this.isWhole ? "100%" : `${this.duration * this.scale}px`;
    this.#change();
  }

  #wheel(event) {
    if (!event.ctrlKey) return; // the browser scrolls
    event.preventDefault();
    this.zoom(Math.exp(-event.deltaY / 200), event.clientX - this.scroller.getBoundingClientRect().left);
  }

  #touch(event) {
    if (event.touches.length !== 2) {
      this.#pinch = null;
      return;
    }
    event.preventDefault();
    const [one, other] = event.touches;
    const apart = Math.max(20, Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY));
    const middle = (one.clientX + other.clientX) / 2 - this.scroller.getBoundingClientRect().left;
    this.#pinch ??= { apart, scale: this.scale };
    this.zoom((this.#pinch.scale * apart) / this.#pinch.apart / this.scale, middle);
  }

  #change() {
    this.#left = this.scroller.scrollLeft;
    this.dispatchEvent(new Event("change"));
  }
}
