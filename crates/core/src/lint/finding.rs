//! What may be found in a session.

use alloy_primitives::Address;

use super::severity::Severity;
use crate::{
    abi::{elementary::ElementaryType, selector::FunctionSelector},
    policy::{condition::Condition, error::TimeField},
    texts,
};

/// Something in a session that the chain takes, and most owners would not want.
///
/// Rules are counted from 0; offsets are in bytes from the end of the selector. [`Display`](fmt::Display) says what is
/// wrong, where, and what would be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lint {
    /// The session never ends.
    NoEnd,
    /// The session ends more than a year from now; without a clock, from its start.
    LongerThanAYear {
        /// The end, in seconds since 1970.
        valid_until: u64,
    },
    /// The session is over.
    Over {
        /// The end, in seconds since 1970.
        valid_until: u64,
    },
    /// The session ends before it starts.
    NeverValid {
        /// The start, in seconds since 1970.
        valid_after: u64,
        /// The end, in seconds since 1970.
        valid_until: u64,
    },
    /// A time that would lie more than three thousand years ahead, and so was given in milliseconds.
    TimeInMilliseconds {
        /// Which time.
        field: TimeField,
        /// The time given.
        value: u64,
    },
    /// The contract is the zero address.
    ZeroContract,
    /// The contract is the account or one that controls accounts: who may call it may change who controls the account, or
    /// take what it has deposited.
    ControlsAccount {
        /// The contract.
        contract: Address,
    },
    /// Native value may be sent, and no rule leaves a call out.
    ValueWithoutRule {
        /// What one call may carry, in wei.
        value_limit: u128,
    },
    /// The function moves tokens, of any amount to anybody.
    MovesTokensFreely {
        /// The function.
        selector: FunctionSelector,
        /// The offset of the recipient.
        offset: u16,
    },
    /// The function gives tokens or an allowance to anybody; each call is capped, their number is not.
    ToAnybody {
        /// The function.
        selector: FunctionSelector,
        /// The offset of the recipient.
        offset: u16,
    },
    /// The function allows somebody to move any amount: 2^128 or more of the token's smallest unit.
    UnlimitedApproval {
        /// The offset of the amount.
        offset: u16,
    },
    /// The function allows somebody to move all tokens of a contract.
    ApprovalForAll {
        /// The function.
        selector: FunctionSelector,
    },
    /// The function makes calls which its arguments hold, and no rule holds one of them.
    CallsFreely {
        /// The function.
        selector: FunctionSelector,
    },
    /// The recipient of an ERC-20 session is the zero address.
    ZeroRecipient,
    /// The amount of an ERC-20 session is 2^128 or more.
    UnlimitedAmount,
    /// The module of ERC-20 sessions does not look at the function.
    AnyTokenFunction,
    /// A rule with a condition that the chain's module does not enforce.
    Unenforced {
        /// Which rule.
        rule: usize,
        /// Its condition.
        condition: Condition,
    },
    /// A rule whose offset is no multiple of 32, so that it compares parts of two arguments.
    OffsetNotWord {
        /// Which rule.
        rule: usize,
        /// Its offset.
        offset: u16,
    },
    /// A rule on a word that the function's arguments do not reach: only calls with something appended satisfy it.
    OffsetPastArguments {
        /// Which rule.
        rule: usize,
        /// Its offset.
        offset: u16,
        /// The length of the arguments in bytes.
        arguments: usize,
    },
    /// A rule that every call satisfies.
    AlwaysHolds {
        /// Which rule.
        rule: usize,
    },
    /// A rule that no call satisfies.
    NeverHolds {
        /// Which rule.
        rule: usize,
    },
    /// Rules on one word that no call satisfies together.
    Contradiction {
        /// The rule by which they become so.
        rule: usize,
        /// An earlier one on the same word.
        other: usize,
    },
    /// A reference that is no value of its argument's type.
    NotAValue {
        /// Which rule.
        rule: usize,
        /// The argument's type.
        kind: ElementaryType,
    },
    /// An address that is compared as a number: whoever looks for one finds one above or below.
    AddressByOrder {
        /// Which rule.
        rule: usize,
    },
    /// A signed number that is compared by order, while the chain compares unsigned words.
    SignedByOrder {
        /// Which rule.
        rule: usize,
        /// The argument's type.
        kind: ElementaryType,
    },
    /// A rule that demands the zero address.
    ZeroAddress {
        /// Which rule.
        rule: usize,
    },
    /// A rule on a pointer to a dynamic argument, which leaves the argument itself free.
    Pointer {
        /// Which rule.
        rule: usize,
        /// Its offset.
        offset: u16,
    },
    /// A rule on what a pointer points at, while the pointer is free to point elsewhere.
    FreePointer {
        /// Which rule.
        rule: usize,
        /// Its offset.
        offset: u16,
        /// The offset of the pointer.
        pointer: usize,
    },
}

impl Lint {
    /// How much an owner has to mind it: what gives the account or all of a token away is a danger, what an ERC-20 session
    /// always allows is said for information, all else is a warning.
    pub const fn level(&self) -> Severity {
        match self {
            Self::ControlsAccount { .. }
            | Self::MovesTokensFreely { .. }
            | Self::ToAnybody { .. }
            | Self::UnlimitedApproval { .. }
            | Self::ApprovalForAll { .. }
            | Self::CallsFreely { .. }
            | Self::UnlimitedAmount => Severity::Danger,
            Self::AnyTokenFunction => Severity::Info,
            _ => Severity::Warning,
        }
    }

