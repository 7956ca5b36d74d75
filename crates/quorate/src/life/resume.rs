//! Operations whose end nobody saw: gone on with, made anew, cancelled or given up.

use std::fmt;

use alloy_primitives::{B256, U256};
use alloy_signer::Signer;
use quorate_contracts::EntryPoint;
use quorate_store::{Answer, Change, Operation, SessionId};

use crate::draft::SignedOperation;
use crate::grant::SessionGrant;
use crate::life::facts::{Facts, Query};
use crate::life::plan::{self, Revoked};
use crate::life::settle::{self, Fate, Nonce};
use crate::life::update::TreeUpdate;
use crate::payment::{OwnerCalls, paymaster_of};
use crate::{Call, Calls, Draft, Error, Options, PendingOperation, SessionRecord, SmartAccount};

/// An operation whose end nobody saw, and what became of it.
#[derive(Debug)]
pub struct Interrupted {
    /// The operation.
    pub user_op_hash: B256,
    /// The session that it grants, or that made it; none for other operations of the owner's.
    pub session: Option<SessionId>,
    /// What became of it.
    pub outcome: Resumed,
}

/// What became of an operation that was gone on with.
#[derive(Debug)]
#[non_exhaustive]
pub enum Resumed {
    /// The bundler has it, or has it again: wait for it. A session's operation may be a new one at the same nonce.
    Pending(Box<PendingOperation>),
    /// Its nonce is used: by itself, or by what took its place. Waiting for it says which.
    Settled(Box<PendingOperation>),
    /// It will never get on chain, as the account exists without it or its time is over.
    Dead,
    /// It would replace a tree that it was not made for. It is not sent again: [`SmartAccount::rebuild`] makes it anew,
    /// and [`SmartAccount::cancel`] ends it.
    Conflicting {
        /// The root that it was made to replace.
        expected: B256,
        /// The root on chain.
        found: B256,
    },
    /// It cannot be sent as it is, and its owner has to sign a new one: [`SmartAccount::rebuild`].
    NeedsOwner(Box<Error>),
    /// It may still get on chain or not.
    Unsettled(Box<Error>),
}

/// An operation of the owner's that was made anew, to be signed and submitted.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum OwnerDraft {
    /// The same calls.
    Calls(Draft<Calls>),
    /// The same update of the tree that is there now.
    TreeUpdate(Draft<TreeUpdate>),
    /// The same session, added to the tree that is there now.
    SessionGrant(Box<Draft<SessionGrant>>),
}

/// An operation that was given up. Whoever has its bytes can still send them: only a used nonce ends it
/// ([`SmartAccount::cancel`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abandoned {
    /// The operation.
    pub user_op_hash: B256,
    /// Its nonce.
    pub nonce: U256,
    /// The session that it would still grant, or that it would still act for.
    pub session: Option<SessionId>,
}

impl fmt::Display for Abandoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user_op_hash, nonce, .. } = self;
        write!(
            f,
            "user operation {user_op_hash} is not followed any more; it can still get on chain until its nonce \
             {nonce:#x} is used"
        )
    }
}

impl SmartAccount {
    /// Goes on with every operation whose end nobody saw, as after a crash, each by itself: what the bundler does not
    /// have is sent again while that can be right, a session's call is made anew at the same nonce where it cannot, and
    /// what needs its owner says so.
    ///
    /// An update of the tree that is over is told once. A call is told until it is waited for, or made again, which goes on
    /// with it: whoever made it may still come back for it, and knows nothing of what another task resumes.
    ///
    /// # Errors
    /// What the store or a node says. What happens to one operation is its own [`Resumed`].
    pub async fn resume(&self) -> Result<Vec<Interrupted>, Error> {
        let overview = self.overview().await?;
        let mut interrupted = Vec::new();
        for (operation, _, fate) in &overview.operations {
            let user_op_hash = operation.user_op_hash;
            if self.client.is_in_flight(user_op_hash) || operation.answer == Answer::Abandoned {
                continue;
            }
            let is_new =
                overview.newly_over.contains(&user_op_hash) && !self.client.shared.has_seen(user_op_hash);
            let is_news = is_new || operation.root_change.is_none() && !operation.told;
            let outcome = match fate {
                Fate::Consumed | Fate::Dead if !is_news => continue,
                Fate::Consumed => {
                    let known = self.client.known(self.id(), operation, false);
                    Resumed::Settled(Box::new(known.await?))
                }
                Fate::Dead => Resumed::Dead,
                Fate::Open | Fate::Conflicting => self.go_on(operation).await,
            };
            interrupted.push(Interrupted { user_op_hash, session: operation.session.clone(), outcome });
        }
        Ok(interrupted)
    }

