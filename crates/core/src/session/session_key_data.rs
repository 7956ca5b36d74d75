//! What the session validation module is given about a session: the key and its policy, packed.

use core::iter;

use alloy_primitives::{Address, B256};

use crate::{
    abi::selector::FunctionSelector,
    policy::{
        Policy, Rule,
        condition::{Condition, UnknownCondition},
        epoch::SessionEpoch,
        error::EncodeError,
    },
    sink::{BufferFull, Encode, Sink},
    texts,
};

/// A session key and what it may do, as the ABI session validation module reads it.
///
/// 62 bytes and 35 for each rule: key (20 bytes), contract (20), selector (4), value limit (16), number of rules
/// (2), and for each rule offset (2), condition (1) and reference value (32), all big-endian.
///
/// ```
/// use quorate_core::{Address, Encode, ParsedSessionKeyData, Policy, SessionKeyData, SliceSink};
///
/// let policy = Policy::new(Address::repeat_byte(0x11), "safeMint(address)".parse()?);
/// let data = SessionKeyData::new(Address::repeat_byte(0x22), &policy);
/// let mut buffer = [0; 62];
/// data.write_to(&mut SliceSink::new(&mut buffer))?;
/// assert_eq!(ParsedSessionKeyData::parse(&buffer)?.session_key(), Address::repeat_byte(0x22));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SessionKeyData<'a, const RULES: usize = 16> {
    session_key: Address,
    policy: &'a Policy<RULES>,
}

impl<'a, const RULES: usize> SessionKeyData<'a, RULES> {
    /// Gives `session_key` what `policy` permits. The policy's epoch is no part of the data; it stands in the
    /// [`SessionLeaf`](crate::SessionLeaf).
    pub const fn new(session_key: Address, policy: &'a Policy<RULES>) -> Self {
        Self { session_key, policy }
    }

    /// The longest encoding that a policy of `RULES` rules can have, in bytes.
    pub const MAX_LEN: usize = HEAD + RULE * Policy::<RULES>::MAX_RULES;
}

impl<const RULES: usize> Encode for SessionKeyData<'_, RULES> {
    fn encoded_len(&self) -> usize {
        HEAD + RULE * self.policy.rules().len()
    }

    fn write_to<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), BufferFull> {
        let rules = self.policy.rules();
        sink.put(self.session_key.as_slice())?;
        sink.put(self.policy.contract().as_slice())?;
        sink.put(self.policy.selector().as_bytes())?;
        sink.put(&self.policy.value_limit().to_be_bytes())?;
        // A policy holds no more rules than two bytes can count.
        sink.put(&u16::try_from(rules.len()).unwrap_or(u16::MAX).to_be_bytes())?;
        for rule in rules {
            sink.put(&rule.offset().to_be_bytes())?;
            sink.put(&[rule.condition().number()])?;
            sink.put(rule.reference().word().as_slice())?;
        }
        Ok(())
    }
}

/// Session key data as the chain reads it.
///
/// As on chain, the rules are looked at one by one, so that data with fewer rules than it announces is found out
/// when they are read, and what follows the last rule is ignored. [`to_policy`](Self::to_policy) is strict.
#[derive(Clone, Copy, Debug)]
pub struct ParsedSessionKeyData<'a> {
    session_key: &'a [u8; 20],
    contract: &'a [u8; 20],
    selector: &'a [u8; 4],
    value_limit: &'a [u8; 16],
    rule_count: &'a [u8; 2],
    rules: &'a [u8],
}

impl<'a> ParsedSessionKeyData<'a> {
    /// Reads the 62 bytes before the rules.
    ///
    /// # Errors
    /// [`MalformedSessionKeyData::TooShort`] when there are fewer.
    pub const fn parse(bytes: &'a [u8]) -> Result<Self, MalformedSessionKeyData> {
        if let Some((session_key, rest)) = bytes.split_first_chunk()
            && let Some((contract, rest)) = rest.split_first_chunk()
            && let Some((selector, rest)) = rest.split_first_chunk()
            && let Some((value_limit, rest)) = rest.split_first_chunk()
            && let Some((rule_count, rules)) = rest.split_first_chunk()
        {
            Ok(Self { session_key, contract, selector, value_limit, rule_count, rules })
        } else {
            Err(MalformedSessionKeyData::TooShort { len: bytes.len() })
        }
    }

