//! Whether the ABI session validation module would allow a call.

use alloy_primitives::{Address, B256, U256};

use crate::{
    abi::{selector::FunctionSelector, word_at},
    operation::call::selectors,
    policy::condition::Condition,
    session::session_key_data::{MalformedSessionKeyData, ParsedSessionKeyData, RawRule},
    texts,
};

/// Checks the account's call data against session key data as the ABI session validation module does, in its order,
/// all but the signature. Gives the session key that has to have signed.
///
/// The module finds the inner call data at 4 + the word at 0x44, adding modulo 2^256, and believes the length that
/// stands there. What it would then read outside of `account_call_data` depends on what surrounds it in the
/// transaction, so such a call is refused here; the account itself reverts on it. Whether the encoding is canonical
/// is another question, which [`AccountCall::decode`](crate::AccountCall::decode) answers.
///
/// # Errors
/// [`Refusal`] says which check failed, and with which values.
pub fn evaluate(session_key_data: &[u8], account_call_data: &[u8]) -> Result<Address, Refusal> {
    let permitted = ParsedSessionKeyData::parse(session_key_data)?;
    let outer = Outer(account_call_data);

    let selector = *outer.0.first_chunk::<4>().ok_or(outer.too_short())?;
    if !matches!(selector, selectors::EXECUTE | selectors::EXECUTE_NCC) {
        return Err(Refusal::NotExecute { selector: selector.into() });
    }

    // The module keeps the low 20 bytes of the word.
    let called = Address::from_word(outer.word(4)?);
    if called != permitted.contract() {
        return Err(Refusal::DestinationForbidden { called, permitted: permitted.contract() });
    }

    let inner = outer.inner()?;
    let called = inner.selector()?;
    if called != permitted.selector() {
        return Err(Refusal::SelectorForbidden { called, permitted: permitted.selector() });
    }

    let value = U256::from_be_bytes(outer.word(4 + 32)?.0);
    let limit = permitted.value_limit();
    if value > U256::from(limit) {
        return Err(Refusal::ValueExceeded { value, limit });
    }

    for (rule, raw) in permitted.rules().enumerate() {
        inner.check(rule, raw?)?;
    }
    Ok(permitted.session_key())
}

/// The account's call data.
#[derive(Clone, Copy)]
struct Outer<'a>(&'a [u8]);

impl<'a> Outer<'a> {
    fn word(self, at: usize) -> Result<B256, Refusal> {
        word_at(self.0, at).map(B256::from).ok_or(self.too_short())
    }

    fn inner(self) -> Result<Inner<'a>, Refusal> {
        let pointer = U256::from_be_bytes(self.word(4 + 64)?.0);
        let length_at = usize::try_from(pointer.wrapping_add(U256::from(4))).map_err(|_| self.too_short())?;
        let declared = U256::from_be_bytes(self.word(length_at)?.0);
        // The length word is there, so this is no more than the length of the whole.
        let visible = self.0.get(length_at + 32..).unwrap_or_default();
        // Rules reach no further than two bytes can point, so a greater length is as good as this one.
        let declared = usize::try_from(declared).unwrap_or(usize::MAX);
        Ok(Inner { outer: self, declared, visible })
    }

    const fn too_short(self) -> Refusal {
        Refusal::CallDataTooShort { len: self.0.len() }
    }
}

/// The call data of the call that the account is to make.
#[derive(Clone, Copy)]
struct Inner<'a> {
    outer: Outer<'a>,
    /// The length that it says it has.
    declared: usize,
    /// What follows its length word in the account's call data.
    visible: &'a [u8],
}

impl Inner<'_> {
    fn selector(self) -> Result<FunctionSelector, Refusal> {
        if self.declared < 4 {
            return Err(Refusal::InnerCallDataTooShort { len: self.declared });
        }
        let selector = *self.visible.first_chunk().ok_or(self.outer.too_short())?;
        Ok(FunctionSelector::new(selector))
    }

    fn check(self, rule: usize, raw: RawRule) -> Result<(), Refusal> {
        let RawRule { offset, condition, reference } = raw;
        let at = 4 + usize::from(offset);
        if at + 32 > self.declared {
            return Err(Refusal::WordOutOfBounds { rule, offset, len: self.declared });
        }
        let word = B256::from(word_at(self.visible, at).ok_or(self.outer.too_short())?);
        let condition = Condition::try_from(condition)
            .map_err(|unknown| Refusal::UnknownCondition { rule, number: unknown.number })?;
        if condition.holds(word.into(), reference.into()) {
            Ok(())
        } else {
            Err(Refusal::RuleViolated { rule, offset, condition, word, reference })
        }
    }
}

