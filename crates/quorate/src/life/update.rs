//! Updates of the tree of an account's sessions: prepared, signed by the owner, sent and waited for.

use alloy_primitives::{Address, B256, U256};
use alloy_signer::Signer;
use quorate_bundler::UserOperationReceipt;
use quorate_contracts::calls;
use quorate_core::merkle;
use quorate_protocol::OperationMessage;
use quorate_signer::sign_as_owner;
use quorate_store::{Answer, Change, Operation, RootChange, SessionId};
use serde::{Deserialize, Serialize};

use crate::draft::{SignedOperation, earlier};
use crate::fill::{Filled, Prices, Unfilled, fees_of, unsigned};
use crate::life::facts::{Facts, Query};
use crate::life::plan::{self, Overwritten, Present, Revoked, UpdateRequest};
use crate::life::settle::{self, Nonce};
use crate::life::submit::Outgoing;
use crate::payment::OwnerCalls;
use crate::{Call, Draft, Error, Options, OwnerSignature, PendingOperation, SmartAccount};

/// What an operation makes of the tree of an account's sessions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TreeUpdate {
    /// The root that it is made to replace; zero where there are no sessions.
    pub replaces: B256,
    /// The next tree's leaves, in order.
    pub leaves: Vec<B256>,
    /// The sessions that it ends.
    pub revoked: Revoked,
}

/// An update that was sent.
#[derive(Clone, Debug)]
pub struct PendingUpdate {
    account: SmartAccount,
    operation: PendingOperation,
    change: RootChange,
}

/// An update that is on chain.
#[derive(Clone, Debug)]
pub struct Updated {
    /// The receipt of its operation.
    pub receipt: UserOperationReceipt,
    /// What it did to a tree that it was not made for.
    pub overwritten: Overwritten,
}

/// What an owner's operation is for. It is implemented for [`Calls`](crate::Calls), [`TreeUpdate`] and
/// [`SessionGrant`](crate::SessionGrant).
pub trait OwnerIntent: sealed::Sealed + Clone + Send + Sync {
    /// What waits for it.
    type Pending;

    #[doc(hidden)]
    fn tree_update(&self) -> Option<&TreeUpdate>;

    #[doc(hidden)]
    fn session_id(&self) -> Option<&SessionId>;

    /// What the store has to know beside the operation.
    #[doc(hidden)]
    fn changes(&self, user_op_hash: B256, known_sessions: &[SessionId]) -> Vec<Change>;

    #[doc(hidden)]
    fn pending(self, account: &SmartAccount, operation: PendingOperation) -> Self::Pending;
}

pub(crate) mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::Calls {}
    impl Sealed for crate::TreeUpdate {}
    impl Sealed for crate::SessionGrant {}
}

impl OwnerIntent for TreeUpdate {
    type Pending = PendingUpdate;

    fn tree_update(&self) -> Option<&TreeUpdate> {
        Some(self)
    }

    fn session_id(&self) -> Option<&SessionId> {
        None
    }

    fn changes(&self, _: B256, _: &[SessionId]) -> Vec<Change> {
        Vec::new()
    }

    fn pending(self, account: &SmartAccount, operation: PendingOperation) -> PendingUpdate {
        PendingUpdate::new(account.clone(), operation, self.root_change())
    }
}

impl TreeUpdate {
    pub(crate) fn root_change(&self) -> RootChange {
        let sets = merkle::root(&self.leaves).unwrap_or_default();
        RootChange { replaces: self.replaces, sets }
    }
}

impl SmartAccount {
    /// Ends sessions of the account, in one operation that its owner signs.
    ///
    /// # Errors
    /// [`StoreError::UnknownSession`](quorate_store::StoreError::UnknownSession) for an id that the store has not,
    /// [`Error::NothingToRevoke`] where none of them is in the tree; [`Error::ForeignRoot`] if the account has sessions
    /// that the store does not know; what a node, a bundler or the signer says.
    pub async fn revoke<S: Signer + Sync + ?Sized>(
        &self,
        sessions: impl IntoIterator<Item = SessionId>,
        owner: &S,
    ) -> Result<PendingUpdate, Error> {
        let draft = self.prepare_revocation(sessions).await?;
        self.sign_and_submit(draft, owner).await
    }

    /// Ends all sessions of the account, whether the store knows them or not.
    ///
    /// # Errors
    /// [`Error::NothingToRevoke`] where there are none; what a node, a bundler or the signer says.
    pub async fn revoke_all<S: Signer + Sync + ?Sized>(&self, owner: &S) -> Result<PendingUpdate, Error> {
        let draft = self.prepare_revocation_of_all().await?;
        self.sign_and_submit(draft, owner).await
    }

