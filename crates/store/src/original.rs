//! The storage of the original SDK (`@biconomy/account` 4): two JSON documents for each account, under the names
//! `<account>_sessions` and `<account>_signers`.
//!
//! The original keeps one session for each leaf, and its tree holds every leaf of the document in order, whatever
//! the status beside it says: it never learns that a grant got into a block, and revoking adds leaves. So only what it
//! calls active or expired was on chain for certain ([`Session::landed`]), and the chain's root decides.

use std::collections::{BTreeMap, HashMap, HashSet};

use alloy_primitives::{Address, B256, Bytes, hex};
use k256::ecdsa::SigningKey;
use quorate_core::{Leaf, SessionEpoch, merkle};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::{AccountId, Key, NewSession, Secret, Session, SessionId, Store, StoreError};

/// The original's documents for one account. Both hold secrets in plain text.
#[derive(Clone)]
pub struct Documents {
    /// `<account>_sessions`.
    pub sessions: Zeroizing<String>,
    /// `<account>_signers`; `{}` where there is none.
    pub signers: Zeroizing<String>,
}

impl std::fmt::Debug for Documents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Documents([redacted])")
    }
}

/// Whose distributed keys they are and how many nodes sign, which the original keeps with each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// Who had the keys made.
    pub owner: Address,
    /// The nodes that sign.
    pub threshold: u8,
    /// The nodes that hold a share.
    pub parties: u8,
}

