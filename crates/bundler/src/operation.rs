//! User operations as bundlers take them.

use alloy_primitives::{Address, B256, Bytes};
use quorate_core::{EntryPointVersion, PackedUserOperation, SignedUserOperation, UnpackedUserOperation};
use serde::{Serialize, Serializer, de::DeserializeOwned, ser::Error as _};

use crate::{GasEstimate, PackedGasEstimate};

/// A signed user operation of some entry point, which is serialized in the form that bundlers take for it.
pub trait SignedOperation: Serialize + Sync {
    /// What bundlers estimate for it.
    type Estimate: DeserializeOwned + Send;

    /// Its hash at that entry point, by which bundlers name it.
    fn hash(&self, entry_point: Address, chain_id: u64) -> B256;
}

impl SignedOperation for SignedUserOperation<Vec<u8>> {
    type Estimate = GasEstimate;

    fn hash(&self, entry_point: Address, chain_id: u64) -> B256 {
        self.operation.hash(entry_point, chain_id)
    }
}

/// A user operation of EntryPoint v0.7 with its signature.
///
/// ```
/// use quorate_bundler::SignedPackedOperation;
/// use quorate_core::PackedUserOperation;
///
/// let operation = PackedUserOperation { init_code: vec![0xfa; 24], ..PackedUserOperation::default() };
/// let json = serde_json::to_value(SignedPackedOperation { operation, signature: vec![1] })?;
/// assert_eq!(json["factoryData"], "0xfafafafa");
/// assert_eq!(json["signature"], "0x01");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedPackedOperation {
    /// What was signed.
    pub operation: PackedUserOperation<Vec<u8>>,
    /// The signature, which the hash does not cover.
    pub signature: Vec<u8>,
}

impl SignedOperation for SignedPackedOperation {
    type Estimate = PackedGasEstimate;

    fn hash(&self, entry_point: Address, chain_id: u64) -> B256 {
        self.operation.hash_v0_7(entry_point, chain_id)
    }
}

/// The fields of EntryPoint v0.7 and later (ERC-7769): init code, gas limits, fees and paymaster in parts.
impl Serialize for SignedPackedOperation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let operation = self.operation.unpack(EntryPointVersion::V0_7, None).map_err(S::Error::custom)?;
        Signed { operation, signature: Bytes::copy_from_slice(&self.signature) }.serialize(serializer)
    }
}

#[derive(Serialize)]
struct Signed<'a> {
    #[serde(flatten)]
    operation: UnpackedUserOperation<&'a [u8], &'a Vec<u8>>,
    signature: Bytes,
}

#[cfg(test)]
mod tests {
    use alloy_primitives::U256;
    use quorate_core::{Encode as _, Initialization, Paymaster};

    use super::*;

    #[test]
    fn what_is_sent_is_read_as_what_was_signed() {
        let paymaster = Paymaster {
            paymaster: Address::repeat_byte(0x9a),
            verification_gas_limit: 70,
            post_op_gas_limit: 80,
            data: vec![1, 2, 3],
        };
        let init = Initialization::Factory { factory: Address::repeat_byte(0xfa), data: vec![4, 5] };
        let operation = UnpackedUserOperation::<Vec<u8>> {
            sender: Address::repeat_byte(0xac),
            nonce: (U256::from(3) << 64) | U256::from(4),
            init: init.clone(),
            call_data: vec![6, 7],
            call_gas_limit: 10,
            verification_gas_limit: 20,
            pre_verification_gas: U256::from(30),
            max_fee_per_gas: 40,
            max_priority_fee_per_gas: 50,
            paymaster: Some(paymaster),
        };
        let signed = SignedPackedOperation { operation: operation.clone().pack(), signature: vec![8] };
        let json = serde_json::to_value(&signed).unwrap();
        assert_eq!(json["signature"], "0x08");
        assert_eq!(serde_json::from_value::<UnpackedUserOperation<Vec<u8>>>(json).unwrap(), operation);

        let bare = UnpackedUserOperation { paymaster: None, init: Initialization::Deployed, ..operation };
        let json = serde_json::to_value(SignedPackedOperation { operation: bare.pack(), signature: vec![8] });
        let names: Vec<_> = json.unwrap().as_object().unwrap().keys().cloned().collect();
        assert!(
            names.iter().all(|name| !name.contains("paymaster") && !name.contains("factory")),
            "{names:?}"
        );
        assert_eq!(signed.operation.init_code, init.to_vec());
    }

    #[test]
    fn an_operation_that_no_entry_point_reads_is_not_sent() {
        let operation = PackedUserOperation { init_code: vec![0x77, 0x02], ..PackedUserOperation::default() };
        let error = serde_json::to_value(SignedPackedOperation { operation, signature: Vec::new() });
        assert!(error.unwrap_err().to_string().contains("initCode"));
    }
}