    /// Builds the operation that ends sessions: it sets the root of the tree without them.
    ///
    /// # Errors
    /// As [`revoke`](Self::revoke).
    pub async fn prepare_revocation(
        &self,
        sessions: impl IntoIterator<Item = SessionId>,
    ) -> Result<Draft<TreeUpdate>, Error> {
        let revoked = sessions.into_iter().collect();
        self.prepare_update(UpdateRequest { revoked, ..UpdateRequest::default() }, false).await
    }

    /// Builds the operation that ends all sessions; the draft's [`TreeUpdate::revoked`] lists them.
    ///
    /// # Errors
    /// As [`revoke_all`](Self::revoke_all).
    pub async fn prepare_revocation_of_all(&self) -> Result<Draft<TreeUpdate>, Error> {
        self.prepare_update(UpdateRequest { all: true, ..UpdateRequest::default() }, false).await
    }

    /// Builds the operation that makes the tree what is asked.
    #[tracing::instrument(skip_all, err(level = "debug"), fields(account = %self.id()))]
    pub(crate) async fn prepare_update(
        &self,
        mut request: UpdateRequest,
        batches: bool,
    ) -> Result<Draft<TreeUpdate>, Error> {
        let client = &self.client;
        let deployment = *client.deployment();
        let (sessions, operations) =
            tokio::try_join!(client.store.sessions(self.id()), client.store.operations(self.id()))?;
        let mut modules = vec![deployment.session_key_manager];
        modules.extend(batches.then_some(deployment.batched_session_router));
        let query = Query { modules, ..Query::of_operations(&operations) };
        let (facts, prices) =
            tokio::try_join!(client.facts(self.address, &query), client.prices(&self.options))?;
        if !facts.deployed && request.added.is_empty() {
            return Err(Error::NotDeployed { account: self.address, chain_id: client.chain_id() });
        }

        let tree = client.tree(self.id(), facts.root).await?;
        if request.all && tree.is_none() {
            request.foreign = Some(facts.root);
        }
        let present = Present {
            account: self.id(),
            root: facts.root,
            leaves: tree.as_ref().map(|tree| tree.leaves()),
            sessions: &sessions,
            now: facts.block.timestamp,
        };
        let (leaves, revoked) = plan::plan(&request, present)?;
        let update = TreeUpdate { replaces: facts.root, leaves, revoked };

        let calls = self.update_calls(&update, &query.modules, &facts);
        let slot = self.owner_slot(&facts, &operations, Vec::new(), &self.options)?;
        self.fill_owner_s(&facts, slot, calls, prices, update).await
    }

    /// Enables the modules that are not, and sets the root.
    pub(crate) fn update_calls(&self, update: &TreeUpdate, modules: &[Address], facts: &Facts) -> OwnerCalls {
        let manager = self.client.deployment().session_key_manager;
        let missing = modules.iter().filter(|module| !facts.enabled.contains(module));
        let mut setup: Vec<_> = missing.map(|module| calls::enable_module(self.address, *module)).collect();
        setup.push(calls::set_merkle_root(manager, update.root_change().sets));
        let calls = setup.iter().map(|call| Call::from(call.as_call())).collect();
        OwnerCalls { calls, is_batch: true }
    }

    /// The nonce of the owner's next operation, and what it replaces there.
    pub(crate) fn owner_slot(
        &self,
        facts: &Facts,
        operations: &[Operation],
        supersedes: Vec<B256>,
        options: &Options,
    ) -> Result<Slot, Error> {
        let nonce = options.nonce().map_or_else(
            || {
                let stream = options.nonce_key().map(U256::from).unwrap_or_default();
                Nonce { stream, sequence: facts.sequence(stream) }
            },
            Nonce::from,
        );
        if let Some(pending) = settle::under_way(operations, nonce.stream, facts, &supersedes)
            && options.nonce().is_none()
        {
            return Err(Error::UnderWay { user_op_hash: pending.user_op_hash });
        }
        let nonce: U256 = nonce.into();
        let replaced = operations.iter().filter(|operation| operation.nonce == nonce);
        let replaced: Vec<SignedOperation> = replaced
            .map(|operation| SignedOperation::read(&operation.message, operation.user_op_hash))
            .collect::<Result<_, _>>()?;
        Ok(Slot { nonce, supersedes, replaced })
    }

