//! A review in C's memory.

use core::ffi::c_void;
use core::fmt;
use core::mem::MaybeUninit;

use quorate_core::{Address, B256, ReviewState, SignedRoot};

use crate::border::{Bytes, Output, check, read, read_array, read_words};
use crate::display::{Display, Show, given, refuse};
use crate::error::{Error, Reason, Status, end};
use crate::operation::Operation;
use crate::sessions::Session;
use crate::trusted::{Trusted, TrustedStorage};

/// The size of a review in words of 8 bytes.
pub const QUORATE_REVIEW_WORDS: usize = 600;
/// The size of a review in bytes.
pub const QUORATE_REVIEW_SIZE: usize = QUORATE_REVIEW_WORDS * 8;

/// A review, in memory of the caller's that is all zeros before its first use and is not moved within a review. It can be
/// used again and again, and there may be many.
///
/// Each operation begins with quorate_review_begin; each session of a grant follows, then the call data in pieces of any length,
/// then the end, which gives the hash to sign if all that was shown is approved. Whatever does not end in QUORATE_OK ends the
/// review: its reason is the last item shown, and nothing but a new begin does anything then.
#[repr(C)]
pub struct Review {
    opaque: [u64; QUORATE_REVIEW_WORDS],
}

impl fmt::Debug for Review {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Review").finish_non_exhaustive()
    }
}

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
        let storage = unsafe { Storage::open(review, trusted, show, context)? };
        storage.step(Stage::Open, |state| {
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
        storage.step(Stage::Open, |state| {
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
        storage.step(Stage::Open, |state| {
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
        // SAFETY: as above.
        storage.step(Stage::Open, |state| Ok(state.call_data(unsafe { piece.read("the call data")? })?))
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
        storage.step(Stage::Over, |state| {
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
        let storage = unsafe { Storage::open(review, trusted, show, context)? };
        storage.step(Stage::Over, |state| {
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

/// What is in a `Review`. All but the stage is there once a review was begun.
#[repr(C)]
struct Storage {
    /// A `Stage`.
    stage: u32,
    display: MaybeUninit<Display>,
    trusted: MaybeUninit<TrustedStorage>,
    /// It borrows the two above.
    state: MaybeUninit<State>,
}

type State = ReviewState<'static, &'static mut Display>;

const _: () = assert!(size_of::<Storage>() <= size_of::<Review>());
const _: () = assert!(align_of::<Storage>() <= align_of::<Review>());

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Stage {
    /// Nothing was begun, which zeros say, or what was begun is refused or finished.
    Over = 0,
    /// A step may come.
    Open = 1,
    /// Within a step, so that whatever comes now comes from its callback.
    Within = 2,
}

/// A place in C's memory where nothing is going on, which nobody else uses while this is.
///
/// There is no reference to the whole of it, but one to each part: what is called from within the callback reads the stage
/// while the step that called back has the rest.
struct Idle(*mut Storage);

impl Storage {
    /// # Safety
    /// The pointer is null or points to a review, which no other thread uses.
    unsafe fn at(review: *mut Review) -> Result<Idle, Error> {
        check(review, "the review")?;
        let storage: *mut Self = review.cast();
        // SAFETY: neither null nor misaligned, and the rest is the caller's promise.
        let stage = unsafe { (&raw const (*storage).stage).read() };
        if stage == Stage::Within as u32 { Err(Error::Reentry) } else { Ok(Idle(storage)) }
    }

    /// Makes a new review in the place of whatever there is.
    ///
    /// # Safety
    /// As for [`at`](Self::at); the other pointers are null or good for as long as the review.
    unsafe fn open(
        review: *mut Review,
        trusted: *const Trusted,
        show: Show,
        context: *mut c_void,
    ) -> Result<Idle, Error> {
        // SAFETY: the caller's promise.
        let idle = unsafe { Self::at(review)? };
        idle.set(Stage::Over);
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
                // SAFETY: as above.
                unsafe { (*place).state.write(State::new(context, display)) };
                idle.set(Stage::Open);
                Ok(idle)
            }
            Err(error) => {
                idle.set(Stage::Within);
                refuse(display, &error);
                idle.set(Stage::Over);
                Err(error)
            }
        }
    }
}

impl Idle {
    /// Takes a step of a review that was begun. If it fails, its reason is shown, and the review is over.
    fn step(self, next: Stage, take: impl FnOnce(&mut State) -> Result<(), Error>) -> Result<(), Error> {
        if self.stage() != Stage::Open as u32 {
            return Err(Error::NotBegun);
        }
        self.set(Stage::Within);
        // SAFETY: a review was begun here, so that there is a state, and nothing else uses it, since nothing was going on.
        let state = unsafe { (*self.0).state.assume_init_mut() };
        let taken = take(state);
        if let Err(error) = &taken
            && !matches!(error, Error::Review(_))
        {
            refuse(state.display(), error);
        }
        self.set(if taken.is_ok() { next } else { Stage::Over });
        taken
    }

    fn stage(&self) -> u32 {
        // SAFETY: the place is good, and nobody has a reference to its stage.
        unsafe { (&raw const (*self.0).stage).read() }
    }

    fn set(&self, stage: Stage) {
        // SAFETY: as above.
        unsafe { (&raw mut (*self.0).stage).write(stage as u32) }
    }
}
