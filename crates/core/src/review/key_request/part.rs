//! The values of what an owner signs of a key.

use crate::review::label::Label;

/// A value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Shown as it is, under this label.
    Address(Label),
    Number(Label),
    Coin(Label),
    Account,
    Chain,
    /// The session validation module, which begins a policy.
    Module,
    /// The contract that the key may call.
    Contract(Label),
    /// A function's selector, which the offsets after it are of.
    Selector(Label),
    /// Begins a rule.
    Offset,
    Condition,
    /// Ends a rule.
    Reference,
    /// Follows the rules.
    ValueLimit,
    ValidAfter,
    ValidUntil,
    LimitedOffset,
    Paymaster,
    /// Of an ephemeral key.
    EphemeralName,
    EphemeralKey,
    Expiry,
    /// Of a claim.
    Network,
    Permissions,
}