/// Why the original's documents cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OriginalError {
    /// A document of another form. What it holds is not told, as it may be a secret.
    #[error(
        "the original's {document} cannot be read: `{field}` is missing or wrong (line {line}, column {column})"
    )]
    Form {
        /// Which document: sessions or signers.
        document: &'static str,
        /// Where it is wrong.
        field: String,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// A time that no leaf can hold.
    #[error("leaf {leaf} of the original's sessions")]
    Time {
        /// The leaf's place in the document, from 0.
        leaf: usize,
        /// Which time, and what is wrong with it.
        source: quorate_core::EncodeError,
    },
    /// A session id that is none here.
    #[error("leaf {leaf} of the original's sessions")]
    Id {
        /// The leaf's place in the document, from 0.
        leaf: usize,
        /// What is wrong with it.
        source: crate::InvalidSessionId,
    },
    /// A private key of another address, or of none.
    #[error("the original's signer for {address} has the private key of another address")]
    OtherKey {
        /// The address that it stands under.
        address: Address,
    },
    /// A distributed key whose quorum is nowhere to be found.
    #[error("session {id} has a distributed key, which the original stores with owner and quorum; give them")]
    NoQuorum {
        /// The session.
        id: SessionId,
    },
    /// A leaf of which only the hash is known, as of one that another device made.
    #[error(
        "leaf {place} of the tree, {leaf}, belongs to no session in the store; import the session that it belongs to, \
         or end it"
    )]
    UnknownLeaf {
        /// The leaf's place in the tree, from 0.
        place: usize,
        /// The leaf.
        leaf: B256,
    },
    /// The system's randomness.
    #[error("the system gives no random bytes")]
    Random(#[from] getrandom::Error),
    /// The store that is read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The sessions of an account, to be stored in a store of ours.
///
/// `created` is when they are taken over, in seconds since 1970. The original knows no chain, so the caller says
/// which one it was. A distributed key keeps what the original knows of it as its `attested_key`. Signers that no
/// session uses are left behind.
///
/// # Errors
/// [`OriginalError`], which names the field. A signer whose private key is another address's is refused.
///
/// ```
/// use quorate_store::{AccountId, Key, original};
///
/// let documents = original::Documents {
///     sessions: r#"{"merkleRoot": "", "leafNodes": [{
///         "validUntil": 0, "validAfter": 0, "status": "PENDING", "sessionID": "4a2b8c0d1e",
///         "sessionValidationModule": "0x000006bc2ecdae38113929293d241cf252d91861",
///         "sessionPublicKey": "0x7e5f4552091a69125d5dfcb7b8c2659029395bdf",
///         "sessionKeyData": "0x7e5f4552091a69125d5dfcb7b8c2659029395bdf"
///     }]}"#.to_owned().into(),
///     signers: r#"{"0x7e5f4552091a69125d5dfcb7b8c2659029395bdf": {
///         "pbKey": "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf",
///         "pvKey": "0x0000000000000000000000000000000000000000000000000000000000000001"
///     }}"#.to_owned().into(),
/// };
/// let account = AccountId { chain_id: 137, address: [0x11; 20].into() };
/// let sessions = original::read(account, &documents, 1_700_000_000)?;
/// assert_eq!(sessions[0].id.as_str(), "4a2b8c0d1e");
/// assert_eq!(sessions[0].landed, None, "what the original calls pending may be on chain or not");
/// assert!(matches!(sessions[0].key, Key::Local(_)));
/// # Ok::<(), original::OriginalError>(())
/// ```
pub fn read(
    account: AccountId,
    documents: &Documents,
    created: u64,
) -> Result<Vec<NewSession>, OriginalError> {
    let SessionsDocument { leaf_nodes, .. } = parse("sessions", &documents.sessions)?;
    let signers: BTreeMap<Address, Signer> = parse("signers", &documents.signers)?;
    for (&address, signer) in &signers {
        signer.check(address)?;
    }
    let mut taken = HashSet::new();
    let sessions = leaf_nodes.into_iter().enumerate().map(|(place, node)| {
        let epoch = SessionEpoch::new(node.valid_after, node.valid_until)
            .map_err(|source| OriginalError::Time { leaf: place, source })?;
        let id = match node.session_id {
            Some(id) => free_id(&id, &mut taken),
            None => SessionId::random()?.to_string(),
        };
        let key = match (node.dan_module_info, signers.get(&node.session_public_key)) {
            (Some(info), _) => info.into_key(),
            (None, Some(signer)) => Key::Local(signer.private_key.0.clone()),
            (None, None) => Key::External,
        };
        Ok(NewSession {
            id: id.parse().map_err(|source| OriginalError::Id { leaf: place, source })?,
            account,
            session_key: node.session_public_key,
            key,
            leaves: vec![Leaf {
                epoch,
                validation_module: node.session_validation_module,
                session_key_data: node.session_key_data.into(),
            }],
            created,
            user_op_hash: None,
            landed: node.status.was_on_chain().then_some(0),
        })
    });
    sessions.collect()
}

/// What the original would have stored of an account's sessions, so that its tree is the one with these `leaves`: a
/// session for each leaf. The second leaf of a session `a` becomes the session `a.1`.
///
/// `quorum` is needed for distributed keys that this SDK had made.
///
/// # Errors
/// [`OriginalError::UnknownLeaf`] for a leaf that no session of the store has, [`OriginalError::NoQuorum`], and what the
/// store says.
pub async fn write(
    store: &dyn Store,
    account: AccountId,
    leaves: &[B256],
    quorum: Option<Quorum>,
) -> Result<Documents, OriginalError> {
    let sessions = store.sessions(account).await?;
    let owned = sessions.iter().flat_map(|session| session.leaves.iter().map(move |leaf| (session, leaf)));
    let owned: HashMap<B256, (&Session, &Leaf)> =
        owned.map(|(session, leaf)| (leaf.hash(), (session, leaf))).collect();

    let mut leaf_nodes = Vec::new();
    let mut signers = BTreeMap::new();
    let mut taken = HashSet::new();
    for (place, hash) in leaves.iter().enumerate() {
        let unknown = OriginalError::UnknownLeaf { place, leaf: *hash };
        let (session, leaf) = owned.get(hash).copied().ok_or(unknown)?;
        let key = store.key(account, &session.id).await?;
        if let Key::Local(private_key) = &key {
            let signer = Signer { address: session.session_key, private_key: HexSecret(private_key.clone()) };
            signers.insert(session.session_key, signer);
        }
        leaf_nodes.push(LeafNode {
            valid_until: leaf.epoch.valid_until(),
            valid_after: leaf.epoch.valid_after(),
            session_validation_module: leaf.validation_module,
            session_key_data: leaf.session_key_data.clone().into(),
            session_public_key: session.session_key,
            session_id: Some(free_id(session.id.as_str(), &mut taken)),
            status: OriginalStatus::Active,
            dan_module_info: DanModuleInfo::of(session, &key, quorum)?,
        });
    }
    let merkle_root = merkle::root(leaves).map(|root| root.to_string()).unwrap_or_default();
    Ok(Documents {
        sessions: to_json(&SessionsDocument { merkle_root, leaf_nodes }),
        signers: to_json(&signers),
    })
}

/// The id, or where it is taken the first of `id.1`, `id.2`, … that is not.
fn free_id(id: &str, taken: &mut HashSet<String>) -> String {
    let further = (1..).map(|number: u64| format!("{id}.{number}"));
    let mut free = std::iter::once(id.to_owned()).chain(further).filter(|id| taken.insert(id.clone()));
    free.next().unwrap_or_default()
}

fn parse<T: DeserializeOwned>(document: &'static str, text: &str) -> Result<T, OriginalError> {
    let form = |field: String, error: &serde_json::Error| OriginalError::Form {
        document,
        field,
        line: error.line(),
        column: error.column(),
    };
    let mut reader = serde_json::Deserializer::from_str(text);
    let parsed = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| form(error.path().to_string(), error.inner()))?;
    reader.end().map_err(|error| form(".".to_owned(), &error))?;
    Ok(parsed)
}

