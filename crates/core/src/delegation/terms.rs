//! What caveats say, read from their terms.

use alloy_primitives::{Address, U256};

use super::{Caveat, Enforcer, Enforcers};
use crate::abi::{WORD, word_at};

/// The terms of a caveat, as its enforcer reads them.
///
/// ```
/// use quorate_core::delegation::{Caveat, Enforcer, Enforcers, Terms};
/// use quorate_core::U256;
///
/// let twice = U256::from(2).to_be_bytes::<32>();
/// let caveat = Caveat { enforcer: Enforcer::LimitedCalls.address_v1_3_0(), terms: &twice };
/// assert_eq!(Terms::of(&caveat, &Enforcers::V1_3_0), Some(Terms::Calls { limit: U256::from(2) }));
/// // Nothing could ever be redeemed under these.
/// assert_eq!(Terms::of(&Caveat { terms: &twice[1..], ..caveat }, &Enforcers::V1_3_0), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terms<'a> {
    /// [`AllowedTargets`](Enforcer::AllowedTargets): the contracts, one at least.
    Targets(&'a [[u8; 20]]),
    /// [`AllowedMethods`](Enforcer::AllowedMethods): the functions, one at least.
    Methods(&'a [[u8; 4]]),
    /// [`AllowedCalldata`](Enforcer::AllowedCalldata).
    CallData {
        /// Where, from the first byte of the selector on.
        start: U256,
        /// What has to stand there, one byte at least.
        bytes: &'a [u8],
    },
    /// [`ExactCalldata`](Enforcer::ExactCalldata): the call data, which may be none.
    ExactCallData(&'a [u8]),
    /// [`ValueLte`](Enforcer::ValueLte): the most wei of a call.
    Value {
        /// The most.
        limit: U256,
    },
    /// [`Timestamp`](Enforcer::Timestamp): both ends exclusive, 0 for none.
    Times {
        /// In seconds since 1970.
        after: u128,
        /// In seconds since 1970.
        before: u128,
    },
    /// [`BlockNumber`](Enforcer::BlockNumber): both ends exclusive, 0 for none.
    Blocks {
        /// A block's number.
        after: u128,
        /// A block's number.
        before: u128,
    },
    /// [`LimitedCalls`](Enforcer::LimitedCalls).
    Calls {
        /// How often it may be redeemed.
        limit: U256,
    },
    /// The two `TransferAmount`s.
    Total {
        /// The token; none for the chain's coin.
        token: Option<Address>,
        /// The most in all.
        limit: U256,
    },
    /// The two `PeriodTransfer`s.
    Period {
        /// The token; none for the chain's coin.
        token: Option<Address>,
        /// The most in a period.
        amount: U256,
        /// The length of a period, in seconds.
        duration: U256,
        /// When the first one starts, in seconds since 1970.
        start: U256,
    },
    /// The two `Streaming`s.
    Stream {
        /// The token; none for the chain's coin.
        token: Option<Address>,
        /// What is there at the start.
        initial: U256,
        /// The most in all.
        max: U256,
        /// What each second adds.
        per_second: U256,
        /// The start, in seconds since 1970.
        start: U256,
    },
    /// [`Redeemer`](Enforcer::Redeemer): who may redeem, one at least.
    Redeemers(&'a [[u8; 20]]),
    /// [`Nonce`](Enforcer::Nonce): what the delegator's has to be.
    Nonce(U256),
    /// [`Id`](Enforcer::Id): the number that is used up.
    Id(U256),
    /// [`ApprovalRevocation`](Enforcer::ApprovalRevocation): a bit for each kind of call.
    Revocations(u8),
}

impl<'a> Terms<'a> {
    /// Reads a caveat's terms; none where its enforcer is not known, or they have not the length that it reads.
    pub fn of(caveat: &Caveat<'a>, enforcers: &Enforcers<'_>) -> Option<Self> {
        Self::read(enforcers.at(caveat.enforcer)?, caveat.terms)
    }

    /// Reads terms; none where they are not of the one length in which the enforcer reads all of them.
    pub fn read(enforcer: Enforcer, terms: &'a [u8]) -> Option<Self> {
        Some(match enforcer {
            Enforcer::AllowedTargets => Self::Targets(list(terms)?),
            Enforcer::AllowedMethods => Self::Methods(list(terms)?),
            Enforcer::AllowedCalldata => {
                let (start, bytes) =
                    terms.split_first_chunk::<WORD>().filter(|(_, bytes)| !bytes.is_empty())?;
                Self::CallData { start: U256::from_be_bytes(*start), bytes }
            }
            Enforcer::ExactCalldata => Self::ExactCallData(terms),
            Enforcer::ValueLte => Self::Value { limit: only(terms)? },
            Enforcer::Timestamp => {
                let (after, before) = bounds(terms)?;
                Self::Times { after, before }
            }
            Enforcer::BlockNumber => {
                let (after, before) = bounds(terms)?;
                Self::Blocks { after, before }
            }
            Enforcer::LimitedCalls => Self::Calls { limit: only(terms)? },
            Enforcer::NativeTokenTransferAmount => Self::Total { token: None, limit: only(terms)? },
            Enforcer::ERC20TransferAmount => {
                let (token, rest) = of_token(terms)?;
                Self::Total { token, limit: only(rest)? }
            }
            Enforcer::NativeTokenPeriodTransfer => Self::period(None, terms)?,
            Enforcer::ERC20PeriodTransfer => {
                of_token(terms).and_then(|(token, rest)| Self::period(token, rest))?
            }
            Enforcer::NativeTokenStreaming => Self::stream(None, terms)?,
            Enforcer::ERC20Streaming => {
                of_token(terms).and_then(|(token, rest)| Self::stream(token, rest))?
            }
            Enforcer::Redeemer => Self::Redeemers(list(terms)?),
            Enforcer::Nonce => Self::Nonce(only(terms)?),
            Enforcer::Id => Self::Id(only(terms)?),
            Enforcer::ApprovalRevocation => match *terms {
                [bits] if bits != 0 => Self::Revocations(bits),
                _ => return None,
            },
        })
    }

    fn period(token: Option<Address>, terms: &[u8]) -> Option<Self> {
        let [amount, duration, start] = numbers(terms).filter(|_| terms.len() == 3 * WORD)?;
        Some(Self::Period { token, amount, duration, start })
    }

    fn stream(token: Option<Address>, terms: &[u8]) -> Option<Self> {
        let [initial, max, per_second, start] = numbers(terms).filter(|_| terms.len() == 4 * WORD)?;
        Some(Self::Stream { token, initial, max, per_second, start })
    }
}

/// Items of one length, one at least.
const fn list<const N: usize>(terms: &[u8]) -> Option<&[[u8; N]]> {
    match terms.as_chunks() {
        (items, []) if !items.is_empty() => Some(items),
        _ => None,
    }
}

fn only(terms: &[u8]) -> Option<U256> {
    numbers(terms).filter(|_| terms.len() == WORD).map(|[number]| number)
}

/// The first numbers; what follows is not looked at.
fn numbers<const N: usize>(terms: &[u8]) -> Option<[U256; N]> {
    let mut numbers = [U256::ZERO; N];
    for (index, number) in numbers.iter_mut().enumerate() {
        *number = U256::from_be_bytes(*word_at(terms, index * WORD)?);
    }
    Some(numbers)
}

fn of_token(terms: &[u8]) -> Option<(Option<Address>, &[u8])> {
    terms.split_first_chunk::<20>().map(|(token, rest)| (Some(token.into()), rest))
}

fn bounds(terms: &[u8]) -> Option<(u128, u128)> {
    let (after, before) = terms.split_first_chunk::<16>()?;
    Some((u128::from_be_bytes(*after), u128::from_be_bytes(before.try_into().ok()?)))
}
