// Grants and uses sessions with the original SDK, as the bench asks.
//
//   node --input-type=module -e "<this text>"     in the folder that the packages are installed in
//
// Reads a JSON object from each line of stdin, and answers each with a line: { ok } or { error }. A `command` is
//
//   setup    which network: rpcUrl, bundlerUrl, chainId, nft
//   account  makes an account of a new owner, and answers with its address, which then wants a balance
//   create   grants that account a session; answers with the milliseconds from the call to the receipt
//   use      mints with that session; the same
//   cpu      what a use of `account` by `sessionKey` computes, `iterations` times; answers with the microseconds of
//            CPU time of one and with the operation's signature. Where the session key's `signature` is given, it
//            signs nothing
//
// `pollingInterval`, in milliseconds, sets how often `create` and `use` ask for the receipt. Without it the SDK does as
// it does by default.

import { createInterface } from "node:readline";
import * as sdk from "@biconomy/account";
import { encodeFunctionData, parseAbi } from "viem";
import { generatePrivateKey, privateKeyToAddress } from "viem/accounts";

const ABI = parseAbi(["function safeMint(address to)"]);

let network;
/** The account: its owner's key, its address, its session after `create`, and a client for each polling interval. */
let current;
/** Each use has a nonce stream of its own, as each of Quorate's has. */
let lastStream = 0n;

const commands = {
  setup({ rpcUrl, bundlerUrl, chainId, nft }) {
    // The SDK reads the chain's id in the URL's path.
    const sdkBundlerUrl = `${bundlerUrl}api/v2/${chainId}/bench`;
    const chain = sdk.getCustomChain("the development network", chainId, rpcUrl, rpcUrl);
    network = { rpcUrl, chainId, chain, nft, sdkBundlerUrl };
    speakToAlto(sdkBundlerUrl, bundlerUrl);
    return {};
  },

  async account() {
    const ownerKey = generatePrivateKey();
    const account = await sdk.createSmartAccountClient(config(ownerKey));
    current = { ownerKey, address: await account.getAccountAddress(), clients: new Map() };
    return { address: current.address };
  },

  async create({ pollingInterval }) {
    const account = await sdk.createSmartAccountClient(config(current.ownerKey, pollingInterval));
    const start = performance.now();
    // It makes the session's key, and keeps it in memory.
    const sent = await sdk.createSession(account, [policy(current.address)]);
    await receipt(sent);
    const milliseconds = performance.now() - start;
    current.session = sent.session;
    return { milliseconds };
  },

  async use({ pollingInterval }) {
    if (!current.clients.has(pollingInterval)) {
      current.clients.set(pollingInterval, await sessionClient(pollingInterval));
    }
    const client = current.clients.get(pollingInterval);
    lastStream += 1n;
    const start = performance.now();
    const transaction = { to: network.nft, data: mint(current.address) };
    await receipt(await client.sendTransaction(transaction, { nonceOptions: { nonceKey: lastStream } }));
    return { milliseconds: performance.now() - start };
  },

  async cpu({ account, sessionKey, signature: given, iterations }) {
    const compute = await computation(account, sessionKey, given);
    // Not measured: the engine compiles what runs often.
    for (let done = 0; done < iterations; done++) await compute();
    const start = process.cpuUsage();
    for (let done = 0; done < iterations; done++) await compute();
    const { user, system } = process.cpuUsage(start);
    const { signature } = await compute();
    return { microseconds: (user + system) / iterations, signature };
  },
};

function config(ownerKey, pollingInterval) {
  return { signer: sdk.toSupportedSigner(ownerKey, network.chain), ...place(pollingInterval) };
}

/** The network, as every client of the SDK wants it. */
function place(pollingInterval) {
  const { rpcUrl, chainId, chain: customChain, sdkBundlerUrl: bundlerUrl } = network;
  const userOpReceiptIntervals = pollingInterval === undefined ? {} : { [chainId]: pollingInterval };
  const bundler = new sdk.Bundler({ bundlerUrl, chainId, customChain, userOpReceiptIntervals });
  return { rpcUrl, chainId, customChain, bundler };
}

function sessionClient(pollingInterval) {
  const { address: accountAddress, session } = current;
  return sdk.createSessionSmartAccountClient({ accountAddress, ...place(pollingInterval) }, session);
}

