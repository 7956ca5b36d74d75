//! Why nothing is signed.

#[cfg(feature = "use")]
use quorate_core::SessionUseError;
#[cfg(feature = "delegation")]
use quorate_core::{DelegationReviewError, delegation::ContextError};
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
    #[error(transparent)]
    SessionUse(#[from] SessionUseError),
    #[cfg(feature = "use")]
    CallTooLong {
        limit: usize,
    },
    #[cfg(feature = "delegation")]
    #[error(transparent)]
    Delegation(#[from] DelegationReviewError),
    #[cfg(feature = "delegation")]
    #[error(transparent)]
    Context(#[from] ContextError),
    #[cfg(feature = "delegation")]
    NotOneDelegation,
    #[cfg(feature = "delegation")]
    DelegationTooLong {
        limit: usize,
    },
    #[cfg(not(feature = "delegation"))]
    NoDelegations,
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
    NotKept => "a session is to be kept, but this device has no record of granting it",
    #[cfg(feature = "use")]
    SessionUse(error) => "{}",
    #[cfg(feature = "use")]
    CallTooLong { limit } => "the call is longer than what this device can check against a session, {} bytes",
    #[cfg(feature = "delegation")]
    Delegation(error) => "{}",
    #[cfg(feature = "delegation")]
    Context(error) => "{}",
    #[cfg(feature = "delegation")]
    NotOneDelegation => "there is more than one delegation",
    #[cfg(feature = "delegation")]
    DelegationTooLong { limit } => "the delegation is longer than what this device can show, {} bytes",
    #[cfg(not(feature = "delegation"))]
    NoDelegations => "this device signs no delegations",
    Rejected => "rejected on the device",
    Cancelled => "given up by the host",
    NoSignature => "the key gave no signature",
    FaultySignature => "the key's signature does not verify",
    NotRecorded(error) => "{}",
});

impl Refusal {
    /// What becomes of the screen.
    pub(crate) const fn on_screen(&self) -> OnScreen {
        match self {
            // The review has shown it.
            Self::Review(_) | Self::KeyRequest(_) => OnScreen::Leave,
            #[cfg(feature = "use")]
            Self::SessionUse(_) => OnScreen::Leave,
            #[cfg(feature = "delegation")]
            Self::Delegation(_) => OnScreen::Leave,
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
