//! Operations of EntryPoint v0.7, whose paymaster stands in fields of its own.

use alloy_primitives::{Address, Bytes, U64, U256};
use quorate_bundler::{SignedPackedOperation, number};
use quorate_core::{EntryPointVersion, PackedUserOperation, Paymaster};
use quorate_transport::TransportExt as _;
use serde::Deserialize;
use serde_json::Value;

use super::Erc7677;
use crate::PaymasterError;

/// What stands in an operation of EntryPoint v0.7 for its paymaster while gas is estimated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedStub {
    /// Data of the final length. A gas limit that the service does not name is 0, and the caller's to estimate.
    pub paymaster: Paymaster<Vec<u8>>,
    /// Whether it is final.
    pub is_final: bool,
}

impl Erc7677 {
    /// What stands for the paymaster of an operation of EntryPoint v0.7 while gas is estimated. Gas that is not known yet is zero.
    ///
    /// # Errors
    /// The service refuses, does not answer, or answers with another paymaster.
    pub async fn packed_stub(
        &self,
        operation: &PackedUserOperation<Vec<u8>>,
        chain_id: u64,
    ) -> Result<PackedStub, PaymasterError> {
        let wire = self.ask_packed("pm_getPaymasterStubData", operation, chain_id).await?;
        let gas = |limit: Option<U256>| limit.map_or(0, |limit| limit.saturating_to());
        let paymaster = Paymaster {
            paymaster: self.paymaster,
            verification_gas_limit: gas(wire.paymaster_verification_gas_limit),
            post_op_gas_limit: gas(wire.paymaster_post_op_gas_limit),
            data: wire.paymaster_data.to_vec(),
        };
        Ok(PackedStub { paymaster, is_final: wire.is_final })
    }

    /// The final data of an operation whose gas, fees and paymaster's gas stand.
    ///
    /// # Errors
    /// As [`packed_stub`](Self::packed_stub), and data that is longer or shorter than the stub's, with which gas was estimated.
    pub async fn packed_data(
        &self,
        operation: &PackedUserOperation<Vec<u8>>,
        stub: &Paymaster<Vec<u8>>,
        chain_id: u64,
    ) -> Result<Paymaster<Vec<u8>>, PaymasterError> {
        let wire = self.ask_packed("pm_getPaymasterData", operation, chain_id).await?;
        let (expected, found) = (stub.data.len(), wire.paymaster_data.len());
        if found != expected {
            return Err(PaymasterError::OtherLength { expected, found });
        }
        Ok(Paymaster { data: wire.paymaster_data.to_vec(), ..stub.clone() })
    }

    async fn ask_packed(
        &self,
        method: &str,
        operation: &PackedUserOperation<Vec<u8>>,
        chain_id: u64,
    ) -> Result<Wire, PaymasterError> {
        let signed = SignedPackedOperation { operation: operation.clone(), signature: Vec::new() };
        let mut operation = serde_json::to_value(signed).unwrap_or_default();
        if let Value::Object(fields) = &mut operation {
            // The standard's parameter has none.
            fields.remove("signature");
        }
        let entry_point = EntryPointVersion::V0_7.address();
        let params = (operation, entry_point, U64::from(chain_id), &self.context);
        let wire: Wire = self.transport.call(method, params).await?;
        let found = wire.paymaster.ok_or(PaymasterError::NoPaymaster { len: 0 })?;
        if found == self.paymaster {
            Ok(wire)
        } else {
            Err(PaymasterError::OtherPaymaster { expected: vec![self.paymaster], found })
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    paymaster: Option<Address>,
    #[serde(default)]
    paymaster_data: Bytes,
    #[serde(default, deserialize_with = "number::deserialize_optional")]
    paymaster_verification_gas_limit: Option<U256>,
    #[serde(default, deserialize_with = "number::deserialize_optional")]
    paymaster_post_op_gas_limit: Option<U256>,
    #[serde(default)]
    is_final: bool,
}
