//! What is about to be signed, as items for a display, from the exact bytes that will be signed.
//!
//! A device that shows what an app *says* signs whatever the app wants. [`ReviewState`] reads the user operation itself:
//! the items come from the bytes as they are hashed, and the hash to sign comes after the last of them, from that
//! same pass. For a grant it first shows the sessions and then checks that they are what the operation's root
//! stands for. What it cannot read it does not pass over: it refuses, or where asked to says that it is blind. A call that
//! can change who controls the account is read to its last byte, or refused.
//!
//! ```
//! use quorate_core::*;
//!
//! // A session for one policy …
//! let friend = Address::repeat_byte(0xcc);
//! let policy = Policy::new(Address::repeat_byte(0xaa), "safeMint(address)".parse()?)
//!     .with_rule(Rule::new(0, Condition::Equal, friend))?;
//! let mut session_key_data = heapless::Vec::<u8, 128>::new();
//! SessionKeyData::new(Address::repeat_byte(0xbb), &policy).write_to(&mut session_key_data)?;
//! let module = address!("000006bC2eCdAe38113929293d241Cf252D91861");
//! let leaf = SessionLeaf { epoch: policy.epoch(), validation_module: module, session_key_data: &session_key_data };
//!
//! // … and the operation that grants it.
//! let manager = address!("000002FbFfedd9B33F4E7156F2DE8D48945E7489");
//! let set_merkle_root = FunctionSelector::parse("setMerkleRoot(bytes32)")?;
//! let set_root = [set_merkle_root.as_bytes().as_slice(), leaf.hash().as_slice()].concat();
//! let mut call_data = heapless::Vec::<u8, 256>::new();
//! Execute(Call { to: manager, value: U256::ZERO, data: &set_root }).write_to(&mut call_data)?;
//! let operation = UserOperation::<&[u8]> { call_data: &call_data, ..UserOperation::default() };
//!
//! let trusted = TrustedContext { functions: known_functions!["safeMint(address to)"], ..TrustedContext::CANONICAL };
//! let domain = Domain { entry_point: EntryPointVersion::V0_6.address(), chain_id: 1 };
//! let head = OperationHead::V0_6(operation.without_call_data());
//! let mut shown = String::new();
//! let mut state: ReviewState<'_, _> = ReviewState::new(trusted, Text(&mut shown));
//! let mut calls = state.review(domain, &head)?.session(&leaf)?.calls();
//! for piece in call_data.chunks(50) {
//!     calls = calls.piece(piece)?;
//! }
//! let hash = calls.finish()?;
//! assert_eq!(hash, operation.hash(domain.entry_point, domain.chain_id));
//! assert!(shown.contains("safeMint(address to)"));
//! assert!(shown.contains(&format!("only if to is equal to {friend}")));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod call_stream;
mod calls;
mod control;
#[cfg(feature = "delegation")]
mod delegation;
mod error;
mod function;
mod gas;
mod head;
mod item;
mod items;
pub(crate) mod key_request;
mod label;
mod multichain;
mod session_use;
mod sessions;
mod state;
mod steps;
mod text;

#[cfg(feature = "delegation")]
pub use self::delegation::{DelegationDomain, DelegationReview, DelegationReviewError};
pub use self::{
    error::{ReviewError, SessionUseError},
    function::Subject,
    head::{Domain, OperationHead},
    item::{Item, NotShown, Show, Value},
    key_request::{KeyRequest, KeyRequestError, KeyRequestReview, TaggedValue},
    label::Label,
    multichain::{MultichainReview, MultichainReviewError},
    state::{CallData, OnUnreadable, ReviewState, Sessions, SignedRoot},
    text::Text,
};
