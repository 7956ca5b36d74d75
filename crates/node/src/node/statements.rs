//! What the owner of a key has said about it, as this node holds it.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::B256;
use quorate_ledger::StatementHash;
use quorate_protocol::{
    RecentOperation, Refusal, Says, Setup, SignedRequest, Statement, StatementError, StatementSet,
};
use tokio::sync::Notify;

use super::attempts::Attempts;
use super::error::TaskError;
use super::member::Member;
use crate::error::reasons;
use crate::storage::{
    Added, FirstRegistration, MOST_REGISTRATIONS, MOST_REVOCATIONS, Storage, StorageError, StoredKey,
};

/// The statements at one node.
pub(crate) struct Statements {
    pub(crate) member: Arc<Member>,
    pub(crate) storage: Arc<Storage>,
    pub(crate) attempts: Arc<Attempts>,
    /// Told of each new statement.
    changed: Notify,
}

/// What is said about one key.
#[derive(Clone, Debug)]
pub(crate) struct KeyStatements {
    first: FirstRegistration,
    set: StatementSet,
}

/// Whether a statement registers an ephemeral key, as far as a node knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Registration {
    Genuine,
    OfAnother,
    Unknown,
}

impl KeyStatements {
    pub(crate) const fn new(first: FirstRegistration, set: StatementSet) -> Self {
        Self { first, set }
    }

    /// Until when an ephemeral key may ask for signatures, in seconds since 1970; none if it may not.
    pub(crate) fn until(&self, ephemeral: &[u8; 32]) -> Option<u64> {
        if self.set.is_key_revoked() || self.set.is_revoked(ephemeral) {
            return None;
        }
        let first = (self.first.ephemeral == *ephemeral).then_some(self.first.until);
        first.max(self.set.until(ephemeral))
    }

    /// The statement that registered an ephemeral key, revoked or not.
    pub(crate) fn registration(&self, ephemeral: &[u8; 32]) -> Option<StatementHash> {
        let first = (self.first.ephemeral == *ephemeral).then_some(self.first.request);
        first.or_else(|| self.set.registration(ephemeral)).map(StatementHash::new)
    }

    /// Whether the statement of this hash registers an ephemeral key, revoked or not.
    pub(crate) fn registers(&self, statement: StatementHash, ephemeral: &[u8; 32]) -> Registration {
        let registered = if statement.get() == self.first.request {
            Some(self.first.ephemeral)
        } else {
            match self.set.get(&statement.get()) {
                None => return Registration::Unknown,
                Some(Says::Registers { ephemeral, .. }) => Some(ephemeral),
                Some(_) => None,
            }
        };
        if registered.as_ref() == Some(ephemeral) { Registration::Genuine } else { Registration::OfAnother }
    }

    /// Refuses unless an ephemeral key may ask for a key's signatures now.
    pub(crate) fn check(&self, key_id: &str, ephemeral: &[u8; 32], now: u64) -> Result<(), Refusal> {
        if self.set.is_key_revoked() {
            return Err(Refusal::Revoked { key_id: key_id.into() });
        }
        match self.until(ephemeral) {
            Some(until) if until > now => Ok(()),
            _ => Err(Refusal::EphemeralKey { key_id: key_id.into() }),
        }
    }

    /// By which two nodes see whether they have the same statements.
    pub(crate) fn digest(&self) -> B256 {
        self.set.digest()
    }
}

impl Statements {
    pub(crate) fn new(member: Arc<Member>, storage: Arc<Storage>, attempts: Arc<Attempts>) -> Self {
        Self { member, storage, attempts, changed: Notify::new() }
    }

    /// What is said about a key.
    pub(crate) async fn of(&self, key_id: &str, key: &StoredKey) -> Result<KeyStatements, StorageError> {
        Ok(KeyStatements::new(key.registration, self.storage.statement_set(key_id).await?))
    }

    /// Takes in what somebody says is a statement of the key's owner. Whether it is new.
    ///
    /// # Errors
    /// A request that is none, or one statement too many.
    pub(crate) async fn learn(
        &self,
        request: &SignedRequest,
        key: &StoredKey,
        now: u64,
    ) -> Result<Added, TaskError> {
        let statement = self.read(request, key)?;
        Ok(self.store(&statement, now).await?.0)
    }

    /// Stores a statement, and ends the attempts that it forbids. Whether it is new, and the operations that can no longer
    /// be recalled.
    ///
    /// # Errors
    /// One statement too many.
    pub(crate) async fn store(
        &self,
        statement: &Statement,
        now: u64,
    ) -> Result<(Added, Vec<RecentOperation>), TaskError> {
        let added = self.storage.add_statement(statement, now).await?;
        if added == Added::TooMany {
            let reason = format!(
                "a key has at most {MOST_REGISTRATIONS} ephemeral keys, and {MOST_REVOCATIONS} of them are revoked one by one; \
                 revoke the key instead"
            );
            return Err(Refusal::Malformed { reason: reason.into() }.into());
        }
        self.changed.notify_waiters();
        let recent = match statement.key_id().parse() {
            Ok(key) => self.attempts.end(key, statement.says()).await,
            Err(_) => Vec::new(),
        };
        Ok((added, recent))
    }

    /// Waits for the next new statement, of whatever key, for as long as this.
    pub(crate) async fn wait(&self, time: Duration) {
        let _ = tokio::time::timeout(time, self.changed.notified()).await;
    }

    /// The key that a request says something about, if it is of a kind that does; nothing is checked.
    pub(crate) fn key_id_of(&self, request: &SignedRequest) -> Option<String> {
        match Setup::parse(request.operation, &request.setup).ok()? {
            Setup::AddEphemeralKey(add) => Some(add.key_id),
            Setup::Revoke(revoke) => Some(revoke.key_id),
            _ => None,
        }
    }

    /// Reads a request as a statement of the key's owner.
    pub(crate) fn read(&self, request: &SignedRequest, key: &StoredKey) -> Result<Statement, Refusal> {
        request.check_len()?;
        let refused = |error| match error {
            StatementError::Authentication(error) => {
                Refusal::Unauthenticated { reason: reasons(&error).into() }
            }
            error => Refusal::Malformed { reason: reasons(&error).into() },
        };
        let (statement, signer) = Statement::read(request, self.member.network.id()).map_err(refused)?;
        if signer != key.owner {
            return Err(Refusal::Owner { key_id: statement.key_id().into(), owner: key.owner });
        }
        Ok(statement)
    }
}
