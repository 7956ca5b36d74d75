use alloy_primitives::{Address, B256, U256, hex, keccak256};
use quorate_core::delegation::{
    CaveatPlace, Charge, Context, Counter, CounterKey, Enforcer, Forbidden, Reason,
};

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

/// What one redemption adds to what an enforcer keeps, which its caveat limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaveatAmount {
    /// To what.
    pub counter: CaveatCounter,
    /// How much, in the counter's own unit: redemptions, wei, or a token's.
    pub amount: U256,
    /// The most that it may come to at the time of the redemption.
    pub limit: U256,
    /// What the chain says of more.
    pub beyond: Forbidden,
}

/// What an enforcer keeps, as far as it is a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CaveatCounter {
    /// What a delegation was redeemed, spent or streamed in all.
    Total {
        /// The delegation's hash.
        delegation: B256,
        /// The contract.
        enforcer: Address,
    },
    /// What was transferred under a delegation in a period.
    Period {
        /// The delegation's hash.
        delegation: B256,
        /// The contract.
        enforcer: Address,
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

impl std::fmt::Display for CaveatCounter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Total { delegation, enforcer } => {
                write!(f, "total that {enforcer} keeps of delegation {}", short(delegation))
            }
            Self::Period { delegation, enforcer, period } => {
                write!(
                    f,
                    "total that {enforcer} keeps of period {period} of delegation {}",
                    short(delegation)
                )
            }
            Self::Id { delegator, id } => write!(f, "number of uses of id {id} of {delegator}"),
        }
    }
}

/// Enough of a hash to tell the delegations of a context apart.
fn short(hash: &B256) -> String {
    let first = hash.first_chunk::<4>().copied().unwrap_or_default();
    format!("{}…", hex::encode_prefixed(first))
}

/// What charges of a first redemption come to, which they are in the order in which caveats are enforced. Of several of one counter,
/// each holds those before it.
pub(super) fn amounts(
    charges: &[(CaveatPlace, Charge)],
    context: Context<'_>,
    now: u64,
) -> Vec<CaveatAmount> {
    let mut amounts = Vec::<CaveatAmount>::new();
    for (place, charge) in charges {
        let terms = context
            .get(place.delegation)
            .and_then(|delegation| delegation.caveats.get(place.caveat))
            .map_or(&[][..], |caveat| caveat.terms);
        let next = amount(*place, charge, terms, now);
        match amounts.iter_mut().find(|earlier| earlier.counter == next.counter) {
            Some(earlier) => {
                // The earlier caveat is not held against what later ones add.
                let added = next.amount.saturating_sub(earlier.amount);
                let limit = earlier.limit.saturating_add(added);
                let tighter = if limit < next.limit { earlier.beyond } else { next.beyond };
                *earlier = CaveatAmount { limit: limit.min(next.limit), beyond: tighter, ..next };
            }
            None => amounts.push(next),
        }
    }
    amounts
}

fn amount(place: CaveatPlace, charge: &Charge, terms: &[u8], now: u64) -> CaveatAmount {
    let beyond = |enforcer, reason| Forbidden { place, enforcer, reason };
    match *charge {
        Charge::Id { delegator, id } => CaveatAmount {
            counter: CaveatCounter::Id { delegator, id },
            amount: U256::ONE,
            limit: U256::ONE,
            beyond: beyond(Enforcer::Id, Reason::IdUsed),
        },
        Charge::Counter { key: CounterKey { delegation, address, enforcer }, counter } => {
            let total = CaveatCounter::Total { delegation, enforcer: address };
            let (counter, amount, limit, reason) = match counter {
                Counter::Count(count) if enforcer == Enforcer::LimitedCalls => {
                    (total, count, word(terms, 0), Reason::Calls)
                }
                Counter::Count(spent) => {
                    let at = if enforcer == Enforcer::ERC20TransferAmount { 20 } else { 0 };
                    (total, spent, word(terms, at), Reason::Allowance)
                }
                Counter::Stream(stream) => {
                    let left = stream.available(now).unwrap_or_default();
                    (total, stream.spent, stream.spent.saturating_add(left), Reason::Allowance)
                }
                Counter::Period(allowance) => {
                    let period = allowance.period;
                    let counter = CaveatCounter::Period { delegation, enforcer: address, period };
                    (counter, allowance.transferred, allowance.amount, Reason::PeriodAmount)
                }
            };
            CaveatAmount { counter, amount, limit, beyond: beyond(enforcer, reason) }
        }
    }
}

/// The 32 bytes of terms that an enforcer compares with; it has read them.
fn word(terms: &[u8], at: usize) -> U256 {
    let word = terms.get(at..).and_then(|rest| rest.first_chunk::<32>());
    word.map_or(U256::ZERO, |word| U256::from_be_bytes(*word))
}