    /// The key that may act.
    pub const fn session_key(&self) -> Address {
        Address::new(*self.session_key)
    }

    /// The contract that it may call.
    pub const fn contract(&self) -> Address {
        Address::new(*self.contract)
    }

    /// The function that it may call.
    pub const fn selector(&self) -> FunctionSelector {
        FunctionSelector::new(*self.selector)
    }

    /// The value in wei that one call may carry.
    pub const fn value_limit(&self) -> u128 {
        u128::from_be_bytes(*self.value_limit)
    }

    /// The number of rules that the data announces.
    pub const fn rule_count(&self) -> u16 {
        u16::from_be_bytes(*self.rule_count)
    }

    /// The announced rules, in order; a rule that is announced and not there is an error.
    pub fn rules(&self) -> impl Iterator<Item = Result<RawRule, MalformedSessionKeyData>> + Clone + use<'a> {
        let mut rest = self.rules;
        (0..usize::from(self.rule_count()))
            .map(move |rule| RawRule::split(&mut rest).ok_or(MalformedSessionKeyData::RuleMissing { rule }))
    }

    /// The policy that the data stands for, with `epoch`, which the data does not hold.
    ///
    /// # Errors
    /// [`MalformedSessionKeyData`] when rules are missing, conditions unknown, or bytes follow the last rule, and
    /// when there is no room for the rules.
    pub fn to_policy<const RULES: usize>(
        &self,
        epoch: SessionEpoch,
    ) -> Result<Policy<RULES>, MalformedSessionKeyData> {
        let policy = Policy::empty(self.contract(), self.selector())
            .with_value_limit(self.value_limit())
            .with_epoch(epoch);
        self.strict_rules().try_fold(policy, |policy, rule| {
            policy.with_rule(rule?).map_err(MalformedSessionKeyData::DoesNotFit)
        })
    }

    /// The rules, where all of them can hold and nothing follows the last; an error stands where one does not fit.
    pub(crate) fn strict_rules(
        &self,
    ) -> impl Iterator<Item = Result<Rule, MalformedSessionKeyData>> + Clone + use<'a> {
        let (mut rest, mut rules) = (self.rules, 0..usize::from(self.rule_count()));
        iter::from_fn(move || match (rules.next(), rest.len()) {
            (None, 0) => None,
            (None, len) => {
                rest = &[];
                Some(Err(MalformedSessionKeyData::BytesAfterRules { len }))
            }
            (Some(rule), _) => {
                let raw = RawRule::split(&mut rest).ok_or(MalformedSessionKeyData::RuleMissing { rule });
                Some(raw.and_then(|raw| raw.strict(rule)))
            }
        })
    }
}

/// A rule as it stands in session key data, where the condition may be unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawRule {
    /// Where the word stands, in bytes from the end of the selector.
    pub offset: u16,
    /// The number of the condition.
    pub condition: u8,
    /// The reference value.
    pub reference: B256,
}

impl RawRule {
    /// Takes the first rule off packed ones; where it is cut, nothing is left.
    fn split(rules: &mut &[u8]) -> Option<Self> {
        let (rule, rest) =
            rules.split_first_chunk::<RULE>().map_or((None, &[][..]), |(rule, rest)| (Some(rule), rest));
        *rules = rest;
        let (&[high, low, condition], reference) = rule?.split_first_chunk()?;
        let offset = u16::from_be_bytes([high, low]);
        Some(Self { offset, condition, reference: B256::from_slice(reference) })
    }

    fn strict(self, rule: usize) -> Result<Rule, MalformedSessionKeyData> {
        match Condition::try_from(self.condition) {
            Ok(condition) => Ok(Rule::new(self.offset, condition, self.reference)),
            Err(source) => Err(MalformedSessionKeyData::UnknownCondition { rule, source }),
        }
    }
}

