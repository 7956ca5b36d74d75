//! User operations, in the forms in which bundlers and entry points know them.

use alloc::vec::Vec;

use alloy_primitives::{B256, U256};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::value::{Checked, Hex, Quantity};
use crate::{
    operation::{
        initialization::Initialization,
        packed::PackedUserOperation,
        paymaster::{Paymaster, PaymasterSignature},
        unpacked::UnpackedUserOperation,
        v0_6::{SignedUserOperation, UserOperation},
    },
    sink::Encode as _,
};

/// The fields of EntryPoint v0.6. `initCode` and `paymasterAndData` may be missing, and a `signature` may be there,
/// which no hash covers.
impl<'de> Deserialize<'de> for UserOperation<Vec<u8>> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Form::deserialize(deserializer)?.into_signed().operation)
    }
}

impl Serialize for UserOperation<Vec<u8>> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Form::of(self, None).serialize(serializer)
    }
}

/// The fields of EntryPoint v0.6 with the signature; empty where it is missing.
impl<'de> Deserialize<'de> for SignedUserOperation<Vec<u8>> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Form::deserialize(deserializer)?.into_signed())
    }
}

impl Serialize for SignedUserOperation<Vec<u8>> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Form::of(&self.operation, Some(Hex(self.signature.clone()))).serialize(serializer)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Form {
    sender: Checked,
    nonce: Quantity<U256>,
    #[serde(default)]
    init_code: Hex,
    call_data: Hex,
    call_gas_limit: Quantity<U256>,
    verification_gas_limit: Quantity<U256>,
    pre_verification_gas: Quantity<U256>,
    max_fee_per_gas: Quantity<U256>,
    max_priority_fee_per_gas: Quantity<U256>,
    #[serde(default)]
    paymaster_and_data: Hex,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<Hex>,
}

impl Form {
    fn of(operation: &UserOperation<Vec<u8>>, signature: Option<Hex>) -> Self {
        Self {
            sender: Checked(operation.sender),
            nonce: operation.nonce.into(),
            init_code: Hex(operation.init_code.clone()),
            call_data: Hex(operation.call_data.clone()),
            call_gas_limit: operation.call_gas_limit.into(),
            verification_gas_limit: operation.verification_gas_limit.into(),
            pre_verification_gas: operation.pre_verification_gas.into(),
            max_fee_per_gas: operation.max_fee_per_gas.into(),
            max_priority_fee_per_gas: operation.max_priority_fee_per_gas.into(),
            paymaster_and_data: Hex(operation.paymaster_and_data.clone()),
            signature,
        }
    }

    fn into_signed(self) -> SignedUserOperation<Vec<u8>> {
        let operation = UserOperation {
            sender: self.sender.0,
            nonce: self.nonce.get(),
            init_code: self.init_code.0,
            call_data: self.call_data.0,
            call_gas_limit: self.call_gas_limit.get(),
            verification_gas_limit: self.verification_gas_limit.get(),
            pre_verification_gas: self.pre_verification_gas.get(),
            max_fee_per_gas: self.max_fee_per_gas.get(),
            max_priority_fee_per_gas: self.max_priority_fee_per_gas.get(),
            paymaster_and_data: self.paymaster_and_data.0,
        };
        operation.sign(self.signature.unwrap_or_default().0)
    }
}

/// The fields that the contract of EntryPoint v0.7 and later takes.
impl<'de> Deserialize<'de> for PackedUserOperation<Vec<u8>> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = PackedForm::deserialize(deserializer)?;
        Ok(Self {
            sender: form.sender.0,
            nonce: form.nonce.get(),
            init_code: form.init_code.0,
            call_data: form.call_data.0,
            account_gas_limits: form.account_gas_limits,
            pre_verification_gas: form.pre_verification_gas.get(),
            gas_fees: form.gas_fees,
            paymaster_and_data: form.paymaster_and_data.0,
        })
    }
}

