// The operators' page in a real browser, dark and light:
//   node page.mjs PAGE MODULES FOLDER NAME [REQUEST...]
// PAGE is the page's address, MODULES has node_modules/playwright-core, screenshots go to FOLDER/NAME-{light,dark}.png.
// Each REQUEST, an address and perhaps a blank and an API key, is sent again and again while the page is open.
// Prints what the page shows, and everything that must not have happened, as one JSON object.
import { createRequire } from "node:module";

const [address, modules, folder, name, ...requests] = process.argv.slice(2);
const { chromium } = createRequire(`${modules}/`)("playwright-core");
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--no-proxy-server"];

async function send(text) {
  const [url, key] = text.split(" ");
  await (await fetch(url, { headers: key ? { "x-api-key": key } : {} })).arrayBuffer();
}

// The texts of every table, and what a browser that was tricked would show.
const read = () => {
  const cells = id => [...document.querySelectorAll(`#${id} tr`)].map(row => [...row.cells].map(cell => cell.innerText));
  const ids = ["latency", "quotas", "refusals", "cache", "authorizers", "recent"];
  const tables = Object.fromEntries(ids.map(id => [id, cells(id)]));
  const texts = ["state", "rate", "flight", "count", "legend", "ratio"];
  const shown = Object.fromEntries(texts.map(id => [id, document.getElementById(id).innerText]));
  const foreign = document.querySelectorAll("img, iframe, object, embed, link, form, a, svg svg, body script:not(:last-child)").length;
  const style = getComputedStyle(document.body);
  return { tables, shown, foreign, tricked: window.tricked ?? null, colors: [style.backgroundColor, style.color],
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth };
};

async function look(browser, colorScheme) {
  const context = await browser.newContext({ colorScheme, viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  const bad = [];
  page.on("dialog", dialog => { bad.push("dialog: " + dialog.message()); dialog.dismiss(); });
  page.on("pageerror", error => bad.push("error: " + error.message));
  page.on("console", message => bad.push("console: " + message.text()));
  page.on("request", request => { if (!request.url().startsWith(address)) bad.push("request: " + request.url()); });
  const answer = await page.goto(address);
  // The second summary gives the first rate.
  await page.waitForFunction(() => /[0-9]/.test(document.getElementById("rate").textContent), null, { timeout: 30000 });
  await page.waitForTimeout(4500);
  const path = `${folder}/${name}-${colorScheme}.png`;
  await page.screenshot({ path, fullPage: true });
  const found = await page.evaluate(read);
  const said = [...bad];
  // Whatever came into the page by a hole, the policy would keep from running.
  const inline = await page.evaluate(async () => {
    const script = document.createElement("script");
    script.textContent = "window.smuggled = true";
    document.body.append(script);
    document.body.insertAdjacentHTML("beforeend", "<img src='x:' onerror='window.smuggled = true'>");
    await new Promise(done => setTimeout(done, 200));
    return window.smuggled ?? false;
  });
  const policy = answer.headers()["content-security-policy"];
  await context.close();
  return { ...found, bad: said, inline, policy };
}

const browser = await chromium.launch({ executablePath, args, headless: true });
let open = true;
const traffic = (async () => {
  while (open) {
    await Promise.all(requests.map(send));
    await new Promise(done => setTimeout(done, requests.length ? 100 : 1000));
  }
})();
try {
  console.log(JSON.stringify({ light: await look(browser, "light"), dark: await look(browser, "dark") }));
} finally {
  open = false;
  await traffic;
  await browser.close();
}
