// Where queries come from and where they were sent, over the last seconds.

import { mark, reconcile, svg } from "./dom.js";
import { arc, project } from "./world.js";

/** More lines than that say less. */
const MOST = 60;

/** Draws the largest flows to these PoPs; `unit` is how much of the drawing a pixel is. */
export function drawFlows(layer, flows, pops, unit) {
  const ends = new Map(pops.map((pop) => [pop.id, project([pop.latitude, pop.longitude])]));
  const largest = flows.filter((flow) => ends.has(flow.pop)).slice(0, MOST);
  const most = Math.max(1, ...largest.map((flow) => flow.queries_s));
  reconcile(layer, largest, keyOf, (flow) => make(flow, ends.get(flow.pop)), (group, flow) => {
    const [line, source] = group.children;
    const part = Math.sqrt(flow.queries_s / most);
    mark(line, "stroke-width", (0.75 + 1.75 * part).toFixed(1));
    mark(line, "stroke-opacity", (0.3 + 0.45 * part).toFixed(2));
    mark(source, "r", ((1.5 + 2 * part) * unit).toFixed(2));
  });
}

function keyOf(flow) {
  return `${flow.latitude} ${flow.longitude} ${flow.pop}`;
}

function make(flow, to) {
  const from = project([flow.latitude, flow.longitude]);
  const line = svg("path", { class: "flow fresh", pathLength: 1, d: arc(from, to), "data-pop": flow.pop });
  const source = svg("circle", { class: "source", cx: from[0].toFixed(1), cy: from[1].toFixed(1), "fill-opacity": 0.7 });
  return svg("g", {}, line, source);
}
