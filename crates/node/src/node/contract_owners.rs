//! Asks the contracts that own keys whether they signed (ERC-1271), by this node's own RPC of their chains.
//!
//! Whoever reaches the gateway can cause these calls. Before them come the gateway's limits by address, all that the request
//! itself shows, and for all but revocations a nonce of this node, good for one request; here, a deadline, the contract's gas,
//! and how many are asked about one chain at once.

use std::collections::BTreeMap;
use std::time::Duration;

use alloy_primitives::{Bytes, U64};
use quorate_protocol::{Claimed, ContractClaim, NodeIndex, Refusal, Verified};
use quorate_transport::{HttpTransport, TransportError, TransportExt as _};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{OnceCell, Semaphore};

use super::judge::unauthenticated;
use crate::config::{ChainConfig, ChainConfigs, ConfigError};
use crate::error::reasons;
use crate::observe::{Occasionally, one_line};

/// The chains that a node asks.
#[derive(Debug)]
pub(crate) struct Chains {
    node: NodeIndex,
    chains: BTreeMap<u64, Chain>,
}

#[derive(Debug)]
struct Chain {
    node: NodeIndex,
    chain_id: u64,
    rpc: HttpTransport,
    /// Set once the RPC has said that it is of this chain.
    is_confirmed: OnceCell<()>,
    places: Semaphore,
}

/// What the RPC said of a claim, each part by itself.
struct Facts {
    block: Result<Option<Block>, TransportError>,
    head: Result<U64, TransportError>,
    code: Result<Bytes, TransportError>,
    answer: Result<Bytes, TransportError>,
}

#[derive(Deserialize)]
struct Block {
    number: U64,
}

/// How many blocks may have come after the one that a request names: a contract's keys change, and so does what its chain's
/// nodes still know.
const OLDEST: u64 = 256;

/// The gas that a contract may use to judge a signature: enough for one over P-256 in Solidity.
const GAS: u64 = 1_000_000;

/// How long a contract may take to answer, with the wait for a place.
const DEADLINE: Duration = Duration::from_secs(5);

/// How many claims are asked about one chain at once.
const PLACES: usize = 8;

/// The longest answer that is read: a block names all its transactions.
const LONGEST_ANSWER: usize = 2 << 20;

static NO_ANSWER: Occasionally = Occasionally::new();

impl Chains {
    /// # Errors
    /// An RPC that HTTP cannot be spoken to.
    pub(crate) fn new(node: NodeIndex, configs: &ChainConfigs) -> Result<Self, ConfigError> {
        let chain = |(chain_id, config): (&u64, &ChainConfig)| {
            let (chain_id, rpc) = (*chain_id, HttpTransport::builder(config.rpc.clone()));
            let rpc = rpc.deadline(DEADLINE).retries(1).longest_response(LONGEST_ANSWER).build();
            let rpc = rpc.map_err(|source| ConfigError::Chain { chain_id, source })?;
            let (is_confirmed, places) = (OnceCell::new(), Semaphore::new(PLACES));
            Ok((chain_id, Chain { node, chain_id, rpc, is_confirmed, places }))
        };
        Ok(Self { node, chains: configs.0.iter().map(chain).collect::<Result<_, ConfigError>>()? })
    }

    /// Asks the contract that is said to have signed something.
    ///
    /// # Errors
    /// A no; a contract that is not there, a block that is too old, or a chain that this node does not ask; and, to be tried
    /// again, a block that it does not know yet, or an RPC that does not answer.
    pub(crate) async fn verify<T>(&self, claimed: Claimed<T>) -> Result<Verified<T>, Refusal> {
        let (node, chain_id) = (self.node, claimed.claim().account.chain_id);
        let chain = self.chains.get(&chain_id).ok_or(Refusal::UnservedChain { node, chain_id })?;
        let returned = tokio::time::timeout(DEADLINE, chain.ask(claimed.claim())).await;
        let returned = returned.map_err(|_| Refusal::ChainUnavailable { node, chain_id })??;
        claimed.answered(&returned).map_err(unauthenticated)
    }
}

impl Chain {
    /// What the contract returns.
    async fn ask(&self, claim: &ContractClaim) -> Result<Bytes, Refusal> {
        let _place = self.places.acquire().await;
        self.is_confirmed.get_or_try_init(|| self.confirm()).await?;
        let address = claim.account.address;
        let state = json!({ "blockHash": claim.block, "requireCanonical": true });
        let data = Bytes::from(claim.call_data());
        let call = json!({ "to": address, "data": data, "gas": U64::from(GAS) });
        let (block, head, code, answer) = tokio::join!(
            self.rpc.call("eth_getBlockByHash", (claim.block, false)),
            self.rpc.call("eth_blockNumber", ()),
            self.rpc.call("eth_getCode", (address, &state)),
            self.rpc.call("eth_call", (&call, &state)),
        );
        self.judge(claim, Facts { block, head, code, answer })
    }

    async fn confirm(&self) -> Result<(), Refusal> {
        let found: U64 = self.rpc.call("eth_chainId", ()).await.map_err(|error| self.unavailable(&error))?;
        let (node, chain_id, found) = (self.node, self.chain_id, found.to());
        if found == chain_id { Ok(()) } else { Err(Refusal::OtherChain { node, chain_id, found }) }
    }

    fn judge(&self, claim: &ContractClaim, facts: Facts) -> Result<Bytes, Refusal> {
        let Facts { block, head, code, answer } = facts;
        let behind = || Refusal::Behind { node: self.node, chain_id: self.chain_id, block: claim.block };
        let unavailable = |error| self.unavailable(&error);
        let number = block.map_err(unavailable)?.ok_or_else(behind)?.number;
        let age = head.map_err(unavailable)?.saturating_sub(number).to();
        if age > OLDEST {
            return Err(Refusal::OldBlock { block: claim.block, age, limit: OLDEST });
        }
        match code {
            Ok(code) if code.is_empty() => {
                return Err(Refusal::NoContract { account: claim.account, block: claim.block });
            }
            Ok(_) => {}
            // The block is known, and another one stands in its place.
            Err(TransportError::Rpc { .. }) => return Err(behind()),
            Err(error) => return Err(unavailable(error)),
        }
        match answer {
            // As good as a no.
            Err(TransportError::Rpc { error, .. }) if is_revert(&error) => Ok(Bytes::new()),
            answer => answer.map_err(unavailable),
        }
    }

    /// What became of the call stands in the log only, without the secrets of its URL.
    fn unavailable(&self, error: &TransportError) -> Refusal {
        let (node, chain_id) = (self.node, self.chain_id);
        if let Some(times) = NO_ANSWER.count() {
            let error = one_line(reasons(error));
            tracing::warn!(%node, chain_id, error, times, "no answer of the chain's RPC");
        }
        Refusal::ChainUnavailable { node, chain_id }
    }
}

fn is_revert(error: &quorate_transport::RpcError) -> bool {
    let message = error.message.to_lowercase();
    error.code == 3 || ["revert", "out of gas", "invalid opcode"].iter().any(|sign| message.contains(sign))
}

#[cfg(test)]
mod tests;
