// The keys that can be edited: how each is called, what it is, and what holds where nothing is written.
//
// A field reads a setting as the configuration has it (`show`), and gives the value to write (`read`): `null` for nothing
// written, which is the default.

import { element, freshId } from "./dom.js";

const PLUGIN = "plugin:";

/** The flags of a member, with Apache's letters. */
export const FLAGS = [
  ["D", "Disabled", "gets no requests"],
  ["N", "Draining", "keeps its sessions, gets no new ones"],
  ["S", "Stopped", "gets no requests and no checks"],
  ["H", "Hot standby", "serves when no other member can"],
  ["R", "Hot spare", "stands in for one that cannot"],
  ["I", "Ignore errors", "is never in the error state"],
];

/** A text, or what is written like one: a duration, a size, a percentage. */
class Text {
  constructor(key, label, usual, { type = "text", ...attributes } = {}) {
    Object.assign(this, { key, label, usual, type, attributes });
  }

  make(id, describedBy) {
    this.input = element("input", {
      id, "aria-describedby": describedBy, type: this.type, placeholder: this.usual, autocomplete: "off",
      spellcheck: "false", ...this.attributes,
    });
    return this.input;
  }

  show(setting) {
    if (Array.isArray(setting)) this.input.value = setting.join(", ");
    else this.input.value = setting ?? "";
  }

  read() {
    return this.input.value.trim() || null;
  }
}

/** A number; what is none is sent as it is, for the server to say what would be right. */
class Numeric extends Text {
  constructor(key, label, usual) {
    super(key, label, usual, { inputmode: "decimal" });
  }

  read() {
    return number(super.read());
  }
}

/** A list, written with commas. */
class List extends Text {
  read() {
    const parts = this.input.value.split(",").map((part) => part.trim()).filter(Boolean);
    return parts.length ? parts.map(number) : null;
  }
}

/** A text that a plugin can stand for: written `plugin:NAME`. */
class TextOrPlugin extends Text {
  show(setting) {
    this.input.value = setting?.plugin ? PLUGIN + setting.plugin : (setting ?? "");
  }

  read() {
    const text = super.read();
    return text?.startsWith(PLUGIN) ? { plugin: text.slice(PLUGIN.length) } : text;
  }
}

/** One of some values. */
class Choice {
  constructor(key, label, usual, choices) {
    Object.assign(this, { key, label, usual, choices });
  }

  make(id, describedBy) {
    const options = this.choices.map(([value, words]) => element("option", { value }, words));
    const usual = element("option", { value: "" }, `Default (${this.usual})`);
    this.input = element("select", { id, "aria-describedby": describedBy }, usual, ...options);
    return this.input;
  }

  show(setting) {
    this.input.value = setting === null || setting === undefined ? "" : String(setting);
  }

  read() {
    return this.input.value || null;
  }
}

/** On or off. */
class Switch extends Choice {
  constructor(key, label, usual) {
    super(key, label, usual ? "on" : "off", [["true", "On"], ["false", "Off"]]);
  }

  read() {
    const word = super.read();
    return word && word === "true";
  }
}

/** A built-in method, or a plugin with a built-in method behind it. */
class Method extends Choice {
  constructor(plugins) {
    const methods = METHODS.map((method) => [method, method]);
    super("lbmethod", "Method", "byrequests", [...methods, ...plugins.map((name) => [PLUGIN + name, `plugin ${name}`])]);
  }

  make(id, describedBy) {
    const select = super.make(id, describedBy);
    const options = METHODS.map((method) => element("option", { value: method }, method));
    this.fallback = element("select", {}, ...options);
    this.behind = element("label", { class: "behind" }, "and where it does not decide ", this.fallback);
    select.addEventListener("change", () => this.adjust());
    return element("span", { class: "pair" }, select, this.behind);
  }

  adjust() {
    this.behind.hidden = !this.input.value.startsWith(PLUGIN);
  }

  show(setting) {
    super.show(setting?.plugin ? PLUGIN + setting.plugin : setting);
    this.fallback.value = setting?.fallback ?? "byrequests";
    this.adjust();
  }

  read() {
    const word = super.read();
    if (!word?.startsWith(PLUGIN)) return word;
    return { plugin: word.slice(PLUGIN.length), fallback: this.fallback.value };
  }
}

/** The built-in rule, or a plugin that judges. */
class Judge extends Choice {
  constructor(plugins) {
    super("health", "Judge", "the built-in rule", plugins.map((name) => [name, `plugin ${name}`]));
  }

  show(setting) {
    super.show(setting?.plugin);
  }

  read() {
    const plugin = super.read();
    return plugin && { plugin };
  }
}

/** Flags, each a box to tick. */
class Flags {
  constructor() {
    Object.assign(this, { key: "status", label: "Status", usual: "none", isGroup: true });
  }

  make(id, describedBy) {
    this.boxes = FLAGS.map(([letter, name, meaning]) => {
      const box = element("input", { type: "checkbox", value: letter, id: freshId("flag") });
      return [box, element("label", { for: box.id, title: meaning }, box, ` ${name} `, element("i", {}, letter))];
    });
    const labels = this.boxes.map(([, label]) => label);
    this.input = this.boxes[0][0];
    return element("span", { class: "flags", id, role: "group", "aria-label": "Status", "aria-describedby": describedBy }, ...labels);
  }

