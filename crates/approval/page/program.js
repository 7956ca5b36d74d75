// What this page and the program say to each other.

const token = location.pathname.slice(1);
// Each loaded page is a tab of its own.
const tab = crypto.randomUUID();

const post = (path, body, options = {}) =>
  fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json", "x-quorate-token": token },
    body: JSON.stringify({ tab, ...body }),
    ...options,
  });

// Says whether the program has taken it.
async function answer(path, body) {
  const response = await post(path, body);
  if (response.status === 413) throw new Error("The wallet's answer is longer than the program takes.");
  if (!response.ok) throw new Error(`The program did not take it (${response.status}).`);
  const { error } = await response.json();
  if (error) throw new Error(error);
  return true;
}

// What has changed since that was shown; nothing where the program does not answer.
async function news(shown) {
  try {
    const response = await post("/state", shown);
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}

export const program = {
  sign: (number, signature) => answer("/sign", { number, signature }),
  // What the wallet granted goes as the text that it is checked as.
  grant: (number, granted) => answer("/grant", { number, grant: JSON.stringify(granted ?? null) }),
  reject: (number) => answer("/reject", { number }),

  // Calls `show` with each state, until the end is shown; `lose` while the program does not answer.
  async follow(show, lose) {
    let shown = { version: 0, leads: false };
    let ended = false;
    let misses = 0;
    while (!ended) {
      const state = await news(shown);
      if (!state) {
        misses += 1;
        if (misses > 2) lose();
        await new Promise((resolve) => setTimeout(resolve, Math.min(250 * 2 ** misses, 4000)));
        continue;
      }
      misses = 0;
      show(state);
      shown = { version: state.version, leads: state.leads };
      ended = Boolean(state.outcome);
    }
    // The program ends once it knows that its end is shown.
    await news(shown);
  },

  // This tab makes room for another, or for itself loaded anew.
  leave: () => void post("/close", {}, { keepalive: true }).catch(() => {}),
};
