//! The display, and the root that it shows.

use quorate_core::{Address, B256, Item, Label, NotShown, Severity, Show, Value, Written};

use crate::user::Display;

/// Shows each item, and keeps in mind which root it says is set: what is recorded is what was shown.
///
/// There are two kinds of reviews and one display, which is with the one that goes on. The other can show nothing, and so
/// ends.
#[derive(Debug)]
pub(crate) struct Screen<D> {
    display: Option<D>,
    manager: Option<Address>,
    root: Option<(Address, B256)>,
}

impl<D: Display> Screen<D> {
    pub(crate) const fn new(display: D) -> Self {
        Self { display: Some(display), manager: None, root: None }
    }

    /// Without the display.
    pub(crate) const fn without_display() -> Self {
        Self { display: None, manager: None, root: None }
    }

    /// Takes the display from the other review, if it is there.
    pub(crate) fn take_from(&mut self, other: &mut Self) {
        if let Some(display) = other.display.take() {
            self.display = Some(display);
        }
    }

    pub(crate) const fn has_display(&self) -> bool {
        self.display.is_some()
    }

    /// Removes what was shown.
    pub(crate) fn clear(&mut self) {
        (self.manager, self.root) = (None, None);
        if let Some(display) = &mut self.display {
            display.clear();
        }
    }

    /// Shows why nothing is signed, in the place of everything before it.
    pub(crate) fn refuse(&mut self, reason: &dyn Written) {
        let item = Item { severity: Severity::Refused, label: Label::Refused, value: Value::Reason(reason) };
        // A display that is gone shows no refusal either; the host has it.
        let _ = self.show(&item);
    }

    /// The session key manager and the root that the operation sets in it, zero where all sessions end.
    pub(crate) const fn root(&self) -> Option<(Address, B256)> {
        self.root
    }
}

impl<D: Display> Show for Screen<D> {
    fn show(&mut self, item: &Item<'_>) -> Result<(), NotShown> {
        match (item.label, item.value) {
            (Label::GrantsSessions, Value::Address(manager)) => self.manager = Some(manager),
            (Label::EndsAllSessions, Value::Address(manager)) => self.root = Some((manager, B256::ZERO)),
            (Label::Root, Value::Hash(root)) => self.root = self.manager.map(|manager| (manager, root)),
            _ => {}
        }
        self.display.as_mut().ok_or(NotShown)?.show(item)
    }
}
