// The balancers: for each what it is, and the table of its members.

import { ask, path } from "./api.js";
import { confirmed, open } from "./dialog.js";
import { Views, button, element, freshId, setText } from "./dom.js";
import { balancerFields, newBalancerFields, newMemberFields } from "./fields.js";
import { SettingsForm } from "./forms.js";
import { COLUMNS, MemberRow } from "./members.js";
import { attempt, done } from "./notices.js";

/** The view of all balancers. `site` is what they share: `refresh()`, `differs(…)`, and the plugins there are. */
export class Balancers {
  constructor(site) {
    this.site = site;
    this.list = document.getElementById("balancers-list");
    this.empty = element("p", { class: "empty" }, "There is no balancer.");
    this.views = new Views(this.list, ({ name }) => name, (balancer) => new BalancerSection(balancer.name, site));
    document.getElementById("add-balancer").addEventListener("click", () => this.add());
  }

  /** Asks the API, and shows what it tells. */
  async refresh() {
    const { balancers } = (await ask("GET", "balancers")).body;
    for (const leftover of this.list.querySelectorAll(":scope > .empty")) leftover.remove();
    this.views.update(balancers);
    if (balancers.length === 0) this.list.append(this.empty);
  }

  add() {
    const note = element("p", { class: "note" }, "It takes requests once a route of the configuration file names it.");
    const form = new SettingsForm({
      groups: newBalancerFields(this.site.plugins()), action: "Add", isNew: true, cancel: () => dialog.close(),
      save: async (patch) => {
        const { name } = patch;
        const member = (patch.member ?? []).map((url) => ({ url: String(url) }));
        await ask("POST", "balancers", { body: written({ ...patch, member }) });
        dialog.close();
        done(`${name} is added.`, async () => {
          await ask("DELETE", path("balancers", name));
          done(`${name} is gone again.`);
          this.site.refresh();
        });
        this.site.refresh();
      },
    });
    const dialog = open("Add a balancer", element("div", {}, note, form.node), { isWide: true });
  }
}

/** What is written of a new thing: the keys that have a value. */
function written(settings) {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== null && value !== ""));
}

class BalancerSection {
  constructor(name, site) {
    Object.assign(this, { name, site });
    this.where = path("balancers", name);
    const id = freshId("balancer");
    this.panics = element("span", { class: "badge bad", hidden: true }, "panics: the unhealthy are used, too");
    this.facts = new Facts();
    const tools = element("p", { class: "tools" },
      button("Settings…", () => this.edit(), { "aria-label": `Settings of ${name}` }),
      button("Add a member…", () => this.addMember(), { "aria-label": `Add a member to ${name}` }),
      button("Remove…", () => this.removeBalancer(), { class: "quiet", "aria-label": `Remove ${name}` }));
    const head = element("div", { class: "title" }, element("h2", { id }, name), this.panics, tools);
    this.body = element("tbody", { role: "rowgroup" });
    this.members = new Views(this.body, ({ id: number }) => number, (member) => new MemberRow(name, member, site));
    this.node = element("section", { class: "sheet balancer", "aria-labelledby": id }, head, this.facts.node, this.table(id));
  }

  table(labelledBy) {
    const heads = COLUMNS.map(([key, label, meaning]) =>
      element("th", { scope: "col", role: "columnheader", class: key, title: meaning, abbr: meaning }, label));
    return element("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": `Members of ${this.name}` },
      element("table", { role: "table", class: "members", "aria-labelledby": labelledBy },
        element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...heads)), this.body));
  }

  update(balancer) {
    this.balancer = balancer;
    if (this.panics.hidden === balancer.panics) this.panics.hidden = !balancer.panics;
    this.facts.update(balancer);
    this.members.update(balancer.members);
  }

  async load() {
    const { body, etag } = await ask("GET", this.where);
    this.etag = etag;
    return body;
  }

  edit() {
    const form = new SettingsForm({
      groups: balancerFields(this.site.plugins()), action: "Save", cancel: () => dialog.close(),
      save: async (patch) => {
        try {
          await this.change(patch);
          dialog.close();
        } catch (problem) {
          if (!problem.isStale) throw problem;
          form.meet((await this.load()).settings);
        }
      },
    });
    const dialog = open(`Settings of ${this.name}`, form.node, { isWide: true });
    this.load().then((balancer) => {
      this.before = balancer.settings;
      form.show(balancer.settings);
    }, (problem) => form.explain(problem));
  }

  async change(patch) {
    const { before, name, where } = this;
    await ask("PATCH", where, { body: patch, etag: this.etag });
    const keys = Object.keys(patch);
    done(`${name} is changed: ${keys.join(", ")}.`, async () => {
      const back = keys.map((key) => [key, before[key] ?? null]);
      await ask("PATCH", where, { body: Object.fromEntries(back) });
      done(`${name} is as it was.`);
      this.site.refresh();
    });
    this.site.refresh();
  }

  addMember() {
    const form = new SettingsForm({
      groups: newMemberFields(), action: "Add", isNew: true, cancel: () => dialog.close(),
      save: async (patch) => {
        const { body } = await ask("POST", `${this.where}/members`, { body: written(patch) });
        dialog.close();
        done(`${body.url} is a member of ${this.name}.`, async () => {
          await ask("DELETE", path("balancers", this.name, "members", body.id));
          done(`${body.url} is gone again.`);
          this.site.refresh();
        });
        this.site.refresh();
      },
    });
    const dialog = open(`Add a member to ${this.name}`, form.node, { isWide: true });
  }

  async removeBalancer() {
    const { name, where } = this;
    if (!(await confirmed(`Remove ${name}?`, "Its members, their counters and its sessions are forgotten.", "Remove"))) return;
    await attempt(`Remove ${name}`, async () => {
      const { body, etag } = await ask("GET", where);
      await ask("DELETE", where, { etag });
      const member = body.members.map(({ settings, url }) => ({ ...settings, url }));
      done(`${name} is removed.`, async () => {
        await ask("POST", "balancers", { body: { ...body.settings, name, member } });
        done(`${name} is back, with new counters.`);
        this.site.refresh();
      });
      this.site.refresh();
    });
  }
}

/** The line of facts below a balancer's name, in the order of Apache's page. */
class Facts {
  constructor() {
    this.node = element("dl", { class: "facts" });
    this.lines = new Map();
  }

  update(balancer) {
    const { settings = {}, lbmethod, plugin, session_plugin, stickysession, health_plugin, routes } = balancer;
    const cookie = typeof stickysession === "string" ? stickysession.replace("|", " | ") : null;
    this.line("Method", plugin ? `plugin ${plugin}, else ${lbmethod}` : lbmethod);
    this.line("StickySession", session_plugin ? `plugin ${session_plugin}` : (cookie ?? "(None)"));
    this.line("DisableFailover", balancer.nofailover ? "On" : "Off");
    this.line("Timeout", balancer.timeout ?? settings.timeout ?? "0s");
    this.line("FailoverAttempts", balancer.maxattempts ?? "–");
    if (health_plugin) this.line("Judge", `plugin ${health_plugin}`);
    this.line("Members", usable(balancer.members));
    this.line("Path", routes?.join(", ") || "no route names it");
  }

  line(term, words) {
    let data = this.lines.get(term);
    if (!data) {
      data = element("dd", {});
      this.lines.set(term, data);
      this.node.append(element("div", {}, element("dt", {}, term), data));
    }
    setText(data, words);
  }
}

function usable(members) {
  const ready = members.filter(({ state }) => state === "ok").length;
  return `${ready} of ${members.length} ok`;
}
