// What has happened, the newest first.

import { byId, el, reconcile, write } from "./dom.js";
import { inText } from "./marks.js";
import { known, now } from "./state.js";
import { concerns, linkTo } from "./scope.js";
import { ago, moment, several, span } from "./words.js";

const MOST_SHOWN = 100;
/** Events of these are read out as they come. */
const READ_OUT = ["alarm", "warning", "well"];
const MARKS = { alarm: "down", warning: "warning", notice: "note", well: "up" };
const MARK_OF_KIND = { edge_partly: "partly", edge_drained: "drained", edge_failing: "failing", node_unreachable: "unknown" };

/** Draws those of what is looked at. */
export function drawEvents(scope) {
  const own = known.events.filter((event) => concerns(scope, event));
  reconcile(byId("events-list"), own.slice(0, MOST_SHOWN), (event) => event.id, make, (item, event) => {
    const time = item.querySelector("time");
    write(time, ago(event.at_ms, now()));
  });
  byId("events-list").hidden = own.length === 0;
  byId("events-none").hidden = own.length > 0;
  write(byId("events-note"), own.length > 0 ? several(own.length, "event") : "");
}

function make(event) {
  const told = event.for_ms ? `after ${span(event.for_ms / 1000)}` : "";
  const isInText = event.reason && event.text.includes(event.reason);
  const below = [isInText ? "" : event.reason, told].filter(Boolean).join(", ");
  return el(
    "li",
    { "data-kind": event.kind, "data-severity": event.severity, "data-about": event.about?.id },
    inText(MARK_OF_KIND[event.kind] ?? MARKS[event.severity] ?? "unknown"),
    subject(event),
    el("time", { datetime: new Date(event.at_ms).toISOString(), title: moment(event.at_ms) }),
    below ? el("span", { class: "why" }, below) : null,
  );
}

function subject({ text, about }) {
  const isEdge = known.status?.edges.some((edge) => edge.id === about?.id);
  const kind = about?.kind === "site" ? "site" : isEdge ? "edge" : null;
  const words = el("span");
  if (!kind || !text.startsWith(about.id)) {
    write(words, text);
    return words;
  }
  words.append(el("a", { href: linkTo(kind, about.id) }, about.id), text.slice(about.id.length));
  return words;
}

/** Has an event read out. */
export function readOut(event) {
  if (READ_OUT.includes(event.severity)) write(byId("spoken"), event.text);
}
