// The console, used by a browser as a person would. The story that starts it kills what it is told to on standard output,
// a line each, and answers with a line when that is done.
//
//     node console.mjs URL TOKEN NAME EXPLAIN...
//
// EXPLAIN is the command that explains NAME, but for the address.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createInterface } from "node:readline";

import { LOOKS, faults, launch } from "./browser.mjs";

const [url, token, name, ...explain] = process.argv.slice(2);
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const started = performance.now();

/** Waits for this long at most; what has to be fast says so. */
const PATIENCE_MS = 8_000;
/** An edge that dies is down on the map within so long. */
const DOWN_WITHIN_MS = 3_000;
const CLIENT = "193.0.6.1";

const browser = await launch();
const context = await browser.newContext({ viewport: LOOKS[0].viewport, colorScheme: LOOKS[0].colorScheme });
context.setDefaultTimeout(PATIENCE_MS);
const page = await context.newPage();
const complaints = [];
const expected = /status of 401 .*|ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE/;
page.on("console", (message) => {
  if (["error", "warning"].includes(message.type())) complaints.push(message.text());
});
page.on("pageerror", (error) => complaints.push(`${error}`));
page.on("request", (request) => {
  if (!request.url().startsWith(url)) complaints.push(`the page asks elsewhere: ${request.url()}`);
});

/** Has the story do something. */
async function tell(what) {
  process.stdout.write(`${what}\n`);
  const { value } = await answers.next();
  assert.equal(value, "done", what);
}

async function step(what, act) {
  const began = performance.now();
  try {
    await act();
  } catch (error) {
    const shown = await page.locator("main").innerText().catch(() => "nothing");
    const all = [`${what}: ${error.message}`, "The page shows:", shown.slice(0, 3000), "The browser says:", ...complaints];
    throw new Error(all.join("\n"));
  }
  process.stderr.write(`${what}: ${Math.round(performance.now() - began)} ms\n`);
}

const see = (selector) => page.locator(selector).first().waitFor({ state: "visible" });
const onMap = (edge, health) => see(`.map [data-edge="${edge}"][data-health="${health}"]`);

await step("the page is live and shows every edge", async () => {
  await page.goto(url);
  await see('#connection[data-state="live"]');
  for (const edge of ["one-1", "two-1", "two-2"]) await onMap(edge, "up");
  await see('.plot[data-plot="requests"] svg.plot');
  await see(".land path");
});

await step("what it says of a client is what the command says", async () => {
  const asked = () => JSON.parse(execFileSync(explain[0], [...explain.slice(1), "--from", CLIENT, "--json"], { encoding: "utf8" }));
  const before = asked();
  await page.fill("#why-name", name);
  await page.fill("#why-from", CLIENT);
  await page.click("#why-form button[type=submit]");
  await see("#why-answer");
  const told = JSON.parse(await page.locator("#why-json").textContent());
  const after = asked();
  // Loads are measured anew all the time: what the page was told lies between two others.
  const isSame = [before, after].some((one) => JSON.stringify(sorted(one)) === JSON.stringify(sorted(told)));
  assert.ok(isSame, `the page: ${JSON.stringify(told)}\nthe command: ${JSON.stringify(after)}`);
  await checkCosts(told);
});

/** With keys in order. */
function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]));
}

/** Each row's terms add up to its cost, and rows stand in the answer's order. */
async function checkCosts(told) {
  const rows = await page.locator(".costs tbody tr").evaluateAll((rows) =>
    rows.map((row) => ({
      pop: row.dataset.candidate,
      cells: Object.fromEntries([...row.cells].map((cell) => [cell.dataset.term, cell.firstChild.textContent])),
    })),
  );
  assert.deepEqual(rows.map((row) => row.pop), told.candidates.map((candidate) => candidate.pop));
  const number = (text) => (text === "–" ? 0 : Number.parseFloat(text.replace("−", "-").replace(/[=+ ]/g, "")));
  rows.forEach(({ pop, cells }, at) => {
    const parts = ["at least", "distance", "stretch", "measured", "load price"].map((term) => number(cells[term]));
    const sum = parts.reduce((all, part) => all + part, 0);
    const { cost_ms, price_ms } = told.candidates[at];
    assert.ok(Math.abs(sum - number(cells.cost)) < 0.001, `${pop}: ${parts} is ${sum}, not ${cells.cost}`);
    assert.ok(Math.abs(number(cells.cost) - cost_ms - price_ms) <= 0.0501, `${pop}: ${cells.cost}, not ${cost_ms} + ${price_ms}`);
  });
  const chosen = await page.locator(".costs tr.chosen").getAttribute("data-candidate");
  assert.equal(chosen, told.pop);
}

