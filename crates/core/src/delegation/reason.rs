//! Why an enforcer forbids an execution, or is not judged.

use core::fmt;

use alloy_primitives::{Address, U256};

use super::{enforcer::Enforcer, typed::CaveatPlace};
use crate::{
    abi::selector::FunctionSelector,
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

texts!(Forbidden { place, enforcer, reason } => "{} ({}): {}");

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
    ($($(#[$doc:meta])* $name:ident $({ $($(#[$field_doc:meta])* $field:ident: $type:ty),+ })? = $text:literal =>
        $said:literal,)+) => {
        /// Why an enforcer reverts.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$doc])* $name $({ $($(#[$field_doc])* $field: $type),+ })?,)+
            /// A call that [`ApprovalRevocation`](Enforcer::ApprovalRevocation)'s terms do not have.
            Primitive(Primitive),
            /// A number of the enforcer's overflows: `Panic(0x11)`, without the enforcer's name.
            Overflow,
            /// The execution or the terms end before what the enforcer reads: it reverts without data.
            TooShort {
                /// The number of bytes.
                len: usize
            },
        }

        impl Reason {
            /// What follows the enforcer's name in what it reverts with.
            const fn text(&self) -> Option<&'static str> {
                Some(match self {
                    $(Self::$name { .. } => $text,)+
                    Self::Primitive(primitive) => primitive.text(),
                    Self::Overflow | Self::TooShort { .. } => return None,
                })
            }
        }

        texts!(Reason {
            $($name $({ $($field),+ })? => $said,)+
            Primitive(primitive) => "the terms do not allow {}",
            Overflow => "a number overflows 256 bits",
            TooShort { len } => "{} bytes are fewer than what is read of them",
        });
    };
}

