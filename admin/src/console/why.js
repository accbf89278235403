// "Why there?": the candidates for a client, and each term of their cost.

import { askJson } from "./ask.js";
import { byId, el, mark } from "./dom.js";
import { showAsked } from "./map.js";
import { known } from "./state.js";
import { linkTo } from "./scope.js";
import { NONE, place, share } from "./words.js";

/** What every cost begins with, and how far light and detours get in a millisecond: as the map has it. */
const LEAST_MS = 5;
const KM_PER_MS = 50;

let round = 0;

/** Puts the form to work. */
export function openWhy() {
  byId("why-form").addEventListener("submit", (event) => {
    event.preventDefault();
    askWhy();
  });
  byId("why-clear").addEventListener("click", clear);
}

/** Offers the names of sites. */
export function drawWhy() {
  const hosts = known.status.sites.flatMap((site) => site.hosts).map((host) => host.replace(/:\d+$/, ""));
  const names = hosts.filter((host) => !host.startsWith("*") && !/^[\d.]+$|^\[/.test(host));
  const list = byId("why-names");
  if (list.children.length === names.length) return;
  list.replaceChildren(...names.map((name) => el("option", { value: name })));
  if (byId("why-name").value === "" && names.length > 0) byId("why-name").value = names[0];
}

/** Asks for a place that was clicked on. */
export function askAt(location) {
  byId("why-from").value = location.join(", ");
  askWhy();
}

async function askWhy() {
  const from = byId("why-from").value.trim();
  const name = byId("why-name").value.trim();
  const mine = ++round;
  const at = /^(-?\d+(?:\.\d+)?)\s*,\s*(-?\d+(?:\.\d+)?)$/.exec(from);
  const whom = at ? `at=${at[1]},${at[2]}` : `from=${encodeURIComponent(from)}`;
  try {
    const answer = await askJson(`/explain?name=${encodeURIComponent(name)}&${whom}`);
    if (mine === round) show(answer);
  } catch (error) {
    if (mine === round) fail(error.message);
  }
}

function fail(message) {
  const error = byId("why-error");
  error.textContent = message;
  error.hidden = false;
  byId("why-answer").hidden = true;
  showAsked(null);
}

function clear() {
  round += 1;
  byId("why-error").hidden = true;
  byId("why-answer").hidden = true;
  byId("why-clear").hidden = true;
  byId("why-from").value = "";
  showAsked(null);
}

function show(answer) {
  byId("why-error").hidden = true;
  byId("why-clear").hidden = false;
  const box = byId("why-answer");
  box.replaceChildren(verdict(answer), facts(answer), costs(answer), raw(answer));
  box.hidden = false;
  mark(box, "data-pop", answer.pop);
  showAsked({ ...answer, location: answer.at ?? answer.location });
}

function verdict(answer) {
  const whom = answer.at ? `a client at ${place(answer.at)}` : answer.from;
  if (!answer.pop) return el("p", { class: "verdict" }, `${answer.name} has no address of this kind for ${whom}.`);
  const named = answer.edges.map((edge, at) => `${edge} (${answer.addresses[at] ?? NONE})`).join(" and ");
  const pop = el("a", { href: linkTo("pop", answer.pop) }, popName(answer.pop));
  return el("p", { class: "verdict" }, `For ${whom}, ${answer.name} is at `, pop, `: ${named}.`);
}

function facts(answer) {
  const group = answer.group;
  const lines = [
    ["Basis", answer.basis],
    ["Client", [answer.place, answer.asn ? `AS ${answer.asn}` : null, answer.distances].filter(Boolean).join("; ")],
    ["Ranked by", answer.source],
    ["Group", group && `${group.name}, ${group.prefixes} prefixes measured; goes to ${group.goes_to}, distance alone lets expect ${group.expected}`],
    ["State", answer.state],
    ["Scope", answer.scope === undefined ? null : `/${answer.scope}: ${answer.scope_reason}`],
    ["TTL", answer.ttl === undefined ? null : `${answer.ttl} s`],
    ["Forbidden", answer.forbidden?.length ? `${answer.forbidden.join(", ")}: a rule puts them after all others` : null],
    ["Not fit", answer.unfit?.map(({ edge, reason }) => `${edge} ${reason}`).join("; ")],
  ];
  return el("dl", { class: "told" }, ...lines.filter(([, text]) => text).flatMap(([term, text]) => [el("dt", {}, term), el("dd", {}, text)]));
}

/** The terms of a cost in milliseconds; what they add up to is the cost to the tenth that the map has. */
function terms(candidate) {
  const tenths = (ms) => Math.round(10 * ms);
  const way = candidate.distance_km / KM_PER_MS;
  const cost = tenths(candidate.cost_ms);
  const stretch = tenths(way * (candidate.stretch - 1));
  const rest = cost - tenths(LEAST_MS) - stretch;
  // Where nothing was measured the distance's term is all the rest, so that no rounding is left over.
  const distance = candidate.measured ? tenths(way) : rest;
  const price = tenths(candidate.price_ms);
  const all = { least: tenths(LEAST_MS), distance, stretch, measured: rest - distance, price, sum: cost + price };
  return Object.fromEntries(Object.entries(all).map(([name, value]) => [name, value / 10]));
}

function costs(answer) {
  const { candidates } = answer;
  const columns = [
    ["PoP", (one) => popName(one.pop)],
    ["cost", (one, term) => `${term.sum.toFixed(1)} ms`, "number sum"],
    ["at least", (one, term) => `= ${term.least.toFixed(1)}`, "number"],
    ["distance", (one, term) => plus(term.distance), "number", (one) => `${one.distance_km} km`],
    ["stretch", (one, term) => plus(term.stretch), "number", (one) => `× ${one.stretch.toFixed(2)}`],
    ["measured", (one, term) => (one.measured ? plus(term.measured) : NONE), "number", measured],
    ["load price", (one, term) => plus(term.price), "number", (one) => (one.load === null ? "" : `load ${share(one.load)}`)],
    ["fit edges", (one) => `${one.fit} of ${one.edges}`, "number"],
  ];
  const head = columns.map(([name, , kind]) => el("th", { scope: "col", class: kind }, name));
  const rows = candidates.map((one) => {
    const term = terms(one);
    const cells = columns.map(([name, text, kind, note], at) =>
      el(at === 0 ? "th" : "td", { scope: at === 0 ? "row" : null, class: kind, "data-term": name }, text(one, term), note?.(one) ? el("span", { class: "term-note" }, note(one)) : null),
    );
    const isChosen = one.pop === answer.pop;
    return el("tr", { class: isChosen ? "chosen" : null, "data-candidate": one.pop, "aria-current": isChosen ? "true" : null }, ...cells);
  });
  const rest = answer.further > 0 ? ` ${answer.further} further PoPs follow, the nearest to the first of these first.` : "";
  const caption =
    `PoPs in the order in which they take over, in milliseconds of round trip expected: ${LEAST_MS} at least, 1 for each ${KM_PER_MS} km, ` +
    `what ways there take longer than that, what measuring has moved, and a price while a PoP is nearly full.${rest}`;
  const table = el("table", { class: "costs" }, el("caption", {}, el("span", {}, caption)), el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows));
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of costs" }, table);
}

function measured(one) {
  if (!one.measured) return "";
  const { ms, spread, samples, prefixes } = one.measured;
  return `${ms.toFixed(1)} ms ±${(100 * spread).toFixed(0)} %, ${samples} of ${prefixes} prefixes`;
}

function plus(value) {
  return value < 0 ? `− ${(-value).toFixed(1)}` : `+ ${value.toFixed(1)}`;
}

function popName(id) {
  const pop = known.status.pops.find((pop) => pop.id === id);
  return pop && pop.name !== id ? `${pop.name} (${id})` : id;
}

function raw(answer) {
  const summary = answer.at ? "As JSON" : `As JSON, the same as: hither explain ${answer.name} --from ${answer.from} --json`;
  return el("details", {}, el("summary", {}, summary), el("pre", { tabindex: 0, id: "why-json" }, JSON.stringify(answer, null, 2)));
}
