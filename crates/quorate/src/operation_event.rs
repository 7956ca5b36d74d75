//! What the entry point writes of operations, and which events of a bundle are one operation's own.

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use alloy_sol_types::{SolEvent as _, sol};
use quorate_contracts::EntryPoint;
use serde::{Deserialize, Serialize};

sol! {
    /// EntryPoint v0.6: all operations of the bundle are validated, and their calls come next.
    event BeforeExecution();
}

/// An operation's event, as the entry point wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OperationEvent {
    pub(crate) user_op_hash: B256,
    pub(crate) sender: Address,
    pub(crate) paymaster: Address,
    pub(crate) nonce: U256,
    pub(crate) success: bool,
    pub(crate) actual_gas_cost: U256,
    pub(crate) actual_gas_used: U256,
    pub(crate) transaction_hash: B256,
    pub(crate) block: u64,
    /// Its block, where its transaction's receipt was read.
    pub(crate) block_hash: Option<B256>,
    /// What its calls wrote, and its own event; empty where its transaction's receipt was not read.
    pub(crate) logs: Vec<quorate_bundler::Log>,
}

/// A transaction's receipt.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Receipt {
    block_number: U64,
    #[serde(default)]
    block_hash: Option<B256>,
    #[serde(default)]
    logs: Vec<Log>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Log {
    address: Address,
    topics: Vec<B256>,
    data: Bytes,
    pub(crate) transaction_hash: Option<B256>,
    pub(crate) block_number: Option<U64>,
}

impl Receipt {
    /// The operations of a transaction. The entry point writes the event of each after those of its calls, and one event of
    /// its own before the first of them.
    pub(crate) fn operation_events(
        &self,
        transaction_hash: B256,
        entry_point: Address,
    ) -> Vec<OperationEvent> {
        let mut events = Vec::new();
        let mut own_logs = Vec::new();
        for log in &self.logs {
            let is_entry_point_s = log.address == entry_point;
            if is_entry_point_s && log.topics.first() == Some(&BeforeExecution::SIGNATURE_HASH) {
                own_logs.clear();
                continue;
            }
            own_logs.push(log.to_bundler_s());
            if let Some(event) = OperationEvent::read(log, transaction_hash, self.block_number.to())
                && is_entry_point_s
            {
                let logs = std::mem::take(&mut own_logs);
                events.push(OperationEvent { block_hash: self.block_hash, logs, ..event });
            }
        }
        events
    }
}

impl OperationEvent {
    /// Reads an event's log; none where it is another's.
    pub(crate) fn read(log: &Log, transaction_hash: B256, block: u64) -> Option<Self> {
        let event =
            EntryPoint::UserOperationEvent::decode_raw_log(log.topics.iter().copied(), &log.data).ok()?;
        Some(Self {
            user_op_hash: event.userOpHash,
            sender: event.sender,
            paymaster: event.paymaster,
            nonce: event.nonce,
            success: event.success,
            actual_gas_cost: event.actualGasCost,
            actual_gas_used: event.actualGasUsed,
            transaction_hash,
            block,
            block_hash: None,
            logs: Vec::new(),
        })
    }
}

impl Log {
    fn to_bundler_s(&self) -> quorate_bundler::Log {
        let Self { address, topics, data, .. } = self;
        quorate_bundler::Log { address: *address, topics: topics.clone(), data: data.clone() }
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::hex;

    use super::*;

    const ENTRY_POINT: Address = Address::repeat_byte(0xee);

    fn log(address: Address, topics: Vec<B256>, data: Vec<u8>) -> Log {
        Log { address, topics, data: data.into(), transaction_hash: None, block_number: None }
    }

    fn of_operation(number: u8) -> Log {
        let event = EntryPoint::UserOperationEvent {
            userOpHash: B256::repeat_byte(number),
            sender: Address::repeat_byte(number),
            paymaster: Address::ZERO,
            nonce: U256::ZERO,
            success: true,
            actualGasCost: U256::from(5),
            actualGasUsed: U256::from(4),
        };
        let data = event.encode_log_data();
        log(ENTRY_POINT, data.topics().to_vec(), data.data.to_vec())
    }

    #[test]
    fn each_operation_of_a_bundle_has_its_own_logs() {
        let call =
            |number: u8| log(Address::repeat_byte(number), vec![B256::repeat_byte(number)], vec![number]);
        let imitated = Log { address: Address::repeat_byte(9), ..of_operation(1) };
        let before = log(ENTRY_POINT, vec![BeforeExecution::SIGNATURE_HASH], Vec::new());
        let logs =
            vec![call(7), before, call(1), imitated, of_operation(1), call(2), call(3), of_operation(2)];
        let receipt = Receipt { block_number: U64::from(8), block_hash: Some(B256::repeat_byte(5)), logs };
        let events = receipt.operation_events(B256::repeat_byte(6), ENTRY_POINT);
        let of = |event: &OperationEvent| {
            let first = |log: &quorate_bundler::Log| hex::encode(&log.address[..1]);
            (event.user_op_hash, event.logs.iter().map(first).collect::<Vec<_>>().join(" "))
        };
        let expected =
            [(B256::repeat_byte(1), "01 09 ee".to_owned()), (B256::repeat_byte(2), "02 03 ee".to_owned())];
        assert_eq!(events.iter().map(of).collect::<Vec<_>>(), expected);
        assert_eq!((events[0].block, events[0].block_hash), (8, Some(B256::repeat_byte(5))));
    }
}
