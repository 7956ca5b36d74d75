//! Delegations (ERC-7710) of MetaMask's framework: what a permission context holds, what a manager is called with, and
//! whether its enforcers would let an execution pass.
//!
//! A [`Delegation`] lets a delegate act for a delegator within its [`Caveat`]s, each of which names the contract that
//! enforces it. A [`Context`] is a chain of delegations, leaf first, whose last one is its delegator's own. A
//! [`Redemption`] is one execution under a context, and [`Redemption::evaluate`] says what the enforcers' `beforeHook`s
//! would: with the caveat that forbids it and the text that the chain reverts with, or that some caveat cannot be judged
//! here. What the enforcers keep on chain comes from the caller, as [`Counters`], and what they would keep afterwards goes
//! back to it, as [`Charge`]s.
//!
//! ```
//! use quorate_core::delegation::*;
//! use quorate_core::{Address, Call, Encode, U256};
//!
//! let [owner, key, nft, stranger] = [1, 2, 3, 4].map(Address::repeat_byte);
//! let [targets, methods] = [Enforcer::AllowedTargets, Enforcer::AllowedMethods].map(|it| it.address_v1_3_0());
//! let mint = [0x40, 0xd0, 0x97, 0xc3];
//! let caveats = [
//!     Caveat { enforcer: targets, terms: nft.as_slice() },
//!     Caveat { enforcer: methods, terms: &mint },
//! ];
//! let delegation = Delegation {
//!     delegate: key,
//!     delegator: owner,
//!     authority: ROOT_AUTHORITY,
//!     caveats: Caveats::from(&caveats[..]),
//!     salt: U256::ZERO,
//!     signature: &[0x51; 65], // the owner's, over `delegation.signing_digest(chain, manager)`
//! };
//! let mut bytes = heapless::Vec::<u8, 1024>::new();
//! Delegations(&[delegation]).write_to(&mut bytes)?;
//!
//! let context = Context::parse(&bytes)?;
//! let state = State { time: 1_900_000_000, block: None, counters: &Unknown };
//! let verdict = |to: Address| {
//!     let mut execution = heapless::Vec::<u8, 64>::new();
//!     SingleExecution(Call { to, value: U256::ZERO, data: &mint }).write_to(&mut execution)?;
//!     let redemption = Redemption::new(context, Mode::SINGLE, &execution, key)?;
//!     Ok::<_, Box<dyn std::error::Error>>(redemption.evaluate(&Enforcers::V1_3_0, &state))
//! };
//! assert_eq!(verdict(nft)?, Verdict::Allowed);
//!
//! let Verdict::Forbidden(forbidden) = verdict(stranger)? else { panic!("a stranger's contract is allowed") };
//! assert_eq!(forbidden.place, CaveatPlace { delegation: 0, caveat: 0 });
//! assert_eq!(forbidden.revert_text().unwrap().to_string(), "AllowedTargetsEnforcer:target-address-not-allowed");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Signatures are not verified here: the digest is [`Delegation::signing_digest`], and a delegator with code answers for
//! itself. Nor is it known whether a delegation was disabled or the manager paused.
//!
//! Source: the contracts of `@metamask/delegation-abis` 2.0.0, which the development network's tests run.

mod call;
mod context;
mod enforcer;
mod evaluate;
mod execution;
mod lint;
mod reader;
mod reason;
mod state;
mod terms;
mod typed;

pub use call::{DelegationCall, DelegationCallError, Disable, NoRedemption, Redeem};
pub use context::{Context, ContextError, Delegations};
pub use enforcer::{Enforcer, Enforcers, MANAGER_V1_3_0};
pub use evaluate::{ChainError, Judgement, Judgements, Redemption, Verdict};
pub use execution::{Batch, BatchExecution, CallType, ExecutionType, Mode, SingleExecution, UnknownMode};
pub use lint::DelegationLint;
pub use reader::Malformed;
pub use reason::{Forbidden, Missing, NotJudged, Primitive, Reason, RevertText};
pub use state::{
    Approval, Charge, Counter, CounterKey, Counters, PeriodAllowance, State, StreamAllowance, Unknown, Unused,
};
pub use terms::Terms;
pub use typed::{ANY_DELEGATE, Caveat, CaveatPlace, Caveats, Delegation, ROOT_AUTHORITY};

/// The most delegations of a context. Contexts of wallets have one, and each redelegation adds one.
pub const MAX_DELEGATIONS: usize = 8;

/// The most caveats of a delegation. Wallets' permissions have up to six, and there are eighteen kinds.
pub const MAX_CAVEATS: usize = 24;

/// The most bytes of a caveat's terms: whole call data, or a hundred addresses.
pub const MAX_TERMS: usize = 2048;

/// The most bytes of a delegation's signature. An account with code may take any: a WebAuthn signature with its client
/// data has some 700 bytes, those of several owners 65 bytes each.
pub const MAX_SIGNATURE: usize = 2048;
