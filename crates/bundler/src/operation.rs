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
    use super::*;

    #[test]
    fn an_operation_that_no_entry_point_reads_is_not_sent() {
        let operation = PackedUserOperation { init_code: vec![0x77, 0x02], ..PackedUserOperation::default() };
        let error = serde_json::to_value(SignedPackedOperation { operation, signature: Vec::new() });
        assert!(error.unwrap_err().to_string().contains("initCode"));
    }
}
