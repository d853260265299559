// What the operator is told: banners for what lasts, toasts for what was done, with a way back.

import { button, element, setText } from "./dom.js";

const TOAST_MS = 30_000;
const TOASTS = 4;

const banners = document.getElementById("banners");
const toasts = document.getElementById("toasts");
const shown = new Map();

/** Shows a lasting notice under a name, changes it, or takes it away with `null`. */
export function banner(name, words, { kind = "warn", action = null } = {}) {
  const before = shown.get(name);
  if (words === null) {
    before?.remove();
    shown.delete(name);
    return;
  }
  if (before) {
    setText(before.querySelector("span"), words);
    return;
  }
  const tool = action && button(action.words, action.run);
  const node = element("p", { class: `banner ${kind}` }, element("span", {}, words), tool);
  shown.set(name, node);
  banners.append(node);
}

/**
 * Tells what was done. `undo` takes it back: it is offered for half a minute, for longer while the pointer or the focus
 * is there, and by Ctrl+Z.
 */
export function done(words, undo = null) {
  show("done", words, undo);
}

/** Tells what went wrong. */
export function failed(words) {
  show("failed", words, null);
}

/** Runs what talks with the API, and tells if it fails. Gives what it gives, or `undefined`. */
export async function attempt(what, action) {
  try {
    return await action();
  } catch (problem) {
    failed(`${what}: ${problem.message}`);
    return undefined;
  }
}

function show(kind, words, undo) {
  const close = button("×", () => node.remove(), { class: "quiet close", "aria-label": "Close this notice" });
  const back = undo && button("Undo", () => {
    node.remove();
    attempt("This could not be undone", undo);
  }, { class: "undo" });
  const node = element("div", { class: `toast ${kind}` }, element("span", {}, words), back, close);
  toasts.append(node);
  while (toasts.children.length > TOASTS) toasts.firstElementChild.remove();
  expire(node);
}

function expire(node) {
  setTimeout(() => {
    const isHeeded = node.matches(":hover") || node.contains(document.activeElement);
    if (isHeeded) expire(node);
    else node.remove();
  }, TOAST_MS);
}

document.addEventListener("keydown", (event) => {
  const isUndo = (event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === "z";
  if (!isUndo || event.target.matches("input, textarea, select")) return;
  const latest = [...toasts.querySelectorAll(".undo")].at(-1);
  if (latest) {
    event.preventDefault();
    latest.click();
  }
});
