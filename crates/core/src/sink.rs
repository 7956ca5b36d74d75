//! Where encoders write to, and what an encoder is.

use alloy_primitives::Keccak256;

/// A place that encoded bytes are written to, one piece after another.
///
/// Implemented for [`SliceSink`], [`heapless::Vec<u8, N>`](heapless::Vec), the [`Keccak256`] hasher (so that
/// something can be hashed without being stored) and, with feature `alloc`, `Vec<u8>`.
pub trait Sink {
    /// Appends `bytes`.
    ///
    /// # Errors
    /// [`BufferFull`] when the place is too small. What was written before stays.
    fn put(&mut self, bytes: &[u8]) -> Result<(), BufferFull>;
}

/// Something with one byte encoding.
pub trait Encode {
    /// The length of the encoding in bytes.
    fn encoded_len(&self) -> usize;

    /// Writes the encoding, exactly [`encoded_len`](Self::encoded_len) bytes.
    ///
    /// # Errors
    /// [`BufferFull`] when the sink is too small for it.
    fn write_to<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), BufferFull>;

    /// The encoding as a vector.
    #[cfg(feature = "alloc")]
    fn to_vec(&self) -> alloc::vec::Vec<u8> {
        let mut bytes = alloc::vec::Vec::with_capacity(self.encoded_len());
        match self.write_to(&mut bytes) {
            Ok(()) => bytes,
            Err(BufferFull) => unreachable!("a vector grows"),
        }
    }
}

/// Bytes encode as themselves, so that what is already encoded can stand where an encoder is asked for.
impl Encode for [u8] {
    fn encoded_len(&self) -> usize {
        self.len()
    }

    fn write_to<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), BufferFull> {
        sink.put(self)
    }
}

impl<T: Encode + ?Sized> Encode for &T {
    fn encoded_len(&self) -> usize {
        (**self).encoded_len()
    }

    fn write_to<S: Sink + ?Sized>(&self, sink: &mut S) -> Result<(), BufferFull> {
        (**self).write_to(sink)
    }
}

/// The buffer that was written to is too small; [`Encode::encoded_len`] says how long it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the buffer is too small for the encoding; `encoded_len` says how long it has to be")]
pub struct BufferFull;

/// Writes into a slice from its start.
#[derive(Debug)]
pub struct SliceSink<'a> {
    buffer: &'a mut [u8],
    written: usize,
}

impl<'a> SliceSink<'a> {
    /// Starts at the beginning of `buffer`.
    pub const fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, written: 0 }
    }

    /// The bytes written so far.
    pub fn written(&self) -> &[u8] {
        self.buffer.get(..self.written).unwrap_or_default()
    }

    /// The bytes written, for as long as the buffer lives.
    pub fn into_written(self) -> &'a [u8] {
        self.buffer.get(..self.written).unwrap_or_default()
    }
}

impl Sink for SliceSink<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), BufferFull> {
        let rest = self.buffer.get_mut(self.written..).ok_or(BufferFull)?;
        rest.get_mut(..bytes.len()).ok_or(BufferFull)?.copy_from_slice(bytes);
        self.written += bytes.len();
        Ok(())
    }
}

/// Takes what is written if it is what is expected next.
pub(crate) struct Matching<'a> {
    rest: &'a [u8],
}

impl<'a> Matching<'a> {
    pub(crate) const fn new(expected: &'a [u8]) -> Self {
        Self { rest: expected }
    }

    /// Whether all that is expected was written.
    pub(crate) const fn is_whole(&self) -> bool {
        self.rest.is_empty()
    }
}

impl Sink for Matching<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), BufferFull> {
        self.rest = self.rest.strip_prefix(bytes).ok_or(BufferFull)?;
        Ok(())
    }
}

impl<const N: usize> Sink for heapless::Vec<u8, N> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), BufferFull> {
        self.extend_from_slice(bytes).map_err(|_| BufferFull)
    }
}

impl Sink for Keccak256 {
    fn put(&mut self, bytes: &[u8]) -> Result<(), BufferFull> {
        self.update(bytes);
        Ok(())
    }
}

#[cfg(feature = "alloc")]
impl Sink for alloc::vec::Vec<u8> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), BufferFull> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_takes_what_fits() {
        let mut buffer = [0; 3];
        let mut sink = SliceSink::new(&mut buffer);
        assert_eq!(sink.put(&[1, 2]), Ok(()));
        assert_eq!(sink.put(&[3, 4]), Err(BufferFull));
        assert_eq!(sink.put(&[3]), Ok(()));
        assert_eq!(sink.into_written(), [1, 2, 3]);
    }

    #[test]
    fn a_bounded_vector_takes_what_fits() {
        let mut sink = heapless::Vec::<u8, 2>::new();
        assert_eq!(sink.put(&[1, 2]), Ok(()));
        assert_eq!(sink.put(&[3]), Err(BufferFull));
    }
}
