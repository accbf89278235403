// What the page looks at: the fleet, or one PoP, edge or site, by the address's hash.

import { known } from "./state.js";

const KINDS = ["pop", "edge", "site"];

/** What the hash names; null where it only leads to a part of the page. */
export function scopeOf(hash) {
  if (hash === "" || hash === "#" || hash === "#/") return { kind: "fleet", id: null };
  const [, kind, id] = /^#\/([a-z]+)\/(.+)$/.exec(hash) ?? [];
  return KINDS.includes(kind) ? { kind, id: decodeURIComponent(id) } : null;
}

/** Where something is looked at. */
export function linkTo(kind, id) {
  return `#/${kind}/${encodeURIComponent(id)}`;
}

/** How plots name it. */
export function plotted(scope) {
  return scope.kind === "fleet" ? "fleet" : `${scope.kind}:${scope.id}`;
}

/** The thing itself; undefined where there is none of that name. */
export function thing(scope) {
  const { status } = known;
  const lists = { pop: status.pops, edge: status.edges, site: status.sites };
  return scope.kind === "fleet" ? status : lists[scope.kind].find((one) => one.id === scope.id);
}

/** Its rates. */
export function ratesOf(scope) {
  const found = thing(scope);
  return (scope.kind === "fleet" ? found?.totals : found?.rates) ?? {};
}

/** The PoP that is looked at, itself or by its edge. */
export function popOf(scope) {
  if (scope.kind === "pop") return scope.id;
  return scope.kind === "edge" ? thing(scope)?.pop : null;
}

/** The edges in it. */
export function edgesIn(scope) {
  const { edges } = known.status;
  if (scope.kind === "pop") return edges.filter((edge) => edge.pop === scope.id);
  return scope.kind === "edge" ? edges.filter((edge) => edge.id === scope.id) : edges;
}

/** Whether an event is about it. */
export function concerns(scope, event) {
  if (scope.kind === "fleet") return true;
  const { kind, id } = event.about ?? {};
  if (scope.kind === "site") return kind === "site" && id === scope.id;
  return (kind === "edge" || kind === "node") && edgesIn(scope).some((edge) => edge.id === id);
}
