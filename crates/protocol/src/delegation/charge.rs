use alloy_primitives::{Address, B256, U256, keccak256};
use quorate_core::delegation::{Charge, Counter, CounterKey, Counters};

/// What identifies a charge beside its key. Of what has the same, the chain executes one at most, so that the largest amounts
/// count, once.
///
/// For a user operation of a session it is the operation's nonce. For what redeems delegations it is the keccak-256 of chain,
/// nonce and call data: another fee is the same charge, another execution a further one, since nodes cannot know which of
/// them is mined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChargeId(U256);

impl ChargeId {
    /// The 256 bits.
    pub const fn get(self) -> U256 {
        self.0
    }

    pub(crate) const fn of_operation(nonce: U256) -> Self {
        Self(nonce)
    }

    pub(super) fn of_redemption(chain_id: u64, nonce: U256, call_data: &[u8]) -> Self {
        Self::of_words(&[B256::from(U256::from(chain_id)), B256::from(nonce), keccak256(call_data)])
    }

    pub(super) fn of_redelegation(chain_id: u64, delegation: B256) -> Self {
        Self::of_words(&[B256::from(U256::from(chain_id)), delegation])
    }

    fn of_words(words: &[B256]) -> Self {
        let words: Vec<u8> = words.iter().flat_map(|word| word.0).collect();
        Self(keccak256(words).into())
    }
}

/// What one redemption adds to what an enforcer keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaveatAmount {
    /// To what.
    pub counter: CaveatCounter,
    /// How much, in the counter's own unit: redemptions, wei, or a token's.
    pub amount: U256,
}

/// What an enforcer keeps, as far as it is a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CaveatCounter {
    /// What a delegation was redeemed, spent or streamed in all.
    Total(CounterKey),
    /// What was transferred under a delegation in a period.
    Period {
        /// Whose counter.
        key: CounterKey,
        /// The period, counted from 1.
        period: U256,
    },
    /// Whether an id of a delegator is used.
    Id {
        /// Whose.
        delegator: Address,
        /// The id.
        id: U256,
    },
}

/// What charges add to what was before. Of several charges of one counter, each holds those before it.
pub(super) fn amounts(charges: &[Charge], before: &(impl Counters + ?Sized)) -> Vec<CaveatAmount> {
    let mut amounts = Vec::<CaveatAmount>::new();
    for amount in charges.iter().map(|charge| amount(charge, before)) {
        match amounts.iter_mut().find(|earlier| earlier.counter == amount.counter) {
            Some(earlier) => *earlier = amount,
            None => amounts.push(amount),
        }
    }
    amounts
}

fn amount(charge: &Charge, before: &(impl Counters + ?Sized)) -> CaveatAmount {
    let (key, counter) = match *charge {
        Charge::Id { delegator, id } => {
            return CaveatAmount { counter: CaveatCounter::Id { delegator, id }, amount: U256::ONE };
        }
        Charge::Counter { key, counter } => (key, counter),
    };
    let (counter, after, before) = match counter {
        Counter::Count(after) => (CaveatCounter::Total(key), after, before.count(&key).unwrap_or_default()),
        Counter::Stream(after) => {
            (CaveatCounter::Total(key), after.spent, before.stream(&key).unwrap_or_default().spent)
        }
        Counter::Period(after) => {
            let before = before.period(&key).unwrap_or_default();
            let before = if before.period == after.period { before.transferred } else { U256::ZERO };
            (CaveatCounter::Period { key, period: after.period }, after.transferred, before)
        }
    };
    CaveatAmount { counter, amount: after.saturating_sub(before) }
}
