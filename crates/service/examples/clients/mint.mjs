// Mints with a session of `quorate serve`, by an unmodified viem: node mint.mjs (npm install viem).
import { createWalletClient, defineChain, http, parseAbi } from 'viem'

const { QUORATE_URL: url, QUORATE_TOKEN: token, NFT: nft } = process.env
const transport = http(url, { fetchOptions: { headers: { Authorization: `Bearer ${token}` } } })
const client = createWalletClient({ transport, pollingInterval: 200 })
const [account] = await client.getAddresses()
const nativeCurrency = { name: 'Ether', symbol: 'ETH', decimals: 18 }
const chain = defineChain({
  id: await client.getChainId(), name: 'by quorate', nativeCurrency, rpcUrls: { default: { http: [url] } },
})

const abi = parseAbi(['function safeMint(address to)'])
const mint = { to: nft, abi, functionName: 'safeMint', args: [account] }
const { id } = await client.sendCalls({ account, chain, calls: [mint, mint], forceAtomic: true })
const { status, receipts } = await client.waitForCallsStatus({ id, throwOnFailure: true })
console.log(status, receipts[0].transactionHash)
