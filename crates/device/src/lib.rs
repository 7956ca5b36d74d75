//! A hardware signer that shows what it signs.
//!
//! The host sends a whole user operation in frames ([`ToDevice`]). The device reviews it as it arrives, shows it on its own
//! screen, waits for its own button, and signs the hash of exactly what it showed. [`Device`] is all of that without a heap;
//! hardware comes in by traits:
//!
//! | trait | what it is | what is here |
//! |---|---|---|
//! | [`Display`] | the screen | |
//! | [`Consent`] | the button | |
//! | [`Key`] | a key in software or in a secure element | [`SoftwareKey`] |
//! | [`Entropy`] | what a software key adds to its nonces | [`Deterministic`] |
//! | [`Memory`] | the last root that was signed | [`NoMemory`], [`LastRoot`] |
//! | `Read`, `ReadReady`, `Write` of [`embedded_io`] | the port to the host | |
//!
//! Frames are postcard, each in COBS and ended by a zero byte, so that both ends find the next frame's start whatever
//! was lost before, and each with the number of its request. Feature `host` has the other end, [`host::DeviceSigner`];
//! feature `use` the review of a session's use, for a device that holds a session key.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(feature = "host", test))]
extern crate std;

mod device;
mod frame;
#[cfg(feature = "host")]
pub mod host;
mod key;
mod memory;
mod refusal;
mod request;
mod screen;
#[cfg(feature = "use")]
mod session_use;
mod user;

pub use embedded_io;

#[cfg(feature = "use")]
pub use self::session_use::MAX_USE_CALL_DATA;
pub use self::{
    device::Device,
    frame::{
        FrameBuffer, FrameError, FromDevice, KeyRequestFrame, MAX_FRAME, MAX_METADATA, Numbered,
        OperationFrame, ToDevice, encode, encode_from_device,
    },
    key::{Deterministic, Entropy, Key, SoftwareKey, checked_signature},
    memory::{LastRoot, Memory, NoMemory, NotRecorded, RootOwner},
    user::{Consent, Decision, Display},
};
