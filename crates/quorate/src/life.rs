//! Where an account's sessions stand, and how one is taken up again.

use std::collections::HashSet;
use std::sync::Arc;

use alloy_primitives::{Address, B256};
use alloy_signer::Signer;
use quorate_bundler::UserOperationReceipt;
use quorate_core::Call;
use quorate_signer::SessionSigner;
use quorate_store::{Session as StoredSession, SessionId, Status, StoreError};

use crate::change::{Plan, has_expired, leaves_of};
use crate::client::now;
use crate::grant::{for_key, until};
use crate::judgement::allowing;
use crate::{Error, GrantDraft, PendingGrant, Session, SessionRecord, SmartAccount, StorableKey};

/// A session of an account, as the store and the chain know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedSession {
    /// Its id in the store.
    pub id: SessionId,
    /// Where it stands.
    pub status: Status,
    /// What it is.
    pub record: SessionRecord,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// The user operation that grants it, where it is known.
    pub user_op_hash: Option<B256>,
}

/// Which session is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The one at this place of [`SmartAccount::sessions`]; 0 is the first.
    Index(usize),
    /// The one with this id.
    Id(SessionId),
    /// The active one that was granted last.
    LastActive,
}

impl From<usize> for Choice {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

impl From<SessionId> for Choice {
    fn from(id: SessionId) -> Self {
        Self::Id(id)
    }
}

impl From<&SessionId> for Choice {
    fn from(id: &SessionId) -> Self {
        Self::Id(id.clone())
    }
}

/// What the chain says of an account's sessions at one moment.
struct Sighting {
    /// The leaves of the tree that has the asked confirmations, and of the latest; none where they are not known.
    settled: Option<HashSet<B256>>,
    latest: Option<HashSet<B256>>,
}

impl SmartAccount {
    /// All sessions of the account that the store knows, in the order in which they were made, each with where it
    /// stands now: by the clock, by the root on chain with the client's confirmations, and by the grant's receipt where
    /// the root does not say it. The store learns it too.
    ///
    /// # Errors
    /// What the store, a node or the bundler says.
    pub async fn sessions(&self) -> Result<Vec<ListedSession>, Error> {
        let stored = self.client.store.sessions(self.id()).await?;
        if stored.is_empty() {
            return Ok(Vec::new());
        }
        let sighting = self.look().await?;
        let tree = self.latest_tree().await?;
        let mut listed = Vec::with_capacity(stored.len());
        for session in stored {
            let status = self.status_of(&session, &sighting).await?;
            let status =
                if status == session.status { status } else { self.set_status(&session.id, status).await? };
            listed.push(ListedSession {
                status,
                record: SessionRecord::from_stored(&session, tree.clone()),
                id: session.id,
                created: session.created,
                user_op_hash: session.user_op_hash,
            });
        }
        Ok(listed)
    }

    /// Takes up a stored session with its stored key.
    ///
    /// # Errors
    /// [`Error::NoSuchSession`], [`StoreError::UnknownSession`]; [`Error::NoNetwork`] where a signing network holds the
    /// key and the client has none, [`Error::KeyElsewhere`] where the key is in no store.
    pub async fn session(&self, choice: impl Into<Choice>) -> Result<Session, Error> {
        let session = self.choose(choice.into()).await?;
        let key = self.client.store.key(self.id(), &session.id).await?;
        let signer = crate::key::signer(&session, key, self.client.network.as_ref())?;
        self.open(&session, signer).await
    }

    /// Takes up a stored session whose key is elsewhere.
    ///
    /// # Errors
    /// As [`session`](Self::session); [`Error::OtherKey`] for another key's signer.
    pub async fn session_with(
        &self,
        choice: impl Into<Choice>,
        signer: Arc<dyn SessionSigner>,
    ) -> Result<Session, Error> {
        let session = self.choose(choice.into()).await?;
        if signer.address() != session.session_key {
            return Err(Error::OtherKey { session: session.id, address: session.session_key });
        }
        self.open(&session, signer).await
    }