    /// Fills in everything but the signature; where the owner pays in a token, the approval for it too.
    pub(crate) async fn fill_owner_s<T>(
        &self,
        facts: &Facts,
        slot: Slot,
        calls: OwnerCalls,
        prices: Prices,
        intent: T,
    ) -> Result<Draft<T>, Error> {
        let client = &self.client;
        let replaced = slot.replaced.iter().map(|replaced| fees_of(&replaced.message.operation));
        // Whoever signs over fees signs over the ones that replace.
        let prices = Prices { offered: settle::replacement_fees(prices.offered, replaced), ..prices };
        let unfilled = self.unfilled(facts, slot.nonce, &calls, prices)?;
        let unfilled = client.with_allowance(unfilled, &calls, &self.options).await?;
        let Filled { operation, expected } = client.fill(unfilled, &self.options).await?;
        let entry_point = client.deployment().entry_point;
        let operation = OperationMessage { operation, entry_point, chain_id: client.chain_id() };
        Ok(Draft {
            signer: self.owner,
            operation,
            block: facts.block.number,
            expected: Some(expected),
            supersedes: slot.supersedes,
            owner_form: Some(self.owner_form),
            intent,
        })
    }

    /// An operation that makes calls, and the account where it is new.
    ///
    /// # Errors
    /// [`Error::NotDeployed`] where it would be new, and nothing but its address is known.
    pub(crate) fn unfilled(
        &self,
        facts: &Facts,
        nonce: U256,
        calls: &OwnerCalls,
        prices: Prices,
    ) -> Result<Unfilled, Error> {
        let deployment = self.client.deployment();
        let mut operation = unsigned(self.address, nonce, calls.encode());
        if !facts.deployed {
            let not_deployed =
                || Error::NotDeployed { account: self.address, chain_id: self.client.chain_id() };
            operation.init_code = self.creation.ok_or_else(not_deployed)?.init_code(deployment).to_vec();
        }
        Ok(Unfilled {
            operation,
            dummy_signature: self.owner_form.dummy(deployment),
            gas_beyond_dummy: self.owner_form.gas_beyond_dummy(),
            prices,
            router_entries: 0,
            tokens: None,
            now: facts.block.timestamp,
        })
    }

    pub(crate) async fn sign_and_submit<T: OwnerIntent, S: Signer + Sync + ?Sized>(
        &self,
        draft: Draft<T>,
        owner: &S,
    ) -> Result<T::Pending, Error> {
        let signature = sign_as_owner(owner, draft.user_op_hash()).await?;
        self.submit(draft, signature).await
    }

    /// Sends an operation that its owner signed: with the 65 bytes r ‖ s ‖ v that a wallet's `personal_sign` gives, or a
    /// signature for several operations ([`MultichainDraft`](crate::MultichainDraft)).
    ///
    /// It is written to the store before it leaves. Submitting a draft again, in this process or another, sends no second
    /// operation.
    ///
    /// # Errors
    /// A draft of another account or owner, a signature that is not the owner's over it, and [`Error::RootChanged`] where
    /// the account's sessions changed since it was prepared: then nothing was sent. [`Error::NotSent`] where the bundler
    /// could not be reached; and otherwise [`Error::Unsettled`], after which the operation may get on chain or not:
    /// submit it again, or [`resume`](Self::resume).
    pub async fn submit<T: OwnerIntent>(
        &self,
        draft: Draft<T>,
        signature: impl Into<OwnerSignature>,
    ) -> Result<T::Pending, Error> {
        let account = self.id();
        if draft.account() != account {
            return Err(Error::OtherAccount { draft: draft.account(), account });
        }
        if draft.signer != self.owner {
            return Err(Error::OtherOwner { draft: draft.signer, account: self.owner });
        }
        let user_op_hash = draft.user_op_hash();
        let module = draft.owner_form.map_or(self.owner_module(), |form| form.module);
        let deployment = self.client.deployment();
        let signature = signature.into().verify(self.owner, module, user_op_hash, deployment)?;

        let store = &self.client.store;
        let operations = store.operations(account).await?;
        if let Some(stored) = operations.iter().find(|operation| operation.user_op_hash == user_op_hash) {
            let operation = self.client.resend(account, stored, true).await?;
            return Ok(draft.intent.pending(self, operation));
        }
        tokio::try_join!(
            self.check_again(&draft, &operations),
            self.client.check_payment_again(&draft, &self.options)
        )?;

        let known = store.sessions(account).await?.into_iter().map(|session| session.id).collect::<Vec<_>>();
        let mut with = draft.intent.changes(user_op_hash, &known);
        let root_change = draft.intent.tree_update().map(TreeUpdate::root_change);
        let undo = root_change.map(|change| Change::RemoveTree(change.sets));
        let undo = undo.filter(|_| root_change.is_some_and(|change| change.sets != change.replaces));
        with.extend(draft.intent.tree_update().map(|update| Change::AddTree(update.leaves.clone())));
        let valid_until = earlier(signature.valid_until, draft.valid_until());
        let operation = self
            .client
            .dispatch(Outgoing {
                message: draft.operation,
                signature: signature.encoded,
                session: draft.intent.session_id().cloned(),
                root_change,
                root: None,
                valid_until,
                simulation: self.options.simulation(),
                block: draft.block,
                with,
                undo: undo.into_iter().collect(),
                tells: true,
            })
            .await?;
        Ok(draft.intent.pending(self, operation))
    }

