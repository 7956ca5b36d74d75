use alloy_primitives::B256;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};

use crate::json::{self, JsonError};
use crate::typed_data::{TypedData, typed};
use crate::{
    AdmissionToken, EphemeralClaim, EphemeralError, ListSetup, NetworkDescriptor, Permissions,
    PermissionsError, RevokeSetup, ShortText, Target,
};

/// What a client asks of the network: the first frame of each operation.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Setup {
    /// A new key.
    Keygen(KeygenSetup),
    /// A signature.
    Sign(SignSetup),
    /// Another ephemeral key for a key.
    AddEphemeralKey(AddEphemeralKeySetup),
    /// The end of an ephemeral key, or of the key.
    Revoke(RevokeSetup),
    /// The ephemeral keys of a key.
    List(ListSetup),
    /// To register permissions with a key that was born without.
    Permit(PermitSetup),
}

/// The operations, each with a path of its own at the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Operation {
    /// `/keygen`
    Keygen,
    /// `/signgen`
    Sign,
    /// `/addEphemeralKey`
    AddEphemeralKey,
    /// `/revoke`: our own client's; it needs no challenge.
    Revoke,
    /// `/ephemeralKeys`: our own client's; it needs no challenge, and nobody signs it.
    List,
    /// Register the permissions of a key that was born without.
    Permit,
}

/// A request for a new key.
#[derive(Clone, Debug, PartialEq)]
pub struct KeygenSetup {
    /// How many nodes sign.
    pub threshold: u32,
    /// How many nodes hold a share.
    pub parties: u32,
    /// What the key may sign, as registered (tag 1); a key without permissions signs nothing.
    pub permissions: Option<String>,
    /// Who may ask for signatures (tag 2).
    pub ephemeral: EphemeralClaim,
    /// The owner's own statement of the permissions (tag 4); none from third-party clients, whose permissions nobody has
    /// signed: a node may refuse to make such keys.
    pub claim: Option<PermissionsClaim>,
    /// The operator's word for an owner whom no list names (tag 5), as it was sent: nobody has verified it yet.
    pub admission_token: Option<Box<AdmissionToken>>,
    typed: typed::keygen::KeygenSetupOpts,
}

/// A request for a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignSetup {
    /// How many nodes sign.
    pub threshold: u32,
    /// Which key.
    pub key_id: String,
    /// The message: the JSON of a user operation and its context.
    pub message: String,
}

/// A request to register one more ephemeral key.
#[derive(Clone, Debug, PartialEq)]
pub struct AddEphemeralKeySetup {
    /// How many nodes hold a share.
    pub parties: u32,
    /// Which key.
    pub key_id: String,
    /// The ephemeral key to add (tag 2).
    pub ephemeral: EphemeralClaim,
    typed: typed::add_ephemeral_key::AddEphemeralKeyOpts,
}

/// The owner's statement of a key's permissions, in a metadata entry that the typed data covers (tag 4).
///
/// The protocol's typed data leaves the permissions themselves (tag 1) out, so a gateway could swap them; this
/// entry names them by their hash, and nodes refuse a tag 1 of another hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PermissionsClaim {
    /// The network that is meant, so that a statement cannot be replayed at another.
    #[serde(deserialize_with = "json::fixed_bytes")]
    pub network: B256,
    /// The chain that the key is for.
    pub chain_id: u64,
    /// keccak-256 of the tag-1 text.
    #[serde(deserialize_with = "json::fixed_bytes")]
    pub permissions: B256,
}

/// The setup of [`Operation::Permit`]: a key that was born without permissions is given its only ones.
///
/// A wallet grants to an address, so that the key has to be there first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermitSetup {
    /// The network that is meant.
    pub network: B256,
    /// Which key.
    pub key_id: String,
    /// The text of a [`Target`].
    pub permissions: String,
}

