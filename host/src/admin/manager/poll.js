// Asking again and again: every two seconds while the page is seen, more rarely while the server is away.

const EVERY_MS = 2_000;
const RAREST_MS = 30_000;

/** Runs `step` again and again. `heard(problem)` learns how it went: `null`, or what went wrong. */
export class Poll {
  constructor(step, heard) {
    this.step = step;
    this.heard = heard;
    this.isPaused = false;
    this.isRunning = false;
    this.timer = null;
    this.failures = 0;
    document.addEventListener("visibilitychange", () => {
      clearTimeout(this.timer);
      if (!document.hidden && !this.isPaused) this.now();
    });
  }

  /** Runs the step at once, or right after the one that runs. */
  async now() {
    clearTimeout(this.timer);
    if (this.isRunning) {
      this.isWanted = true;
      return;
    }
    this.isRunning = true;
    this.isWanted = false;
    let problem = null;
    try {
      await this.step();
      this.failures = 0;
    } catch (error) {
      problem = error;
      this.failures += 1;
    }
    this.isRunning = false;
    this.heard(problem);
    this.wait();
  }

  pause(isPaused) {
    this.isPaused = isPaused;
    if (isPaused) clearTimeout(this.timer);
    else this.now();
  }

  wait() {
    if (this.isPaused || document.hidden) return;
    const delay = Math.min(EVERY_MS * 2 ** this.failures, RAREST_MS);
    this.timer = setTimeout(() => this.now(), this.isWanted ? 0 : delay);
  }
}
