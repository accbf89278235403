// What is looked at, and how it fares in one line.

import { byId, mark, write } from "./dom.js";
import { wordFor } from "./marks.js";
import { healthOf, known, now, wordOf } from "./state.js";
import { edgesIn, thing } from "./scope.js";
import { ago, NONE, place, several } from "./words.js";

/** Names that fit in a line. */
const MOST_NAMED = 4;

/** Draws the heading and the line beside it. */
export function drawTitle(scope) {
  const found = thing(scope);
  byId("scope-back").hidden = scope.kind === "fleet";
  const tell = { fleet: ofFleet, pop: ofPop, edge: ofEdge, site: ofSite }[scope.kind];
  const { title, note, tone } = found ? tell(found, scope) : { title: `There is no ${scope.kind} ${scope.id}`, note: "", tone: null };
  write(byId("scope"), title);
  write(byId("scope-note"), note);
  mark(byId("scope-note"), "class", tone ?? null);
  const head = document.title;
  const wanted = scope.kind === "fleet" ? `${known.status.network.zone} – hither` : `${title} – hither`;
  if (head !== wanted) document.title = wanted;
}

function ofFleet(status) {
  const fit = status.edges.filter((edge) => wordOf(edge) === "up" || edge.state === "partly");
  const faults = [
    named("down", status.edges.filter((edge) => edge.state === "down")),
    named("failing", status.edges.filter((edge) => edge.state === "failing")),
    named("drained", status.edges.filter((edge) => wordOf(edge) === "drained")),
    named("unreachable from here", [...status.edges, ...status.name_servers].filter((node) => node.unreachable && node.state !== "down")),
    named("config refused by", [...status.edges, ...status.name_servers].filter((node) => node.refused)),
  ].filter(Boolean);
  const all = `${fit.length} of ${several(status.edges.length, "edge")} serve`;
  const isBad = status.edges.some((edge) => edge.state === "down" || edge.state === "failing" || edge.unreachable);
  return { title: status.network.zone, note: [all, ...faults].join("; "), tone: isBad ? "bad" : null };
}

function ofPop(pop, scope) {
  const unfit = edgesIn(scope).filter((edge) => wordOf(edge) !== "up");
  const why = unfit.map((edge) => `${edge.id} ${wordFor(wordOf(edge))}${edge.reason ? ` (${edge.reason})` : ""}`);
  const health = healthOf(pop);
  const where = [pop.country, place([pop.latitude, pop.longitude])].filter(Boolean).join(", ");
  const note = [`PoP, ${where}`, `${pop.fit} of ${several(pop.edges.length, "edge")} fit`, ...why].join("; ");
  return { title: pop.name === pop.id ? pop.id : `${pop.name} (${pop.id})`, note, tone: health === "down" ? "bad" : null };
}

function ofEdge(edge) {
  const pop = known.status.pops.find((pop) => pop.id === edge.pop);
  const words = Object.entries(edge.by ?? {}).map(([server, word]) => `${server} says ${word}`);
  const parts = [
    `edge in ${pop?.name ?? edge.pop}, ${edge.addresses.join(", ")}`,
    `${wordFor(wordOf(edge))} since ${ago(edge.since_ms, now()).replace(" ago", "")}`,
    edge.reason,
    edge.unreachable ? "unreachable from here" : null,
    edge.held_s > 0 ? `held down ${edge.held_s} s more` : null,
    edge.refused ? `refused the newest config: ${edge.refused}` : null,
    words.join(", "),
    `purge position ${edge.purge_position ?? NONE}`,
  ];
  return { title: edge.id, note: parts.filter(Boolean).join("; "), tone: edge.state === "down" || edge.state === "failing" ? "bad" : null };
}

function ofSite(site) {
  return { title: site.id, note: `site, ${site.hosts.join(", ")}`, tone: null };
}

function named(word, nodes) {
  if (nodes.length === 0) return null;
  const ids = nodes.slice(0, MOST_NAMED).map((node) => node.id);
  const rest = nodes.length - ids.length;
  return `${word}: ${ids.join(", ")}${rest > 0 ? ` and ${rest} more` : ""}`;
}