/// Why a setup is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// Not the JSON of this operation's setup.
    #[error("the setup cannot be read")]
    Json(#[from] JsonError),
    /// More bytes than any statement about a key needs.
    #[error("the setup for `{path}` has {len} bytes, at most {limit} are taken")]
    TooLong {
        /// The operation's path.
        path: &'static str,
        /// The number of bytes.
        len: usize,
        /// The most bytes.
        limit: usize,
    },
    /// A key id that no network gives.
    #[error("`{found}` is not a key's id: 64 lower-case hex digits")]
    KeyId {
        /// What stands in its place.
        found: ShortText,
    },
    /// A metadata entry twice.
    #[error("the setup has two metadata entries of tag {tag}; each may stand once")]
    DuplicateTag {
        /// The tag.
        tag: u16,
    },
    /// A metadata entry of a kind that this operation has not.
    #[error("the setup has a metadata entry of unknown tag {tag}")]
    UnknownTag {
        /// The tag.
        tag: u16,
    },
    /// A metadata entry is missing.
    #[error("the setup has no metadata entry of tag {tag} ({meaning})")]
    MissingTag {
        /// The tag.
        tag: u16,
        /// What it carries.
        meaning: &'static str,
    },
    /// The ephemeral claim.
    #[error(transparent)]
    Ephemeral(#[from] EphemeralError),
    /// The permissions.
    #[error(transparent)]
    Permissions(#[from] PermissionsError),
    /// The owner's statement of the permissions.
    #[error("the permissions claim (tag 4) cannot be read")]
    Claim(#[source] JsonError),
    /// The operator's word for the owner.
    #[error("the admission token (tag 5) cannot be read")]
    AdmissionToken(#[source] JsonError),
    /// The permissions given are not the ones that the owner signed.
    #[error("the owner signed permissions with hash {signed}, but the ones given have hash {given}")]
    OtherPermissions {
        /// The hash in the signed entry.
        signed: B256,
        /// The hash of the tag-1 text; zero where there is none.
        given: B256,
    },
    /// The tag-3 entry names another key than the setup.
    #[error("the setup is for key {setup}, its signed entry names key {signed}")]
    OtherKey {
        /// The setup's own field.
        setup: String,
        /// The signed entry.
        signed: String,
    },
    /// The message is not base64 of UTF-8 text.
    #[error("the message is not the base64 of UTF-8 text")]
    Message,
}

const PERMISSIONS: u16 = 1;
const EPHEMERAL: u16 = 2;
const KEY_ID: u16 = 3;
const CLAIM: u16 = 4;
const ADMISSION_TOKEN: u16 = 5;

impl Operation {
    /// The path at the gateway, without a slash.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Keygen => "keygen",
            Self::Sign => "signgen",
            Self::AddEphemeralKey => "addEphemeralKey",
            Self::Revoke => "revoke",
            Self::List => "ephemeralKeys",
            Self::Permit => "permit",
        }
    }

    /// Whether the nodes' nonces stand in its challenge. A revocation has none: it is good at any time. Nor has a list.
    pub const fn is_challenged(self) -> bool {
        !matches!(self, Self::Revoke | Self::List)
    }
}

impl Setup {
    /// The longest setup that adds or revokes something, in bytes.
    ///
    /// Nodes keep these and tell each other; those of signatures and new keys are held to
    /// [`SignedRequest::MAX_SETUP`](crate::SignedRequest::MAX_SETUP).
    pub const MAX_STATEMENT: usize = 4 * 1024;

    /// The most bytes of a setup that registers permissions: nodes tell each other all of it.
    pub const MAX_PERMIT: usize = 64 * 1024;

    /// Reads a setup as it was sent.
    ///
    /// ```
    /// # use quorate_protocol::{Operation, Setup};
    /// let setup = |key_id: &str| format!(r#"{{"t":3,"key_id":"{key_id}","message":"e30="}}"#);
    /// assert!(Setup::parse(Operation::Sign, &setup(&"0f".repeat(32))).is_ok());
    /// let refused = Setup::parse(Operation::Sign, &setup("key-1")).unwrap_err();
    /// assert_eq!(refused.to_string(), "`key-1` is not a key's id: 64 lower-case hex digits");
    /// ```
    ///
    /// # Errors
    /// Text that is not the setup of this operation; unknown fields and tags are refused, and a key's id is 64 lower-case
    /// hex digits.
    pub fn parse(operation: Operation, text: &str) -> Result<Self, SetupError> {
        let limit = match operation {
            Operation::AddEphemeralKey | Operation::Revoke => Self::MAX_STATEMENT,
            Operation::Permit => Self::MAX_PERMIT,
            Operation::Keygen | Operation::Sign | Operation::List => usize::MAX,
        };
        if text.len() > limit {
            return Err(SetupError::TooLong { path: operation.path(), len: text.len(), limit });
        }
        match operation {
            Operation::Keygen => json::read::<KeygenText>(text)?.try_into().map(Self::Keygen),
            Operation::Sign => json::read::<SignText>(text)?.try_into().map(Self::Sign),
            Operation::AddEphemeralKey => json::read::<AddText>(text)?.try_into().map(Self::AddEphemeralKey),
            Operation::Revoke => json::read::<RevokeText>(text)?.try_into().map(Self::Revoke),
            Operation::List => json::read::<ListText>(text)?.try_into().map(Self::List),
            Operation::Permit => json::read::<PermitText>(text)?.try_into().map(Self::Permit),
        }
    }

    /// What the owner's wallet signs for this setup under a challenge (EIP-712); none for a signature, which an
    /// ephemeral key asks for, and for a list, which anybody may.
    pub fn typed_data(&self, challenge: &str) -> Option<TypedData> {
        let challenge = challenge.to_owned();
        match self {
            Self::Keygen(setup) => {
                Some(TypedData::of_keygen(&typed::keygen::Request { setup: setup.typed.clone(), challenge }))
            }
            Self::Sign(_) | Self::List(_) => None,
            Self::AddEphemeralKey(setup) => Some(TypedData::of(&typed::add_ephemeral_key::Request {
                setup: setup.typed.clone(),
                challenge,
            })),
            Self::Revoke(setup) => Some(setup.typed_data()),
            Self::Permit(setup) => Some(setup.typed_data(challenge)),
        }
    }
}

impl PermitSetup {
    /// The setup's text, which [`Setup::parse`] reads.
    pub fn text(&self) -> String {
        let Self { network, key_id, permissions } = self.clone();
        serde_json::to_string(&PermitText { network, key_id, permissions }).unwrap_or_default()
    }

    fn typed_data(&self, challenge: String) -> TypedData {
        let Self { network, key_id, permissions } = self.clone();
        let setup = typed::permit::PermitOpts { network, keyId: key_id, permissions };
        TypedData::of(&typed::permit::Request { setup, challenge })
    }

    /// The keccak-256 of the permissions' text.
    pub fn permissions_hash(&self) -> B256 {
        Permissions::hash_of(&self.permissions)
    }
}

impl KeygenSetup {
    /// The setup that our own client sends: permissions, ephemeral key, the owner's statement of both, and the operator's
    /// word for an owner who needs it.
    pub fn text(
        network: &NetworkDescriptor,
        permissions: Option<(&str, &PermissionsClaim)>,
        ephemeral: &EphemeralClaim,
        admission_token: Option<&AdmissionToken>,
    ) -> String {
        let entry = |tag, value| TaggedText { tag, value };
        let mut metadata = Vec::new();
        metadata.extend(permissions.map(|(text, _)| entry(PERMISSIONS, text.to_owned())));
        metadata.push(entry(EPHEMERAL, ephemeral.to_json()));
        let claim = permissions.map(|(_, claim)| serde_json::to_string(claim).unwrap_or_default());
        metadata.extend(claim.map(|claim| entry(CLAIM, claim)));
        metadata.extend(admission_token.map(|token| entry(ADMISSION_TOKEN, token.to_json())));
        let (t, n) = (network.threshold().into(), network.size().into());
        serde_json::to_string(&KeygenText { t, n, key_label: None, metadata }).unwrap_or_default()
    }

    /// The hash of the permissions text; zero where there are none.
    pub fn permissions_hash(&self) -> B256 {
        self.permissions.as_deref().map(Permissions::hash_of).unwrap_or_default()
    }
}

impl AddEphemeralKeySetup {
    /// The setup that our own client sends.
    pub fn text(parties: u8, key_id: &str, ephemeral: &EphemeralClaim) -> String {
        let text = AddText {
            n: parties.into(),
            key_id: key_id.to_owned(),
            metadata: vec![
                TaggedText { tag: EPHEMERAL, value: ephemeral.to_json() },
                TaggedText { tag: KEY_ID, value: key_id.to_owned() },
            ],
        };
        serde_json::to_string(&text).unwrap_or_default()
    }
}

impl SignSetup {
    /// The setup of a request to sign `message`.
    pub fn text(&self) -> String {
        let text = SignText {
            t: self.threshold,
            key_id: self.key_id.clone(),
            message: BASE64_STANDARD.encode(&self.message),
        };
        serde_json::to_string(&text).unwrap_or_default()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TaggedText {
    tag: u16,
    value: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeygenText {
    t: u32,
    n: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_label: Option<String>,
    metadata: Vec<TaggedText>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignText {
    t: u32,
    key_id: String,
    message: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AddText {
    n: u32,
    key_id: String,
    metadata: Vec<TaggedText>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RevokeText {
    #[serde(deserialize_with = "json::fixed_bytes")]
    network: B256,
    key_id: String,
    #[serde(
        default,
        deserialize_with = "json::optional_fixed_bytes",
        skip_serializing_if = "Option::is_none"
    )]
    ephemeral_key: Option<B256>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListText {
    #[serde(deserialize_with = "json::fixed_bytes")]
    network: B256,
    key_id: String,
    #[serde(deserialize_with = "json::fixed_bytes")]
    nonce: B256,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PermitText {
    #[serde(deserialize_with = "json::fixed_bytes")]
    network: B256,
    key_id: String,
    permissions: String,
}

impl TryFrom<PermitText> for PermitSetup {
    type Error = SetupError;

    fn try_from(PermitText { network, key_id, permissions }: PermitText) -> Result<Self, SetupError> {
        check_key_id(&key_id)?;
        Target::from_json(&permissions)?;
        Ok(Self { network, key_id, permissions })
    }
}

impl TryFrom<ListText> for ListSetup {
    type Error = SetupError;

    fn try_from(ListText { network, key_id, nonce }: ListText) -> Result<Self, SetupError> {
        check_key_id(&key_id)?;
        Ok(Self { network, key_id, nonce })
    }
}

pub(crate) fn list_text(ListSetup { network, key_id, nonce }: &ListSetup) -> String {
    let text = ListText { network: *network, key_id: key_id.clone(), nonce: *nonce };
    serde_json::to_string(&text).unwrap_or_default()
}

impl TryFrom<RevokeText> for RevokeSetup {
    type Error = SetupError;

    fn try_from(RevokeText { network, key_id, ephemeral_key }: RevokeText) -> Result<Self, SetupError> {
        check_key_id(&key_id)?;
        let ephemeral = ephemeral_key.map(|key| VerifyingKey::from_bytes(&key.0)).transpose();
        let ephemeral = ephemeral.map_err(|_| EphemeralError::Key)?;
        Ok(Self { network, key_id, ephemeral })
    }
}

pub(crate) fn revoke_text(RevokeSetup { network, key_id, ephemeral }: &RevokeSetup) -> String {
    let text = RevokeText {
        network: *network,
        key_id: key_id.clone(),
        ephemeral_key: ephemeral.map(|key| key.to_bytes().into()),
    };
    serde_json::to_string(&text).unwrap_or_default()
}

pub(crate) fn revoke_typed_data(RevokeSetup { network, key_id, ephemeral }: &RevokeSetup) -> TypedData {
    let (network, key) = (*network, key_id.clone());
    match ephemeral.map(|key| B256::from(key.to_bytes())) {
        None => TypedData::of_statement(&typed::revoke::RevokeKey { network, keyId: key }),
        Some(ephemeral) => {
            let revocation =
                typed::revoke::RevokeEphemeralKey { network, keyId: key, ephemeralKey: ephemeral };
            TypedData::of_statement(&revocation)
        }
    }
}

impl TryFrom<KeygenText> for KeygenSetup {
    type Error = SetupError;

    fn try_from(text: KeygenText) -> Result<Self, SetupError> {
        check_tags(&text.metadata, &[PERMISSIONS, EPHEMERAL, CLAIM, ADMISSION_TOKEN])?;
        let permissions = value_of(&text.metadata, PERMISSIONS).map(str::to_owned);
        let claim = value_of(&text.metadata, CLAIM)
            .map(|value| json::read::<PermissionsClaim>(value).map_err(SetupError::Claim))
            .transpose()?;
        let admission_token = value_of(&text.metadata, ADMISSION_TOKEN)
            .map(|value| AdmissionToken::from_json(value).map(Box::new).map_err(SetupError::AdmissionToken))
            .transpose()?;
        if let Some(claim) = &claim {
            let given = permissions.as_deref().map(Permissions::hash_of).unwrap_or_default();
            if claim.permissions != given {
                return Err(SetupError::OtherPermissions { signed: claim.permissions, given });
            }
        }
        let signed = text.metadata.iter().filter(|entry| entry.tag != PERMISSIONS);
        let metadata = signed
            .map(|entry| typed::keygen::TaggedValue { tag: entry.tag, value: entry.value.clone() })
            .collect();
        Ok(Self {
            threshold: text.t,
            parties: text.n,
            ephemeral: ephemeral_of(&text.metadata)?,
            permissions,
            claim,
            admission_token,
            typed: typed::keygen::KeygenSetupOpts { t: text.t, n: text.n, metadata },
        })
    }
}

impl TryFrom<SignText> for SignSetup {
    type Error = SetupError;

    fn try_from(text: SignText) -> Result<Self, SetupError> {
        check_key_id(&text.key_id)?;
        let bytes = BASE64_STANDARD.decode(&text.message).map_err(|_| SetupError::Message)?;
        let message = String::from_utf8(bytes).map_err(|_| SetupError::Message)?;
        Ok(Self { threshold: text.t, key_id: text.key_id, message })
    }
}

impl TryFrom<AddText> for AddEphemeralKeySetup {
    type Error = SetupError;

    fn try_from(text: AddText) -> Result<Self, SetupError> {
        check_key_id(&text.key_id)?;
        check_tags(&text.metadata, &[EPHEMERAL, KEY_ID])?;
        let missing = SetupError::MissingTag { tag: KEY_ID, meaning: "the key's id" };
        let signed = value_of(&text.metadata, KEY_ID).ok_or(missing)?;
        if signed != text.key_id {
            return Err(SetupError::OtherKey { setup: text.key_id, signed: signed.to_owned() });
        }
        let metadata = text
            .metadata
            .iter()
            .map(|entry| typed::add_ephemeral_key::TaggedValue { tag: entry.tag, value: entry.value.clone() })
            .collect();
        Ok(Self {
            parties: text.n,
            ephemeral: ephemeral_of(&text.metadata)?,
            typed: typed::add_ephemeral_key::AddEphemeralKeyOpts { n: text.n, metadata },
            key_id: text.key_id,
        })
    }
}

/// Every network makes its keys' ids of a hash.
fn check_key_id(text: &str) -> Result<(), SetupError> {
    let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() == 64 && text.bytes().all(is_digit) {
        return Ok(());
    }
    Err(SetupError::KeyId { found: text.into() })
}

fn check_tags(metadata: &[TaggedText], known: &[u16]) -> Result<(), SetupError> {
    for (place, TaggedText { tag, .. }) in metadata.iter().enumerate() {
        if !known.contains(tag) {
            return Err(SetupError::UnknownTag { tag: *tag });
        }
        if metadata.iter().take(place).any(|earlier| earlier.tag == *tag) {
            return Err(SetupError::DuplicateTag { tag: *tag });
        }
    }
    Ok(())
}

fn value_of(metadata: &[TaggedText], tag: u16) -> Option<&str> {
    metadata.iter().find(|entry| entry.tag == tag).map(|entry| entry.value.as_str())
}

fn ephemeral_of(metadata: &[TaggedText]) -> Result<EphemeralClaim, SetupError> {
    let missing = SetupError::MissingTag { tag: EPHEMERAL, meaning: "the ephemeral key" };
    Ok(EphemeralClaim::parse(value_of(metadata, EPHEMERAL).ok_or(missing)?)?)
}
