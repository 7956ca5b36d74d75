//! Blocks, their transactions and logs, and the chain that they make.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use alloy_primitives::{Address, B256, Bytes, U256};
use serde_json::{Value, json};

use crate::{execution::Execution, number::hex, operation::Operation, world::World};

/// What a contract logged.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) address: Address,
    pub(crate) topics: Vec<B256>,
    pub(crate) data: Bytes,
}

/// An operation in a block.
#[derive(Clone, Debug)]
pub(crate) struct MinedOperation {
    pub(crate) signed: Arc<Operation>,
    pub(crate) hash: B256,
    /// The bundler that put it there; none where it was injected.
    pub(crate) bundler: Option<usize>,
    pub(crate) success: bool,
    /// What its call reverted with.
    pub(crate) revert: Bytes,
    /// In wei.
    pub(crate) cost: U256,
    pub(crate) gas_used: u64,
    /// The place of its logs in the transaction's.
    pub(crate) logs: std::ops::Range<usize>,
}

#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    pub(crate) hash: B256,
    pub(crate) from: Address,
    pub(crate) to: Address,
    pub(crate) operations: Vec<MinedOperation>,
    pub(crate) logs: Vec<Log>,
}

#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) number: u64,
    pub(crate) hash: B256,
    pub(crate) parent: B256,
    pub(crate) timestamp: u64,
    pub(crate) base_fee: U256,
    /// The state at its end.
    pub(crate) world: Arc<World>,
    pub(crate) transactions: Vec<Transaction>,
    pub(crate) executions: Vec<Execution>,
}

impl Block {
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "number": hex(self.number),
            "hash": self.hash,
            "parentHash": self.parent,
            "timestamp": hex(self.timestamp),
            "baseFeePerGas": format!("{:#x}", self.base_fee),
            "gasLimit": "0x1c9c380",
            "gasUsed": "0x0",
            "miner": Address::ZERO,
            "stateRoot": self.hash,
            "transactions": self.transactions.iter().map(|transaction| transaction.hash).collect::<Vec<_>>(),
        })
    }

    /// The logs of one transaction, each with its place.
    pub(crate) fn logs_json(&self, index: usize) -> Vec<Value> {
        let Some(transaction) = self.transactions.get(index) else { return Vec::new() };
        let before = self.transactions.iter().take(index).map(|earlier| earlier.logs.len()).sum::<usize>();
        let logs = transaction.logs.iter().enumerate();
        logs.map(|(at, log)| self.log_json(log, transaction.hash, index, before + at)).collect()
    }

    pub(crate) fn log_json(&self, log: &Log, transaction: B256, index: usize, log_index: usize) -> Value {
        json!({
            "address": log.address,
            "topics": log.topics,
            "data": log.data,
            "blockNumber": hex(self.number),
            "blockHash": self.hash,
            "transactionHash": transaction,
            "transactionIndex": format!("{index:#x}"),
            "logIndex": format!("{log_index:#x}"),
            "removed": false,
        })
    }

    pub(crate) fn receipt_json(&self, index: usize) -> Option<Value> {
        let transaction = self.transactions.get(index)?;
        let gas_used = 21_000 + transaction.operations.iter().map(|op| op.gas_used).sum::<u64>();
        Some(json!({
            "transactionHash": transaction.hash,
            "transactionIndex": format!("{index:#x}"),
            "blockHash": self.hash,
            "blockNumber": hex(self.number),
            "from": transaction.from,
            "to": transaction.to,
            "cumulativeGasUsed": hex(gas_used),
            "gasUsed": hex(gas_used),
            "effectiveGasPrice": format!("{:#x}", self.base_fee),
            "contractAddress": null,
            "logs": self.logs_json(index),
            "logsBloom": format!("0x{:0512}", 0),
            "status": "0x1",
            "type": "0x2",
        }))
    }
}

/// The canonical chain, and the blocks that were taken back.
#[derive(Debug)]
pub(crate) struct History {
    blocks: Vec<Block>,
    orphans: BTreeMap<B256, Block>,
    by_hash: HashMap<B256, u64>,
    /// Block and place of each transaction.
    transactions: HashMap<B256, (u64, usize)>,
    /// Block, transaction and place of each operation.
    operations: HashMap<B256, (u64, usize, usize)>,
}

impl History {
    pub(crate) fn new(genesis: Block) -> Self {
        let by_hash = HashMap::from([(genesis.hash, genesis.number)]);
        Self {
            blocks: vec![genesis],
            orphans: BTreeMap::new(),
            by_hash,
            transactions: HashMap::new(),
            operations: HashMap::new(),
        }
    }

    pub(crate) fn head(&self) -> &Block {
        match self.blocks.last() {
            Some(block) => block,
            None => unreachable!("the genesis block is never taken back"),
        }
    }

    pub(crate) fn block(&self, number: u64) -> Option<&Block> {
        self.blocks.get(usize::try_from(number).ok()?)
    }

    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    pub(crate) fn by_hash(&self, hash: B256) -> Option<&Block> {
        self.block(*self.by_hash.get(&hash)?)
    }

    pub(crate) fn orphan(&self, hash: B256) -> Option<&Block> {
        self.orphans.get(&hash)
    }

    pub(crate) fn transaction(&self, hash: B256) -> Option<(&Block, usize)> {
        let (number, index) = *self.transactions.get(&hash)?;
        Some((self.block(number)?, index))
    }

    pub(crate) fn operation(&self, hash: B256) -> Option<(&Block, usize, &MinedOperation)> {
        let (number, index, at) = *self.operations.get(&hash)?;
        let block = self.block(number)?;
        Some((block, index, block.transactions.get(index)?.operations.get(at)?))
    }

    pub(crate) fn push(&mut self, block: Block) {
        self.by_hash.insert(block.hash, block.number);
        for (index, transaction) in block.transactions.iter().enumerate() {
            self.transactions.insert(transaction.hash, (block.number, index));
            for (at, operation) in transaction.operations.iter().enumerate() {
                self.operations.insert(operation.hash, (block.number, index, at));
            }
        }
        self.blocks.push(block);
    }

    /// Takes back the last block and gives its operations; the genesis block stays.
    pub(crate) fn pop(&mut self) -> Option<Vec<MinedOperation>> {
        if self.blocks.len() < 2 {
            return None;
        }
        let block = self.blocks.pop()?;
        self.by_hash.remove(&block.hash);
        let mut operations = Vec::new();
        for transaction in &block.transactions {
            self.transactions.remove(&transaction.hash);
            for operation in &transaction.operations {
                self.operations.remove(&operation.hash);
                operations.push(operation.clone());
            }
        }
        self.orphans.insert(block.hash, block);
        Some(operations)
    }

    /// Changes the state of every block, as if it had been so from the first on.
    pub(crate) fn edit(&mut self, change: impl Fn(&mut World)) {
        let mut last: Option<(Arc<World>, Arc<World>)> = None;
        for block in self.blocks.iter_mut().chain(self.orphans.values_mut()) {
            // Blocks without transactions share the state of the one before.
            let changed = match &last {
                Some((before, after)) if Arc::ptr_eq(before, &block.world) => Arc::clone(after),
                _ => {
                    let mut world = World::clone(&block.world);
                    change(&mut world);
                    Arc::new(world)
                }
            };
            last = Some((std::mem::replace(&mut block.world, Arc::clone(&changed)), changed));
        }
    }
}
