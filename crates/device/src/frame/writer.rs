//! What a device writes of postcard: its own messages, in COBS.
//!
//! It writes the same bytes as the messages' own `Serialize`, in less of a device's flash.

use super::{FrameError, FromDevice, Numbered};

/// Writes a frame into `buffer`, as [`encode`](super::encode) does, which takes more of a device's flash.
///
/// # Errors
/// [`FrameError::TooLong`] where the buffer is too short.
pub fn encode_from_device<'b>(
    message: &Numbered<FromDevice<'_>>,
    buffer: &'b mut [u8],
) -> Result<&'b [u8], FrameError> {
    let mut writer = Writer { buffer, len: 1, code: 0 };
    writer.message(message);
    writer.end()
}

/// Writes COBS: each run of bytes that are not zero is after a code, which is the run's length with the code, and stands for
/// the zero before it where that run was not of the longest.
struct Writer<'b> {
    buffer: &'b mut [u8],
    /// The bytes so far, which may be more than there are places.
    len: usize,
    /// Where the code of the last run is.
    code: usize,
}

impl<'b> Writer<'b> {
    fn message(&mut self, Numbered { request, message }: &Numbered<FromDevice<'_>>) {
        self.number(*request);
        match message {
            FromDevice::Address(address) => self.variant(0, address),
            FromDevice::Ready => self.variant(1, &[]),
            FromDevice::Waiting(hash) => self.variant(2, hash),
            FromDevice::Signature(signature) => self.variant_of_length(3, signature),
            FromDevice::Refused(reason) => self.variant_of_length(4, reason.as_bytes()),
        }
    }

    fn variant(&mut self, variant: u8, bytes: &[u8]) {
        self.byte(variant);
        bytes.iter().for_each(|byte| self.byte(*byte));
    }

    fn variant_of_length(&mut self, variant: u8, bytes: &[u8]) {
        self.byte(variant);
        self.number(bytes.len() as u32);
        bytes.iter().for_each(|byte| self.byte(*byte));
    }

    /// Seven bits in each byte, the lowest first; all bytes but the last have their highest bit set.
    fn number(&mut self, mut number: u32) {
        while number > 0x7f {
            self.byte(number as u8 | 0x80);
            number >>= 7;
        }
        self.byte(number as u8);
    }

    fn byte(&mut self, byte: u8) {
        if byte != 0 {
            self.put(byte);
        }
        if byte == 0 || self.len - self.code == 0xff {
            self.end_run();
        }
    }

    fn end_run(&mut self) {
        let len = self.len - self.code;
        if let Some(code) = self.buffer.get_mut(self.code) {
            *code = len as u8;
        }
        self.code = self.len;
        self.put(0);
    }

    fn put(&mut self, byte: u8) {
        if let Some(place) = self.buffer.get_mut(self.len) {
            *place = byte;
        }
        self.len += 1;
    }

    /// A zero is after the last run, where another one's code would be.
    fn end(mut self) -> Result<&'b [u8], FrameError> {
        self.end_run();
        self.buffer.get(..self.len).ok_or(FrameError::TooLong)
    }
}