fn to_json(document: &impl Serialize) -> Zeroizing<String> {
    Zeroizing::new(serde_json::to_string(document).unwrap_or_default())
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SessionsDocument {
    /// The original's own idea of the root; empty before the first session.
    #[serde(default)]
    merkle_root: String,
    leaf_nodes: Vec<LeafNode>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LeafNode {
    valid_until: u64,
    valid_after: u64,
    session_validation_module: Address,
    session_key_data: Bytes,
    session_public_key: Address,
    #[serde(rename = "sessionID", skip_serializing_if = "Option::is_none")]
    session_id: Option<String>,
    status: OriginalStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    dan_module_info: Option<DanModuleInfo>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum OriginalStatus {
    Pending,
    Active,
    Inactive,
    Expired,
    Revoked,
}

impl OriginalStatus {
    /// Whether the original has seen the leaf on chain.
    const fn was_on_chain(self) -> bool {
        matches!(self, Self::Active | Self::Expired)
    }
}

/// A distributed key in the original: an ephemeral secret and what goes with it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DanModuleInfo {
    #[serde(serialize_with = "HexSecret::serialize_bare")]
    jwt: HexSecret,
    eoa_address: Address,
    threshold: u8,
    parties_number: u8,
    chain_id: u64,
    mpc_key_id: String,
}

/// The part of it that is no secret.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DanKey {
    eoa_address: Address,
    threshold: u8,
    parties_number: u8,
    chain_id: u64,
}

impl DanModuleInfo {
    fn into_key(self) -> Key {
        let Self { jwt, eoa_address, threshold, parties_number, chain_id, mpc_key_id: key_id } = self;
        let public = DanKey { eoa_address, threshold, parties_number, chain_id };
        let attested_key = serde_json::to_string(&public).unwrap_or_default();
        Key::Distributed { key_id, attested_key, ephemeral: jwt.0 }
    }

    fn of(session: &Session, key: &Key, quorum: Option<Quorum>) -> Result<Option<Self>, OriginalError> {
        let Key::Distributed { key_id, attested_key, ephemeral } = key else { return Ok(None) };
        let from_the_original = serde_json::from_str(attested_key).ok();
        let from_the_caller = || {
            let Quorum { owner: eoa_address, threshold, parties: parties_number } = quorum?;
            Some(DanKey { eoa_address, threshold, parties_number, chain_id: session.account.chain_id })
        };
        let public = from_the_original.or_else(from_the_caller);
        let DanKey { eoa_address, threshold, parties_number, chain_id } =
            public.ok_or_else(|| OriginalError::NoQuorum { id: session.id.clone() })?;
        let (jwt, mpc_key_id) = (HexSecret(ephemeral.clone()), key_id.clone());
        Ok(Some(Self { jwt, eoa_address, threshold, parties_number, chain_id, mpc_key_id }))
    }
}

/// A local session key, which stands under its address in lower case.
#[derive(Serialize, Deserialize)]
struct Signer {
    #[serde(rename = "pbKey", serialize_with = "checksummed")]
    address: Address,
    #[serde(rename = "pvKey")]
    private_key: HexSecret,
}

impl Signer {
    fn check(&self, address: Address) -> Result<(), OriginalError> {
        let own = SigningKey::from_slice(self.private_key.0.expose()).map(|key| {
            let point = key.verifying_key().to_sec1_point(false);
            point.as_bytes().get(1..).map(Address::from_raw_public_key)
        });
        if own.is_ok_and(|own| own == Some(address)) {
            Ok(())
        } else {
            Err(OriginalError::OtherKey { address })
        }
    }
}

/// 32 bytes, in hex with or without 0x.
struct HexSecret(Secret);

impl HexSecret {
    fn serialize_bare<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(hex::encode(self.0.expose())))
    }
}

impl Serialize for HexSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(hex::encode_prefixed(self.0.expose())))
    }
}

impl<'de> Deserialize<'de> for HexSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = hex::decode_to_array(text.as_str()).map(Zeroizing::new);
        bytes.map(|bytes| Self(Secret::from(*bytes))).map_err(|_| D::Error::custom("no 32 bytes of hex"))
    }
}

fn checksummed<S: Serializer>(address: &Address, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(address)
}
