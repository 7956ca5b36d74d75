//! A change of the tree of an account's sessions: prepared, signed, sent, waited for, and gone on with after a crash.

use std::collections::HashSet;

use alloy_primitives::{Address, B256, Bytes};
use alloy_signer::Signer;
use quorate_bundler::{BundlerError, UserOperationReceipt};
use quorate_contracts::{account, calls};
use quorate_core::{Call, DUMMY_SESSION_SIGNATURE, Encode as _, ExecuteBatch, merkle};
use quorate_protocol::OperationMessage;
use quorate_signer::{SIGNATURE_LEN, SignerError, sign_as_owner, verify_signature};
use quorate_store::{AccountId, NewSession, Session, SessionId, Status, StoreError, Tree};
use serde::{Deserialize, Serialize};

use crate::client::{draft, now};
use crate::{Error, Options, PendingOperation, SmartAccount};

/// What becomes of the sessions that are there.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Plan {
    /// The present tree, where the store does not know it.
    pub(crate) kept: Vec<B256>,
    /// Sessions to end.
    pub(crate) ended: Vec<SessionId>,
    /// A root that nobody here knows the leaves of, and that is to be replaced.
    pub(crate) foreign: Option<B256>,
}

/// Sessions that a change ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ended {
    /// Those that the store knows.
    #[serde(with = "ids")]
    pub sessions: Vec<SessionId>,
    /// A root of which the store does not know the leaves: whatever is under it ends.
    pub foreign_root: Option<B256>,
}

/// A change that waits for its owner's signature. It can be stored, and go on in another process.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangeDraft {
    owner: Address,
    pub(crate) operation: OperationMessage,
    replaces: B256,
    pub(crate) leaves: Vec<B256>,
    pub(crate) ends: Ended,
}

/// A change that was sent.
#[derive(Clone, Debug)]
pub struct PendingChange {
    account: SmartAccount,
    operation: PendingOperation,
    session: Option<SessionId>,
    replaces: B256,
    root: B256,
}

/// A change that is on chain.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The receipt of its operation.
    pub receipt: UserOperationReceipt,
    /// What it ended without having been prepared for it: sessions that another device had granted in the meantime.
    pub overwritten: Option<Ended>,
}

/// A change that was sent and not seen on chain, as it is found after a crash.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Interrupted {
    /// It had reached the bundler, or was sent again now: wait for it.
    Pending(Box<PendingChange>),
    /// It can never get on chain, as the account went on without it. Its session is inactive now.
    Cleared {
        /// The operation.
        user_op_hash: B256,
    },
}

impl SmartAccount {
    /// Ends sessions of the account, in one operation that its owner signs.
    ///
    /// # Errors
    /// [`StoreError::UnknownSession`] for an id that the store has not; [`Error::ForeignRoot`] if the account has
    /// sessions that the store does not know; what a node, a bundler or the signer says.
    pub async fn revoke<S: Signer + Sync + ?Sized>(
        &self,
        sessions: impl IntoIterator<Item = SessionId>,
        owner: &S,
    ) -> Result<PendingChange, Error> {
        let draft = self.prepare_revocation(sessions).await?;
        let signature = sign_as_owner(owner, draft.user_op_hash()).await?;
        self.submit_revocation(draft, &signature).await
    }

    /// Ends all sessions of the account, whether the store knows them or not.
    ///
    /// # Errors
    /// What a node, a bundler or the signer says.
    pub async fn revoke_all<S: Signer + Sync + ?Sized>(&self, owner: &S) -> Result<PendingChange, Error> {
        let draft = self.prepare_revocation_of_all().await?;
        let signature = sign_as_owner(owner, draft.user_op_hash()).await?;
        self.submit_revocation(draft, &signature).await
    }

    /// Builds the operation that ends sessions: it sets the root of the tree without them.
    ///
    /// # Errors
    /// As [`revoke`](Self::revoke).
    pub async fn prepare_revocation(
        &self,
        sessions: impl IntoIterator<Item = SessionId>,
    ) -> Result<ChangeDraft, Error> {
        self.require_deployed().await?;
        let plan = Plan { ended: sessions.into_iter().collect(), ..Plan::default() };
        self.prepare_change(plan, Vec::new(), false).await
    }

