//! What enforcers read beside the redemption, and what they keep.

use alloy_primitives::{Address, B256, U256};

use super::enforcer::Enforcer;

/// When a redemption is judged, and what was redeemed before.
#[derive(Clone, Copy, Debug)]
pub struct State<'c, C: ?Sized> {
    /// The time of the block, in seconds since 1970.
    pub time: u64,
    /// The number of the block, if it is known.
    pub block: Option<u64>,
    /// What the enforcers have kept.
    pub counters: &'c C,
}

/// What the enforcers have kept for one manager, as far as the caller knows it. `None` is what it does not know: a caveat
/// that depends on it is not judged.
///
/// What was never charged is zero, or the default.
pub trait Counters {
    /// How often a delegation was redeemed ([`LimitedCalls`](Enforcer::LimitedCalls)), or how much was spent under it (the
    /// two `TransferAmount`s).
    fn count(&self, _key: &CounterKey) -> Option<U256> {
        None
    }

    /// What was transferred in a period (the two `PeriodTransfer`s).
    fn period(&self, _key: &CounterKey) -> Option<PeriodAllowance> {
        None
    }

    /// What was taken from a stream (the two `Streaming`s).
    fn stream(&self, _key: &CounterKey) -> Option<StreamAllowance> {
        None
    }

    /// Whether a delegator's id was used ([`Id`](Enforcer::Id)).
    fn is_id_used(&self, _delegator: Address, _id: U256) -> Option<bool> {
        None
    }

    /// The nonce that a delegator is at ([`Nonce`](Enforcer::Nonce)).
    fn nonce(&self, _delegator: Address) -> Option<U256> {
        None
    }

    /// Whether there is an approval that could be taken back ([`ApprovalRevocation`](Enforcer::ApprovalRevocation)).
    fn is_approved(&self, _approval: &Approval) -> Option<bool> {
        None
    }
}

/// Nothing is known of what was redeemed before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unknown;

impl Counters for Unknown {}

/// Nothing was redeemed before, and a function tells the nonces that delegators are at, as far as they are known.
#[derive(Clone, Copy, Debug)]
pub struct Unused<N>(pub N);

impl<N: Fn(Address) -> Option<U256>> Counters for Unused<N> {
    fn count(&self, _: &CounterKey) -> Option<U256> {
        Some(U256::ZERO)
    }

    fn period(&self, _: &CounterKey) -> Option<PeriodAllowance> {
        Some(PeriodAllowance::default())
    }

    fn stream(&self, _: &CounterKey) -> Option<StreamAllowance> {
        Some(StreamAllowance::default())
    }

    fn is_id_used(&self, _: Address, _: U256) -> Option<bool> {
        Some(false)
    }

    fn nonce(&self, delegator: Address) -> Option<U256> {
        self.0(delegator)
    }
}

/// Whose counter: on chain, an enforcer has one for each manager and delegation. Two caveats of one enforcer in a delegation
/// share it, and both count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CounterKey {
    /// The hash of the delegation.
    pub delegation: B256,
    /// The contract.
    pub address: Address,
    /// What the contract is.
    pub enforcer: Enforcer,
}

/// What an enforcer has kept after a redemption. Of several for one counter, the last is its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charge {
    /// What a delegation's counter is now.
    Counter {
        /// Whose.
        key: CounterKey,
        /// This redemption included.
        counter: Counter,
    },
    /// An id, which is used now.
    Id {
        /// Whose.
        delegator: Address,
        /// The id.
        id: U256,
    },
}

/// What an enforcer keeps for a delegation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// See [`Counters::count`].
    Count(U256),
    /// See [`Counters::period`].
    Period(PeriodAllowance),
    /// See [`Counters::stream`].
    Stream(StreamAllowance),
}

/// What a `PeriodTransfer` enforcer keeps: the terms, from its first use on, and the last period in which there was a
/// transfer. Before the first use, all is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeriodAllowance {
    /// The most in a period.
    pub amount: U256,
    /// The length of a period, in seconds.
    pub duration: U256,
    /// When the first one starts, in seconds since 1970.
    pub start: U256,
    /// The period of the last transfer, counted from 1.
    pub period: U256,
    /// What was transferred in it.
    pub transferred: U256,
}

impl PeriodAllowance {
    /// The period of that time, counted from 1; none before the start, or if a period has no duration.
    pub fn period_at(&self, time: u64) -> Option<U256> {
        let elapsed = elapsed(self.start, time)?;
        // It fits 64 bits, so that the general division of 256-bit numbers is not needed.
        let before = match u64::try_from(self.duration) {
            Ok(duration) => elapsed.checked_div(duration)?,
            Err(_) => 0,
        };
        Some(U256::from(before).saturating_add(U256::from(1)))
    }

    /// What can be transferred at that time.
    pub fn available(&self, time: u64) -> U256 {
        match self.period_at(time) {
            None => U256::ZERO,
            Some(period) if period == self.period => self.amount.saturating_sub(self.transferred),
            Some(_) => self.amount,
        }
    }
}

/// What a `Streaming` enforcer keeps: the terms, from the first use that takes something, and what was taken. Before, all is
/// zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamAllowance {
    /// What is there at the start.
    pub initial: U256,
    /// The most in all.
    pub max: U256,
    /// What is added each second.
    pub per_second: U256,
    /// The start, in seconds since 1970.
    pub start: U256,
    /// What was taken.
    pub spent: U256,
}

impl StreamAllowance {
    /// What can be taken at that time; none where the enforcer's arithmetic overflows.
    #[inline(never)]
    pub fn available(&self, time: u64) -> Option<U256> {
        let Some(elapsed) = elapsed(self.start, time) else { return Some(U256::ZERO) };
        let unlocked = times(&self.per_second, elapsed)?.checked_add(self.initial)?;
        Some(unlocked.min(self.max).saturating_sub(self.spent))
    }
}

/// The seconds from a start to a time, if it is not before.
fn elapsed(start: U256, time: u64) -> Option<u64> {
    u64::try_from(start).ok().and_then(|start| time.checked_sub(start))
}

/// The product, if it fits: the general multiplication of 256-bit numbers takes more of a device's flash.
fn times(number: &U256, by: u64) -> Option<U256> {
    let mut limbs = *number.as_limbs();
    let mut carry = 0;
    for limb in &mut limbs {
        let product = u128::from(*limb) * u128::from(by) + carry;
        // The low half, which the mask leaves.
        *limb = u64::try_from(product & u128::from(u64::MAX)).unwrap_or_default();
        carry = product >> 64;
    }
    (carry == 0).then_some(U256::from_limbs(limbs))
}

/// An approval of a delegator's, which [`ApprovalRevocation`](Enforcer::ApprovalRevocation) asks a token for: there is
/// something to be taken back where the answer is not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Approval {
    /// `allowance(owner, spender)`.
    Allowance {
        /// The token.
        token: Address,
        /// The delegator of the delegation that has the caveat, even where another one is the root's.
        owner: Address,
        /// Who may spend.
        spender: Address,
    },
    /// `getApproved(id)`.
    Token {
        /// The token's contract.
        token: Address,
        /// Its number.
        id: U256,
    },
    /// `isApprovedForAll(owner, operator)`.
    Operator {
        /// The token's contract.
        token: Address,
        /// The delegator of the delegation that has the caveat, even where another one is the root's.
        owner: Address,
        /// Who may act for it.
        operator: Address,
    },
}
