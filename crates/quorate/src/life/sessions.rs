//! The sessions of an account: listed with where each stands, taken up again, and forgotten.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use alloy_primitives::{Address, B256};
use alloy_signer::Signer;
use quorate_signer::SessionSigner;
use quorate_store::{Answer, Change, Operation, Session as StoredSession, SessionId};

use crate::draft::SignedOperation;
use crate::grant::{SessionGrant, for_key, until};
use crate::life::facts::{Facts, Query};
use crate::life::plan::UpdateRequest;
use crate::life::settle::{self, Fate};
use crate::life::status::{Status, TreesOnChain, status};
use crate::preflight::{policy_for, preflight};
use crate::{Call, Draft, Error, PendingGrant, Session, SessionRecord, SmartAccount, StorableKey};

/// A session of an account, as the store and the chain know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedSession {
    /// Where it stands.
    pub status: Status,
    /// What it is.
    pub record: SessionRecord,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// The newest user operation that grants it, where it is known.
    pub user_op_hash: Option<B256>,
}

impl ListedSession {
    /// Its id in the store.
    pub const fn id(&self) -> &SessionId {
        self.record.id()
    }
}

/// Which session is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Of those that can be used, the one at this place, in the order in which they were made; 0 is the first.
    Index(usize),
    /// The one with this id, wherever it stands.
    Id(SessionId),
    /// Of those that can be used, the one that was made last.
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

/// Everything that the store knows of an account, and what the chain says of it at one block.
#[derive(Debug)]
pub(crate) struct Overview {
    pub(crate) facts: Facts,
    pub(crate) sessions: Vec<StoredSession>,
    pub(crate) operations: Vec<(Operation, SignedOperation, Fate)>,
    /// The operations of which it is news that they are over.
    pub(crate) newly_over: Vec<B256>,
    trees: TreesOnChain,
}

impl SmartAccount {
    /// All sessions of the account that the store knows, in the order in which they were made, each with where it
    /// stands by its leaves under the root on chain, with the client's confirmations, and by the block's timestamp.
    ///
    /// # Errors
    /// What the store or a node says. No bundler is asked.
    pub async fn sessions(&self) -> Result<Vec<ListedSession>, Error> {
        let overview = self.overview().await?;
        let statuses = overview.statuses();
        let newest = |session: &StoredSession| {
            let own =
                overview.operations.iter().rfind(|(operation, ..)| overview.grants(operation, &session.id));
            own.map(|(operation, ..)| operation.user_op_hash).or(session.user_op_hash)
        };
        let hashes: Vec<_> = overview.sessions.iter().map(newest).collect();
        let listed = overview.sessions.into_iter().zip(statuses).zip(hashes);
        Ok(listed
            .map(|((session, status), user_op_hash)| ListedSession {
                status,
                created: session.created,
                user_op_hash,
                record: session.into(),
            })
            .collect())
    }