    /// Builds the operation that ends all sessions; [`ChangeDraft::ends`] lists them.
    ///
    /// # Errors
    /// As [`revoke_all`](Self::revoke_all).
    pub async fn prepare_revocation_of_all(&self) -> Result<ChangeDraft, Error> {
        self.require_deployed().await?;
        let foreign = Some(self.client.chain.session_root(self.address).await?);
        let stored = self.client.store.sessions(self.id()).await?;
        let ended = stored.into_iter().map(|session| session.id).collect();
        self.prepare_change(Plan { ended, foreign, ..Plan::default() }, Vec::new(), false).await
    }

    /// Sends a revocation that its owner signed.
    ///
    /// # Errors
    /// A signature that is not the owner's over this draft, [`Error::RootChanged`] where the account's sessions changed
    /// since it was prepared, or a bundler that does not take the operation.
    pub async fn submit_revocation(
        &self,
        draft: ChangeDraft,
        signature: &[u8; SIGNATURE_LEN],
    ) -> Result<PendingChange, Error> {
        self.submit_change(draft, None, signature).await
    }

    /// Takes in sessions that another device made, by the leaves of the account's present tree in their order: changes
    /// made here keep them from now on. They are not listed, as nothing is known of them but that they are there.
    ///
    /// # Errors
    /// [`Error::OtherTree`] if these are not the leaves under the root on chain.
    pub async fn import_leaves(&self, leaves: impl IntoIterator<Item = B256>) -> Result<(), Error> {
        let tree = Tree {
            leaves: leaves.into_iter().collect(),
            replaces: B256::ZERO,
            user_op_hash: None,
            operation: String::new(),
        };
        let found = self.client.chain.session_root(self.address).await?;
        if tree.root() != found {
            return Err(Error::OtherTree { given: tree.root(), found });
        }
        Ok(self.client.store.add_tree(self.id(), tree).await?)
    }

    /// Takes in sessions with all that is known of them, such as those of the original's storage
    /// ([`quorate_store::original`]), in the order of the account's present tree.
    ///
    /// # Errors
    /// [`Error::OtherTree`] if their leaves are not those under the root on chain, and then none is stored.
    pub async fn import(&self, sessions: Vec<NewSession>) -> Result<(), Error> {
        let leaves: Vec<B256> =
            sessions.iter().flat_map(|session| &session.leaves).map(quorate_store::Leaf::hash).collect();
        let found = self.client.chain.session_root(self.address).await?;
        let given = merkle::root(&leaves).unwrap_or_default();
        if given != found {
            return Err(Error::OtherTree { given, found });
        }
        self.client.store.add_all(sessions).await?;
        self.import_leaves(leaves).await?;
        self.sessions().await?;
        Ok(())
    }

    /// Finds changes that were sent and whose end nobody saw, as after a crash, and goes on with each: what can still get
    /// on chain is sent again where the bundler does not know it, and what cannot is cleared.
    ///
    /// # Errors
    /// What the store, a node or the bundler says.
    pub async fn resume(&self) -> Result<Vec<Interrupted>, Error> {
        let store = &self.client.store;
        let found = self.client.chain.session_root(self.address).await?;
        let trees = store.trees(self.id()).await?;
        let sessions = store.sessions(self.id()).await?;
        let landed = trees.iter().rposition(|tree| tree.root() == found).map_or(0, |place| place + 1);
        let mut interrupted = Vec::new();
        for tree in trees.iter().skip(landed) {
            let Some(user_op_hash) = tree.user_op_hash else { continue };
            if self.mined(user_op_hash).await?.is_some() {
                continue;
            }
            let session = sessions
                .iter()
                .find(|session| session.user_op_hash == Some(user_op_hash))
                .map(|session| session.id.clone());
            let pending = |operation| PendingChange {
                account: self.clone(),
                operation,
                session: session.clone(),
                replaces: tree.replaces,
                root: tree.root(),
            };
            if self.client.bundler.user_operation_by_hash(user_op_hash).await?.is_some() {
                interrupted.push(Interrupted::Pending(Box::new(pending(self.client.pending(user_op_hash)))));
                continue;
            }
            let again = SignedText::read(&tree.operation)?;
            // Operations of the owner take turns in one stream: where the next nonce is another, this one is too late.
            let nonce = again.operation.operation.nonce;
            let too_late = self.client.chain.nonce(self.address, 0).await? != nonce;
            let sent = if tree.replaces == found && !too_late {
                self.client.send(again.operation.operation, again.signature).await
            } else {
                Err(Error::RootChanged { expected: tree.replaces, found })
            };
            match sent {
                Ok(operation) => interrupted.push(Interrupted::Pending(Box::new(pending(operation)))),
                Err(Error::RootChanged { .. }) => {
                    self.clear(tree.root(), session.as_ref()).await?;
                    interrupted.push(Interrupted::Cleared { user_op_hash });
                }
                Err(error) => return Err(error),
            }
        }
        self.sessions().await?;
        Ok(interrupted)
    }

