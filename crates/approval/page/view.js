// What is on the page, made of elements: no text is ever read as markup.

const SVG = "http://www.w3.org/2000/svg";

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function") made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

const WORDS = { warning: "Warning", danger: "Danger", refused: "Refused" };
const SHAPES = {
  danger: "M5.3 1h5.4L15 5.3v5.4L10.7 15H5.3L1 10.7V5.3zM8 4.2v4.6M8 11v.9",
  warning: "M8 1.6 15 14H1zM8 6v3.8M8 11.6v.9",
  refused: "M5.3 1h5.4L15 5.3v5.4L10.7 15H5.3L1 10.7V5.3zM5 8h6",
  done: "M3 8.5 6.6 12 13 4.6",
  open: "M8 3a5 5 0 1 0 0 10A5 5 0 1 0 8 3",
};

function shape(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", `shape ${name}`);
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", SHAPES[name]);
  svg.append(path);
  return svg;
}

export const code = (text) => element("code", {}, text);

// Text whose hexadecimal digits, which are there to be compared, stand out.
export const words = (text) => text.split(/(0x[0-9a-fA-F]{8,})/).map((part, place) => (place % 2 === 1 ? code(part) : part));
const isHex = (text) => text.startsWith("0x");
const mark = (severity) => element("strong", { class: `mark ${severity}` }, shape(severity), WORDS[severity]);
const isMarked = ({ severity }) => severity in WORDS;

// The heading that takes the focus when a screen is new.
const title = (text) => element("h1", { tabindex: "-1" }, text);

export function requestScreen({ review, method, payload, secondsLeft }, isGrant) {
  const until = new Date(Date.now() + secondsLeft * 1000);
  const time = until.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const { heading, shown, hint } = isGrant ? permissions(payload) : method === "personal_sign" ? bytes(payload) : typedData(payload);
  return [
    element("p", { class: "eyebrow" }, isGrant ? "Review, then grant" : "Review, then sign"),
    title(review.title),
    review.notes.map((note) => element("p", { class: "lead" }, note)),
    warnings(review.items),
    element("h2", { id: "signed" }, isGrant ? "What you grant" : "What you sign"),
    whatFirst(groups(review.items)).map(group),
    element("section", { class: "wallet-sees" }, element("h3", {}, heading), shown, element("p", { class: "hint" }, `${hint} The program waits until ${time}.`)),
  ];
}

// What the wallet is given.

const json = (label, value) => element("pre", { tabindex: "0", "aria-label": label }, JSON.stringify(value, null, 2));

const bytes = (payload) => ({
  heading: "Your wallet shows these 32 bytes",
  shown: element("p", {}, code(payload)),
  hint: "All of the above goes into them.",
});

const typedData = ({ message }) => ({
  heading: "Your wallet shows this document",
  shown: json("Typed data", message),
  hint: "All of the above goes into it.",
});

const permissions = (requests) => ({
  heading: "Your wallet is asked for this",
  shown: json("Permissions", requests),
  hint: "It shows that in words of its own. What it then grants, the program checks before it takes it.",
});

