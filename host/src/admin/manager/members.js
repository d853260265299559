// One member: a row of its balancer's table, its three switches, and the window with everything about it.

import { Problem, ask, path } from "./api.js";
import { Cell } from "./cell.js";
import { Chart, History } from "./charts.js";
import { confirmed, open } from "./dialog.js";
import { Views, button, element, setAttribute, setText } from "./dom.js";
import { FLAGS, flagsOf, memberFields } from "./fields.js";
import { SettingsForm, same } from "./forms.js";
import { bytes, count, instant, moment } from "./format.js";
import { attempt, done } from "./notices.js";

/** The columns, as Apache's balancer-manager has them, and ours behind. */
export const COLUMNS = [
  ["url", "Worker URL"], ["route", "Route"], ["redirect", "RouteRedir", "Route redirect"], ["loadfactor", "Factor"],
  ["lbset", "Set"], ["status", "Status"], ["elected", "Elected"], ["busy", "Busy"], ["load", "Load"], ["to", "To"],
  ["from", "From"], ["health", "Health"], ["requests", "Req/s", "Requests a second"], ["latency", "Latency"],
  ["errors", "Err/s", "Errors a second"], ["actions", "Take part"],
];

/** What is edited in the table, how wide it is, and whether it is a number. */
const CELLS = [["route", 8], ["redirect", 8], ["loadfactor", 5, "decimal"], ["lbset", 3, "numeric"]];
const PLAIN = ["status", "elected", "busy", "load", "to", "from"];
const CHARTS = [["requests", "Requests a second"], ["latency", "Latency"], ["errors", "Errors a second"]];

/** The switches: what each is called, the status it sends, and which flag tells that it is so. */
const SWITCHES = [
  ["Enable", "-N -D -S", (flags) => !flags.has("N") && !flags.has("D") && !flags.has("S"), "takes part"],
  ["Drain", "+N -D -S", (flags) => flags.has("N") && !flags.has("D") && !flags.has("S"), "drains"],
  ["Disable", "+D", (flags) => flags.has("D"), "is disabled"],
];

/** A row of a balancer's table. */
export class MemberRow {
  constructor(balancer, member, site) {
    Object.assign(this, { balancer, member, site });
    this.history = new History();
    this.where = path("balancers", balancer, "members", member.id);
    this.details = button("", () => this.openDetails(), { class: "link" });
    this.cells = new Map(CELLS.map(([key, width, mode]) => [key, this.cell(key, width, mode)]));
    this.plain = new Map(PLAIN.map((key) => [key, element("span", {})]));
    this.health = new Health();
    this.charts = CHARTS.map(([column, label]) => new Chart(column, label));
    this.switches = SWITCHES.map(([name, status]) => button(name, () => this.turn(name, status)));
    this.node = element("tr", { role: "row" }, ...COLUMNS.map(([key, label]) => this.place(key, label)));
  }

  place(key, label) {
    if (key === "url") return element("th", { scope: "row", role: "rowheader" }, this.details);
    const chart = CHARTS.findIndex(([column]) => column === key);
    const content =
      this.cells.get(key)?.node ?? this.plain.get(key) ?? this.charts[chart]?.node ??
      (key === "health" ? this.health.node : element("span", { class: "switches", role: "group" }, ...this.switches));
    return element("td", { role: "cell", class: key, "data-label": label }, content);
  }

  cell(key, width, mode) {
    const label = COLUMNS.find(([column]) => column === key)[1];
    return new Cell({
      label: `${label} of ${this.member.url}`, width, mode,
      begin: () => (this.loaded = this.load()),
      save: (text) => this.saveCell(key, label, text),
    });
  }

  /** Takes what the API tells of the member. */
  update(member) {
    this.member = member;
    setText(this.details, member.url);
    setAttribute(this.details, "aria-label", `${member.url}: details and settings`);
    for (const [key, cell] of this.cells) cell.update(shown(key, member), this.differs(key));
    this.updatePlain(member);
    this.health.update(member);
    this.history.add(performance.now(), member);
    for (const chart of this.charts) chart.update(this.history);
    const flags = flagsOf(member.status);
    SWITCHES.forEach(([name, , isOn], index) => {
      setAttribute(this.switches[index], "aria-pressed", String(isOn(flags)));
      setAttribute(this.switches[index], "aria-label", `${name} ${member.url}`);
    });
    setAttribute(this.node, "data-state", member.state);
    this.window?.update(member);
  }