    /// Builds the operation that makes the tree what the plan says, with `added` at its end.
    pub(crate) async fn prepare_change(
        &self,
        plan: Plan,
        added: Vec<B256>,
        batches: bool,
    ) -> Result<ChangeDraft, Error> {
        let chain = &self.client.chain;
        let deployment = *self.client.deployment();
        let manager = deployment.session_key_manager;
        let (deployed, replaces) =
            tokio::try_join!(chain.is_deployed(self.address), chain.session_root(self.address))?;
        let (mut leaves, ends) = self.tree_after(plan, replaces).await?;
        leaves.extend(added);
        let root = merkle::root(&leaves).unwrap_or_default();

        // What is enabled is asked now: enabling a module twice reverts.
        let mut setup = Vec::new();
        let modules = [Some(manager), batches.then_some(deployment.batched_session_router)];
        for module in modules.into_iter().flatten() {
            if !deployed || !chain.is_module_enabled(self.address, module).await? {
                setup.push(calls::enable_module(self.address, module));
            }
        }
        setup.push(calls::set_merkle_root(manager, root));
        let calls: Vec<Call<'_>> = setup.iter().map(|call| call.as_call()).collect();

        let nonce = chain.nonce(self.address, 0).await?;
        let mut operation = draft(self.address, nonce, ExecuteBatch(&calls).to_vec());
        if !deployed {
            operation.init_code = account::init_code(&deployment, self.creator, self.index).to_vec();
        }
        let dummy = self.owner_signature(&DUMMY_SESSION_SIGNATURE);
        let operation = self.client.size(operation, dummy, &Options::new()).await?;
        let operation = OperationMessage {
            operation,
            entry_point: deployment.entry_point,
            chain_id: self.client.chain_id(),
        };
        Ok(ChangeDraft { owner: self.owner, operation, replaces, leaves, ends })
    }

    /// The leaves that stay, and what ends.
    async fn tree_after(&self, plan: Plan, found: B256) -> Result<(Vec<B256>, Ended), Error> {
        let store = &self.client.store;
        let trees = store.trees(self.id()).await?;
        let sessions = store.sessions(self.id()).await?;
        for id in &plan.ended {
            if !sessions.iter().any(|session| session.id == *id) {
                return Err(StoreError::UnknownSession { account: self.id(), id: id.clone() }.into());
            }
        }
        let kept = merkle::root(&plan.kept).unwrap_or_default();
        let present = if found == B256::ZERO && plan.kept.is_empty() {
            Vec::new()
        } else if kept == found {
            plan.kept
        } else if let Some(tree) = trees.iter().rfind(|tree| tree.root() == found) {
            tree.leaves.clone()
        } else if plan.foreign == Some(found) {
            return Ok((Vec::new(), Ended { sessions: Vec::new(), foreign_root: Some(found) }));
        } else {
            let expected =
                if kept == B256::ZERO { trees.last().map(Tree::root).unwrap_or_default() } else { kept };
            return Err(Error::ForeignRoot { expected, found });
        };
        if plan.foreign == Some(found) {
            // All of it is to go, and what it is can be said.
            let ended = in_tree(&sessions, &present).map(|session| session.id.clone()).collect();
            return Ok((Vec::new(), Ended { sessions: ended, foreign_root: None }));
        }

        let now = now().as_secs();
        let goes = |session: &&Session| plan.ended.contains(&session.id) || has_expired(session, now);
        let ended: Vec<&Session> = in_tree(&sessions, &present).filter(goes).collect();
        let gone: HashSet<B256> = ended.iter().flat_map(|session| leaves_of(session)).collect();
        let leaves = present.into_iter().filter(|leaf| !gone.contains(leaf)).collect();
        let asked = ended.into_iter().filter(|session| plan.ended.contains(&session.id));
        let sessions = asked.map(|session| session.id.clone()).collect();
        Ok((leaves, Ended { sessions, foreign_root: None }))
    }

