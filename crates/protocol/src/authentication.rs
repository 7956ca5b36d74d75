use alloy_primitives::{Address, B256, Bytes, Signature, hex};
use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};

use crate::json::{self, JsonError};
use crate::{ContractAccount, ContractClaim, Owner, OwnerError, Signed, TypedData};

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
    /// A contract is said to have signed the setup's typed data.
    Contract {
        /// The owner.
        account: ContractAccount,
        /// The hash of the block in whose state the contract is asked.
        block: B256,
        /// What the contract takes for a signature.
        signature: Bytes,
    },
    /// A registered ephemeral key signed the setup and the challenge.
    Ephemeral {
        /// The key that claims to be registered.
        key: VerifyingKey,
        /// An Ed25519 signature.
        signature: ed25519_dalek::Signature,
    },
}

/// An owner's signature over typed data, as the owner's kind makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TypedDataSignature {
    /// An ECDSA signature of an account's own key, 65 bytes.
    Eoa(Signature),
    /// What a contract takes for a signature (ERC-1271).
    Contract {
        /// The hash of a block in whose state the contract takes it, at most 256 blocks old. Nodes that do not know the block
        /// yet refuse for the moment, so the newest is not the best.
        block: B256,
        /// At most [`Authentication::MAX_CONTRACT_SIGNATURE`] bytes.
        signature: Bytes,
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
    #[error("the method `{method}` is not supported; sign with `eoa`, `erc1271` or `ephemeral`")]
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
    /// An id that is no contract's.
    #[error("the id in the credentials names no contract")]
    Contract(#[source] OwnerError),
    /// A contract's signature without its block.
    #[error("the credentials of method `erc1271` have no `block`; name one by its hash")]
    NoBlock,
    /// A block where none is needed.
    #[error("the credentials of method `{method}` have a `block`, which only `erc1271` takes")]
    Block {
        /// The method.
        method: String,
    },
    /// A contract's signature that is not hex.
    #[error("the signature of the contract is not hex with 0x")]
    ContractSignatureForm,
    /// A contract's signature that is longer than any that is taken.
    #[error("the signature of the contract has {len} bytes, at most {limit} are taken")]
    ContractSignatureTooLong {
        /// Its length in bytes.
        len: usize,
        /// The most bytes.
        limit: usize,
    },
    /// A signature of a contract that is not there yet (ERC-6492).
    #[error("the signature is of a contract that is not deployed (ERC-6492); deploy the account first")]
    Undeployed,
    /// A signature of the other kind of owner.
    #[error(
        "the owner {owner} does not sign like this: an account has a signature of its key, a contract one with a block"
    )]
    OtherKind {
        /// The owner.
        owner: Owner,
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

/// With what a signature ends that carries the deployment of its contract (ERC-6492).
const UNDEPLOYED: [u8; 32] = hex!("6492649264926492649264926492649264926492649264926492649264926492");

impl Authentication {
    /// The longest signature of a contract, in bytes.
    pub const MAX_CONTRACT_SIGNATURE: usize = 8 * 1024;

    /// Reads a client's second frame.
    ///
    /// # Errors
    /// Text that is no authentication, a method other than `eoa`, `erc1271` and `ephemeral`, or a malformed signature; and the
    /// signature of a contract that is not deployed.
    pub fn parse(text: &str) -> Result<Self, AuthenticationError> {
        let AuthenticationText { credentials, signature } = json::read(text)?;
        match (credentials.method.as_str(), credentials.block) {
            ("eoa", None) => {
                let owner = credentials.id.parse();
                let owner = owner.map_err(|_| AuthenticationError::Owner { id: credentials.id })?;
                let malformed = AuthenticationError::SignatureForm { expected: 65 };
                let signature = signature.parse().map_err(|_| malformed)?;
                Ok(Self::Owner { owner, signature })
            }
            ("erc1271", Some(block)) => {
                let account = credentials.id.parse().map_err(AuthenticationError::Contract)?;
                Ok(Self::Contract { account, block, signature: contract_signature(&signature)? })
            }
            ("ephemeral", None) => {
                let claim: EphemeralText = json::read(&credentials.credentials)?;
                let key: [u8; 32] =
                    hex::decode_to_array(claim.eph_pk).map_err(|_| AuthenticationError::EphemeralKey)?;
                let key = VerifyingKey::from_bytes(&key).map_err(|_| AuthenticationError::EphemeralKey)?;
                let malformed = AuthenticationError::SignatureForm { expected: 64 };
                let signature: [u8; 64] = hex::decode_to_array(signature).map_err(|_| malformed)?;
                Ok(Self::Ephemeral { key, signature: ed25519_dalek::Signature::from_bytes(&signature) })
            }
            ("erc1271", None) => Err(AuthenticationError::NoBlock),
            ("eoa" | "ephemeral", Some(_)) => Err(AuthenticationError::Block { method: credentials.method }),
            (method, _) => Err(AuthenticationError::Method { method: method.to_owned() }),
        }
    }

    /// The second frame for typed data that `owner` signed.
    ///
    /// # Errors
    /// A signature of the other kind of owner.
    pub fn owner_text(
        owner: impl Into<Owner>,
        ephemeral_claim: &str,
        signature: impl Into<TypedDataSignature>,
    ) -> Result<String, AuthenticationError> {
        let owner = owner.into();
        let (method, block, signature) = match (owner, signature.into()) {
            (Owner::Eoa(_), TypedDataSignature::Eoa(signature)) => {
                ("eoa", None, hex::encode_prefixed(signature.as_bytes()))
            }
            (Owner::Contract(_), TypedDataSignature::Contract { block, signature }) => {
                ("erc1271", Some(block), hex::encode_prefixed(signature))
            }
            _ => return Err(AuthenticationError::OtherKind { owner }),
        };
        let credentials = Credentials {
            credentials: ephemeral_claim.to_owned(),
            method: method.to_owned(),
            id: owner.to_string(),
            block,
        };
        Ok(serde_json::to_string(&AuthenticationText { credentials, signature }).unwrap_or_default())
    }

    /// The second frame of an ephemeral key that signed [`ephemeral_message`].
    pub fn ephemeral_text(key: &VerifyingKey, signature: &ed25519_dalek::Signature) -> String {
        let eph_pk = hex::encode_prefixed(key.as_bytes());
        let credentials = Credentials {
            credentials: serde_json::json!({ "ephId": eph_pk, "ephPK": eph_pk, "expiry": 0 }).to_string(),
            method: "ephemeral".to_owned(),
            id: eph_pk,
            block: None,
        };
        let signature = hex::encode_prefixed(signature.to_bytes());
        serde_json::to_string(&AuthenticationText { credentials, signature }).unwrap_or_default()
    }

    /// Checks that the owner signed the typed data, as far as that can be seen here: whether a contract did is its own to say.
    ///
    /// # Errors
    /// Another method, or a signature that does not recover the owner.
    pub fn verify_owner(&self, typed_data: &TypedData) -> Result<Signed<()>, AuthenticationError> {
        let digest = typed_data.digest();
        match self {
            Self::Owner { owner, signature } => match signature.recover_address_from_prehash(&digest) {
                Ok(signer) if signer == *owner => Ok(Signed::verified(signer.into())),
                _ => Err(AuthenticationError::Signature { signer: owner.to_string() }),
            },
            Self::Contract { account, block, signature } => {
                let (account, block, signature) = (*account, *block, signature.clone());
                Ok(Signed::claimed(ContractClaim { account, block, digest, signature }))
            }
            Self::Ephemeral { .. } => {
                Err(AuthenticationError::WrongMethod { expected: "the owner (`eoa` or `erc1271`)" })
            }
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

impl From<Signature> for TypedDataSignature {
    fn from(signature: Signature) -> Self {
        Self::Eoa(signature)
    }
}

impl From<&Signature> for TypedDataSignature {
    fn from(signature: &Signature) -> Self {
        Self::Eoa(*signature)
    }
}

impl From<&Self> for TypedDataSignature {
    fn from(signature: &Self) -> Self {
        signature.clone()
    }
}

fn contract_signature(text: &str) -> Result<Bytes, AuthenticationError> {
    let digits =
        text.strip_prefix("0x").filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    let digits = digits.ok_or(AuthenticationError::ContractSignatureForm)?;
    let limit = Authentication::MAX_CONTRACT_SIGNATURE;
    if digits.len() > 2 * limit {
        return Err(AuthenticationError::ContractSignatureTooLong { len: digits.len() / 2, limit });
    }
    let signature = hex::decode(digits).map_err(|_| AuthenticationError::ContractSignatureForm)?;
    if signature.ends_with(&UNDEPLOYED) {
        return Err(AuthenticationError::Undeployed);
    }
    Ok(signature.into())
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
    #[serde(
        default,
        deserialize_with = "json::optional_fixed_bytes",
        skip_serializing_if = "Option::is_none"
    )]
    block: Option<B256>,
}

/// The claim that accompanies an ephemeral signature; clients differ in its other fields, which nothing relies on.
#[derive(Deserialize)]
struct EphemeralText {
    #[serde(rename = "ephPK")]
    eph_pk: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "eip155:7:0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf";

    fn text(method: &str, id: &str, block: Option<&str>, signature: &str) -> String {
        let mut credentials = serde_json::json!({ "credentials": "", "method": method, "id": id });
        if let Some(block) = block {
            credentials["block"] = block.into();
        }
        serde_json::json!({ "credentials": credentials, "signature": signature }).to_string()
    }

    fn refused(text: &str) -> String {
        let error = Authentication::parse(text).unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        format!("{error}: {source}")
    }

    #[test]
    fn a_contract_s_authentication_is_read_as_it_is_written() {
        let (owner, block): (Owner, _) = (ID.parse().unwrap(), B256::repeat_byte(9));
        for len in [0, 1, 65, 1000, Authentication::MAX_CONTRACT_SIGNATURE] {
            let signature = Bytes::from(vec![7; len]);
            let sent = TypedDataSignature::Contract { block, signature: signature.clone() };
            let text = Authentication::owner_text(owner, "{}", sent).unwrap();
            let account = ID.parse().unwrap();
            assert_eq!(
                Authentication::parse(&text).unwrap(),
                Authentication::Contract { account, block, signature }
            );
        }
    }

    #[test]
    fn a_block_stands_beside_a_contract_s_signature_and_no_other() {
        let block = format!("0x{}", "09".repeat(32));
        assert!(Authentication::parse(&text("erc1271", ID, Some(&block), "0x")).is_ok());
        assert!(refused(&text("erc1271", ID, None, "0x")).contains("have no `block`"));
        for method in ["eoa", "ephemeral"] {
            let refused = refused(&text(method, ID, Some(&block), "0x"));
            assert!(refused.contains(&format!("method `{method}` have a `block`")), "{refused}");
        }
        for wrong in ["", "latest", "0x09", &block[2..], &format!("{block}00")] {
            let refused = refused(&text("erc1271", ID, Some(wrong), "0x"));
            assert!(refused.contains("credentials.block"), "{refused}");
        }
        let null = text("erc1271", ID, None, "0x").replace("\"method\"", "\"block\":null,\"method\"");
        assert!(refused(&null).contains("credentials.block"));
    }

    #[test]
    fn a_contract_s_authentication_names_its_chain_and_has_a_signature_of_bounded_length() {
        let block = format!("0x{}", "09".repeat(32));
        let read = |id: &str, signature: &str| text("erc1271", id, Some(&block), signature);
        let bare = refused(&read(ID.rsplit(':').next().unwrap(), "0x"));
        assert!(bare.contains("names no contract") && bare.contains("eip155:<chain id>"), "{bare}");
        for wrong in ["", "00", "0x0", "0xzz", "0x0x00"] {
            assert!(refused(&read(ID, wrong)).contains("not hex with 0x"), "{wrong}");
        }
        let long = format!("0x{}", "00".repeat(Authentication::MAX_CONTRACT_SIGNATURE + 1));
        assert!(refused(&read(ID, &long)).contains("has 8193 bytes, at most 8192"));
        let wrapped = format!("0x00{}", "6492".repeat(16));
        assert!(refused(&read(ID, &wrapped)).contains("deploy the account first"));
        assert!(Authentication::parse(&read(ID, &format!("{wrapped}00"))).is_ok());
    }

    #[test]
    fn an_account_and_a_contract_sign_each_in_its_own_way() {
        let (contract, signature): (Owner, _) = (ID.parse().unwrap(), Signature::test_signature());
        let of_contract = TypedDataSignature::Contract { block: B256::ZERO, signature: Bytes::new() };
        assert!(Authentication::owner_text(contract, "", signature).is_err());
        assert!(Authentication::owner_text(contract.address(), "", of_contract.clone()).is_err());
        assert!(Authentication::owner_text(contract.address(), "", signature).is_ok());
        assert!(Authentication::owner_text(contract, "", of_contract).is_ok());
    }
}
