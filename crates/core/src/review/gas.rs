//! How much an operation may cost.

use alloy_primitives::U256;

use super::{error::ReviewError, items::Items, label::Label};

/// Fees for one gas in wei, and limits of gas.
pub(super) struct Gas {
    /// In the order of [`LABELS`].
    pub(super) numbers: [u128; 7],
    /// Whether there are the last two limits, a paymaster's.
    pub(super) has_paymaster: bool,
    /// Whether the limit of the verification counts three times, as it does at EntryPoint v0.6 where a paymaster pays.
    pub(super) verifies_thrice: bool,
}

const LABELS: [Label; 7] = [
    Label::MaxFeePerGas,
    Label::MaxPriorityFeePerGas,
    Label::CallGas,
    Label::VerificationGas,
    Label::PreVerificationGas,
    Label::PaymasterVerificationGas,
    Label::PostOpGas,
];

/// The bits that entry points take.
const BITS: u32 = 120;

impl Gas {
    pub(super) fn show(&self, items: &mut Items<'_>) -> Result<(), ReviewError> {
        if self.numbers.iter().any(|number| number >> BITS > 0) {
            return Err(ReviewError::GasOverflow);
        }
        let [max_fee, _, limits @ ..] = &self.numbers;
        let [_, verification, ..] = limits;
        // Seven numbers of 120 bits: no sum overflows.
        let mut most: u128 = limits.iter().sum();
        if self.verifies_thrice {
            most += verification * 2;
        }
        items.coin(Label::Fees, &product(most, *max_fee));
        let shown = if self.has_paymaster { 7 } else { 5 };
        for (place, (number, label)) in self.numbers.iter().zip(LABELS).enumerate().take(shown) {
            let number = U256::from(*number);
            if place < 2 {
                items.coin(label, &number);
            } else {
                items.number(label, &number);
            }
        }
        Ok(())
    }
}

/// A number that entry points refuse where it does not fit.
pub(super) fn narrow(number: &U256) -> u128 {
    u128::try_from(*number).unwrap_or(u128::MAX)
}

/// Byte by byte, which takes a third of the flash of a multiplication of 256 bits.
fn product(one: u128, other: u128) -> U256 {
    let (one, other) = (one.to_le_bytes(), other.to_le_bytes());
    let mut product = [0; 32];
    for (place, factor) in one.iter().enumerate() {
        let mut carry = 0;
        for (byte, other) in product.iter_mut().skip(place).zip(&other) {
            let sum = u16::from(*factor) * u16::from(*other) + u16::from(*byte) + u16::from(carry);
            [*byte, carry] = sum.to_le_bytes();
        }
        if let Some(byte) = product.get_mut(place + other.len()) {
            *byte = carry;
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
