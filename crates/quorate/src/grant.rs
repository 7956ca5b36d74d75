use std::time::Duration;

use alloy_primitives::{Address, B256};
use alloy_signer::Signer;
use quorate_bundler::UserOperationReceipt;
use quorate_contracts::Deployment;
use quorate_core::{Erc20Policy, Leaf, Lint, SessionEpoch};
use quorate_protocol::{CallPolicy, Limits, Permissions, PermittedPolicy};
use quorate_store::{AccountId, Change, Key, NewSession, SessionId};
use serde::{Deserialize, Serialize};

use crate::client::now;
use crate::life::plan::{Overwritten, UpdateRequest};
use crate::life::update::{OwnerIntent, PendingUpdate, TreeUpdate, Updated};
use crate::{Draft, Error, PendingOperation, Session, SessionRecord, SmartAccount, StorableKey};

/// Policies for one account, checked for evident mistakes, and what becomes of the account's other sessions.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    pub(crate) permissions: Permissions,
    /// The module of token policies.
    erc20_module: Address,
    id: Option<SessionId>,
    pub(crate) batches: bool,
    /// Rules that the chain does not enforce are taken.
    allows_mistakes: bool,
    request: UpdateRequest,
}

/// The grant of a session: what the tree becomes, and the session that is added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SessionGrant {
    /// What the tree becomes.
    pub update: TreeUpdate,
    /// The session as it will be.
    pub session: SessionRecord,
    /// When it was prepared, in seconds since 1970.
    pub created: u64,
}

/// A grant that was sent.
#[derive(Clone, Debug)]
pub struct PendingGrant {
    update: PendingUpdate,
    session: SessionRecord,
}

/// A session that is on chain.
#[derive(Clone, Debug)]
pub struct Granted {
    /// What it is.
    pub record: SessionRecord,
    /// The receipt of its operation.
    pub receipt: UserOperationReceipt,
    /// What the grant did to sessions that another device had made in the meantime. Grant them again to have them back.
    pub overwritten: Overwritten,
    account: SmartAccount,
}

impl Granted {
    /// Opens the session with its stored key, with the options of the account that granted it. A key in a network needs a
    /// client with that network ([`Quorate::with_network`](crate::Quorate::with_network)).
    ///
    /// # Errors
    /// As [`SmartAccount::session`]: a key that the store does not hold is given to
    /// [`SmartAccount::session_with`].
    pub async fn session(&self) -> Result<Session, Error> {
        self.account.session(&self.record.id).await
    }

    /// The session's id in the store.
    pub const fn id(&self) -> &SessionId {
        self.record.id()
    }
}

impl From<Granted> for SessionRecord {
    fn from(granted: Granted) -> Self {
        granted.record
    }
}

impl Grant {
    pub(crate) fn new(permissions: Permissions, erc20_module: Address) -> Self {
        let request = UpdateRequest::default();
        Self { permissions, erc20_module, id: None, batches: false, allows_mistakes: false, request }
    }

    /// Lets the session also move a token, by the ERC-20 validation module.
    ///
    /// The module does not look at the function, so the session may approve as well as transfer, unless its key is in a
    /// network, whose nodes sign transfers only; and the amount bounds each call, not their sum.
    #[must_use]
    pub fn with_token(mut self, policy: Erc20Policy) -> Self {
        let validation_module = self.erc20_module;
        self.permissions.policies.push(PermittedPolicy { validation_module, policy: policy.into() });
        self
    }

    pub(crate) const fn with_mistakes(mut self, allowed: bool) -> Self {
        self.allows_mistakes = allowed;
        self
    }

    /// Names the session; otherwise it gets a random id.
    #[must_use]
    pub fn with_id(mut self, id: SessionId) -> Self {
        self.id = Some(id);
        self
    }

    /// Enables the batched router as well, so that the session can make several calls in one operation.
    #[must_use]
    pub const fn with_batches(mut self) -> Self {
        self.batches = true;
        self
    }

    /// Keeps other sessions of the account alive, by their leaves in the order of the present tree. It is not needed
    /// for sessions that the client's store knows.
    #[must_use]
    pub fn keeping(mut self, leaves: impl IntoIterator<Item = B256>) -> Self {
        self.request.kept.extend(leaves);
        self
    }

    /// Ends these sessions of the account in the same operation.
    #[must_use]
    pub fn replacing(mut self, sessions: impl IntoIterator<Item = SessionId>) -> Self {
        self.request.revoked.extend(sessions);
        self
    }

