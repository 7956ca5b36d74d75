//! A review in C's memory.

use core::ffi::c_void;
use core::fmt::Write as _;

use quorate_core::{Address, ReviewError};

use crate::border::{Bytes, Status, Text, Write, read, write_array};
use crate::operation::{Operation, Session};

/// `quorate_known`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the header says it")]
pub struct Known {
    pub session_key_manager: [u8; 20],
    pub abi_session_validation_module: [u8; 20],
}

/// `quorate_review`.
pub struct Review {
    review: quorate_core::Review<'static, Text>,
    /// For the reason of a refusal.
    text: Text,
    over: bool,
}

impl core::fmt::Debug for Review {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.review.fmt(f)
    }
}

/// `QUORATE_REVIEW_SIZE` and `QUORATE_REVIEW_ALIGN`.
const SIZE: usize = 4096;
const ALIGN: usize = 16;
const _: () = assert!(size_of::<Review>() <= SIZE && align_of::<Review>() <= ALIGN);

/// The functions whose arguments are named.
const FUNCTIONS: &[&str] = &[
    "safeMint(address to)",
    "transfer(address to, uint256 amount)",
    "approve(address spender, uint256 amount)",
    "transferFrom(address from, address to, uint256 amount)",
];

/// Begins the review of an operation.
///
/// # Safety
/// As the header says of its pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_review_begin(
    memory: *mut c_void,
    size: usize,
    known: *const Known,
    operation: *const Operation,
    write: Option<Write>,
    context: *mut c_void,
    review: *mut *mut Review,
) -> Status {
    Status::of(|| {
        if memory.is_null() || review.is_null() {
            return Err(Status::Null);
        }
        let place = memory.cast::<Review>();
        if size < size_of::<Review>() || !place.is_aligned() {
            return Err(Status::TooSmall);
        }
        // SAFETY: the caller's promise: the operation's fields, the function and its context are good until the review
        // ends, which is what `'static` stands for here.
        let (known, operation, text, reason) = unsafe {
            (read(known)?, read(operation)?, Text::new(write, context)?, Text::new(write, context)?)
        };
        let known = quorate_core::Known {
            session_key_manager: Address::from(known.session_key_manager),
            abi_session_validation_module: Address::from(known.abi_session_validation_module),
            functions: FUNCTIONS,
        };
        // SAFETY: as above.
        let head = unsafe { operation.head() }?;
        let begun = quorate_core::Review::begin(known, operation.target(), head, text);
        // SAFETY: not null, large enough and aligned, as was checked; that it is the caller's to write is promised.
        unsafe {
            place.write(Review { review: begun, text: reason, over: false });
            review.write(place);
        }
        Ok(())
    })
}

/// Shows the next session of a grant.
///
/// # Safety
/// As the header says of its pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_review_session(review: *mut Review, session: *const Session) -> Status {
    Status::of(|| {
        // SAFETY: the caller's promise.
        let (review, leaf) = unsafe { (review.as_mut().ok_or(Status::Null)?, read(session)?.leaf()?) };
        review.step(|review| review.session(&leaf))
    })
}

/// Takes the next piece of the call data.
///
/// # Safety
/// As the header says of its pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_review_call_data(review: *mut Review, piece: Bytes) -> Status {
    Status::of(|| {
        // SAFETY: the caller's promise.
        let (review, piece) = unsafe { (review.as_mut().ok_or(Status::Null)?, piece.read()?) };
        review.step(|review| review.call_data(piece))
    })
}

/// Ends the review, and gives the hash to sign.
///
/// # Safety
/// As the header says of its pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_review_finish(review: *mut Review, hash: *mut u8) -> Status {
    Status::of(|| {
        // SAFETY: the caller's promise.
        let review = unsafe { review.as_mut() }.ok_or(Status::Null)?;
        if hash.is_null() {
            return Err(Status::Null);
        }
        let reviewed = review.step(quorate_core::Review::finish)?;
        review.over = true;
        // SAFETY: the caller's promise.
        unsafe { write_array(hash, reviewed.0) }
    })
}

impl Review {
    /// One step, unless an earlier one refused; its reason becomes the last line.
    fn step<T>(
        &mut self,
        step: impl FnOnce(&mut quorate_core::Review<'static, Text>) -> Result<T, ReviewError>,
    ) -> Result<T, Status> {
        if self.over {
            return Err(Status::Refused);
        }
        step(&mut self.review).map_err(|error| {
            self.over = true;
            // What is not taken, nobody reads; it is refused all the same.
            let _ = writeln!(self.text, "REFUSED: {error}");
            Status::Refused
        })
    }
}
