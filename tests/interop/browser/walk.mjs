// walk.mjs GATEWAY ADMIN LINK MODULES PICTURES
//
// Walks over every page of the dashboard at ADMIN, logged in by LINK, after calls through GATEWAY. MODULES is where
// `playwright-core` and `axe-core` are, PICTURES the folder for what pages look like. Prints what is wrong, and ends with 1 if
// anything is.

import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

import { traffic } from "./traffic.mjs";

const [gateway, admin, link, modules, pictures] = process.argv.slice(2);
const { chromium } = createRequire(path.join(modules, "/"))("playwright-core");
const axe = readFileSync(path.join(modules, "axe-core/axe.min.js"), "utf8");

const SIZES = { wide: { width: 1440, height: 900 }, narrow: { width: 390, height: 844 } };
const THEMES = ["light", "dark"];
const PATIENCE = 20_000;

const wrong = [];
const complain = (where, what) => wrong.push(`${where}: ${what}`);

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });

/** A browser of its own, and what it complains of. */
async function visitor(options) {
  const context = await browser.newContext({ baseURL: admin, ...options });
  context.setDefaultTimeout(PATIENCE);
  const heard = [];
  if (options.javaScriptEnabled !== false) {
    await context.addInitScript(() => {
      addEventListener("securitypolicyviolation", (event) =>
        console.error(`policy: ${event.violatedDirective} by ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`),
      );
    });
  }
  const page = await context.newPage();
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) heard.push(`${message.type()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => heard.push(`thrown: ${error.message}`));
  page.on("requestfailed", (request) => {
    // A stream ends with its page, and so does what is under way when a page is left.
    if (request.failure()?.errorText !== "net::ERR_ABORTED") heard.push(`failed: ${request.url()} ${request.failure()?.errorText}`);
  });
  const raw = await context.newCDPSession(page);
  return { context, page, heard: () => heard.splice(0), raw };
}

/** What is not under the page's policy: a checker is no part of it. */
async function run(raw, expression) {
  const { result, exceptionDetails } = await raw.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
  if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
  return result.value;
}

async function picture(raw, name) {
  // Not Playwright's own, which puts a style sheet into the page.
  const { data } = await raw.send("Page.captureScreenshot", { format: "png", captureBeyondViewport: false });
  writeFileSync(path.join(pictures, `${name}.png`), Buffer.from(data, "base64"));
}

async function judged(raw, where) {
  await run(raw, `${axe}; 0`);
  const found = await run(
    raw,
    `axe.run(document, { resultTypes: ["violations"], preload: false }).then(({ violations }) =>
       violations.map(({ id, help, nodes }) => [id, help, nodes.map((node) => node.target.join(" ") + " " + (node.any[0]?.message ?? "")).slice(0, 4)]))`,
  );
  for (const [id, help, nodes] of found) complain(where, `axe ${id}: ${help}: ${nodes.join(" | ")}`);
}

const text = (page, selector) => page.locator(selector).first().textContent();

/** What the pages are called and where they are: what the navigation names, and what is found from there. */
async function places(page) {
  const found = new Map();
  const hrefs = (selector) => page.locator(selector).evaluateAll((all) => all.map((one) => one.dataset.href ?? one.getAttribute("href")));
  await page.goto("/");
  const nav = await page.locator(".side a[data-key]").evaluateAll((all) => all.map((one) => [one.dataset.key, one.getAttribute("href")]));
  for (const [, href] of nav) {
    const name = new URL(href, admin).pathname.slice(1) || "overview";
    found.set(name, href);
  }
  const into = async (name, from, selector, last = false) => {
    await page.goto(found.get(from));
    const all = await hrefs(selector);
    const href = last ? all.at(-1) : all[0];
    if (href) found.set(name, href);
    else complain(from, `nothing leads to ${name} (${selector})`);
  };
  await into("call", "calls", "tr[data-href]");
  await into("trace", "traces", "a[data-row][href^='/traces/4bf9']");
  await into("trace-row", "trace", "a[data-row]");
  await into("session", "sessions", "a[data-row]");
  await into("server", "servers", "a[data-row][href*='almanac']");
  await into("tool", "server", "a[data-row]");
  await into("server-gone", "servers", "a[data-row][href*='gone']");
  for (const tab of ["request", "copy", "raw"]) found.set(`call-${tab}`, `${found.get("call")}&tab=${tab}`);
  found.set("calls-none", "/calls?range=1h&f=server:eq:nobody");
  return { nav, found };
}

/** Every page as it is shown: in both themes, wide and narrow. */
async function shown(found, state) {
  for (const colorScheme of THEMES) {
    for (const [size, viewport] of Object.entries(SIZES)) {
      const { context, page, heard, raw } = await visitor({ storageState: state, colorScheme, viewport });
      for (const [name, href] of found) {
        const where = `${name} (${colorScheme}, ${size})`;
        const answer = await page.goto(href);
        if (answer.status() !== 200) complain(where, `status ${answer.status()} at ${href}`);
        await page.locator("[data-act='theme']").waitFor({ state: "visible" });
        await judged(raw, where);
        const [inner, outer] = await run(raw, "[document.documentElement.scrollWidth, document.documentElement.clientWidth]");
        if (inner > outer) {
          const wide = await run(
            raw,
            `[...document.querySelectorAll("main *")].filter((one) => one.getBoundingClientRect().right > ${outer + 1} && !one.closest(".scroll"))
               .slice(0, 4).map((one) => one.tagName + "." + one.className).join(", ")`,
          );
          complain(where, `${inner} px in ${outer}: ${wide}`);
        }
        await picture(raw, `${name}-${colorScheme}-${size}`);
        for (const said of heard()) complain(where, said);
      }
      await context.close();
    }
  }
}

/** What is there without scripts, and that it is the same when it is asked for again. */
async function plain(found, state) {
  const { context, page, heard } = await visitor({ storageState: state, javaScriptEnabled: false, viewport: SIZES.wide });
  for (const [name, href] of found) {
    await page.goto(href);
    if (!(await text(page, "h1")).trim()) complain(name, "no heading without scripts");
    if (name !== "calls-none" && (await page.locator("main table, main dl").count()) === 0) complain(name, "no table without scripts");
    for (const dead of await page.locator("[data-act]:visible").all()) complain(name, `a dead button: ${await dead.textContent()}`);
    for (const said of heard()) complain(`${name} without scripts`, said);
  }
  // A form is sent by the browser itself.
  await page.goto("/calls?range=1h");
  await page.locator("[data-filter]").fill("server:almanac");
  await page.locator("form.filter button").click();
  if (!decodeURIComponent(page.url()).includes("f=server:eq:almanac")) complain("calls without scripts", `the filter led to ${page.url()}`);
  await context.close();
}

/** Waits for something that a key brings about. */
async function until(page, where, what, check, argument) {
  for (const end = Date.now() + 5_000; Date.now() < end; ) {
    if (await page.evaluate(check, argument).catch(() => false)) return true;
    await page.waitForTimeout(25);
  }
  complain(where, `${what}; it is at ${page.url()}`);
  return false;
}

async function keyboard(nav, found, state) {
  const { context, page, heard } = await visitor({ storageState: state, viewport: SIZES.wide });
  await page.goto("/");
  for (const [key, href] of [...nav].reverse()) {
    await page.keyboard.press("g");
    await page.keyboard.press(key);
    await until(page, "keys", `g ${key} does not lead to ${href}`, (wanted) => location.pathname === wanted, new URL(href, admin).pathname);
  }
  await page.keyboard.press("?");
  await until(page, "keys", "? does not show the keys", () => document.getElementById("keys").open);
  await page.keyboard.press("Escape");
  await until(page, "keys", "Escape does not close the keys", () => !document.getElementById("keys").open);

  for (const list of ["calls", "traces", "sessions", "errors", "servers", "trace", "server"]) {
    await page.goto(found.get(list));
    await page.locator("[data-act='theme']").waitFor({ state: "visible" });
    const rows = await page.locator("tr[data-href], tr:has(a[data-row])").count();
    if (rows === 0) {
      complain(`keys at ${list}`, "there are no rows");
      continue;
    }
    const at = (nth) => {
      const all = [...document.querySelectorAll("tr[data-href], tr:has(a[data-row])")];
      return all.findIndex((row) => row.contains(document.activeElement)) === nth;
    };
    await page.keyboard.press("j");
    await until(page, `keys at ${list}`, "j does not go to the first row", at, 0);
    if (rows > 1) {
      await page.keyboard.press("j");
      await until(page, `keys at ${list}`, "j does not go to the second row", at, 1);
      await page.keyboard.press("k");
      await until(page, `keys at ${list}`, "k does not go back", at, 0);
    }
    const before = page.url();
    await page.keyboard.press("Enter");
    await until(page, `keys at ${list}`, "Enter opens nothing", (before) => location.href !== before, before);
    if (["calls", "trace"].includes(list)) {
      await until(page, `keys at ${list}`, "nothing is beside the list", () => document.querySelector(".peek [data-close]"));
      const opened = page.url();
      await page.keyboard.press("j");
      await until(page, `keys at ${list}`, "j does not open the next row", (opened) => location.href !== opened, opened);
      await page.keyboard.press("Escape");
      await until(page, `keys at ${list}`, "Escape does not close it", () => !document.querySelector(".peek [data-close]"));
    }
    await page.goBack();
    for (const said of heard()) complain(`keys at ${list}`, said);
  }
  // While somebody types, letters are letters.
  await page.goto("/calls?range=1h");
  await page.locator("[data-act='theme']").waitFor({ state: "visible" });
  await page.keyboard.press("/");
  await until(page, "keys", "/ does not go to the filter", () => document.activeElement?.matches("[data-filter]"));
  await page.keyboard.type("gt?jk");
  if ((await page.locator("[data-filter]").inputValue()) !== "gt?jk") complain("keys", "letters are lost in the filter");
  if (new URL(page.url()).pathname !== "/calls") complain("keys", "typing left the page");
  await context.close();
}

/** What is in the address is all that is shown: after a reload, and after back and forward. */
async function addresses(found, state) {
  const { context, page, heard } = await visitor({ storageState: state, viewport: SIZES.wide });
  const filtered = {
    calls: "/calls?range=1h&f=server:eq:almanac&f=!name:eq:moon_phase",
    failed: "/calls?range=24h&errors=true",
    traces: "/traces?range=1h&errors=true",
    sessions: "/sessions?range=1h",
    errors: "/errors?range=6h&f=server:eq:almanac",
    trace: `${found.get("trace-row")}&errors=true`,
    session: found.get("session"),
    tool: found.get("tool"),
  };
  const seen = () =>
    page.evaluate(() =>
      [...document.querySelectorAll("main tbody tr[id], main .chip, main [aria-current]")].map((one) => one.id || one.textContent.trim()).join("\n"),
    );
  for (const [name, href] of Object.entries(filtered)) {
    await page.goto(href);
    const [url, first] = [page.url(), await seen()];
    if (!first) complain(`${name} at ${href}`, "nothing is shown");
    await page.reload();
    if (page.url() !== url) complain(name, `reloading ${url} led to ${page.url()}`);
    if ((await seen()) !== first) complain(name, `${url} shows something else after a reload`);
    for (const said of heard()) complain(`addresses of ${name}`, said);
  }
  await page.goto("/calls?range=1h");
  const all = await seen();
  await page.locator("#only-failed").click();
  await until(page, "back", "the link does not lead on", () => location.search.includes("errors"));
  await until(page, "back", "the link shows nothing", (all) => document.querySelectorAll("main tbody tr[id]").length !== all, all.split("\n").length);
  await page.goBack();
  await until(page, "back", "back does not go back", () => !location.search.includes("errors"));
  await until(page, "back", "back does not show what was there", () => !document.querySelector("#only-failed[aria-current]"));
  await context.close();
}

try {
  await traffic(gateway);
  const door = await visitor({ viewport: SIZES.wide });
  const shut = await door.page.goto("/calls");
  if (shut.status() !== 401) complain("login", `a stranger gets ${shut.status()}`);
  door.heard();
  for (const colorScheme of THEMES) {
    await door.page.emulateMedia({ colorScheme });
    await judged(door.raw, `login (${colorScheme})`);
    await picture(door.raw, `login-${colorScheme}-wide`);
  }
  await door.page.goto(link);
  if (door.page.url().includes("t=")) complain("login", "the key stays in the address");
  const state = await door.context.storageState();
  // The store is behind the calls by a moment.
  await door.page.goto("/sessions?range=1h");
  for (const end = Date.now() + PATIENCE; (await door.page.locator("a[data-row]").count()) < 3 && Date.now() < end; ) await door.page.reload();
  const { nav, found } = await places(door.page);
  for (const said of door.heard()) complain("on the way", said);
  await door.context.close();
  await plain(found, state);
  await keyboard(nav, found, state);
  await addresses(found, state);
  await shown(found, state);
  console.log(`${found.size} pages, in both themes, wide and narrow, without scripts, and by keys`);
} catch (error) {
  complain("the walk", error.stack);
}
await browser.close();
for (const line of wrong) console.log(line);
console.log(wrong.length === 0 ? "nothing to complain of" : `${wrong.length} complaints`);
process.exitCode = wrong.length === 0 ? 0 : 1;
