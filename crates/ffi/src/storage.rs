//! A review in C's memory.

use core::ffi::c_void;
use core::fmt;
use core::mem::MaybeUninit;

#[cfg(feature = "delegation")]
use quorate_core::DelegationReview;
use quorate_core::{KeyRequestReview, ReviewState, TrustedContext};

use crate::border::{check, read};
use crate::display::{Display, Show, given, refuse};
use crate::error::Error;
use crate::trusted::{Trusted, TrustedStorage};

/// The size of a review in words of 8 bytes.
pub const QUORATE_REVIEW_WORDS: usize = 700;
/// The size of a review in bytes.
pub const QUORATE_REVIEW_SIZE: usize = QUORATE_REVIEW_WORDS * 8;

/// A review, in memory of the caller's that is all zeros before its first use and is not moved within a review. It can be
/// used again and again, and there may be many.
///
/// Each operation begins with quorate_review_begin; each session of a grant follows, then the call data in pieces of any length,
/// then the end, which gives the hash to sign if all that was shown is approved. A request for a key begins with
/// quorate_key_request_begin; the permissions follow in pieces, then the end. The use of a session, and a delegation, are one step.
/// Whatever does not end in QUORATE_OK ends the review: its reason is the last item shown, and nothing but a new begin does
/// anything then.
#[repr(C)]
pub struct Review {
    opaque: [u64; QUORATE_REVIEW_WORDS],
}

impl fmt::Debug for Review {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Review").finish_non_exhaustive()
    }
}

/// What is in a `Review`. All but the stage is there once a review was begun.
#[repr(C)]
pub(crate) struct Storage {
    /// `OVER`, `WITHIN`, or what kind of review is open.
    stage: u32,
    display: MaybeUninit<Display>,
    trusted: MaybeUninit<TrustedStorage>,
    /// It borrows the two above.
    state: MaybeUninit<State>,
}

const _: () = assert!(size_of::<Storage>() <= size_of::<Review>());
const _: () = assert!(align_of::<Storage>() <= align_of::<Review>());

/// Room for a review of any kind.
#[allow(dead_code, reason = "it has the size of the larger one")]
union State {
    operation: core::mem::ManuallyDrop<ReviewState<'static, &'static mut Display>>,
    key_request: core::mem::ManuallyDrop<KeyRequestReview<'static, &'static mut Display>>,
    #[cfg(feature = "delegation")]
    delegation: core::mem::ManuallyDrop<DelegationReview<'static, &'static mut Display>>,
}

/// Nothing was begun, which zeros say, or what was begun is refused or finished.
const OVER: u32 = 0;
/// Within a step, so that whatever comes now comes from its callback.
const WITHIN: u32 = u32::MAX;

/// A kind of review, which is one of the fields of `State`.
pub(crate) trait Kind {
    /// The stage of one that waits for its next step.
    const STAGE: u32;

    fn new(trusted: TrustedContext<'static>, display: &'static mut Display) -> Self;
}

/// What comes after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Step,
    End,
}

/// A place in C's memory where nothing is going on, which nobody else uses while this is.
///
/// There is no reference to the whole of it, but one to each part: what is called from within the callback reads the stage
/// while the step that called back has the rest.
pub(crate) struct Idle(*mut Storage);

impl Storage {
    /// # Safety
    /// The pointer is null or points to a review, which no other thread uses.
    pub(crate) unsafe fn at(review: *mut Review) -> Result<Idle, Error> {
        check(review, "the review")?;
        let idle = Idle(review.cast());
        if idle.stage() == WITHIN { Err(Error::Reentry) } else { Ok(idle) }
    }

    /// Makes a new review in the place of whatever there is.
    ///
    /// # Safety
    /// As for [`at`](Self::at); the other pointers are null or good for as long as the review.
    // What it needs of the stack is free again when the first step comes.
    #[inline(never)]
    pub(crate) unsafe fn open<S: Kind>(
        review: *mut Review,
        trusted: *const Trusted,
        show: Show,
        context: *mut c_void,
    ) -> Result<Idle, Error> {
        // SAFETY: the caller's promise.
        let idle = unsafe { Self::at(review)? };
        idle.set(OVER);
        let (place, show) = (idle.0, given(show)?);
        // SAFETY: the place is the caller's to give, and is used as the types of its parts have it. The references to its
        // parts are good until the review ends, which is what `'static` stands for here.
        let (display, storage): (&'static mut Display, &'static mut TrustedStorage) = unsafe {
            (
                (*place).display.write(Display::new(show, context)),
                (*place).trusted.write(TrustedStorage::new()),
            )
        };
        // SAFETY: the caller's promise.
        let context = unsafe {
            let trusted = if trusted.is_null() { Ok(None) } else { read(trusted, "trusted").map(Some) };
            trusted.and_then(|trusted| storage.fill(trusted))
        };
        match context {
            Ok(context) => {
                // SAFETY: as above; there is room for a review of any kind.
                unsafe { (&raw mut (*place).state).cast::<S>().write(S::new(context, display)) };
                idle.set(S::STAGE);
                Ok(idle)
            }
            Err(error) => {
                idle.refuse(&error);
                Err(error)
            }
        }
    }
}

impl Idle {
    /// Takes a step of a review of this kind. If it fails, its reason is shown, and the review is over.
    pub(crate) fn step<S: Kind>(
        self,
        next: Next,
        take: impl FnOnce(&mut S) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let stage = self.stage();
        if stage == OVER {
            return Err(Error::NotBegun);
        }
        let taken = if stage == S::STAGE {
            self.set(WITHIN);
            // SAFETY: a review of this kind was begun here, and nothing else uses it, since nothing was going on.
            take(unsafe { &mut *(&raw mut (*self.0).state).cast::<S>() })
        } else {
            Err(Error::OtherKind)
        };
        match &taken {
            Ok(()) => self.set(if next == Next::Step { stage } else { OVER }),
            Err(error) if error.is_shown() => self.set(OVER),
            Err(error) => self.refuse(error),
        }
        taken
    }

    /// Shows a refusal that the core does not know of, and ends the review.
    fn refuse(&self, error: &Error) {
        self.set(WITHIN);
        // SAFETY: there is a display wherever something was begun, and what borrowed it is not used again.
        refuse(unsafe { (*self.0).display.assume_init_mut() }, error);
        self.set(OVER);
    }

    fn stage(&self) -> u32 {
        // SAFETY: the place is good, and nobody has a reference to its stage.
        unsafe { (&raw const (*self.0).stage).read() }
    }

    fn set(&self, stage: u32) {
        // SAFETY: as above.
        unsafe { (&raw mut (*self.0).stage).write(stage) }
    }
}
