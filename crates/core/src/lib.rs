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
mod call;
mod condition;
mod danger;
mod epoch;
mod erc20;
mod evaluate;
#[cfg(feature = "serde")]
pub mod json;
mod key_request;
mod leaf;
pub mod merkle;
mod mistake;
pub mod multichain;
mod packed_user_operation;
mod policy;
mod policy_builder;
mod reference_value;
mod review;
mod routed_signature;
mod selector;
mod session_key_data;
mod show;
mod signature;
mod signature_text;
mod sink;
mod user_operation;

#[cfg(feature = "abi")]
pub use abi::{ArgIndex, ArgumentError, Arguments, FunctionError, IntoFunction};
pub use alloy_primitives::{Address, B256, Keccak256, U256, address, b256};
pub use call::{AccountCall, BatchCalls, Call, DecodeError, Execute, ExecuteBatch};
pub use condition::{Condition, UnknownCondition};
pub use danger::{Danger, Surroundings};
pub use epoch::{SessionEpoch, TimeField};
pub use erc20::{Erc20Policy, Erc20Refusal, Erc20SessionKeyData, evaluate_erc20};
pub use evaluate::{Refusal, evaluate};
pub use key_request::{KeyRequest, KeyRequestError, TaggedValue};
#[cfg(feature = "alloc")]
pub use leaf::Leaf;
pub use leaf::SessionLeaf;
pub use mistake::Mistake;
pub use multichain::{MalformedMultichainSignature, MultichainSignature};
pub use packed_user_operation::{
    HashError, Init, PackedUserOperation, Paymaster, PaymasterSignature, UnpackError, UnpackedUserOperation,
};
pub use policy::{EncodeError, Policy, Rule};
pub use policy_builder::{ContractPolicy, PolicyBuilder, PolicyError, PolicyErrors, Words};
pub use reference_value::{ReferenceValue, ReferenceValueError};
pub use review::{
    Known, MultichainReview, MultichainReviewError, OnUnreadable, OperationHead, OperationReview, Review,
    ReviewError, Target, review_use,
};
pub use routed_signature::{RoutedSession, RoutedSignature, routed_hash};
pub use selector::{FunctionSelector, SelectorError};
pub use session_key_data::{MalformedSessionKeyData, ParsedSessionKeyData, RawRule, SessionKeyData};
pub use signature::{DUMMY_SESSION_SIGNATURE, ModuleSignature, SessionSignature};
pub use sink::{BufferFull, Encode, Sink, SliceSink};
pub use user_operation::{Digest, Hashed, SignedUserOperation, UserOperation, signing_hash};
