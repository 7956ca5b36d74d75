//! Enforcers that compare, and keep nothing.

use alloy_primitives::{Address, U256};

use crate::{
    abi::{WORD, word_at},
    delegation::{enforcer::Enforcer, reason::Reason},
    operation::call::Call,
};

/// The five that look at nothing but the call.
pub(super) fn compare(enforcer: Enforcer, terms: &[u8], call: &Call<'_>) -> Result<(), Reason> {
    let (is_allowed, reason) = match enforcer {
        Enforcer::AllowedTargets => (list::<20>(terms)?.contains(&call.to.0.0), Reason::Target),
        Enforcer::AllowedMethods => return allowed_methods(terms, call),
        Enforcer::AllowedCalldata => return allowed_call_data(terms, call),
        Enforcer::ExactCalldata => (call.data == terms, Reason::CallData),
        _ => (call.value <= only_number(terms)?, Reason::Value),
    };
    if is_allowed { Ok(()) } else { Err(reason) }
}

fn allowed_methods(terms: &[u8], call: &Call<'_>) -> Result<(), Reason> {
    let selector = call.data.first_chunk::<4>().ok_or(Reason::NoSelector)?;
    let methods = list::<4>(terms)?;
    if methods.contains(selector) { Ok(()) } else { Err(Reason::Method) }
}

#[inline(never)]
fn allowed_call_data(terms: &[u8], call: &Call<'_>) -> Result<(), Reason> {
    let (start, value) =
        terms.split_first_chunk::<32>().filter(|(_, value)| !value.is_empty()).ok_or(Reason::TermsSize)?;
    let start = U256::from_be_bytes(*start);
    start.checked_add(U256::from(value.len())).ok_or(Reason::Overflow)?;
    let there = usize::try_from(start).ok().and_then(|start| call.data.get(start..)?.get(..value.len()));
    match there {
        None => Err(Reason::CallDataEnds),
        Some(there) if there == value => Ok(()),
        Some(_) => Err(Reason::CallData),
    }
}

pub(super) fn redeemer(terms: &[u8], redeemer: Address) -> Result<(), Reason> {
    let redeemers = list::<20>(terms)?;
    if redeemers.contains(&redeemer.0.0) { Ok(()) } else { Err(Reason::Redeemer) }
}

/// After and before what it has to be, 0 for an open end.
pub(super) type Bounds = (u128, u128);

pub(super) const UNBOUNDED: Bounds = (0, 0);

pub(super) fn bounds(terms: &[u8]) -> Result<Bounds, Reason> {
    let (after, before) = terms.split_first_chunk::<16>().ok_or(Reason::TermsLength)?;
    let before = <[u8; 16]>::try_from(before).map_err(|_| Reason::TermsLength)?;
    Ok((u128::from_be_bytes(*after), u128::from_be_bytes(before)))
}

/// Both ends are exclusive.
pub(super) fn within((after, before): Bounds, now: u64) -> Result<(), Reason> {
    let time = u128::from(now);
    if after > 0 && time <= after {
        return Err(Reason::Early);
    }
    if before > 0 && time >= before {
        return Err(Reason::Expired);
    }
    Ok(())
}

/// Terms that are one number.
pub(super) fn only_number(terms: &[u8]) -> Result<U256, Reason> {
    if terms.len() == WORD { Ok(number(terms, 0)) } else { Err(Reason::TermsLength) }
}

/// The number at that place, of bytes whose length was checked.
#[inline(never)]
pub(super) fn number(bytes: &[u8], index: usize) -> U256 {
    word_at(bytes, index * WORD).map_or(U256::ZERO, |word| U256::from_be_bytes(*word))
}

/// Terms that are items of one length, one at least.
fn list<const N: usize>(terms: &[u8]) -> Result<&[[u8; N]], Reason> {
    match terms.as_chunks() {
        (items, []) if !items.is_empty() => Ok(items),
        _ => Err(Reason::TermsLength),
    }
}
