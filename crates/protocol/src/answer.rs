use alloy_primitives::{Signature, U256, hex};
use serde::{Deserialize, Serialize};

use crate::json::{self, JsonError};
use crate::{Acknowledgement, Attestation, KeyListing, Refusal};

/// The WebSocket subprotocol of our own client.
///
/// A third-party client takes any second frame for its result, so a gateway may send it nothing more. A client
/// that names this subprotocol is answered in JSON instead, with the nodes' attestations or the whole refusal.
pub const SUBPROTOCOL: &str = "quorate.v1";

/// The network's last frame to a client of our own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Answer {
    /// A new key.
    Key {
        /// As third-party clients read it.
        key: KeyText,
        /// What the nodes attest.
        attestations: Vec<Attestation>,
    },
    /// A signature.
    Signature(SignatureText),
    /// The ephemeral key is registered.
    Registered,
    /// The revocation is stored by these nodes.
    Revoked {
        /// What the nodes sign.
        acknowledgements: Vec<Acknowledgement>,
    },
    /// What these nodes hold of a key.
    Listed {
        /// What the nodes sign.
        listings: Vec<KeyListing>,
    },
    /// A no.
    Refused(Refusal),
}

/// `keyId=<id>:publicKey=<SEC1 hex>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct KeyText {
    /// The key's id.
    pub key_id: String,
    /// The public key, compressed SEC1.
    pub public_key: [u8; 33],
}

/// `sign=<r ‖ s in hex>:recid=<0 or 1>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SignatureText {
    /// The signature.
    pub signature: Signature,
}

/// An answer that is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// Not an answer's JSON.
    #[error("the network's answer cannot be read")]
    Json(#[from] JsonError),
    /// Not of the form that the operation's answer has.
    #[error("the network's answer is not of the form `{expected}`")]
    Form {
        /// The form expected.
        expected: &'static str,
    },
}

impl Answer {
    /// Reads the frame.
    ///
    /// # Errors
    /// Text that is no answer.
    pub fn from_json(text: &str) -> Result<Self, AnswerError> {
        Ok(json::read(text)?)
    }

    /// The frame.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The frame that third-party clients read; none for a refusal, which closes their socket.
    pub fn plain(&self) -> Option<String> {
        match self {
            Self::Key { key, .. } => Some(key.clone().into()),
            Self::Signature(signature) => Some(signature.clone().into()),
            Self::Registered => Some("registered".to_owned()),
            // Third-party clients neither revoke nor list.
            Self::Revoked { .. } | Self::Listed { .. } | Self::Refused(_) => None,
        }
    }
}

impl From<KeyText> for String {
    fn from(key: KeyText) -> Self {
        format!("keyId={}:publicKey={}", key.key_id, hex::encode(key.public_key))
    }
}

impl TryFrom<String> for KeyText {
    type Error = AnswerError;

    fn try_from(text: String) -> Result<Self, AnswerError> {
        let malformed = AnswerError::Form { expected: "keyId=<id>:publicKey=<SEC1 hex>" };
        let parts = text.strip_prefix("keyId=").and_then(|rest| rest.split_once(":publicKey="));
        let (key_id, public_key) = parts.ok_or(malformed)?;
        let malformed = AnswerError::Form { expected: "keyId=<id>:publicKey=<SEC1 hex>" };
        let public_key = hex::decode_to_array(public_key).map_err(|_| malformed)?;
        Ok(Self { key_id: key_id.to_owned(), public_key })
    }
}

impl From<SignatureText> for String {
    fn from(SignatureText { signature }: SignatureText) -> Self {
        let bytes = signature.as_bytes();
        format!("sign={}:recid={}", hex::encode(bytes.get(..64).unwrap_or_default()), u8::from(signature.v()))
    }
}

impl TryFrom<String> for SignatureText {
    type Error = AnswerError;

    fn try_from(text: String) -> Result<Self, AnswerError> {
        let expected = "sign=<128 hex digits>:recid=<0 or 1>";
        let parts = text.strip_prefix("sign=").and_then(|rest| rest.split_once(":recid="));
        let (digits, recovery) = parts.ok_or(AnswerError::Form { expected })?;
        let bytes: [u8; 64] = hex::decode_to_array(digits).map_err(|_| AnswerError::Form { expected })?;
        let parity = match recovery {
            "0" => false,
            "1" => true,
            _ => return Err(AnswerError::Form { expected }),
        };
        let (r, s) = bytes.split_at(32);
        Ok(Self { signature: Signature::new(U256::from_be_slice(r), U256::from_be_slice(s), parity) })
    }
}
