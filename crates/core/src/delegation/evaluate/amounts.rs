//! Enforcers that count: what they keep becomes what they keep afterwards, or they revert.

use alloy_primitives::{Address, U256};

use super::calls::number;
use crate::{
    abi::WORD,
    delegation::{
        reason::Reason,
        state::{PeriodAllowance, StreamAllowance},
    },
    operation::call::Call,
};

/// Adds, up to `most`; `over` is what is said of more.
pub(super) fn add(total: &mut U256, amount: U256, most: U256, over: Reason) -> Result<(), Reason> {
    *total = total.checked_add(amount).ok_or(Reason::Overflow)?;
    if *total <= most { Ok(()) } else { Err(over) }
}

/// The terms are the amount, the duration and the start; they count at the first use only.
#[inline(never)]
pub(super) fn transfer_in_period(
    terms: &[u8],
    amount: U256,
    allowance: &mut PeriodAllowance,
    time: u64,
) -> Result<(), Reason> {
    if allowance.start == U256::ZERO {
        begin(terms, allowance, time)?;
    }
    if let Some(period) = allowance.period_at(time)
        && period != allowance.period
    {
        allowance.period = period;
        allowance.transferred = U256::ZERO;
    }
    if amount > allowance.available(time) {
        return Err(Reason::PeriodAmount);
    }
    // No more than the amount of a period.
    allowance.transferred = allowance.transferred.saturating_add(amount);
    Ok(())
}

fn begin(terms: &[u8], allowance: &mut PeriodAllowance, time: u64) -> Result<(), Reason> {
    allowance.amount = number(terms, 0);
    allowance.duration = number(terms, 1);
    allowance.start = number(terms, 2);
    if allowance.start == U256::ZERO {
        Err(Reason::ZeroStartDate)
    } else if allowance.amount == U256::ZERO {
        Err(Reason::ZeroPeriodAmount)
    } else if allowance.duration == U256::ZERO {
        Err(Reason::ZeroPeriodDuration)
    } else if U256::from(time) < allowance.start {
        Err(Reason::NotStarted)
    } else {
        Ok(())
    }
}

/// What is checked of a stream's terms at every use: what is there at the start, the most, what is added each second, the start.
pub(super) fn check_stream(terms: &[u8]) -> Result<(), Reason> {
    if number(terms, 1) < number(terms, 0) {
        Err(Reason::MaxAmount)
    } else if number(terms, 3) == U256::ZERO {
        Err(Reason::ZeroStartTime)
    } else {
        Ok(())
    }
}

/// The terms count as long as nothing was taken.
#[inline(never)]
pub(super) fn take_from_stream(
    terms: &[u8],
    amount: U256,
    allowance: &mut StreamAllowance,
    time: u64,
) -> Result<(), Reason> {
    if allowance.spent == U256::ZERO {
        allowance.initial = number(terms, 0);
        allowance.max = number(terms, 1);
        allowance.per_second = number(terms, 2);
        allowance.start = number(terms, 3);
    }
    if amount > allowance.available(time).ok_or(Reason::Overflow)? {
        return Err(Reason::Allowance);
    }
    // No more than the most in all.
    allowance.spent = allowance.spent.saturating_add(amount);
    Ok(())
}

/// The amount of call data that is as long as that of `transfer(address,uint256)`.
pub(super) fn transferred(call: &Call<'_>) -> Result<U256, Reason> {
    match call.data.get(4..) {
        Some(arguments) if arguments.len() == 2 * WORD => Ok(number(arguments, 1)),
        _ => Err(Reason::TransferLength),
    }
}

/// That the call is the token's `transfer`. To whom it goes, and what value goes with it, is not looked at.
pub(super) fn check_transfer(call: &Call<'_>, token: &[u8; 20]) -> Result<(), Reason> {
    if call.to != Address::new(*token) {
        Err(Reason::Token)
    } else if call.data.first_chunk() != Some(&TRANSFER) {
        Err(Reason::TokenMethod)
    } else {
        Ok(())
    }
}

/// `transfer(address,uint256)`.
const TRANSFER: [u8; 4] = [0xa9, 0x05, 0x9c, 0xbb];