    /// Ends whatever sessions are under this root, which no store here knows. The draft's [`TreeUpdate::revoked`] lists
    /// them as far as that can be done.
    #[must_use]
    pub const fn replacing_root(mut self, root: B256) -> Self {
        self.request.foreign = Some(root);
        self
    }

    /// Limits what the session's operations may come to in all. The chain has no memory of a session's uses, so these
    /// are held by the nodes of a distributed key (`distributed_key`), and by nobody for another kind of key.
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.permissions.limits = limits;
        self
    }

    /// What a network is asked to hold a key to.
    pub const fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// Evident mistakes, one of each token policy, with the policy's place. The others were looked at when the grant was
    /// begun.
    fn mistakes_in_tokens(&self) -> impl Iterator<Item = (usize, Lint)> + '_ {
        let policies = self.permissions.policies.iter().enumerate();
        let tokens = policies.filter(|(_, permitted)| matches!(permitted.policy, CallPolicy::Erc20(_)));
        tokens.filter_map(|(place, permitted)| Some((place, permitted.policy.mistake()?)))
    }

    /// The policies as `session_key`'s leaves hold them.
    fn encode(&self, session_key: Address) -> Vec<Leaf> {
        let leaves = self.permissions.policies.iter().map(|permitted| Leaf {
            epoch: permitted.policy.epoch(),
            validation_module: permitted.validation_module,
            session_key_data: permitted.policy.session_key_data(session_key),
        });
        leaves.collect()
    }
}

impl SmartAccount {
    /// Builds the one operation that deploys the account where it does not exist, enables the session key manager
    /// where it is not, and sets the root; and stores the session's key, so that it outlives this process. The session
    /// is inactive until the grant is sent.
    ///
    /// # Errors
    /// [`Error::ForeignRoot`] if the account has sessions that neither the store knows nor the grant keeps;
    /// [`Error::DuplicateLeaf`] if a session with the same key, policy and times is or was there; [`Error::UnderWay`] if
    /// another operation of the owner's is; [`Error::Mistake`] for evident mistakes in a token policy's times;
    /// [`Error::UnenforcedCondition`] for a rule that the chain's module lets pass; a node or bundler that gives no answer.
    pub async fn prepare(&self, grant: Grant, key: &dyn StorableKey) -> Result<Draft<SessionGrant>, Error> {
        if let Some((policy, mistake)) = grant.mistakes_in_tokens().next() {
            return Err(Error::Mistake { policy, mistake });
        }
        if !grant.allows_mistakes {
            self.check_conditions(&grant.permissions.policies).await?;
        }
        let stored = key.to_stored();
        let policies = grant.encode(key.address());
        let Grant { id, request, batches, .. } = grant;
        self.prepare_session(policies, id, request, batches, key.address(), stored).await
    }

    pub(crate) async fn prepare_session(
        &self,
        policies: Vec<Leaf>,
        id: Option<SessionId>,
        request: UpdateRequest,
        batches: bool,
        session_key: Address,
        key: Key,
    ) -> Result<Draft<SessionGrant>, Error> {
        if policies.is_empty() {
            return Err(Error::NoPolicy);
        }
        let unsent = self.unsent_with(&policies).await?;
        let request = UpdateRequest { added: policies.clone(), unsent: unsent.clone(), ..request };
        let draft = self.prepare_update(request, batches).await?;
        let session = SessionRecord {
            id: match id {
                Some(id) => id,
                None => SessionId::random()?,
            },
            account: self.address,
            chain_id: self.client.chain_id(),
            session_key,
            key_id: key.key_id().map(ToOwned::to_owned),
            policies,
        };
        let user_op_hash = draft.user_op_hash();
        let draft = draft.map(|update| SessionGrant { update, session, created: now().as_secs() });
        let mut changes: Vec<Change> = unsent.into_iter().map(Change::RemoveSession).collect();
        changes.push(Change::AddSession(Box::new(draft.intent.to_be_stored(user_op_hash, key))));
        self.client.store.apply(self.id(), changes).await?;
        Ok(draft)
    }

    /// Sessions that were prepared with one of these leaves and never sent.
    async fn unsent_with(&self, policies: &[Leaf]) -> Result<Vec<SessionId>, Error> {
        let store = &self.client.store;
        let (sessions, operations) =
            tokio::try_join!(store.sessions(self.id()), store.operations(self.id()))?;
        let was_sent = |session: &quorate_store::Session| {
            session.landed.is_some()
                || operations.iter().any(|operation| operation.session.as_ref() == Some(&session.id))
        };
        let shares =
            |session: &quorate_store::Session| session.leaves.iter().any(|leaf| policies.contains(leaf));
        let unsent = sessions.into_iter().filter(|session| shares(session) && !was_sent(session));
        Ok(unsent.map(|session| session.id).collect())
    }

