use alloy_primitives::{Address, Signature, hex};
use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};

use crate::TypedData;
use crate::json::{self, JsonError};

/// Who asks, and the signature that shows it: a client's second frame.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Authentication {
    /// The owner's wallet signed the setup's typed data.
    Owner {
        /// The owner.
        owner: Address,
        /// An ECDSA signature of 65 bytes.
        signature: Signature,
    },
    /// A registered ephemeral key signed the setup and the challenge.
    Ephemeral {
        /// The key that claims to be registered.
        key: VerifyingKey,
        /// An Ed25519 signature.
        signature: ed25519_dalek::Signature,
    },
}

/// Why an authentication is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthenticationError {
    /// Not the JSON of an authentication.
    #[error("the authentication cannot be read")]
    Json(#[from] JsonError),
    /// A way of signing in that this network has not.
    #[error("the method `{method}` is not supported; sign with `eoa` or `ephemeral`")]
    Method {
        /// The method asked for.
        method: String,
    },
    /// The method does not fit the operation.
    #[error("this operation is authenticated by {expected}")]
    WrongMethod {
        /// Who has to sign it.
        expected: &'static str,
    },
    /// An id that is no address.
    #[error("the id `{id}` is not an account address")]
    Owner {
        /// The id given.
        id: String,
    },
    /// A key that is no Ed25519 key.
    #[error("the ephemeral key in the credentials is not an Ed25519 public key of 32 bytes in hex")]
    EphemeralKey,
    /// A signature of the wrong form.
    #[error("the signature is not {expected} bytes of hex")]
    SignatureForm {
        /// The length that this method's signatures have.
        expected: usize,
    },
    /// A signature by somebody else, or of something else.
    #[error("the signature over the request is not of {signer}")]
    Signature {
        /// Who should have signed.
        signer: String,
    },
}

impl Authentication {
    /// Reads a client's second frame.
    ///
    /// # Errors
    /// Text that is no authentication, a method other than `eoa` and `ephemeral`, or a malformed signature.
    pub fn parse(text: &str) -> Result<Self, AuthenticationError> {
        let AuthenticationText { credentials, signature } = json::read(text)?;
        match credentials.method.as_str() {
            "eoa" => {
                let owner = credentials.id.parse();
                let owner = owner.map_err(|_| AuthenticationError::Owner { id: credentials.id })?;
                let malformed = AuthenticationError::SignatureForm { expected: 65 };
                let signature = signature.parse().map_err(|_| malformed)?;
                Ok(Self::Owner { owner, signature })
            }
            "ephemeral" => {
                let claim: EphemeralText = json::read(&credentials.credentials)?;
                let key: [u8; 32] =
                    hex::decode_to_array(claim.eph_pk).map_err(|_| AuthenticationError::EphemeralKey)?;
                let key = VerifyingKey::from_bytes(&key).map_err(|_| AuthenticationError::EphemeralKey)?;
                let malformed = AuthenticationError::SignatureForm { expected: 64 };
                let signature: [u8; 64] = hex::decode_to_array(signature).map_err(|_| malformed)?;
                Ok(Self::Ephemeral { key, signature: ed25519_dalek::Signature::from_bytes(&signature) })
            }
            method => Err(AuthenticationError::Method { method: method.to_owned() }),
        }
    }

    /// The owner's second frame for typed data that `owner` signed.
    pub fn owner_text(owner: Address, ephemeral_claim: &str, signature: &Signature) -> String {
        let credentials = Credentials {
            credentials: ephemeral_claim.to_owned(),
            method: "eoa".to_owned(),
            id: owner.to_string(),
        };
        let signature = hex::encode_prefixed(signature.as_bytes());
        serde_json::to_string(&AuthenticationText { credentials, signature }).unwrap_or_default()
    }

    /// The second frame of an ephemeral key that signed [`ephemeral_message`].
    pub fn ephemeral_text(key: &VerifyingKey, signature: &ed25519_dalek::Signature) -> String {
        let eph_pk = hex::encode_prefixed(key.as_bytes());
        let credentials = Credentials {
            credentials: serde_json::json!({ "ephId": eph_pk, "ephPK": eph_pk, "expiry": 0 }).to_string(),
            method: "ephemeral".to_owned(),
            id: eph_pk,
        };
        let signature = hex::encode_prefixed(signature.to_bytes());
        serde_json::to_string(&AuthenticationText { credentials, signature }).unwrap_or_default()
    }

    /// Checks that the owner signed the typed data; gives the owner.
    ///
    /// # Errors
    /// Another method, or a signature that does not recover the owner.
    pub fn verify_owner(&self, typed_data: &TypedData) -> Result<Address, AuthenticationError> {
        let Self::Owner { owner, signature } = self else {
            return Err(AuthenticationError::WrongMethod { expected: "the owner's wallet (`eoa`)" });
        };
        match signature.recover_address_from_prehash(&typed_data.digest()) {
            Ok(signer) if signer == *owner => Ok(signer),
            _ => Err(AuthenticationError::Signature { signer: owner.to_string() }),
        }
    }

    /// Checks that an ephemeral key signed the setup and the challenge; gives the key, which the caller must find
    /// among those that the owner registered.
    ///
    /// # Errors
    /// Another method, or a signature that does not verify.
    pub fn verify_ephemeral(
        &self,
        setup: &str,
        challenge: &str,
    ) -> Result<VerifyingKey, AuthenticationError> {
        let Self::Ephemeral { key, signature } = self else {
            return Err(AuthenticationError::WrongMethod { expected: "a registered key (`ephemeral`)" });
        };
        let refused = AuthenticationError::Signature { signer: hex::encode_prefixed(key.as_bytes()) };
        key.verify_strict(ephemeral_message(setup, challenge).as_bytes(), signature).map_err(|_| refused)?;
        Ok(*key)
    }
}

/// What an ephemeral key signs: the JSON of the setup, as it was sent, and the challenge.
pub fn ephemeral_message(setup: &str, challenge: &str) -> String {
    format!(r#"{{"setup":{setup},"challenge":"{challenge}"}}"#)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AuthenticationText {
    credentials: Credentials,
    signature: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    credentials: String,
    method: String,
    id: String,
}

/// The claim that accompanies an ephemeral signature; clients differ in its other fields, which nothing relies on.
#[derive(Deserialize)]
struct EphemeralText {
    #[serde(rename = "ephPK")]
    eph_pk: String,
}
