//! User operations of an account that the key owns, at EntryPoint v0.7.

use alloy_primitives::{Address, B256, U256, hex};
use async_trait::async_trait;
use quorate_bundler::{
    Bundler, BundlerError, EntryPointCode, EntryPointLogs, FeeAdvice, PackedGasEstimate,
    SignedPackedOperation,
};
use quorate_contracts::EntryPoint;
use quorate_core::{EntryPointVersion, Initialization, Paymaster, UnpackedUserOperation};
use quorate_paymaster::Erc7677;
use quorate_protocol::{AccountOperation, Subject};

use super::carrier::{Carrier, Draft, Fees, Gas, OnChain, Quote};
use super::signed::Signed;
use super::{GAS, RedeemError};
use crate::HybridAccount;
use crate::chain::{Chain, Receipt};

/// User operations of a key's account, which hands what it is called with on to its manager.
#[derive(Debug)]
pub(super) struct Operations {
    pub(super) chain: Chain,
    pub(super) bundler: Bundler,
    pub(super) paymaster: Option<Erc7677>,
    pub(super) chain_id: u64,
    pub(super) account: HybridAccount,
    pub(super) manager: Address,
}

/// A signature of the right form, for estimates.
const DUMMY_SIGNATURE: [u8; 65] = hex!(
    "fffffffffffffffffffffffffffffff0000000000000000000000000000000007aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1c"
);

/// A stream that nothing is sent in.
const UNUSED_STREAM: u64 = u64::MAX;

#[async_trait]
impl Carrier for Operations {
    fn caller(&self) -> Address {
        self.account.address()
    }

    /// What it has at the entry point pays first; what an operation leaves of its price goes there.
    async fn balance(&self) -> Result<U256, RedeemError> {
        let account = self.account.address();
        let (balance, deposit) = tokio::try_join!(
            async { Ok(self.chain.balance(account).await?) },
            self.chain.read(ENTRY_POINT, EntryPoint::balanceOfCall { account }),
        )?;
        Ok(balance.saturating_add(deposit))
    }

    fn unpriced(&self, data: Vec<u8>) -> Draft {
        let paymaster = self.paymaster.as_ref().map(Erc7677::paymaster);
        let paymaster = paymaster.map(|paymaster| Paymaster { paymaster, ..Paymaster::default() });
        Draft { data, paymaster, ..Draft::default() }
    }

    fn subject(&self, draft: &Draft) -> Subject {
        Subject::AccountOperation(self.operation(draft))
    }

    /// A paymaster signs over all that the key signs, with the nonce.
    async fn complete(&self, draft: &Draft) -> Result<Draft, RedeemError> {
        let (Some(service), Some(stub)) = (&self.paymaster, &draft.paymaster) else {
            return Ok(draft.clone());
        };
        let operation = self.operation(draft).operation;
        let paymaster = service.packed_data(&operation, stub, self.chain_id).await?;
        Ok(Draft { paymaster: Some(paymaster), ..draft.clone() })
    }

    async fn quote(&self, data: &[u8]) -> Result<Quote, RedeemError> {
        let account = self.account.address();
        let (chain_price, advice, reverts, balance, code) = tokio::try_join!(
            async { Ok(self.chain.price().await?) },
            async { Ok(self.bundler.fees().await?) },
            async { Ok(self.chain.gas(account, self.manager, data).await?.err()) },
            self.balance(),
            async { Ok(self.chain.code(account).await?) },
        )?;
        let base = chain_price.base;
        let fees = match advice {
            Some(FeeAdvice::Fees(fees)) => Fees {
                fee: fees.max_fee_per_gas.saturating_to(),
                tip: fees.max_priority_fee_per_gas.saturating_to(),
            },
            Some(FeeAdvice::Priority(tip)) => Fees::above(base, tip.saturating_to()),
            None => Fees::above(base, chain_price.tip),
        };
        let price = base.saturating_add(fees.tip);
        let deploys = code.is_empty();
        // In a stream that nothing is sent in: the first operation of a stream takes the most gas.
        let nonce = U256::from(UNUSED_STREAM) << 64;
        let mut draft =
            Draft { nonce, data: data.to_vec(), gas: Gas::default(), fees, deploys, paymaster: None };
        let gas = match reverts {
            Some(revert) => Err(revert),
            None => Ok(self.estimate(&mut draft).await?),
        };
        let block = chain_price.block;
        Ok(Quote { block, price, fees, gas, balance, deploys, paymaster: draft.paymaster })
    }

    /// Each stream has an order of its own, so that no operation waits for another.
    async fn nonce(&self, taken: Option<U256>) -> Result<U256, RedeemError> {
        self.next_in(taken.map_or(U256::ZERO, |taken| (taken >> 64) + U256::ONE)).await
    }

    fn is_in_order(&self) -> bool {
        false
    }

    async fn is_used(&self, nonce: U256) -> Result<bool, RedeemError> {
        Ok(nonce < self.next_in(nonce >> 64).await?)
    }

    fn hash(&self, signed: &Signed) -> B256 {
        match &signed.subject {
            Subject::AccountOperation(message) => message.operation.hash_v0_7(ENTRY_POINT, self.chain_id),
            _ => B256::ZERO,
        }
    }

