//! JSON forms of policies and user operations.
//!
//! They are tolerant in numbers, which may be JSON numbers, decimal strings and hex strings with `0x`, up to what fits the
//! field. serde's data model ends at 128 bits, and `serde_json` gives JSON numbers of 2^64 or more as floating point, which
//! is refused: who reads JSON in which they occur passes their digits on as strings. The forms are strict in everything else: unknown fields, hex without `0x` or with an odd digit, and addresses whose letters are not those
//! of their checksum (ERC-55) are refused. All lower or all upper case is no checksum.
//!
//! The same reading of numbers, addresses and bytes is here for other forms, for serde's `deserialize_with`:
//!
//! ```
//! #[derive(serde::Deserialize)]
//! struct Transfer {
//!     #[serde(deserialize_with = "quorate_core::json::address")]
//!     to: quorate_core::Address,
//!     #[serde(deserialize_with = "quorate_core::json::number")]
//!     value: quorate_core::U256,
//! }
//!
//! let to = "0x5FF137D4b0FDCD49DcA30c7CF57E578a026d2789";
//! let transfer: Transfer = serde_json::from_value(serde_json::json!({ "to": to, "value": "0x10" }))?;
//! assert_eq!(transfer.value, quorate_core::U256::from(16));
//! let wrong = serde_json::json!({ "to": to.replace('F', "f"), "value": 16 });
//! assert!(serde_json::from_value::<Transfer>(wrong).is_err());
//! # Ok::<(), serde_json::Error>(())
//! ```

mod address;
mod leaf;
mod operation;
mod policy;
mod reference_value;
mod rule;
mod selector;
mod value;

use alloc::vec::Vec;

use alloy_primitives::{Address, U256};
use serde::{Deserialize as _, Deserializer};

pub use address::{AddressError, parse_address};
pub use policy::SessionPolicy;

/// Reads an address, and checks its checksum.
///
/// # Errors
/// The deserializer's, with what an address looks like.
pub fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Address, D::Error> {
    Ok(value::Checked::deserialize(deserializer)?.0)
}

/// Reads a number below 2^256 from a JSON number, a decimal string or a hex string.
///
/// # Errors
/// The deserializer's, with what a number looks like.
pub fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<U256, D::Error> {
    Ok(value::Number::deserialize(deserializer)?.0)
}

/// Reads bytes from hex with `0x`.
///
/// # Errors
/// The deserializer's, with what bytes look like.
pub fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    Ok(value::Hex::deserialize(deserializer)?.0)
}