    /// Reads store and chain, and tells the store in one step what the chain has decided.
    pub(crate) async fn overview(&self) -> Result<Overview, Error> {
        let (client, store) = (&self.client, &self.client.store);
        let (sessions, operations, roots) =
            tokio::try_join!(store.sessions(self.id()), store.operations(self.id()), store.roots(self.id()))?;
        let facts = client.facts(self.address, &Query::of_operations(&operations)).await?;
        let (latest, settled) =
            tokio::try_join!(client.tree(self.id(), facts.root), client.tree(self.id(), facts.settled_root))?;
        let set = |tree: &Option<Arc<quorate_core::merkle::Tree>>| {
            tree.as_ref().map(|tree| tree.leaves().iter().copied().collect::<HashSet<B256>>())
        };
        let trees = TreesOnChain { latest: set(&latest), settled: set(&settled), now: facts.block.timestamp };
        let read = |operation: Operation| {
            let signed = SignedOperation::read(&operation.message, operation.user_op_hash)?;
            let fate = settle::fate(&operation, &signed, &facts);
            Ok((operation, signed, fate))
        };
        let operations = operations.into_iter().map(read).collect::<Result<Vec<_>, Error>>()?;
        let root_is_known = latest.is_some();
        let news = operations
            .iter()
            .filter(|(operation, _, fate)| fate.is_over() && operation.closed_at_block.is_none());
        let newly_over = news.map(|(operation, ..)| operation.user_op_hash).collect();
        let mut overview = Overview { facts, sessions, operations, newly_over, trees };

        let mut changes = self.newly_landed(&overview).await?;
        let confirmations = client.confirmations;
        changes.extend(overview.operations.iter().filter_map(|(operation, _, fate)| {
            settle::close(operation, *fate, &overview.facts, root_is_known, confirmations)
        }));
        overview.apply(&changes);
        let operations: Vec<Operation> =
            overview.operations.iter().map(|(operation, ..)| operation.clone()).collect();
        client.shared.forget_seen_but(&operations.iter().map(|operation| operation.user_op_hash).collect());
        changes.extend(settle::forgotten_trees(&roots, &operations, &overview.facts, root_is_known));
        if !changes.is_empty() {
            store.apply(self.id(), changes).await?;
        }
        Ok(overview)
    }

    /// The sessions of which it is news that they were on chain: their leaves are there; or their grant is over, they
    /// are not there, and the grant's event is found.
    async fn newly_landed(&self, overview: &Overview) -> Result<Vec<Change>, Error> {
        let mut changes = Vec::new();
        for session in &overview.sessions {
            let is_in = |leaves: &Option<HashSet<B256>>| {
                let live = |leaf: &quorate_core::Leaf, leaves: &HashSet<B256>| leaves.contains(&leaf.hash());
                leaves.as_ref().is_some_and(|leaves| session.leaves.iter().any(|leaf| live(leaf, leaves)))
            };
            let number = overview.facts.block.number;
            let landed = |block| Change::SetLanded { session: session.id.clone(), block };
            let mut grants =
                overview.operations.iter().filter(|(operation, ..)| overview.grants(operation, &session.id));
            match session.landed {
                None if is_in(&overview.trees.settled) => changes.push(landed(Some(number))),
                None if overview.trees.latest.is_some() && !is_in(&overview.trees.latest) => {
                    // Once for each: it is closed in the same step.
                    let news = grants.find(|(operation, _, fate)| {
                        *fate == Fate::Consumed && operation.closed_at_block.is_none()
                    });
                    if let Some((operation, ..)) = news
                        && let Some(block) = self.block_of(operation, number).await?
                    {
                        changes.push(landed(Some(block)));
                    }
                }
                // Its block was taken back.
                Some(_)
                    if grants.any(|(operation, _, fate)| {
                        !fate.is_over() && operation.closed_at_block.is_some()
                    }) =>
                {
                    changes.push(landed(None));
                }
                _ => {}
            }
        }
        Ok(changes)
    }

    /// The block in which an operation executed; none where it did not, or where the node does not look so far back.
    async fn block_of(&self, operation: &Operation, latest: u64) -> Result<Option<u64>, Error> {
        let hash = operation.user_op_hash;
        let from = operation.signed_at_block;
        let events = self.client.chain.logs().events_in(self.address, Some(hash), from, latest).await?;
        let executed = events.into_iter().flatten().find(|event| event.success);
        Ok(executed.map(|event| event.block))
    }

    /// Takes up a stored session with its stored key.
    ///
    /// # Errors
    /// [`Error::NoSuchSession`], [`StoreError::UnknownSession`](quorate_store::StoreError::UnknownSession);
    /// [`Error::NoNetwork`] where a signing network holds the key and the client has none, [`Error::ExternalKey`] where
    /// the key is in no store.
    pub async fn session(&self, choice: impl Into<Choice>) -> Result<Session, Error> {
        let session = self.choose(choice.into()).await?;
        let key = self.client.store.key(self.id(), &session.id).await?;
        let signer = crate::key::signer(&session, key, &self.client)?;
        self.open(session, signer)
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
        self.open(session, signer)
    }

