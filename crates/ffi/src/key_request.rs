//! The review of an owner's request for a key.

use core::ffi::c_void;

use quorate_core::TaggedValue;

use crate::border::{Output, Text, read, read_slice};
use crate::display::{Display, Show, given, refuse};
use crate::error::{Error, Reason, Status, end};

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

/// Shows a request for a key, and gives the digest to sign if what was shown is approved.
/// cbindgen:ptrs-as-arrays=[[digest; 32]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_key_request_review(
    request: *const KeyRequest,
    show: Show,
    context: *mut c_void,
    digest: *mut u8,
    reason: *mut Reason,
) -> Status {
    let reviewed = || {
        let show = given(show)?;
        // SAFETY: the caller's promise.
        let mut display = unsafe { Display::new(show, context) };
        // SAFETY: as above.
        unsafe { review(request, &mut display, digest) }.inspect_err(|error| {
            if !matches!(error, Error::KeyRequest(_)) {
                refuse(&mut display, error);
            }
        })
    };
    // SAFETY: the caller's promise.
    unsafe { end(reviewed(), reason) }
}

/// # Safety
/// The pointers are null or good.
unsafe fn review(request: *const KeyRequest, display: &mut Display, digest: *mut u8) -> Result<(), Error> {
    // SAFETY: the caller's promise, for all.
    let (digest, request, entries, challenge) = unsafe {
        let request = read(request, "the request")?;
        (
            Output::new(digest, "digest")?,
            request,
            read_slice(request.metadata, request.metadata_count, "the metadata")?,
            request.challenge.read("the challenge")?,
        )
    };
    let mut metadata = heapless::Vec::<_, QUORATE_MAX_ENTRIES>::new();
    for Entry { tag, value } in entries {
        // SAFETY: as above.
        let value = unsafe { value.read("a value of the metadata")? };
        metadata.push(TaggedValue { tag: *tag, value }).map_err(|_| TOO_MANY_ENTRIES)?;
    }
    let &KeyRequest { threshold, nodes, .. } = request;
    let request = quorate_core::KeyRequest { threshold, nodes, metadata: &metadata, challenge };
    digest.write(request.review(display)?.0);
    Ok(())
}

const TOO_MANY_ENTRIES: Error = Error::Malformed { what: "the metadata", wanted: "it has at most 4 entries" };
