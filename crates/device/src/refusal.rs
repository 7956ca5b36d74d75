//! Why nothing is signed.

use quorate_core::{KeyRequestError, ReviewError, texts};

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
    Unexpected,
    OtherRequest,
    Epoch,
    NotKept,
    #[cfg(feature = "use")]
    CallTooLong {
        limit: usize,
    },
    Rejected,
    Cancelled,
    NoSignature,
    FaultySignature,
    #[error(transparent)]
    NotRecorded(#[from] NotRecorded),
}

texts!(Refusal {
    Review(error) => "{}",
    KeyRequest(error) => "{}",
    Frame(error) => "{}",
    Unexpected => "the frame is not expected here",
    OtherRequest => "the frame is not one of the request before it",
    Epoch => "a session's time has more than 48 bits",
    NotKept => "a session is to be kept, but this device has no record that it granted it",
    #[cfg(feature = "use")]
    CallTooLong { limit } => "the call is longer than what this device can check against a session, {} bytes",
    Rejected => "rejected on the device",
    Cancelled => "given up by the host",
    NoSignature => "the device's key gave no signature",
    FaultySignature => "the device's key gave a signature that does not verify",
    NotRecorded(error) => "{}",
});

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
