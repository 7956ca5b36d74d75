//! The facts about an account, all of one block.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use futures_util::future::try_join_all;
use quorate_store::Operation;
use quorate_transport::TransportError;

use crate::life::settle::Nonce;
use crate::{Error, Quorate};

/// A block's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) number: u64,
    pub(crate) hash: B256,
    /// In seconds since 1970.
    pub(crate) timestamp: u64,
    /// In wei; none before EIP-1559.
    pub(crate) base_fee: Option<U256>,
}

/// What decides about an account's operations and sessions.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) block: Block,
    /// The root of the sessions at that block; zero without sessions.
    pub(crate) root: B256,
    /// The root at the block with the confirmations asked for.
    pub(crate) settled_root: B256,
    pub(crate) deployed: bool,
    /// The next sequence of each nonce stream that was asked for.
    pub(crate) sequences: BTreeMap<U256, u64>,
    /// Those of the modules asked for that may validate the account's operations.
    pub(crate) enabled: Vec<Address>,
}

/// What is asked besides root and code.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    /// Nonce streams, by their upper 192 bits.
    pub(crate) streams: Vec<U256>,
    pub(crate) modules: Vec<Address>,
}

impl Query {
    /// The owner's stream, in which operations take turns, and the streams of these operations.
    pub(crate) fn of_operations(operations: &[Operation]) -> Self {
        let streams = operations.iter().map(|operation| Nonce::from(operation.nonce).stream);
        let streams: BTreeSet<U256> = streams.chain([U256::ZERO]).collect();
        Self { streams: streams.into_iter().collect(), modules: Vec::new() }
    }
}

impl Facts {
    /// Whether the account is there and its owner's first nonce unused: somebody else deployed it, or the answers are of two
    /// blocks. A node that is just applying the block of its first operation may answer with the code of that one.
    fn seems_untouched(&self) -> bool {
        self.deployed && self.sequences.get(&U256::ZERO) == Some(&0)
    }

    /// The next sequence of a stream. A stream that nobody asked for is taken for unused.
    pub(crate) fn sequence(&self, stream: U256) -> u64 {
        self.sequences.get(&stream).copied().unwrap_or_default()
    }
}

/// How long a node that is behind, or reorganises, is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

impl Quorate {
    /// Reads the facts about an account at the newest block, and the root at the settled one.
    ///
    /// A node whose newest block is older than one that this client has seen decides nothing: it is waited for, and is
    /// an error after five seconds.
    pub(crate) async fn facts(&self, account: Address, query: &Query) -> Result<Facts, Error> {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let outcome = match self.latest_block().await {
                Ok(block) => self.facts_at(account, query, block).await,
                Err(error) => Err(error),
            };
            let is_in_time = tokio::time::Instant::now() < end;
            match outcome {
                Ok(facts) if is_in_time && facts.seems_untouched() && self.has_moved_on(&facts).await => {}
                Err(error) if is_in_time && is_passing(&error) => {
                    tokio::time::sleep(PAUSE).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn has_moved_on(&self, facts: &Facts) -> bool {
        self.latest_block().await.is_ok_and(|newest| newest.hash != facts.block.hash)
    }

    /// The newest block, which is none before the newest that was seen.
    pub(crate) async fn latest_block(&self) -> Result<Block, Error> {
        let block = self.chain.latest_block().await?;
        let newest = self.shared.newest_block.fetch_max(block.number, Ordering::Relaxed);
        if block.number < newest {
            return Err(Error::Behind { found: block.number, newest });
        }
        Ok(block)
    }

    async fn facts_at(&self, account: Address, query: &Query, block: Block) -> Result<Facts, Error> {
        let chain = &self.chain;
        let sequences = query.streams.iter().map(|stream| async move {
            let nonce = chain.nonce_at(account, *stream, &block).await?;
            Ok::<_, Error>((*stream, nonce.as_limbs()[0]))
        });
        let settled_root = async {
            let number = block.number.saturating_sub(self.confirmations);
            if number == block.number {
                return Ok(None);
            }
            let settled = chain.block(number).await?;
            match chain.session_root_at(account, &settled).await {
                // The contract is there now, and was not then.
                Err(Error::Contract { .. }) => Ok(Some(B256::ZERO)),
                root => root.map(Some),
            }
        };
        let enabled = query.modules.iter().map(|module| async move {
            match chain.is_module_enabled_at(account, *module, &block).await {
                Ok(is_enabled) => Ok(is_enabled.then_some(*module)),
                // No account, no modules.
                Err(Error::Contract { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        });
        let (root, deployed, sequences, enabled, settled_root) = tokio::try_join!(
            chain.session_root_at(account, &block),
            chain.is_deployed_at(account, &block),
            try_join_all(sequences),
            try_join_all(enabled),
            settled_root,
        )?;
        let settled_root = settled_root.unwrap_or(root);
        Ok(Facts {
            block,
            root,
            settled_root,
            deployed,
            sequences: sequences.into_iter().collect(),
            enabled: enabled.into_iter().flatten().collect(),
        })
    }
}

/// Whether an error comes of a node that is behind or that reorganises, and passes.
fn is_passing(error: &Error) -> bool {
    match error {
        Error::Behind { .. } => true,
        Error::Chain(TransportError::Rpc { error, .. }) => {
            let message = error.message.to_lowercase();
            [
                "not currently canonical",
                "not canonical",
                "header not found",
                "unknown block",
                "block not found",
            ]
            .iter()
            .any(|text| message.contains(text))
        }
        _ => false,
    }
}
