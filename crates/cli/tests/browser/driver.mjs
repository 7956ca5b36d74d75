// Drives Chromium as its input says, a line of JSON each, and answers each with one. It ends with its input.

import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

// In milliseconds; less than the test waits for the program.
const PATIENCE = 240_000;

const tabs = new Map();
const problems = [];
let browser;
let context;
let wallet;
let origin;

// The wallet: its permission, its chain, and what its owner does when asked.
const asked = [];
// The parameters of each request for permissions.
const permissionsAsked = [];
let isConnected = false;
const refusal = (code, message) => ({ error: { code, message } });

async function rpc(method, params) {
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
  const response = await fetch(wallet.rpc, { method: "POST", headers: { "content-type": "application/json" }, body });
  const { result, error } = await response.json();
  return error ? { error } : { result };
}

async function emit(event, value) {
  for (const page of tabs.values()) await page.evaluate(([event, value]) => window.walletEvent(event, value), [event, value]);
}

async function answer({ method, params = [] }) {
  asked.push(method);
  const visible = () => (isConnected ? wallet.accounts : []);
  switch (method) {
    case "eth_accounts":
      return { result: visible() };
    case "eth_requestAccounts":
      if (wallet.owner === "declines the connection") return refusal(4001, "User rejected the request.");
      isConnected = true;
      return { result: visible() };
    case "wallet_requestPermissions":
      wallet.accounts = wallet.others;
      await emit("accountsChanged", wallet.accounts);
      return { result: [{ parentCapability: "eth_accounts" }] };
    case "eth_chainId":
      return { result: wallet.chainId };
    case "wallet_switchEthereumChain": {
      const [{ chainId }] = params;
      if (!wallet.knows.includes(chainId)) return refusal(4902, "Unrecognized chain ID.");
      wallet.chainId = chainId;
      await emit("chainChanged", chainId);
      return { result: null };
    }
    case "wallet_addEthereumChain": {
      const [{ chainId, chainName, rpcUrls }] = params;
      if (!chainName || new URL(rpcUrls[0]).origin !== new URL(wallet.rpc).origin) return refusal(-32602, "Bad chain.");
      wallet.knows.push(chainId);
      return { result: null };
    }
    case "personal_sign":
    case "eth_signTypedData_v4":
      return signed(method, params);
    // ERC-7715. A wallet that is given no `grants` and no `supported` does not know these.
    case "wallet_getSupportedExecutionPermissions":
      if (wallet.supported === "says nothing") return new Promise(() => {});
      return wallet.supported ? { result: wallet.supported } : refusal(4200, `${method} is not supported.`);
    case "wallet_requestExecutionPermissions":
      permissionsAsked.push(params);
      return wallet.grants ? granted(wallet.grants) : refusal(...(wallet.unknown ?? [4200, `${method} is not supported.`]));
    default:
      return refusal(4200, `${method} is not supported.`);
  }
}

async function signed(method, params) {
  switch (wallet.owner) {
    case "rejects":
      return refusal(4001, "User denied message signature.");
    case "does nothing":
      return new Promise(() => {});
    // A faulty wallet, or one that was switched at the last moment.
    case "signs with another key":
      wallet.owner = "signs";
      return method === "personal_sign" ? rpc(method, [params[0], wallet.others[0]]) : rpc(method, [wallet.others[0], params[1]]);
    default:
      return rpc(method, method === "personal_sign" ? params : [params[0], JSON.parse(params[1])]);
  }
}

// One of the test's grants after the other; the last is given again.
function granted(grants) {
  if (wallet.owner === "rejects") return refusal(4001, "User rejected the permissions request.");
  if (wallet.owner === "does nothing") return new Promise(() => {});
  return { result: grants.length > 1 ? grants.shift() : grants[0] };
}

const page = ({ tab }) => tabs.get(tab);
const button = (page, name) => page.getByRole("button", { name, exact: true });

// What a wallet answers by itself.
const UNNOTICED = ["eth_accounts", "eth_chainId", "wallet_getSupportedExecutionPermissions"];

