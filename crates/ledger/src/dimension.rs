//! What is counted, and in which window.

use std::num::NonZeroU64;

use alloy_primitives::{Address, FixedBytes};
use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// What an amount is of. Amounts are stored under their dimension, never by position, so that other limits or
/// another order of limits change no earlier charge.
///
/// The variants' order is part of the stored form and of the wire form: new ones go to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Dimension {
    /// Operations.
    Uses,
    /// Operations in one fixed window of this many seconds.
    UsesInWindow(NonZeroU64),
    /// Wei that the calls send along.
    NativeValue,
    /// Wei for gas.
    GasCost,
    /// The total of a `uint256` argument, in the argument's own unit.
    Argument {
        /// The contract called.
        contract: Address,
        /// The function's selector.
        selector: FixedBytes<4>,
        /// Where the argument stands, in bytes after the selector.
        offset: u16,
    },
}

/// A fixed window by its number: window `i` of `s` seconds begins at `i·s` seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window(u64);

/// One total that is held against a limit: a dimension, and for a windowed one the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CounterId {
    pub(crate) dimension: Dimension,
    pub(crate) window: Option<Window>,
}

/// A dimension of the protocol that this ledger cannot store. A key that it limits must not sign here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this version of the ledger does not count the {dimension}; a newer node is needed")]
pub struct UnknownDimension {
    /// The dimension, in words.
    pub dimension: String,
}

impl Dimension {
    /// The window that holds a time; none for a dimension without windows.
    ///
    /// ```
    /// # use std::num::NonZeroU64;
    /// # use quorate_ledger::{Dimension, Timestamp};
    /// let hourly = Dimension::UsesInWindow(NonZeroU64::new(3600).unwrap());
    /// assert_eq!(hourly.window(Timestamp::new(7199)).unwrap().get(), 1);
    /// assert_eq!(Dimension::Uses.window(Timestamp::new(7199)), None);
    /// ```
    pub const fn window(self, time: Timestamp) -> Option<Window> {
        match self {
            Self::UsesInWindow(seconds) => Some(Window(time.get() / seconds.get())),
            Self::Uses | Self::NativeValue | Self::GasCost | Self::Argument { .. } => None,
        }
    }

    pub(crate) const fn counter(self, time: Timestamp) -> CounterId {
        CounterId { dimension: self, window: self.window(time) }
    }
}

impl Window {
    /// The window's number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl CounterId {
    /// Whether the counter's window ended at or before a time; never for a counter without a window.
    pub(crate) fn ended(self, time: Timestamp) -> bool {
        self.window.is_some_and(|window| Some(window) < self.dimension.window(time))
    }
}

impl TryFrom<quorate_protocol::Dimension> for Dimension {
    type Error = UnknownDimension;

    fn try_from(dimension: quorate_protocol::Dimension) -> Result<Self, UnknownDimension> {
        use quorate_protocol::Dimension as Protocol;
        Ok(match dimension {
            Protocol::Uses => Self::Uses,
            Protocol::UsesInWindow(seconds) => Self::UsesInWindow(seconds),
            Protocol::NativeValue => Self::NativeValue,
            Protocol::GasCost => Self::GasCost,
            Protocol::Argument { contract, selector, offset } => {
                Self::Argument { contract, selector: FixedBytes(*selector.as_bytes()), offset }
            }
            other => return Err(UnknownDimension { dimension: other.to_string() }),
        })
    }
}

impl From<Dimension> for quorate_protocol::Dimension {
    fn from(dimension: Dimension) -> Self {
        match dimension {
            Dimension::Uses => Self::Uses,
            Dimension::UsesInWindow(seconds) => Self::UsesInWindow(seconds),
            Dimension::NativeValue => Self::NativeValue,
            Dimension::GasCost => Self::GasCost,
            Dimension::Argument { contract, selector, offset } => {
                Self::Argument { contract, selector: selector.0.into(), offset }
            }
        }
    }
}

/// As the protocol names it to clients.
impl std::fmt::Display for Dimension {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        quorate_protocol::Dimension::from(*self).fmt(f)
    }
}
