// How numbers, times and keys are written.

/** Bytes as Apache's balancer-manager writes them: `3.2K`. */
export function bytes(count) {
  return scaled(count, 1024, ["", "K", "M", "G", "T", "P"]);
}

/** A count, shortened where it is long: `12,345`, `1.2M`. */
export function count(number) {
  return number < 100_000 ? number.toLocaleString("en") : scaled(number, 1000, ["", "k", "M", "G", "T", "P"]);
}

function scaled(number, step, units) {
  let unit = 0;
  let rest = number;
  while (rest >= step && unit < units.length - 1) {
    rest /= step;
    unit += 1;
  }
  const digits = unit === 0 || rest >= 100 ? 0 : 1;
  return `${rest.toFixed(digits)}${units[unit]}`;
}

/** A rate a second, or a dash where none is known yet. */
export function rate(number) {
  if (number === null) return "–";
  if (number === 0) return "0";
  if (number < 0.1) return "<0.1";
  return number < 10 ? number.toFixed(1) : count(Math.round(number));
}

/** Microseconds in the unit that suits them; a dash for none. */
export function microseconds(number) {
  if (!number) return "–";
  if (number < 1000) return `${Math.round(number)} µs`;
  if (number < 1_000_000) return `${(number / 1000).toFixed(number < 10_000 ? 1 : 0)} ms`;
  return `${(number / 1_000_000).toFixed(1)} s`;
}

/** A moment, given in seconds since 1970: the time of day, with the date where it is not today. */
export function moment(seconds) {
  const date = new Date(seconds * 1000);
  const time = date.toLocaleTimeString("en-GB");
  const isToday = date.toDateString() === new Date().toDateString();
  return isToday ? time : `${date.toLocaleDateString("en-CA")} ${time}`;
}

/** A moment with its milliseconds. */
export function instant(seconds) {
  const thousandths = String(Math.floor((seconds * 1000) % 1000)).padStart(3, "0");
  return `${moment(seconds)}.${thousandths}`;
}

/** A value as the configuration has it. */
export function value(value) {
  if (value === null || value === undefined) return "not written";
  if (typeof value === "string") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(written).join(", ")}]`;
  if (typeof value === "object") return written(value);
  return String(value);
}

function written(item) {
  if (item === null || typeof item !== "object" || Array.isArray(item)) return value(item);
  const pairs = Object.entries(item).map(([key, inner]) => `${key} = ${value(inner)}`);
  return `{ ${pairs.join(", ")} }`;
}

/** The parts of a dotted key of TOML, such as `balancer.shop.member."http://a:1".route`. */
export function keyParts(key) {
  const parts = [];
  const pattern = /"((?:[^"\\]|\\.)*)"|'([^']*)'|([^.]+)/g;
  for (const [, double, single, bare] of key.matchAll(pattern)) {
    parts.push(double?.replace(/\\(.)/g, "$1") ?? single ?? bare);
  }
  return parts;
}
