//! What crosses the border: pointers, bytes and text.

use core::ffi::c_char;
use core::slice;

use quorate_core::B256;

use crate::error::Error;

/// Bytes; the pointer may be null where there are none.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Bytes {
    /// The first of them.
    pub data: *const u8,
    /// Their number.
    pub len: usize,
}

/// UTF-8 without a final zero; the pointer may be null where there is none.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Text {
    /// Its first byte.
    pub data: *const c_char,
    /// The number of its bytes.
    pub len: usize,
}

impl Bytes {
    /// # Safety
    /// The pointer is null or points to `len` bytes, which nobody changes for as long as `'a`.
    pub(crate) unsafe fn read<'a>(self, what: &'static str) -> Result<&'a [u8], Error> {
        // SAFETY: the caller's promise.
        unsafe { read_slice(self.data, self.len, what) }
    }
}

impl Text {
    /// # Safety
    /// As for [`Bytes::read`].
    pub(crate) unsafe fn read<'a>(self, what: &'static str) -> Result<&'a str, Error> {
        // SAFETY: the caller's promise.
        let bytes = unsafe { read_slice(self.data.cast(), self.len, what)? };
        str::from_utf8(bytes).map_err(|_| Error::Malformed { what, wanted: "it is UTF-8" })
    }
}

/// # Safety
/// The pointer is null, or not aligned, or points to a value, which nobody changes for as long as `'a`.
pub(crate) unsafe fn read<'a, T>(value: *const T, what: &'static str) -> Result<&'a T, Error> {
    check(value, what)?;
    // SAFETY: neither null nor misaligned, and the rest is the caller's promise.
    Ok(unsafe { &*value })
}

/// # Safety
/// The pointer is null, or not aligned, or points to so many values, which nobody changes for as long as `'a`.
pub(crate) unsafe fn read_slice<'a, T>(
    values: *const T,
    count: usize,
    what: &'static str,
) -> Result<&'a [T], Error> {
    if count == 0 {
        return Ok(&[]);
    }
    check(values, what)?;
    let is_too_long = count.checked_mul(size_of::<T>()).is_none_or(|size| size > isize::MAX.unsigned_abs());
    if is_too_long {
        return Err(Error::Malformed { what, wanted: "no memory is that long" });
    }
    // SAFETY: neither null, misaligned nor too long, and the rest is the caller's promise.
    Ok(unsafe { slice::from_raw_parts(values, count) })
}

/// # Safety
/// The pointer is null or points to so many bytes.
pub(crate) unsafe fn read_array<'a, const N: usize>(
    bytes: *const u8,
    what: &'static str,
) -> Result<&'a [u8; N], Error> {
    // SAFETY: the caller's promise; bytes are aligned everywhere.
    unsafe { read(bytes.cast(), what) }
}

/// # Safety
/// The pointer is null or points to `count` times 32 bytes.
pub(crate) unsafe fn read_words<'a>(
    words: *const u8,
    count: usize,
    what: &'static str,
) -> Result<&'a [B256], Error> {
    // SAFETY: a `B256` is 32 bytes and nothing else (`repr(transparent)`), and the rest is the caller's promise.
    unsafe { read_slice(words.cast(), count, what) }
}

/// Where a result goes, once there is one.
pub(crate) struct Output<const N: usize>(*mut [u8; N]);

impl<const N: usize> Output<N> {
    /// # Safety
    /// The pointer is null or points to room for so many bytes, for as long as this is.
    pub(crate) unsafe fn new(to: *mut u8, what: &'static str) -> Result<Self, Error> {
        check(to, what)?;
        Ok(Self(to.cast()))
    }

    pub(crate) fn write(self, bytes: [u8; N]) {
        // SAFETY: not null, the room is the promise given to `new`, and bytes are aligned everywhere.
        unsafe { self.0.write(bytes) }
    }
}

pub(crate) fn check<T>(pointer: *const T, what: &'static str) -> Result<(), Error> {
    if pointer.is_null() {
        return Err(Error::Null(what));
    }
    if !pointer.is_aligned() {
        return Err(Error::Malformed { what, wanted: "its address is aligned as C has it" });
    }
    Ok(())
}