    /// An operation of the account that the store knows, to be waited for: by whoever noted its hash, and was restarted.
    ///
    /// # Errors
    /// [`Error::UnknownOperation`] where the store has it not: then nothing was sent.
    pub async fn pending(&self, user_op_hash: B256) -> Result<PendingOperation, Error> {
        let operations = self.client.store.operations(self.id()).await?;
        let found = operations.iter().find(|operation| operation.user_op_hash == user_op_hash);
        let operation = found.ok_or(Error::UnknownOperation { account: self.id(), user_op_hash })?;
        Ok(PendingOperation::new(self.client.clone(), self.id(), operation))
    }

    async fn go_on(&self, operation: &Operation) -> Resumed {
        let is_call_of_a_session = operation.session.is_some() && operation.root_change.is_none();
        let sent = match &operation.session {
            Some(id) if is_call_of_a_session => match self.session(id).await {
                Ok(session) => session.go_on(operation, false).await,
                // Without its key the same bytes have to do.
                Err(_) => self.client.resend(self.id(), operation, false).await,
            },
            _ => self.client.resend(self.id(), operation, false).await,
        };
        match sent {
            Ok(pending) => Resumed::Pending(Box::new(pending)),
            Err(Error::Unsettled { source, .. }) if !is_call_of_a_session => match *source {
                Error::RootChanged { expected, found } => Resumed::Conflicting { expected, found },
                source @ Error::FeesTooLow { .. } => Resumed::NeedsOwner(Box::new(source)),
                source => Resumed::Unsettled(Box::new(source)),
            },
            Err(Error::Unsettled { source, .. }) => Resumed::Unsettled(source),
            Err(error) => Resumed::Unsettled(Box::new(error)),
        }
    }

    /// Makes an operation of the owner's anew, at the same nonce, so that one of the two gets on chain at most: for the
    /// tree and the code that are there now, with today's fees, and both of them a tenth above the old ones.
    ///
    /// # Errors
    /// [`Error::UnknownOperation`] for a hash that the store has not, [`Error::NotTheOwner`] for a session's,
    /// [`Error::NonceUsed`] where it is over; [`Error::ForeignRoot`] where the tree on chain is not known.
    pub async fn rebuild(&self, user_op_hash: B256) -> Result<OwnerDraft, Error> {
        let (operation, operations) = self.stored_operation(user_op_hash).await?;
        let signed = SignedOperation::read(&operation.message, user_op_hash)?;
        let deployment = *self.client.deployment();
        let call_data = signed.message.operation.call_data;
        let mut modules = vec![deployment.session_key_manager];
        let router = deployment.batched_session_router;
        let names_router = call_data.windows(20).any(|window| window == router.as_slice());
        modules.extend(names_router.then_some(router));
        let query = Query { modules, ..Query::of_operations(&operations) };
        let paymaster = paymaster_of(&signed.message.operation.paymaster_and_data);
        self.client.check_payer(user_op_hash, paymaster, &self.options)?;
        let (facts, prices) =
            tokio::try_join!(self.client.facts(self.address, &query), self.client.prices(&self.options))?;
        let slot = self.same_slot(&operation, &operations, &facts)?;

        let Some(change) = operation.root_change else {
            if let Some(session) = operation.session {
                return Err(Error::NotTheOwner { user_op_hash, session });
            }
            let calls = OwnerCalls::decode(&call_data, paymaster)?;
            let draft = self.fill_owner_s(&facts, slot, calls, prices, Calls {}).await?;
            return Ok(OwnerDraft::Calls(draft));
        };
        let unknown = |root| Error::UnknownTree { account: self.id(), root };
        let tree = async |root| self.client.tree(self.id(), root).await?.ok_or_else(|| unknown(root));
        let (replaced, set) = (tree(change.replaces).await?, tree(change.sets).await?);
        let present = self.client.tree(self.id(), facts.root).await?;
        let present = present.ok_or(Error::ForeignRoot { expected: change.replaces, found: facts.root })?;
        let leaves = plan::rebased(replaced.leaves(), set.leaves(), present.leaves());
        let update = TreeUpdate { replaces: facts.root, leaves, revoked: Revoked::default() };
        let revoked = self.revoked_between(present.leaves(), &update.leaves).await?;
        let update = TreeUpdate { revoked, ..update };
        let calls = self.update_calls(&update, &query.modules, &facts);
        let draft = self.fill_owner_s(&facts, slot, calls, prices, update).await?;
        let Some(id) = operation.session else { return Ok(OwnerDraft::TreeUpdate(draft)) };
        let session = self.client.store.session(self.id(), &id).await?;
        let created = session.created;
        let draft =
            draft.map(|update| SessionGrant { update, session: SessionRecord::from(session), created });
        Ok(OwnerDraft::SessionGrant(Box::new(draft)))
    }