reasons! {
    /// Not one call.
    CallType = "invalid-call-type" => "a batch is executed; it allows one call",
    /// Not all or nothing.
    ExecutionType = "invalid-execution-type" => "a call may fail without undoing the rest; it allows the mode default only",
    /// Terms that no such caveat has.
    TermsLength {
        /// The number of bytes.
        len: usize
    } = "invalid-terms-length" => "its terms cannot have {} bytes, so it allows nothing",
    /// Terms without anything to compare with.
    TermsSize {
        /// The number of bytes.
        len: usize
    } = "invalid-terms-size" => "its terms have {} bytes, 33 at least are needed, so it allows nothing",
    /// Another contract is called.
    Target {
        /// The contract called.
        called: Address
    } = "target-address-not-allowed" => "contract {} is called, which is not in its list",
    /// The call has no selector.
    NoSelector {
        /// The bytes of call data.
        len: usize
    } = "invalid-execution-data-length" => "the call data has {} bytes, a selector has 4",
    /// Another function is called.
    Method {
        /// The function called.
        called: FunctionSelector
    } = "method-not-allowed" => "function {} is called, which is not in its list",
    /// The call data ends before the bytes that are compared.
    CallDataEnds {
        /// Where they end, in bytes from the selector's first.
        end: U256,
        /// The bytes of call data.
        len: usize
    } = "invalid-calldata-length" => "it compares call data up to byte {}, the call has {} bytes",
    /// Other bytes stand in the call data.
    CallData = "invalid-calldata" => "the call data is not what its terms demand",
    /// More value is sent.
    Value {
        /// The value sent, in wei.
        value: U256,
        /// The most, in wei.
        most: U256
    } = "value-too-high" => "{} wei are sent, it allows at most {}",
    /// Before its start, or at it.
    Early {
        /// The time or the block.
        now: u64,
        /// After which it is valid.
        after: u128
    } = "early-delegation" => "{} is too early, it allows what is after {}",
    /// After its end, or at it.
    Expired {
        /// The time or the block.
        now: u64,
        /// Before which it is valid.
        before: u128
    } = "expired-delegation" => "{} is too late, it allows what is before {}",
    /// Redeemed too often.
    Calls {
        /// How often, this one included.
        calls: U256,
        /// The most.
        most: U256
    } = "limit-exceeded" => "it is redeemed for the {}th time, it allows {}",
    /// More is transferred than is left.
    Allowance {
        /// What is asked for, with what was spent before where the enforcer adds it up.
        amount: U256,
        /// The most, or what a stream has left.
        most: U256
    } = "allowance-exceeded" => "{} are asked for, it allows {}",
    /// Not the length of a transfer.
    TransferLength {
        /// The bytes of call data.
        len: usize
    } = "invalid-execution-length" => "the call data has {} bytes, which no call that it allows has",
    /// Another token is called.
    Token {
        /// The contract called.
        called: Address,
        /// The token.
        token: Address
    } = "invalid-contract" => "contract {} is called, its token is {}",
    /// Another function of the token is called.
    TokenMethod {
        /// The function called.
        called: FunctionSelector
    } = "invalid-method" => "function {} is called, which it does not allow",
    /// Periods without a start.
    ZeroStartDate = "invalid-zero-start-date" => "its first period starts at 0, so it allows nothing",
    /// Periods without an amount.
    ZeroPeriodAmount = "invalid-zero-period-amount" => "its amount is 0, so it allows nothing",
    /// Periods without a duration.
    ZeroPeriodDuration = "invalid-zero-period-duration" => "its periods last 0 seconds, so it allows nothing",
    /// Before the first period.
    NotStarted {
        /// The time.
        now: u64,
        /// When it starts.
        start: U256
    } = "transfer-not-started" => "it is second {}, its first period starts at {}",
    /// More than is left of the period.
    PeriodAmount {
        /// What is asked for.
        amount: U256,
        /// What is left.
        available: U256
    } = "transfer-amount-exceeded" => "{} are asked for, of this period {} are left",
    /// A stream that has more at its start than in all.
    MaxAmount = "invalid-max-amount" => "its stream has more at its start than in all, so it allows nothing",
    /// A stream without a start.
    ZeroStartTime = "invalid-zero-start-time" => "its stream starts at 0, so it allows nothing",
    /// Somebody else redeems.
    Redeemer {
        /// Who.
        redeemer: Address
    } = "unauthorized-redeemer" => "{} redeems it, who is not in its list",
    /// The delegator has another nonce.
    Nonce {
        /// The delegator's.
        current: U256,
        /// The one that it demands.
        demanded: U256
    } = "invalid-nonce" => "the delegator's nonce is {}, it allows {}",
    /// The id was used.
    IdUsed {
        /// The id.
        id: U256
    } = "id-already-used" => "its id {} is used up",
    /// Value is sent along with what takes an approval back.
    ValueSent {
        /// The value, in wei.
        value: U256
    } = "invalid-value" => "{} wei are sent, it allows none",
    /// Terms without any call.
    NoPrimitives = "no-methods-allowed" => "its terms name no call, so it allows nothing",
    /// Terms with unknown calls.
    UnknownPrimitives {
        /// The bits.
        bits: u8
    } = "invalid-terms" => "its terms are {}, of which there are bits up to 63 only, so it allows nothing",
    /// A call of Permit2 goes to another contract.
    NotPermit2 {
        /// The contract called.
        called: Address
    } = "invalid-permit2-target" => "contract {} is called with a function of Permit2",
    /// Not the length of Permit2's `approve`.
    Permit2Length {
        /// The bytes of call data.
        len: usize
    } = "permit2-invalid-execution-length" => "the call data has {} bytes, Permit2's approve has 132",
    /// Something is approved.
    NonZeroAmount {
        /// How much.
        amount: U256
    } = "non-zero-amount" => "{} are approved, it allows 0",
    /// Something is approved for a time.
    NonZeroExpiration {
        /// Until when.
        expiration: U256
    } = "non-zero-expiration" => "it is approved until {}, it allows 0",
    /// An operator is approved.
    NotARevocation = "not-a-revocation" => "an operator is approved, it allows only to take that back",
    /// Nothing is approved.
    NothingApproved = "no-approval-to-revoke" => "there is no approval to be taken back",
}

impl Reason {
    const fn is_of_mode(&self) -> bool {
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

texts!(Primitive {
    Erc20Approve => "approve of a token",
    Erc721Approve => "approve of a token with a number",
    SetApprovalForAll => "setApprovalForAll",
    Permit2Approve => "Permit2's approve",
    Permit2Lockdown => "Permit2's lockdown",
    Permit2InvalidateNonces => "Permit2's invalidateNonces",
});

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
