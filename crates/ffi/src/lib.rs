//! The core for C firmware, behind `include/quorate.h`, which is made of what is here.
//!
//! Unsafe code does four things: it reads what C's pointers point to, writes to C's buffers, keeps a review in C's memory,
//! and calls C's function with items. What C promises of its pointers is said once, at the head of the header; that they
//! are not null and aligned is checked. Nothing panics across the border: an `extern "C"` function that panics stops the
//! program.
//!
//! The crate is a Rust library; the static library for C is made of it by `cargo rustc --crate-type staticlib`.

#![no_std]
#![allow(clippy::missing_safety_doc, reason = "the header says once what C promises of its pointers")]

#[cfg(not(target_os = "none"))]
extern crate std;

#[cfg(target_os = "none")]
mod bare_metal;
mod border;
#[cfg(feature = "delegation")]
mod delegation;
mod display;
mod error;
mod key_request;
mod operation;
mod review;
mod sessions;
mod storage;
mod trusted;
mod version;

pub use self::border::{Bytes, Text};
#[cfg(feature = "delegation")]
pub use self::delegation::quorate_review_delegation;
pub use self::display::{Item, Show};
pub use self::error::{Reason, Status};
pub use self::key_request::{
    Entry, KeyRequest, quorate_key_request_begin, quorate_key_request_finish, quorate_key_request_permissions,
};
pub use self::operation::{Operation, quorate_signing_hash, quorate_user_op_hash};
pub use self::review::{
    quorate_review_begin, quorate_review_call_data, quorate_review_finish, quorate_review_kept_session,
    quorate_review_session, quorate_review_use,
};
pub use self::sessions::{
    Session, quorate_evaluate, quorate_merkle_root, quorate_session_leaf, quorate_verify_proof,
};
pub use self::storage::Review;
pub use self::trusted::{Contract, Trusted};
pub use self::version::quorate_version;

/// The numbers of the header.
pub mod constants {
    pub use crate::display::{
        QUORATE_DANGER, QUORATE_INFO, QUORATE_REFUSAL, QUORATE_VALUE_SIZE, QUORATE_WARNING,
    };
    pub use crate::error::{
        QUORATE_MALFORMED, QUORATE_NULL, QUORATE_OK, QUORATE_ORDER, QUORATE_REENTRY, QUORATE_REFUSED,
    };
    pub use crate::key_request::QUORATE_MAX_ENTRIES;
    pub use crate::operation::{QUORATE_V0_6, QUORATE_V0_7, QUORATE_V0_8, QUORATE_V0_9};
    pub use crate::storage::{QUORATE_REVIEW_SIZE, QUORATE_REVIEW_WORDS};
    pub use crate::trusted::{
        QUORATE_ABI_SESSION_VALIDATION_MODULE, QUORATE_BATCHED_SESSION_ROUTER, QUORATE_ENTRY_POINT_V0_6,
        QUORATE_ENTRY_POINT_V0_7, QUORATE_ENTRY_POINT_V0_8, QUORATE_ENTRY_POINT_V0_9,
        QUORATE_ERC20_SESSION_VALIDATION_MODULE, QUORATE_MAX_CONTRACTS, QUORATE_MAX_FUNCTIONS,
        QUORATE_MULTICHAIN_MODULE, QUORATE_OWNERSHIP_MODULE, QUORATE_SESSION_KEY_MANAGER,
    };
    pub use crate::version::{
        QUORATE_VERSION, QUORATE_VERSION_MAJOR, QUORATE_VERSION_MINOR, QUORATE_VERSION_PATCH,
    };
}
