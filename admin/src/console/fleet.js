// Tables of PoPs, edges and name servers.

import { byId, mark, write } from "./dom.js";
import { fillState } from "./marks.js";
import { healthOf, known, now, wordOf } from "./state.js";
import { edgesIn, linkTo, popOf } from "./scope.js";
import { table } from "./tables.js";
import { ago, byteRate, bytes, count, milliseconds, moment, NONE, rate, several, share, span } from "./words.js";

let pops;
let edges;
let servers;

const heardTone = (node) => (node.unreachable ? "bad" : node.stale ? "warn" : null);
const heard = (node) => {
  const since = node.heard_ms === null ? "never" : node.heard_ms < 3000 ? "now" : `${span(node.heard_ms / 1000)} ago`;
  return node.unreachable ? `unreachable, ${since}` : since;
};
let newest = { nodes: null, ids: new Set() };
const hasNewest = (node) => {
  const nodes = known.status.configs[0]?.nodes ?? null;
  if (newest.nodes !== nodes) newest = { nodes, ids: new Set(nodes) };
  return newest.ids.has(node.id);
};
const digest = (node) => {
  if (node.refused) return "refused";
  if (!node.config_version) return NONE;
  return hasNewest(node) ? "newest" : "behind";
};
const digestTone = (node) => ({ refused: "bad", behind: "warn" })[digest(node)];
const digestTitle = (node) => node.refused ?? (node.config_version ? `version ${node.config_version}, sites ${node.sites_digest ?? NONE}` : null);

const RATES = [
  { head: "Requests", kind: "number", text: (row) => rate(row.rates.requests_s), sort: (row) => row.rates.requests_s },
  { head: "Sent", kind: "number", text: (row) => byteRate(row.rates.bytes_s), sort: (row) => row.rates.bytes_s },
  { head: "Hit ratio", kind: "number", text: (row) => share(row.rates.hit_ratio), sort: (row) => row.rates.hit_ratio },
  { head: "p50", kind: "number wide", text: (row) => milliseconds(row.rates.p50_ms), sort: (row) => row.rates.p50_ms },
  { head: "p99", kind: "number wide", text: (row) => milliseconds(row.rates.p99_ms), sort: (row) => row.rates.p99_ms },
];
const QUERIES = { head: "Queries", kind: "number", text: (row) => rate(row.rates.queries_s), sort: (row) => row.rates.queries_s };
const LOAD = { head: "Load", meaning: "what is sent, as a share of the capacity", kind: "number", text: (row) => share(row.load), sort: (row) => row.load };
const CONNECTIONS = { head: "Connections", kind: "number wide", text: (row) => count(row.connections), sort: (row) => row.connections };
const UPTIME = { head: "Uptime", kind: "number wide", text: (row) => span(row.uptime_s), sort: (row) => row.uptime_s };
const CONFIG = { head: "Config", kind: "wide", text: digest, tone: digestTone, title: digestTitle, sort: digest };
const HEARD = { head: "Heard", kind: "number wide", text: heard, tone: heardTone, sort: (row) => row.heard_ms ?? Infinity };

/** Puts the tables into the page. */
export function openFleet() {
  const idOf = (row) => row.id;
  pops = table(byId("pops-table"), "PoPs", [
    { head: "PoP", text: (pop) => pop.id, href: (pop) => linkTo("pop", pop.id), sort: idOf },
    { head: "Place", kind: "wide", text: (pop) => pop.name, sort: (pop) => pop.name },
    { head: "State", fill: (cell, pop) => fillState(cell, healthOf(pop)), sort: (pop) => healthOf(pop) },
    { head: "Fit", meaning: "edges that may be named, of all", kind: "number", text: (pop) => `${pop.fit} of ${pop.edges.length}`, sort: (pop) => pop.fit },
    LOAD,
    QUERIES,
    ...RATES,
    CONNECTIONS,
  ], idOf);
  edges = table(byId("edges-table"), "Edges", [
    { head: "Edge", text: idOf, href: (edge) => linkTo("edge", edge.id), sort: idOf },
    { head: "State", fill: (cell, edge) => fillState(cell, wordOf(edge)), title: reason, sort: wordOf },
    { head: "Since", kind: "number wide", text: (edge) => ago(edge.since_ms, now()).replace(" ago", ""), title: (edge) => moment(edge.since_ms), sort: (edge) => edge.since_ms },
    LOAD,
    ...RATES,
    CONNECTIONS,
    { head: "Stored", kind: "number wide", text: (edge) => bytes(edge.stored_bytes), title: (edge) => several(edge.stored_objects ?? 0, "object"), sort: (edge) => edge.stored_bytes },
    UPTIME,
    CONFIG,
    HEARD,
  ], idOf);
  servers = table(byId("servers-table"), "Name servers", [
    { head: "Name server", text: idOf, sort: idOf },
    { head: "Addresses", kind: "wide", text: (server) => server.addresses.join(", ") },
    QUERIES,
    UPTIME,
    CONFIG,
    HEARD,
    { head: "State", text: (server) => (server.unreachable ? "unreachable" : "answers"), tone: heardTone },
  ], idOf);
}

function reason(edge) {
  const words = Object.entries(edge.by ?? {}).map(([server, word]) => `${server} says ${word}`);
  return [edge.reason, ...words].filter(Boolean).join("; ");
}

/** Draws them for what is looked at. */
export function drawFleet(scope) {
  const { status } = known;
  const chosen = popOf(scope);
  byId("fleet").hidden = scope.kind === "site";
  if (scope.kind === "site") return;
  write(byId("fleet-heading"), scope.kind === "fleet" ? "Edges and name servers" : "Edges");
  write(byId("fleet-note"), `${several(status.edges.length, "edge")} in ${several(status.pops.length, "PoP")}`);
  mark(byId("fleet-note"), "hidden", scope.kind !== "fleet" ? "" : null);
  pops.draw(chosen ? status.pops.filter((pop) => pop.id === chosen) : status.pops);
  edges.draw(edgesIn(chosen ? { kind: "pop", id: chosen } : scope).map((edge) => ({ ...edge, isChosen: scope.kind === "edge" && edge.id === scope.id })));
  servers.draw(scope.kind === "fleet" ? status.name_servers : []);
}
