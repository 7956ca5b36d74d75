// One operation of an unmodified wallet-provider client.
//
//   node client.mjs <folder with node_modules> <job in JSON>
//
// The job names the client's version, the operation and what it needs; secrets are hex with 0x. Printed is one line
// of JSON: {"value"} as the client resolved to it, or {"error", "close"} with the error that it rejected with, and the
// code and reason of the socket's close, which the clients themselves do not look at.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [folder, text] = process.argv.slice(2);
const job = JSON.parse(text);
const require = createRequire(`${folder}/package.json`);
const { privateKeyToAccount } = require("viem/accounts");
const { hexToBytes } = require("viem");
const { WebSocket } = require("ws");

let close = null;
globalThis.WebSocket = class extends WebSocket {
  constructor(url) {
    super(url);
    this.on("close", (code, reason) => { close = { code, reason: String(reason) }; });
  }
};
console.log = console.debug = console.error = () => {};

const owner = privateKeyToAccount(job.owner);
const wallet = { signTypedData: (_from, request) => owner.signTypedData(request) };
const ephemeral = hexToBytes(job.ephemeral);
const config = { walletProviderId: "quorate", walletProviderUrl: job.url };
const [threshold, parties] = [3, 5];

const clients = {
  "0.1.0": {
    load: () => import(pathToFileURL(require.resolve("@silencelaboratories/walletprovider-sdk"))),
    signer(sdk, { asOwner }) {
      const asks = new sdk.EphAuth(owner.address, ephemeral);
      const auth = asOwner ? new sdk.EOAAuth(owner.address, wallet, asks.ephPK) : asks;
      const signer = new sdk.NetworkSigner(new sdk.WalletProviderServiceClient(config), threshold, parties, auth);
      return {
        keygen: () => signer.authenticateAndCreateKey(asks.ephPK, job.permissions),
        sign: () => signer.authenticateAndSign(job.keyId, job.message),
      };
    },
  },
  "0.3.0": {
    load: async () => require("walletprovider-sdk-03"),
    signer(sdk, { asOwner }) {
      const id = "a session";
      const publicKey = sdk.getEphPublicKey(ephemeral);
      const auth = asOwner
        ? new sdk.EOAAuth(id, owner.address, wallet, publicKey, 3600)
        : new sdk.EphAuth(id, ephemeral);
      const signer = new sdk.NetworkSigner(new sdk.WalletProviderServiceClient(config), threshold, parties, auth);
      return {
        keygen: () => signer.generateKey(job.permissions),
        sign: () => signer.signMessage(job.keyId, job.message),
        addEphemeralKey: () => signer.addEphemeralKey(job.keyId),
      };
    },
  },
};

const { load, signer } = clients[job.client];
const sdk = await load();
let outcome;
try {
  const value = await signer(sdk, { asOwner: job.operation !== "sign" })[job.operation]();
  if (job.operation === "keygen") value.address = sdk.computeAddress(value.publicKey);
  outcome = { value };
} catch (error) {
  outcome = { error: error?.message ?? String(error), close };
}
process.stdout.write(`${JSON.stringify(outcome)}\n`);
