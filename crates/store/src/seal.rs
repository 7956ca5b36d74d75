//! Encryption of what the database holds.

use alloy_primitives::B256;
use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

use crate::{AccountId, DelegatedKey, Key, Passphrase, Secret, Session};

/// What encrypts a store's secrets, each bound to everything about it that never changes.
#[derive(Debug)]
pub(crate) struct Seal(quorate_seal::Seal);

impl Seal {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(quorate_seal::Seal::new(key))
    }

    /// Encrypts the key under which a store seals its sessions.
    pub(crate) fn seal_store_key(&self, key: &Secret) -> Result<Vec<u8>, getrandom::Error> {
        self.0.seal(STORE_KEY, key.expose())
    }

    pub(crate) fn open_store_key(&self, sealed: &[u8]) -> Option<Secret> {
        Secret::from_slice(&self.0.open(STORE_KEY, sealed)?)
    }

    /// Encrypts a session's key, and binds it to everything about the session that never changes.
    pub(crate) fn seal_key(&self, session: &Session, key: &Key) -> Result<Vec<u8>, getrandom::Error> {
        self.0.seal(&context(session), &key.to_bytes())
    }

    /// Decrypts a session's key; none where anything about the session was altered.
    pub(crate) fn open_key(&self, session: &Session, sealed: &[u8]) -> Option<Key> {
        Key::from_bytes(&self.0.open(&context(session), sealed)?, session.key_id.clone())
    }

    /// Encrypts a key to which an account delegates, and binds it to what it may sign.
    pub(crate) fn seal_delegated_key(
        &self,
        delegator: AccountId,
        key: &DelegatedKey,
        secret: &Key,
    ) -> Result<Vec<u8>, getrandom::Error> {
        self.0.seal(&context_of_key(delegator, key), &secret.to_bytes())
    }

    /// Decrypts one; none where anything about it was altered.
    pub(crate) fn open_delegated_key(
        &self,
        delegator: AccountId,
        key: &DelegatedKey,
        sealed: &[u8],
    ) -> Option<Key> {
        Key::from_bytes(&self.0.open(&context_of_key(delegator, key), sealed)?, Some(key.key_id.clone()))
    }
}

const STORE_KEY: &[u8] = b"quorate store key";

/// Everything about a session but whether it was seen on chain, in a form that is the same for no other session.
fn context(session: &Session) -> Vec<u8> {
    let Session { id, account, session_key, key_id, leaves, created, user_op_hash, landed: _ } = session;
    let mut context = Vec::with_capacity(512);
    context.extend_from_slice(b"quorate session");
    context.extend(account.chain_id.to_be_bytes());
    context.extend_from_slice(account.address.as_slice());
    context.extend_from_slice(session_key.as_slice());
    context.extend(created.to_be_bytes());
    optional(&mut context, user_op_hash.as_ref().map(B256::as_slice));
    optional(&mut context, key_id.as_deref().map(str::as_bytes));
    field(&mut context, id.as_str().as_bytes());
    // Where the first version had a text that was always empty.
    field(&mut context, &[]);
    for leaf in leaves {
        context.extend_from_slice(leaf.hash().as_slice());
    }
    context
}

/// Everything about a key to which an account delegates.
fn context_of_key(delegator: AccountId, key: &DelegatedKey) -> Vec<u8> {
    let DelegatedKey { address, key_id, permissions, created } = key;
    let mut context = b"quorate delegated key".to_vec();
    context.extend(delegator.chain_id.to_be_bytes());
    context.extend_from_slice(delegator.address.as_slice());
    context.extend_from_slice(address.as_slice());
    context.extend(created.to_be_bytes());
    field(&mut context, key_id.as_bytes());
    field(&mut context, permissions.as_bytes());
    context
}

fn optional(context: &mut Vec<u8>, bytes: Option<&[u8]>) {
    context.push(bytes.is_some().into());
    field(context, bytes.unwrap_or_default());
}

fn field(context: &mut Vec<u8>, bytes: &[u8]) {
    context.extend((bytes.len() as u64).to_be_bytes());
    context.extend_from_slice(bytes);
}

/// How a passphrase becomes a key: Argon2id with this salt and cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretching {
    pub(crate) salt: [u8; 16],
    /// KiB.
    pub(crate) memory: u32,
    pub(crate) passes: u32,
    pub(crate) lanes: u32,
}

impl Stretching {
    /// A fresh salt, and the cost that RFC 9106 (section 4) recommends second: 64 MiB, 3 passes, 4 lanes.
    pub(crate) fn random() -> Result<Self, getrandom::Error> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt)?;
        Ok(Self { salt, memory: 64 * 1024, passes: 3, lanes: 4 })
    }

    /// Takes a tenth of a second, and the memory.
    pub(crate) fn stretch(&self, passphrase: &Passphrase) -> Result<Secret, StretchError> {
        let Self { salt, memory, passes, lanes } = *self;
        if memory > MOST_MEMORY || passes > MOST_PASSES || lanes > MOST_PASSES {
            return Err(StretchError::Absurd { memory, passes, lanes });
        }
        let cost = Params::new(memory, passes, lanes, None)?;
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, cost).hash_password_into(
            passphrase.as_bytes(),
            &salt,
            key.as_mut_slice(),
        )?;
        Ok(Secret::from(*key))
    }
}

/// A gibibyte, in KiB.
const MOST_MEMORY: u32 = 1024 * 1024;
const MOST_PASSES: u32 = 16;

/// Why a passphrase does not become a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StretchError {
    /// A stored cost that no store writes; whoever did wants the machine busy.
    #[error(
        "the stored cost is {memory} KiB, {passes} passes and {lanes} lanes; at most {MOST_MEMORY} KiB and \
         {MOST_PASSES} of both are taken"
    )]
    Absurd {
        /// The memory, in KiB.
        memory: u32,
        /// The passes over it.
        passes: u32,
        /// The lanes.
        lanes: u32,
    },
    /// Too little of anything, or of memory.
    #[error(transparent)]
    Argon2(#[from] argon2::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_that_are_none_are_refused() {
        let passphrase = Passphrase::new("correct horse").unwrap();
        let cheap = Stretching { salt: [0; 16], memory: 64, passes: 1, lanes: 1 };
        assert!(cheap.stretch(&passphrase).is_ok());
        for absurd in [
            Stretching { memory: 7, ..cheap },
            Stretching { memory: u32::MAX, ..cheap },
            Stretching { passes: 0, ..cheap },
            Stretching { passes: 17, ..cheap },
            Stretching { lanes: 0, ..cheap },
            Stretching { lanes: 17, memory: 1024, ..cheap },
        ] {
            assert!(absurd.stretch(&passphrase).is_err(), "{absurd:?}");
        }
    }
}
