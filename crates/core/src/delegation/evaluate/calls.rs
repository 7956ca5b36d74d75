//! Enforcers that compare, and keep nothing.

use alloy_primitives::{Address, U256};

use crate::{abi::selector::FunctionSelector, delegation::reason::Reason, operation::call::Call};

pub(super) fn allowed_targets(terms: &[u8], call: &Call<'_>) -> Result<(), Reason> {
    let targets = list::<20>(terms)?;
    if targets.contains(&call.to.0.0) { Ok(()) } else { Err(Reason::Target { called: call.to }) }
}

pub(super) fn allowed_methods(terms: &[u8], call: &Call<'_>) -> Result<(), Reason> {
    let selector = call.data.first_chunk::<4>().ok_or(Reason::NoSelector { len: call.data.len() })?;
    let methods = list::<4>(terms)?;
    let called = FunctionSelector::new(*selector);
    if methods.contains(selector) { Ok(()) } else { Err(Reason::Method { called }) }
}

pub(super) fn allowed_call_data(terms: &[u8], call: &Call<'_>) -> Result<(), Reason> {
    let (start, value) = terms
        .split_first_chunk::<32>()
        .filter(|(_, value)| !value.is_empty())
        .ok_or(Reason::TermsSize { len: terms.len() })?;
    let start = U256::from_be_bytes(*start);
    let end = start.checked_add(U256::from(value.len())).ok_or(Reason::Overflow)?;
    let len = call.data.len();
    let there = usize::try_from(start).ok().and_then(|start| call.data.get(start..)?.get(..value.len()));
    match there {
        None => Err(Reason::CallDataEnds { end, len }),
        Some(there) if there == value => Ok(()),
        Some(_) => Err(Reason::CallData),
    }
}

pub(super) fn exact_call_data(terms: &[u8], call: &Call<'_>) -> Result<(), Reason> {
    if call.data == terms { Ok(()) } else { Err(Reason::CallData) }
}

pub(super) fn value_lte(terms: &[u8], call: &Call<'_>) -> Result<(), Reason> {
    let [most] = words(terms)?;
    if call.value <= most { Ok(()) } else { Err(Reason::Value { value: call.value, most }) }
}

pub(super) fn redeemer(terms: &[u8], redeemer: Address) -> Result<(), Reason> {
    let redeemers = list::<20>(terms)?;
    if redeemers.contains(&redeemer.0.0) { Ok(()) } else { Err(Reason::Redeemer { redeemer }) }
}

/// After and before what it has to be, 0 for an open end.
pub(super) type Bounds = (u128, u128);

pub(super) const UNBOUNDED: Bounds = (0, 0);

pub(super) fn bounds(terms: &[u8]) -> Result<Bounds, Reason> {
    let length = Reason::TermsLength { len: terms.len() };
    let (after, before) = terms.split_first_chunk::<16>().ok_or(length)?;
    let before = <[u8; 16]>::try_from(before).map_err(|_| length)?;
    Ok((u128::from_be_bytes(*after), u128::from_be_bytes(before)))
}

/// Both ends are exclusive.
pub(super) fn within((after, before): Bounds, now: u64) -> Result<(), Reason> {
    let time = u128::from(now);
    if after > 0 && time <= after {
        return Err(Reason::Early { now, after });
    }
    if before > 0 && time >= before {
        return Err(Reason::Expired { now, before });
    }
    Ok(())
}

/// Terms that are so many numbers.
pub(super) fn words<const N: usize>(terms: &[u8]) -> Result<[U256; N], Reason> {
    let mut words = [U256::ZERO; N];
    let (chunks, rest) = terms.as_chunks::<32>();
    if chunks.len() != N || !rest.is_empty() {
        return Err(Reason::TermsLength { len: terms.len() });
    }
    for (word, chunk) in words.iter_mut().zip(chunks) {
        *word = U256::from_be_bytes(*chunk);
    }
    Ok(words)
}

/// Terms that are an address and so many numbers.
pub(super) fn address_and_words<const N: usize>(terms: &[u8]) -> Result<(Address, [U256; N]), Reason> {
    let length = Reason::TermsLength { len: terms.len() };
    let (address, rest) = terms.split_first_chunk::<20>().ok_or(length)?;
    Ok((Address::new(*address), words(rest).map_err(|_| length)?))
}

/// The number that terms start with; what follows is not looked at.
pub(super) fn first_word(terms: &[u8]) -> Result<U256, Reason> {
    let word = terms.first_chunk::<32>().ok_or(Reason::TooShort { len: terms.len() })?;
    Ok(U256::from_be_bytes(*word))
}

/// Terms that are items of one length, one at least.
fn list<const N: usize>(terms: &[u8]) -> Result<&[[u8; N]], Reason> {
    match terms.as_chunks() {
        (items, []) if !items.is_empty() => Ok(items),
        _ => Err(Reason::TermsLength { len: terms.len() }),
    }
}
