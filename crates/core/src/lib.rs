//! The part of session keys that needs neither heap nor I/O: what a key may do, what of it goes on chain, and whether
//! a call is allowed.
//!
//! A [`Policy`] says what a session key may do. [`SessionKeyData`] is its encoding for the session validation module,
//! a [`SessionLeaf`] puts that into the tree whose root the account keeps on chain ([`merkle`]), and [`evaluate`]
//! answers as that module would.
//!
//! ```
//! use quorate_core::*;
//!
//! let nft = Address::repeat_byte(0xaa);
//! let session_key = Address::repeat_byte(0xbb);
//! let friend = Address::repeat_byte(0xcc);
//!
//! // The key may mint on one contract, to one address, until a day in 2030.
//! let policy = Policy::new(nft, "safeMint(address)".parse()?)
//!     .with_rule(Rule::new(0, Condition::Equal, friend))?
//!     .with_epoch(SessionEpoch::new(0, 1_900_000_000)?);
//! let mut session_key_data = heapless::Vec::<u8, 1024>::new();
//! SessionKeyData::new(session_key, &policy).write_to(&mut session_key_data)?;
//!
//! // The account's root is that of a tree with this session in it.
//! let module = address!("000006bC2eCdAe38113929293d241Cf252D91861");
//! let leaf = SessionLeaf {
//!     epoch: policy.epoch(),
//!     validation_module: module,
//!     session_key_data: &session_key_data,
//! };
//! let proof = merkle::Proof::of(&[leaf.hash()], leaf.hash())?;
//! assert_eq!(proof.root(), leaf.hash());
//!
//! // Minting to the friend is allowed, to anyone else it is not.
//! let mint = |to: Address| [policy.selector().as_bytes(), to.into_word().as_slice()].concat();
//! let mut call_data = heapless::Vec::<u8, 256>::new();
//! Execute(Call { to: nft, value: U256::ZERO, data: &mint(friend) }).write_to(&mut call_data)?;
//! assert_eq!(evaluate(&session_key_data, &call_data), Ok(session_key));
//!
//! let mut call_data = heapless::Vec::<u8, 256>::new();
//! Execute(Call { to: nft, value: U256::ZERO, data: &mint(nft) }).write_to(&mut call_data)?;
//! let refusal = evaluate(&session_key_data, &call_data).unwrap_err();
//! assert_eq!(refusal.revert_reason(), Some("ABISV Arg Rule Violated"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! No function allocates. Feature `alloc` adds owned conveniences, feature `serde` the JSON forms, and feature `abi`
//! policies by the arguments of a function that alloy knows ([`Policy::on`]).

#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::cast_lossless
)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod abi;
#[cfg(feature = "serde")]
pub mod json;
mod lint;
mod operation;
mod policy;
mod review;
mod session;
mod show;
mod sink;

#[cfg(feature = "abi")]
pub use abi::{ArgIndex, ArgumentError, Arguments, FunctionError, IntoFunction};
pub use abi::{elementary::ElementaryType, error::SelectorError, selector::FunctionSelector};
pub use alloy_primitives::{Address, B256, Keccak256, U256, address, b256};
pub use lint::{context::LintContext, finding::Lint, severity::Severity};
pub use operation::{
    HashError,
    call::{AccountCall, BatchCalls, Call, DecodeError, Execute, ExecuteBatch},
    entry_point::EntryPointVersion,
    initialization::Initialization,
    packed::{PackedUserOperation, UnpackError},
    paymaster::{Paymaster, PaymasterSignature},
    unpacked::UnpackedUserOperation,
    v0_6::{CallDataDigest, Digest, SignedUserOperation, UserOperation, signing_hash},
};
pub use policy::{
    Policy, Rule,
    builder::{ContractPolicy, PolicyBuilder, PolicyError, PolicyErrors, Words},
    condition::{Condition, UnknownCondition},
    epoch::SessionEpoch,
    error::{EncodeError, TimeField},
    reference_value::{ReferenceValue, ReferenceValueError},
};
pub use review::{
    Domain, Known, MultichainReview, MultichainReviewError, OnUnreadable, OperationHead, OperationReview,
    Review, ReviewError,
    context::{ContractRole, TrustedContext, TrustedContract},
    key_request::{KeyRequest, KeyRequestError, TaggedValue},
    review_use,
};
#[cfg(feature = "alloc")]
pub use session::leaf::Leaf;
pub use session::{
    erc20::{Erc20Policy, Erc20Refusal, Erc20SessionKeyData, evaluate_erc20},
    evaluate::{Refusal, evaluate},
    leaf::SessionLeaf,
    merkle, multichain,
    multichain::{MalformedMultichainSignature, MultichainSignature},
    routed_signature::{RoutedSession, RoutedSignature, routed_hash},
    session_key_data::{MalformedSessionKeyData, ParsedSessionKeyData, RawRule, SessionKeyData},
    signature::{DUMMY_SESSION_SIGNATURE, ModuleSignature, SessionSignature},
};
pub use sink::{BufferFull, Encode, Sink, SliceSink};