    /// A last look before sending: the owner may have taken a day. One round trip; what changes after it, the nonce
    /// decides.
    async fn check_again<T: OwnerIntent>(
        &self,
        draft: &Draft<T>,
        operations: &[Operation],
    ) -> Result<(), Error> {
        let user_op_hash = draft.user_op_hash();
        let nonce = draft.operation.operation.nonce;
        let chain = &self.client.chain;
        let next = async {
            let own = Nonce::from(nonce);
            Ok::<_, Error>(Nonce::from(chain.nonce(self.address, own.stream).await?).sequence > own.sequence)
        };
        let root = async {
            match draft.intent.tree_update() {
                Some(update) => Ok(Some((update.replaces, chain.session_root(self.address).await?))),
                None => Ok(None),
            }
        };
        let (is_used, roots) = tokio::try_join!(next, root)?;
        let rival = operations.iter().find(|operation| {
            operation.nonce == nonce
                && !matches!(operation.answer, Answer::Refused | Answer::Abandoned)
                && !draft.supersedes.contains(&operation.user_op_hash)
        });
        match (roots, rival) {
            (Some((expected, found)), _) if expected != found => Err(Error::RootChanged { expected, found }),
            _ if is_used => Err(Error::NonceUsed { user_op_hash, nonce }),
            (_, Some(rival)) => Err(Error::UnderWay { user_op_hash: rival.user_op_hash }),
            _ => Ok(()),
        }
    }
}

/// Where an operation goes: its nonce, and what has it already.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) nonce: U256,
    pub(crate) supersedes: Vec<B256>,
    pub(crate) replaced: Vec<SignedOperation>,
}

impl PendingUpdate {
    pub(crate) const fn new(account: SmartAccount, operation: PendingOperation, change: RootChange) -> Self {
        Self { account, operation, change }
    }

    /// The operation's hash.
    pub const fn user_op_hash(&self) -> B256 {
        self.operation.user_op_hash()
    }

    pub(crate) const fn account(&self) -> &SmartAccount {
        &self.account
    }

    /// The operation, to wait for by other means.
    pub const fn operation(&self) -> &PendingOperation {
        &self.operation
    }

    /// The same with another patience; see [`PendingOperation::with_deadline`].
    #[must_use]
    pub fn with_deadline(mut self, deadline: std::time::Duration) -> Self {
        self.operation = self.operation.with_deadline(deadline);
        self
    }

    /// The same with other confirmations; see [`PendingOperation::with_confirmations`].
    #[must_use]
    pub fn with_confirmations(mut self, blocks: u64) -> Self {
        self.operation = self.operation.with_confirmations(blocks);
        self
    }

    /// Waits until the update is on chain.
    ///
    /// What else it changed is seen where the other change is in an earlier block, and where the node still has that
    /// block's state.
    ///
    /// # Errors
    /// As [`PendingOperation::wait`].
    pub async fn wait(&self) -> Result<Updated, Error> {
        let receipt = self.operation.wait().await?;
        let overwritten = self.overwritten(&receipt).await?;
        Ok(Updated { receipt, overwritten })
    }

    async fn overwritten(&self, receipt: &UserOperationReceipt) -> Result<Overwritten, Error> {
        let account = &self.account;
        let before = receipt.receipt.block_number.and_then(|block| u64::try_from(block).ok()?.checked_sub(1));
        let Some(before) = before else { return Ok(Overwritten::Unknown) };
        // By number, in one round trip: it is told and decides nothing.
        let found = match account.client.chain.session_root_at_number(account.address, before).await {
            Ok(root) => root,
            // The contract is there now, and was not then.
            Err(Error::Contract { .. }) => B256::ZERO,
            // The node has not the state of that block any more.
            Err(_) => return Ok(Overwritten::Unknown),
        };
        if found == self.change.replaces || found == self.change.sets {
            return Ok(Overwritten::Nothing);
        }
        let client = &account.client;
        let (there, replaced, ours) = tokio::try_join!(
            client.tree(account.id(), found),
            client.tree(account.id(), self.change.replaces),
            client.tree(account.id(), self.change.sets),
        )?;
        let sessions = client.store.sessions(account.id()).await?;
        let leaves =
            |tree: &Option<std::sync::Arc<merkle::Tree>>| tree.as_ref().map(|tree| tree.leaves().to_vec());
        Ok(plan::overwritten(
            found,
            leaves(&there).as_deref(),
            leaves(&replaced).as_deref(),
            leaves(&ours).as_deref(),
            &sessions,
        ))
    }
}
