// A user of MetaMask's kit, unmodified: deploys the framework, gives the user's account its code (EIP-7702), signs delegations, and
// redeems them. Reads a request as JSON from its argument, and writes the answer as JSON.
"use strict";

// The kit reports its calls; here it reaches this machine alone.
const dns = require("node:dns");
const lookup = dns.lookup;
dns.lookup = (host, ...rest) => {
  if (host !== "127.0.0.1" && host !== "localhost") return rest.at(-1)(new Error(`${host} is out of reach`));
  return lookup(host, ...rest);
};

const { createPublicClient, createWalletClient, http } = require("viem");
const { privateKeyToAccount } = require("viem/accounts");
const { PREFERRED_VERSION, createDelegation, signDelegation } = require("@metamask/smart-accounts-kit");
const { erc7710WalletActions } = require("@metamask/smart-accounts-kit/actions");
const {
  decodeDelegations,
  deploySmartAccountsEnvironment,
  encodeDelegations,
  overrideDeployedEnvironment,
} = require("@metamask/smart-accounts-kit/utils");

async function main(request) {
  const { rpc, chainId, deployer, user, delegate, scope, caveats, parent, call } = request;
  let { environment } = request;
  const chain = {
    id: chainId,
    name: "local",
    nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
    rpcUrls: { default: { http: [rpc] } },
  };
  const transport = http(rpc);
  const reader = createPublicClient({ chain, transport, pollingInterval: 50 });
  const wallet = (key) =>
    createWalletClient({ account: privateKeyToAccount(key), chain, transport, pollingInterval: 50 });
  if (environment === undefined) {
    environment = await deploySmartAccountsEnvironment(wallet(deployer), reader, chain);
  }
  if (call !== undefined) {
    overrideDeployedEnvironment(chainId, PREFERRED_VERSION, environment);
    const client = wallet(user).extend(erc7710WalletActions());
    const hash = await client.sendTransactionWithDelegation({
      ...call,
      permissionContext: parent,
      delegationManager: environment.DelegationManager,
    });
    return { environment, status: (await reader.waitForTransactionReceipt({ hash })).status };
  }
  const owner = privateKeyToAccount(user);
  const isOwn = parent === undefined;
  if (isOwn && (await reader.getCode({ address: owner.address })) === undefined) {
    const authorization = await wallet(user).signAuthorization({
      contractAddress: environment.implementations.EIP7702StatelessDeleGatorImpl,
    });
    const hash = await wallet(deployer).sendTransaction({
      authorizationList: [authorization],
      to: owner.address,
      data: "0x",
    });
    await reader.waitForTransactionReceipt({ hash });
  }
  const rest = isOwn ? [] : decodeDelegations(parent);
  const unsigned = createDelegation({
    environment,
    from: owner.address,
    to: delegate,
    caveats,
    ...(isOwn ? { scope } : { parentDelegation: rest[0] }),
  });
  const signature = await signDelegation({
    privateKey: user,
    delegation: unsigned,
    delegationManager: environment.DelegationManager,
    chainId,
  });
  const context = encodeDelegations([{ ...unsigned, signature }, ...rest]);
  return { context, environment };
}

main(JSON.parse(process.argv[2])).then(
  (answer) => process.stdout.write(JSON.stringify(answer), () => process.exit(0)),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
