//! What the owner of a key has said about it, as this node holds it.
//!
//! An account's statement shows by its signature that it is the owner's, to anybody at any time. A contract was asked when the
//! statement was made, and may say something else later: each node that has asked it signs a voucher, and a node that has not
//! takes the statement with the vouchers of t others.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::B256;
use quorate_ledger::StatementHash;
use quorate_protocol::{
    NodeIndex, Owner, RecentOperation, Refusal, Says, Setup, Signed, SignedRequest, Statement,
    StatementError, StatementSet, Verified, Voucher,
};
use tokio::sync::Notify;

use super::attempts::Attempts;
use super::error::TaskError;
use super::heard::Heard;
use super::judge;
use super::member::Member;
use crate::error::reasons;
use crate::storage::{
    Added, FirstRegistration, MOST_REGISTRATIONS, MOST_REVOCATIONS, Storage, StorageError, StoredKey,
};
use crate::wire::{ShownStatement, Vouchers};

/// The statements at one node.
pub(crate) struct Statements {
    pub(crate) member: Arc<Member>,
    pub(crate) storage: Arc<Storage>,
    pub(crate) attempts: Arc<Attempts>,
    /// Vouchers by statement, until it is stored.
    unvouched: Heard<B256, Voucher>,
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

    /// All that is said, with the registration that the key was assigned with.
    pub(crate) fn all(&self) -> Vec<Says> {
        let FirstRegistration { ephemeral, until, .. } = self.first;
        std::iter::once(Says::Registers { ephemeral, until }).chain(self.set.all()).collect()
    }

    /// The keccak-256 of what the key may sign, where that was said after its birth.
    pub(crate) fn permissions(&self) -> Option<B256> {
        self.set.permissions()
    }

    /// By which two nodes see whether they have the same statements.
    pub(crate) fn digest(&self) -> B256 {
        self.set.digest()
    }
}

impl Statements {
    pub(crate) fn new(member: Arc<Member>, storage: Arc<Storage>, attempts: Arc<Attempts>) -> Self {
        Self { member, storage, attempts, unvouched: Heard::default(), changed: Notify::new() }
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
        ShownStatement { request, vouchers }: &ShownStatement,
        key: &StoredKey,
        now: u64,
    ) -> Result<Added, TaskError> {
        let claimed = match self.read(request, key)? {
            Signed::Verified(statement) => return Ok(self.store(&statement, &Vouchers::new(), now).await?.0),
            Signed::Claimed(claimed) => claimed,
        };
        let (key_id, id) = (claimed.unverified().key_id().to_owned(), claimed.unverified().id());
        let heard = self.unvouched.add(&id, self.genuine(id, vouchers));
        let added = match claimed.vouched(&heard.keys().copied().collect(), &self.member.network) {
            Ok(statement) => self.store(&statement, &heard, now).await?.0,
            Err(_) => Added::Unvouched,
        };
        self.keep_heard(&key_id, id).await?;
        Ok(added)
    }

    /// Stores a statement that this node has verified by itself, and vouches for it where a contract was asked. The operations
    /// that can no longer be recalled.
    ///
    /// # Errors
    /// One statement too many.
    pub(crate) async fn store_own(
        &self,
        statement: &Verified<Statement>,
        now: u64,
    ) -> Result<Vec<RecentOperation>, TaskError> {
        let Member { network, index, identity } = &*self.member;
        let vouchers = match statement.owner() {
            Owner::Eoa(_) => Vouchers::new(),
            Owner::Contract(_) => {
                [(*index, Voucher::sign(network.id(), *index, statement.id(), identity))].into()
            }
        };
        let (_, recent) = self.store(statement, &vouchers, now).await?;
        self.keep_heard(statement.key_id(), statement.id()).await?;
        Ok(recent)
    }

    /// A statement that is stored already, as it is shown to others.
    pub(crate) async fn stored(&self, statement: &Statement) -> Result<Option<ShownStatement>, StorageError> {
        self.storage.statement(statement.key_id(), statement.id()).await
    }