/** Whoever has the session may mint to `to`. */
function policy(to) {
  return {
    contractAddress: network.nft,
    functionSelector: "safeMint(address)",
    rules: [{ offset: 0, condition: sdk.RuleHelpers.Condition("EQUAL"), referenceValue: to }],
    interval: { validUntil: 0, validAfter: 0 },
    valueLimit: 0n,
  };
}

function mint(to) {
  return encodeFunctionData({ abi: ABI, functionName: "safeMint", args: [to] });
}

async function receipt({ userOpHash, wait }) {
  const { success } = await wait();
  if (String(success) !== "true") throw new Error(`${userOpHash} reverted`);
}

/**
 * What a session's use computes, from the policy to the signed operation, by the SDK's own functions: the session key
 * data, its leaf and the tree with root and proof; the mint's call data and the account's around it; the user operation
 * hash; the session key's signature, and its encoding with the leaf and the proof. Nothing of it asks anyone, and what
 * is stored is kept in a variable.
 */
async function computation(address, sessionKey, given) {
  const account = await sdk.createSmartAccountClient(config(generatePrivateKey()));
  const sessionKeyAddress = privateKeyToAddress(sessionKey);
  const sessionSigner = given
    ? { signerType: "given", getAddress: async () => sessionKeyAddress, signMessage: async () => given }
    : sdk.toSupportedSigner(sessionKey, network.chain);
  return async () => {
    let stored;
    const sessionStorageClient = {
      getAllSessionData: async () => [],
      addSessionData: async (session) => { stored = session; },
      getSessionData: async () => stored,
      setMerkleRoot: async () => {},
    };
    const manager = await sdk.createSessionKeyManagerModule({ smartAccountAddress: address, sessionStorageClient });
    const datum = sdk.createABISessionDatum({ ...policy(address), sessionKeyAddress });
    const { sessionIDInfo } = await manager.createSessionData([datum]);
    account.setActiveValidationModule(manager);
    const operation = {
      sender: address,
      nonce: "0x10000000000000000",
      initCode: "0x",
      callData: await account.encodeExecute(network.nft, 0n, mint(address)),
      callGasLimit: "0x186a0",
      verificationGasLimit: "0x30d40",
      preVerificationGas: "0xc350",
      maxFeePerGas: "0x3b9aca00",
      maxPriorityFeePerGas: "0x1",
      paymasterAndData: "0x",
    };
    return account.signUserOp(operation, { sessionSigner, sessionID: sessionIDInfo[0] });
  };
}

/**
 * Makes the bundler look like Biconomy's, inside of this process so that it costs no hop: the URL; the third parameter
 * of a send, which alto refuses; and the fees, which Biconomy's bundler gives with the estimate. They are read beside
 * the estimate, not after it.
 */
function speakToAlto(sdkBundlerUrl, bundlerUrl) {
  const { fetch } = globalThis;
  const headers = { "Content-Type": "application/json" };
  const post = async (request) => {
    const response = await fetch(bundlerUrl, { method: "post", headers, body: JSON.stringify(request) });
    const answer = await response.json();
    // The SDK would take it for an answer without a result.
    if (answer.error) throw new Error(`${request.method}: ${answer.error.message}`);
    return answer;
  };
  globalThis.fetch = async (url, options) => {
    if (url !== sdkBundlerUrl) return fetch(url, options);
    const request = JSON.parse(options.body);
    if (request.method === "eth_sendUserOperation") request.params.length = 2;
    if (request.method !== "eth_estimateUserOperationGas") return Response.json(await post(request));
    const fees = { jsonrpc: "2.0", id: 1, method: "pimlico_getUserOperationGasPrice", params: [] };
    const [estimate, prices] = await Promise.all([post(request), post(fees)]);
    return Response.json({ ...estimate, result: { ...estimate.result, ...prices.result.standard } });
  };
}

for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...parameters } = JSON.parse(line);
  const answer = await Promise.resolve()
    .then(() => commands[command](parameters))
    .then((ok) => ({ ok }), (error) => ({ error: String(error?.stack ?? error) }));
  console.log(JSON.stringify(answer));
}
