// Forms of settings: they send what differs, and show mistakes at the fields they belong to.

import { button, element, freshId, setText } from "./dom.js";
import { keyParts, value } from "./format.js";

/**
 * A form over settings. `save(patch)` sends what differs from what was loaded, as a merge patch; what it throws is shown.
 * `cancel` is what else its second button does.
 */
export class SettingsForm {
  constructor({ groups, action, save, cancel, isNew = false }) {
    this.fields = new Map();
    this.save = save;
    this.isNew = isNew;
    this.loaded = {};
    this.error = element("p", { class: "error", role: "alert" });
    const parts = groups.map(([legend, fields]) =>
      element("fieldset", {}, element("legend", {}, legend), ...fields.map((field) => this.row(field))));
    this.submit = element("button", { class: "primary" }, action);
    const tools = element("p", { class: "buttons" }, button("Cancel", cancel), this.submit);
    this.node = element("form", { class: "settings", novalidate: true, onsubmit: (event) => this.send(event) },
      this.error, element("div", { class: "groups" }, ...parts), tools);
    this.show({});
  }

  row(field) {
    const id = freshId("field");
    const error = element("span", { id: `${id}-error`, class: "error" });
    const now = element("span", { class: "now" });
    const control = field.make(id, error.id);
    const label = field.isGroup ? element("span", { class: "label" }, field.label) : element("label", { for: id }, field.label);
    this.fields.set(field.key, { field, error, now });
    return element("div", { class: field.isGroup ? "field group" : "field" }, label, control, now, error);
  }

  /** Fills the form with settings that were just loaded. */
  show(settings) {
    this.loaded = settings;
    for (const [key, entry] of this.fields) {
      entry.field.show(settings[key]);
      entry.before = entry.field.read();
    }
  }

  /** Takes another operator's change of the settings: what was typed here stays, and the new value stands beside it. */
  meet(settings) {
    const patch = this.patch();
    for (const [key, entry] of this.fields) {
      const isTheirs = !same(settings[key], this.loaded[key]);
      setText(entry.now, isTheirs ? `now: ${value(settings[key])}` : "");
      if (!isTheirs) continue;
      if (key in patch) {
        entry.before = undefined;
      } else {
        entry.field.show(settings[key]);
        entry.before = entry.field.read();
      }
    }
    this.loaded = settings;
    this.tell("Somebody else changed this meanwhile. What it is now stands beside the fields. Look, and save again.");
  }

  /** What differs from what was loaded, as a merge patch. */
  patch() {
    const patch = {};
    for (const [key, { field, before }] of this.fields) {
      const typed = field.read();
      if (before === undefined || !same(typed, before)) patch[key] = typed;
    }
    return patch;
  }

  async send(event) {
    event.preventDefault();
    this.clear();
    const patch = this.patch();
    if (!this.isNew && Object.keys(patch).length === 0) {
      this.tell("Nothing is changed yet.");
      return;
    }
    this.submit.disabled = true;
    try {
      await this.save(patch);
    } catch (problem) {
      this.explain(problem);
    } finally {
      this.submit.disabled = false;
    }
  }

  clear() {
    this.tell("");
    for (const { field, error } of this.fields.values()) {
      setText(error, "");
      field.input.removeAttribute("aria-invalid");
    }
  }

  tell(words) {
    setText(this.error, words);
  }

  /** Shows each mistake at its field, and what belongs to none above them all. */
  explain(problem) {
    const homeless = problem.mistakes?.filter((mistake) => !this.place(mistake)) ?? [];
    const words = homeless.map(sentence).join("\n");
    const isPlaced = problem.mistakes?.length > homeless.length;
    this.tell(words || (isPlaced ? "Something is wrong below." : problem.message));
    const first = [...this.fields.values()].find(({ field }) => field.input.hasAttribute("aria-invalid"));
    first?.field.input.focus();
  }

  place(mistake) {
    const parts = keyParts(mistake.key ?? "").map((part) => part.replace(/\[\d+\]$/, ""));
    const home = parts.reverse().find((part) => this.fields.has(part));
    if (home === undefined) return false;
    const { field, error } = this.fields.get(home);
    const before = error.textContent ? `${error.textContent}; ` : "";
    setText(error, before + (mistake.remedy ?? sentence(mistake)));
    field.input.setAttribute("aria-invalid", "true");
    return true;
  }
}

/** A mistake in one sentence. */
export function sentence({ line, key, value: given, remedy }) {
  const what = [key, given].filter((part) => part !== undefined && part !== null && part !== "").join(" = ");
  return [line && `line ${line}`, what, remedy].filter(Boolean).join(": ");
}

/** Whether two values are the same; what is not written is `null`. */
export function same(one, other) {
  return JSON.stringify(one ?? null) === JSON.stringify(other ?? null);
}
