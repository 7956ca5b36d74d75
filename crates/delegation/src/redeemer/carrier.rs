//! What carries a call to the delegation manager.

use std::fmt::Debug;

use alloy_primitives::{Address, B256, Bytes, U256};
use async_trait::async_trait;
use quorate_core::Paymaster;
use quorate_protocol::Subject;

use super::signed::Signed;
use super::{Receipt, RedeemError};

/// How calls get to the manager: by transactions of the key, or by user operations of its account.
#[async_trait]
pub(super) trait Carrier: Debug + Send + Sync {
    /// The address that calls the manager: the key, or its account.
    fn caller(&self) -> Address;

    /// What the caller has for gas, in wei.
    async fn balance(&self) -> Result<U256, RedeemError>;

    /// A call of the manager with nothing that costs, to be judged before anybody is asked.
    fn unpriced(&self, data: Vec<u8>) -> Draft {
        Draft { data, ..Draft::default() }
    }

    /// What is signed for it.
    fn subject(&self, draft: &Draft) -> Subject;

    /// The same with all that others have to say of it before it is signed.
    async fn complete(&self, draft: &Draft) -> Result<Draft, RedeemError> {
        Ok(draft.clone())
    }

    /// What the chain says of a call of the manager before it is signed, asked all at once.
    async fn quote(&self, data: &[u8]) -> Result<Quote, RedeemError>;

    /// The first nonce to try, or the one after another that is taken.
    async fn nonce(&self, taken: Option<U256>) -> Result<U256, RedeemError>;

    /// Whether the chain takes them in the order of their nonces, so that one that is lost holds up those after it.
    fn is_in_order(&self) -> bool;

    /// Whether something with this nonce is in a block.
    async fn is_used(&self, nonce: U256) -> Result<bool, RedeemError>;

    /// The hash by which it is known where it is sent to.
    fn hash(&self, signed: &Signed) -> B256;

    /// Sends it. That it is there already, or its nonce is used, is no error. Where a bundler gives [`BundlerError::Rejected`], and no
    /// conflict with another of the same nonce, it gets into no block as it is.
    ///
    /// [`BundlerError::Rejected`]: quorate_bundler::BundlerError::Rejected
    async fn send(&self, signed: &Signed) -> Result<(), RedeemError>;

    /// What became of it; none while it is in no block.
    async fn receipt(&self, signed: &Signed) -> Result<Option<Receipt>, RedeemError>;

    /// The same once its nonce is used, by the chain itself.
    async fn receipt_on_chain(&self, signed: &Signed) -> Result<OnChain, RedeemError> {
        Ok(self.receipt(signed).await?.map_or(OnChain::Nowhere, OnChain::In))
    }
}

/// What a chain says of something whose nonce is used.
#[derive(Debug)]
pub(super) enum OnChain {
    /// It is in a block.
    In(Receipt),
    /// It is in no block.
    Nowhere,
    /// The node does not look so far back.
    Unknown,
}

/// A call of the manager, and how it is sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    pub(super) nonce: U256,
    pub(super) data: Vec<u8>,
    pub(super) gas: Gas,
    pub(super) fees: Fees,
    /// Whether the caller is an account that has to be deployed first.
    pub(super) deploys: bool,
    /// Who pays instead of the caller.
    pub(super) paymaster: Option<Paymaster<Vec<u8>>>,
}

/// Limits of gas. A transaction has one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gas {
    pub(super) call: u128,
    pub(super) verification: u128,
    pub(super) pre_verification: U256,
}

impl Gas {
    pub(super) fn total(self) -> U256 {
        let limits = U256::from(self.call.saturating_add(self.verification));
        limits.saturating_add(self.pre_verification)
    }
}

/// What one gas may cost, in wei.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fees {
    /// In all.
    pub(super) fee: u128,
    /// To the block's builder.
    pub(super) tip: u128,
}

impl Fees {
    /// As nodes and bundlers want those of a replacement to be: a tenth higher.
    pub(super) const fn raised(self) -> Self {
        const fn raised(fee: u128) -> u128 {
            fee.saturating_mul(BUMP).div_ceil(100)
        }
        Self { fee: raised(self.fee), tip: raised(self.tip) }
    }

    /// Good for some blocks above a base fee.
    pub(super) const fn above(base: u128, tip: u128) -> Self {
        Self { fee: base.saturating_mul(2).saturating_add(tip), tip }
    }

    pub(super) fn at_least(self, other: Self) -> Self {
        Self { fee: self.fee.max(other.fee), tip: self.tip.max(other.tip) }
    }
}

/// By how much the fees of a replacement are to be higher, in hundredths.
const BUMP: u128 = 110;

/// What the chain says of a call before it is signed.
#[derive(Debug)]
pub(super) struct Quote {
    /// What one gas costs now, in wei.
    pub(super) price: u128,
    /// What is good for some blocks.
    pub(super) fees: Fees,
    /// The newest block's number.
    pub(super) block: u64,
    /// What it takes; the revert's data where it would revert.
    pub(super) gas: Result<Gas, Bytes>,
    /// What the caller has for gas, in wei.
    pub(super) balance: U256,
    /// Whether the caller is an account that has to be deployed first.
    pub(super) deploys: bool,
    /// Who pays instead of the caller, with a stub of its data.
    pub(super) paymaster: Option<Paymaster<Vec<u8>>>,
}
