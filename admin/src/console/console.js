// The console: opens the parts of the page, follows the node, draws what has come.

import { hasToken } from "./ask.js";
import { byId, mark, write } from "./dom.js";
import { drawChange, openChange } from "./change.js";
import { drawEvents, readOut } from "./events.js";
import { drawFigures } from "./figures.js";
import { drawFleet, openFleet } from "./fleet.js";
import { drawMap, onMeasured, openMap } from "./map.js";
import { drawPlots, openPlots } from "./plots.js";
import { drawSites, openSites } from "./sites.js";
import { drawTitle } from "./title.js";
import { askAt, drawWhy, openWhy } from "./why.js";
import { happen, known, load, loadEvents, merge, now, silence } from "./state.js";
import { STALE_AFTER_MS, follow } from "./stream.js";
import { scopeOf } from "./scope.js";
import { moment, span } from "./words.js";

/** How often all is asked for, beside what streams in: figures that the stream does not have. */
const LOAD_EVERY_MS = 5_000;

let scope = scopeOf(location.hash) ?? { kind: "fleet", id: null };
let isDrawing = false;
let isLoading = false;

openTheme();
openPlots();
openFleet();
openSites();
openWhy();
openMap(askAt).then(draw, (error) => write(byId("map-note"), `The map cannot be drawn: ${error.message}`));
onMeasured(draw);
const tryAgain = follow({ opened, message, changed });
openChange(tryAgain);
setInterval(tick, 1000);
setInterval(refresh, LOAD_EVERY_MS);
window.addEventListener("hashchange", turn);
document.addEventListener("visibilitychange", draw);

async function opened(signal) {
  await load(signal);
  await loadEvents(signal).catch(() => {});
  draw();
}

function message(kind, data) {
  if (kind === "fleet" && merge(data)) refresh();
  if (kind === "flows") known.flows = data.flows;
  if (kind === "event" && happen(data)) {
    readOut(data);
    refresh();
  }
  draw();
}

function changed(connection) {
  const before = known.connection.state;
  known.connection = connection;
  if (connection.state === "cut" && before !== "cut") write(byId("spoken"), "The connection is cut; it is tried again.");
  if (connection.state === "live" && before === "cut") write(byId("spoken"), "The connection is back.");
  draw();
}

async function refresh() {
  if (isLoading || known.connection.state !== "live" || document.hidden) return;
  isLoading = true;
  // The stream says when the node does not answer.
  await load().catch(() => {});
  isLoading = false;
  draw();
}

/** Another thing is looked at, or another part of the page. */
function turn() {
  const next = scopeOf(location.hash);
  if (next === null) return;
  scope = next;
  drawNow();
  scrollTo(0, 0);
  byId("main").focus({ preventScroll: true });
}

/** Draws once for all that came since the last time. */
function draw() {
  if (isDrawing) return;
  isDrawing = true;
  requestAnimationFrame(() => {
    isDrawing = false;
    drawNow();
  });
}

function drawNow() {
  drawConnection();
  if (!known.status) return;
  drawTitle(scope);
  drawFigures(scope);
  drawMap(scope);
  drawEvents(scope);
  drawFleet(scope);
  drawSites(scope);
  drawWhy();
  drawChange(scope);
  drawPlots(scope);
  const { network, directory, gathered_by } = known.status;
  write(byId("about"), `hither ${network.version}, zone ${network.zone}, gathered by ${gathered_by} from ${directory}`);
}

function tick() {
  drawConnection();
  if (known.status) {
    drawEvents(scope);
    drawPlots(scope);
  }
}

function drawConnection() {
  const { state, why, status, retryAt } = known.connection;
  const silent = silence();
  const isStale = state === "live" && silent * 1000 > STALE_AFTER_MS - 2_000;
  const wait = Math.max(0, Math.ceil((retryAt - performance.now()) / 1000));
  const again = wait > 0 ? `again in ${wait} s` : "trying again";
  const old = known.heardAt === null ? "" : `, what is shown is ${span(silent)} old`;
  const words = {
    opening: "connecting",
    live: isStale ? `stale: last heard ${span(silent)} ago` : "live",
    polling: `asked every 2 s, last heard ${span(silent)} ago`,
    cut: `cut off${old}; ${again}`,
    refused: "reading is refused",
    alone: "this node does not gather",
  };
  mark(byId("connection"), "data-state", isStale ? "stale" : state === "refused" || state === "alone" ? "cut" : state);
  mark(byId("connection"), "title", known.status ? `last told at ${moment(now() - 1000 * silent)}${why ? `; ${why}` : ""}` : (why ?? null));
  write(byId("connection-word"), words[state]);
  mark(document.body, "data-old", state !== "live" && state !== "polling" && known.status ? "true" : null);
  const alarm = { alone: why, refused: status === 401 ? needed() : why }[state] ?? null;
  mark(document.body, "data-empty", alarm !== null && !known.status ? "true" : null);
  byId("alarm").hidden = alarm === null;
  if (alarm) write(byId("alarm"), alarm);
  if (state === "refused") write(byId("token-note"), "Reading needs the token from here. It is kept in this page's memory alone, and goes when the page does.");
}

function needed() {
  const wrong = hasToken() ? "This is not the admin token. " : "";
  return `${wrong}Reading needs the admin token from here: write it under “Purge and drain”.`;
}

/** Light or dark: as the system has it, until the button says otherwise. The choice holds as long as the page. */
function openTheme() {
  const button = byId("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const name = () => {
    write(button, isDark() ? "Light" : "Dark");
    mark(button, "title", isDark() ? "Use light colours" : "Use dark colours");
  };
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    name();
  });
  system.addEventListener("change", name);
  name();
}
