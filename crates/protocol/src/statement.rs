//! What an owner says about a key: who may ask for its signatures, and when that ends.
//!
//! The nodes hold the statements about a key as a set that only grows and is merged by union, so neither their order nor a
//! repetition matters. A revocation wins for good, also over a registration that comes later.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

use crate::{Authentication, AuthenticationError, Setup, SetupError, Signed, SignedRequest, Transcript};

/// A statement about a key that its owner signed.
///
/// Two statements that say the same are the same statement, whichever request brought them: its [`id`](Self::id) is made
/// of what is said alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    key_id: String,
    says: Says,
    request: SignedRequest,
}

/// What a statement says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Says {
    /// This ephemeral key may ask for signatures.
    Registers {
        /// The Ed25519 public key.
        ephemeral: [u8; 32],
        /// Until when, in seconds since 1970.
        until: u64,
    },
    /// This ephemeral key may not ask for signatures, whatever else is said.
    Revokes {
        /// The Ed25519 public key.
        ephemeral: [u8; 32],
    },
    /// The key signs nothing more.
    RevokesKey,
    /// What the key may sign.
    Permits {
        /// The keccak-256 of the permissions' text.
        permissions: B256,
    },
}

/// Why a request is no statement of a key's owner.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// Its setup.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// Who signed it.
    #[error(transparent)]
    Authentication(#[from] AuthenticationError),
    /// Another operation.
    #[error("a request for `{path}` says nothing about a key; adding, revoking and permitting do")]
    Operation {
        /// The operation's path.
        path: &'static str,
    },
    /// An ephemeral key without an end.
    #[error("the ephemeral key to be added has no expiry; claim one")]
    NoExpiry,
    /// Another network's.
    #[error("the statement is for network {found}, this is network {expected}")]
    Network {
        /// As signed.
        found: B256,
        /// As it is.
        expected: B256,
    },
}

/// What the statements about one key come to.
///
/// ```
/// # use quorate_protocol::{Says, StatementSet};
/// let mut set = StatementSet::default();
/// set.add("7e57", Says::Registers { ephemeral: [1; 32], until: 2_000 });
/// set.add("7e57", Says::Registers { ephemeral: [1; 32], until: 1_000 });
/// assert_eq!(set.until(&[1; 32]), Some(2_000), "the latest end counts");
/// set.add("7e57", Says::Revokes { ephemeral: [1; 32] });
/// set.add("7e57", Says::Registers { ephemeral: [1; 32], until: 3_000 });
/// assert_eq!(set.until(&[1; 32]), None, "revoked for good");
/// assert!(set.registration(&[1; 32]).is_some(), "it was registered once");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatementSet(BTreeMap<B256, Says>);

impl Statement {
    /// Reads a request as a statement, and checks its signature as far as that can be done here. Whether its signer is the
    /// key's owner, the caller must compare.
    ///
    /// # Errors
    /// A request of another kind, for another network, or whose signature is not its sender's.
    pub fn read(request: &SignedRequest, network: B256) -> Result<Signed<Self>, StatementError> {
        let setup = Setup::parse(request.operation, &request.setup)?;
        let (key_id, says) = match &setup {
            Setup::AddEphemeralKey(add) => {
                let until = add.ephemeral.expiry.ok_or(StatementError::NoExpiry)?;
                (&add.key_id, Says::Registers { ephemeral: add.ephemeral.key.to_bytes(), until })
            }
            Setup::Revoke(revoke) if revoke.network != network => {
                return Err(StatementError::Network { found: revoke.network, expected: network });
            }
            Setup::Revoke(revoke) => (&revoke.key_id, revoke.says()),
            Setup::Permit(permit) if permit.network != network => {
                return Err(StatementError::Network { found: permit.network, expected: network });
            }
            Setup::Permit(permit) => {
                (&permit.key_id, Says::Permits { permissions: permit.permissions_hash() })
            }
            _ => return Err(StatementError::Operation { path: request.operation.path() }),
        };
        let typed_data = setup.typed_data(&request.challenge());
        let typed_data = typed_data.ok_or(StatementError::Operation { path: request.operation.path() })?;
        let signed = Authentication::parse(&request.authentication)?.verify_owner(&typed_data)?;
        Ok(signed.map(|()| Self { key_id: key_id.clone(), says, request: request.clone() }))
    }