    /// Stores what is about to happen, and sends it.
    pub(crate) async fn submit_change(
        &self,
        draft: ChangeDraft,
        new: Option<NewSession>,
        signature: &[u8; SIGNATURE_LEN],
    ) -> Result<PendingChange, Error> {
        let account = self.id();
        if draft.account_id() != account {
            let AccountId { chain_id: draft_chain, address } = draft.account_id();
            return Err(Error::OtherAccount {
                draft: address,
                draft_chain,
                account: account.address,
                chain: account.chain_id,
            });
        }
        if draft.owner != self.owner {
            return Err(SignerError::Unverified { address: self.owner }.into());
        }
        verify_signature(self.owner, draft.user_op_hash(), signature)?;

        let store = &self.client.store;
        let session = new.as_ref().map(|new| new.id.clone());
        if let Some(new) = new {
            match store.session(account, &new.id).await {
                Ok(_) => {}
                Err(StoreError::UnknownSession { .. }) => store.add(new).await?,
                Err(error) => return Err(error.into()),
            }
        }
        let ChangeDraft { operation, replaces, leaves, .. } = draft;
        let signature = self.owner_signature(signature);
        let signed = SignedOperation { operation, signature };
        let user_op_hash =
            Some(signed.operation.operation.hash(signed.operation.entry_point, account.chain_id));
        let tree = Tree { leaves, replaces, user_op_hash, operation: signed.to_json() };
        let root = tree.root();

        let found = self.client.chain.session_root(self.address).await?;
        if found != replaces {
            return Err(Error::RootChanged { expected: replaces, found });
        }
        store.add_tree(account, tree).await?;
        if let Some(session) = &session {
            store.set_status(account, session, Status::Pending).await?;
        }
        let sent = self.client.send(signed.operation.operation, signed.signature).await;
        match sent {
            Ok(operation) => Ok(PendingChange { account: self.clone(), operation, session, replaces, root }),
            Err(error) => {
                // Where the bundler gave no answer it may have taken the operation: the store leaves that open.
                if is_final(&error) && root != replaces {
                    self.clear(root, session.as_ref()).await?;
                }
                Err(error)
            }
        }
    }

    /// Forgets a change that cannot get on chain.
    async fn clear(&self, root: B256, session: Option<&SessionId>) -> Result<(), Error> {
        let store = &self.client.store;
        store.remove_tree(self.id(), root).await?;
        if let Some(session) = session {
            self.set_status(session, Status::Inactive).await?;
        }
        Ok(())
    }

    async fn require_deployed(&self) -> Result<(), Error> {
        if self.is_deployed().await? {
            return Ok(());
        }
        Err(Error::NotDeployed { account: self.address, chain_id: self.client.chain_id() })
    }
}

/// Whether the bundler has said that an operation will not be.
const fn is_final(error: &Error) -> bool {
    matches!(error, Error::Bundler(BundlerError::Rejected { .. }) | Error::RootChanged { .. })
}

pub(crate) fn leaves_of(session: &Session) -> impl Iterator<Item = B256> + '_ {
    session.leaves.iter().map(quorate_store::Leaf::hash)
}

pub(crate) fn in_tree<'a>(sessions: &'a [Session], leaves: &[B256]) -> impl Iterator<Item = &'a Session> {
    let leaves: HashSet<B256> = leaves.iter().copied().collect();
    sessions.iter().filter(move |session| leaves_of(session).all(|leaf| leaves.contains(&leaf)))
}

/// Whether none of a session's leaves will ever be valid again. `now` is in seconds since 1970.
pub(crate) fn has_expired(session: &Session, now: u64) -> bool {
    let over = |until: u64| until != 0 && until < now;
    session.leaves.iter().all(|leaf| over(leaf.epoch.valid_until()))
}

impl ChangeDraft {
    /// What the owner signs as a message (EIP-191, `personal_sign` of these 32 bytes).
    pub fn user_op_hash(&self) -> B256 {
        self.operation.operation.hash(self.operation.entry_point, self.operation.chain_id)
    }

    /// The sessions that the change ends.
    pub const fn ends(&self) -> &Ended {
        &self.ends
    }

    /// The whole operation that the owner signs, for a device that reviews it.
    pub const fn operation(&self) -> &OperationMessage {
        &self.operation
    }

