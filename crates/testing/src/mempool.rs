//! The operations that one bundler waits with, and its settings.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use alloy_primitives::{B256, U256};
use quorate_transport::RpcError;

use crate::{dialect::BundlerDialect, number::Numbers, operation::Operation, world::split_nonce};

#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) signed: Arc<Operation>,
    pub(crate) hash: B256,
}

/// Pre-verification, verification and call gas of estimates, where none are set.
pub(crate) const GAS: [u64; 3] = [60_000, 500_000, 300_000];

/// What an estimate names: more verification where the operation deploys its account.
pub(crate) fn estimate([before, verification, call]: [u64; 3], operation: &Operation) -> [u64; 3] {
    let deployment = if operation.operation.init_code.is_empty() { 0 } else { 150_000 };
    [before, verification.saturating_add(deployment), call]
}

#[derive(Debug)]
pub(crate) struct Mempool {
    pub(crate) pending: Vec<Pending>,
    /// Of those that wait, the ones in a transaction that is in no block yet.
    pub(crate) submitted: BTreeSet<B256>,
    /// Those that went without being mined, and why.
    pub(crate) rejected: BTreeMap<B256, String>,
    pub(crate) held: BTreeSet<B256>,
    pub(crate) hold_all: bool,
    /// Not held although all are.
    pub(crate) released: BTreeSet<B256>,
    /// How many blocks back receipts are looked for.
    pub(crate) receipt_window: Option<u64>,
    pub(crate) null_while_waiting: bool,
    pub(crate) dialect: BundlerDialect,
    pub(crate) numbers: Numbers,
    pub(crate) parallel_limit: usize,
    pub(crate) queue_limit: usize,
    /// The least `maxFeePerGas` that is taken, in wei.
    pub(crate) fee_floor: U256,
    /// Receipts are answered as of so many blocks ago.
    pub(crate) lag: u64,
    /// Pre-verification, verification and call gas of estimates.
    pub(crate) gas: [u64; 3],
    /// What each unit of the price for operations is, in percent of the node's.
    pub(crate) price_percent: u64,
}

impl Default for Mempool {
    fn default() -> Self {
        Self {
            pending: Vec::new(),
            submitted: BTreeSet::new(),
            rejected: BTreeMap::new(),
            held: BTreeSet::new(),
            hold_all: false,
            released: BTreeSet::new(),
            receipt_window: None,
            null_while_waiting: true,
            dialect: BundlerDialect::Pimlico,
            numbers: Numbers::Hex,
            parallel_limit: 10,
            queue_limit: 0,
            fee_floor: U256::ZERO,
            lag: 0,
            gas: GAS,
            price_percent: 100,
        }
    }
}

impl Mempool {
    pub(crate) fn get(&self, hash: B256) -> Option<&Pending> {
        self.pending.iter().find(|pending| pending.hash == hash)
    }

    pub(crate) fn is_held(&self, hash: B256) -> bool {
        self.held.contains(&hash) || self.hold_all && !self.released.contains(&hash)
    }

    /// Takes an operation in, in the place of the one with its nonce if it pays enough more.
    ///
    /// `next` is the sequence that the chain expects in the operation's stream. Texts and codes are alto's.
    pub(crate) fn add(&mut self, signed: Operation, hash: B256, next: u64) -> Result<(), RpcError> {
        if self.get(hash).is_some() {
            return Err(invalid_fields("Already known"));
        }
        let op = &signed.operation;
        let conflict = self.pending.iter().position(|other| {
            let other = &other.signed.operation;
            other.sender == op.sender
                && (other.nonce == op.nonce || !other.init_code.is_empty() && !op.init_code.is_empty())
        });
        if let Some(conflict) = conflict {
            let other = &self.pending[conflict].signed.operation;
            if !(raised(other.max_fee_per_gas, op.max_fee_per_gas)
                && raised(other.max_priority_fee_per_gas, op.max_priority_fee_per_gas))
            {
                return Err(invalid_fields(if other.nonce == op.nonce {
                    "AA25 invalid account nonce: User operation already present in mempool, bump the gas price by minimum 10%"
                } else {
                    "AA10 sender already constructed: A conflicting userOperation with initCode for this sender is already in the mempool, bump the gas price by minimum 10%"
                }));
            }
            let replaced = self.pending.remove(conflict);
            self.rejected.insert(replaced.hash, format!("replaced by {hash}"));
        }
        let (key, sequence) = split_nonce(op.nonce);
        let mut parallel = 0;
        let mut queued = 0;
        for other in self.pending.iter().filter(|other| other.signed.operation.sender == op.sender) {
            let (other, at) = split_nonce(other.signed.operation.nonce);
            queued += usize::from(other == key && at > next);
            parallel += usize::from(other != key);
        }
        if sequence > next && queued >= self.queue_limit {
            return Err(invalid_fields(
                "AA25 invalid account nonce: Maximum number of queued user operations reached for this sender and nonce key",
            ));
        }
        if parallel >= self.parallel_limit {
            return Err(invalid_fields(
                "AA25 invalid account nonce: Maximum number of parallel user operations for that is allowed for this sender reached",
            ));
        }
        self.submitted.remove(&hash);
        self.rejected.remove(&hash);
        self.pending.push(Pending { signed: Arc::new(signed), hash });
        Ok(())
    }
}

/// Whether `new` is at least a tenth above `old`, rounded up.
fn raised(old: U256, new: U256) -> bool {
    let hundred = U256::from(100);
    new.saturating_mul(hundred) >= old.saturating_mul(U256::from(110))
}

pub(crate) fn invalid_fields(message: &str) -> RpcError {
    error(-32602, message)
}

pub(crate) fn error(code: i64, message: &str) -> RpcError {
    RpcError { code, message: message.to_owned(), data: None }
}