  updatePlain(member) {
    setText(this.plain.get("status"), statusWords(member.status));
    setText(this.plain.get("elected"), count(member.elected));
    setText(this.plain.get("busy"), member.busy);
    setText(this.plain.get("load"), member.load ?? "–");
    setText(this.plain.get("to"), bytes(member.to));
    setText(this.plain.get("from"), bytes(member.from));
    setAttribute(this.plain.get("status"), "class", this.differs("status") ? "differs" : null);
  }

  differs(key) {
    return this.site.differs("balancer", this.balancer, "member", this.member.url, key);
  }

  remove() {
    this.window?.gone();
  }

  async load() {
    const { body, etag } = await ask("GET", this.where);
    this.etag = etag;
    return body;
  }

  /** Sends a change, and offers the way back. */
  async change(patch, words, etag) {
    const before = this.member;
    const { body } = await ask("PATCH", this.where, { body: patch, etag });
    this.update(body);
    done(words, async () => {
      const back = await ask("PATCH", this.where, { body: reverse(patch, before, body) });
      this.update(back.body);
      done(`${this.member.url} is as it was.`);
      this.site.refresh();
    });
    this.site.refresh();
  }

  async saveCell(key, label, text) {
    const before = await this.loaded;
    const isNumber = ["loadfactor", "lbset"].includes(key) && /^\d+(\.\d+)?$/.test(text);
    const next = isNumber ? Number(text) : text || null;
    try {
      await this.change({ [key]: next }, `${label} of ${this.member.url} is ${text || "none"}.`, this.etag);
    } catch (problem) {
      if (!problem.isStale) throw problem;
      this.loaded = this.load();
      const theirs = await this.loaded;
      this.update(theirs);
      const isOther = !same(shown(key, theirs), shown(key, before));
      const now = isOther ? `it is ${shown(key, theirs) || "none"} now` : "something else of it";
      throw new Problem(412, `another operator changed this member (${now}); save again to have yours`);
    }
  }

  turn(name, status) {
    const [, , isOn, words] = SWITCHES.find(([other]) => other === name);
    if (isOn(flagsOf(this.member.status))) return;
    attempt(`${name} ${this.member.url}`, () => this.change({ status }, `${this.member.url} ${words}.`));
  }

  openDetails() {
    this.window = new MemberWindow(this);
  }

  async removeMember() {
    const { url, busy } = this.member;
    const words = `${busy === 1 ? "Its request" : `Its ${busy} requests`} in flight may end. Its sessions go elsewhere, and its counters are forgotten.`;
    if (!(await confirmed(`Remove ${url}?`, busy ? words : "Its sessions go elsewhere, and its counters are forgotten.", "Remove"))) return;
    await attempt(`Remove ${url}`, async () => {
      const { body, etag } = await ask("GET", this.where);
      await ask("DELETE", this.where, { etag });
      this.window?.node.close();
      done(`${url} is removed from ${this.balancer}.`, async () => {
        await ask("POST", `${path("balancers", this.balancer)}/members`, { body: { ...body.settings, url } });
        done(`${url} is back, with new counters.`);
        this.site.refresh();
      });
      this.site.refresh();
    });
  }
}

/** What keeps a member from being chosen, and how its last checks went. */
class Health {
  constructor() {
    this.state = element("span", { class: "state" });
    this.dots = element("span", { class: "dots", role: "img" });
    this.views = new Views(this.dots, ({ at }) => at, () => new Dot());
    this.node = element("span", { class: "condition" }, this.state, this.dots);
  }

  update({ state, changed, checks }) {
    setText(this.state, state);
    setAttribute(this.state, "data-state", state);
    setAttribute(this.state, "title", changed ? `since ${moment(changed.at)}: ${changed.cause}` : null);
    const last = (checks ?? []).slice(-8);
    const passed = last.filter((check) => check.passed).length;
    this.views.update(last);
    this.dots.hidden = last.length === 0;
    setAttribute(this.dots, "aria-label", `${passed} of the last ${last.length} checks passed`);
  }
}

