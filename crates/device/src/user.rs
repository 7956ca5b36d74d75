//! The screen and the button.

use quorate_core::{B256, Show};

/// The device's screen. It shows each item whole, or fails, and then nothing is signed.
pub trait Display: Show {
    /// Removes what was shown: it is signed, rejected or given up, or another request begins.
    fn clear(&mut self);
}

impl<D: Display + ?Sized> Display for &mut D {
    fn clear(&mut self) {
        (**self).clear();
    }
}

/// The device's button, or whatever else the person in front of it decides by.
pub trait Consent {
    /// Asks whether what was shown, whose hash this is, is to be signed. What was pressed before does not count.
    fn ask(&mut self, hash: B256);

    /// The answer, once there is one. It is asked for again and again, so that a request can be given up meanwhile.
    fn answer(&mut self) -> Option<Decision>;
}

impl<C: Consent + ?Sized> Consent for &mut C {
    fn ask(&mut self, hash: B256) {
        (**self).ask(hash);
    }

    fn answer(&mut self) -> Option<Decision> {
        (**self).answer()
    }
}

/// What the person decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is signed.
    Approve,
    /// It is not.
    Reject,
}
