//! How a rule compares a call's argument with its reference value.

use alloy_primitives::U256;

use crate::texts;

/// A comparison of two unsigned 256-bit words, as the session validation module numbers them.
///
/// ```
/// use quorate_core::{Condition, U256};
///
/// assert!(Condition::LessThan.holds(U256::from(4), U256::from(5)));
/// assert_eq!(Condition::try_from(5), Ok(Condition::NotEqual));
/// assert!(Condition::try_from(6).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Condition {
    /// The argument is the reference value.
    Equal = 0,
    /// The argument is the reference value or less.
    LessThanOrEqual = 1,
    /// The argument is less than the reference value.
    LessThan = 2,
    /// The argument is the reference value or more.
    GreaterThanOrEqual = 3,
    /// The argument is more than the reference value.
    GreaterThan = 4,
    /// The argument is anything but the reference value.
    NotEqual = 5,
}

impl Condition {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::Equal,
        Self::LessThanOrEqual,
        Self::LessThan,
        Self::GreaterThanOrEqual,
        Self::GreaterThan,
        Self::NotEqual,
    ];

    /// The number that stands for it in session key data.
    pub const fn number(self) -> u8 {
        match self {
            Self::Equal => 0,
            Self::LessThanOrEqual => 1,
            Self::LessThan => 2,
            Self::GreaterThanOrEqual => 3,
            Self::GreaterThan => 4,
            Self::NotEqual => 5,
        }
    }

    /// Whether `word` compares with `reference` as asked.
    pub fn holds(self, word: U256, reference: U256) -> bool {
        match self {
            Self::Equal => word == reference,
            Self::LessThanOrEqual => word <= reference,
            Self::LessThan => word < reference,
            Self::GreaterThanOrEqual => word >= reference,
            Self::GreaterThan => word > reference,
            Self::NotEqual => word != reference,
        }
    }
}

impl TryFrom<u8> for Condition {
    type Error = UnknownCondition;

    fn try_from(number: u8) -> Result<Self, UnknownCondition> {
        Ok(match number {
            0 => Self::Equal,
            1 => Self::LessThanOrEqual,
            2 => Self::LessThan,
            3 => Self::GreaterThanOrEqual,
            4 => Self::GreaterThan,
            5 => Self::NotEqual,
            _ => return Err(UnknownCondition { number }),
        })
    }
}

// In words, as they stand before the reference value.
texts!(Condition {
    Equal => "equal to",
    LessThanOrEqual => "at most",
    LessThan => "less than",
    GreaterThanOrEqual => "at least",
    GreaterThan => "greater than",
    NotEqual => "other than",
});

/// A number that stands for no condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct UnknownCondition {
    /// The number found.
    pub number: u8,
}

texts!(UnknownCondition { number } => "condition {} is unknown; conditions are 0 to 5");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_there_and_back() {
        for number in 0..=5 {
            assert_eq!(Condition::try_from(number).unwrap().number(), number);
        }
        assert_eq!(Condition::try_from(6), Err(UnknownCondition { number: 6 }));
    }

    #[test]
    fn each_condition_below_at_and_above_its_reference() {
        use Condition::*;
        let five = U256::from(5);
        for (condition, expected) in [
            (Equal, [false, true, false]),
            (LessThanOrEqual, [true, true, false]),
            (LessThan, [true, false, false]),
            (GreaterThanOrEqual, [false, true, true]),
            (GreaterThan, [false, false, true]),
            (NotEqual, [true, false, true]),
        ] {
            assert_eq!([4, 5, 6].map(|word| condition.holds(U256::from(word), five)), expected);
        }
    }
}
