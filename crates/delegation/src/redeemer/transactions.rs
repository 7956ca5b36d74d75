//! Transactions of the key, which pays for their gas.

use alloy_primitives::{Address, B256, U256, keccak256};
use async_trait::async_trait;
use quorate_core::{Encode as _, SignedTransaction, Transaction};
use quorate_protocol::Subject;

use super::carrier::{Carrier, Draft, Fees, Gas, Quote};
use super::signed::Signed;
use super::{GAS, RedeemError};
use crate::chain::{Chain, Receipt};

/// Transactions of a key to a manager.
#[derive(Debug)]
pub(super) struct Transactions {
    pub(super) chain: Chain,
    pub(super) chain_id: u64,
    pub(super) key: Address,
    pub(super) manager: Address,
}

#[async_trait]
impl Carrier for Transactions {
    fn caller(&self) -> Address {
        self.key
    }

    async fn balance(&self) -> Result<U256, RedeemError> {
        Ok(self.chain.balance(self.key).await?)
    }

    fn subject(&self, draft: &Draft) -> Subject {
        Subject::Transaction(Transaction {
            chain_id: self.chain_id,
            nonce: draft.nonce.saturating_to(),
            max_priority_fee_per_gas: draft.fees.tip,
            max_fee_per_gas: draft.fees.fee,
            gas_limit: u64::try_from(draft.gas.call).unwrap_or(u64::MAX),
            to: self.manager,
            value: U256::ZERO,
            data: draft.data.clone(),
        })
    }

    async fn quote(&self, data: &[u8]) -> Result<Quote, RedeemError> {
        let (price, gas, balance) = tokio::try_join!(
            self.chain.price(),
            self.chain.gas(self.key, self.manager, data),
            self.chain.balance(self.key),
        )?;
        Ok(Quote {
            block: price.block,
            price: price.base.saturating_add(price.tip),
            fees: Fees::above(price.base, price.tip),
            gas: gas.map(|gas| Gas { call: u128::from(gas) * GAS / 100, ..Gas::default() }),
            balance,
            deploys: false,
            paymaster: None,
        })
    }

    async fn nonce(&self, taken: Option<U256>) -> Result<U256, RedeemError> {
        match taken {
            // Whatever is pending by now: a gap would hold up all after it.
            Some(taken) => Ok(taken + U256::ONE),
            None => Ok(U256::from(self.chain.transaction_count(self.key, "pending").await?)),
        }
    }

    fn is_in_order(&self) -> bool {
        true
    }

    async fn is_used(&self, nonce: U256) -> Result<bool, RedeemError> {
        Ok(nonce < U256::from(self.chain.transaction_count(self.key, "latest").await?))
    }

    fn hash(&self, signed: &Signed) -> B256 {
        keccak256(encoded(signed))
    }

    async fn send(&self, signed: &Signed) -> Result<(), RedeemError> {
        self.chain.send(&encoded(signed)).await
    }

    async fn receipt(&self, signed: &Signed) -> Result<Option<Receipt>, RedeemError> {
        Ok(self.chain.receipt(self.hash(signed)).await?)
    }
}

/// As it is sent; empty for what is no transaction, which this carrier has none of.
fn encoded(signed: &Signed) -> Vec<u8> {
    let Subject::Transaction(transaction) = &signed.subject else { return Vec::new() };
    let signature = &signed.signature;
    let (y_parity, r, s) = (signature.v(), signature.r(), signature.s());
    SignedTransaction { transaction: transaction.clone(), y_parity, r, s }.to_vec()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use quorate_transport::{Repeat, Transport, TransportError};
    use serde_json::{Value, json};

    use super::*;

    /// A node that has one transaction more each time that it is asked.
    #[derive(Debug, Default)]
    struct Busy(AtomicU64);

    #[async_trait]
    impl Transport for Busy {
        async fn request(&self, _: &str, _: Value, _: Repeat) -> Result<Value, TransportError> {
            Ok(json!(format!("{:#x}", self.0.fetch_add(1, Ordering::Relaxed))))
        }
    }

    #[tokio::test]
    async fn the_nonce_after_one_that_is_taken_leaves_no_gap() {
        let chain = Chain(Arc::new(Busy::default()));
        let (key, manager) = (Address::ZERO, Address::ZERO);
        let transactions = Transactions { chain, chain_id: 1, key, manager };
        let first = transactions.nonce(None).await.unwrap();
        assert_eq!(transactions.nonce(Some(first)).await.unwrap(), first + U256::ONE);
    }
}