    fn open(&self, session: StoredSession, signer: Arc<dyn SessionSigner>) -> Result<Session, Error> {
        Ok(self.client.session(session, signer)?.with_options(self.options.for_sessions()))
    }

    /// Takes up the first usable session that allows all of these calls, with its stored key.
    ///
    /// # Errors
    /// [`Error::NoSessionAllows`], with what the nearest found; and as [`session`](Self::session).
    pub async fn session_for(&self, calls: &[Call]) -> Result<Session, Error> {
        self.session_among(calls, |_| true).await
    }

    /// The same among the sessions that are meant alone: those that whoever asks may use.
    ///
    /// # Errors
    /// As [`session_for`](Self::session_for).
    pub async fn session_among(
        &self,
        calls: &[Call],
        is_meant: impl Fn(&SessionId) -> bool,
    ) -> Result<Session, Error> {
        let overview = self.overview().await?;
        let (now, deployment) = (overview.facts.block.timestamp, self.client.deployment());
        let statuses = overview.statuses();
        let usable = overview
            .sessions
            .into_iter()
            .zip(statuses)
            .filter(|(session, status)| status.is_usable() && is_meant(&session.id));
        let live = overview.trees.latest.unwrap_or_default();
        let chosen = policy_for(usable.map(|(session, _)| session), |session| {
            let policies = || session.leaves.iter().filter(|leaf| live.contains(&leaf.hash()));
            let check = |call: &Call| {
                policy_for(policies(), |policy| preflight(policy, deployment, call.as_core(), Some(now)))
                    .map(drop)
                    .map_err(|refusal| {
                        refusal.unwrap_or(crate::CallRefusal::UnknownModule { module: Address::ZERO })
                    })
            };
            calls.iter().try_for_each(check)
        });
        match chosen {
            Ok(session) => self.session(session.id).await,
            Err(refusal) => Err(Error::NoSessionAllows { refusal }),
        }
    }

    /// Gives a session another key: the same policies under a new id, and the old one ends in the same operation.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare) and [`submit`](Self::submit), and the signer's own; [`Error::UnknownModule`] for a
    /// policy of a module of which it is not known where the key stands.
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
    ) -> Result<Draft<SessionGrant>, Error> {
        let stored = self.client.store.session(self.id(), session).await?;
        let policies = for_key(stored.leaves, self.client.deployment(), key.address())?;
        let request = UpdateRequest { revoked: vec![session.clone()], ..UpdateRequest::default() };
        self.prepare_session(policies, None, request, false, key.address(), key.to_stored()).await
    }

    /// Lets a session be valid until another time, in seconds since 1970 (0 for no end), with the key that it has: the
    /// same policies under a new id, and the old one ends in the same operation.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare) and [`submit`](Self::submit), and the signer's own; [`Error::NotExtendable`] for a
    /// session whose key a signing network holds.
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
    ) -> Result<Draft<SessionGrant>, Error> {
        let stored = self.client.store.session(self.id(), session).await?;
        let key = self.client.store.key(self.id(), session).await?;
        if let Some(key_id) = stored.key_id {
            return Err(Error::NotExtendable { key_id });
        }
        let policies = until(stored.leaves, valid_until)?;
        let request = UpdateRequest { revoked: vec![session.clone()], ..UpdateRequest::default() };
        self.prepare_session(policies, None, request, false, stored.session_key, key).await
    }

    /// Removes a session that is not under the account's root, its key and its calls that never landed, from the store.
    ///
    /// # Errors
    /// [`Error::StillLive`] for a session that has to be revoked first, or whose grant can still get on chain.
    pub async fn forget(&self, session: &SessionId) -> Result<(), Error> {
        let overview = self.overview().await?;
        let stands = overview.sessions.iter().zip(overview.statuses());
        let stands = stands.into_iter().find(|(stored, _)| stored.id == *session).map(|(_, status)| status);
        if let Some(status) = stands.filter(|status| !status.is_over()) {
            return Err(Error::StillLive { session: session.clone(), status });
        }
        let mut changes = overview.operations_to_forget(session);
        changes.push(Change::RemoveSession(session.clone()));
        Ok(self.client.store.apply(self.id(), changes).await?)
    }

    /// Removes every session that has ended or never began, as [`forget`](Self::forget) does; gives their ids.
    ///
    /// # Errors
    /// What the store or a node says.
    pub async fn forget_ended(&self) -> Result<Vec<SessionId>, Error> {
        let overview = self.overview().await?;
        let over = overview.sessions.iter().zip(overview.statuses()).filter(|(_, status)| status.is_over());
        let ids: Vec<SessionId> = over.map(|(session, _)| session.id.clone()).collect();
        let changes = ids.iter().flat_map(|id| {
            let mut changes = overview.operations_to_forget(id);
            changes.push(Change::RemoveSession(id.clone()));
            changes
        });
        self.client.store.apply(self.id(), changes.collect()).await?;
        Ok(ids)
    }

    pub(crate) async fn choose(&self, choice: Choice) -> Result<StoredSession, Error> {
        let id = match choice {
            Choice::Id(id) => return Ok(self.client.store.session(self.id(), &id).await?),
            choice => {
                let overview = self.overview().await?;
                let statuses = overview.statuses();
                let usable =
                    overview.sessions.into_iter().zip(statuses).filter(|(_, status)| status.is_usable());
                let mut usable: Vec<_> = usable.map(|(session, _)| session).collect();
                match choice {
                    Choice::Index(index) if index >= usable.len() => {
                        return Err(Error::NoSuchSession { index, len: usable.len() });
                    }
                    Choice::Index(index) => return Ok(usable.swap_remove(index)),
                    _ => usable.pop(),
                }
            }
        };
        id.ok_or(Error::NoSessionAllows { refusal: None })
    }
}

