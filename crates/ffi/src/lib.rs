//! The core for C firmware: `include/quorate.h` says what there is, and this is it.
//!
//! This is the only crate with unsafe code. It does four things with it: it reads what C's pointers point to, writes to
//! C's buffers, keeps a review in C's memory, and calls C's function with text. What C promises of its pointers is in the
//! header; that they are not null is checked. Nothing panics across the border: an `extern "C"` function that panics
//! stops the program.

#![no_std]

#[cfg(feature = "host")]
extern crate std;

mod border;
#[cfg(not(feature = "host"))]
mod device;
mod operation;
mod review;

use core::fmt::Write as _;

use quorate_core::{B256, evaluate, merkle, signing_hash};

pub use self::border::{Bytes, Status, Write};
use self::border::{Text, read, read_array, read_words, write_array};
pub use self::operation::{Operation, Session};
pub use self::review::{
    Known, Review, quorate_review_begin, quorate_review_call_data, quorate_review_finish,
    quorate_review_session,
};

/// The hash that names an operation.
///
/// # Safety
/// As the header says of its pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_user_op_hash(
    operation: *const Operation,
    call_data: Bytes,
    hash: *mut u8,
) -> Status {
    Status::of(|| {
        // SAFETY: the caller's promise, for all three.
        let (operation, call_data) = unsafe { (read(operation)?, call_data.read()?) };
        let hashed = operation.hash(call_data)?;
        // SAFETY: as above.
        unsafe { write_array(hash, hashed.0) }
    })
}

/// What is signed for a user operation hash.
///
/// # Safety
/// As the header says of its pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_signing_hash(user_op_hash: *const u8, digest: *mut u8) -> Status {
    // SAFETY: the caller's promise.
    Status::of(|| unsafe { write_array(digest, signing_hash(B256::new(*read_array(user_op_hash)?)).0) })
}

/// A session's leaf.
///
/// # Safety
/// As the header says of its pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_session_leaf(session: *const Session, leaf: *mut u8) -> Status {
    // SAFETY: the caller's promise.
    Status::of(|| unsafe { write_array(leaf, read(session)?.leaf()?.hash().0) })
}

/// Whether a leaf is under a root.
///
/// # Safety
/// As the header says of its pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_verify_proof(
    root: *const u8,
    leaf: *const u8,
    siblings: *const u8,
    count: usize,
) -> Status {
    Status::of(|| {
        // SAFETY: the caller's promise.
        let (root, leaf, siblings) =
            unsafe { (read_array(root)?, read_array(leaf)?, read_words(siblings, count)?) };
        if merkle::verify(B256::new(*root), B256::new(*leaf), siblings) {
            Ok(())
        } else {
            Err(Status::Refused)
        }
    })
}

/// What the ABI session validation module says of the account's call data.
///
/// # Safety
/// As the header says of its pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_evaluate(
    session_key_data: Bytes,
    call_data: Bytes,
    session_key: *mut u8,
    write: Option<Write>,
    context: *mut core::ffi::c_void,
) -> Status {
    Status::of(|| {
        // SAFETY: the caller's promise.
        let (data, call_data) = unsafe { (session_key_data.read()?, call_data.read()?) };
        match evaluate(data, call_data) {
            // SAFETY: as above.
            Ok(key) => unsafe { write_array(session_key, key.into_array()) },
            Err(refusal) => {
                // SAFETY: as above.
                let mut text = unsafe { Text::new(write, context) }?;
                // What is not taken, nobody reads; it is refused all the same.
                let _ = writeln!(text, "{refusal}");
                Err(Status::Refused)
            }
        }
    })
}
