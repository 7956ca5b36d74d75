use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Signature, hex, keccak256};
use ed25519_dalek::{Signer as _, SigningKey};
use k256::elliptic_curve::sec1::ToSec1Point as _;
use quorate_core::{routed_hash, signing_hash};
use serde::{Deserialize, Serialize};

use crate::authentication::ephemeral_message;
use crate::json::{self, JsonError};
use crate::{
    AdmissionToken, AdmissionTokenError, Answer, AnswerError, Attestation, Authentication,
    AuthenticationError, Birth, ContractAccount, EphemeralClaim, EphemeralError, KeyText, KeygenSetup,
    NetworkDescriptor, NodeIndex, Nonce, Operation, OperationMessage, Owner, Permissions, PermissionsClaim,
    PermissionsError, ProvenChallenge, Refusal, Setup, SetupError, SignSetup, Subject, TypedData,
    TypedDataSignature, Unattested,
};

/// A request for a new key, before the network's challenge: its setup is the first frame to send.
#[derive(Clone, Debug)]
pub struct KeyRequest {
    owner: Owner,
    setup: String,
}

/// A challenged request for a new key, waiting for its owner's signature.
///
/// It can be stored and go on elsewhere, at any gateway: the owner's wallet is often in a browser or on a device. The
/// challenge is good for 60 seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyDraft {
    owner: Owner,
    setup: String,
    challenge: String,
    /// What the challenge was made of; a draft of version 0.1.0 has none, and is known to its own gateway alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    nonces: BTreeMap<NodeIndex, Nonce>,
}

/// A key that enough nodes of the pinned network attest to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestedKey {
    /// The key's id at the network.
    pub key_id: String,
    /// The public key, compressed SEC1.
    pub public_key: [u8; 33],
    /// The public key's Ethereum address: the session key.
    pub address: Address,
    /// The evidence: what was attested to, and by whom.
    pub birth: Birth,
    /// The nodes' signatures over it.
    pub attestations: Vec<Attestation>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Evidence {
    birth: Birth,
    attestations: Vec<Attestation>,
}

impl AttestedKey {
    /// A key that enough nodes of the pinned network attest to.
    fn new(
        network: &NetworkDescriptor,
        birth: Birth,
        attestations: Vec<Attestation>,
    ) -> Result<Self, ClientError> {
        birth.verify(network, &attestations)?;
        let public_key = birth.public_key;
        let address = address_of(&public_key).ok_or(ClientError::PublicKey)?;
        Ok(Self { key_id: birth.key_id.clone(), public_key, address, birth, attestations })
    }

    /// The evidence as JSON, to be stored beside the session.
    pub fn to_json(&self) -> String {
        let Self { birth, attestations, .. } = self.clone();
        serde_json::to_string(&Evidence { birth, attestations }).unwrap_or_default()
    }

    /// Reads stored evidence, and checks it again.
    ///
    /// # Errors
    /// Text that is no evidence, and a key that too few nodes of the pinned network attest to: another network's, or one
    /// that somebody put into the store.
    pub fn from_json(network: &NetworkDescriptor, text: &str) -> Result<Self, ClientError> {
        let Evidence { birth, attestations } = json::read(text).map_err(ClientError::Evidence)?;
        Self::new(network, birth, attestations)
    }
}

/// A request for a session's signature: its setup is the first frame to send.
#[derive(Clone, Debug)]
pub struct SignatureRequest {
    setup: String,
    digest: B256,
    session_key: Address,
}

