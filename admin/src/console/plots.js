// Plots over time: the server draws them, the page swaps them in and colours them.

import { byId, el, fetchSvg, mark } from "./dom.js";
import { ask } from "./ask.js";
import { plotted } from "./scope.js";

const PLOTS = [
  ["queries", "Queries", "per second"],
  ["requests", "Requests", "per second"],
  ["bytes", "Sent", "bytes per second"],
  ["latency", "Latency", "p50, and p99 dashed"],
  ["hit-ratio", "Hit ratio", "of requests"],
  ["byte-offload", "Byte offload", "of bytes to clients"],
  ["fetches", "Origin fetches", "per second"],
];
/** How far back, and how often it is worth asking again, in seconds. */
const SPANS = [
  ["10m", "10 min", 5],
  ["1h", "1 h", 20],
  ["6h", "6 h", 60],
];
const WORDS = [
  ["Hit ratio", "of the requests, those that were answered from what an edge had stored."],
  ["Byte offload", "of the bytes to clients, the part that origins did not have to send."],
  ["p50, p99", "half, and 99 of a hundred requests, were answered faster."],
];
/** What means nothing for one site or edge. */
const NOT_FOR = { site: ["queries", "latency"], edge: ["queries"] };

const frames = new Map();
let span = SPANS[0];
let shown = null;
let drawnAt = -Infinity;
let round = 0;

/** Puts the frames and the choice of spans into the page. */
export function openPlots() {
  const buttons = SPANS.map((one) => el("button", { type: "button", "aria-pressed": one === span, click: () => choose(one) }, one[1]));
  byId("plots-window").append(...buttons);
  for (const [name, title, unit] of PLOTS) {
    const frame = el("div", { class: "frame" });
    const figure = el("figure", { class: "plot", "data-plot": name }, el("figcaption", {}, el("b", {}, title), unit), frame);
    frames.set(name, { figure, frame });
    byId("plots-grid").append(figure);
  }
  byId("plots-grid").append(el("dl", { class: "words" }, ...WORDS.flatMap(([word, text]) => [el("dt", {}, word), el("dd", {}, text)])));
  function choose(one) {
    span = one;
    buttons.forEach((button, at) => mark(button, "aria-pressed", SPANS[at] === one));
    draw();
  }
}

/** Draws them anew where it is time, or where something else is looked at. */
export function drawPlots(scope) {
  const of = plotted(scope);
  if (of === shown && performance.now() - drawnAt < 1000 * span[2]) return;
  if (of !== shown) {
    for (const [name, { figure }] of frames) figure.hidden = (NOT_FOR[scope.kind] ?? []).includes(name);
  }
  shown = of;
  draw();
}

async function draw() {
  if (document.hidden) return;
  drawnAt = performance.now();
  const mine = ++round;
  const query = `?of=${encodeURIComponent(shown)}&span=${span[0]}`;
  for (const [name, { figure, frame }] of frames) {
    if (figure.hidden) continue;
    try {
      const plot = await fetchSvg(`/plots/${name}.svg${query}`, ask);
      // What was asked for before something else was chosen comes too late.
      if (mine !== round) return;
      frame.replaceChildren(plot);
      mark(figure, "data-old", null);
    } catch {
      mark(figure, "data-old", "true");
    }
  }
}
