//! Where a step of a review puts its items.

use alloy_primitives::{Address, B256, U256};

use super::{
    item::{Item, NotShown, Show, Value},
    label::Label,
};
use crate::{lint::severity::Severity, written::Written};

/// The items of one step. The first that is not shown is the last, and the step fails, whatever it does after it.
pub(super) struct Items<'s> {
    show: &'s mut dyn Show,
    shown: Result<(), NotShown>,
    /// Of the next item.
    severity: Severity,
}

/// Takes a step of a review, and shows its refusal, if it is one.
#[inline(never)]
pub(super) fn step<E: Written + From<NotShown>>(
    show: &mut dyn Show,
    step: &mut dyn FnMut(&mut Items<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut items = Items::new(show);
    let mut taken = step(&mut items);
    if items.shown.is_err() {
        taken = Err(NotShown.into());
    }
    if let Err(error) = &taken {
        // A display that is gone shows no refusal either; the caller has it.
        items.shown = Ok(());
        items.with_severity(Severity::Refused).put(Label::Refused, Value::Reason(error));
    }
    taken
}

impl<'s> Items<'s> {
    pub(super) const fn new(show: &'s mut dyn Show) -> Self {
        Self { show, shown: Ok(()), severity: Severity::Info }
    }

    /// Whether all of them were shown.
    pub(super) const fn shown(&self) -> Result<(), NotShown> {
        self.shown
    }

    /// Of the next item, which is [`Severity::Info`] otherwise.
    pub(super) const fn with_severity(&mut self, severity: Severity) -> &mut Self {
        self.severity = severity;
        self
    }

    #[inline(never)]
    pub(super) fn put(&mut self, label: Label, value: Value<'_>) {
        let severity = core::mem::replace(&mut self.severity, Severity::Info);
        if self.shown.is_ok() {
            self.shown = self.show.show(&Item { severity, label, value });
        }
    }

    // Each value is put together in one place: a review of all kinds has some eighty items.

    #[inline(never)]
    pub(super) fn label(&mut self, label: Label) {
        self.put(label, Value::None);
    }

    #[inline(never)]
    pub(super) fn address(&mut self, label: Label, address: &Address) {
        self.put(label, Value::Address(*address));
    }

    #[inline(never)]
    pub(super) fn hash(&mut self, label: Label, hash: &B256) {
        self.put(label, Value::Hash(*hash));
    }

    #[inline(never)]
    pub(super) fn number(&mut self, label: Label, number: &U256) {
        self.put(label, Value::Number(*number));
    }

    #[inline(never)]
    pub(super) fn coin(&mut self, label: Label, amount: &U256) {
        self.put(label, Value::Coin(*amount));
    }

    /// Bytes that are in memory.
    #[inline(never)]
    pub(super) fn bytes(&mut self, label: Label, bytes: &[u8]) {
        self.put(label, super::head::bytes(bytes));
    }
}