    /// Prepares, signs and sends a grant in one step, where the owner's signer is at hand.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare) and [`submit`](Self::submit), and the signer's own.
    pub async fn send<S: Signer + Sync + ?Sized>(
        &self,
        grant: Grant,
        key: &dyn StorableKey,
        owner: &S,
    ) -> Result<PendingGrant, Error> {
        let draft = self.prepare(grant, key).await?;
        self.sign_and_submit(draft, owner).await
    }
}

impl SessionGrant {
    fn to_be_stored(&self, user_op_hash: B256, key: Key) -> NewSession {
        let SessionRecord { id, account, chain_id, session_key, policies, .. } = self.session.clone();
        NewSession {
            id,
            account: AccountId { chain_id, address: account },
            session_key,
            key,
            leaves: policies,
            created: self.created,
            user_op_hash: Some(user_op_hash),
            landed: None,
        }
    }
}

impl OwnerIntent for SessionGrant {
    type Pending = PendingGrant;

    fn tree_update(&self) -> Option<&TreeUpdate> {
        Some(&self.update)
    }

    fn session_id(&self) -> Option<&SessionId> {
        Some(self.session.id())
    }

    /// A store that did not prepare the grant learns of its session, whose key it does not have.
    fn changes(&self, user_op_hash: B256, known_sessions: &[SessionId]) -> Vec<Change> {
        if known_sessions.contains(self.session.id()) {
            return Vec::new();
        }
        vec![Change::AddSession(Box::new(self.to_be_stored(user_op_hash, Key::External)))]
    }

    fn pending(self, account: &SmartAccount, operation: PendingOperation) -> PendingGrant {
        let change = self.update.root_change();
        PendingGrant { update: PendingUpdate::new(account.clone(), operation, change), session: self.session }
    }
}

impl PendingGrant {
    /// The operation's hash.
    pub const fn user_op_hash(&self) -> B256 {
        self.update.user_op_hash()
    }

    /// The operation, to wait for by other means.
    pub const fn operation(&self) -> &PendingOperation {
        self.update.operation()
    }

    /// The session's id in the store.
    pub const fn id(&self) -> &SessionId {
        self.session.id()
    }

    /// The session as it will be.
    pub const fn session(&self) -> &SessionRecord {
        &self.session
    }

    /// The same with another patience; see [`PendingOperation::with_deadline`].
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.update = self.update.with_deadline(deadline);
        self
    }

    /// The same with other confirmations; see [`PendingOperation::with_confirmations`].
    #[must_use]
    pub fn with_confirmations(mut self, blocks: u64) -> Self {
        self.update = self.update.with_confirmations(blocks);
        self
    }

    /// Waits until the session is on chain, and gives it.
    ///
    /// # Errors
    /// As [`PendingOperation::wait`].
    pub async fn wait(&self) -> Result<Granted, Error> {
        let Updated { receipt, overwritten } = self.update.wait().await?;
        let account = self.update.account().clone();
        Ok(Granted { record: self.session.clone(), receipt, overwritten, account })
    }
}

/// The same policies until another time.
pub(crate) fn until(policies: Vec<Leaf>, valid_until: u64) -> Result<Vec<Leaf>, Error> {
    let extend = |policy: Leaf| {
        let epoch = SessionEpoch::new(policy.epoch.valid_after(), valid_until).map_err(Error::Encode)?;
        Ok(Leaf { epoch, ..policy })
    };
    policies.into_iter().map(extend).collect()
}

/// The same policies for another key.
///
/// Both modules' session key data begin with the key: as 20 bytes, and as a word. What another module takes is not known.
pub(crate) fn for_key(
    policies: Vec<Leaf>,
    deployment: &Deployment,
    key: Address,
) -> Result<Vec<Leaf>, Error> {
    let replace = |mut policy: Leaf| {
        let module = policy.validation_module;
        let start = if module == deployment.erc20_session_validation_module {
            12
        } else if module == deployment.abi_session_validation_module {
            0
        } else {
            return Err(Error::UnknownModule { module });
        };
        match policy.session_key_data.get_mut(start..start + 20) {
            Some(place) => place.copy_from_slice(key.as_slice()),
            None => return Err(Error::UnknownModule { module }),
        }
        Ok(policy)
    };
    policies.into_iter().map(replace).collect()
}
