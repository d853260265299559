// Windows over the page: the browser keeps the focus inside, closes them by Escape, and gives the focus back.

import { button, element, freshId } from "./dom.js";

/** Opens a window with a title and content. Gives it, to be closed by `close()`. */
export function open(title, content, { isWide = false, closed = null } = {}) {
  const id = freshId("title");
  const close = button("×", () => dialog.close(), { class: "quiet close", "aria-label": "Close" });
  const head = element("div", { class: "title" }, element("h2", { id }, title), close);
  const dialog = element("dialog", { "aria-labelledby": id, class: isWide ? "wide" : null }, head, content);
  const opener = document.activeElement;
  dialog.addEventListener("close", () => {
    dialog.remove();
    closed?.();
    if (opener?.isConnected) opener.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Asks whether to go on; `action` names what happens then. */
export function confirmed(title, words, action) {
  return new Promise((resolve) => {
    let isConfirmed = false;
    const yes = button(action, () => {
      isConfirmed = true;
      dialog.close();
    }, { class: "danger" });
    const no = button("Cancel", () => dialog.close(), { autofocus: true });
    const content = element("div", {}, element("p", {}, words), element("p", { class: "buttons" }, no, yes));
    const dialog = open(title, content, { closed: () => resolve(isConfirmed) });
  });
}
