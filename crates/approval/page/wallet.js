// The wallets of this browser (EIP-6963, or what stands at window.ethereum), and the one that is connected (EIP-1193).

const REJECTED = 4001;
const UNKNOWN_CHAIN = 4902;
// EIP-1193's and JSON-RPC's.
const UNKNOWN_METHODS = [4200, -32601];
const REQUEST_PERMISSIONS = "wallet_requestExecutionPermissions";
const BY_KEY = "have the owner's key sign the delegation";

// How long a wallet has to say what it grants, in milliseconds; one that says nothing is asked for it all the same.
const PATIENCE = 3000;
const silence = () => new Promise((resolve) => setTimeout(resolve, PATIENCE));

const same = (one, other) => one?.toLowerCase() === other?.toLowerCase();

// Wallets wrap the codes of what they call.
const codes = (error) => [error?.code, error?.data?.originalError?.code, error?.cause?.code];

export const isRejection = (error) => codes(error).includes(REJECTED);

// Not each wallet has a code for it.
const isUnknownMethod = (error) =>
  codes(error).some((code) => UNKNOWN_METHODS.includes(code)) || /method\b.*\b(not found|does not exist)/i.test(error?.message);

// Whether the wallet is asked for permissions (ERC-7715), and not for a signature.
export const isGrant = ({ method }) => method === REQUEST_PERMISSIONS;

export const reasonOf = (error) => error?.message || "The wallet gave no reason.";

export function discover(found) {
  const wallets = new Map();
  const tell = () => found(wallets.size > 0 ? [...wallets.values()] : injected());
  addEventListener("eip6963:announceProvider", ({ detail }) => {
    const { info, provider } = detail ?? {};
    if (!info?.uuid || typeof provider?.request !== "function") return;
    const icon = String(info.icon ?? "").startsWith("data:image/") ? info.icon : null;
    wallets.set(info.uuid, { id: info.rdns ?? info.uuid, name: String(info.name ?? "Wallet"), icon, provider });
    tell();
  });
  addEventListener("ethereum#initialized", tell, { once: true });
  dispatchEvent(new Event("eip6963:requestProvider"));
  tell();
}

function injected() {
  const provider = window.ethereum;
  if (typeof provider?.request !== "function") return [];
  return [{ id: "injected", name: "Browser wallet", icon: null, provider }];
}

export class Connection {
  accounts = [];
  chainId = null;

  constructor(wallet, changed) {
    this.wallet = wallet;
    const note = (change) => (value) => {
      change(value);
      changed();
    };
    this.listeners = {
      accountsChanged: note((accounts) => (this.accounts = accounts ?? [])),
      chainChanged: note((chainId) => (this.chainId = chainId)),
      disconnect: note(() => (this.chainId = null)),
    };
    for (const [event, listener] of Object.entries(this.listeners)) wallet.provider.on?.(event, listener);
  }

  request(method, params = []) {
    return this.wallet.provider.request({ method, params });
  }

  // Asks the owner to let this page see the accounts; silently where that was allowed before.
  async open({ silently = false } = {}) {
    this.accounts = await this.request(silently ? "eth_accounts" : "eth_requestAccounts");
    await this.refresh();
  }

  async refresh() {
    [this.accounts, this.chainId] = await Promise.all([this.request("eth_accounts"), this.request("eth_chainId")]);
  }

  close() {
    for (const [event, listener] of Object.entries(this.listeners)) {
      this.wallet.provider.removeListener?.(event, listener);
    }
  }

  has(owner) {
    return this.accounts.some((account) => same(account, owner));
  }

  isOn(chain) {
    return this.chainId !== null && BigInt(this.chainId) === BigInt(chain.id);
  }

  async chooseAccount() {
    await this.request("wallet_requestPermissions", [{ eth_accounts: {} }]);
    await this.refresh();
  }

  async switchTo(chain) {
    const change = () => this.request("wallet_switchEthereumChain", [{ chainId: chain.id }]);
    try {
      await change();
    } catch (error) {
      if (!codes(error).includes(UNKNOWN_CHAIN) || !chain.rpc) throw error;
      await this.request("wallet_addEthereumChain", [
        {
          chainId: chain.id,
          chainName: chain.name,
          nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
          rpcUrls: [chain.rpc],
        },
      ]);
      await change();
    }
    await this.refresh();
  }

  sign({ method, payload }, owner) {
    const params = method === "personal_sign" ? [payload, owner] : [owner, JSON.stringify(payload)];
    return this.request(method, params);
  }

  // Gives the grants, whose shape is the program's to check.
  async grant({ method, payload }, chain) {
    const { name } = this.wallet;
    const lacking = await this.lackedPermission(payload);
    if (lacking) throw new Error(`${name} does not grant ${lacking} on ${chain.name}. Use another wallet, or ${BY_KEY}.`);
    try {
      return await this.request(method, payload);
    } catch (error) {
      if (!isUnknownMethod(error)) throw error;
      throw new Error(`${name} cannot grant permissions (ERC-7715). Use another wallet (MetaMask can), or ${BY_KEY}.`);
    }
  }

  // The first type that the wallet says it does not grant on the request's chain. One that says nothing may grant it.
  async lackedPermission(requests) {
    try {
      const answer = this.request("wallet_getSupportedExecutionPermissions");
      const supported = await Promise.race([answer, silence()]);
      if (typeof supported !== "object" || Array.isArray(supported)) return undefined;
      const isSupported = ({ chainId, permission }) =>
        (supported[permission.type]?.chainIds ?? []).some((id) => BigInt(id) === BigInt(chainId));
      return requests.find((request) => !isSupported(request))?.permission.type;
    } catch {
      return undefined;
    }
  }
}