    /// Stores a statement, and ends the attempts that it forbids. Whether it is new, and the operations that can no longer
    /// be recalled.
    async fn store(
        &self,
        statement: &Verified<Statement>,
        vouchers: &Vouchers,
        now: u64,
    ) -> Result<(Added, Vec<RecentOperation>), TaskError> {
        let added = self.storage.add_statement(statement, vouchers, now).await?;
        if added == Added::TooMany {
            let reason = format!(
                "a key has at most {MOST_REGISTRATIONS} ephemeral keys, and {MOST_REVOCATIONS} of them are revoked one by one; \
                 revoke the key instead"
            );
            return Err(Refusal::Malformed { reason: reason.into() }.into());
        }
        self.changed.notify_waiters();
        Ok((added, self.end_attempts(statement).await))
    }

    /// Ends the attempts that a stored statement forbids. The operations that can no longer be recalled.
    pub(crate) async fn end_attempts(&self, statement: &Statement) -> Vec<RecentOperation> {
        match statement.key_id().parse() {
            Ok(key) => self.attempts.end(key, statement.says()).await,
            Err(_) => Vec::new(),
        }
    }

    /// Keeps the vouchers that were heard of for a statement that is stored by now. Whoever adds to what is heard and whoever
    /// stores does this afterwards, so that nothing is lost between them.
    async fn keep_heard(&self, key_id: &str, statement: B256) -> Result<(), StorageError> {
        if self.storage.statement(key_id, statement).await?.is_some() {
            let heard = self.unvouched.take(&statement);
            if !heard.is_empty() {
                self.storage.add_vouchers(key_id, statement, &heard).await?;
            }
        }
        Ok(())
    }

    /// Those that are the named node's own, for this statement.
    fn genuine(&self, statement: B256, vouchers: &Vouchers) -> Vouchers {
        let is_genuine = |node: &NodeIndex, voucher: &Voucher| {
            voucher.node == *node && voucher.is_genuine(&self.member.network, statement)
        };
        let genuine = vouchers.iter().filter(|(node, voucher)| is_genuine(node, voucher));
        genuine.map(|(node, voucher)| (*node, voucher.clone())).collect()
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
            Setup::Permit(permit) => Some(permit.key_id),
            _ => None,
        }
    }

    /// Reads a request as a statement of the key's owner, as far as the request shows it.
    pub(crate) fn read(
        &self,
        request: &SignedRequest,
        key: &StoredKey,
    ) -> Result<Signed<Statement>, Refusal> {
        request.check_len()?;
        let refused = |error| match error {
            StatementError::Authentication(error) => {
                Refusal::Unauthenticated { reason: reasons(&error).into() }
            }
            error => Refusal::Malformed { reason: reasons(&error).into() },
        };
        let signed = Statement::read(request, self.member.network.id()).map_err(refused)?;
        if signed.owner() != key.owner {
            return Err(Refusal::Owner { key_id: signed.unverified().key_id().into(), owner: key.owner });
        }
        judge::check_permit(&self.member, signed.unverified(), key)?;
        Ok(signed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_revoked_key_has_signed_counts_and_it_signs_no_more() {
        let (key_id, first, second) = ("a key", [1; 32], [2; 32]);
        let mut set = StatementSet::default();
        let registers = Says::Registers { ephemeral: second, until: 2_000 };
        set.add(key_id, registers);
        set.add(key_id, Says::Revokes { ephemeral: first });
        set.add(key_id, Says::Revokes { ephemeral: second });
        let request = B256::repeat_byte(9);
        let statements =
            KeyStatements::new(FirstRegistration { request, ephemeral: first, until: 2_000 }, set);
        for (statement, ephemeral) in [(request, first), (registers.id(key_id), second)] {
            let statement = StatementHash::new(statement);
            assert_eq!(statements.registers(statement, &ephemeral), Registration::Genuine);
            assert_eq!(statements.registers(statement, &[3; 32]), Registration::OfAnother);
            let refused = statements.check(key_id, &ephemeral, 1_000);
            assert!(matches!(refused, Err(Refusal::EphemeralKey { .. })), "{refused:?}");
        }
        let unknown = StatementHash::new(B256::ZERO);
        assert_eq!(statements.registers(unknown, &first), Registration::Unknown);
    }
}
