//! The forms that bundlers write numbers in.

use alloy_primitives::U256;
use serde_json::{Value, json};

/// How a bundler writes the numbers of receipts, estimates, prices and operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Numbers {
    /// `"0x2a"`, as the standard says.
    #[default]
    Hex,
    /// `"42"`.
    Decimal,
    /// `42`; as a decimal string where 64 bits are not enough.
    Json,
    /// `{"_hex": "0x2a", "_isBigNumber": true}`, an ethers object of some versions.
    HexObject,
    /// `{"type": "BigNumber", "hex": "0x2a"}`, an ethers object of other versions.
    BigNumber,
}

impl Numbers {
    pub(crate) fn write(self, number: impl TryInto<U256>) -> Value {
        let number: U256 = number.try_into().unwrap_or_default();
        let hex = format!("{number:#x}");
        match self {
            Self::Hex => hex.into(),
            Self::Decimal => number.to_string().into(),
            Self::Json => u64::try_from(number).map_or_else(|_| number.to_string().into(), Value::from),
            Self::HexObject => json!({ "_hex": hex, "_isBigNumber": true }),
            Self::BigNumber => json!({ "type": "BigNumber", "hex": hex }),
        }
    }
}

/// A number as nodes write it.
pub(crate) fn hex(number: u64) -> Value {
    format!("{number:#x}").into()
}
