// Why a request went where it went: the last decisions, and each in full.

import { ask } from "./api.js";
import { button, element, setAttribute, setText, Views } from "./dom.js";
import { instant, microseconds, value } from "./format.js";
import { attempt } from "./notices.js";

/** The view of decisions: the list, and one in full beside it. */
export class Decisions {
  constructor() {
    this.sheet = document.getElementById("decisions-list");
    this.body = element("tbody", {});
    this.views = new Views(this.body, ({ id }) => id, (decision) => new Line(decision, () => this.show(decision.id)));
    this.full = element("section", { class: "sheet decision", tabindex: -1, "aria-live": "polite", hidden: true });
    this.empty = element("p", { class: "empty" }, "No decision is kept yet.");
    const heads = ["Time", "Id", "Balancer", "Member", "Status"].map((head) => element("th", { scope: "col" }, head));
    const table = element("table", { "aria-labelledby": "title-decisions" }, element("thead", {}, element("tr", {}, ...heads)), this.body);
    this.scroll = element("div", { class: "scroll sheet", role: "region", tabindex: 0, "aria-label": "The last decisions" }, table);
    this.columns = element("div", { class: "columns decisions" }, this.scroll, this.full);
    document.getElementById("find-decision").addEventListener("submit", (event) => {
      event.preventDefault();
      const id = document.getElementById("decision-id").value.trim();
      if (id) this.show(id);
    });
  }

  /** Asks the API, and shows what it tells. */
  async refresh() {
    const { decisions } = (await ask("GET", "explain")).body;
    if (!this.columns.isConnected) this.sheet.replaceChildren(this.empty, this.columns);
    this.empty.hidden = decisions.length > 0;
    this.scroll.hidden = decisions.length === 0;
    this.views.update(decisions);
  }

  /** Shows a decision in full. */
  async show(id) {
    await attempt(`Explain ${id}`, async () => {
      const decision = (await ask("GET", `explain?id=${encodeURIComponent(id)}`)).body;
      const close = button("×", () => this.close(), { class: "quiet close", "aria-label": "Close the decision" });
      const head = element("div", { class: "title" }, element("h2", {}, `Decision ${decision.id ?? id}`), close);
      this.full.replaceChildren(head, told(decision));
      this.full.hidden = false;
      this.mark(id);
      this.full.focus({ preventScroll: false });
    });
  }

  close() {
    this.full.hidden = true;
    this.marked?.focus();
    this.mark(null);
  }

  mark(id) {
    for (const [key, line] of this.views.views) {
      setAttribute(line.node, "aria-current", key === id ? "true" : null);
      if (key === id) this.marked = line.open;
    }
  }
}

class Line {
  constructor({ id }, show) {
    this.open = button(String(id), show, { class: "link", "aria-label": `Explain decision ${id}` });
    this.texts = ["at", "balancer", "member", "status"].map(() => element("td", {}));
    const [at, ...rest] = this.texts;
    this.node = element("tr", {}, at, element("th", { scope: "row" }, this.open), ...rest);
  }

  update({ at, balancer, member, status }) {
    [instant(at), balancer, member ?? "none", status ?? "–"].forEach((words, index) => setText(this.texts[index], words));
    setAttribute(this.node, "class", status >= 500 || status === null ? "bad" : null);
  }
}

/** Any JSON, legibly: objects as lists of terms, lists of objects as tables, the rest as text. */
function told(thing, key = "") {
  if (Array.isArray(thing)) return toldList(thing);
  if (thing !== null && typeof thing === "object") {
    const lines = Object.entries(thing).map(([term, inner]) => {
      const isLong = inner !== null && typeof inner === "object";
      return element("div", { class: isLong ? "long" : null }, element("dt", {}, spoken(term)), element("dd", {}, told(inner, term)));
    });
    return element("dl", { class: "told" }, ...lines);
  }
  return element("span", {}, words(thing, key));
}

function toldList(list) {
  if (list.length === 0) return element("span", { class: "none" }, "none");
  const isTable = list.every((item) => item !== null && typeof item === "object" && !Array.isArray(item));
  if (!isTable) return element("span", {}, list.map((item) => words(item, "")).join(", "));
  const keys = [...new Set(list.flatMap((item) => Object.keys(item)))];
  const head = element("tr", {}, ...keys.map((key) => element("th", { scope: "col" }, spoken(key))));
  const rows = list.map((item) => element("tr", {}, ...keys.map((key) => element("td", {}, key in item ? told(item[key], key) : ""))));
  return element("div", { class: "scroll" }, element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows)));
}

function spoken(key) {
  return key.replace(/_us$/, "").replaceAll("_", " ");
}

function words(thing, key) {
  if (thing === null) return "none";
  if (typeof thing === "boolean") return thing ? "yes" : "no";
  if (typeof thing === "number" && key === "at") return instant(thing);
  if (typeof thing === "number" && key.endsWith("_us")) return microseconds(thing);
  return typeof thing === "object" ? value(thing) : String(thing);
}
