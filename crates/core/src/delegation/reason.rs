//! Why an enforcer forbids an execution, or is not judged.

use core::fmt;

use alloy_primitives::Address;

use super::{enforcer::Enforcer, typed::CaveatPlace};
use crate::{
    texts,
    written::{TextSink, Written, displays},
};

/// A caveat forbids the execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Forbidden {
    /// Which caveat: the first one that the chain would revert on.
    pub place: CaveatPlace,
    /// What enforces it.
    pub enforcer: Enforcer,
    /// Why.
    pub reason: Reason,
}

texts!(Forbidden { place, enforcer, reason } => "{}: {}: {}");

impl Forbidden {
    /// The text that the enforcer reverts with. There is none for [`Reason::Overflow`], which is `Panic(0x11)`, and for
    /// [`Reason::TooShort`], which is no data at all.
    pub const fn revert_text(&self) -> Option<RevertText> {
        match self.reason.text() {
            Some(text) if self.reason.is_of_mode() => Some(RevertText { enforcer: None, text }),
            Some(text) => Some(RevertText { enforcer: Some(self.enforcer), text }),
            None => None,
        }
    }
}

/// What an enforcer says as it reverts, `Error(string)`. It names the enforcer, not the caveat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevertText {
    /// None where any enforcer says the same.
    enforcer: Option<Enforcer>,
    text: &'static str,
}

impl Written for RevertText {
    fn write(&self, out: &mut TextSink<'_>) -> fmt::Result {
        out(self.enforcer.map_or("Caveat", Enforcer::name))?;
        out("Enforcer:")?;
        out(self.text)
    }
}

displays!(RevertText);

/// Whether it is that text, to the byte.
impl PartialEq<str> for RevertText {
    fn eq(&self, other: &str) -> bool {
        let rest = other.strip_prefix(self.enforcer.map_or("Caveat", Enforcer::name));
        rest.and_then(|rest| rest.strip_prefix("Enforcer:")) == Some(self.text)
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)+) => {
        /// Why an enforcer reverts. What it compares stands in the terms and in the execution.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$doc])* $name,)+
            /// A call that [`ApprovalRevocation`](Enforcer::ApprovalRevocation)'s terms do not have.
            Primitive(Primitive),
            /// A number of the enforcer's overflows: `Panic(0x11)`, without the enforcer's name.
            Overflow,
            /// The execution or the terms end before what the enforcer reads: it reverts without data.
            TooShort,
        }

        impl Reason {
            /// What follows the enforcer's name in what it reverts with.
            const fn text(self) -> Option<&'static str> {
                Some(match self {
                    $(Self::$name => $text,)+
                    Self::Primitive(primitive) => primitive.text(),
                    Self::Overflow | Self::TooShort => return None,
                })
            }
        }
    };
}

reasons! {
    /// Not one call.
    CallType = "invalid-call-type",
    /// Not all or nothing.
    ExecutionType = "invalid-execution-type",
    /// Terms of a length that no such caveat has, so that it allows nothing.
    TermsLength = "invalid-terms-length",
    /// Terms without anything to compare with, so that it allows nothing.
    TermsSize = "invalid-terms-size",
    /// Another contract is called.
    Target = "target-address-not-allowed",
    /// The call has no selector.
    NoSelector = "invalid-execution-data-length",
    /// Another function is called.
    Method = "method-not-allowed",
    /// The call data ends before the bytes that are compared.
    CallDataEnds = "invalid-calldata-length",
    /// Other bytes stand in the call data.
    CallData = "invalid-calldata",
    /// More value is sent.
    Value = "value-too-high",
    /// Before its start, or at it.
    Early = "early-delegation",
    /// After its end, or at it.
    Expired = "expired-delegation",
    /// Redeemed too often.
    Calls = "limit-exceeded",
    /// More is transferred than is left.
    Allowance = "allowance-exceeded",
    /// The call data has not the length of a call that it allows.
    TransferLength = "invalid-execution-length",
    /// Another contract than the token is called.
    Token = "invalid-contract",
    /// Another function of the token is called.
    TokenMethod = "invalid-method",
    /// Its first period starts at 0, so that it allows nothing.
    ZeroStartDate = "invalid-zero-start-date",
    /// The amount of its periods is 0, so that it allows nothing.
    ZeroPeriodAmount = "invalid-zero-period-amount",
    /// Its periods last 0 seconds, so that it allows nothing.
    ZeroPeriodDuration = "invalid-zero-period-duration",
    /// Before the first period.
    NotStarted = "transfer-not-started",
    /// More than is left of the period.
    PeriodAmount = "transfer-amount-exceeded",
    /// Its stream has more at its start than in all, so that it allows nothing.
    MaxAmount = "invalid-max-amount",
    /// Its stream starts at 0, so that it allows nothing.
    ZeroStartTime = "invalid-zero-start-time",
    /// Somebody else redeems.
    Redeemer = "unauthorized-redeemer",
    /// The delegator has another nonce.
    Nonce = "invalid-nonce",
    /// The id is used up.
    IdUsed = "id-already-used",
    /// Value is sent along with what takes an approval back.
    ValueSent = "invalid-value",
    /// Its terms name no call, so that it allows nothing.
    NoPrimitives = "no-methods-allowed",
    /// Its terms name unknown calls, so that it allows nothing.
    UnknownPrimitives = "invalid-terms",
    /// A call of Permit2 goes to another contract.
    NotPermit2 = "invalid-permit2-target",
    /// The call data has not the length of Permit2's `approve`.
    Permit2Length = "permit2-invalid-execution-length",
    /// Something is approved.
    NonZeroAmount = "non-zero-amount",
    /// Something is approved for a time.
    NonZeroExpiration = "non-zero-expiration",
    /// An operator is approved.
    NotARevocation = "not-a-revocation",
    /// There is no approval to be taken back.
    NothingApproved = "no-approval-to-revoke",
}

