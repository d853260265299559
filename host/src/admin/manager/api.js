// The JSON API below `/api/v1`: requests, the token, the CSRF token, and what went wrong.

import * as token from "./token.js";

const PATIENCE_MS = 15_000;
const UPLOAD_PATIENCE_MS = 120_000;

const base = new URL(`${meta("api")}/`, location.href);
let csrf = meta("csrf-token");

function meta(name) {
  return document.querySelector(`meta[name="${name}"]`).content;
}

/** An answer that is not what was asked for. `status` is 0 where there was no answer at all. */
export class Problem extends Error {
  constructor(status, detail, mistakes = []) {
    super(detail);
    this.status = status;
    this.mistakes = mistakes;
  }

  /** Whether it was changed meanwhile by another operator. */
  get isStale() {
    return this.status === 412;
  }
}

/** A path of which every part is written so that it stays one part. */
export function path(...parts) {
  return parts.map((part) => encodeURIComponent(part)).join("/");
}

/**
 * Asks the API, and asks for the token first where it wants one. Gives `{ body, etag }`; the body is `null` where there is
 * none.
 *
 * @throws {Problem} where the answer is no success, or there is none
 */
export async function ask(method, where, { body, etag, type } = {}) {
  const headers = new Headers({ Accept: "application/json" });
  if (etag) headers.set("If-Match", etag);
  if (body !== undefined) headers.set("Content-Type", type ?? "application/json");
  const content = body === undefined || type ? body : JSON.stringify(body);
  const response = await sendUntilKnown(method, new URL(where, base), headers, content);
  if (!response.ok) throw await problem(response);
  const text = await response.text();
  return { body: text ? parsed(text) : null, etag: response.headers.get("ETag") };
}

async function sendUntilKnown(method, url, headers, body) {
  let isRenewed = false;
  for (;;) {
    const secret = token.current();
    if (secret) headers.set("Authorization", `Bearer ${secret}`);
    if (method !== "GET") headers.set("X-CSRF-Token", csrf);
    const response = await send(method, url, headers, body);
    if (response.status === 401) {
      if (secret === token.current()) await token.asked(secret !== null);
    } else if (response.status === 403 && method !== "GET" && !isRenewed && (await renewCsrf())) {
      isRenewed = true;
    } else {
      return response;
    }
  }
}

async function send(method, url, headers, body) {
  const patience = body instanceof Blob ? UPLOAD_PATIENCE_MS : PATIENCE_MS;
  const signal = AbortSignal.timeout(patience);
  try {
    return await fetch(url, {
      method, headers, body, signal, cache: "no-store", credentials: "same-origin", redirect: "error",
    });
  } catch (error) {
    const isLate = error.name === "TimeoutError";
    throw new Problem(0, isLate ? "the server took too long to answer" : "the server does not answer");
  }
}

/** Takes the CSRF token anew: it is another one after a restart of the program. Tells whether it is. */
async function renewCsrf() {
  const response = await send("GET", location.href.replace(/#.*/, ""), new Headers(), undefined);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const fresh = page.querySelector('meta[name="csrf-token"]')?.content;
  if (!fresh || fresh === csrf) return false;
  csrf = fresh;
  return true;
}

async function problem(response) {
  const text = await response.text();
  const type = response.headers.get("Content-Type") ?? "";
  if (type.includes("json")) {
    const { detail, title, mistakes } = parsed(text) ?? {};
    const words = detail || title || response.statusText;
    return new Problem(response.status, words, Array.isArray(mistakes) ? mistakes : []);
  }
  return new Problem(response.status, text.trim() || `the answer was ${response.status} ${response.statusText}`);
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Problem(0, "the answer is not JSON: is something else at this address?");
  }
}
