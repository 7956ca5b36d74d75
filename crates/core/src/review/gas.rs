//! How much an operation may cost.

use alloy_primitives::U256;

use super::{error::ReviewError, items::Items, label::Label};

/// Gas limits, and fees for one gas in wei.
pub(super) struct Gas {
    pub(super) max_fee: u128,
    pub(super) max_priority_fee: u128,
    pub(super) call: u128,
    pub(super) verification: u128,
    /// How often the limit of the verification counts.
    pub(super) validations: u8,
    pub(super) pre_verification: u128,
    /// A paymaster's verification, and what it does after the call.
    pub(super) paymaster: Option<[u128; 2]>,
}

/// The bits that entry points take.
const BITS: u32 = 120;

impl Gas {
    pub(super) fn show(&self, items: &mut Items<'_>) -> Result<(), ReviewError> {
        let [paymaster_verification, post_op] = self.paymaster.unwrap_or_default();
        let fees =
            [(Label::MaxFeePerGas, self.max_fee), (Label::MaxPriorityFeePerGas, self.max_priority_fee)];
        let limits = [
            (Label::CallGas, self.call),
            (Label::VerificationGas, self.verification),
            (Label::PreVerificationGas, self.pre_verification),
            (Label::PaymasterVerificationGas, paymaster_verification),
            (Label::PostOpGas, post_op),
        ];
        if fees.iter().chain(&limits).any(|(_, number)| *number >> BITS > 0) {
            return Err(ReviewError::GasOverflow);
        }
        // Five limits, one of them thrice, of 120 bits: no sum overflows.
        let once = limits.iter().fold(0, |sum, (_, limit)| sum + limit);
        let most = (1..self.validations).fold(once, |sum, _| sum + self.verification);
        items.coin(Label::Fees, &product(most, self.max_fee));
        for (label, fee) in fees {
            items.coin(label, &U256::from(fee));
        }
        let shown = if self.paymaster.is_some() { 5 } else { 3 };
        for (label, limit) in limits.iter().take(shown) {
            items.number(*label, &U256::from(*limit));
        }
        Ok(())
    }
}

/// A number that entry points refuse where it does not fit.
pub(super) fn narrow(number: &U256) -> u128 {
    u128::try_from(*number).unwrap_or(u128::MAX)
}

/// Byte by byte, which takes a sixth of the flash of a multiplication of 256 bits.
fn product(one: u128, other: u128) -> U256 {
    let mut product = [0; 32];
    for (place, factor) in one.to_le_bytes().into_iter().enumerate() {
        let mut carry = 0;
        let others = other.to_le_bytes().into_iter().chain([0]);
        for (byte, other) in product.iter_mut().skip(place).zip(others) {
            let [low, high] = (u16::from(factor) * u16::from(other) + u16::from(*byte) + carry).to_le_bytes();
            (*byte, carry) = (low, high.into());
        }
    }
    U256::from_le_bytes(product)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn products(one: u128, other: u128) {
            prop_assert_eq!(product(one, other), U256::from(one) * U256::from(other));
        }
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused_ones() {
        assert_eq!(narrow(&U256::from(u128::MAX)), u128::MAX);
        assert_eq!(narrow(&(U256::from(1) << 200)), u128::MAX);
        assert_eq!(narrow(&U256::from(7)), 7);
    }
}
