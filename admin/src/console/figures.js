// The figures of now, for what is looked at.

import { byId, el, reconcile, write } from "./dom.js";
import { ratesOf } from "./scope.js";
import { byteRate, milliseconds, rate, share } from "./words.js";

const FIGURES = [
  ["Queries", "DNS answers that named it", (rates) => rate(rates.queries_s)],
  ["Requests", "HTTP requests that edges answered", (rates) => rate(rates.requests_s)],
  ["Sent", "bytes to clients", (rates) => byteRate(rates.bytes_s)],
  ["Hit ratio", "requests answered from what is stored", (rates) => share(rates.hit_ratio)],
  ["Byte offload", "of the bytes to clients, the part that origins did not have to send", (rates) => share(rates.byte_offload)],
  ["Origin fetches", "requests to origins", (rates) => rate(rates.fetches_s)],
  ["Latency, p50", "half of the requests are answered faster", (rates) => milliseconds(rates.p50_ms)],
  ["Latency, p99", "one of a hundred takes longer", (rates) => milliseconds(rates.p99_ms)],
];

/** Draws the strip. */
export function drawFigures(scope) {
  const rates = ratesOf(scope);
  reconcile(
    byId("figures"),
    FIGURES,
    ([name]) => name,
    ([name, meaning]) => el("div", { title: meaning }, el("dt", {}, name), el("dd")),
    (box, [, , shown]) => write(box.lastElementChild, shown(rates)),
  );
}