    /// The key that it is about.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// What it says.
    pub const fn says(&self) -> Says {
        self.says
    }

    /// The request that shows it.
    pub const fn request(&self) -> &SignedRequest {
        &self.request
    }

    /// What identifies it.
    pub fn id(&self) -> B256 {
        self.says.id(&self.key_id)
    }
}

impl Says {
    /// The id of a statement about a key that says this.
    pub fn id(&self, key_id: &str) -> B256 {
        let transcript = Transcript::new("statement").field(key_id.as_bytes());
        match self {
            Self::Registers { ephemeral, until } => transcript.number(1).field(ephemeral).number(*until),
            Self::Revokes { ephemeral } => transcript.number(2).field(ephemeral),
            Self::RevokesKey => transcript.number(3),
            Self::Permits { permissions } => transcript.number(4).field(permissions.as_slice()),
        }
        .finish()
    }
}

impl StatementSet {
    /// Adds a statement about the set's key; whether it is new.
    pub fn add(&mut self, key_id: &str, says: Says) -> bool {
        self.0.insert(says.id(key_id), says).is_none()
    }

    /// What all statements say.
    pub fn all(&self) -> impl Iterator<Item = Says> {
        self.0.values().copied()
    }

    /// What a statement of the set says.
    pub fn get(&self, id: &B256) -> Option<Says> {
        self.0.get(id).copied()
    }

    /// Until when an ephemeral key may ask for signatures, in seconds since 1970; none if it may not.
    pub fn until(&self, ephemeral: &[u8; 32]) -> Option<u64> {
        if self.is_key_revoked() || self.is_revoked(ephemeral) {
            return None;
        }
        self.registrations(ephemeral).map(|(_, until)| until).max()
    }

    /// The statement that an ephemeral key was ever registered by: the one with the latest end.
    pub fn registration(&self, ephemeral: &[u8; 32]) -> Option<B256> {
        self.registrations(ephemeral).max_by_key(|(_, until)| *until).map(|(id, _)| id)
    }

    /// Whether an ephemeral key is revoked.
    pub fn is_revoked(&self, ephemeral: &[u8; 32]) -> bool {
        self.0
            .values()
            .any(|says| matches!(says, Says::Revokes { ephemeral: revoked } if revoked == ephemeral))
    }

    /// The keccak-256 of what the key may sign, where that was said after its birth.
    ///
    /// Nodes take one statement of it for a key. Where an owner has said two things at once to different nodes, all come to hold the
    /// same of them.
    pub fn permissions(&self) -> Option<B256> {
        self.all()
            .filter_map(|says| match says {
                Says::Permits { permissions } => Some(permissions),
                _ => None,
            })
            .min()
    }

    /// Whether the key is revoked.
    pub fn is_key_revoked(&self) -> bool {
        self.0.values().any(|says| matches!(says, Says::RevokesKey))
    }

    /// The digest by which two nodes see whether they have the same set.
    pub fn digest(&self) -> B256 {
        let transcript = Transcript::new("statements").number(self.0.len() as u64);
        self.0.keys().fold(transcript, |transcript, id| transcript.field(id.as_slice())).finish()
    }

    fn registrations(&self, ephemeral: &[u8; 32]) -> impl Iterator<Item = (B256, u64)> {
        self.0.iter().filter_map(move |(id, says)| match says {
            Says::Registers { ephemeral: registered, until } if registered == ephemeral => {
                Some((*id, *until))
            }
            _ => None,
        })
    }
}
