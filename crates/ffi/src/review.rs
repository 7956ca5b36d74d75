//! The review of an operation, step by step.

use core::ffi::c_void;

use quorate_core::{Address, B256, ReviewState, SignedRoot, TrustedContext};

use crate::border::{Bytes, Output, read, read_array, read_words};
use crate::display::{Display, Show};
use crate::error::{Reason, Status, end};
use crate::operation::Operation;
use crate::sessions::Session;
use crate::storage::{Kind, Next, Review, Storage};
use crate::trusted::Trusted;

/// Begins the review of an operation, whatever was there before: shows who acts, and who pays how much.
///
/// What is trusted is used until the review ends, and so are `show` and `context`; the operation is not. `trusted` may be null
/// for what the library knows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_review_begin(
    review: *mut Review,
    trusted: *const Trusted,
    show: Show,
    context: *mut c_void,
    operation: *const Operation,
    reason: *mut Reason,
) -> Status {
    let begun = || {
        // SAFETY: the caller's promise.
        let storage = unsafe { Storage::open::<State>(review, trusted, show, context)? };
        storage.step(Next::Step, |state: &mut State| {
            // SAFETY: as above.
            let (operation, head) = unsafe {
                let operation = read(operation, "the operation")?;
                (operation, operation.head()?)
            };
            Ok(state.begin(operation.domain(), &head)?)
        })
    };
    // SAFETY: the caller's promise.
    unsafe { end(begun(), reason) }
}

/// Shows the next session that the account is to have. They come before the call data: all of them, in the order of their
/// tree, and none for an operation that grants nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_review_session(
    review: *mut Review,
    session: *const Session,
    reason: *mut Reason,
) -> Status {
    let taken = || {
        // SAFETY: the caller's promise.
        let storage = unsafe { Storage::at(review)? };
        storage.step(Next::Step, |state: &mut State| {
            // SAFETY: as above.
            let leaf = unsafe { read(session, "the session")?.leaf()? };
            Ok(state.session(&leaf)?)
        })
    };
    // SAFETY: the caller's promise.
    unsafe { end(taken(), reason) }
}

/// Shows a session of an unknown module that the account keeps, in place of quorate_review_session: its leaf is under the last
/// root that this device itself signed for this account, this chain and this session key manager. `siblings` is `count` times
/// 32 bytes, the proof. A root that somebody else gives proves nothing: any leaf has a proof under a root made for it.
/// cbindgen:ptrs-as-arrays=[[leaf; 32], [manager; 20], [signed_root; 32]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_review_kept_session(
    review: *mut Review,
    leaf: *const u8,
    siblings: *const u8,
    count: usize,
    manager: *const u8,
    signed_root: *const u8,
    reason: *mut Reason,
) -> Status {
    let taken = || {
        // SAFETY: the caller's promise.
        let storage = unsafe { Storage::at(review)? };
        storage.step(Next::Step, |state: &mut State| {
            // SAFETY: as above.
            let (leaf, proof, manager, root) = unsafe {
                (
                    read_array(leaf, "leaf")?,
                    read_words(siblings, count, "siblings")?,
                    read_array::<20>(manager, "manager")?,
                    read_array(signed_root, "signed_root")?,
                )
            };
            let signed = SignedRoot { manager: Address::from(*manager), root: B256::new(*root) };
            Ok(state.kept_session(B256::new(*leaf), proof, signed)?)
        })
    };
    // SAFETY: the caller's promise.
    unsafe { end(taken(), reason) }
}

/// Takes the next piece of the call data, and shows the calls that are whole.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_review_call_data(
    review: *mut Review,
    piece: Bytes,
    reason: *mut Reason,
) -> Status {
    let taken = || {
        // SAFETY: the caller's promise.
        let storage = unsafe { Storage::at(review)? };
        storage.step(Next::Step, |state: &mut State| {
            // SAFETY: as above.
            let piece = unsafe { piece.read("the call data")? };
            Ok(state.call_data(piece)?)
        })
    };
    // SAFETY: the caller's promise.
    unsafe { end(taken(), reason) }
}

/// Ends the review, and gives the operation's hash: what quorate_signing_hash takes if all that was shown is approved.
/// cbindgen:ptrs-as-arrays=[[hash; 32]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_review_finish(
    review: *mut Review,
    hash: *mut u8,
    reason: *mut Reason,
) -> Status {
    let finished = || {
        // SAFETY: the caller's promise.
        let storage = unsafe { Storage::at(review)? };
        storage.step(Next::End, |state: &mut State| {
            // SAFETY: as above.
            let hash = unsafe { Output::new(hash, "hash")? };
            hash.write(state.finish()?.0);
            Ok(())
        })
    };
    // SAFETY: the caller's promise.
    unsafe { end(finished(), reason) }
}

/// Reviews the use of a session by its key, in one step from begin to end: shows the operation, what the session allows, and
/// the calls, and refuses what the session forbids.
/// cbindgen:ptrs-as-arrays=[[hash; 32]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_review_use(
    review: *mut Review,
    trusted: *const Trusted,
    show: Show,
    context: *mut c_void,
    operation: *const Operation,
    session: *const Session,
    call_data: Bytes,
    hash: *mut u8,
    reason: *mut Reason,
) -> Status {
    let reviewed = || {
        // SAFETY: the caller's promise.
        let storage = unsafe { Storage::open::<State>(review, trusted, show, context)? };
        storage.step(Next::End, |state: &mut State| {
            // SAFETY: as above.
            let (operation, head, leaf, call_data, hash) = unsafe {
                let operation = read(operation, "the operation")?;
                let session = read(session, "the session")?;
                let call_data = call_data.read("the call data")?;
                (operation, operation.head()?, session.leaf()?, call_data, Output::new(hash, "hash")?)
            };
            hash.write(state.session_use(operation.domain(), &head, call_data, &leaf)?.0);
            Ok(())
        })
    };
    // SAFETY: the caller's promise.
    unsafe { end(reviewed(), reason) }
}

type State = ReviewState<'static, &'static mut Display>;

impl Kind for State {
    const STAGE: u32 = 1;

    fn new(trusted: TrustedContext<'static>, display: &'static mut Display) -> Self {
        Self::new(trusted, display)
    }
}