    pub(crate) const fn account_id(&self) -> AccountId {
        AccountId { chain_id: self.operation.chain_id, address: self.operation.operation.sender }
    }

    /// The draft as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.to_text()).unwrap_or_default()
    }

    /// Reads a stored draft.
    ///
    /// # Errors
    /// Text that is no draft.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let text: ChangeText = serde_json::from_str(text)
            .map_err(|source| Error::Stored { what: "draft of a change", source })?;
        text.read()
    }

    pub(crate) fn to_text(&self) -> ChangeText {
        ChangeText {
            owner: self.owner,
            operation: self.operation.to_json(),
            replaces: self.replaces,
            leaves: self.leaves.clone(),
            ends: self.ends.clone(),
        }
    }
}

impl PendingChange {
    /// The operation's hash.
    pub const fn user_op_hash(&self) -> B256 {
        self.operation.user_op_hash()
    }

    /// The operation, to wait for by other means.
    pub const fn operation(&self) -> &PendingOperation {
        &self.operation
    }

    /// Waits until the change is on chain, and brings the store up to date.
    ///
    /// What else it ended is seen where the other grant is in an earlier block.
    ///
    /// # Errors
    /// As [`PendingOperation::wait`].
    pub async fn wait(&self) -> Result<Changed, Error> {
        let receipt = match self.operation.wait().await {
            Err(error @ Error::Reverted { .. }) => {
                if self.root != self.replaces {
                    self.account.clear(self.root, self.session.as_ref()).await?;
                }
                return Err(error);
            }
            waited => waited?,
        };
        let overwritten = self.overwritten(&receipt).await?;
        self.account.sessions().await?;
        Ok(Changed { receipt, overwritten })
    }

    async fn overwritten(&self, receipt: &UserOperationReceipt) -> Result<Option<Ended>, Error> {
        let SmartAccount { client, address, .. } = &self.account;
        let before = receipt.receipt.block_number.and_then(|block| u64::try_from(block).ok()?.checked_sub(1));
        let Some(before) = before else { return Ok(None) };
        let found = client.chain.session_root_at(*address, Some(before)).await?;
        if found == self.replaces || found == self.root || found == B256::ZERO {
            return Ok(None);
        }
        let trees = client.store.trees(self.account.id()).await?;
        let Some(tree) = trees.iter().find(|tree| tree.root() == found) else {
            return Ok(Some(Ended { sessions: Vec::new(), foreign_root: Some(found) }));
        };
        let sessions = client.store.sessions(self.account.id()).await?;
        let own = trees.iter().find(|tree| tree.root() == self.root);
        let kept: HashSet<B256> = own.map(|tree| tree.leaves.iter().copied().collect()).unwrap_or_default();
        let ended = in_tree(&sessions, &tree.leaves)
            .filter(|session| !leaves_of(session).all(|leaf| kept.contains(&leaf)));
        let sessions = ended.map(|session| session.id.clone()).collect();
        Ok(Some(Ended { sessions, foreign_root: None }))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ChangeText {
    owner: Address,
    operation: String,
    replaces: B256,
    leaves: Vec<B256>,
    ends: Ended,
}

impl ChangeText {
    pub(crate) fn read(self) -> Result<ChangeDraft, Error> {
        let Self { owner, operation, replaces, leaves, ends } = self;
        let operation = OperationMessage::from_json(&operation)?;
        Ok(ChangeDraft { owner, operation, replaces, leaves, ends })
    }
}

/// An operation as it was sent, to be sent again.
struct SignedOperation {
    operation: OperationMessage,
    signature: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignedText {
    operation: String,
    signature: Bytes,
}

impl SignedOperation {
    fn to_json(&self) -> String {
        let text =
            SignedText { operation: self.operation.to_json(), signature: self.signature.clone().into() };
        serde_json::to_string(&text).unwrap_or_default()
    }
}

impl SignedText {
    fn read(text: &str) -> Result<SignedOperation, Error> {
        let text: Self =
            serde_json::from_str(text).map_err(|source| Error::Stored { what: "operation", source })?;
        let operation = OperationMessage::from_json(&text.operation)?;
        Ok(SignedOperation { operation, signature: text.signature.into() })
    }
}

/// Session ids as text.
mod ids {
    use quorate_store::SessionId;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(ids: &[SessionId], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(ids.iter().map(SessionId::as_str))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<SessionId>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts.into_iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
    }
}
