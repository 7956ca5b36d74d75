use alloy_primitives::Address;
use serde::Deserialize;

use crate::delegation;
use crate::limits::Counter;
use crate::permissions::Permitted;
use crate::{
    ChargeId, DelegationPermissions, Forbidden, Permissions, PermissionsError, PermittedSubject, Redeemer,
    Subject, json,
};

/// What holds a key's policy on chain, with what its nodes hold it to: the permissions that are registered with a key.
///
/// Version 1 of the text is of a session key manager, to the byte what it was before there were others; version 2 names its
/// target.
///
/// ```
/// # use quorate_protocol::{PermissionsError, Target};
/// let unknown = Target::from_json(r#"{"version":3}"#);
/// assert!(matches!(unknown, Err(PermissionsError::UnknownVersion { found: 3 })));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "a key has one")]
pub enum Target {
    /// The session key manager and its modules: sessions of an account.
    SessionKeyManager(Permissions),
    /// A delegation's manager and enforcers: what a delegator has signed to the key, or to an account of it.
    Delegation(DelegationPermissions),
}

impl From<Permissions> for Target {
    fn from(permissions: Permissions) -> Self {
        Self::SessionKeyManager(permissions)
    }
}

impl From<DelegationPermissions> for Target {
    fn from(permissions: DelegationPermissions) -> Self {
        Self::Delegation(permissions)
    }
}

#[derive(Deserialize)]
struct VersionText {
    version: u32,
}

impl Target {
    /// Reads the strict JSON text of either version.
    ///
    /// # Errors
    /// [`PermissionsError`], with the place of what is wrong.
    pub fn from_json(text: &str) -> Result<Self, PermissionsError> {
        match json::read::<VersionText>(text)?.version {
            1 => Permissions::from_json(text).map(Self::SessionKeyManager),
            delegation::VERSION => DelegationPermissions::from_json(text).map(Self::Delegation),
            found => Err(PermissionsError::UnknownVersion { found }),
        }
    }

    /// The text that [`from_json`](Self::from_json) reads, which is what is registered and hashed.
    pub fn to_json(&self) -> String {
        match self {
            Self::SessionKeyManager(permissions) => permissions.to_json(),
            Self::Delegation(permissions) => permissions.to_json(),
        }
    }

    /// Whether a network takes them for a key: a client learns it here, before it asks.
    ///
    /// # Errors
    /// [`PermissionsError`], with the place of what is wrong.
    pub fn check(&self) -> Result<(), PermissionsError> {
        match self {
            Self::SessionKeyManager(permissions) => permissions.check(),
            Self::Delegation(permissions) => permissions.check(),
        }
    }

    /// Who may add keys and whose signature made this one.
    pub const fn owner(&self) -> Address {
        match self {
            Self::SessionKeyManager(permissions) => permissions.owner,
            Self::Delegation(permissions) => permissions.owner,
        }
    }

    /// The only chain.
    pub const fn chain_id(&self) -> u64 {
        match self {
            Self::SessionKeyManager(permissions) => permissions.chain_id,
            Self::Delegation(permissions) => permissions.chain_id.get(),
        }
    }

    /// What the nodes count, beside what they count for each caveat.
    pub fn counters(&self) -> Vec<Counter> {
        match self {
            Self::SessionKeyManager(permissions) => permissions.limits.counters(),
            Self::Delegation(permissions) => permissions.counters(),
        }
    }

    /// The address that a key has to have for them: that of a delegation which the key itself redeems.
    pub fn delegate(&self) -> Option<Address> {
        match self {
            Self::Delegation(permissions) if permissions.redeemer == Redeemer::Key => {
                Some(permissions.context.delegate())
            }
            Self::Delegation(_) | Self::SessionKeyManager(_) => None,
        }
    }

    /// The permissions of a session key manager, if that is the target.
    pub const fn session_key_manager(&self) -> Option<&Permissions> {
        match self {
            Self::SessionKeyManager(permissions) => Some(permissions),
            Self::Delegation(_) => None,
        }
    }

    /// Holds what is asked to be signed against the permissions: the only judgement by which a node signs.
    ///
    /// `key` is the address of the key, `now` is in seconds since 1970. What was signed before is no matter here: the amounts are
    /// held to their limits by who counts them.
    ///
    /// # Errors
    /// [`Forbidden`], by name.
    pub fn judge(&self, subject: &Subject, key: Address, now: u64) -> Result<PermittedSubject, Forbidden> {
        match (self, subject) {
            (Self::SessionKeyManager(permissions), Subject::Operation(message)) => {
                let operation = &message.operation;
                let permitted =
                    permissions.judge(operation, message.entry_point, message.chain_id, key, now)?;
                let Permitted { amounts, digest, .. } = permitted;
                let charge = ChargeId::of_operation(operation.nonce);
                Ok(PermittedSubject { digest, charge, amounts, caveats: Vec::new() })
            }
            (Self::SessionKeyManager(_), subject) => Err(Forbidden::OtherSubject {
                subject: subject.name(),
                target: "a session key manager",
                takes: "user operations of EntryPoint v0.6",
            }),
            (Self::Delegation(permissions), subject) => permissions.judge(subject, key, now),
        }
    }
}
