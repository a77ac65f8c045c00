/* When the screen is drawn: whatever changes, at most ten times a second, and only when the browser draws anyway. */

const PAUSE_MS = 100;

/** Calls `draw` soon after `ask`, many asks at once, never more often than every `pause` milliseconds. */
export class Frame {
  private last = -Infinity;
  private timer = 0;
  private frame = 0;
  private pending = false;
  private over = false;

  constructor(
    private readonly draw: () => void,
    private readonly pause: number = PAUSE_MS,
  ) {}

  ask(): void {
    if (this.pending || this.over) return;
    this.pending = true;
    const wait = this.last + this.pause - performance.now();
    if (wait > 0) this.timer = window.setTimeout(() => this.arm(), wait);
    else this.arm();
  }

  /** No more drawing. */
  end(): void {
    this.over = true;
    clearTimeout(this.timer);
    cancelAnimationFrame(this.frame);
  }

  private arm(): void {
    // A hidden page gets no frames; what it would draw is drawn when it is looked at again.
    this.frame = requestAnimationFrame(() => {
      this.pending = false;
      this.last = performance.now();
      if (!this.over) this.draw();
    });
  }
}
