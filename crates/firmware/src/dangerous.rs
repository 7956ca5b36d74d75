//! A screen and a button that are far away: on the board's second serial port.
//!
//! This exists only here, for a machine that has neither. Whoever holds that port sees what the person would see, and
//! presses the button: with it, the device signs whatever its host wants.

use core::cell::RefCell;
use core::fmt::Write as _;

use quorate_core::{B256, Item, NotShown, Severity, Show, Written as _};
use quorate_device::embedded_io::{Read as _, ReadReady as _};
use quorate_device::{Consent, Decision, Display};

use crate::serial::Serial;

/// The screen: a line of text for each item, an empty line where the screen is cleared. A refusal clears it first.
pub struct RemoteScreen<'p>(pub &'p RefCell<Serial>);

impl Show for RemoteScreen<'_> {
    fn show(&mut self, item: &Item<'_>) -> Result<(), NotShown> {
        if item.severity == Severity::Refused {
            self.clear();
        }
        let mut port = self.0.borrow_mut();
        item.write(&mut |piece| port.write_str(piece))?;
        Ok(port.write_str("\n")?)
    }
}

impl Display for RemoteScreen<'_> {
    fn clear(&mut self) {
        // The port is always there.
        let _ = self.0.borrow_mut().write_str("\n");
    }
}

/// The button: a line with a question mark asks, `y` approves, any other letter rejects.
pub struct RemoteButton<'p>(pub &'p RefCell<Serial>);

impl RemoteButton<'_> {
    fn pressed(&mut self) -> Option<u8> {
        let mut port = self.0.borrow_mut();
        let mut byte = [0];
        if matches!(port.read_ready(), Ok(true)) && port.read(&mut byte).is_ok() {
            Some(byte[0])
        } else {
            None
        }
    }
}

impl Consent for RemoteButton<'_> {
    fn ask(&mut self, _hash: B256) {
        while self.pressed().is_some() {}
        let _ = self.0.borrow_mut().write_str("?\n");
    }

    fn answer(&mut self) -> Option<Decision> {
        match self.pressed()? {
            b'y' => Some(Decision::Approve),
            _ => Some(Decision::Reject),
        }
    }
}