    /// Takes up the first active session that allows all of these calls, with its stored key.
    ///
    /// # Errors
    /// [`Error::NoSessionAllows`], with what the nearest found; and as [`session`](Self::session).
    pub async fn session_allowing(&self, calls: &[Call<'_>]) -> Result<Session, Error> {
        let (now, deployment) = (now().as_secs(), self.client.deployment());
        let listed = self.sessions().await?;
        let active = listed.into_iter().filter(|session| session.status == Status::Active);
        let chosen = allowing(active, |session| {
            let judge = |call: &Call<'_>| {
                allowing(&session.record.policies, |policy| policy.judge(deployment, *call, now))
                    .map(drop)
                    .map_err(|refusal| {
                        refusal.unwrap_or(crate::CallRefusal::UnknownModule { module: Address::ZERO })
                    })
            };
            calls.iter().try_for_each(judge)
        });
        match chosen {
            Ok(session) => self.session(session.id).await,
            Err(refusal) => Err(Error::NoSessionAllows { refusal }),
        }
    }

    /// Gives a session another key: the same policies under a new id, and the old one ends in the same operation.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare) and [`submit`](Self::submit), and the signer's own.
    pub async fn replace_key<S: Signer + Sync + ?Sized>(
        &self,
        session: &SessionId,
        key: &dyn StorableKey,
        owner: &S,
    ) -> Result<PendingGrant, Error> {
        let draft = self.prepare_key_replacement(session, key).await?;
        self.sign_and_submit(draft, owner).await
    }

    /// Builds the operation that gives a session another key, for an owner who signs elsewhere.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    pub async fn prepare_key_replacement(
        &self,
        session: &SessionId,
        key: &dyn StorableKey,
    ) -> Result<GrantDraft, Error> {
        let stored = self.client.store.session(self.id(), session).await?;
        let policies = SessionRecord::from_stored(&stored, Vec::new()).policies;
        let module = self.client.deployment().erc20_session_validation_module;
        let policies = for_key(policies, module, key.address());
        let plan = Plan { ended: vec![session.clone()], ..Plan::default() };
        self.prepare_session(policies, None, plan, false, key.address(), key.to_stored()).await
    }

    /// Lets a session be valid until another time, in seconds since 1970 (0 for no end), with the key that it has: the
    /// same policies under a new id, and the old one ends in the same operation.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare) and [`submit`](Self::submit), and the signer's own.
    pub async fn extend<S: Signer + Sync + ?Sized>(
        &self,
        session: &SessionId,
        valid_until: u64,
        owner: &S,
    ) -> Result<PendingGrant, Error> {
        let draft = self.prepare_extension(session, valid_until).await?;
        self.sign_and_submit(draft, owner).await
    }

