//! Enforcers that count: what they keep afterwards, of what they have kept.

use alloy_primitives::{Address, U256};

use crate::{
    abi::{WORD, selector::FunctionSelector, word_at},
    delegation::{
        reason::Reason,
        state::{PeriodAllowance, StreamAllowance},
    },
    operation::call::Call,
};

pub(super) fn count_call([most]: [U256; 1], calls: U256) -> Result<U256, Reason> {
    let calls = calls.checked_add(U256::from(1)).ok_or(Reason::Overflow)?;
    if calls <= most { Ok(calls) } else { Err(Reason::Calls { calls, most }) }
}

pub(super) fn add_amount(most: U256, amount: U256, spent: U256) -> Result<U256, Reason> {
    let amount = spent.checked_add(amount).ok_or(Reason::Overflow)?;
    if amount <= most { Ok(amount) } else { Err(Reason::Allowance { amount, most }) }
}

/// The terms are the amount, the duration and the start; they count at the first use only.
pub(super) fn transfer_in_period(
    [amount_of_period, duration, start]: [U256; 3],
    amount: U256,
    mut allowance: PeriodAllowance,
    time: u64,
) -> Result<PeriodAllowance, Reason> {
    if allowance.start == U256::ZERO {
        for (number, reason) in [
            (start, Reason::ZeroStartDate),
            (amount_of_period, Reason::ZeroPeriodAmount),
            (duration, Reason::ZeroPeriodDuration),
        ] {
            if number == U256::ZERO {
                return Err(reason);
            }
        }
        if U256::from(time) < start {
            return Err(Reason::NotStarted { now: time, start });
        }
        allowance = PeriodAllowance { amount: amount_of_period, duration, start, ..allowance };
    }
    let available = allowance.available(time);
    if amount > available {
        return Err(Reason::PeriodAmount { amount, available });
    }
    if let Some(period) = allowance.period_at(time)
        && period != allowance.period
    {
        allowance = PeriodAllowance { period, transferred: U256::ZERO, ..allowance };
    }
    let transferred = allowance.transferred.checked_add(amount).ok_or(Reason::Overflow)?;
    Ok(PeriodAllowance { transferred, ..allowance })
}

/// What is there at the start, the most, what is added each second, and the start.
pub(super) type StreamTerms = [U256; 4];

pub(super) fn check_stream([initial, max, _, start]: &StreamTerms) -> Result<(), Reason> {
    if max < initial {
        return Err(Reason::MaxAmount);
    }
    if *start == U256::ZERO {
        return Err(Reason::ZeroStartTime);
    }
    Ok(())
}

/// The terms count as long as nothing was taken.
pub(super) fn take_from_stream(
    [initial, max, per_second, start]: StreamTerms,
    amount: U256,
    mut allowance: StreamAllowance,
    time: u64,
) -> Result<StreamAllowance, Reason> {
    if allowance.spent == U256::ZERO {
        allowance = StreamAllowance { initial, max, per_second, start, ..allowance };
    }
    let most = allowance.available(time).ok_or(Reason::Overflow)?;
    if amount > most {
        return Err(Reason::Allowance { amount, most });
    }
    let spent = allowance.spent.checked_add(amount).ok_or(Reason::Overflow)?;
    Ok(StreamAllowance { spent, ..allowance })
}

/// The amount of call data that is as long as that of `transfer(address,uint256)`.
pub(super) fn transferred(call: &Call<'_>) -> Result<U256, Reason> {
    match word_at(call.data, 4 + WORD) {
        Some(amount) if call.data.len() == 4 + 2 * WORD => Ok(U256::from_be_bytes(*amount)),
        _ => Err(Reason::TransferLength { len: call.data.len() }),
    }
}

/// That the call is the token's `transfer`. To whom it goes, and what value goes with it, is not looked at.
pub(super) fn check_transfer(call: &Call<'_>, token: Address) -> Result<(), Reason> {
    if call.to != token {
        return Err(Reason::Token { called: call.to, token });
    }
    match call.data.first_chunk() {
        Some(&TRANSFER) => Ok(()),
        called => {
            Err(Reason::TokenMethod { called: FunctionSelector::new(called.copied().unwrap_or_default()) })
        }
    }
}

/// `transfer(address,uint256)`.
const TRANSFER: [u8; 4] = [0xa9, 0x05, 0x9c, 0xbb];
