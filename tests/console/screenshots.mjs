// The screenshots of docs/, taken from the demo while it has some traffic.
//
//     hither up, and in another terminal:
//     node tests/console/screenshots.mjs [URL] [FOLDER] [SECONDS OF TRAFFIC BEFORE]

import { join } from "node:path";

import { LOOKS, launch } from "./browser.mjs";
import { traffic } from "./traffic.mjs";

const [url = "http://127.0.0.1:9300/", folder = "docs", before = "90"] = process.argv.slice(2);
const CLIENT = "193.0.6.1";
/** What the phone's picture shows of the page, from its top. */
const PHONE_HEIGHT = 1480;

const running = traffic(Number(before) + 60);
process.stderr.write(`traffic for ${before} s first\n`);
await new Promise((resolve) => setTimeout(resolve, 1000 * Number(before)));
const browser = await launch();
for (const { name, viewport, colorScheme } of LOOKS) {
  const isPhone = name === "phone";
  const size = isPhone ? { ...viewport, height: PHONE_HEIGHT } : { ...viewport, height: 1100 };
  const context = await browser.newContext({ viewport: size, colorScheme, deviceScaleFactor: isPhone ? 2 : 1.5 });
  const page = await context.newPage();
  await page.goto(url);
  await page.locator('#connection[data-state="live"]').waitFor();
  await page.locator('.plot[data-plot="latency"] svg.plot').waitFor();
  await page.waitForTimeout(3_000);
  if (!isPhone) {
    await page.fill("#why-from", CLIENT);
    await page.click("#why-form button[type=submit]");
    await page.locator("#why-answer").waitFor();
    await page.evaluate(() => document.activeElement.blur());
    await page.waitForTimeout(1_000);
  }
  const path = join(folder, `console-${name}.png`);
  await page.screenshot({ path });
  process.stderr.write(`${path}\n`);
  await context.close();
}
await browser.close();
running.catch(() => {});
process.exit(0);
