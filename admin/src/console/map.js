// The world: PoPs and edges where they are, and what is drawn between them.

import { byId, el, fetchSvg, mark, reconcile, svg, write } from "./dom.js";
import { STATES, glyph, inText, wordFor } from "./marks.js";
import { healthOf, known } from "./state.js";
import { drawFlows } from "./flows.js";
import { linkTo, popOf } from "./scope.js";
import { several, share } from "./words.js";
import { VIEW, arc, placeAt, project } from "./world.js";

/** More edges than that are a figure. */
const MOST_PIPS = 8;
/** From one edge's mark to the next, in pixels. */
const PIP = 9;

let root = null;
let layers = {};
/** How much of the drawing a pixel of the page is. */
let unit = 1;
/** Where PoPs and their labels are, in pixels. */
let written = [];
/** What was asked by "Why there?": where the client is, and how it is drawn. */
let asked = null;

/** Brings the map into the page; `onPlace([latitude, longitude])` hears of clicks on it. */
export async function openMap(onPlace) {
  const names = ["land", "flows", "rays", "pops"];
  for (const name of names) layers[name] = svg("g", { "aria-hidden": name === "pops" ? null : "true" });
  const { left, top, width, height } = VIEW;
  const view = `${left} ${top} ${width} ${height}`;
  root = svg("svg", { viewBox: view, role: "group", "aria-label": "World map with PoPs" }, ...names.map((name) => layers[name]));
  root.addEventListener("click", (event) => {
    if (!event.target.closest("a")) onPlace(placeOf(event));
  });
  byId("map-frame").append(root);
  drawLegend();
  new ResizeObserver(measure).observe(root);
  const world = await fetchSvg("/world.svg");
  layers.land.append(...world.children);
}

function placeOf(event) {
  const box = root.getBoundingClientRect();
  const x = VIEW.left + ((event.clientX - box.left) / box.width) * VIEW.width;
  const y = VIEW.top + ((event.clientY - box.top) / box.height) * VIEW.height;
  return placeAt(x, y);
}

function measure() {
  const { width } = root.getBoundingClientRect();
  if (width === 0) return;
  unit = VIEW.width / width;
  root.dispatchEvent(new Event("measured"));
  // After what stands on the map has found its place anew.
  requestAnimationFrame(drawAsked);
}

/** Calls back when the map's size has changed, and marks with it. */
export function onMeasured(draw) {
  root.addEventListener("measured", draw);
}

/** Draws PoPs, edges and flows. */
export function drawMap(scope) {
  if (!root || !known.status) return;
  const chosen = popOf(scope);
  const pops = known.status.pops;
  const labels = place(pops);
  reconcile(layers.pops, pops, (pop) => pop.id, makePop, (link, pop) => patchPop(link, pop, labels.get(pop.id), chosen));
  const flows = chosen ? known.flows.filter((flow) => flow.pop === chosen) : known.flows;
  drawFlows(layers.flows, flows, pops, unit);
}

function makePop(pop) {
  const parts = [svg("circle", { class: "hit" }), svg("g"), svg("text"), svg("g", { class: "pips" })];
  return svg("a", { class: "pop", href: linkTo("pop", pop.id), "data-pop": pop.id }, ...parts);
}

function patchPop(link, pop, label, chosen) {
  const [hit, dot, text, pips] = link.children;
  const [x, y] = project([pop.latitude, pop.longitude]);
  const r = radius(pop);
  const health = healthOf(pop);
  mark(link, "transform", `translate(${x.toFixed(1)} ${y.toFixed(1)}) scale(${unit.toFixed(4)})`);
  mark(link, "data-health", health);
  mark(link, "class", chosen === pop.id ? "pop chosen" : "pop");
  mark(link, "aria-label", `${pop.name}, ${pop.id}: ${wordFor(health)}, ${pop.fit} of ${several(pop.edges.length, "edge")} fit, load ${share(pop.load)}`);
  mark(hit, "r", Math.max(r + 4, 12));
  if (dot.dataset.health !== health || dot.dataset.r !== String(r)) {
    dot.replaceChildren(glyph(health, r));
    dot.dataset.health = health;
    dot.dataset.r = r;
  }
  mark(text, "x", label.x);
  mark(text, "y", label.y);
  mark(text, "text-anchor", label.anchor);
  write(text, pop.id);
  drawPips(pips, pop, label);
}

