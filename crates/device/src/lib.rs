//! A hardware signer that shows what it signs.
//!
//! The host sends a whole user operation in frames ([`ToDevice`]); the device reviews it as it arrives, sends the
//! lines of its screen ([`FromDevice`]), waits for its button, and signs the hash of exactly what it showed. It needs
//! no heap and a few KiB of stack: [`Device`] is all of it but the key's storage, the screen and the port.
//!
//! Frames are postcard, each in COBS and ended by a zero byte, so that both ends find the next frame's start whatever
//! was lost before. With feature `host` there is the other end, [`host::DeviceSigner`].

#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(feature = "host", test))]
extern crate std;

mod device;
mod frame;
#[cfg(feature = "host")]
pub mod host;

pub use device::{Device, Link};
pub use frame::{
    FrameBuffer, FrameError, FromDevice, Head, InitializationFrame, MAX_FRAME, PaymasterFrame, ToDevice,
    UnpackedFrame, V0_6Frame, encode,
};