await step("a click on the map asks for that place", async () => {
  // 43 degrees north, 130 degrees east: Tokyo is near.
  const box = await page.locator(".map-frame > svg").boundingBox();
  await page.mouse.click(box.x + (box.width * (130 + 180)) / 360, box.y + (box.height * (((90 - 43) * 500) / 180 - 24)) / 384);
  await see('#why-answer[data-pop="two"]');
  await see('.ray.chosen[data-pop="two"]');
  assert.match(await page.locator(".told").innerText(), /geography alone/);
});

await step("a purge without the token is refused", async () => {
  await page.fill("#purge-what", `http://${name}/a`);
  await page.click("#purge-form button[type=submit]");
  await see('#purge-receipt [data-refused="401"]');
});

await step("a purge with the token shows its receipts", async () => {
  await page.fill("#token", token);
  await page.click("#purge-form button[type=submit]");
  await see('#purge-receipt [data-complete="true"]');
  assert.equal(await page.locator("#purge-receipt tbody tr").count(), 3);
  await see('#events-list [data-kind="purged"]');
  const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href]));
  assert.ok(!kept.includes(token), kept);
});

await step("an edge is drained and taken back", async () => {
  await page.selectOption("#drain-edge", "two-2");
  await page.click("#drain-form button[value=drain]");
  await see('#drain-receipt [data-draining="true"]');
  await onMap("two-2", "drained");
  await page.click("#drain-form button[value=undrain]");
  await onMap("two-2", "up");
});

await step("every part can be looked at, and back leads back", async () => {
  await page.click('#pops-table a[href="#/pop/two"]');
  await see('#scope:text("(two)")');
  assert.equal(await page.locator("#edges-table tbody tr").count(), 2);
  await page.click('#edges-table a[href="#/edge/two-1"]');
  await see('#scope:text-is("two-1")');
  await page.goBack();
  await see('#scope:text("(two)")');
  await page.goBack();
  await see('#scope:text-is("cdn.example")');
  await page.click('#sites-table a[href="#/site/shop"]');
  await see('#scope:text-is("shop")');
  await page.click("#scope-back a");
});

await step("every control is reached by keyboard and seen to be", async () => {
  await page.evaluate(() => {
    document.activeElement?.blur();
    getSelection().removeAllRanges();
    scrollTo(0, 0);
    document.body.tabIndex = -1;
    document.body.focus();
    document.body.removeAttribute("tabindex");
  });
  const wanted = await page.evaluate(() => {
    const all = document.querySelectorAll("a[href], button:not(:disabled), input, select, summary, [tabindex='0']");
    const shown = [...all].filter((one) => one.checkVisibility({ visibilityProperty: true }));
    shown.forEach((one, at) => (one.dataset.stop = at));
    return shown.map((one) => one.outerHTML.slice(0, 120));
  });
  const reached = new Set();
  for (let presses = 0; presses < wanted.length + 5; presses += 1) {
    await page.keyboard.press("Tab");
    const stop = await page.evaluate(() => {
      const one = document.activeElement;
      const ring = one.querySelector?.(".hit") ?? one;
      const { outlineStyle, stroke } = getComputedStyle(ring);
      return { at: one.dataset.stop, isSeen: outlineStyle !== "none" || stroke !== "none", what: one.outerHTML.slice(0, 120) };
    });
    if (stop.at === undefined) continue;
    assert.ok(stop.isSeen, `no ring: ${stop.what}`);
    reached.add(Number(stop.at));
  }
  const missed = wanted.filter((_, at) => !reached.has(at));
  assert.deepEqual(missed, []);
});

await step("a dead edge is down on the map, and is told of", async () => {
  await page.evaluate(() => scrollTo(0, 0));
  await tell("kill two-1");
  const began = performance.now();
  await onMap("two-1", "down");
  const took = performance.now() - began;
  assert.ok(took < DOWN_WITHIN_MS, `after ${took} ms`);
  await see('.pop[data-pop="two"][data-health="partly"]');
  await see('#events-list [data-kind="edge_down"][data-about="two-1"]');
  await see('#edges-table [data-key="two-1"] [data-state="down"]');
  process.stderr.write(`it was down on the map after ${Math.round(took)} ms\n`);
});

for (const { name, viewport, colorScheme } of LOOKS) {
  await step(`axe finds nothing: ${name}`, async () => {
    await page.setViewportSize(viewport);
    await page.emulateMedia({ colorScheme });
    // In the dark the page is the same but for its colours.
    assert.deepEqual(await faults(page, name === "dark" ? ["color-contrast"] : undefined), []);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= viewport.width, `${width} wide`);
  });
}

await step("the browser has nothing to complain of", async () => {
  assert.deepEqual(complaints.filter((complaint) => !expected.test(complaint)), []);
});

await step("a connection that is cut is said to be", async () => {
  await tell("end");
  await see('#connection[data-state="cut"]');
  assert.match(await page.locator("#connection").innerText(), /old/);
});

await browser.close();
process.stderr.write(`all of it: ${Math.round(performance.now() - started)} ms\n`);
process.exit(0);
