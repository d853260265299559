// The configuration in force: its text, what run-time changes lie over the file, and what is wrong with the file.

import { ask } from "./api.js";
import { confirmed } from "./dialog.js";
import { Views, button, element, setText } from "./dom.js";
import { sentence } from "./forms.js";
import { keyParts, moment, value } from "./format.js";
import { attempt, banner, done } from "./notices.js";

/** The view of the configuration; it also knows which values differ from the file. */
export class Configuration {
  constructor(site) {
    this.site = site;
    this.changed = new Set();
    this.facts = ["File", "Revision", "Loaded"].map((term) => [term, element("dd", {})]);
    this.refused = element("div", { class: "refused", hidden: true });
    this.body = element("tbody", {});
    this.views = new Views(this.body, ({ key }) => key, (change) => new ChangeLine(change, this));
    this.none = element("p", { class: "empty" }, "None: what runs is what the file says.");
    this.takeAll = button("Take all back…", () => this.takeAllBack());
    this.text = element("pre", { class: "text", tabindex: 0, role: "region", "aria-label": "The configuration in force" });
  }

  sheet() {
    const heads = ["Key", "In the file", "Running", ""].map((head) => element("th", { scope: "col" }, head));
    const table = element("table", {}, element("thead", {}, element("tr", {}, ...heads)), this.body);
    this.scroll = element("div", { class: "scroll" }, table);
    const facts = this.facts.map(([term, data]) => element("div", {}, element("dt", {}, term), data));
    return [
      element("section", { class: "sheet" },
        element("dl", { class: "facts" }, ...facts), this.refused,
        element("p", { class: "tools" }, button("Read the file again", () => this.reload()))),
      element("section", { class: "sheet" },
        element("div", { class: "title" }, element("h2", {}, "Changes over the file"), element("p", { class: "tools" }, this.takeAll)),
        this.none, this.scroll),
      element("section", { class: "sheet" }, element("div", { class: "title" }, element("h2", {}, "In force")), this.text),
    ];
  }

  /** Asks the API, and shows what it tells. */
  async refresh() {
    this.update((await ask("GET", "configuration")).body);
  }

  update(configuration) {
    if (!this.scroll) document.getElementById("configuration-sheet").replaceChildren(...this.sheet());
    const { file, revision, loaded, text, changes, refused } = configuration;
    [file, revision, moment(loaded)].forEach((words, index) => setText(this.facts[index][1], words));
    this.changed = new Set(changes.map(({ key }) => keyParts(key).join("\n")));
    this.views.update(changes);
    this.none.hidden = changes.length > 0;
    this.scroll.hidden = this.takeAll.hidden = changes.length === 0;
    setText(this.text, text);
    this.updateRefused(refused);
  }

  updateRefused(refused) {
    this.refused.hidden = !refused;
    banner("refused", refused ? "The configuration file has a version that was refused; the one before is in force." : null, {
      kind: "bad", action: { words: "See why", run: () => (location.hash = "#configuration") },
    });
    if (!refused || this.refusedAt === refused.at) return;
    this.refusedAt = refused.at;
    const mistakes = (refused.mistakes ?? []).map((mistake) => element("li", {}, sentence(mistake)));
    this.refused.replaceChildren(
      element("p", {}, `The version of ${moment(refused.at)} was refused:`),
      mistakes.length ? element("ul", {}, ...mistakes) : element("pre", {}, refused.detail));
  }

  /** Whether the value at these parts of a key is another one than the file's. */
  differs(...parts) {
    return this.changed.has(parts.join("\n"));
  }

  async reload() {
    await attempt("The file was not taken", async () => {
      const { body } = await ask("POST", "configuration/reload", { body: {} });
      this.update(body);
      done("The file is read, and in force.");
    });
    this.site.refresh();
  }

  async takeBack(key) {
    await attempt(`Take ${key} back`, async () => {
      await ask("DELETE", `configuration/changes?key=${encodeURIComponent(key)}`);
      done(`${key} is as the file has it.`);
    });
    this.site.refresh();
  }

  async takeAllBack() {
    const words = "Every value becomes what the file says. Members and balancers that were added while running go away.";
    if (!(await confirmed("Take all changes back?", words, "Take back"))) return;
    await attempt("Take all changes back", async () => {
      await ask("DELETE", "configuration/changes");
      done("What runs is what the file says.");
    });
    this.site.refresh();
  }
}

class ChangeLine {
  constructor({ key }, view) {
    this.file = element("td", {});
    this.running = element("td", {});
    const back = button("Take back", () => view.takeBack(key), { "aria-label": `Take ${key} back` });
    this.node = element("tr", {}, element("th", { scope: "row" }, key), this.file, this.running, element("td", {}, back));
  }

  update({ file, running }) {
    setText(this.file, value(file));
    setText(this.running, value(running));
  }
}
