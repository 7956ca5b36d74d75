//! Frames: postcard in COBS, each ended by a zero byte.

use cobs::{DecodeResult, DecoderState};
use quorate_core::texts;
use serde::{Deserialize, Serialize};

use super::{Numbered, ToDevice, reader::read_message};

/// The longest frame in bytes, COBS and the zero at its end included: a session of 29 rules fits, and a proof of 32 hashes.
pub const MAX_FRAME: usize = 1152;

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// More bytes than a frame may have.
    TooLong,
    /// Not the postcard of a message in COBS, or more than that.
    Malformed,
}

texts!(FrameError {
    TooLong => "a frame has more than {} bytes" and &MAX_FRAME,
    Malformed => "a frame cannot be read",
});

/// Writes a frame into `buffer`, and gives the bytes to send.
///
/// # Errors
/// [`FrameError::TooLong`] where the buffer is too short.
pub fn encode<'b>(message: &impl Serialize, buffer: &'b mut [u8]) -> Result<&'b [u8], FrameError> {
    postcard::to_slice_cobs(message, buffer).map(|bytes| &*bytes).map_err(|_| FrameError::TooLong)
}

/// The bytes of one frame as they arrive, without COBS.
///
/// Bytes of a frame that is too long are counted and dropped up to its end; a frame without bytes is none.
#[derive(Debug)]
pub struct FrameBuffer {
    bytes: heapless::Vec<u8, MAX_FRAME>,
    state: DecoderState,
    /// The frame's bytes so far as they came.
    received: usize,
    /// The bytes are a frame's to its end, and the next byte begins another.
    is_whole: bool,
}

impl FrameBuffer {
    /// An empty one.
    pub const fn new() -> Self {
        Self { bytes: heapless::Vec::new(), state: DecoderState::Idle, received: 0, is_whole: false }
    }

    /// Takes the next byte. At a frame's end says whether it can be read.
    pub fn push(&mut self, byte: u8) -> Option<Result<(), FrameError>> {
        if core::mem::take(&mut self.is_whole) {
            self.bytes.clear();
            self.received = 0;
        }
        let was_empty = matches!(self.state, DecoderState::Idle);
        let decoded = self.state.feed(byte);
        if byte == 0 && was_empty {
            return None;
        }
        self.received = self.received.saturating_add(1);
        if let Ok(DecodeResult::DataContinue(byte)) = decoded {
            // What does not fit is dropped: the frame is too long.
            let _ = self.bytes.push(byte);
        }
        if byte != 0 {
            return None;
        }
        self.is_whole = true;
        Some(match decoded {
            _ if self.received > MAX_FRAME => Err(FrameError::TooLong),
            Ok(DecodeResult::DataComplete) => Ok(()),
            _ => Err(FrameError::Malformed),
        })
    }

    /// Reads the message of a whole frame, which borrows from the buffer.
    ///
    /// # Errors
    /// [`FrameError::Malformed`] for bytes that are no message, or more than one.
    pub fn decode<'b, M: Deserialize<'b>>(&'b self) -> Result<M, FrameError> {
        match postcard::take_from_bytes(&self.bytes) {
            Ok((message, [])) if self.is_whole => Ok(message),
            _ => Err(FrameError::Malformed),
        }
    }

    /// Reads the host's message of a whole frame, as [`decode`](Self::decode) does, which takes more of a device's flash.
    ///
    /// # Errors
    /// [`FrameError::Malformed`] for bytes that are no message, or more than one.
    pub fn decode_to_device(&self) -> Result<Numbered<ToDevice<'_>>, FrameError> {
        read_message(&self.bytes).filter(|_| self.is_whole).ok_or(FrameError::Malformed)
    }

    /// The bytes of a whole frame, without COBS.
    pub(crate) fn message_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Default for FrameBuffer {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    /// What each frame of `bytes` is read as.
    fn read(bytes: &[u8]) -> Vec<Result<u32, FrameError>> {
        let mut buffer = FrameBuffer::new();
        let whole = bytes.iter().filter_map(|byte| {
            let whole = buffer.push(*byte)?;
            Some(whole.and_then(|()| buffer.decode::<u32>()))
        });
        whole.collect()
    }

    fn framed(message: &[u8]) -> Vec<u8> {
        let mut bytes = cobs::encode_vec(message);
        bytes.push(0);
        bytes
    }

    #[test]
    fn what_is_written_is_read() {
        let mut buffer = [0; 16];
        let frame = encode(&700_000_u32, &mut buffer).unwrap();
        assert_eq!(read(&[frame, frame].concat()), [Ok(700_000), Ok(700_000)]);
    }

    #[test]
    fn a_frame_with_more_than_its_message_is_refused() {
        assert_eq!(read(&framed(&[5])), [Ok(5)]);
        assert_eq!(read(&framed(&[5, 0])), [Err(FrameError::Malformed)]);
        assert_eq!(read(&[1, 0]), [Err(FrameError::Malformed)]);
        assert_eq!(read(&[9, 1, 0]), [Err(FrameError::Malformed)]);
    }

    #[test]
    fn empty_frames_are_ignored() {
        assert_eq!(read(&[&[0, 0][..], &framed(&[5]), &[0], &framed(&[6])].concat()), [Ok(5), Ok(6)]);
    }

    #[test]
    fn a_frame_that_is_too_long_is_skipped_to_its_end() {
        for len in [MAX_FRAME, 3 * MAX_FRAME, 70_000] {
            let long = framed(&std::vec![7; len]);
            assert_eq!(read(&[long, framed(&[5])].concat()), [Err(FrameError::TooLong), Ok(5)], "{len}");
        }
    }
}
