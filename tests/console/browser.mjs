// A browser with the console in it: the installed Chromium, driven by what tests have installed.

import { accessSync, constants, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, join } from "node:path";

const installed = createRequire(new URL("../../target/tools/console/package.json", import.meta.url));
const { chromium } = installed("playwright-core");
const AXE = readFileSync(installed.resolve("axe-core/axe.min.js"), "utf8");

/** How people look at it. */
export const LOOKS = [
  { name: "light", viewport: { width: 1440, height: 900 }, colorScheme: "light" },
  { name: "dark", viewport: { width: 1440, height: 900 }, colorScheme: "dark" },
  { name: "phone", viewport: { width: 360, height: 740 }, colorScheme: "light" },
];

/** Starts it. */
export function launch() {
  const args = ["--no-sandbox", "--disable-dev-shm-usage"];
  return chromium.launch({ executablePath: onPath("chromium"), args });
}

function onPath(name) {
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return join(folder, name);
    } catch {
      // Another folder may have it.
    }
  }
  throw new Error(`${name} is not on the path: cargo xtask setup`);
}

/** What axe finds on a page, a line a fault; of these rules alone where some are named. */
export async function faults(page, rules) {
  await page.evaluate(AXE);
  const options = { resultTypes: ["violations"], preload: false, ...(rules && { runOnly: rules }) };
  const { violations } = await page.evaluate((options) => globalThis.axe.run(document, options), options);
  const line = ({ id, help }, node) => `${id}: ${help}: ${node.target.join(" ")}: ${node.failureSummary.replaceAll("\n", " ")}`;
  return violations.flatMap((violation) => violation.nodes.map((node) => line(violation, node)));
}