impl Serialize for PackedUserOperation<Vec<u8>> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        PackedForm {
            sender: Checked(self.sender),
            nonce: self.nonce.into(),
            init_code: Hex(self.init_code.clone()),
            call_data: Hex(self.call_data.clone()),
            account_gas_limits: self.account_gas_limits,
            pre_verification_gas: self.pre_verification_gas.into(),
            gas_fees: self.gas_fees,
            paymaster_and_data: Hex(self.paymaster_and_data.clone()),
            signature: None,
        }
        .serialize(serializer)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PackedForm {
    sender: Checked,
    nonce: Quantity<U256>,
    #[serde(default)]
    init_code: Hex,
    call_data: Hex,
    account_gas_limits: B256,
    pre_verification_gas: Quantity<U256>,
    gas_fees: B256,
    #[serde(default)]
    paymaster_and_data: Hex,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<Hex>,
}

/// The fields that bundlers take from EntryPoint v0.7 on (ERC-7769). An EIP-7702 account has the factory `0x7702`,
/// and its delegate in `eip7702Auth`.
impl<'de> Deserialize<'de> for UnpackedUserOperation<Vec<u8>> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = UnpackedForm::deserialize(deserializer)?;
        let init = form.init().map_err(de::Error::custom)?;
        let paymaster = form.paymaster().map_err(de::Error::custom)?;
        Ok(Self {
            sender: form.sender.0,
            nonce: form.nonce.get(),
            init,
            call_data: form.call_data.0,
            call_gas_limit: form.call_gas_limit.get(),
            verification_gas_limit: form.verification_gas_limit.get(),
            pre_verification_gas: form.pre_verification_gas.get(),
            max_fee_per_gas: form.max_fee_per_gas.get(),
            max_priority_fee_per_gas: form.max_priority_fee_per_gas.get(),
            paymaster,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UnpackedForm {
    sender: Checked,
    nonce: Quantity<U256>,
    #[serde(default)]
    factory: Option<Factory>,
    #[serde(default)]
    factory_data: Option<Hex>,
    #[serde(default)]
    eip7702_auth: Option<Authorization>,
    call_data: Hex,
    call_gas_limit: Quantity<u128>,
    verification_gas_limit: Quantity<u128>,
    pre_verification_gas: Quantity<U256>,
    max_fee_per_gas: Quantity<u128>,
    max_priority_fee_per_gas: Quantity<u128>,
    #[serde(default)]
    paymaster: Option<Checked>,
    #[serde(default)]
    paymaster_verification_gas_limit: Option<Quantity<u128>>,
    #[serde(default)]
    paymaster_post_op_gas_limit: Option<Quantity<u128>>,
    #[serde(default)]
    paymaster_data: Option<Hex>,
    /// From v0.9 on.
    #[serde(default)]
    paymaster_signature: Option<Hex>,
    #[serde(default, rename = "signature")]
    _signature: Option<Hex>,
}

enum Factory {
    Contract(Checked),
    Delegated,
}

impl<'de> Deserialize<'de> for Factory {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = alloc::string::String::deserialize(deserializer)?;
        if text == "0x7702" || text == "0x7702000000000000000000000000000000000000" {
            return Ok(Self::Delegated);
        }
        Checked::deserialize(de::IntoDeserializer::into_deserializer(text)).map(Self::Contract)
    }
}

/// The part of an EIP-7702 authorization that a hash covers.
#[derive(Deserialize)]
struct Authorization {
    #[serde(alias = "contractAddress")]
    address: Checked,
}

impl UnpackedForm {
    fn init(&self) -> Result<Initialization<Vec<u8>>, &'static str> {
        let data = || self.factory_data.clone().unwrap_or_default().0;
        match (&self.factory, &self.eip7702_auth) {
            (Some(Factory::Contract(factory)), _) => {
                Ok(Initialization::Factory { factory: factory.0, data: data() })
            }
            (Some(Factory::Delegated), Some(authorization)) => {
                Ok(Initialization::Delegated { delegate: authorization.address.0, data: data() })
            }
            (Some(Factory::Delegated), None) => {
                Err("factory: 0x7702 needs the account's delegate as eip7702Auth.address")
            }
            (None, _) if data().is_empty() => Ok(Initialization::Deployed),
            (None, _) => Err("factoryData: there is no factory to be called with it"),
        }
    }

    fn paymaster(&self) -> Result<Option<Paymaster<Vec<u8>>>, &'static str> {
        let Some(paymaster) = &self.paymaster else {
            let nothing = self.paymaster_data.as_ref().is_none_or(|data| data.0.is_empty())
                && self.paymaster_signature.as_ref().is_none_or(|signature| signature.0.is_empty());
            return if nothing {
                Ok(None)
            } else {
                Err("paymasterData: there is no paymaster that is given it")
            };
        };
        let gas = |limit: &Option<Quantity<u128>>| limit.as_ref().map_or(0, Quantity::get);
        let mut data = self.paymaster_data.clone().unwrap_or_default().0;
        if let Some(signature) = self.paymaster_signature.as_ref().filter(|signature| !signature.0.is_empty())
        {
            let suffix = PaymasterSignature::new(&signature.0)
                .ok_or("paymasterSignature: it has more than 65535 bytes")?;
            data.extend(suffix.to_vec());
        }
        Ok(Some(Paymaster {
            paymaster: paymaster.0,
            verification_gas_limit: gas(&self.paymaster_verification_gas_limit),
            post_op_gas_limit: gas(&self.paymaster_post_op_gas_limit),
            data,
        }))
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "of JSON values, which gives null for what is not there")]
mod tests {
    use std::string::ToString as _;

