#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(feature = "host", test))]
extern crate std;

#[cfg(feature = "delegation")]
mod delegation;
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

#[cfg(feature = "delegation")]
pub use self::delegation::MAX_DELEGATION;
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