/// Why a client stops.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The network says no.
    #[error("the signing network refused")]
    Refused(#[source] Refusal),
    /// An answer that cannot be read.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// An answer to another question.
    #[error("the network answered another operation than the one asked for")]
    OtherAnswer,
    /// A challenge that is not 32 bytes of hex.
    #[error("the network's challenge is not 64 digits of lower-case hex")]
    Challenge,
    /// A public key that is no point of the curve.
    #[error("the network's public key is not a compressed secp256k1 point")]
    PublicKey,
    /// Too few attestations.
    #[error(transparent)]
    Unattested(#[from] Unattested),
    /// A signature of another key, or not in the low-s form.
    #[error(
        "the network's signature is not a low-s signature of the session key {session_key} over this operation; it is not used"
    )]
    Signature {
        /// The key that should have signed.
        session_key: Address,
    },
    /// An owner's signature that is not of the owner's kind.
    #[error(transparent)]
    OwnerSignature(#[from] AuthenticationError),
    /// Permissions that nodes refuse.
    #[error(transparent)]
    Permissions(#[from] PermissionsError),
    /// An ephemeral claim that nodes refuse.
    #[error(transparent)]
    Ephemeral(#[from] EphemeralError),
    /// An admission token that nodes refuse.
    #[error(transparent)]
    AdmissionToken(#[from] AdmissionTokenError),
    /// A stored draft that is not one.
    #[error("the stored key draft cannot be read")]
    Draft(#[source] JsonError),
    /// Stored evidence of a key that is none.
    #[error("the stored evidence of a distributed key cannot be read")]
    Evidence(#[source] JsonError),
    /// An ephemeral key that the network does not know the key by.
    #[error("key {key_id} was made under another ephemeral key than the stored one; its nodes would refuse")]
    OtherEphemeral {
        /// The key's id.
        key_id: String,
    },
    /// A stored draft whose setup is not one.
    #[error("the setup in the key draft cannot be read")]
    Setup(#[from] SetupError),
}

impl KeyRequest {
    /// Asks `network` for a key with these permissions, under which `ephemeral` may ask for signatures. An owner whom the
    /// network's operator has not listed may need an `admission_token`.
    ///
    /// # Errors
    /// Permissions or an ephemeral claim that nodes refuse whatever the owner signs, as [`Permissions::check`] tells; an
    /// admission token for another network or owner, or one that was altered.
    pub fn new(
        network: &NetworkDescriptor,
        permissions: &Permissions,
        ephemeral: &EphemeralClaim,
        admission_token: Option<&AdmissionToken>,
    ) -> Result<Self, ClientError> {
        permissions.check()?;
        ephemeral.check()?;
        if let Some(token) = admission_token {
            let (chain_id, address) = (permissions.chain_id, permissions.owner);
            let as_contract = token.check(network.id(), ContractAccount { chain_id, address });
            as_contract.or_else(|_| token.check(network.id(), address))?;
        }
        let text = permissions.to_json();
        let claim = PermissionsClaim {
            network: network.id(),
            chain_id: permissions.chain_id,
            permissions: Permissions::hash_of(&text),
        };
        let setup = KeygenSetup::text(network, Some((&text, &claim)), ephemeral, admission_token);
        Ok(Self { owner: permissions.owner.into(), setup })
    }

    /// Asks `network` for a key that signs nothing until its owner [registers](crate::RegistrationRequest::of_permissions) what it
    /// may sign: a wallet grants to an address, so that the key comes first.
    ///
    /// # Errors
    /// An ephemeral claim that nodes refuse whatever the owner signs; an admission token for another network or owner, or one
    /// that was altered.
    pub fn without_permissions(
        network: &NetworkDescriptor,
        owner: Address,
        ephemeral: &EphemeralClaim,
        admission_token: Option<&AdmissionToken>,
    ) -> Result<Self, ClientError> {
        ephemeral.check()?;
        if let Some(token) = admission_token {
            token.check(network.id(), owner)?;
        }
        let setup = KeygenSetup::text(network, None, ephemeral, admission_token);
        Ok(Self { owner: owner.into(), setup })
    }

    /// The first frame.
    pub fn setup(&self) -> &str {
        &self.setup
    }

    /// Takes the network's challenge: bare, or [with its nonces](crate::ProvenChallenge).
    ///
    /// # Errors
    /// A refusal; a challenge that is not 32 bytes of hex, so that no gateway has the owner sign text of its
    /// choice; or nonces of another challenge.
    pub fn challenged(self, challenge: &str) -> Result<KeyDraft, ClientError> {
        let ProvenChallenge { challenge, nonces } = ProvenChallenge::read(&self.setup, challenge)?;
        Ok(KeyDraft { owner: self.owner, setup: self.setup, challenge, nonces })
    }
}

impl KeyDraft {
    /// The same for an owner that is a contract: the one at the owner's address on the chain that the permissions name.
    ///
    /// # Errors
    /// A stored draft whose setup was altered into something else.
    pub fn by_contract(mut self) -> Result<Self, ClientError> {
        let claim = self.keygen_setup()?.claim.ok_or(ClientError::OtherAnswer)?;
        self.owner = ContractAccount { chain_id: claim.chain_id, address: self.owner.address() }.into();
        Ok(self)
    }

    /// Who has to sign.
    pub const fn owner(&self) -> Owner {
        self.owner
    }

    /// The challenge, which names the request at the gateway.
    pub fn challenge(&self) -> &str {
        &self.challenge
    }

    /// The first frame, for a connection that takes the request up again.
    pub fn setup(&self) -> &str {
        &self.setup
    }

    /// What goes ahead of the setup where the request is taken up at another gateway; none in a draft without nonces.
    pub fn resume(&self) -> Option<String> {
        ProvenChallenge::resume(&self.challenge, &self.nonces)
    }

    /// What the owner signs.
    ///
    /// # Errors
    /// A stored draft whose setup was altered into something else.
    pub fn typed_data(&self) -> Result<TypedData, ClientError> {
        Setup::parse(Operation::Keygen, &self.setup)?
            .typed_data(&self.challenge)
            .ok_or(ClientError::OtherAnswer)
    }

    /// The second frame, with the owner's signature over [`typed_data`](Self::typed_data).
    ///
    /// # Errors
    /// A stored draft whose setup was altered into something else, or a signature of the other kind of owner.
    pub fn authentication(&self, signature: impl Into<TypedDataSignature>) -> Result<String, ClientError> {
        Ok(Authentication::owner_text(self.owner, &self.keygen_setup()?.ephemeral.to_json(), signature)?)
    }

    /// Takes the network's answer, and the key only with enough attestations.
    ///
    /// # Errors
    /// A refusal, an answer to something else, or a key that too few nodes attest to.
    pub fn accept(&self, network: &NetworkDescriptor, answer: &str) -> Result<AttestedKey, ClientError> {
        let (KeyText { key_id, public_key }, attestations) = match Answer::from_json(answer)? {
            Answer::Key { key, attestations } => (key, attestations),
            Answer::Refused(refusal) => return Err(ClientError::Refused(refusal)),
            _ => return Err(ClientError::OtherAnswer),
        };
        let setup = self.keygen_setup()?;
        let birth = Birth {
            key_id,
            public_key,
            owner: self.owner,
            ephemeral: setup.ephemeral.key.to_bytes(),
            permissions: setup.permissions_hash(),
            challenge: self.challenge.clone(),
        };
        AttestedKey::new(network, birth, attestations)
    }

    /// The draft as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a stored draft.
    ///
    /// # Errors
    /// Text that is no draft.
    pub fn from_json(text: &str) -> Result<Self, ClientError> {
        json::read(text).map_err(ClientError::Draft)
    }

    fn keygen_setup(&self) -> Result<KeygenSetup, ClientError> {
        match Setup::parse(Operation::Keygen, &self.setup)? {
            Setup::Keygen(setup) => Ok(setup),
            _ => Err(ClientError::OtherAnswer),
        }
    }
}

fn sign_setup(network: &NetworkDescriptor, key_id: &str, message: String) -> String {
    SignSetup { threshold: network.threshold().into(), key_id: key_id.to_owned(), message }.text()
}

impl SignatureRequest {
    /// Asks for the signature of `session_key`, which the network knows as `key_id`, over an operation of one call.
    pub fn new(
        network: &NetworkDescriptor,
        key_id: &str,
        session_key: Address,
        message: &OperationMessage,
    ) -> Self {
        let hash = message.operation.hash(message.entry_point, message.chain_id);
        Self::of(network, key_id, session_key, message, hash)
    }

    /// Asks for the signature over a batch, which is for the batched session router: it covers the session key manager
    /// too ([`routed_hash`]), which is the one that the key's permissions name.
    pub fn routed(
        network: &NetworkDescriptor,
        key_id: &str,
        session_key: Address,
        session_key_manager: Address,
        message: &OperationMessage,
    ) -> Self {
        let hash = message.operation.hash(message.entry_point, message.chain_id);
        Self::of(network, key_id, session_key, message, routed_hash(hash, session_key_manager))
    }

    fn of(
        network: &NetworkDescriptor,
        key_id: &str,
        session_key: Address,
        message: &OperationMessage,
        hash: B256,
    ) -> Self {
        let setup = sign_setup(network, key_id, message.to_json());
        Self { setup, digest: signing_hash(hash), session_key }
    }

    /// Asks for the signature of `key` over what redeems delegations, or passes them on.
    pub fn of_subject(network: &NetworkDescriptor, key_id: &str, key: Address, subject: &Subject) -> Self {
        let setup = sign_setup(network, key_id, subject.to_json());
        Self { setup, digest: subject.digest(None), session_key: key }
    }

    /// The first frame.
    pub fn setup(&self) -> &str {
        &self.setup
    }

    /// The second frame: the ephemeral key signs the setup under the challenge.
    ///
    /// # Errors
    /// A refusal, or a challenge that is not 32 bytes of hex.
    pub fn authentication(&self, challenge: &str, ephemeral: &SigningKey) -> Result<String, ClientError> {
        check_challenge(challenge)?;
        let signature = ephemeral.sign(ephemeral_message(&self.setup, challenge).as_bytes());
        Ok(Authentication::ephemeral_text(&ephemeral.verifying_key(), &signature))
    }

    /// Takes the network's answer, and the signature only if it is the session key's over this operation.
    ///
    /// # Errors
    /// A refusal, an answer to something else, or a signature that does not verify.
    pub fn accept(&self, answer: &str) -> Result<Signature, ClientError> {
        let signature = match Answer::from_json(answer)? {
            Answer::Signature(text) => text.signature,
            Answer::Refused(refusal) => return Err(ClientError::Refused(refusal)),
            _ => return Err(ClientError::OtherAnswer),
        };
        let low = signature.normalize_s().is_none();
        match signature.recover_address_from_prehash(&self.digest) {
            Ok(signer) if signer == self.session_key && low => Ok(signature),
            _ => Err(ClientError::Signature { session_key: self.session_key }),
        }
    }
}

/// The Ethereum address of a compressed SEC1 public key; none if it is no point of secp256k1.
pub fn address_of(public_key: &[u8; 33]) -> Option<Address> {
    let key = k256::PublicKey::from_sec1_bytes(public_key).ok()?.to_sec1_point(false);
    let hash = keccak256(key.as_bytes().get(1..)?);
    hash.get(12..).map(Address::from_slice)
}

/// The network's first frame is a challenge of 32 bytes, or its refusal to give one.
pub(crate) fn check_challenge(frame: &str) -> Result<(), ClientError> {
    if let Ok(Answer::Refused(refusal)) = Answer::from_json(frame) {
        return Err(ClientError::Refused(refusal));
    }
    let lower = !frame.bytes().any(|byte| byte.is_ascii_uppercase());
    let bytes: Result<[u8; 32], _> = hex::decode_to_array(frame);
    if lower && frame.len() == 64 && bytes.is_ok() { Ok(()) } else { Err(ClientError::Challenge) }
}
