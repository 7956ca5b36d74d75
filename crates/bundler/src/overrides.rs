//! The state that an estimate assumes in place of the chain's.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::number;

/// What an estimate assumes of accounts instead of what the chain says, by address.
///
/// It has the form of geth's state override set, which bundlers take as the third parameter of
/// `eth_estimateUserOperationGas`. Numbers are written in hex and read in each form of [`number`].
///
/// ```
/// use quorate_bundler::{AccountOverride, StateOverride};
/// use quorate_core::{Address, U256};
/// use serde_json::json;
///
/// let rich = AccountOverride { balance: Some(U256::from(10).pow(U256::from(18))), ..Default::default() };
/// let overrides = StateOverride::from([(Address::repeat_byte(1), rich)]);
/// assert_eq!(
///     serde_json::to_value(&overrides)?,
///     json!({ "0x0101010101010101010101010101010101010101": { "balance": "0xde0b6b3a7640000" } }),
/// );
/// # Ok::<(), serde_json::Error>(())
/// ```
pub type StateOverride = BTreeMap<Address, AccountOverride>;

/// What an estimate assumes of one account; what is none stays as the chain has it.
///
/// Reading refuses fields that are not listed here, so that no wish is lost on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccountOverride {
    /// The account's native coin, in wei.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "number::deserialize_optional"
    )]
    pub balance: Option<U256>,
    /// How many transactions the account sent, or contracts it created; not its nonce at the entry point.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "nonce")]
    pub nonce: Option<u64>,
    /// The account's code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Bytes>,
    /// The whole of the account's storage: slots that are not named are zero. Nodes refuse it beside `state_diff`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<BTreeMap<B256, B256>>,
    /// Single slots of the account's storage; the others stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_diff: Option<BTreeMap<B256, B256>>,
}

mod nonce {
    use super::*;

    pub(super) fn serialize<S: Serializer>(nonce: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
        nonce.map(U64::from).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
        let Some(nonce) = number::deserialize_optional(deserializer)? else { return Ok(None) };
        u64::try_from(nonce)
            .map(Some)
            .map_err(|_| D::Error::custom(format_args!("{nonce} does not fit into 64 bits")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn overrides_are_written_in_hex_under_geths_names_and_read_again() {
        let slots = BTreeMap::from([(B256::repeat_byte(1), B256::repeat_byte(2))]);
        let slots_written = json!({ B256::repeat_byte(1).to_string(): B256::repeat_byte(2) });
        for (account, written) in [
            (AccountOverride::default(), json!({})),
            (
                AccountOverride { balance: Some(U256::ZERO), ..Default::default() },
                json!({ "balance": "0x0" }),
            ),
            (AccountOverride { nonce: Some(16), ..Default::default() }, json!({ "nonce": "0x10" })),
            (
                AccountOverride { code: Some(vec![0x60].into()), ..Default::default() },
                json!({ "code": "0x60" }),
            ),
            (AccountOverride { code: Some(Bytes::new()), ..Default::default() }, json!({ "code": "0x" })),
            (
                AccountOverride { state: Some(slots.clone()), ..Default::default() },
                json!({ "state": slots_written }),
            ),
            (
                AccountOverride { state_diff: Some(slots), ..Default::default() },
                json!({ "stateDiff": slots_written }),
            ),
        ] {
            assert_eq!(serde_json::to_value(&account).unwrap(), written);
            assert_eq!(serde_json::from_value::<AccountOverride>(written).unwrap(), account);
        }
    }

    #[test]
    fn overrides_are_read_with_numbers_in_every_form_and_nothing_is_lost() {
        let read = |json| serde_json::from_value::<AccountOverride>(json);
        let account = read(json!({ "balance": "1000", "nonce": 7, "code": null })).unwrap();
        assert_eq!((account.balance, account.nonce, account.code), (Some(U256::from(1000)), Some(7), None));
        for refused in [
            json!({ "nonce": "0x10000000000000000" }),
            json!({ "balance": "lots" }),
            json!({ "state_diff": {} }),
            json!({ "movePrecompileToAddress": Address::ZERO }),
        ] {
            read(refused.clone()).expect_err(&refused.to_string());
        }
    }
}