    use alloy_primitives::{Address, address};
    use serde_json::{Value, from_value, json, to_value};

    use super::*;
    use crate::operation::entry_point::EntryPointVersion;

    const ENTRY_POINT: Address = address!("0000000071727De22E5E9d8BAf0edAc6f37da032");

    fn v0_6() -> Value {
        json!({
            "sender": "0x2e49cBE7dB211cbD38BC977E8A3f7EFfE459c856",
            "nonce": "0x1",
            "callData": "0x0102",
            "callGasLimit": 3,
            "verificationGasLimit": "4",
            "preVerificationGas": "0x5",
            "maxFeePerGas": "6",
            "maxPriorityFeePerGas": 7,
        })
    }

    fn error<T: for<'de> Deserialize<'de>>(
        mut form: Value,
        field: &str,
        value: Value,
    ) -> alloc::string::String {
        form.as_object_mut().unwrap().insert(field.into(), value);
        match from_value::<T>(form) {
            Ok(_) => panic!("{field} is taken"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn there_and_back() {
        let operation = from_value::<UserOperation<Vec<u8>>>(v0_6()).unwrap();
        assert_eq!(operation.call_data, [1, 2]);
        assert_eq!(operation.verification_gas_limit, U256::from(4));
        let written = to_value(&operation).unwrap();
        assert_eq!(written["callGasLimit"], "0x3");
        assert_eq!(from_value::<UserOperation<Vec<u8>>>(written).unwrap(), operation);
    }

    #[test]
    fn strict_in_all_but_numbers() {
        for (field, value, words) in [
            ("sender", json!("0x2e49cBE7dB211cbD38BC977E8A3f7EFfE459c85"), "40 hex digits"),
            (
                "sender",
                json!("0x2E49cBE7dB211cbD38BC977E8A3f7EFfE459c856"),
                "0x2e49cBE7dB211cbD38BC977E8A3f7EFfE459c856",
            ),
            ("callData", json!("0x010"), "3 digits"),
            ("callData", json!("01"), "0x"),
            ("callData", json!("0x0g"), "invalid"),
            ("callGas", json!(1), "unknown field"),
            ("nonce", json!("0x1g"), "0x1g"),
        ] {
            let error = error::<UserOperation<Vec<u8>>>(v0_6(), field, value);
            assert!(error.contains(words), "{error}");
        }
        let lower = json!("0x2e49cbe7db211cbd38bc977e8a3f7effe459c856");
        let mut form = v0_6();
        form["sender"] = lower;
        from_value::<UserOperation<Vec<u8>>>(form).unwrap();
    }

    fn unpacked() -> Value {
        let mut form = v0_6();
        form.as_object_mut().unwrap().extend(
            json!({
                "factory": "0x0101010101010101010101010101010101010101",
                "factoryData": "0xaa",
                "paymaster": "0x0202020202020202020202020202020202020202",
                "paymasterVerificationGasLimit": "0x10",
                "paymasterPostOpGasLimit": 17,
                "paymasterData": "0xbb",
            })
            .as_object()
            .unwrap()
            .clone(),
        );
        form
    }

    #[test]
    fn what_bundlers_take_has_the_hash_of_what_the_contract_takes() {
        let operation = from_value::<UnpackedUserOperation<Vec<u8>>>(unpacked()).unwrap();
        let packed = operation.clone().pack();
        let read = from_value::<PackedUserOperation<Vec<u8>>>(to_value(&packed).unwrap()).unwrap();
        assert_eq!(read, packed);
        assert_eq!(Ok(read.hash_v0_7(ENTRY_POINT, 1)), operation.hash_v0_7(ENTRY_POINT, 1));
        assert_eq!(read.hash_v0_8(ENTRY_POINT, 1, None), Ok(operation.hash_v0_8(ENTRY_POINT, 1)));
        assert_eq!(read.hash_v0_9(ENTRY_POINT, 1, None), operation.hash_v0_9(ENTRY_POINT, 1));
        assert_eq!(
            read.unpack(EntryPointVersion::V0_7, None).unwrap().init,
            Initialization::Factory { factory: Address::repeat_byte(1), data: &[0xaa][..] }
        );
    }

    #[test]
    fn a_paymaster_may_sign_after_the_account_from_v0_9_on() {
        let hashes = |signature: &str| {
            let mut form = unpacked();
            form["paymasterSignature"] = json!(signature);
            let operation = from_value::<UnpackedUserOperation<Vec<u8>>>(form).unwrap();
            (operation.hash_v0_8(ENTRY_POINT, 1), operation.hash_v0_9(ENTRY_POINT, 1).unwrap())
        };
        let ((one_v0_8, one_v0_9), (other_v0_8, other_v0_9)) = (hashes("0x01"), hashes("0x0202"));
        assert_ne!(one_v0_8, other_v0_8);
        assert_eq!(one_v0_9, other_v0_9);
    }

    #[test]
    fn a_delegated_account_names_its_delegate() {
        let mut form = unpacked();
        form["factory"] = json!("0x7702");
        let missing = error::<UnpackedUserOperation<Vec<u8>>>(form.clone(), "factory", json!("0x7702"));
        assert!(missing.contains("eip7702Auth"), "{missing}");
        form["eip7702Auth"] =
            json!({ "address": "0x0303030303030303030303030303030303030303", "chainId": "0x1" });
        let operation = from_value::<UnpackedUserOperation<Vec<u8>>>(form).unwrap();
        let delegate = Some(Address::repeat_byte(3));
        let packed = operation.clone().pack();
        assert_eq!(packed.hash_v0_8(ENTRY_POINT, 1, delegate), Ok(operation.hash_v0_8(ENTRY_POINT, 1)));
        assert!(packed.hash_v0_8(ENTRY_POINT, 1, None).unwrap_err().to_string().contains("delegate"));
    }

    #[test]
    fn data_for_nobody_is_refused() {
        let form = v0_6();
        for field in ["factoryData", "paymasterData", "paymasterSignature"] {
            let error = error::<UnpackedUserOperation<Vec<u8>>>(form.clone(), field, json!("0x01"));
            assert!(error.contains("there is no"), "{error}");
        }
    }
}