function drawPips(pips, pop, label) {
  const edges = known.status.edges.filter((edge) => edge.pop === pop.id);
  const shown = edges.length > MOST_PIPS || !label.hasPips ? [] : edges;
  const width = (edges.length - 1) * PIP;
  const start = { start: 3, middle: -width / 2, end: -width - 3 }[label.anchor];
  mark(pips, "transform", `translate(${label.x + start} ${label.y + 7})`);
  reconcile(
    pips,
    shown,
    (edge) => edge.id,
    (edge) => svg("g", { "data-edge": edge.id }, svg("title"), svg("g")),
    (pip, edge) => {
      mark(pip, "transform", `translate(${edges.indexOf(edge) * PIP} 0)`);
      write(pip.firstElementChild, `${edge.id}: ${wordFor(edge.state)}${edge.reason ? `, ${edge.reason}` : ""}`);
      if (pip.dataset.health === edge.state) return;
      pip.dataset.health = edge.state;
      pip.lastElementChild.replaceWith(glyph(edge.state, 3));
    },
  );
}

/** A PoP's area grows with its load. In steps, so that a mark does not tremble. */
function radius(pop) {
  const [least, growth] = unit > 2 ? [3, 4] : [5, 9];
  return least + Math.round(2 * growth * Math.sqrt(Math.min(1, pop.load ?? 0))) / 2;
}

/** Where labels stand, in pixels from their PoP, so that they hide neither each other nor a PoP. */
function place(pops) {
  const taken = pops.map((pop) => {
    const [x, y] = project([pop.latitude, pop.longitude]).map((at) => at / unit);
    return { left: x - 6, right: x + 6, top: y - 6, bottom: y + 6, id: pop.id };
  });
  const labels = new Map();
  const hasPips = unit < 2;
  for (const pop of pops) {
    const [x, y] = project([pop.latitude, pop.longitude]).map((at) => at / unit);
    const r = radius(pop) + 4;
    const wide = Math.max(7 * pop.id.length, hasPips ? PIP * Math.min(pop.edges.length, MOST_PIPS) : 0);
    const tall = hasPips ? 20 : 12;
    const places = [
      { x: r, y: 3, anchor: "start", box: [r, -7] },
      { x: -r, y: 3, anchor: "end", box: [-r - wide, -7] },
      { x: 0, y: r + 8, anchor: "middle", box: [-wide / 2, r] },
      { x: 0, y: hasPips ? -r - 9 : -r, anchor: "middle", box: [-wide / 2, -r - tall] },
    ];
    const boxOf = ({ box }) => ({ left: x + box[0], right: x + box[0] + wide, top: y + box[1], bottom: y + box[1] + tall });
    const isOut = ({ left, right }) => left < 0 || right > VIEW.width / unit;
    const crossed = (label) =>
      taken.filter((other) => other.id !== pop.id && overlap(boxOf(label), other)).length + (isOut(boxOf(label)) ? 9 : 0);
    const best = places.reduce((best, one) => (crossed(one) < crossed(best) ? one : best));
    taken.push({ ...boxOf(best), id: `label of ${pop.id}` });
    labels.set(pop.id, { ...best, hasPips });
  }
  written = taken;
  return labels;
}

function overlap(a, b) {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

function drawLegend() {
  byId("legend").append(...STATES.map(([state, word]) => el("li", {}, inText(state), word)));
}

/** Draws what "Why there?" was told: lines from the client to each candidate. Null takes it off. */
export function showAsked(answer) {
  asked = answer;
  drawAsked();
}

function drawAsked() {
  mark(root, "class", asked?.location ? "asking" : null);
  if (!asked?.location) return layers.rays.replaceChildren();
  const from = project(asked.location);
  const pops = new Map(known.status.pops.map((pop) => [pop.id, pop]));
  const texts = [...written];
  const rays = asked.candidates.filter((candidate) => pops.has(candidate.pop)).flatMap((candidate) => {
    const pop = pops.get(candidate.pop);
    const to = project([pop.latitude, pop.longitude]);
    const kind = candidate.pop === asked.pop ? " chosen" : "";
    const line = svg("path", { class: `ray${kind}`, d: arc(from, to), "data-pop": candidate.pop });
    const x = to[0] / unit;
    const [above, below] = [to[1] / unit - radius(pop) - 6, to[1] / unit + radius(pop) + 14];
    const boxAt = (y) => ({ left: x - 24, right: x + 24, top: y - 9, bottom: y + 2 });
    // A cost that would stand on something else is left to the table.
    const y = [above, below].find((y) => !texts.some((other) => overlap(boxAt(y), other)));
    if (y === undefined) return [line];
    texts.push(boxAt(y));
    const at = `translate(${(x * unit).toFixed(1)} ${(y * unit).toFixed(1)}) scale(${unit.toFixed(4)})`;
    const cost = (candidate.cost_ms + candidate.price_ms).toFixed(1);
    return [line, svg("text", { class: `ray-cost${kind}`, transform: at }, `${cost} ms`)];
  });
  const cross = svg("g", { class: "asked", transform: `translate(${from[0]} ${from[1]}) scale(${unit.toFixed(4)})` });
  cross.append(svg("circle", { r: 6 }), svg("path", { d: "M-10 0H-3M3 0H10M0 -10V-3M0 3V10" }));
  layers.rays.replaceChildren(...rays, cross);
}
