//! Which values rules leave to a word.

use alloy_primitives::U256;

use crate::policy::{Rule, condition::Condition};

/// The words from `low` to `high`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) low: U256,
    pub(super) high: U256,
}

impl Range {
    /// All words.
    pub(super) const ALL: Self = Self::up_to(U256::MAX);

    /// From 0 to `high`.
    pub(super) const fn up_to(high: U256) -> Self {
        Self { low: U256::ZERO, high }
    }

    /// The least range in which all words of this one are that the rules allow, whose ends they allow; `None` where they
    /// allow none.
    pub(super) fn under(self, rules: impl Iterator<Item = Rule> + Clone) -> Option<Self> {
        let mut range = self;
        loop {
            let narrower = rules.clone().try_fold(range, |range, rule| range.narrowed(&rule))?;
            // Where nothing changes, no rule excludes an end. Each round excludes one at least by a `NotEqual`.
            if narrower == range {
                return Some(range);
            }
            range = narrower;
        }
    }

    /// Whether the rule allows all of its words.
    pub(super) fn is_within(self, rule: &Rule) -> bool {
        match rule.condition() {
            Condition::NotEqual => !self.contains(rule.reference().to_uint()),
            _ => self.narrowed(rule) == Some(self),
        }
    }

    fn contains(self, word: U256) -> bool {
        self.low <= word && word <= self.high
    }

    /// Without the words at its ends that the rule does not allow. What it does not allow in between stays.
    fn narrowed(self, rule: &Rule) -> Option<Self> {
        let Self { low, high } = self;
        let reference = rule.reference().to_uint();
        let (low, high) = match rule.condition() {
            Condition::Equal => (low.max(reference), high.min(reference)),
            Condition::LessThanOrEqual => (low, high.min(reference)),
            Condition::LessThan => (low, high.min(reference.checked_sub(U256::ONE)?)),
            Condition::GreaterThanOrEqual => (low.max(reference), high),
            Condition::GreaterThan => (low.max(reference.checked_add(U256::ONE)?), high),
            Condition::NotEqual if low == reference => (low.checked_add(U256::ONE)?, high),
            Condition::NotEqual if high == reference => (low, high.checked_sub(U256::ONE)?),
            Condition::NotEqual => (low, high),
        };
        (low <= high).then_some(Self { low, high })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(condition: Condition, reference: u64) -> Rule {
        Rule::new(0, condition, reference)
    }

    #[test]
    fn by_one_rule_or_several() {
        use Condition::*;
        let most = u64::from(u8::MAX);
        for (rules, expected) in [
            (&[][..], Some((0, most))),
            (&[(Equal, 7)], Some((7, 7))),
            (&[(Equal, 7), (Equal, 8)], None),
            (&[(GreaterThan, 5), (LessThan, 3)], None),
            (&[(GreaterThan, 5), (LessThan, 7)], Some((6, 6))),
            (&[(GreaterThanOrEqual, 5), (LessThanOrEqual, 5)], Some((5, 5))),
            (&[(LessThan, 0)], None),
            (&[(GreaterThan, most)], None),
            (&[(NotEqual, 0)], Some((1, most))),
            (&[(NotEqual, 1), (NotEqual, 0), (NotEqual, most)], Some((2, most - 1))),
            (&[(NotEqual, 9)], Some((0, most))),
            (&[(NotEqual, 5), (Equal, 5)], None),
            (&[(NotEqual, 5), (NotEqual, 6), (GreaterThan, 4), (LessThan, 7)], None),
        ] {
            let range = Range::up_to(U256::from(most)).under(rules.iter().map(|it| rule(it.0, it.1)));
            let expected = expected.map(|(low, high)| Range { low: U256::from(low), high: U256::from(high) });
            assert_eq!(range, expected, "{rules:?}");
        }
        assert_eq!(Range::ALL.under([rule(GreaterThanOrEqual, 0)].into_iter()), Some(Range::ALL));
    }

    proptest! {
        #[test]
        fn as_each_word_is_judged(rules in proptest::collection::vec((0..6_u8, 0..9_u64), 0..6)) {
            let rules: std::vec::Vec<Rule> =
                rules.iter().map(|it| rule(Condition::try_from(it.0).unwrap(), it.1)).collect();
            let most = 8_u64;
            let all = Range::up_to(U256::from(most));
            let holds = |rule: &Rule, word| rule.condition().holds(U256::from(word), rule.reference().to_uint());
            let allowed = |word: &u64| rules.iter().all(|rule| holds(rule, *word));
            let ends = (0..=most).find(allowed).zip((0..=most).rfind(allowed));
            let range = all.under(rules.iter().copied());
            prop_assert_eq!(range.map(|it| (it.low, it.high)), ends.map(|it| (U256::from(it.0), U256::from(it.1))));
            for rule in &rules {
                prop_assert_eq!(all.is_within(rule), (0..=most).all(|word| holds(rule, word)));
            }
        }
    }
}
