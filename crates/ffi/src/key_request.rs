//! The review of an owner's request for a key.

use core::ffi::c_void;

use quorate_core::{KeyRequestReview, TaggedValue, TrustedContext};

use crate::border::{Bytes, Output, Text, read, read_slice};
use crate::display::{Display, Show};
use crate::error::{Error, Reason, Status, end};
use crate::storage::{Kind, Next, Review, Storage};
use crate::trusted::Trusted;

/// The most entries that a request's metadata has.
pub const QUORATE_MAX_ENTRIES: usize = 4;

/// An entry of a request's metadata.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// What the value is.
    pub tag: u16,
    /// The value.
    pub value: Text,
}

/// What an owner signs to have a signing network make a key (EIP-712, wallet-provider protocol).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct KeyRequest {
    /// How many nodes sign.
    pub threshold: u32,
    /// How many nodes hold a share.
    pub nodes: u32,
    /// What the key is for.
    pub metadata: *const Entry,
    /// The number of its entries, at most QUORATE_MAX_ENTRIES.
    pub metadata_count: usize,
    /// The network's challenge.
    pub challenge: Text,
}

/// Begins the review of a request for a key, whatever was there before: shows the request.
///
/// What is trusted is used until the review ends, and so are `show` and `context`; the request is not. `trusted` may be null
/// for what the library knows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_key_request_begin(
    review: *mut Review,
    trusted: *const Trusted,
    show: Show,
    context: *mut c_void,
    request: *const KeyRequest,
    reason: *mut Reason,
) -> Status {
    let begun = || {
        // SAFETY: the caller's promise.
        let storage = unsafe { Storage::open::<State>(review, trusted, show, context)? };
        // SAFETY: as above.
        storage.step(Next::Step, |state: &mut State| unsafe { begin(state, request) })
    };
    // SAFETY: the caller's promise.
    unsafe { end(begun(), reason) }
}

/// Takes the next piece of the permissions' text, and shows what they allow. Without it, the end shows that what the key may
/// sign is not shown.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_key_request_permissions(
    review: *mut Review,
    piece: Bytes,
    reason: *mut Reason,
) -> Status {
    let taken = || {
        // SAFETY: the caller's promise.
        let storage = unsafe { Storage::at(review)? };
        storage.step(Next::Step, |state: &mut State| {
            // SAFETY: as above.
            let piece = unsafe { piece.read("the permissions")? };
            Ok(state.permissions(piece)?)
        })
    };
    // SAFETY: the caller's promise.
    unsafe { end(taken(), reason) }
}

/// Ends the review, and gives the digest to sign if all that was shown is approved.
/// cbindgen:ptrs-as-arrays=[[digest; 32]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_key_request_finish(
    review: *mut Review,
    digest: *mut u8,
    reason: *mut Reason,
) -> Status {
    let finished = || {
        // SAFETY: the caller's promise.
        let storage = unsafe { Storage::at(review)? };
        storage.step(Next::End, |state: &mut State| {
            // SAFETY: as above.
            let digest = unsafe { Output::new(digest, "digest")? };
            digest.write(state.finish()?.0);
            Ok(())
        })
    };
    // SAFETY: the caller's promise.
    unsafe { end(finished(), reason) }
}

type State = KeyRequestReview<'static, &'static mut Display>;

impl Kind for State {
    const STAGE: u32 = 2;

    fn new(trusted: TrustedContext<'static>, display: &'static mut Display) -> Self {
        Self::new(trusted, display)
    }
}

/// # Safety
/// The pointers are null or good.
unsafe fn begin(state: &mut State, request: *const KeyRequest) -> Result<(), Error> {
    // SAFETY: the caller's promise, for all.
    let (request, entries, challenge) = unsafe {
        let request = read(request, "the request")?;
        let entries = read_slice(request.metadata, request.metadata_count, "the metadata")?;
        (request, entries, request.challenge.read("the challenge")?)
    };
    let mut metadata = heapless::Vec::<_, QUORATE_MAX_ENTRIES>::new();
    for Entry { tag, value } in entries {
        // SAFETY: as above.
        let value = unsafe { value.read("a value of the metadata")? };
        metadata.push(TaggedValue { tag: *tag, value }).map_err(|_| TOO_MANY_ENTRIES)?;
    }
    let &KeyRequest { threshold, nodes, .. } = request;
    Ok(state.begin(&quorate_core::KeyRequest { threshold, nodes, metadata: &metadata, challenge })?)
}

const TOO_MANY_ENTRIES: Error = Error::Malformed { what: "the metadata", wanted: "it has at most 4 entries" };