    /// Builds the operation that lets a session be valid until another time, for an owner who signs elsewhere.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    pub async fn prepare_extension(
        &self,
        session: &SessionId,
        valid_until: u64,
    ) -> Result<GrantDraft, Error> {
        let stored = self.client.store.session(self.id(), session).await?;
        let key = self.client.store.key(self.id(), session).await?;
        let policies = until(SessionRecord::from_stored(&stored, Vec::new()).policies, valid_until)?;
        let plan = Plan { ended: vec![session.clone()], ..Plan::default() };
        self.prepare_session(policies, None, plan, false, stored.session_key, key).await
    }

    /// Removes a session that is not under the account's root, and its key, from the store.
    ///
    /// # Errors
    /// [`StoreError::InTree`] for a session that has to be revoked first.
    pub async fn forget(&self, session: &SessionId) -> Result<(), Error> {
        self.sessions().await?;
        Ok(self.client.store.remove(self.id(), session).await?)
    }

    async fn choose(&self, choice: Choice) -> Result<StoredSession, Error> {
        let id = match choice {
            Choice::Id(id) => id,
            Choice::Index(index) => {
                let mut sessions = self.client.store.sessions(self.id()).await?;
                if index >= sessions.len() {
                    return Err(Error::NoSuchSession { index, len: sessions.len() });
                }
                return Ok(sessions.swap_remove(index));
            }
            Choice::LastActive => {
                let listed = self.sessions().await?;
                let last = listed.into_iter().rfind(|session| session.status == Status::Active);
                last.ok_or(Error::NoSessionAllows { refusal: None })?.id
            }
        };
        Ok(self.client.store.session(self.id(), &id).await?)
    }

    async fn open(&self, session: &StoredSession, signer: Arc<dyn SessionSigner>) -> Result<Session, Error> {
        let record = SessionRecord::from_stored(session, self.latest_tree().await?);
        Ok(self.client.session(record, signer))
    }

    /// The leaves of the newest tree that the store remembers.
    async fn latest_tree(&self) -> Result<Vec<B256>, Error> {
        let mut trees = self.client.store.trees(self.id()).await?;
        Ok(trees.pop().map(|tree| tree.leaves).unwrap_or_default())
    }

    async fn look(&self) -> Result<Sighting, Error> {
        let chain = &self.client.chain;
        let block = chain.block_number().await?;
        let settled_block = block.saturating_sub(self.client.confirmations);
        let latest = chain.session_root_at(self.address, Some(block)).await?;
        let settled = if settled_block == block {
            latest
        } else {
            match chain.session_root_at(self.address, Some(settled_block)).await {
                // The contract is there now, and was not then.
                Err(Error::Contract { .. }) => B256::ZERO,
                root => root?,
            }
        };
        let trees = self.client.store.trees(self.id()).await?;
        let leaves = |root: B256| {
            let known = trees.iter().find(|tree| tree.root() == root);
            match known {
                Some(tree) => Some(tree.leaves.iter().copied().collect()),
                None => (root == B256::ZERO).then(HashSet::new),
            }
        };
        Ok(Sighting { settled: leaves(settled), latest: leaves(latest) })
    }

    async fn status_of(&self, session: &StoredSession, sighting: &Sighting) -> Result<Status, Error> {
        let holds = |tree: &Option<HashSet<B256>>| {
            tree.as_ref().is_some_and(|leaves| leaves_of(session).all(|leaf| leaves.contains(&leaf)))
        };
        if holds(&sighting.settled) {
            let expired = has_expired(session, now().as_secs());
            // What ends later than it should is the time, and nothing brings it back.
            return Ok(if expired { Status::Expired } else { Status::Active });
        }
        if holds(&sighting.latest) {
            return Ok(Status::Pending);
        }
        if matches!(session.status, Status::Revoked | Status::Inactive) {
            return Ok(session.status);
        }
        let replaced = match session.status {
            Status::Active | Status::Expired if sighting.latest.is_some() => Status::Revoked,
            _ => Status::Inactive,
        };
        let Some(user_op_hash) = session.user_op_hash else { return Ok(replaced) };
        Ok(match self.mined(user_op_hash).await? {
            None => Status::Pending,
            Some(receipt) if receipt.success => replaced,
            Some(_) => Status::Inactive,
        })
    }

    /// The receipt of an operation that is in a block which the node knows. The bundler may be ahead of it, or remember
    /// a block that was taken back.
    pub(crate) async fn mined(&self, user_op_hash: B256) -> Result<Option<UserOperationReceipt>, Error> {
        let Some(receipt) = self.client.bundler.user_operation_receipt(user_op_hash).await? else {
            return Ok(None);
        };
        let known = self.client.chain.is_mined(receipt.receipt.transaction_hash).await?;
        Ok(known.then_some(receipt))
    }

    /// Tells the store where a session stands, by way of active where the two ends do not meet. What another process
    /// has said in the meantime counts.
    pub(crate) async fn set_status(&self, id: &SessionId, status: Status) -> Result<Status, Error> {
        let (store, account) = (&self.client.store, self.id());
        let stored = store.session(account, id).await?.status;
        let steps = if stored.may_become(status) { vec![status] } else { vec![Status::Active, status] };
        for step in steps {
            match store.set_status(account, id, step).await {
                Ok(()) => {}
                Err(StoreError::Transition { from, .. }) => return Ok(from),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(status)
    }
}
