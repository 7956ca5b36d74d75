//! The entry points.

use core::fmt;

use alloy_primitives::{Address, address};

use crate::written::{TextSink, Written, displays};

/// A version of the contract that runs user operations.
///
/// ```
/// use quorate_core::EntryPointVersion;
///
/// assert_eq!(EntryPointVersion::V0_6.to_string(), "v0.6");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryPointVersion {
    /// EntryPoint v0.6.
    V0_6,
    /// EntryPoint v0.7.
    V0_7,
    /// EntryPoint v0.8.
    V0_8,
    /// EntryPoint v0.9.
    V0_9,
}

impl EntryPointVersion {
    /// All of them, oldest first.
    pub const ALL: [Self; 4] = [Self::V0_6, Self::V0_7, Self::V0_8, Self::V0_9];

    /// Where its makers deployed it, on all chains.
    pub const fn address(self) -> Address {
        match self {
            Self::V0_6 => address!("5FF137D4b0FDCD49DcA30c7CF57E578a026d2789"),
            Self::V0_7 => address!("0000000071727De22E5E9d8BAf0edAc6f37da032"),
            Self::V0_8 => address!("4337084D9E255Ff0702461CF8895CE9E3b5Ff108"),
            Self::V0_9 => address!("433709009B8330FDa32311DF1C2AFA402eD8D009"),
        }
    }

    /// Whether `initCode` may start with the EIP-7702 marker there; before v0.8 it is a factory's address.
    pub(super) fn knows_delegates(self) -> bool {
        self >= Self::V0_8
    }

    /// Its name: `v0.6` to `v0.9`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V0_6 => "v0.6",
            Self::V0_7 => "v0.7",
            Self::V0_8 => "v0.8",
            Self::V0_9 => "v0.9",
        }
    }
}

impl Written for EntryPointVersion {
    fn write(&self, out: &mut TextSink<'_>) -> fmt::Result {
        out(self.name())
    }
}

displays!(EntryPointVersion);