impl Overview {
    /// Where each session stands.
    pub(crate) fn statuses(&self) -> Vec<Status> {
        let open = |id: &SessionId| {
            self.operations.iter().any(|(operation, _, fate)| {
                self.grants(operation, id) && !fate.is_over() && operation.answer != Answer::Abandoned
            })
        };
        self.sessions.iter().map(|session| status(session, &self.trees, open(&session.id))).collect()
    }

    fn grants(&self, operation: &Operation, session: &SessionId) -> bool {
        operation.root_change.is_some() && operation.session.as_ref() == Some(session)
    }

    /// What goes with a session that is over: its calls, which nobody can make again without its key. Its grants are
    /// followed no more and stay, as their trees may come back with a reorganisation.
    fn operations_to_forget(&self, session: &SessionId) -> Vec<Change> {
        let own =
            self.operations.iter().filter(|(operation, ..)| operation.session.as_ref() == Some(session));
        let change = |(operation, ..): &(Operation, SignedOperation, Fate)| {
            let user_op_hash = operation.user_op_hash;
            match operation.root_change {
                None => Change::RemoveOperation(user_op_hash),
                Some(_) => Change::SetAnswer { user_op_hash, answer: Answer::Abandoned },
            }
        };
        own.map(change).collect()
    }

    /// Makes the changes here that the store is about to be told.
    fn apply(&mut self, changes: &[Change]) {
        let landed = changes.iter().filter_map(|change| match change {
            Change::SetLanded { session, block } => Some((session, *block)),
            _ => None,
        });
        let landed: HashMap<&SessionId, Option<u64>> = landed.collect();
        for session in &mut self.sessions {
            if let Some(block) = landed.get(&session.id) {
                session.landed = *block;
            }
        }
        for change in changes {
            match change {
                Change::SetClosed { user_op_hash, block } => {
                    for (operation, ..) in &mut self.operations {
                        if operation.user_op_hash == *user_op_hash {
                            operation.closed_at_block = *block;
                        }
                    }
                }
                Change::RemoveOperation(user_op_hash) => {
                    self.operations.retain(|(operation, ..)| operation.user_op_hash != *user_op_hash);
                }
                _ => {}
            }
        }
    }
}
