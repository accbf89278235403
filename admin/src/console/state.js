// What the page knows: the last whole state, kept new by what streams in.

import { askJson } from "./ask.js";

/** Events kept here; the node keeps no more. */
const MOST_EVENTS = 500;

/** Everything that is drawn. `status` is null until the first answer. */
export const known = {
  status: null,
  flows: [],
  events: [],
  connection: { state: "opening" },
  /** When something came last, by this page's clock. */
  heardAt: null,
};

let latest = null;
let serverAhead = 0;

/** The node's time now, as far as the last message tells, in milliseconds. */
export function now() {
  return Date.now() + serverAhead;
}

/** Seconds since something was heard. */
export function silence() {
  return known.heardAt === null ? 0 : (performance.now() - known.heardAt) / 1000;
}

/** Asks for everything. */
export async function load(signal) {
  const status = await askJson("/status", { signal });
  if (!status.network) {
    const why = "this node does not gather: open the page at one that does, or set `gather` under `[admin]`";
    throw Object.assign(new Error(why), { status: "alone" });
  }
  take(status);
}

/** Asks for the events of before. */
export async function loadEvents(signal) {
  const { events } = await askJson("/events", { headers: { Accept: "application/json" }, signal });
  known.events = events.slice(0, MOST_EVENTS);
}

/** Takes the whole state, and over it what has streamed in since. */
function take(status) {
  known.status = status;
  if (latest && latest.at_ms > status.at_ms) merge(latest);
  else heard(status.at_ms);
}

/** Takes a `fleet` message; tells whether it speaks of something that the whole state does not have. */
export function merge(fleet) {
  latest = fleet;
  heard(fleet.at_ms);
  const { status } = known;
  if (!status) return true;
  status.at_ms = fleet.at_ms;
  status.totals = fleet.totals;
  const isMissed = (list, news) => {
    for (const one of list) Object.assign(one, news[one.id] ?? {});
    return Object.keys(news).length !== list.length;
  };
  const missed = [
    isMissed(status.pops, fleet.pops),
    isMissed(status.edges, fleet.edges),
    isMissed(status.name_servers, fleet.name_servers),
  ];
  return missed.includes(true) || fleet.config_version !== status.network.config_version;
}

/** Takes an event, unless it is known. */
export function happen(event) {
  if (known.events.some((one) => one.id === event.id)) return false;
  known.events = [event, ...known.events].sort((a, b) => b.id - a.id).slice(0, MOST_EVENTS);
  return true;
}

function heard(atMs) {
  known.heardAt = performance.now();
  serverAhead = atMs - Date.now();
}

/** How a PoP fares: one whose edges are all drained was taken out, and has not fallen. */
export function healthOf(pop) {
  if (pop.state !== "down") return pop.state;
  const own = known.status.edges.filter((edge) => edge.pop === pop.id);
  return own.length > 0 && own.every((edge) => edge.state === "drained") ? "drained" : "down";
}

/** What keeps an edge from being named, in a word or two. */
export function wordOf(edge) {
  if (edge.state === "drained" || edge.draining) return "drained";
  return edge.state;
}