/// In the enforcers' own words.
impl Written for Reason {
    fn write(&self, out: &mut TextSink<'_>) -> fmt::Result {
        out(match self {
            Self::Overflow => "a number overflows 256 bits",
            reason => reason.text().unwrap_or("the execution or the terms are too short"),
        })
    }
}

displays!(Reason);

impl Reason {
    const fn is_of_mode(self) -> bool {
        matches!(self, Self::CallType | Self::ExecutionType)
    }
}

/// A call that takes an approval back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Primitive {
    /// `approve(spender, 0)` of an ERC-20 token. Bit 0 of the terms.
    Erc20Approve,
    /// `approve(0, id)` of an ERC-721 token. Bit 1.
    Erc721Approve,
    /// `setApprovalForAll(operator, false)`. Bit 2.
    SetApprovalForAll,
    /// Permit2's `approve(token, spender, 0, 0)`. Bit 3.
    Permit2Approve,
    /// Permit2's `lockdown`. Bit 4.
    Permit2Lockdown,
    /// Permit2's `invalidateNonces`. Bit 5.
    Permit2InvalidateNonces,
}

impl Primitive {
    /// Its bit in the terms.
    pub const fn bit(self) -> u8 {
        match self {
            Self::Erc20Approve => 1,
            Self::Erc721Approve => 1 << 1,
            Self::SetApprovalForAll => 1 << 2,
            Self::Permit2Approve => 1 << 3,
            Self::Permit2Lockdown => 1 << 4,
            Self::Permit2InvalidateNonces => 1 << 5,
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Erc20Approve => "erc20-approve-not-allowed",
            Self::Erc721Approve => "erc721-approve-not-allowed",
            Self::SetApprovalForAll => "setApprovalForAll-not-allowed",
            Self::Permit2Approve => "permit2-approve-not-allowed",
            Self::Permit2Lockdown => "permit2-lockdown-not-allowed",
            Self::Permit2InvalidateNonces => "permit2-invalidate-nonces-not-allowed",
        }
    }
}

/// Whether a caveat forbids the execution cannot be said here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct NotJudged {
    /// Which caveat: the first such one.
    pub place: CaveatPlace,
    /// What would have to be known.
    pub missing: Missing,
}

texts!(NotJudged { place, missing } => "{} is not judged: {}");

/// What is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Missing {
    /// The contract that enforces it.
    Enforcer {
        /// Its address.
        address: Address,
    },
    /// The number of the block.
    Block,
    /// What was redeemed before.
    Counter,
    /// Whether the delegator's id is used.
    Id,
    /// The delegator's nonce.
    Nonce,
    /// Whether there is an approval to be taken back.
    Approval,
}

texts!(Missing {
    Enforcer { address } => "the enforcer {} is unknown",
    Block => "the number of the block is unknown",
    Counter => "what was redeemed before is unknown",
    Id => "whether its id is used is unknown",
    Nonce => "the delegator's nonce is unknown",
    Approval => "whether there is an approval to take back is unknown",
});
