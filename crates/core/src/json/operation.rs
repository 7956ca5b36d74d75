//! User operations, in the forms in which bundlers and entry points know them.

use alloc::vec::Vec;

use alloy_primitives::U256;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::value::{Checked, Hex, Quantity, Word};
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
            account_gas_limits: form.account_gas_limits.0,
            pre_verification_gas: form.pre_verification_gas.get(),
            gas_fees: form.gas_fees.0,
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
            account_gas_limits: Word(self.account_gas_limits),
            pre_verification_gas: self.pre_verification_gas.into(),
            gas_fees: Word(self.gas_fees),
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
    account_gas_limits: Word,
    pre_verification_gas: Quantity<U256>,
    gas_fees: Word,
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

/// The fields are left out of which the operation has nothing.
impl<B: AsRef<[u8]>, C: AsRef<[u8]>> Serialize for UnpackedUserOperation<B, C> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        UnpackedForm::from(self).serialize(serializer)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UnpackedForm {
    sender: Checked,
    nonce: Quantity<U256>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    factory: Option<Factory>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    factory_data: Option<Hex>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    eip7702_auth: Option<Authorization>,
    call_data: Hex,
    call_gas_limit: Quantity<u128>,
    verification_gas_limit: Quantity<u128>,
    pre_verification_gas: Quantity<U256>,
    max_fee_per_gas: Quantity<u128>,
    max_priority_fee_per_gas: Quantity<u128>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    paymaster: Option<Checked>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    paymaster_verification_gas_limit: Option<Quantity<u128>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    paymaster_post_op_gas_limit: Option<Quantity<u128>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    paymaster_data: Option<Hex>,
    /// From v0.9 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    paymaster_signature: Option<Hex>,
    #[serde(default, rename = "signature", skip_serializing)]
    _signature: Option<Hex>,
}

enum Factory {
    Contract(Checked),
    Delegated,
}

impl<'de> Deserialize<'de> for Factory {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = alloc::string::String::deserialize(deserializer)?;
        if text == DELEGATED || text == "0x7702000000000000000000000000000000000000" {
            return Ok(Self::Delegated);
        }
        Checked::deserialize(de::IntoDeserializer::into_deserializer(text)).map(Self::Contract)
    }
}

impl Serialize for Factory {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Contract(factory) => factory.serialize(serializer),
            Self::Delegated => serializer.serialize_str(DELEGATED),
        }
    }
}

/// In place of a factory: the account has the code that an EIP-7702 authorization gives it.
const DELEGATED: &str = "0x7702";

/// An EIP-7702 authorization, of which a hash covers the address alone.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Authorization {
    #[serde(alias = "contractAddress")]
    address: Checked,
    #[serde(default, rename = "chainId", skip_serializing)]
    _chain_id: Option<Quantity<U256>>,
    #[serde(default, rename = "nonce", skip_serializing)]
    _nonce: Option<Quantity<u64>>,
    #[serde(default, rename = "yParity", alias = "v", skip_serializing)]
    _y_parity: Option<Quantity<u64>>,
    #[serde(default, rename = "r", skip_serializing)]
    _r: Option<Quantity<U256>>,
    #[serde(default, rename = "s", skip_serializing)]
    _s: Option<Quantity<U256>>,
}

impl<B: AsRef<[u8]>, C: AsRef<[u8]>> From<&UnpackedUserOperation<B, C>> for UnpackedForm {
    fn from(operation: &UnpackedUserOperation<B, C>) -> Self {
        let hex = |bytes: &B| Hex(bytes.as_ref().to_vec());
        let (factory, data, delegate) = match &operation.init {
            Initialization::Deployed => (None, None, None),
            Initialization::Factory { factory, data } => {
                (Some(Factory::Contract(Checked(*factory))), Some(data), None)
            }
            Initialization::Delegated { delegate, data } => {
                (Some(Factory::Delegated), Some(data), Some(*delegate))
            }
        };
        let paymaster = operation.paymaster.as_ref();
        Self {
            sender: Checked(operation.sender),
            nonce: operation.nonce.into(),
            factory,
            factory_data: data.map(hex),
            eip7702_auth: delegate
                .map(|address| Authorization { address: Checked(address), ..Authorization::default() }),
            call_data: Hex(operation.call_data.as_ref().to_vec()),
            call_gas_limit: operation.call_gas_limit.into(),
            verification_gas_limit: operation.verification_gas_limit.into(),
            pre_verification_gas: operation.pre_verification_gas.into(),
            max_fee_per_gas: operation.max_fee_per_gas.into(),
            max_priority_fee_per_gas: operation.max_priority_fee_per_gas.into(),
            paymaster: paymaster.map(|it| Checked(it.paymaster)),
            paymaster_verification_gas_limit: paymaster.map(|it| it.verification_gas_limit.into()),
            paymaster_post_op_gas_limit: paymaster.map(|it| it.post_op_gas_limit.into()),
            paymaster_data: paymaster.map(|it| hex(&it.data)),
            paymaster_signature: None,
            _signature: None,
        }
    }
}

impl UnpackedForm {
    fn init(&self) -> Result<Initialization<Vec<u8>>, &'static str> {
        let data = || self.factory_data.clone().unwrap_or_default().0;
        match (&self.factory, &self.eip7702_auth) {
            (Some(Factory::Contract(_)) | None, Some(_)) => Err(
                "eip7702Auth: no hash covers the delegate without the factory 0x7702; give both or neither",
            ),
            (Some(Factory::Contract(factory)), None) => {
                Ok(Initialization::Factory { factory: factory.0, data: data() })
            }
            (Some(Factory::Delegated), Some(authorization)) => {
                Ok(Initialization::Delegated { delegate: authorization.address.0, data: data() })
            }
            (Some(Factory::Delegated), None) => {
                Err("factory: 0x7702 needs the account's delegate as eip7702Auth.address")
            }
            (None, None) if data().is_empty() => Ok(Initialization::Deployed),
            (None, None) => Err("factoryData: there is no factory to be called with it"),
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
mod tests;
