// Small charts of the last two minutes: requests a second, latency, and errors a second.

import { drawing, element, setAttribute, setText } from "./dom.js";
import { microseconds, rate } from "./format.js";

const SPAN_MS = 120_000;
/** A rate over less than this tells nothing: the answer to a change comes between two rounds. */
const SHORTEST_MS = 1_000;
/** Between samples further apart than this nothing is drawn: there are no samples. */
const GAP_MS = 12_000;
const WIDTH = 72;
const HEIGHT = 20;

/** What a member did within the span: rates out of counters that only grow. */
export class History {
  constructor() {
    this.samples = [];
    this.last = null;
  }

  /** Takes the counters of a member as they are at `now`, in milliseconds. */
  add(now, { elected, errors, latency_us }) {
    const before = this.last;
    if (before && now - before.now < SHORTEST_MS && elected >= before.elected) return;
    this.last = { now, elected, errors };
    const isFollowing = before && now - before.now < GAP_MS && elected >= before.elected;
    if (!isFollowing) {
      this.samples.push({ now, requests: null, errors: null, latency: null });
    } else {
      const seconds = (now - before.now) / 1000;
      const failures = errors === undefined ? null : Math.max(0, errors - before.errors) / seconds;
      this.samples.push({
        now, requests: (elected - before.elected) / seconds, errors: failures, latency: latency_us,
      });
    }
    while (this.samples[0].now < now - SPAN_MS) this.samples.shift();
  }
}

/** A figure and its chart. `column` is the sample's key. */
export class Chart {
  constructor(column, label) {
    this.column = column;
    this.write = column === "latency" ? microseconds : rate;
    this.label = label;
    this.figure = element("span", { class: "figure" }, "–");
    this.area = drawing("path", { class: "area" });
    this.line = drawing("path", { class: "line" });
    this.title = drawing("title", {}, label);
    this.picture = drawing("svg", {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: `chart ${column}`, "aria-hidden": "true", preserveAspectRatio: "none",
    }, this.title, this.area, this.line);
    this.node = element("span", { class: "charted" }, this.picture, this.figure);
  }

  update(history) {
    const { samples, last } = history;
    const values = samples.map((sample) => sample[this.column]);
    const known = values.filter((value) => value !== null);
    setText(this.figure, this.write(values.at(-1) ?? null));
    const highest = Math.max(...known, 0);
    setText(this.title, known.length ? `${this.label}: up to ${this.write(highest)} in two minutes` : this.label);
    setAttribute(this.figure, "class", `figure${values.at(-1) ? "" : " none"}`);
    const runs = this.runs(samples, last.now, highest || 1);
    setAttribute(this.line, "d", runs.map((run) => `M${run.map(point).join("L")}`).join(""));
    setAttribute(this.area, "d", runs.map(closed).join(""));
  }

  /** The points of each stretch without a gap. */
  runs(samples, now, highest) {
    const runs = [];
    let run = null;
    for (const sample of samples) {
      const value = sample[this.column];
      if (value === null) {
        run = null;
        continue;
      }
      if (!run) runs.push((run = []));
      const x = WIDTH * (1 - (now - sample.now) / SPAN_MS);
      const y = HEIGHT - 1 - (HEIGHT - 3) * (value / highest);
      run.push([x, y]);
    }
    return runs;
  }
}

function point([x, y]) {
  return `${x.toFixed(1)} ${y.toFixed(1)}`;
}

function closed(run) {
  const [first, last] = [run[0], run.at(-1)];
  return `M${run.map(point).join("L")}L${last[0].toFixed(1)} ${HEIGHT}L${first[0].toFixed(1)} ${HEIGHT}Z`;
}
