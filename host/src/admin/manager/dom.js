// How elements are made and kept up to date. Text is only ever set as text: nothing here reads markup.

const SVG = "http://www.w3.org/2000/svg";

/**
 * Makes an element. Attributes that are `null` or `false` are left out, `true` stands alone, and a function under a key
 * such as `onclick` listens for that event. Children are nodes, or texts.
 */
export function element(name, attributes = {}, ...children) {
  return furnish(document.createElement(name), attributes, children);
}

/** Makes an element of a drawing. */
export function drawing(name, attributes = {}, ...children) {
  return furnish(document.createElementNS(SVG, name), attributes, children);
}

function furnish(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") {
      node.addEventListener(key.slice(2), value);
    } else if (value !== null && value !== undefined && value !== false) {
      node.setAttribute(key, value === true ? "" : value);
    }
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** A button that is told what it does by its words, or by `attributes` where they are not enough. */
export function button(words, onclick, attributes = {}) {
  return element("button", { type: "button", onclick, ...attributes }, words);
}

/** Sets a text where it differs, so that selections and screen readers are left in peace. */
export function setText(node, text) {
  const next = String(text);
  if (node.textContent !== next) node.textContent = next;
}

/** Sets an attribute where it differs; `null` removes it. */
export function setAttribute(node, name, value) {
  if (value === null || value === undefined || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else if (node.getAttribute(name) !== String(value)) {
    node.setAttribute(name, value);
  }
}

/**
 * Has `parent` hold one view for each item, in their order. Views live on by key; `make(item)` makes one, an object with
 * `node`, `update(item)`, and perhaps `remove()`. Nodes that stand where they belong are not touched.
 */
export class Views {
  constructor(parent, key, make) {
    this.parent = parent;
    this.key = key;
    this.make = make;
    this.views = new Map();
  }

  update(items) {
    const keys = new Set(items.map(this.key));
    for (const [key, view] of this.views) {
      if (keys.has(key)) continue;
      view.remove?.();
      view.node.remove();
      this.views.delete(key);
    }
    let place = this.parent.firstElementChild;
    for (const item of items) {
      let view = this.views.get(this.key(item));
      if (!view) {
        view = this.make(item);
        this.views.set(this.key(item), view);
      }
      view.update(item);
      if (view.node === place) {
        place = place.nextElementSibling;
      } else {
        this.parent.insertBefore(view.node, place);
      }
    }
  }
}

let numbered = 0;

/** An id that no other element has. */
export function freshId(prefix) {
  numbered += 1;
  return `${prefix}-${numbered}`;
}
