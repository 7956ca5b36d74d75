use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, Bytes, U256};
use quorate_transport::{HttpTransport, TransportExt};
use serde::Deserialize;
use serde_json::json;

use crate::place::PlaceError;

/// Enough for every transaction of this crate, given so that the chain need not estimate: an estimate would not see
/// the transactions that wait.
const GAS: U256 = U256::from_limbs([8_000_000, 0, 0, 0]);
const RECEIPT_DEADLINE: Duration = Duration::from_secs(120);
const RECEIPT_POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Sends transactions from an account that the chain signs for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transactor<'a> {
    chain: &'a HttpTransport,
    from: Address,
}

/// A transaction that was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    hash: B256,
    to: Address,
}

impl<'a> Transactor<'a> {
    pub(crate) fn new(chain: &'a HttpTransport, from: Address) -> Self {
        Self { chain, from }
    }

    pub(crate) fn chain(&self) -> &'a HttpTransport {
        self.chain
    }

    pub(crate) fn from(&self) -> Address {
        self.from
    }

    /// Sends a transaction and does not wait for it. Those of one sender are executed in the order of sending.
    pub(crate) async fn send(&self, to: Address, data: &Bytes, wei: U256) -> Result<Sent, PlaceError> {
        let transaction = json!({ "from": self.from, "to": to, "data": data, "value": wei, "gas": GAS });
        let hash = self.chain.call_once("eth_sendTransaction", (transaction,)).await?;
        Ok(Sent { hash, to })
    }

    /// Waits until a transaction is mined.
    pub(crate) async fn confirm(&self, Sent { hash, to }: Sent) -> Result<(), PlaceError> {
        let start = Instant::now();
        while start.elapsed() < RECEIPT_DEADLINE {
            let receipt: Option<Receipt> = self.chain.call("eth_getTransactionReceipt", (hash,)).await?;
            match receipt {
                Some(receipt) if receipt.status.is_zero() => return Err(PlaceError::Reverted { hash, to }),
                Some(_) => return Ok(()),
                None => tokio::time::sleep(RECEIPT_POLL_INTERVAL).await,
            }
        }
        Err(PlaceError::NotMined { hash, to })
    }

    /// Sends a transaction and waits until it is mined.
    pub(crate) async fn transact(&self, to: Address, data: &Bytes) -> Result<(), PlaceError> {
        let sent = self.send(to, data, U256::ZERO).await?;
        self.confirm(sent).await
    }
}

#[derive(Deserialize)]
struct Receipt {
    status: U256,
}
