// A wallet in the page, as an extension puts it there (EIP-1193, EIP-6963). What it answers, the driver says.
(() => {
  const listeners = {};
  window.walletEvent = (event, value) => (listeners[event] ?? []).forEach((listener) => listener(value));
  const provider = {
    async request({ method, params }) {
      const { result, error } = await window.askWallet({ method, params });
      if (error) throw Object.assign(new Error(error.message), { code: error.code });
      return result;
    },
    on: (event, listener) => void (listeners[event] ??= []).push(listener),
    removeListener: (event, listener) => void (listeners[event] = (listeners[event] ?? []).filter((other) => other !== listener)),
  };
  document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
    window.tellProblem(`CSP: ${violatedDirective} forbids ${blockedURI}`),
  );
  if (window.walletKind === "injected") {
    window.ethereum = provider;
    return;
  }
  const icon =
    "data:image/svg+xml," +
    encodeURIComponent('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><rect width="8" height="8" rx="2" fill="#c2703d"/></svg>');
  const info = { uuid: "8b1f4fd2-9b7c-4d0e-9f0b-1c1a53f6a001", name: "Test Wallet", rdns: "example.wallet", icon };
  const announce = () => dispatchEvent(new CustomEvent("eip6963:announceProvider", { detail: Object.freeze({ info, provider }) }));
  addEventListener("eip6963:requestProvider", announce);
  announce();
})();
