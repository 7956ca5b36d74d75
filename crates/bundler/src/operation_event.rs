//! What the entry point writes of operations, as a chain's node has it, and which events of a bundle are one operation's own.

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use alloy_sol_types::{SolEvent as _, sol};
use quorate_contracts::EntryPoint;
use quorate_transport::{Transport, TransportError, TransportExt as _};
use serde::{Deserialize, Serialize};
use serde_json::json;

sol! {
    /// EntryPoint v0.6: all operations of the bundle are validated, and their calls come next.
    event BeforeExecution();
}

/// How an operation ended, as the entry point wrote it: the same at v0.6 and later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationEvent {
    /// The operation's hash at the entry point.
    pub user_op_hash: B256,
    /// The account.
    pub sender: Address,
    /// Who paid; zero where the account did.
    pub paymaster: Address,
    /// The operation's nonce.
    pub nonce: U256,
    /// Whether its call went through; where not, the fee is paid all the same.
    pub success: bool,
    /// What was paid, in wei.
    pub actual_gas_cost: U256,
    /// What was used, in gas.
    pub actual_gas_used: U256,
    /// The transaction that carried it.
    pub transaction_hash: B256,
    /// Its block's number.
    pub block: u64,
    /// Its block, where its transaction's receipt was read.
    pub block_hash: Option<B256>,
    /// What its calls wrote, and its own event; empty where its transaction's receipt was not read.
    pub logs: Vec<crate::Log>,
}

/// An entry point's logs at a chain's node, which outlive what bundlers remember.
#[derive(Clone, Copy, Debug)]
pub struct EntryPointLogs<'a> {
    /// The node.
    pub node: &'a dyn Transport,
    /// The entry point.
    pub address: Address,
}

/// A range of 1 to 2^63 blocks is halved no more often.
const MOST_LOG_REQUESTS: u32 = 64;

impl EntryPointLogs<'_> {
    /// The events of an account's operations in these blocks, and of one of them alone where its hash is given; none
    /// where the node does not look so far back.
    ///
    /// # Errors
    /// The node does not answer, or with something else.
    pub async fn events_in(
        &self,
        account: Address,
        user_op_hash: Option<B256>,
        from: u64,
        to: u64,
    ) -> Result<Option<Vec<OperationEvent>>, TransportError> {
        let mut events = Vec::new();
        let mut pages = vec![(from, to)];
        let mut requests = 0;
        while let Some((from, to)) = pages.pop() {
            requests += 1;
            if requests > MOST_LOG_REQUESTS {
                return Ok(None);
            }
            let filter = json!({
                "address": self.address,
                "topics": [EntryPoint::UserOperationEvent::SIGNATURE_HASH, user_op_hash, account.into_word()],
                "fromBlock": format!("{from:#x}"),
                "toBlock": format!("{to:#x}"),
            });
            match self.node.call::<Vec<Log>>("eth_getLogs", (filter,)).await {
                Ok(logs) => events.extend(logs.iter().filter_map(|log| {
                    let (transaction, block) = (log.transaction_hash?, log.block_number?);
                    OperationEvent::read(log, transaction, block.to())
                })),
                // The range is too large for the node.
                Err(TransportError::Rpc { .. } | TransportError::Http { .. }) if to > from => {
                    let middle = from + (to - from) / 2;
                    pages.extend([(middle + 1, to), (from, middle)]);
                }
                Err(TransportError::Rpc { .. }) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(events))
    }

    /// What a transaction says of operations; nothing while it is in no block that the node knows.
    ///
    /// # Errors
    /// The node does not answer, or with something else.
    pub async fn events_of(&self, transaction: B256) -> Result<Vec<OperationEvent>, TransportError> {
        let receipt: Option<Receipt> = self.node.call("eth_getTransactionReceipt", (transaction,)).await?;
        let Some(receipt) = receipt else { return Ok(Vec::new()) };
        Ok(receipt.operation_events(transaction, self.address))
    }
}

/// A transaction's receipt.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Receipt {
    block_number: U64,
    #[serde(default)]
    block_hash: Option<B256>,
    #[serde(default)]
    logs: Vec<Log>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Log {
    address: Address,
    topics: Vec<B256>,
    data: Bytes,
    transaction_hash: Option<B256>,
    block_number: Option<U64>,
}

impl Receipt {
    /// The operations of a transaction. The entry point writes the event of each after those of its calls, and one event of
    /// its own before the first of them.
    fn operation_events(&self, transaction_hash: B256, entry_point: Address) -> Vec<OperationEvent> {
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
    fn read(log: &Log, transaction_hash: B256, block: u64) -> Option<Self> {
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
    fn to_bundler_s(&self) -> crate::Log {
        let Self { address, topics, data, .. } = self;
        crate::Log { address: *address, topics: topics.clone(), data: data.clone() }
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
            let first = |log: &crate::Log| hex::encode(&log.address[..1]);
            (event.user_op_hash, event.logs.iter().map(first).collect::<Vec<_>>().join(" "))
        };
        let expected =
            [(B256::repeat_byte(1), "01 09 ee".to_owned()), (B256::repeat_byte(2), "02 03 ee".to_owned())];
        assert_eq!(events.iter().map(of).collect::<Vec<_>>(), expected);
        assert_eq!((events[0].block, events[0].block_hash), (8, Some(B256::repeat_byte(5))));
    }
}
