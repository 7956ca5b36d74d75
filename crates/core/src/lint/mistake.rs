//! What can be encoded and yet is evidently not what was meant.

use core::fmt;

use crate::policy::{Policy, Rule, epoch::SessionEpoch, error::TimeField};

/// Something in a policy that is evidently a mistake, though the chain would take it.
///
/// [`Display`](fmt::Display) says what is wrong and what was probably meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mistake {
    /// A rule whose offset is no multiple of 32, so that it compares parts of two arguments.
    OffsetNotWord {
        /// Which rule, counted from 0.
        rule: usize,
        /// Its offset in bytes.
        offset: u16,
    },
    /// A time that would lie more than three thousand years ahead, and so was given in milliseconds.
    TimeInMilliseconds {
        /// Which time.
        field: TimeField,
        /// The time given.
        value: u64,
    },
    /// A session that ends no later than it starts.
    EndsBeforeItStarts {
        /// The start, in seconds since 1970.
        valid_after: u64,
        /// The end, in seconds since 1970.
        valid_until: u64,
    },
}

impl<const RULES: usize> Policy<RULES> {
    /// What can be encoded and enforced, and yet is evidently not what was meant.
    pub fn mistakes(&self) -> impl Iterator<Item = Mistake> + '_ {
        Mistake::in_rules(self.rules()).chain(Mistake::in_epoch(self.epoch()))
    }
}

impl Mistake {
    /// The mistakes in rules.
    pub(crate) fn in_rules(rules: &[Rule]) -> impl Iterator<Item = Self> + '_ {
        rules
            .iter()
            .map(Rule::offset)
            .enumerate()
            .filter(|(_, offset)| !offset.is_multiple_of(32))
            .map(|(rule, offset)| Self::OffsetNotWord { rule, offset })
    }

    /// The mistakes in an epoch.
    pub(crate) fn in_epoch(epoch: SessionEpoch) -> impl Iterator<Item = Self> {
        let (valid_after, valid_until) = (epoch.valid_after(), epoch.valid_until());
        let milliseconds = [(TimeField::ValidAfter, valid_after), (TimeField::ValidUntil, valid_until)]
            .into_iter()
            .filter(|(_, value)| *value >= MILLISECONDS && *value != SessionEpoch::MAX_TIME)
            .map(|(field, value)| Self::TimeInMilliseconds { field, value });
        let order = (valid_until != 0 && valid_until <= valid_after)
            .then_some(Self::EndsBeforeItStarts { valid_after, valid_until });
        milliseconds.chain(order)
    }
}

/// From here on a time is taken for milliseconds: as seconds it lies in the year 5138, as milliseconds in 1973.
/// The largest time of all is none: it is written for "for ever".
const MILLISECONDS: u64 = 100_000_000_000;

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OffsetNotWord { rule, offset } => write!(
                f,
                "rule {rule}: offset {offset} is not a multiple of 32, so it compares parts of two arguments"
            ),
            Self::TimeInMilliseconds { field, value } => {
                write!(f, "{field}: {value} looks like milliseconds; times are seconds since 1970")
            }
            Self::EndsBeforeItStarts { valid_after, valid_until } => write!(
                f,
                "validUntil: {valid_until} is not later than validAfter, {valid_after}, so the session is never \
                 valid"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use alloy_primitives::Address;

    use super::*;
    use crate::{
        abi::selector::FunctionSelector,
        policy::{Policy, condition::Condition},
    };

    fn mistakes(offsets: &[u16], valid_after: u64, valid_until: u64) -> Vec<Mistake> {
        let policy = Policy::new(Address::ZERO, FunctionSelector::new([0; 4]))
            .with_epoch(SessionEpoch::new(valid_after, valid_until).unwrap());
        let policy = offsets
            .iter()
            .try_fold(policy, |policy, offset| policy.with_rule(Rule::new(*offset, Condition::Equal, 0_u64)));
        policy.unwrap().mistakes().collect()
    }

    #[test]
    fn none_in_a_sane_policy() {
        assert_eq!(mistakes(&[0, 32, 65_504], 0, 0), []);
        assert_eq!(mistakes(&[], 1_700_000_000, 1_700_000_001), []);
        assert_eq!(mistakes(&[], MILLISECONDS - 1, 0), []);
    }

    #[test]
    fn all_that_are_there() {
        let field = TimeField::ValidUntil;
        assert_eq!(
            mistakes(&[0, 33], 5, MILLISECONDS),
            [
                Mistake::OffsetNotWord { rule: 1, offset: 33 },
                Mistake::TimeInMilliseconds { field, value: MILLISECONDS }
            ]
        );
        for valid_until in [4, 5] {
            assert_eq!(
                mistakes(&[], 5, valid_until),
                [Mistake::EndsBeforeItStarts { valid_after: 5, valid_until }]
            );
        }
    }

    #[test]
    fn their_words() {
        let text = std::format!("{}", Mistake::OffsetNotWord { rule: 2, offset: 4 });
        assert!(text.contains("rule 2") && text.contains("offset 4"), "{text}");
    }
}
