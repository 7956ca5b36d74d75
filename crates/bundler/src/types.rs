use alloy_primitives::{Address, B256, U256};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{number, receipt};

/// What a user operation needs, in gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "WireGas")]
pub struct GasEstimate {
    /// For the bundler's own costs.
    pub pre_verification_gas: U256,
    /// For validation, and deployment where the account does not exist.
    pub verification_gas_limit: U256,
    /// For the call itself.
    pub call_gas_limit: U256,
}

/// What a user operation of EntryPoint v0.7 or later needs, in gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PackedGasEstimate {
    /// For all but its paymaster.
    #[serde(flatten)]
    pub gas: GasEstimate,
    /// For its paymaster's validation, where it has one.
    #[serde(default, deserialize_with = "number::deserialize_optional")]
    pub paymaster_verification_gas_limit: Option<U256>,
    /// For what its paymaster does after the call.
    #[serde(default, deserialize_with = "number::deserialize_optional")]
    pub paymaster_post_op_gas_limit: Option<U256>,
}

/// Under the names of ERC-4337 or under shorter ones, as `verificationGas` in earlier drafts and in some bundlers still.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireGas {
    #[serde(default, deserialize_with = "number::deserialize_optional")]
    pre_verification_gas: Option<U256>,
    #[serde(default, deserialize_with = "number::deserialize_optional")]
    pre_verification_gas_limit: Option<U256>,
    #[serde(default, deserialize_with = "number::deserialize_optional")]
    pre_verification: Option<U256>,
    #[serde(default, deserialize_with = "number::deserialize_optional")]
    verification_gas_limit: Option<U256>,
    #[serde(default, deserialize_with = "number::deserialize_optional")]
    verification_gas: Option<U256>,
    #[serde(default, deserialize_with = "number::deserialize_optional")]
    call_gas_limit: Option<U256>,
    #[serde(default, deserialize_with = "number::deserialize_optional")]
    call_gas: Option<U256>,
}

#[derive(Debug, thiserror::Error)]
#[error("missing field `{0}`")]
struct Missing(&'static str);

impl TryFrom<WireGas> for GasEstimate {
    type Error = Missing;

    fn try_from(wire: WireGas) -> Result<Self, Missing> {
        let pre_verification =
            wire.pre_verification_gas.or(wire.pre_verification_gas_limit).or(wire.pre_verification);
        let verification = wire.verification_gas_limit.or(wire.verification_gas);
        Ok(Self {
            pre_verification_gas: pre_verification.ok_or(Missing("preVerificationGas"))?,
            verification_gas_limit: verification.ok_or(Missing("verificationGasLimit"))?,
            call_gas_limit: wire.call_gas_limit.or(wire.call_gas).ok_or(Missing("callGasLimit"))?,
        })
    }
}

/// Fees in wei for each unit of gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fees {
    /// The most that is paid.
    #[serde(deserialize_with = "number::deserialize")]
    pub max_fee_per_gas: U256,
    /// The most that goes to the block's builder.
    #[serde(deserialize_with = "number::deserialize")]
    pub max_priority_fee_per_gas: U256,
}

/// A user operation known to the bundler, and where it was mined.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserOperationByHash {
    /// The entry point, where the bundler says it.
    #[serde(default, deserialize_with = "receipt::optional_address")]
    pub entry_point: Option<Address>,
    /// The transaction; none while it waits.
    #[serde(default, deserialize_with = "receipt::optional_hash")]
    pub transaction_hash: Option<B256>,
    /// The block; none while it waits.
    #[serde(default, deserialize_with = "number::deserialize_optional")]
    pub block_number: Option<U256>,
    /// The operation as the bundler writes it; null where it does not.
    #[serde(default)]
    pub user_operation: serde_json::Value,
}

/// A chain's id in any form of a number.
pub(crate) fn chain_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let id = number::deserialize(deserializer)?;
    u64::try_from(id).map_err(|_| D::Error::custom(format_args!("{id} is not the id of a chain")))
}
