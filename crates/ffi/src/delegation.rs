//! The review of a delegation.

use core::ffi::c_void;

use quorate_core::delegation::Context;
use quorate_core::{Address, DelegationDomain, DelegationReview, TrustedContext};

use crate::border::{Bytes, Output, read_array};
use crate::display::{Display, Show};
use crate::error::{Error, Reason, Status, end};
use crate::storage::{Kind, Next, Review, Storage};
use crate::trusted::Trusted;

/// Reviews what an owner signs to let a key act for their account (ERC-7710), in one step from begin to end: shows the delegation
/// with its caveats, and gives the digest to sign if all that was shown is approved. Not in a library that was made without feature
/// `delegation`.
///
/// `delegation` is the canonical abi.encode of an array of exactly one delegation, as its manager takes it; its signature may be
/// empty, and is not looked at. The manager and the enforcers that are known are those of version 1.3.0 of MetaMask's framework.
/// cbindgen:ptrs-as-arrays=[[manager; 20], [digest; 32]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_review_delegation(
    review: *mut Review,
    trusted: *const Trusted,
    show: Show,
    context: *mut c_void,
    chain_id: u64,
    manager: *const u8,
    delegation: Bytes,
    digest: *mut u8,
    reason: *mut Reason,
) -> Status {
    let reviewed = || {
        // SAFETY: the caller's promise.
        let storage = unsafe { Storage::open::<State>(review, trusted, show, context)? };
        storage.step(Next::End, |state: &mut State| {
            // SAFETY: as above.
            let (manager, delegation, digest) = unsafe {
                let manager = read_array::<20>(manager, "manager")?;
                (manager, delegation.read("the delegation")?, Output::new(digest, "digest")?)
            };
            let domain = DelegationDomain { chain_id, manager: Address::from(*manager) };
            let delegation = Context::parse(delegation)?.single().ok_or(NOT_ONE)?;
            digest.write(state.review(domain, &delegation)?.0);
            Ok(())
        })
    };
    // SAFETY: the caller's promise.
    unsafe { end(reviewed(), reason) }
}

const NOT_ONE: Error = Error::Malformed { what: "the delegation", wanted: "it is exactly one" };

type State = DelegationReview<'static, &'static mut Display>;

impl Kind for State {
    const STAGE: u32 = 3;

    fn new(trusted: TrustedContext<'static>, display: &'static mut Display) -> Self {
        Self::new(trusted, display)
    }
}