// Dangers first, each with the part of the review that it belongs to.
function warnings(items) {
  let part = "";
  const marked = [];
  for (const item of items) {
    if (item.depth === 0) part = nameOf(item);
    if (isMarked(item)) marked.push({ ...item, part });
  }
  if (marked.length === 0) return null;
  const rank = ({ severity }) => (severity === "warning" ? 1 : 0);
  marked.sort((one, other) => rank(one) - rank(other));
  const line = ({ severity, label, value, depth, part }) =>
    element(
      "li",
      { class: severity },
      mark(severity),
      element("span", {}, sentence(label || value), label && value ? [" ", words(value)].flat() : []),
      depth > 0 && part ? element("span", { class: "part" }, part) : null,
    );
  return element(
    "section",
    { class: "warnings", "aria-labelledby": "warnings" },
    element("h2", { id: "warnings" }, "Read this first"),
    element("ul", {}, marked.map(line)),
  );
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const nameOf = ({ label, value }) => (isHex(value) || !value ? label : `${label} ${value}`);

function groups(items) {
  const found = [];
  for (const item of items) {
    if (item.depth === 0 || found.length === 0) found.push({ head: item.depth === 0 ? item : null, rows: [] });
    if (item.depth > 0) found.at(-1).rows.push(item);
  }
  return found;
}

// What is done comes before how it is paid for, where one operation is signed.
function whatFirst(groups) {
  const isAccount = ({ head }) => head?.label === "Account";
  if (groups.filter(isAccount).length !== 1) return groups;
  const rank = (group) => (isAccount(group) ? 1 : group.head?.label.startsWith("Hash") ? 2 : 0);
  return groups.toSorted((one, other) => rank(one) - rank(other));
}

function group({ head, rows }) {
  return element(
    "section",
    { class: "group" },
    head && element("h3", {}, isMarked(head) ? [mark(head.severity), " "] : null, nameOf(head)),
    head && isHex(head.value) ? element("p", { class: "head" }, code(head.value)) : null,
    rows.length > 0 ? element("dl", {}, rows.map(row)) : null,
  );
}

function row(item) {
  const { severity, label, value, depth } = item;
  return element(
    "div",
    { class: `row depth-${depth} ${severity} ${label && value ? "" : "whole"}` },
    element("dt", {}, isMarked(item) ? mark(severity) : null, sentence(label || value)),
    element("dd", {}, label && value ? words(value) : []),
  );
}

export function messageScreen(heading, ...lines) {
  return [title(heading), lines.flat().map((line) => element("p", { class: "lead" }, line))];
}

export function landedScreen(transaction) {
  return [
    element("p", { class: "eyebrow done" }, shape("done"), "Done"),
    title("It is on chain"),
    element("p", { class: "lead" }, "The operation was executed. This page can be closed; the terminal goes on."),
    element("section", { class: "wallet-sees" }, element("h3", {}, "Transaction"), element("p", {}, code(transaction))),
  ];
}

export function doneScreen(what) {
  return [
    element("p", { class: "eyebrow done" }, shape("done"), "Done"),
    title(what),
    element("p", { class: "lead" }, "Nothing had to be sent to the chain. This page can be closed; the terminal goes on."),
  ];
}

export function progressPanel(steps, isOver) {
  if (steps.length === 0) return [];
  const line = (step, place) => {
    const isDone = isOver || place < steps.length - 1;
    const state = isDone ? "done" : "under way";
    return element(
      "li",
      { class: isDone ? "done" : "now" },
      shape(isDone ? "done" : "open"),
      element("span", {}, sentence(step), element("span", { class: "unseen" }, `: ${state}`)),
    );
  };
  return [element("h2", { id: "progress-title" }, "Progress"), element("ol", {}, steps.map(line))];
}

// The wallet, its account and its chain, each with whether it is right; then what can be done.
export function walletPanel({ checks, error, actions }) {
  const line = ({ name, value, state, note, icon }) =>
    element(
      "li",
      { class: state },
      shape(state === "right" ? "done" : state === "wrong" ? "warning" : "open"),
      element(
        "div",
        {},
        element("span", { class: "check" }, name, element("span", { class: "unseen" }, `, ${state}: `)),
        value && element("span", { class: "value" }, icon ? element("img", { src: icon, alt: "", width: "18", height: "18" }) : null, value),
        note && element("p", { class: "note" }, words(note)),
      ),
    );
  const button = ({ text, icon, primary, busy, act }) =>
    element(
      "button",
      { type: "button", class: primary ? "primary" : "secondary", "aria-disabled": busy && "true", onclick: act },
      icon ? element("img", { src: icon, alt: "", width: "20", height: "20" }) : null,
      text,
    );
  return [
    element("h2", { id: "wallet-title" }, "Your wallet"),
    element("ul", { class: "checks" }, checks.map(line)),
    error && element("p", { class: "error", role: "alert" }, error),
    element("div", { class: "actions" }, actions.map(button)),
  ];
}