/// Why a call is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The session key data is none.
    MalformedSessionKeyData(#[from] MalformedSessionKeyData),
    /// The account's call data ends before something that has to be read from it.
    CallDataTooShort {
        /// The number of bytes of the account's call data.
        len: usize,
    },
    /// The account is asked for something other than one call.
    NotExecute {
        /// The function called.
        selector: FunctionSelector,
    },
    /// Another contract is called.
    DestinationForbidden {
        /// The contract called.
        called: Address,
        /// The contract permitted.
        permitted: Address,
    },
    /// The contract is called without a selector.
    InnerCallDataTooShort {
        /// The number of bytes.
        len: usize,
    },
    /// Another function is called.
    SelectorForbidden {
        /// The function called.
        called: FunctionSelector,
        /// The function permitted.
        permitted: FunctionSelector,
    },
    /// More value is sent than permitted.
    ValueExceeded {
        /// The value sent, in wei.
        value: U256,
        /// The value permitted, in wei.
        limit: u128,
    },
    /// A rule speaks of a word that the call does not have.
    WordOutOfBounds {
        /// Which rule, counted from 0.
        rule: usize,
        /// Where its word would stand, in bytes from the end of the selector.
        offset: u16,
        /// The length of the inner call data, selector included.
        len: usize,
    },
    /// A rule's condition is unknown, so that the rule fails.
    UnknownCondition {
        /// Which rule, counted from 0.
        rule: usize,
        /// Its condition.
        number: u8,
    },
    /// An argument is not as a rule demands.
    RuleViolated {
        /// Which rule, counted from 0.
        rule: usize,
        /// Where the word stands, in bytes from the end of the selector.
        offset: u16,
        /// How it is compared.
        condition: Condition,
        /// The word in the call.
        word: B256,
        /// What it is compared with.
        reference: B256,
    },
}

texts!(Refusal {
    MalformedSessionKeyData(reason) => "the session key data is malformed: {}",
    CallDataTooShort { len } => "the account's call data, {} bytes long, ends before what it says it holds",
    NotExecute { selector } => "the account's function {} is called, permitted are execute and execute_ncC",
    DestinationForbidden { called, permitted } => "contract {} is called, permitted is {}",
    InnerCallDataTooShort { len } => "the contract is called with {} bytes, a selector has 4",
    SelectorForbidden { called, permitted } => "function {} is called, permitted is {}",
    ValueExceeded { value, limit } => "{} wei are sent, permitted are at most {}",
    WordOutOfBounds { rule, offset, len } =>
        "rule {} reads 32 bytes at offset {} after the selector, the call data has {} bytes in all",
    UnknownCondition { rule, number } => "rule {} has condition {}; conditions are 0 to 5",
    RuleViolated { rule, offset, word, condition, reference } =>
        "rule {}: the word at offset {} is {}, permitted is {} {}",
});

impl Refusal {
    /// The reason that the module reverts with on chain, if it gives one.
    pub const fn revert_reason(&self) -> Option<&'static str> {
        match self {
            Self::NotExecute { .. } => Some("ABISV Not Execute Selector"),
            Self::DestinationForbidden { .. } => Some("ABISV Destination Forbidden"),
            Self::SelectorForbidden { .. } => Some("ABISV Selector Forbidden"),
            Self::ValueExceeded { .. } => Some("ABISV Permitted Value Exceeded"),
            Self::RuleViolated { .. } | Self::UnknownCondition { .. } => Some("ABISV Arg Rule Violated"),
            Self::MalformedSessionKeyData(_)
            | Self::CallDataTooShort { .. }
            | Self::InnerCallDataTooShort { .. }
            | Self::WordOutOfBounds { .. } => None,
        }
    }
}
