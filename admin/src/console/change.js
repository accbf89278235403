// Purging and draining: what is ordered, and what came of it.

import { order, useToken, hasToken } from "./ask.js";
import { byId, el, mark } from "./dom.js";
import { known, wordOf } from "./state.js";
import { several } from "./words.js";

const EXAMPLES = { url: "https://www.shop.example/a.css", prefix: "https://www.shop.example/assets/", tag: "product-17", site: "shop" };
/** A whole site is purged by a second press within so long. */
const AGAIN_MS = 6_000;

/** Puts the forms to work; `onToken()` hears that there is another token. */
export function openChange(onToken) {
  byId("token").addEventListener("change", () => {
    useToken(byId("token").value);
    onToken();
  });
  // A token that was typed counts at once, also when a button is pressed by keyboard.
  byId("token").addEventListener("input", () => useToken(byId("token").value));
  byId("purge-kind").addEventListener("change", showExample);
  showExample();
  byId("purge-form").addEventListener("submit", (event) => {
    event.preventDefault();
    purge(event.submitter ?? byId("purge-form").querySelector("button"));
  });
  byId("drain-form").addEventListener("submit", (event) => {
    event.preventDefault();
    drain(event.submitter?.value ?? "drain");
  });
}

/** Names the edges, and the one that is looked at first. */
export function drawChange(scope) {
  const list = byId("drain-edge");
  const edges = known.status.edges;
  const isSame = list.children.length === edges.length && edges.every((edge, at) => list.children[at].value === edge.id);
  if (!isSame) list.replaceChildren(...edges.map((edge) => el("option", { value: edge.id }, edge.id)));
  edges.forEach((edge, at) => {
    const word = wordOf(edge) === "up" ? edge.id : `${edge.id}: ${wordOf(edge)}`;
    if (list.children[at].textContent !== word) list.children[at].textContent = word;
  });
  if (scope.kind !== "fleet" && list.dataset.scope !== scope.id) {
    const own = scope.kind === "edge" ? scope.id : edges.find((edge) => edge.pop === scope.id)?.id;
    if (own) list.value = own;
  }
  list.dataset.scope = scope.id ?? "";
}

function showExample() {
  mark(byId("purge-what"), "placeholder", EXAMPLES[byId("purge-kind").value]);
}

let armed = null;

async function purge(button) {
  const kind = byId("purge-kind").value;
  const what = byId("purge-what").value.trim();
  const soft = byId("purge-soft").checked;
  const wanted = JSON.stringify([kind, what, soft]);
  if (kind === "site" && armed !== wanted && hasToken()) {
    armed = wanted;
    setTimeout(() => (armed = null), AGAIN_MS);
    return say("purge-receipt", el("p", { class: "warn" }, `Everything stored of site ${what}, at every edge: press Purge once more.`));
  }
  armed = null;
  button.disabled = true;
  say("purge-receipt", el("p", {}, "Ordered; waiting for every edge …"));
  const named = kind === "site" ? { site: what } : { [kind]: [what] };
  try {
    receipt(await order("/purge", soft ? { ...named, soft } : named), `${what}`);
  } catch (error) {
    if (error.status === 502 && error.body?.edges) receipt(error.body, what);
    else refused("purge-receipt", error);
  } finally {
    button.disabled = false;
  }
}

function receipt({ complete, edges, position }, what) {
  const all = edges ?? [{ edge: "this node", position, error: null, ms: null }];
  const laggards = all.filter((one) => one.error !== null);
  const done = all.length - laggards.length;
  const word = complete ?? laggards.length === 0 ? `Purged ${what}` : `Purged ${what} in part`;
  const slowest = Math.max(0, ...all.map((one) => one.ms ?? 0));
  const summary = el("p", { "data-complete": String(complete ?? true) }, el("b", {}, `${word}: `), `${done} of ${several(all.length, "edge")} acknowledged within ${slowest} ms.`);
  const late = el("ul", { class: "laggards" }, ...laggards.map((one) => el("li", { class: "bad", "data-laggard": one.edge }, `${one.edge} has NOT: ${one.error}`)));
  const rows = all.map((one) =>
    el("tr", {}, el("th", { scope: "row" }, one.edge), el("td", { class: "number" }, one.position ?? "–"), el("td", { class: "number" }, one.ms === null ? "–" : `${one.ms} ms`), el("td", { class: "wrap" }, one.error ?? "acknowledged")),
  );
  const heads = ["Edge", "Position", "Took", "Word"].map((head, at) => el("th", { scope: "col", class: at === 1 || at === 2 ? "number" : null }, head));
  const table = el("table", {}, el("caption", {}, "Receipts"), el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...rows));
  say("purge-receipt", summary, late, el("details", {}, el("summary", {}, "Receipts"), el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of receipts" }, table)));
}

async function drain(act) {
  const edge = byId("drain-edge").value;
  try {
    const { draining } = await order(act === "undrain" ? "/undrain" : "/drain", { edge });
    const told = draining
      ? `${edge} drains: it serves whoever comes, and asks for no new clients. Name servers name it no more as soon as its state here is drained.`
      : `${edge} takes clients again: name servers name it with their next probe.`;
    say("drain-receipt", el("p", { "data-edge": edge, "data-draining": String(draining) }, told));
  } catch (error) {
    refused("drain-receipt", error);
  }
}

function refused(where, error) {
  const why =
    error.status === 401
      ? hasToken()
        ? "Refused: this is not the admin token. Nothing was changed."
        : "Refused: a change needs the admin token, which lies in secrets/. Nothing was changed."
      : error.status
        ? `Refused: ${error.message}`
        : `The node does not answer: ${error.message}. Whether it has taken the order is not known.`;
  say(where, el("p", { class: "bad", "data-refused": error.status ?? 0 }, why));
}

function say(where, ...what) {
  byId(where).replaceChildren(...what);
}
