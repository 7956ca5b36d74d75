//! How a call ends, and why.

use core::ffi::c_char;

#[cfg(feature = "delegation")]
use quorate_core::{DelegationReviewError, delegation::ContextError};
use quorate_core::{
    HashError, KeyRequestError, Refusal, ReviewError, SessionUseError, UnpackError, Written as _,
    merkle::TreeError, texts,
};

/// How a call ends: one of the numbers that follow. Nothing may be signed after anything but QUORATE_OK.
pub type Status = u32;

/// What was asked for is done.
pub const QUORATE_OK: Status = 0;
/// A pointer is null that may not be.
pub const QUORATE_NULL: Status = 1;
/// An argument cannot be read: a time of more than 48 bits, a number that is none of those listed, a pointer that is not
/// aligned, bytes that are not one delegation.
pub const QUORATE_MALFORMED: Status = 2;
/// The review, the evaluation or the verification refuses.
pub const QUORATE_REFUSED: Status = 3;
/// The step does not come now: no review is begun, or it is over, or the call data has begun and a session comes.
pub const QUORATE_ORDER: Status = 4;
/// The review was called from within its own callback.
pub const QUORATE_REENTRY: Status = 5;

/// Room for the reason why a call does not end in QUORATE_OK: one line of ASCII. Wherever a function takes one, it may be
/// null.
#[repr(C)]
#[derive(Debug)]
pub struct Reason {
    /// Room for so many bytes, or null. What is written ends in a zero, unless there is no room at all.
    pub text: *mut c_char,
    /// The room.
    pub size: usize,
    /// Set by the call: the length of the whole reason without its zero. It was cut where that is not less than `size`.
    pub len: usize,
}

/// Why a call does not do what it is asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    Null(&'static str),
    Malformed {
        what: &'static str,
        wanted: &'static str,
    },
    NotBegun,
    OtherKind,
    Reentry,
    NotUnderRoot,
    #[cfg(feature = "delegation")]
    #[error(transparent)]
    Context(#[from] ContextError),
    #[cfg(feature = "delegation")]
    #[error(transparent)]
    Delegation(#[from] DelegationReviewError),
    #[error(transparent)]
    Evaluation(#[from] Refusal),
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error(transparent)]
    KeyRequest(#[from] KeyRequestError),
    #[error(transparent)]
    Review(#[from] ReviewError),
    #[error(transparent)]
    SessionUse(#[from] SessionUseError),
    #[error(transparent)]
    Tree(#[from] TreeError),
    #[error(transparent)]
    Unpack(#[from] UnpackError),
}

texts!(Error {
    Null(what) => "{} is null",
    Malformed { what, wanted } => "{} cannot be read: {}",
    NotBegun => "no review is begun here, or it is over",
    OtherKind => "the step is not one of the review that was begun",
    Reentry => "the review was called from within its own callback",
    NotUnderRoot => "the leaf is not under the root",
    #[cfg(feature = "delegation")]
    Context(error) => "{}",
    #[cfg(feature = "delegation")]
    Delegation(error) => "{}",
    Evaluation(error) => "{}",
    Hash(error) => "{}",
    KeyRequest(error) => "{}",
    Review(error) => "{}",
    SessionUse(error) => "{}",
    Tree(error) => "{}",
    Unpack(error) => "{}",
});

impl Error {
    /// Whether the core has shown it.
    pub(crate) const fn is_shown(&self) -> bool {
        match self {
            #[cfg(feature = "delegation")]
            Self::Delegation(_) => true,
            Self::Review(_) | Self::KeyRequest(_) | Self::SessionUse(_) => true,
            _ => false,
        }
    }

    pub(crate) const fn status(&self) -> Status {
        match self {
            Self::Null(_) => QUORATE_NULL,
            Self::Malformed { .. } | Self::Hash(_) | Self::Unpack(_) => QUORATE_MALFORMED,
            Self::NotBegun
            | Self::OtherKind
            | Self::Review(ReviewError::OutOfOrder { .. })
            | Self::SessionUse(SessionUseError::Review(ReviewError::OutOfOrder { .. }))
            | Self::KeyRequest(KeyRequestError::NotBegun) => QUORATE_ORDER,
            Self::Reentry => QUORATE_REENTRY,
            #[cfg(feature = "delegation")]
            Self::Context(_) => QUORATE_MALFORMED,
            #[cfg(feature = "delegation")]
            Self::Delegation(_) => QUORATE_REFUSED,
            Self::NotUnderRoot
            | Self::Evaluation(_)
            | Self::KeyRequest(_)
            | Self::Review(_)
            | Self::SessionUse(_)
            | Self::Tree(_) => QUORATE_REFUSED,
        }
    }
}

/// Ends a call: its status, and its reason where C has room for it.
///
/// # Safety
/// `reason` is null or points to a reason, whose text is null or has its room.
pub(crate) unsafe fn end(result: Result<(), Error>, reason: *mut Reason) -> Status {
    if !reason.is_null() && reason.is_aligned() {
        // SAFETY: neither null nor misaligned, and the rest is the caller's promise.
        let reason = unsafe { &mut *reason };
        reason.len = 0;
        let mut write = |piece: &str| {
            // SAFETY: the caller's promise.
            unsafe { reason.write(piece) };
            Ok(())
        };
        // It takes whatever comes.
        let _ = match &result {
            Ok(()) => write(""),
            Err(error) => error.write(&mut write),
        };
    }
    result.err().map_or(QUORATE_OK, |error| error.status())
}

impl Reason {
    /// Writes what there is room for, and counts all of it.
    ///
    /// # Safety
    /// The text is null or has its room.
    unsafe fn write(&mut self, piece: &str) {
        let Self { text: room, size, len } = self;
        if !room.is_null() && *size > 0 {
            let start = (*len).min(*size - 1);
            let taken = piece.len().min(*size - 1 - start);
            // SAFETY: `start + taken` is less than the size of the room, which is the caller's promise.
            unsafe {
                let end = room.add(start);
                end.copy_from_nonoverlapping(piece.as_ptr().cast(), taken);
                end.add(taken).write(0);
            }
        }
        *len += piece.len();
    }
}