    /// Whether it is evidently not what was meant: nobody wants a session that never allows a call, times in milliseconds,
    /// or offsets within a word.
    pub const fn is_mistake(&self) -> bool {
        matches!(
            self,
            Self::NeverValid { .. }
                | Self::TimeInMilliseconds { .. }
                | Self::OffsetNotWord { .. }
                | Self::NeverHolds { .. }
                | Self::Contradiction { .. }
        )
    }

    /// A name for this kind of finding, for other programs: lower case, with hyphens. It stays the same from version to
    /// version.
    ///
    /// ```
    /// assert_eq!(quorate_core::Lint::NoEnd.name(), "no-end");
    /// ```
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NoEnd => "no-end",
            Self::LongerThanAYear { .. } => "longer-than-a-year",
            Self::Over { .. } => "over",
            Self::NeverValid { .. } => "never-valid",
            Self::TimeInMilliseconds { .. } => "time-in-milliseconds",
            Self::ZeroContract => "zero-contract",
            Self::ControlsAccount { .. } => "controls-account",
            Self::ValueWithoutRule { .. } => "value-without-rule",
            Self::MovesTokensFreely { .. } => "moves-tokens-freely",
            Self::ToAnybody { .. } => "to-anybody",
            Self::UnlimitedApproval { .. } => "unlimited-approval",
            Self::ApprovalForAll { .. } => "approval-for-all",
            Self::CallsFreely { .. } => "calls-freely",
            Self::ZeroRecipient => "zero-recipient",
            Self::UnlimitedAmount => "unlimited-amount",
            Self::AnyTokenFunction => "any-token-function",
            Self::Unenforced { .. } => "unenforced",
            Self::OffsetNotWord { .. } => "offset-not-word",
            Self::OffsetPastArguments { .. } => "offset-past-arguments",
            Self::AlwaysHolds { .. } => "always-holds",
            Self::NeverHolds { .. } => "never-holds",
            Self::Contradiction { .. } => "contradiction",
            Self::NotAValue { .. } => "not-a-value",
            Self::AddressByOrder { .. } => "address-by-order",
            Self::SignedByOrder { .. } => "signed-by-order",
            Self::ZeroAddress { .. } => "zero-address",
            Self::Pointer { .. } => "pointer",
            Self::FreePointer { .. } => "free-pointer",
        }
    }
}

texts!(Lint {
    NoEnd => "the session never ends; set validUntil",
    LongerThanAYear { valid_until } => "validUntil: {} is more than a year ahead; end the session sooner",
    Over { valid_until } => "validUntil: {} is over, so that the session allows nothing; set a later end",
    NeverValid { valid_until, valid_after } =>
        "validUntil: {} is not later than validAfter, {}, so that the session is never valid",
    TimeInMilliseconds { field, value } => "{}: {} looks like milliseconds; times are seconds since 1970",
    ZeroContract => "the zero address is no contract; name the one to be called",
    ControlsAccount { contract } =>
        "{} is the account or controls accounts: the session may change who controls the account, or take what it \
         has deposited; permit calls of other contracts alone",
    ValueWithoutRule { value_limit } =>
        "each call may carry {} wei, and no rule says to whose benefit; add rules, or limit the value to 0",
    MovesTokensFreely { selector, offset } =>
        "{} moves tokens, and no rule says to whom or how many; demand one recipient at offset {}",
    ToAnybody { selector, offset } =>
        "{} may be called for anybody and any number of times, whatever one call moves; demand one recipient at \
         offset {}",
    UnlimitedApproval { offset } =>
        "no rule caps the amount that may be approved; demand one below 2^128 at offset {}",
    ApprovalForAll { selector } =>
        "{} lets somebody else move all tokens of the contract; permit approvals of single amounts instead",
    CallsFreely { selector } =>
        "{} makes the calls that its arguments hold, and no rule says which; permit the functions that are meant \
         instead",
    ZeroRecipient => "the recipient is the zero address, where what is sent is lost; name a recipient",
    UnlimitedAmount => "the amount is not limited: it is 2^128 or more; set what one call may move",
    AnyTokenFunction =>
        "the recipient may be given an allowance of the amount as well: the module does not look at the function",
    Unenforced { rule, condition } =>
        "rule {}: this chain's module does not enforce `{}`, so that the rule counts as none; use another condition",
    OffsetNotWord { rule, offset } =>
        "rule {}: offset {} is not a multiple of 32, so that it compares parts of two arguments; argument n of \
         static types stands at 32 n",
    OffsetPastArguments { rule, offset, arguments } =>
        "rule {} looks at offset {}, but the function's arguments end at {}",
    AlwaysHolds { rule } => "rule {} holds for every call, so that it limits nothing; give a bound, or leave it out",
    NeverHolds { rule } => "rule {} holds for no call, so that the session allows nothing; give another reference",
    Contradiction { other, rule } =>
        "rules {} and {} contradict each other on one word, so that the session allows nothing",
    NotAValue { rule, kind } =>
        "rule {}: the word of its reference is no {}, so that no {} is equal to it; {}" and kind and &kind.place(),
    AddressByOrder { rule } =>
        "rule {} compares an address by its order, which anybody can satisfy by looking for a fitting one; compare \
         it for equality",
    SignedByOrder { rule, kind } =>
        "rule {}: the argument is signed ({}) and the comparison is not: to it, negative numbers are greater than \
         all others; compare for equality",
    ZeroAddress { rule } => "rule {} demands the zero address, where what is sent is lost; name a recipient",
    Pointer { rule, offset } =>
        "rule {}: the word at {} is only the place of a dynamic argument, which stays free; add rules on its \
         content, and demand its usual place by `equal to`",
    FreePointer { rule, offset, pointer } =>
        "rule {}: the word at {} is data behind a dynamic argument, and nothing holds the pointer at {}; demand its \
         usual place by `equal to`",
});