const commands = {
  async start(given) {
    wallet = given.wallet;
    // Its sandbox does not start for root.
    const args = ["--no-sandbox", "--disable-gpu"];
    browser = await chromium.launch({ executablePath: given.chromium, args, timeout: PATIENCE });
    const { width = 1180, height = 900, colorScheme = "light", reducedMotion = "no-preference", scale = 1 } = given.window;
    const options = { viewport: { width, height }, colorScheme, reducedMotion, deviceScaleFactor: scale };
    context = await browser.newContext(options);
    context.setDefaultTimeout(PATIENCE);
    context.setDefaultNavigationTimeout(PATIENCE);
    await context.exposeFunction("askWallet", answer);
    await context.exposeFunction("tellProblem", (problem) => void problems.push(problem));
    const settings = `window.walletKind = ${JSON.stringify(wallet.kind ?? "announced")};`;
    await context.addInitScript({ content: settings + given.walletScript });
    context.on("request", (request) => {
      const url = new URL(request.url());
      if (url.protocol !== "data:" && url.origin !== origin) problems.push(`a request to ${url.origin}`);
    });
  },
  async open({ tab, url }) {
    origin = new URL(url).origin;
    const page = await context.newPage();
    tabs.set(tab, page);
    page.on("console", (message) => ["error", "warning"].includes(message.type()) && problems.push(message.text()));
    page.on("pageerror", (error) => problems.push(String(error)));
    await page.goto(url);
  },
  wallet: (given) => void Object.assign(wallet, given.wallet),
  tell: ({ event, value }) => emit(event, value),
  asked: () => asked.filter((method) => !UNNOTICED.includes(method)),
  permissionsAsked: () => permissionsAsked,
  click: (given) => button(page(given), given.name).click(),
  see: (given) => page(given).getByText(given.text).first().waitFor(),
  // Waits for a button, so that what follows finds it there.
  offers: (given) => button(page(given), given.name).waitFor(),
  missing: async (given) => (await button(page(given), given.name).count()) === 0,
  text: (given) => page(given).locator("body").innerText(),
  // Presses Tab until the button has the focus, and then Enter.
  async keyboard(given) {
    const target = page(given);
    await button(target, given.name).waitFor();
    for (let presses = 0; presses < 30; presses += 1) {
      await target.keyboard.press("Tab");
      const focused = await target.evaluate(() => document.activeElement?.textContent);
      if (focused === given.name) return void (await target.keyboard.press("Enter"));
    }
    throw new Error(`Tab does not lead to ${given.name}`);
  },
  heading: (given) => page(given).evaluate(() => document.activeElement?.tagName === "H1" && document.activeElement.textContent),
  // What a screen reader would find wrong, as far as the document itself says it; and what does not fit the width.
  faults: (given) =>
    page(given).evaluate(() => {
      const faults = [];
      for (const element of document.querySelectorAll("button, a, [tabindex='0']")) {
        if (!(element.textContent || element.getAttribute("aria-label"))?.trim()) faults.push(`no name: ${element.outerHTML}`);
      }
      for (const image of document.querySelectorAll("img:not([alt])")) faults.push(`no alt: ${image.outerHTML}`);
      for (const element of document.querySelectorAll("[aria-labelledby]")) {
        if (element.childElementCount > 0 && !document.getElementById(element.getAttribute("aria-labelledby"))) faults.push(`no label: ${element.id}`);
      }
      if (document.querySelectorAll("h1").length !== 1) faults.push("not one h1");
      if (document.documentElement.scrollWidth > innerWidth) faults.push(`wider than the window: ${document.documentElement.scrollWidth}`);
      return faults;
    }),
  reload: (given) => page(given).reload(),
  async close(given) {
    await page(given).close({ runBeforeUnload: false });
    tabs.delete(given.tab);
  },
  // As if the process of the tab had died: it says nothing any more.
  async crash(given) {
    const session = await context.newCDPSession(page(given));
    const gone = page(given).waitForEvent("crash");
    session.send("Page.crash").catch(() => {});
    await gone;
    tabs.delete(given.tab);
  },
  async screenshot(given) {
    await page(given).evaluate(() => scrollTo(0, 0));
    await page(given).screenshot({ path: given.path, type: "png" });
  },
  problems: () => problems,
};

for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...given } = JSON.parse(line);
  let told;
  try {
    told = { result: (await commands[command](given)) ?? null };
  } catch (error) {
    const shown = given.tab && tabs.has(given.tab) ? await page(given).locator("body").innerText().catch(() => "") : "";
    told = { error: `${command} ${JSON.stringify(given)}: ${error.message}\nThe page says:\n${shown}` };
  }
  console.log(JSON.stringify(told));
}
await browser?.close();
