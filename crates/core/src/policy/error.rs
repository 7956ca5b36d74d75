//! Why a policy cannot be encoded.

use alloy_primitives::U256;

use crate::texts;

/// Why something cannot be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// More rules than there is room for.
    #[error("rules: this policy has room for {limit}")]
    TooManyRules {
        /// The number of rules that fit.
        limit: usize,
    },
    /// A value limit of 2^128 wei or more.
    #[error("valueLimit: {value} wei does not fit 128 bits")]
    ValueLimitTooLarge {
        /// The value given, in wei.
        value: U256,
    },
    /// A time of 2^48 or more.
    #[error("{field}: {value} does not fit 48 bits; times are seconds since 1970")]
    TimeTooLarge {
        /// Which time.
        field: TimeField,
        /// The time given.
        value: u64,
    },
}

/// Which end of an epoch is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimeField {
    /// The start.
    ValidAfter,
    /// The end.
    ValidUntil,
}

texts!(TimeField {
    ValidAfter => "validAfter",
    ValidUntil => "validUntil",
});
