use alloy_primitives::{Address, B256};
use quorate_bundler::Simulation;
use quorate_core::SignedUserOperation;
use quorate_paymaster::PaymasterData;
use quorate_protocol::OperationMessage;
use quorate_store::AccountId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::Error;
use crate::cost::ExpectedCost;
use crate::owner::OwnerForm;

/// An operation that waits for its signature. It can be stored, and go on in another process: who signs is often in a
/// browser, on a device, or away until tomorrow.
///
/// Its nonce and fees stand, so that sending it twice sends one operation, and [`user_op_hash`](Self::user_op_hash) is
/// known before it is sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft<T> {
    /// Who signs: the account's owner, or the session's key.
    pub(crate) signer: Address,
    pub(crate) operation: OperationMessage,
    /// The newest block when it was made.
    pub(crate) block: u64,
    /// What it should cost; none where its gas is the caller's word.
    pub(crate) expected: Option<ExpectedCost>,
    /// Operations with the same nonce that it is to replace.
    pub(crate) supersedes: Vec<B256>,
    /// The owner's signature that it waits for; none where the session's key signs.
    pub(crate) owner_form: Option<OwnerForm>,
    /// What it is for.
    pub(crate) intent: T,
}

impl<T> Draft<T> {
    /// What the signer signs as a message (EIP-191, `personal_sign` of these 32 bytes).
    pub fn user_op_hash(&self) -> B256 {
        self.operation.operation.hash(self.operation.entry_point, self.operation.chain_id)
    }

    /// The same with the EIP-191 prefix hashed in, for signers that take a digest.
    pub fn digest(&self) -> B256 {
        quorate_core::signing_hash(self.user_op_hash())
    }

    /// The whole operation, for a device that reviews it.
    pub const fn operation(&self) -> &OperationMessage {
        &self.operation
    }

    /// What the operation should cost, by the chain's node and by rules; none where its gas is the caller's word.
    pub const fn expected_cost(&self) -> Option<&ExpectedCost> {
        self.expected.as_ref()
    }

    /// Until when it can be sent, in seconds since 1970, as far as its paymaster's data says; none for no end.
    pub fn valid_until(&self) -> Option<u64> {
        valid_until(&self.operation.operation.paymaster_and_data)
    }

    /// The same for a purpose that is made of this one.
    pub(crate) fn map<U>(self, intent: impl FnOnce(T) -> U) -> Draft<U> {
        let Self { signer, operation, block, expected, supersedes, owner_form, intent: former } = self;
        Draft { signer, operation, block, expected, supersedes, owner_form, intent: intent(former) }
    }

    /// What the operation is for.
    pub const fn intent(&self) -> &T {
        &self.intent
    }

    pub(crate) const fn account(&self) -> AccountId {
        AccountId { chain_id: self.operation.chain_id, address: self.operation.operation.sender }
    }
}

impl<T: Serialize> Draft<T> {
    /// The draft as JSON.
    pub fn to_json(&self) -> String {
        let text = DraftText {
            signer: self.signer,
            operation: MessageText::from(&self.operation),
            block: self.block,
            expected: self.expected,
            supersedes: self.supersedes.clone(),
            owner_form: self.owner_form,
            intent: &self.intent,
        };
        serde_json::to_string(&text).unwrap_or_default()
    }
}

impl<T: DeserializeOwned> Draft<T> {
    /// Reads a stored draft.
    ///
    /// # Errors
    /// Text that is no draft, or one of another kind.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let text: DraftText<T> =
            serde_json::from_str(text).map_err(|source| Error::Stored { what: "draft", source })?;
        let DraftText { signer, operation, block, expected, supersedes, owner_form, intent } = text;
        let operation = operation.into();
        Ok(Self { signer, operation, block, expected, supersedes, owner_form, intent })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DraftText<T> {
    signer: Address,
    operation: MessageText,
    block: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expected: Option<ExpectedCost>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    supersedes: Vec<B256>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner_form: Option<OwnerForm>,
    intent: T,
}

/// An operation and where it is to run.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct MessageText {
    user_operation: quorate_core::UserOperation<Vec<u8>>,
    entry_point: Address,
    chain_id: u64,
}

impl From<&OperationMessage> for MessageText {
    fn from(message: &OperationMessage) -> Self {
        let OperationMessage { operation, entry_point, chain_id } = message;
        Self { user_operation: operation.clone(), entry_point: *entry_point, chain_id: *chain_id }
    }
}

impl From<MessageText> for OperationMessage {
    fn from(text: MessageText) -> Self {
        let MessageText { user_operation: operation, entry_point, chain_id } = text;
        Self { operation, entry_point, chain_id }
    }
}

/// When a paymaster's data ends, in seconds since 1970; none where it does not end, or does not say.
pub(crate) fn valid_until(paymaster_and_data: &[u8]) -> Option<u64> {
    let data = PaymasterData::new(paymaster_and_data).ok()?;
    data.terms().map(|terms| terms.valid_until).filter(|end| *end != 0)
}

/// The earlier of two ends in seconds since 1970, of which 0 is none.
pub(crate) fn earlier(one: u64, other: Option<u64>) -> u64 {
    match other {
        Some(other) if one == 0 || other < one => other,
        _ => one,
    }
}

/// An operation as it was signed, to be sent again.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SignedOperation {
    pub(crate) message: OperationMessage,
    /// The whole signature, with its module.
    pub(crate) signature: Vec<u8>,
    /// The root that the signature proves a session against; none for the owner's.
    pub(crate) root: Option<B256>,
    /// When the chain will refuse it, in seconds since 1970; 0 for never.
    pub(crate) valid_until: u64,
    /// How a Biconomy bundler simulates it.
    pub(crate) simulation: Option<Simulation>,
}

impl SignedOperation {
    pub(crate) fn user_op_hash(&self) -> B256 {
        self.message.operation.hash(self.message.entry_point, self.message.chain_id)
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a stored operation, which has to be the one that is stored under this hash.
    pub(crate) fn read(text: &str, user_op_hash: B256) -> Result<Self, Error> {
        let signed: Self =
            serde_json::from_str(text).map_err(|source| Error::Stored { what: "operation", source })?;
        if signed.user_op_hash() == user_op_hash {
            Ok(signed)
        } else {
            Err(Error::AlteredOperation { stored: user_op_hash, found: signed.user_op_hash() })
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SignedText {
    user_operation: SignedUserOperation<Vec<u8>>,
    entry_point: Address,
    chain_id: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    root: Option<B256>,
    #[serde(default)]
    valid_until: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    simulation: Option<Simulation>,
}

impl Serialize for SignedOperation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let OperationMessage { operation, entry_point, chain_id } = self.message.clone();
        let user_operation = operation.sign(self.signature.clone());
        let Self { root, valid_until, simulation, .. } = *self;
        SignedText { user_operation, entry_point, chain_id, root, valid_until, simulation }
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SignedOperation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let SignedText { user_operation, entry_point, chain_id, root, valid_until, simulation } =
            SignedText::deserialize(deserializer)?;
        if user_operation.signature.is_empty() {
            return Err(D::Error::missing_field("signature"));
        }
        let message = OperationMessage { operation: user_operation.operation, entry_point, chain_id };
        Ok(Self { message, signature: user_operation.signature, root, valid_until, simulation })
    }
}
