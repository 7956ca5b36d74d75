//! Why nothing is signed.

use quorate_core::{KeyRequestError, ReviewError};

use crate::{frame::FrameError, memory::NotRecorded};

/// Why a request ends without a signature.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(transparent)]
    Review(#[from] ReviewError),
    #[error(transparent)]
    KeyRequest(#[from] KeyRequestError),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("the frame is not expected here")]
    Unexpected,
    #[error("the frame is not one of the request before it")]
    OtherRequest,
    #[error("a session's time has more than 48 bits")]
    Epoch,
    #[error("a session is to be kept, but this device has no record that it granted it")]
    NotKept,
    #[cfg(feature = "use")]
    #[error("the call is longer than what this device can check against a session, {0} bytes")]
    CallTooLong(usize),
    #[error("rejected on the device")]
    Rejected,
    #[error("given up by the host")]
    Cancelled,
    #[error("the device's key gave no signature")]
    NoSignature,
    #[error("the device's key gave a signature that does not verify")]
    FaultySignature,
    #[error(transparent)]
    NotRecorded(#[from] NotRecorded),
}

impl Refusal {
    /// What becomes of the screen.
    pub(crate) const fn on_screen(&self) -> OnScreen {
        match self {
            // The review has shown it.
            Self::Review(_) | Self::KeyRequest(_) => OnScreen::Leave,
            // Nobody has to be told what they did.
            Self::Rejected | Self::Cancelled => OnScreen::Clear,
            _ => OnScreen::Show,
        }
    }
}

pub(crate) enum OnScreen {
    Leave,
    Clear,
    Show,
}