    async fn revoked_between(&self, present: &[B256], next: &[B256]) -> Result<Revoked, Error> {
        let sessions = self.client.store.sessions(self.id()).await?;
        let ended = sessions.into_iter().filter(|session| {
            session.leaves.iter().any(|leaf| present.contains(&leaf.hash()) && !next.contains(&leaf.hash()))
        });
        Ok(Revoked { sessions: ended.map(|session| session.id).collect(), ..Revoked::default() })
    }

    /// Uses up an operation's nonce, so that it never gets on chain: in the owner's stream by an operation that does
    /// nothing, and for a session's by one of the owner's that moves the session's stream on. It costs gas, and the
    /// operation may still be faster.
    ///
    /// # Errors
    /// [`Error::UnknownOperation`] for a hash that the store has not, [`Error::NonceUsed`] where it is over already; as
    /// [`submit`](Self::submit).
    pub async fn cancel<S: Signer + Sync + ?Sized>(
        &self,
        user_op_hash: B256,
        owner: &S,
    ) -> Result<PendingOperation, Error> {
        let draft = self.prepare_cancellation(user_op_hash).await?;
        self.sign_and_submit(draft, owner).await
    }

    /// Builds the operation that uses up another's nonce, for an owner who signs elsewhere.
    ///
    /// # Errors
    /// As [`cancel`](Self::cancel).
    pub async fn prepare_cancellation(&self, user_op_hash: B256) -> Result<Draft<Calls>, Error> {
        let (operation, operations) = self.stored_operation(user_op_hash).await?;
        let query = Query::of_operations(&operations);
        let (facts, prices) =
            tokio::try_join!(self.client.facts(self.address, &query), self.client.prices(&self.options))?;
        let slot = self.same_slot(&operation, &operations, &facts)?;
        let is_call_of_a_session = operation.session.is_some() && operation.root_change.is_none();
        if !is_call_of_a_session {
            return self.fill_owner_s(&facts, slot, OwnerCalls::default(), prices, Calls {}).await;
        }
        let key = Nonce::from(operation.nonce).stream.wrapping_to();
        let to = self.client.deployment().entry_point;
        self.prepare_calls(&[Call::new(to, EntryPoint::incrementNonceCall { key })]).await
    }

    /// Stops following an operation, without doing anything about it. What the answer says holds: it may still get on
    /// chain, and its tree is remembered for that case.
    ///
    /// # Errors
    /// [`Error::UnknownOperation`] for a hash that the store has not.
    pub async fn abandon(&self, user_op_hash: B256) -> Result<Abandoned, Error> {
        let (operation, _) = self.stored_operation(user_op_hash).await?;
        let change = Change::SetAnswer { user_op_hash, answer: Answer::Abandoned };
        self.client.store.apply(self.id(), vec![change]).await?;
        Ok(Abandoned { user_op_hash, nonce: operation.nonce, session: operation.session })
    }

    async fn stored_operation(&self, user_op_hash: B256) -> Result<(Operation, Vec<Operation>), Error> {
        let operations = self.client.store.operations(self.id()).await?;
        let found = operations.iter().find(|operation| operation.user_op_hash == user_op_hash).cloned();
        let operation = found.ok_or(Error::UnknownOperation { account: self.id(), user_op_hash })?;
        Ok((operation, operations))
    }

    /// The same nonce again, for what takes the place of everything that has it.
    fn same_slot(
        &self,
        operation: &Operation,
        operations: &[Operation],
        facts: &Facts,
    ) -> Result<crate::life::update::Slot, Error> {
        let nonce = operation.nonce;
        let signed = SignedOperation::read(&operation.message, operation.user_op_hash)?;
        if settle::fate(operation, &signed, facts) == Fate::Consumed {
            return Err(Error::NonceUsed { user_op_hash: operation.user_op_hash, nonce });
        }
        let same = operations.iter().filter(|other| other.nonce == nonce);
        let supersedes = same.map(|other| other.user_op_hash).collect();
        self.owner_slot(facts, operations, supersedes, &Options::new().with_nonce(nonce))
    }
}