    async fn send(&self, signed: &Signed) -> Result<(), RedeemError> {
        let Some(operation) = sent(signed) else { return Ok(()) };
        match self.bundler.send_user_operation(&operation, ENTRY_POINT, self.chain_id, None).await {
            Ok(_) => Ok(()),
            // It is sent again when there may be room. A nonce that is used the bundler may know before the node does.
            Err(error) if error.is_full_pool() || is_rejected_by(&error, EntryPointCode::AA25) => Ok(()),
            // What a bundler says of an operation that is in a block depends on what that has changed.
            Err(error @ BundlerError::Rejected { .. })
                if !self.is_used(operation.operation.nonce).await? =>
            {
                Err(error.into())
            }
            Err(BundlerError::Rejected { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn receipt(&self, signed: &Signed) -> Result<Option<Receipt>, RedeemError> {
        let receipt = self.bundler.user_operation_receipt(self.hash(signed)).await?;
        Ok(receipt.map(Receipt::from))
    }

    /// Also where the bundler has forgotten it, or never had it.
    async fn receipt_on_chain(&self, signed: &Signed) -> Result<OnChain, RedeemError> {
        if let Ok(Some(receipt)) = self.receipt(signed).await {
            return Ok(OnChain::In(receipt));
        }
        let logs = EntryPointLogs { node: &*self.chain.0, address: ENTRY_POINT };
        let (account, hash) = (self.account.address(), self.hash(signed));
        let from = signed.block.saturating_sub(REORGANISED);
        let events = logs.events_in(account, Some(hash), from, self.chain.block().await?).await?;
        let Some(events) = events else { return Ok(OnChain::Unknown) };
        Ok(events.into_iter().next().map_or(OnChain::Nowhere, |event| OnChain::In(event.into())))
    }
}

impl Operations {
    fn operation(&self, draft: &Draft) -> AccountOperation {
        let Draft { nonce, data, gas, fees, deploys, paymaster } = draft.clone();
        let init = match deploys {
            true => {
                Initialization::Factory { factory: self.account.factory(), data: self.account.factory_data() }
            }
            false => Initialization::Deployed,
        };
        let operation = UnpackedUserOperation {
            sender: self.account.address(),
            nonce,
            init,
            call_data: data,
            call_gas_limit: gas.call,
            verification_gas_limit: gas.verification,
            pre_verification_gas: gas.pre_verification,
            max_fee_per_gas: fees.fee,
            max_priority_fee_per_gas: fees.tip,
            paymaster,
        };
        AccountOperation { operation: operation.pack(), entry_point: ENTRY_POINT, chain_id: self.chain_id }
    }

    /// What an operation takes, and who pays for it.
    async fn estimate(&self, draft: &mut Draft) -> Result<Gas, RedeemError> {
        let Some(service) = &self.paymaster else { return Ok(self.estimate_of(draft).await?.0) };
        let stub = service.packed_stub(&self.operation(draft).operation, self.chain_id).await?;
        draft.paymaster = Some(stub.unestimated());
        let (gas, estimate) = self.estimate_of(draft).await?;
        let reserved = |limit: Option<U256>| limit.map(with_reserve).map(U256::from);
        let verification = reserved(estimate.paymaster_verification_gas_limit);
        let post_op = reserved(estimate.paymaster_post_op_gas_limit);
        draft.paymaster = Some(stub.estimated(verification, post_op)?);
        Ok(gas)
    }

    async fn estimate_of(&self, draft: &Draft) -> Result<(Gas, PackedGasEstimate), BundlerError> {
        let estimated = self.ask_for_estimate(draft).await;
        let estimate = match estimated {
            // Who cannot pay for it is told so by its price, and not by the bundler.
            Err(error) if is_rejected_by(&error, EntryPointCode::AA21) => {
                self.ask_for_estimate(&Draft { fees: Fees::default(), ..draft.clone() }).await?
            }
            estimated => estimated?,
        };
        let gas = Gas {
            call: with_reserve(estimate.gas.call_gas_limit),
            verification: with_reserve(estimate.gas.verification_gas_limit),
            pre_verification: U256::from(with_reserve(estimate.gas.pre_verification_gas)),
        };
        Ok((gas, estimate))
    }

    async fn ask_for_estimate(&self, draft: &Draft) -> Result<PackedGasEstimate, BundlerError> {
        let operation = SignedPackedOperation {
            operation: self.operation(draft).operation,
            signature: DUMMY_SIGNATURE.to_vec(),
        };
        self.bundler.estimate_user_operation_gas(&operation, ENTRY_POINT, None).await
    }

    async fn next_in(&self, stream: U256) -> Result<U256, RedeemError> {
        let call = EntryPoint::getNonceCall { sender: self.account.address(), key: stream.saturating_to() };
        self.chain.read(ENTRY_POINT, call).await
    }
}

const ENTRY_POINT: Address = EntryPointVersion::V0_7.address();

/// So many blocks may be made anew, so that an operation is looked for in as many before it was signed.
const REORGANISED: u64 = 64;

fn with_reserve(gas: U256) -> u128 {
    gas.saturating_to::<u128>().saturating_mul(GAS) / 100
}

/// As it is sent; none for what is no operation, which this carrier has none of.
fn sent(signed: &Signed) -> Option<SignedPackedOperation> {
    let Subject::AccountOperation(message) = &signed.subject else { return None };
    let signature = signed.signature.as_bytes().to_vec();
    Some(SignedPackedOperation { operation: message.operation.clone(), signature })
}

fn is_rejected_by(error: &BundlerError, code: EntryPointCode) -> bool {
    matches!(error, BundlerError::Rejected { entry_point_code, .. } if *entry_point_code == Some(code))
}