/// Why bytes are not session key data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedSessionKeyData {
    /// Fewer bytes than stand before the rules.
    TooShort {
        /// The number of bytes found.
        len: usize,
    },
    /// A rule that is announced and not there.
    RuleMissing {
        /// Which rule, counted from 0.
        rule: usize,
    },
    /// A rule that can never hold.
    UnknownCondition {
        /// Which rule, counted from 0.
        rule: usize,
        /// What it has for a condition.
        source: UnknownCondition,
    },
    /// Bytes that belong to nothing.
    BytesAfterRules {
        /// The number of bytes.
        len: usize,
    },
    /// More rules than there is room for.
    DoesNotFit(#[source] EncodeError),
}

texts!(MalformedSessionKeyData {
    TooShort { len } => "session key data has at least 62 bytes, this has {}",
    RuleMissing { rule } => "rule {} is announced, but the data ends before it does",
    UnknownCondition { rule } => "rule {}",
    BytesAfterRules { len } => "{} bytes follow the last rule",
    DoesNotFit => "the session key data does not fit",
});

/// The bytes before the rules.
const HEAD: usize = 20 + 20 + 4 + 16 + 2;

/// The bytes of a rule.
const RULE: usize = 2 + 1 + 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn data(rules: u16, bytes_of_rules: usize) -> heapless::Vec<u8, 256> {
        let mut bytes = heapless::Vec::new();
        bytes.extend_from_slice(&[0; 60]).unwrap();
        bytes.extend_from_slice(&rules.to_be_bytes()).unwrap();
        bytes.resize(HEAD + bytes_of_rules, 0).unwrap();
        bytes
    }

    #[test]
    fn shorter_than_its_head() {
        assert_eq!(
            ParsedSessionKeyData::parse(&[0; 61]).err(),
            Some(MalformedSessionKeyData::TooShort { len: 61 })
        );
    }

    #[test]
    fn rules_that_are_not_there() {
        let bytes = data(2, RULE + 34);
        let parsed = ParsedSessionKeyData::parse(&bytes).unwrap();
        let missing = MalformedSessionKeyData::RuleMissing { rule: 1 };
        assert_eq!(parsed.rules().nth(1), Some(Err(missing)));
        assert_eq!(parsed.to_policy::<2>(SessionEpoch::UNLIMITED), Err(missing));
    }

    #[test]
    fn strict_reading() {
        let bytes = data(1, RULE + 1);
        let parsed = ParsedSessionKeyData::parse(&bytes).unwrap();
        assert_eq!(parsed.rules().count(), 1);
        assert_eq!(
            parsed.to_policy::<1>(SessionEpoch::UNLIMITED),
            Err(MalformedSessionKeyData::BytesAfterRules { len: 1 })
        );
        assert_eq!(
            parsed.to_policy::<0>(SessionEpoch::UNLIMITED),
            Err(MalformedSessionKeyData::DoesNotFit(EncodeError::TooManyRules { limit: 0 }))
        );
    }

    /// Every condition, announced number of rules and length of data for up to three rules: what is read strictly is what is
    /// written of it, and nothing else is read.
    #[test]
    fn what_is_read_strictly_is_the_encoding_of_what_it_is_read_as() {
        let mut read = 0;
        for announced in 0..=4 {
            for len in 0..=3 * RULE + 1 {
                for condition in 0..=255 {
                    let mut bytes = data(announced, len);
                    if let Some(byte) = bytes.get_mut(HEAD + 2) {
                        *byte = condition;
                    }
                    let parsed = ParsedSessionKeyData::parse(&bytes).unwrap();
                    let policy = parsed.to_policy::<3>(SessionEpoch::UNLIMITED);
                    let fits = usize::from(announced) * RULE == len && (len == 0 || condition < 6);
                    assert_eq!(
                        policy.is_ok(),
                        fits,
                        "{announced} rules in {len} bytes, condition {condition}"
                    );
                    if let Ok(policy) = policy {
                        let mut again = heapless::Vec::<u8, 256>::new();
                        SessionKeyData::new(parsed.session_key(), &policy).write_to(&mut again).unwrap();
                        assert_eq!(again, bytes);
                        read += 1;
                    }
                }
            }
        }
        assert_eq!(read, 256 + 3 * 6);
    }
}
