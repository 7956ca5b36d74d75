//! What crosses the border: pointers, bytes, text, and how a call ends.

use core::ffi::{c_char, c_int, c_void};
use core::{fmt, slice};

use quorate_core::B256;

/// How a call ends; `quorate_status`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the header says it")]
pub enum Status {
    Ok = 0,
    Null = 1,
    Malformed = 2,
    Refused = 3,
    TooSmall = 4,
}

impl Status {
    pub(crate) fn of(call: impl FnOnce() -> Result<(), Self>) -> Self {
        call().err().unwrap_or(Self::Ok)
    }
}

/// Bytes of C's; `quorate_bytes`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the header says it")]
pub struct Bytes {
    pub data: *const u8,
    pub len: usize,
}

impl Bytes {
    /// # Safety
    /// The pointer is null or points to `len` bytes, which nobody changes for as long as `'a`.
    pub(crate) unsafe fn read<'a>(self) -> Result<&'a [u8], Status> {
        match self.len {
            0 => Ok(&[]),
            _ if self.data.is_null() => Err(Status::Null),
            // More than that is nowhere.
            len if isize::try_from(len).is_err() => Err(Status::Malformed),
            // SAFETY: not null, and the rest is the caller's promise.
            len => Ok(unsafe { slice::from_raw_parts(self.data, len) }),
        }
    }
}

/// # Safety
/// The pointer is null or points to a value, which nobody changes for as long as `'a`.
pub(crate) unsafe fn read<'a, T>(value: *const T) -> Result<&'a T, Status> {
    // SAFETY: the caller's promise.
    unsafe { value.as_ref() }.ok_or(Status::Null)
}

/// # Safety
/// The pointer is null or points to so many bytes.
pub(crate) unsafe fn read_array<'a, const N: usize>(bytes: *const u8) -> Result<&'a [u8; N], Status> {
    // SAFETY: the caller's promise; bytes are aligned everywhere.
    unsafe { read(bytes.cast()) }
}

/// # Safety
/// The pointer is null or points to `count` times 32 bytes.
pub(crate) unsafe fn read_words<'a>(words: *const u8, count: usize) -> Result<&'a [B256], Status> {
    let len = count.checked_mul(size_of::<B256>()).ok_or(Status::Malformed)?;
    // SAFETY: the caller's promise.
    let bytes = unsafe { Bytes { data: words, len }.read()? };
    // SAFETY: a `B256` is 32 bytes and nothing else (`repr(transparent)`), and there are `count` of them.
    Ok(unsafe { slice::from_raw_parts(bytes.as_ptr().cast(), count) })
}

/// # Safety
/// The pointer is null or points to room for so many bytes.
pub(crate) unsafe fn write_array<const N: usize>(to: *mut u8, bytes: [u8; N]) -> Result<(), Status> {
    if to.is_null() {
        return Err(Status::Null);
    }
    // SAFETY: not null, and the rest is the caller's promise; bytes are aligned everywhere.
    unsafe { to.cast::<[u8; N]>().write(bytes) };
    Ok(())
}

/// `quorate_write`.
pub type Write = unsafe extern "C" fn(context: *mut c_void, text: *const c_char, len: usize) -> c_int;

/// A function of C's that takes text.
pub(crate) struct Text {
    write: Write,
    context: *mut c_void,
}

impl Text {
    /// # Safety
    /// The function may be called with the context for as long as this is.
    pub(crate) unsafe fn new(write: Option<Write>, context: *mut c_void) -> Result<Self, Status> {
        Ok(Self { write: write.ok_or(Status::Null)?, context })
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // SAFETY: the promise given to `new`; the text lives until the call returns.
        let taken = unsafe { (self.write)(self.context, text.as_ptr().cast(), text.len()) };
        if taken == 0 { Ok(()) } else { Err(fmt::Error) }
    }
}