  show(setting) {
    const letters = flagsOf(setting);
    for (const [box] of this.boxes) box.checked = letters.has(box.value);
  }

  read() {
    return this.boxes.map(([box]) => (box.checked ? `+${box.value}` : "")).join("");
  }
}

const METHODS = ["byrequests", "bytraffic", "bybusyness", "heartbeat"];
const CHECKS = ["TCP", "OPTIONS", "HEAD", "GET", "OPTIONS11", "HEAD11", "GET11", "GRPC", "CPING"];

/** The letters of the flags that are set in a status such as `+H`, `NH` or `-`. */
export function flagsOf(status) {
  const letters = new Set();
  for (const [, sign, letter] of (status ?? "").matchAll(/([+-]?)([A-Z])/g)) {
    if (sign === "-") letters.delete(letter);
    else letters.add(letter);
  }
  return letters;
}

function number(text) {
  return text !== null && /^\d+(\.\d+)?$/.test(text) ? Number(text) : text;
}

/** Active checks. `usual` is which there are where nothing is written. */
function checks(usual) {
  return [
    new Choice("hcmethod", "Method (hcmethod)", usual, [...CHECKS.map((check) => [check, check]), ["none", "none"]]),
    new Text("hcuri", "URI (hcuri)", "the member’s path"),
    new Text("hcinterval", "Interval (hcinterval)", "30s"),
    new Text("hctimeout", "Timeout (hctimeout)", "5s"),
    new Numeric("hcpasses", "Passes (hcpasses)", "1"),
    new Numeric("hcfails", "Fails (hcfails)", "1"),
    new Numeric("hcport", "Port (hcport)", "the member’s"),
    new Text("hchost", "Host (hchost)", "the member’s"),
  ];
}

/** The fields of a member, by groups. */
export function memberFields() {
  return [
    ["Share and sessions", [
      new Numeric("loadfactor", "Factor (loadfactor)", "1"),
      new Numeric("lbset", "Set (lbset)", "0"),
      new Text("route", "Route", "none"),
      new Text("redirect", "Route redirect", "none"),
      new Flags(),
      new Text("slow-start", "Slow start", "the balancer’s"),
      new Text("drain-timeout", "Drain timeout", "none"),
    ]],
    ["Health checks", checks("as the balancer says")],
    ["Connections", [
      new Text("timeout", "Timeout", "60s"),
      new Text("connectiontimeout", "Connection timeout", "1s"),
      new Text("retry", "Retry after an error", "60s"),
      new Numeric("max", "At most in flight (max)", "no bound"),
      new Text("acquire", "Wait for a place (acquire)", "10s"),
      new Text("ttl", "Idle connections live (ttl)", "4s"),
      new Text("ping", "Ping", "off"),
      new Switch("disablereuse", "Disable reuse", false),
      new Switch("keepalive", "TCP keep-alive", false),
      new Text("upgrade", "Upgrade", "as the URL says"),
      new Text("tunnel-timeout", "Tunnel timeout", "1h"),
      new Choice("proxy-protocol", "PROXY header (proxy-protocol)", "none", [["v1", "v1"], ["v2", "v2"]]),
    ]],
  ];
}

/** The fields of a balancer, by groups. `plugins` are those there are, as the API tells of them. */
export function balancerFields(plugins) {
  const having = (role) => plugins.filter(({ roles }) => (roles ?? []).some((name) => name.startsWith(role))).map(({ name }) => name);
  return [
    ["Choosing", [
      new Method(having("select")),
      new TextOrPlugin("stickysession", "Sticky session", "none"),
      new Text("stickysessionsep", "Sticky separator", "."),
      new Switch("scolonpathdelim", "; ends the session (scolonpathdelim)", false),
      new Switch("nofailover", "Disable failover (nofailover)", false),
    ]],
    ["Tries", [
      new Numeric("maxattempts", "Failover attempts (maxattempts)", "members − 1"),
      new Text("timeout", "Timeout", "0s"),
      new List("failonstatus", "Fail on status", "none"),
      new Switch("failontimeout", "Fail on timeout", false),
      new Switch("forcerecovery", "Force recovery", true),
      new List("retry-on", "Retry on", "none"),
      new Text("request-timeout", "Request timeout", "off"),
      new Text("retry-budget", "Retry budget", "20%"),
      new Text("replay-buffer", "Replay buffer", "64KiB"),
    ]],
    ["Health", [
      new Judge(having("health").concat(having("judge"))),
      new Text("panic-threshold", "Panic threshold", "10%"),
      new Text("slow-start", "Slow start", "0s"),
      ...checks("none"),
    ]],
  ];
}

/** What a new member is asked for. */
export function newMemberFields() {
  const [[, share], [, health]] = memberFields();
  const url = new Text("url", "Worker URL", "http://10.0.0.7:8080", { required: true });
  return [["The member", [url, ...share]], ["Health checks", health]];
}

/** What a new balancer is asked for. Its members' URLs stand under `member`, with commas. */
export function newBalancerFields(plugins) {
  const [[, choosing]] = balancerFields(plugins);
  const name = new Text("name", "Name", "shop", { required: true });
  const members = new List("member", "Worker URLs, with commas", "http://10.0.0.7:8080, http://10.0.0.8:8080", { required: true });
  return [["The balancer", [name, members, ...choosing]]];
}
