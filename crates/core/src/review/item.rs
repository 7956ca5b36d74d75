//! What a review shows: one thing at a time, as a label and a value.

use core::fmt;

use alloy_primitives::{Address, B256, U256};

use super::{function::Subject, label::Label};
use crate::{
    abi::selector::FunctionSelector, lint::severity::Severity, operation::entry_point::EntryPointVersion,
    policy::condition::Condition, texts, written::Written,
};

/// One thing that a review shows. It lives as long as the call that hands it over.
#[derive(Clone, Copy, Debug)]
pub struct Item<'i> {
    /// How much of a warning it is.
    pub severity: Severity,
    /// What the value is.
    pub label: Label,
    /// The value.
    pub value: Value<'i>,
}

impl<'i> Item<'i> {
    pub(crate) const fn new(label: Label, value: Value<'i>) -> Self {
        Self { severity: Severity::Info, label, value }
    }

    pub(crate) const fn with_severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }
}

/// Where a review shows its items: a display, a log, a frame to somebody who decides.
///
/// An item that is shown is shown whole: where it does not fit, or the display is gone, showing it fails, and the review
/// ends without a hash.
pub trait Show {
    /// Shows one more item. An item of [`Severity::Refused`] is the last one, and takes the place of all before it.
    ///
    /// # Errors
    /// [`NotShown`] where the item, or a part of it, is not shown.
    fn show(&mut self, item: &Item<'_>) -> Result<(), NotShown>;
}

impl<S: Show + ?Sized> Show for &mut S {
    fn show(&mut self, item: &Item<'_>) -> Result<(), NotShown> {
        (**self).show(item)
    }
}

/// An item was not shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct NotShown;

texts!(NotShown => "the display did not show an item");

impl From<fmt::Error> for NotShown {
    fn from(_: fmt::Error) -> Self {
        Self
    }
}

/// The value of an item.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Value<'i> {
    /// The label says it all.
    None,
    /// An account or a contract.
    Address(Address),
    /// A keccak-256.
    Hash(B256),
    /// A number, shown in decimal.
    Number(U256),
    /// A number, shown in hexadecimal.
    Hex(U256),
    /// An amount of the chain's own coin, in its smallest unit, 10^-18.
    Coin(U256),
    /// Seconds since 1970, shown in UTC.
    Time(u64),
    /// Text from outside: printable ASCII without runs of blanks.
    Text(&'i str),
    /// The place of something in a list, from 1.
    Place {
        /// Which one.
        number: usize,
        /// The length of the list, where it is known.
        of: Option<usize>,
    },
    /// Bytes by their number and their keccak-256.
    Bytes {
        /// The number of bytes.
        len: u64,
        /// Their keccak-256.
        digest: B256,
    },
    /// An entry point.
    EntryPoint {
        /// Its version.
        version: EntryPointVersion,
        /// Where it is.
        address: Address,
    },
    /// A function by its selector, and by its signature where that is known.
    Function {
        /// Its selector.
        selector: FunctionSelector,
        /// Its signature with the names of the arguments.
        signature: Option<&'i str>,
    },
    /// What a rule demands of a word of the arguments.
    Rule {
        /// Which word.
        subject: Subject<'i>,
        /// How it is compared.
        condition: Condition,
        /// What it is compared with.
        reference: B256,
    },
    /// A word of the arguments.
    Argument {
        /// Which word.
        subject: Subject<'i>,
        /// The word.
        word: B256,
    },
    /// A word of the arguments, without its value.
    Subject(Subject<'i>),
    /// A reason, in words.
    Reason(&'i dyn Written),
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
