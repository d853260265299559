// The balancer-manager: four views of one program, kept up to date.

import { Balancers } from "./balancers.js";
import { Problem } from "./api.js";
import { Configuration } from "./configuration.js";
import { Decisions } from "./decisions.js";
import { setText } from "./dom.js";
import { banner } from "./notices.js";
import { Plugins } from "./plugins.js";
import { Poll } from "./poll.js";

const VIEWS = ["balancers", "plugins", "decisions", "configuration"];
/** What changes rarely is asked for so many times less often, where it is not looked at. */
const SELDOM = 5;

/** What the views share. */
const site = {
  refresh: () => poll.now(),
  differs: (...parts) => views.configuration.differs(...parts),
  plugins: () => views.plugins.known,
};

const views = {
  balancers: new Balancers(site),
  plugins: new Plugins(site),
  decisions: new Decisions(),
  configuration: new Configuration(site),
};

let shown = "balancers";
let rounds = 0;
const poll = new Poll(step, heard);

/** One round of questions: the view that is looked at, and now and then what others need to know. */
async function step() {
  const isTurn = rounds % SELDOM === 0;
  const wanted = VIEWS.filter((name) => name === shown || name === "balancers" || (isTurn && name !== "decisions"));
  const outcomes = await Promise.allSettled(wanted.map((name) => views[name].refresh()));
  rounds += 1;
  const failed = outcomes.find(({ status }) => status === "rejected");
  if (failed) throw failed.reason;
}

function heard(problem) {
  const isRefused = problem instanceof Problem && problem.status >= 400 && problem.status < 500;
  const isAway = problem !== null && !isRefused;
  banner("refused-question", isRefused ? `The program does not tell everything: ${problem.message}` : null);
  document.body.classList.toggle("stale", isAway);
  const pulse = document.getElementById("pulse");
  pulse.dataset.state = isAway ? "away" : poll.isPaused ? "paused" : "live";
  const time = new Date().toLocaleTimeString("en-GB");
  if (isAway) {
    setText(document.getElementById("pulse-text"), "away");
    banner("away", `What is shown may be old: ${problem.message}. This page asks again by itself.`, {
      kind: "bad", action: { words: "Ask now", run: () => poll.now() },
    });
    if (!(problem instanceof Problem)) console.error(problem);
  } else {
    setText(document.getElementById("pulse-text"), poll.isPaused ? "paused" : time);
    banner("away", null);
  }
}

function show() {
  const wanted = location.hash.slice(1);
  if (VIEWS.includes(wanted)) shown = wanted;
  for (const name of VIEWS) {
    document.getElementById(`view-${name}`).hidden = name !== shown;
    const link = document.querySelector(`nav a[href="#${name}"]`);
    if (name === shown) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${shown} · balancer-manager · Equipoise`;
  poll.now();
}

function pause(event) {
  const isPaused = event.currentTarget.getAttribute("aria-pressed") !== "true";
  event.currentTarget.setAttribute("aria-pressed", String(isPaused));
  poll.pause(isPaused);
  heard(null);
}

document.getElementById("pause").addEventListener("click", pause);
addEventListener("hashchange", () => {
  if (!VIEWS.includes(location.hash.slice(1))) return;
  show();
  document.getElementById(`title-${shown}`).focus({ preventScroll: true });
});
show();
