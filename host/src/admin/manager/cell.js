// A value in a table that becomes a small form where it stands.

import { button, element, freshId, setAttribute, setText } from "./dom.js";

/**
 * A value that can be edited in place: by its button, Enter saves, Escape leaves it as it was. `save(text)` sends it, and
 * throws what went wrong; `begin()` is called when an edit begins.
 */
export class Cell {
  constructor({ label, save, begin, width = 8, mode = "text" }) {
    Object.assign(this, { label, save, begin, width, mode });
    this.text = "";
    this.value = element("button", { type: "button", class: "value", onclick: () => this.edit() });
    this.mark = element("span", { class: "mark", hidden: true, title: "differs from the configuration file" },
      element("span", { class: "hidden-words" }, "differs from the file"));
    this.node = element("span", { class: "cell" }, this.value, this.mark);
    this.form = null;
  }

  /** Shows a value; an edit that is going on is left in peace. */
  update(text, differs) {
    this.text = text;
    setText(this.value, text === "" ? "–" : text);
    setAttribute(this.value, "aria-label", `${this.label}: ${text === "" ? "none" : text}. Edit`);
    if (this.mark.hidden === differs) this.mark.hidden = !differs;
  }

  edit() {
    if (this.form) return;
    this.begin();
    const id = freshId("cell");
    this.error = element("span", { class: "error", id, role: "alert" });
    this.input = element("input", {
      size: this.width, "aria-label": this.label, "aria-describedby": id, autocomplete: "off", spellcheck: "false",
      inputmode: this.mode,
    });
    this.input.value = this.text;
    const save = element("button", { class: "primary", "aria-label": "Save" }, "✓");
    const leave = button("✕", () => this.leave(), { class: "quiet", "aria-label": "Cancel" });
    this.form = element("form", {
      class: "inline", novalidate: true,
      onsubmit: (event) => this.send(event),
      onkeydown: (event) => event.key === "Escape" && this.leave(),
    }, this.input, save, leave, this.error);
    this.value.hidden = true;
    this.value.after(this.form);
    this.input.select();
  }

  async send(event) {
    event.preventDefault();
    const text = this.input.value.trim();
    if (text === this.text) {
      this.leave();
      return;
    }
    setText(this.error, "");
    this.form.inert = true;
    try {
      await this.save(text);
      this.leave();
    } catch (problem) {
      this.explain(problem);
    }
  }

  explain(problem) {
    this.form.inert = false;
    const remedies = problem.mistakes?.map(({ remedy }) => remedy).filter(Boolean) ?? [];
    setText(this.error, remedies.join("; ") || problem.message);
    this.input.setAttribute("aria-invalid", "true");
    this.input.focus();
  }

  leave() {
    this.form?.remove();
    this.form = null;
    this.value.hidden = false;
    this.value.focus();
  }
}
