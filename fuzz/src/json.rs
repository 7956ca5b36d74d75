use std::fmt::Debug;

use quorate_core::json::SessionPolicy;
use quorate_core::{
    Address, EntryPointVersion, FunctionSelector, PackedUserOperation, Policy, ReferenceValue, SignedUserOperation,
    UnpackedUserOperation, UserOperation,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

const ENTRY_POINT: Address = Address::repeat_byte(0xee);
const CHAIN_ID: u64 = 1;

/// A policy that is read is written and read again as the same one.
pub fn policy_json(bytes: &[u8]) -> bool {
    let with_key = serde_json::from_slice::<SessionPolicy>(bytes).is_ok();
    let policy = there_and_back::<Policy>(bytes);
    // A key is either there or not.
    assert!(!(with_key && policy.is_some()));
    with_key || policy.is_some()
}

/// So is a user operation of any form, and its hash stays.
pub fn user_operation_json(bytes: &[u8]) -> bool {
    let signed = there_and_back::<SignedUserOperation<Vec<u8>>>(bytes);
    let unsigned = there_and_back::<UserOperation<Vec<u8>>>(bytes);
    assert_eq!(signed.as_ref().map(|signed| &signed.operation), unsigned.as_ref());
    if let Some(operation) = &unsigned {
        let slices = operation.as_slices();
        assert_eq!(slices.hash(ENTRY_POINT, CHAIN_ID), operation.hash(ENTRY_POINT, CHAIN_ID));
    }

    let packed = there_and_back::<PackedUserOperation<Vec<u8>>>(bytes);
    if let Some(packed) = &packed {
        if let Ok(unpacked) = packed.unpack(EntryPointVersion::V0_7, None) {
            assert_eq!(unpacked.hash_v0_7(ENTRY_POINT, CHAIN_ID), Ok(packed.hash_v0_7(ENTRY_POINT, CHAIN_ID)));
        }
        if let Ok(unpacked) = packed.unpack(EntryPointVersion::V0_9, None) {
            let hash = packed.hash_v0_9(ENTRY_POINT, CHAIN_ID, None);
            assert_eq!(unpacked.hash_v0_9(ENTRY_POINT, CHAIN_ID), hash);
        }
    }

    let unpacked = serde_json::from_slice::<UnpackedUserOperation<Vec<u8>>>(bytes).ok();
    if let Some(unpacked) = &unpacked {
        let packed = unpacked.clone().pack();
        let text = serde_json::to_string(&packed).expect("an operation has a JSON form");
        assert_eq!(there_and_back(text.as_bytes()), Some(packed.clone()));
        if let Ok(hash) = unpacked.hash_v0_7(ENTRY_POINT, CHAIN_ID) {
            assert_eq!(hash, packed.hash_v0_7(ENTRY_POINT, CHAIN_ID));
        }
    }
    unsigned.is_some() || packed.is_some() || unpacked.is_some()
}

/// A function or a reference value that is read is printed and read again as the same one.
pub fn text(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let selector = text.parse::<FunctionSelector>();
    if let Ok(selector) = &selector {
        assert_eq!(selector.to_string().parse(), Ok(*selector));
    }
    let value = text.parse::<ReferenceValue>();
    if let Ok(value) = &value {
        assert_eq!(value.to_string().parse(), Ok(*value));
    }
    selector.is_ok() || value.is_ok()
}

/// Reads a value, and checks that what is written for it is read as the same value and written the same again.
fn there_and_back<T: DeserializeOwned + Serialize + PartialEq + Debug>(bytes: &[u8]) -> Option<T> {
    let value = serde_json::from_slice::<T>(bytes).ok()?;
    let text = serde_json::to_string(&value).expect("what was read has a JSON form");
    let again = serde_json::from_str::<T>(&text).expect("what was written can be read");
    assert_eq!(again, value);
    assert_eq!(serde_json::to_string(&again).expect("what was read has a JSON form"), text);
    Some(value)
}
