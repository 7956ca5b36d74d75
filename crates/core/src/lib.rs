#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
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
#[cfg(feature = "delegation")]
pub mod delegation;
#[cfg(feature = "serde")]
pub mod json;
mod keccak;
mod lint;
mod operation;
mod policy;
mod review;
mod session;
mod show;
mod sink;
#[cfg(feature = "delegation")]
mod transaction;
mod trusted;
mod written;

#[doc(hidden)]
pub use abi::signature_text::Argument;
pub use abi::{
    elementary::ElementaryType, error::SelectorError, known_function::KnownFunction,
    selector::FunctionSelector,
};
pub use alloy_primitives::{Address, B256, Keccak256, U256, address, b256};
pub use lint::{context::LintContext, finding::Lint, severity::Severity};
pub use operation::{
    HashError,
    call::{AccountCall, BatchCalls, Call, DecodeError, Execute, ExecuteBatch},
    entry_point::EntryPointVersion,
    initialization::Initialization,
    packed::{PackedUserOperation, UnpackError},
    paymaster::{Paymaster, PaymasterSignature, PaymasterV0_6},
    unpacked::UnpackedUserOperation,
    v0_6::{CallDataDigest, Digest, SignedUserOperation, UserOperation, signing_hash},
};
#[cfg(feature = "abi")]
pub use policy::arguments::{ArgIndex, ArgumentError, ArgumentWord, Arguments, FunctionError, IntoFunction};
pub use policy::{
    Policy, Rule,
    builder::{ContractPolicy, PolicyBuilder, PolicyError, PolicyErrors, Words},
    condition::{Condition, UnknownCondition},
    epoch::SessionEpoch,
    error::{EncodeError, TimeField},
    reference_value::{ReferenceValue, ReferenceValueError},
};
pub use review::{
    CallData, Domain, Item, KeyRequest, KeyRequestError, KeyRequestReview, Label, MultichainReview,
    MultichainReviewError, NotShown, OnUnreadable, OperationHead, ReviewError, ReviewState, SessionUseError,
    Sessions, Show, SignedRoot, Subject, TaggedValue, Text, Value,
};
#[cfg(feature = "delegation")]
pub use review::{DelegationDomain, DelegationReview, DelegationReviewError};
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
#[cfg(feature = "delegation")]
pub use transaction::{SignedTransaction, Transaction};
pub use trusted::{ContractRole, TrustedContext, TrustedContract};
pub use written::{TextSink, Written, write_text};
