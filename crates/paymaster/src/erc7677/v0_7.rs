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
    paymaster: Address,
    data: Vec<u8>,
    verification_gas_limit: Option<U256>,
    post_op_gas_limit: Option<U256>,
    /// What paymasters of the service need after the call, where nobody says it.
    post_op_gas: U256,
}

impl PackedStub {
    /// The paymaster with data of the final length. A gas limit that the service does not name is 0.
    pub fn unestimated(&self) -> Paymaster<Vec<u8>> {
        self.with_limits(
            self.verification_gas_limit.unwrap_or_default(),
            self.post_op_gas_limit.unwrap_or_default(),
        )
    }

    /// The same with the gas limits that the service names, or else those that were estimated. What is done after the call has a
    /// limit also where nobody says it ([`Erc7677::with_post_op_gas`]).
    ///
    /// # Errors
    /// [`PaymasterError::NoGasLimit`] where neither names what the validation takes.
    pub fn estimated(
        &self,
        verification_gas_limit: Option<U256>,
        post_op_gas_limit: Option<U256>,
    ) -> Result<Paymaster<Vec<u8>>, PaymasterError> {
        let named = |limit: Option<U256>| limit.filter(|limit| !limit.is_zero());
        let verification = named(self.verification_gas_limit).or(named(verification_gas_limit));
        let verification = verification.ok_or(PaymasterError::NoGasLimit)?;
        let post_op = self.post_op_gas_limit.or(post_op_gas_limit).unwrap_or(self.post_op_gas);
        Ok(self.with_limits(verification, post_op))
    }

    fn with_limits(&self, verification: U256, post_op: U256) -> Paymaster<Vec<u8>> {
        Paymaster {
            paymaster: self.paymaster,
            verification_gas_limit: verification.saturating_to(),
            post_op_gas_limit: post_op.saturating_to(),
            data: self.data.clone(),
        }
    }
}

impl Erc7677 {
    /// The contract that sponsors.
    pub const fn paymaster(&self) -> Address {
        self.paymaster
    }

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
        Ok(PackedStub {
            paymaster: self.paymaster,
            data: wire.paymaster_data.to_vec(),
            verification_gas_limit: wire.paymaster_verification_gas_limit,
            post_op_gas_limit: wire.paymaster_post_op_gas_limit,
            post_op_gas: self.post_op_gas,
        })
    }

    /// The final data of an operation whose gas, fees and paymaster's gas stand.
    ///
    /// # Errors
    /// As [`packed_stub`](Self::packed_stub), data that is longer or shorter than the stub's, with which gas was estimated, and gas
    /// limits that are others than the operation's.
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
        for (field, answered, sent) in [
            (
                "paymasterVerificationGasLimit",
                wire.paymaster_verification_gas_limit,
                stub.verification_gas_limit,
            ),
            ("paymasterPostOpGasLimit", wire.paymaster_post_op_gas_limit, stub.post_op_gas_limit),
        ] {
            let sent = U256::from(sent);
            if let Some(answered) = answered.filter(|answered| *answered != sent) {
                return Err(PaymasterError::GasChanged { field, sent, answered });
            }
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
}
