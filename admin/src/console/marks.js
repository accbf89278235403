// Health as a mark: a shape for each state, and a colour with it.

import { el, svg, mark, write } from "./dom.js";

/** What each state is called, from best to worst. */
export const STATES = [
  ["up", "up"],
  ["partly", "partly up"],
  ["drained", "drained"],
  ["failing", "fails to serve"],
  ["down", "down"],
  ["unknown", "not heard of"],
];

/** The word for a state. */
export function wordFor(state) {
  return STATES.find(([name]) => name === state)?.[1] ?? state;
}

/** A mark around the origin of its drawing, `r` wide to each side. */
export function glyph(state, r) {
  return svg("g", { class: "glyph", "data-health": state }, ...SHAPES[state in SHAPES ? state : "unknown"](r));
}

const SHAPES = {
  up: (r) => [svg("circle", { r })],
  partly: (r) => [svg("circle", { r }), svg("path", { class: "inner", d: `M0 ${r}A${r} ${r} 0 0 1 0 ${-r}Z` })],
  drained: (r) => [svg("path", { d: box(0.85 * r) })],
  failing: (r) => [svg("path", { d: `M0 ${-1.15 * r}L${1.1 * r} ${0.85 * r}H${-1.1 * r}Z` })],
  down: (r) => [
    svg("path", { d: `M0 ${-1.3 * r}L${1.3 * r} 0L0 ${1.3 * r}L${-1.3 * r} 0Z` }),
    // Where it is small it is whole.
    r < 4.5 ? "" : svg("path", { class: "inner", d: cross(0.42 * r) }),
  ],
  unknown: (r) => [svg("circle", { r })],
  // Of events alone: that somebody should look, and that somebody did something.
  warning: (r) => SHAPES.failing(r),
  note: (r) => [svg("path", { d: `M${-r} 0H${r}` })],
};

function box(r) {
  return `M${-r} ${-r}H${r}V${r}H${-r}Z`;
}

function cross(r) {
  return `M${-r} ${-r}L${r} ${r}M${-r} ${r}L${r} ${-r}`;
}

/** A mark that stands in text. */
export function inText(state) {
  return svg("svg", { viewBox: "-8 -8 16 16", "aria-hidden": "true" }, glyph(state, state === "down" ? 4.4 : 5));
}

/** Fills a cell with a state's mark and word. */
export function fillState(cell, state, word = wordFor(state)) {
  let holder = cell.firstElementChild;
  if (!holder) {
    holder = el("span", { class: "state" }, inText(state), el("span"));
    cell.append(holder);
  } else if (cell.dataset.state !== state) {
    holder.firstElementChild.replaceWith(inText(state));
  }
  mark(cell, "data-state", state);
  write(holder.lastElementChild, word);
}
