// Tables that are patched in place. An order that was asked for holds until another is: rows do not jump as figures change.

import { el, mark, reconcile, write } from "./dom.js";

/**
 * A table in a container. A column has `head`, and of `text(row)`, `fill(cell, row)` one; it may have `title(row)`,
 * `href(row)`, `tone(row)` ("bad", "warn"), `kind` ("number", "wide", "wrap"), and `sort(row)` where rows can be ordered by it.
 * The first column names the row.
 */
export function table(container, caption, columns, keyOf) {
  let order = null;
  let rows = [];
  const body = el("tbody");
  const heads = columns.map((column) => head(column, () => orderBy(column)));
  container.replaceChildren(el("table", {}, el("caption", {}, el("span", {}, caption)), el("thead", {}, el("tr", {}, ...heads)), body));

  function orderBy(column) {
    const at = columns.indexOf(column);
    const was = heads[at].getAttribute("aria-sort");
    const falls = was === null ? column.kind?.includes("number") : was === "ascending";
    heads.forEach((one, index) => mark(one, "aria-sort", index === at ? (falls ? "descending" : "ascending") : null));
    const sign = falls ? -1 : 1;
    order = [...rows].sort((a, b) => sign * compare(column.sort(a), column.sort(b))).map((row) => String(keyOf(row)));
    drawRows();
  }

  function drawRows() {
    const place = (row) => (order.indexOf(String(keyOf(row))) + order.length + 1) % (order.length + 1);
    const shown = order ? [...rows].sort((a, b) => place(a) - place(b)) : rows;
    reconcile(body, shown, keyOf, () => el("tr", {}, ...columns.map(cell)), patch);
  }

  function patch(line, row) {
    mark(line, "class", row.isChosen ? "chosen" : null);
    columns.forEach((column, at) => {
      const target = line.children[at];
      const tone = column.tone?.(row);
      mark(target, "class", [column.kind, tone].filter(Boolean).join(" ") || null);
      mark(target, "title", column.title?.(row) || null);
      if (column.fill) return column.fill(target, row);
      const text = column.text(row);
      const href = column.href?.(row);
      if (!href) return write(target, text);
      const link = target.firstElementChild ?? target.appendChild(el("a"));
      mark(link, "href", href);
      write(link, text);
    });
  }

  return {
    draw(next) {
      rows = next;
      container.hidden = rows.length === 0;
      drawRows();
    },
  };
}

function head(column, onClick) {
  const name = column.sort ? el("button", { type: "button", class: "sort", click: onClick }, column.head) : column.head;
  return el("th", { scope: "col", class: column.kind, title: column.meaning }, name);
}

function cell(column, at) {
  return at === 0 ? el("th", { scope: "row", class: column.kind }) : el("td", { class: column.kind });
}

function compare(a, b) {
  if (typeof a === "string") return a.localeCompare(b, "en", { numeric: true });
  return (a ?? -Infinity) - (b ?? -Infinity) || 0;
}
