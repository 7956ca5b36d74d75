// What the page does: it follows the program, and has the wallet sign or grant what the program asks for.

import { program } from "./program.js";
import { Connection, discover, isGrant, isRejection, reasonOf } from "./wallet.js";
import { doneScreen, landedScreen, messageScreen, progressPanel, requestScreen, walletPanel, code } from "./view.js";

const at = (id) => document.getElementById(id);
const REMEMBERED = "quorate-wallet";

let state = null;
let screen = "";
let wallets = [];
let connection = null;
// What the wallet was asked and has not answered.
let busy = "";
let error = "";

// The program's state.

function show(next) {
  state = next;
  at("chain").textContent = chainText(state.chain);
  showScreen(...screenOf(state));
  at("progress").replaceChildren(...progressPanel(state.steps, ["landed", "done"].includes(state.outcome?.kind)));
  showWallet();
  at("side").hidden = at("wallet").childElementCount + at("progress").childElementCount === 0;
}

function chainText({ name, id }) {
  const numbered = `chain ${Number(id)}`;
  return name === numbered ? name : `${name} · ${numbered}`;
}

function screenOf({ outcome, leads, request }) {
  if (outcome?.kind === "landed") return ["landed", landedScreen(outcome.transaction)];
  if (outcome?.kind === "done") return ["done", doneScreen(outcome.what)];
  if (outcome?.kind === "rejected") {
    return ["rejected", messageScreen("You rejected it", "Nothing was signed by this, and nothing was sent. This page can be closed.")];
  }
  if (outcome) return ["failed", messageScreen("It did not work", outcome.reason, "The terminal says the same.")];
  if (!leads) {
    const where = "This approval is open in another tab, and that is the one to answer in. When it is closed, this one takes its place.";
    return ["beside", messageScreen("Open in another tab", where)];
  }
  if (request) return [`request ${request.number}`, requestScreen(request, isGrant(request))];
  return ["working", messageScreen("The program is at work", "Leave this page open; it goes on by itself.")];
}

function showScreen(key, content) {
  if (screen === key) return;
  const isFirst = screen === "";
  screen = key;
  busy = error = "";
  at("screen").replaceChildren(...content.flat().filter(Boolean));
  at("screen").dataset.screen = key.split(" ")[0];
  const heading = at("screen").querySelector("h1");
  document.title = `${heading.textContent} · Quorate`;
  announce(heading.textContent);
  if (!isFirst) {
    scrollTo(0, 0);
    heading.focus({ preventScroll: true });
  }
}

function lose() {
  if (screen === "lost") return;
  state = null;
  showScreen("lost", messageScreen("The program has ended", "It does not answer any more; the terminal says why. If it goes on there, load this page anew."));
  at("wallet").replaceChildren();
}

const announce = (text) => (at("announcement").textContent = text);

// The wallet.

function showWallet() {
  const panel = at("wallet");
  if (!state?.request) return panel.replaceChildren();
  // The focus stays at its place among the buttons.
  const hadFocus = panel.contains(document.activeElement);
  panel.replaceChildren(...walletPanel({ checks: checks(), error, actions: actions() }).filter(Boolean));
  panel.setAttribute("aria-busy", String(Boolean(busy)));
  if (hadFocus) panel.querySelector("button")?.focus();
}

function checks() {
  const { owner, chain } = state;
  const wanted = [
    { name: "Account", value: code(owner), state: "needed", note: "the owner" },
    { name: "Chain", value: chain.name, state: "needed" },
  ];
  if (!connection) {
    const found = wallets.length === 0 ? "No wallet was found in this browser. Install one or switch it on, and it appears here." : null;
    return [{ name: "Wallet", value: found ? null : "not connected", state: "needed", note: found }, ...wanted];
  }
  const { wallet, accounts, chainId } = connection;
  const isOwner = connection.has(owner);
  const other = accounts[0];
  return [
    { name: "Wallet", value: wallet.name, icon: wallet.icon, state: "right" },
    isOwner
      ? { name: "Account", value: code(owner), state: "right", note: "the owner" }
      : {
          name: "Account",
          value: other ? code(other) : "none",
          state: "wrong",
          note: `This is not the owner. In the wallet choose ${owner}.`,
        },
    connection.isOn(chain)
      ? { name: "Chain", value: chain.name, state: "right" }
      : { name: "Chain", value: chainId ? `chain ${Number(chainId)}` : "none", state: "wrong", note: `It has to be ${chain.name}, chain ${Number(chain.id)}.` },
  ];
}

function actions() {
  const reject = { text: "Reject", act: () => answer("Rejecting", (number) => program.reject(number)) };
  if (busy) return [{ text: busy, primary: true, busy: true }, reject];
  if (!connection) {
    const connectTo = (wallet) => ({
      text: `Connect ${wallet.name}`,
      icon: wallet.icon,
      primary: wallets.length === 1,
      act: () => ask(() => connect(wallet)),
    });
    return [...wallets.map(connectTo), reject];
  }
  const { wallet } = connection;
  const others = wallets.length > 1 ? [{ text: "Use another wallet", act: disconnect }] : [];
  if (!connection.has(state.owner)) {
    return [{ text: "Choose the account", primary: true, act: () => ask(() => connection.chooseAccount()) }, ...others, reject];
  }
  if (!connection.isOn(state.chain)) {
    const change = () => ask(() => connection.switchTo(state.chain));
    return [{ text: `Switch to ${state.chain.name}`, primary: true, act: change }, ...others, reject];
  }
  const verb = isGrant(state.request) ? "Grant" : "Sign";
  return [{ text: `${verb} in ${wallet.name}`, primary: true, act: approve }, ...others, reject];
}

// Has the wallet do something, of which only the wallet knows how long it takes. What ends in an answer that the program has taken
// stays as it is until the program goes on.
async function ask(act, text = "Look at your wallet…") {
  const asked = screen;
  busy = text;
  error = "";
  announce(text);
  showWallet();
  let isTaken = false;
  try {
    isTaken = (await act()) === true;
  } catch (thrown) {
    if (screen === asked) error = isRejection(thrown) ? "The wallet says that you declined it." : reasonOf(thrown);
  }
  if (screen === asked && !isTaken) busy = "";
  showWallet();
}

const answer = (text, act) => {
  const { number } = state.request;
  return ask(() => act(number), `${text}…`);
};

async function connect(wallet, options) {
  const made = new Connection(wallet, showWallet);
  await made.open(options);
  if (made.accounts.length === 0) return made.close();
  connection = made;
  sessionStorage.setItem(REMEMBERED, wallet.id);
  showWallet();
}

function disconnect() {
  connection.close();
  connection = null;
  sessionStorage.removeItem(REMEMBERED);
  showWallet();
}

function approve() {
  const { request, owner, chain } = state;
  return ask(async () => {
    await connection.refresh();
    if (!connection.has(owner) || !connection.isOn(chain)) return;
    let given;
    try {
      given = await (isGrant(request) ? connection.grant(request, chain) : connection.sign(request, owner));
    } catch (thrown) {
      if (!isRejection(thrown)) throw thrown;
      return program.reject(request.number);
    }
    return isGrant(request) ? program.grant(request.number, given) : program.sign(request.number, given);
  });
}

// A page that is loaded anew goes on with its wallet, without asking.
let remembered = sessionStorage.getItem(REMEMBERED);
discover((found) => {
  wallets = found;
  showWallet();
  const known = wallets.find(({ id }) => id === remembered);
  if (!known) return;
  remembered = null;
  connect(known, { silently: true }).catch(showWallet);
});
addEventListener("pagehide", program.leave);
program.follow(show, lose);
