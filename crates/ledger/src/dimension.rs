//! What is counted, and in which window.

use std::num::NonZeroU64;

use alloy_primitives::{Address, B256, FixedBytes, U256};
use quorate_protocol::{CaveatCounter, Quantity};
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
    /// Wei that the calls send along, in one fixed window of this many seconds.
    NativeValueInWindow(NonZeroU64),
    /// Wei for gas, likewise.
    GasCostInWindow(NonZeroU64),
    /// The total of a `uint256` argument, likewise.
    ArgumentInWindow {
        /// The contract called.
        contract: Address,
        /// The function's selector.
        selector: FixedBytes<4>,
        /// Where the argument stands, in bytes after the selector.
        offset: u16,
        /// The window's length.
        seconds: NonZeroU64,
    },
    /// What an enforcer keeps of a delegation in all, in its own unit.
    Delegated {
        /// The delegation's hash.
        delegation: B256,
        /// The contract.
        enforcer: Address,
    },
    /// What an enforcer keeps of a delegation in one of the enforcer's periods, in its own unit.
    DelegatedInPeriod {
        /// The delegation's hash.
        delegation: B256,
        /// The contract.
        enforcer: Address,
        /// The period, counted from 1.
        period: U256,
    },
    /// Whether a delegator's id is used: 0 or 1.
    DelegatorId {
        /// The delegator.
        delegator: Address,
        /// The id.
        id: U256,
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
            Self::UsesInWindow(seconds)
            | Self::NativeValueInWindow(seconds)
            | Self::GasCostInWindow(seconds)
            | Self::ArgumentInWindow { seconds, .. } => Some(Window(time.get() / seconds.get())),
            Self::Uses
            | Self::NativeValue
            | Self::GasCost
            | Self::Argument { .. }
            | Self::Delegated { .. }
            | Self::DelegatedInPeriod { .. }
            | Self::DelegatorId { .. } => None,
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
        Ok(match (dimension.quantity, dimension.seconds) {
            (Quantity::Uses, None) => Self::Uses,
            (Quantity::Uses, Some(seconds)) => Self::UsesInWindow(seconds),
            (Quantity::NativeValue, None) => Self::NativeValue,
            (Quantity::NativeValue, Some(seconds)) => Self::NativeValueInWindow(seconds),
            (Quantity::GasCost, None) => Self::GasCost,
            (Quantity::GasCost, Some(seconds)) => Self::GasCostInWindow(seconds),
            (Quantity::Argument { contract, selector, offset }, seconds) => {
                let selector = FixedBytes(*selector.as_bytes());
                match seconds {
                    None => Self::Argument { contract, selector, offset },
                    Some(seconds) => Self::ArgumentInWindow { contract, selector, offset, seconds },
                }
            }
            (Quantity::Caveat(counter), None) => counter.into(),
            _ => return Err(UnknownDimension { dimension: dimension.to_string() }),
        })
    }
}

impl From<CaveatCounter> for Dimension {
    fn from(counter: CaveatCounter) -> Self {
        match counter {
            CaveatCounter::Total { delegation, enforcer } => Self::Delegated { delegation, enforcer },
            CaveatCounter::Period { delegation, enforcer, period } => {
                Self::DelegatedInPeriod { delegation, enforcer, period }
            }
            CaveatCounter::Id { delegator, id } => Self::DelegatorId { delegator, id },
        }
    }
}

impl From<Dimension> for quorate_protocol::Dimension {
    fn from(dimension: Dimension) -> Self {
        let argument = |contract, selector: FixedBytes<4>, offset| Quantity::Argument {
            contract,
            selector: selector.0.into(),
            offset,
        };
        let (quantity, seconds) = match dimension {
            Dimension::Uses => (Quantity::Uses, None),
            Dimension::UsesInWindow(seconds) => (Quantity::Uses, Some(seconds)),
            Dimension::NativeValue => (Quantity::NativeValue, None),
            Dimension::NativeValueInWindow(seconds) => (Quantity::NativeValue, Some(seconds)),
            Dimension::GasCost => (Quantity::GasCost, None),
            Dimension::GasCostInWindow(seconds) => (Quantity::GasCost, Some(seconds)),
            Dimension::Argument { contract, selector, offset } => {
                (argument(contract, selector, offset), None)
            }
            Dimension::ArgumentInWindow { contract, selector, offset, seconds } => {
                (argument(contract, selector, offset), Some(seconds))
            }
            Dimension::Delegated { delegation, enforcer } => {
                (Quantity::Caveat(CaveatCounter::Total { delegation, enforcer }), None)
            }
            Dimension::DelegatedInPeriod { delegation, enforcer, period } => {
                (Quantity::Caveat(CaveatCounter::Period { delegation, enforcer, period }), None)
            }
            Dimension::DelegatorId { delegator, id } => {
                (Quantity::Caveat(CaveatCounter::Id { delegator, id }), None)
            }
        };
        Self { quantity, seconds }
    }
}

/// As the protocol names it to clients.
impl std::fmt::Display for Dimension {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        quorate_protocol::Dimension::from(*self).fmt(f)
    }
}