class Dot {
  constructor() {
    this.node = element("i", {});
  }

  update({ passed, at, detail }) {
    setAttribute(this.node, "class", passed ? "passed" : "missed");
    setAttribute(this.node, "title", `${moment(at)}: ${detail}`);
  }
}

/** Everything about a member, in a window. */
class MemberWindow {
  constructor(row) {
    this.row = row;
    this.facts = element("dl", { class: "facts" });
    this.checks = element("ol", { class: "checks" });
    this.views = new Views(this.checks, ({ at }) => at, () => new CheckLine());
    this.nobody = element("p", { class: "empty" }, "It was not checked yet, or is not checked at all.");
    this.form = new SettingsForm({
      groups: memberFields(), action: "Save", save: (patch) => this.save(patch), cancel: () => this.node.close(),
    });
    const remove = button("Remove this member…", () => row.removeMember(), { class: "danger" });
    const aside = element("section", { class: "aside" }, this.facts, element("h3", {}, "Last checks"), this.nobody, this.checks, element("p", {}, remove));
    this.node = open(`${row.member.url} in ${row.balancer}`, element("div", { class: "columns" }, this.form.node, aside), {
      isWide: true, closed: () => (row.window = null),
    });
    this.update(row.member);
    this.load();
  }

  async load() {
    try {
      this.form.show((await this.row.load()).settings);
    } catch (problem) {
      this.form.explain(problem);
    }
  }

  update(member) {
    const { changed, busy, consecutive_failures, retries, state } = member;
    const facts = [
      ["State", state], ["Since", changed ? moment(changed.at) : "the start"], ["Why", changed?.cause ?? "–"],
      ["In flight", busy], ["Failures in a row", consecutive_failures], ["Retries", retries],
    ];
    this.lines ??= facts.map(([term]) => {
      const data = element("dd", {});
      this.facts.append(element("div", {}, element("dt", {}, term), data));
      return data;
    });
    facts.forEach(([, words], index) => setText(this.lines[index], words));
    const checks = [...(member.checks ?? [])].reverse();
    this.nobody.hidden = checks.length > 0;
    this.views.update(checks);
  }

  async save(patch) {
    const { row } = this;
    try {
      const sent = "status" in patch ? { ...patch, status: difference(row.member.status, patch.status) } : patch;
      await row.change(sent, `${row.member.url} is changed: ${Object.keys(patch).join(", ")}.`, row.etag);
      this.node.close();
    } catch (problem) {
      if (!problem.isStale) throw problem;
      this.form.meet((await row.load()).settings);
    }
  }

  gone() {
    this.form.tell("This member is not there any more.");
    this.form.submit.disabled = true;
  }
}

class CheckLine {
  constructor() {
    this.node = element("li", {});
  }

  update({ passed, at, detail }) {
    setAttribute(this.node, "class", passed ? "passed" : "missed");
    setText(this.node, `${instant(at)} ${passed ? "passed" : "failed"}: ${detail}`);
  }
}

function shown(key, member) {
  const value = member[key];
  if (value === undefined || value === null) return "";
  return String(key === "loadfactor" ? Math.round(value * 100) / 100 : value);
}

/** The status as Apache's page has it, in words of ours. */
function statusWords(status) {
  const flags = flagsOf(status);
  const words = FLAGS.filter(([letter]) => flags.has(letter)).map(([, name]) => name);
  return words.join(", ") || "Ok";
}

/** The patch that takes a patch back. */
function reverse(patch, before, after) {
  const back = {};
  for (const key of Object.keys(patch)) {
    back[key] = key === "status" ? difference(after.status, before.status) : (before.settings?.[key] ?? null);
  }
  return back;
}

/** The flags to set and to clear, from one status to another. */
function difference(from, to) {
  const [is, shall] = [flagsOf(from), flagsOf(to)];
  return FLAGS.filter(([letter]) => is.has(letter) !== shall.has(letter))
    .map(([letter]) => (shall.has(letter) ? "+" : "-") + letter)
    .join(" ");
}
