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
#[non_exhaustive]
pub enum Charge {
    /// Of [`Counters::count`].
    Count {
        /// Whose.
        key: CounterKey,
        /// The calls or the amount until now, this one included.
        total: U256,
    },
    /// Of [`Counters::period`].
    Period {
        /// Whose.
        key: CounterKey,
        /// What it is now.
        allowance: PeriodAllowance,
    },
    /// Of [`Counters::stream`].
    Stream {
        /// Whose.
        key: CounterKey,
        /// What it is now.
        allowance: StreamAllowance,
    },
    /// Of [`Counters::is_id_used`].
    Id {
        /// Whose.
        delegator: Address,
        /// The id, which is used now.
        id: U256,
    },
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
        let elapsed = U256::from(time).checked_sub(self.start)?;
        // What has elapsed fits 64 bits, so that the general division of 256-bit numbers is not needed.
        let elapsed = u64::try_from(elapsed).ok()?;
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
    pub fn available(&self, time: u64) -> Option<U256> {
        let Some(elapsed) = U256::from(time).checked_sub(self.start) else { return Some(U256::ZERO) };
        let unlocked = self.per_second.checked_mul(elapsed)?.checked_add(self.initial)?;
        Some(unlocked.min(self.max).saturating_sub(self.spent))
    }
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
