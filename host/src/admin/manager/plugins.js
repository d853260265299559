// The plugins: how they do, what became of their versions, and how they are exchanged.

import { ask, path } from "./api.js";
import { confirmed } from "./dialog.js";
import { Views, button, element, freshId, setAttribute, setText } from "./dom.js";
import { bytes, count, microseconds, moment } from "./format.js";
import { attempt, done } from "./notices.js";

/** The view of all plugins. */
export class Plugins {
  constructor(site) {
    this.list = document.getElementById("plugins-list");
    this.known = [];
    this.empty = element("p", { class: "empty" }, "The configuration has no [plugin.NAME].");
    this.views = new Views(this.list, ({ name }) => name, (plugin) => new PluginSection(plugin.name, site));
  }

  /** Asks the API, and shows what it tells. */
  async refresh() {
    this.known = (await ask("GET", "plugins")).body.plugins;
    for (const leftover of this.list.querySelectorAll(":scope > .empty")) leftover.remove();
    this.views.update(this.known);
    if (this.known.length === 0) this.list.append(this.empty);
  }
}

const FIGURES = [
  ["Calls", ({ calls }) => count(calls)],
  ["p50", ({ p50_us }) => microseconds(p50_us)],
  ["p99", ({ p99_us }) => microseconds(p99_us)],
  ["Declined", ({ declined }) => count(declined)],
  ["Over budget", ({ over_budget }) => count(over_budget)],
  ["Faults", ({ faults }) => faultWords(faults)],
  ["Swaps", ({ swaps }) => swaps],
  ["Sessions", ({ sessions }) => (sessions === undefined ? "–" : count(sessions))],
  ["Version", ({ version }) => version ?? "none"],
  ["Roles", ({ roles }) => roles?.join(", ") || "–"],
  ["Used by", ({ used_by }) => used_by?.join(", ") || "none"],
  ["Set aside for", ({ set_aside }) => set_aside?.map(({ balancer }) => balancer).join(", ") || "none"],
  ["File", ({ file }) => file],
];

class PluginSection {
  constructor(name, site) {
    Object.assign(this, { name, site, where: path("plugins", name) });
    const id = freshId("plugin");
    this.state = element("span", { class: "state" });
    this.figures = FIGURES.map(() => element("dd", {}));
    const facts = FIGURES.map(([term], index) => element("div", {}, element("dt", {}, term), this.figures[index]));
    this.refused = element("div", { class: "refused", hidden: true });
    this.upload = new Upload(name, (file) => this.put(file));
    this.history = element("ol", { class: "history" });
    this.views = new Views(this.history, ({ at, version, what }) => `${at} ${version} ${what}`, () => new HistoryLine(this));
    const head = element("div", { class: "title" }, element("h2", { id }, name), this.state);
    this.node = element("section", { class: "sheet plugin", "aria-labelledby": id }, head,
      element("dl", { class: "facts" }, ...facts), this.refused,
      element("div", { class: "columns" },
        element("section", {}, element("h3", {}, "Versions"), this.history), this.upload.node));
  }

  update(plugin) {
    this.plugin = plugin;
    setText(this.state, plugin.state);
    setAttribute(this.state, "data-state", plugin.state === "serving" ? "ok" : "error");
    FIGURES.forEach(([, figure], index) => setText(this.figures[index], figure(plugin)));
    this.refused.hidden = !plugin.refused;
    if (plugin.refused) {
      setText(this.refused, `The version of ${moment(plugin.refused.at)} was refused: ${plugin.refused.detail}`);
    }
    const history = [...(plugin.history ?? [])].reverse();
    const rollable = newest(history, plugin);
    this.views.update(history.map((entry) => ({ ...entry, isRollable: rollable.has(entry) })));
  }

  async put(file) {
    const before = this.plugin.version;
    const { body } = await ask("PUT", this.where, { body: file, type: "application/wasm" });
    if (body) this.update(body);
    const now = this.plugin.version;
    const undo = before && before !== now ? () => this.rollBack(before) : null;
    done(`${this.name} serves by ${file.name}${now ? `, version ${now}` : ""}.`, undo);
    this.site.refresh();
  }

  async rollBack(version) {
    const before = this.plugin.version;
    const { body } = await ask("POST", `${this.where}/rollback`, { body: { version } });
    if (body) this.update(body);
    const undo = before ? () => this.rollBack(before) : null;
    done(`${this.name} is rolled back to version ${version}.`, undo);
    this.site.refresh();
  }

  async askRollBack(version) {
    const words = `Version ${version} decides from the next request on. The file is as it is.`;
    if (!(await confirmed(`Roll ${this.name} back?`, words, "Roll back"))) return;
    await attempt(`Roll ${this.name} back`, () => this.rollBack(version));
  }
}

/** The newest line of each version that can be rolled back to. */
function newest(history, { previous = [], version }) {
  const lines = previous.filter((other) => other !== version)
    .map((other) => history.find((entry) => entry.version === other));
  return new Set(lines.filter(Boolean));
}

function faultWords(faults) {
  const kinds = Object.entries(faults ?? {}).filter(([, times]) => times > 0);
  return kinds.map(([kind, times]) => `${kind} ${count(times)}`).join(", ") || "0";
}

class HistoryLine {
  constructor(section) {
    this.words = element("span", {});
    this.version = null;
    this.back = button("Roll back…", () => section.askRollBack(this.version), { hidden: true });
    this.node = element("li", {}, this.words, this.back);
  }

  update({ at, version, what, isRollable }) {
    this.version = version;
    setText(this.words, `${moment(at)}  ${version ?? "–"}  ${what}`);
    setAttribute(this.back, "aria-label", `Roll back to version ${version}`);
    if (this.back.hidden === isRollable) this.back.hidden = !isRollable;
  }
}

/** Where a new version is dropped, or chosen. */
class Upload {
  constructor(name, put) {
    this.put = put;
    const id = freshId("file");
    this.input = element("input", { id, type: "file", accept: ".wasm,application/wasm", onchange: () => this.take(this.input.files) });
    this.words = element("p", { class: "note", role: "status" }, "It is checked first. If it is wrong, nothing changes.");
    this.error = element("pre", { class: "error", role: "alert", hidden: true });
    this.node = element("section", {
      class: "drop",
      ondragover: (event) => this.over(event, true),
      ondragleave: (event) => this.over(event, false),
      ondrop: (event) => this.drop(event),
    }, element("h3", {}, "A new version"), element("label", { for: id }, `Drop a component for ${name} here, or choose one: `), this.input, this.words, this.error);
  }

  over(event, isOver) {
    event.preventDefault();
    this.node.classList.toggle("over", isOver);
  }

  drop(event) {
    this.over(event, false);
    this.take(event.dataTransfer.files);
  }

  async take(files) {
    if (files.length !== 1 || this.isBusy) {
      this.tell("", files.length > 1 ? "One file at a time." : "");
      return;
    }
    const [file] = files;
    this.isBusy = true;
    this.tell(`${file.name} (${bytes(file.size)}B) is being checked …`, "");
    try {
      await this.put(file);
      this.tell(`${file.name} serves.`, "");
    } catch (problem) {
      this.tell(`${file.name} was refused; nothing changed.`, problem.message);
    } finally {
      this.isBusy = false;
      this.input.value = "";
    }
  }

  tell(words, error) {
    setText(this.words, words);
    setText(this.error, error);
    this.error.hidden = error === "";
  }
}
