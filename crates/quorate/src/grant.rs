use std::time::Duration;

use alloy_primitives::{Address, B256};
use alloy_signer::Signer;
use quorate_core::{Encode as _, Erc20Policy, Erc20SessionKeyData, SessionEpoch, SessionKeyData};
use quorate_network::{DistributedSigner, EphemeralKey, KeyDraft, NetworkError, SigningNetwork};
use quorate_protocol::{Limits, OperationMessage, Permissions};
use quorate_signer::{SIGNATURE_LEN, sign_as_owner, sign_typed_data};
use quorate_store::{Key, NewSession, SessionId, Status};
use serde::{Deserialize, Serialize};

use crate::change::{ChangeDraft, ChangeText, Plan};
use crate::client::now;
use crate::record::RecordText;
use crate::{
    EncodedPolicy, Ended, Error, PendingChange, PendingOperation, SessionRecord, SmartAccount, StorableKey,
};

/// Policies for one account, checked for evident mistakes, and what becomes of the account's other sessions.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    permissions: Permissions,
    tokens: Vec<Erc20Policy>,
    id: Option<SessionId>,
    batches: bool,
    plan: Plan,
}

/// A grant that waits for its owner's signature. It can be stored, and go on in another process: the owner's wallet
/// is often in a browser or on a device.
#[derive(Clone, Debug, PartialEq)]
pub struct GrantDraft {
    change: ChangeDraft,
    id: SessionId,
    session: SessionRecord,
}

/// A grant that was sent.
#[derive(Clone, Debug)]
pub struct PendingGrant {
    change: PendingChange,
    id: SessionId,
    session: SessionRecord,
}

/// A session that is on chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Its id in the store.
    pub id: SessionId,
    /// What it is.
    pub record: SessionRecord,
    /// What the grant ended without having been prepared for it: sessions that another device had granted in the
    /// meantime. Grant them again to have them back.
    pub overwritten: Option<Ended>,
}

impl From<Granted> for SessionRecord {
    fn from(granted: Granted) -> Self {
        granted.record
    }
}

impl Grant {
    pub(crate) fn new(permissions: Permissions) -> Self {
        Self { permissions, tokens: Vec::new(), id: None, batches: false, plan: Plan::default() }
    }

    /// Lets the session also move a token, by the ERC-20 validation module.
    ///
    /// The module does not look at the function, so the session may approve as well as transfer; and the amount bounds
    /// each call, not their sum.
    #[must_use]
    pub fn with_token(mut self, policy: Erc20Policy) -> Self {
        self.tokens.push(policy);
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
        self.plan.kept.extend(leaves);
        self
    }

    /// Ends these sessions of the account in the same operation.
    #[must_use]
    pub fn replacing(mut self, sessions: impl IntoIterator<Item = SessionId>) -> Self {
        self.plan.ended.extend(sessions);
        self
    }

    /// Ends whatever sessions are under this root, which no store here knows. [`GrantDraft::ends`] lists them as far as
    /// that can be done.
    #[must_use]
    pub const fn replacing_root(mut self, root: B256) -> Self {
        self.plan.foreign = Some(root);
        self
    }

    /// Limits what the session's operations may come to in all. The chain has no memory of a session's uses, so these
    /// are held by the nodes of a [`distributed_key`](Self::distributed_key), and by nobody for another kind of key.
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.permissions.limits = limits;
        self
    }

    /// What a network is asked to hold a key to.
    pub const fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// Has a network make the session's key; the owner signs the request.
    ///
    /// Who asks for signatures is known by a fresh [`EphemeralKey`], which lasts as long as the longest policy, and a
    /// year at most. For an ephemeral key of one's own, or an owner whose wallet is elsewhere, there are
    /// [`SigningNetwork::prepare_key`] with these [`permissions`](Self::permissions), and
    /// [`SigningNetwork::submit_key`].
    ///
    /// # Errors
    /// The network's refusal, a key that too few nodes attest to, or the signer's own error;
    /// [`Error::NotDistributable`] for a session that moves tokens by the ERC-20 module.
    pub async fn distributed_key<S: Signer + Sync + ?Sized>(
        &self,
        network: &SigningNetwork,
        owner: &S,
    ) -> Result<DistributedSigner, Error> {
        if !self.tokens.is_empty() {
            return Err(Error::NotDistributable);
        }
        let ephemeral = EphemeralKey::random()?;
        let claim = ephemeral.claim("quorate", self.longest_policy_ends());
        let draft = network.prepare_key(&self.permissions, &claim).await?;
        let signature = sign_key_draft(&draft, owner).await?;
        let key = network.submit_key(&draft, &signature).await?;
        Ok(DistributedSigner::new(network.clone(), key, ephemeral))
    }

    /// Seconds since 1970.
    fn longest_policy_ends(&self) -> u64 {
        let ends = self.permissions.policies.iter().map(|permitted| permitted.policy.epoch().valid_until());
        let latest = ends.map(|end| if end == 0 { u64::MAX } else { end }).max().unwrap_or(u64::MAX);
        latest.min(now().as_secs() + LONGEST_KEY.as_secs())
    }

    /// The policies as `session_key`'s leaves hold them.
    fn encode(&self, session_key: Address, erc20_module: Address) -> Vec<EncodedPolicy> {
        let rules = self.permissions.policies.iter().map(|permitted| EncodedPolicy {
            epoch: permitted.policy.epoch(),
            validation_module: permitted.validation_module,
            session_key_data: SessionKeyData::new(session_key, &permitted.policy).to_vec(),
        });
        let tokens = self.tokens.iter().map(|policy| EncodedPolicy {
            epoch: policy.epoch,
            validation_module: erc20_module,
            session_key_data: Erc20SessionKeyData::new(session_key, *policy).to_vec(),
        });
        rules.chain(tokens).collect()
    }
}

/// What a network lets an ephemeral key last is a year; a day less, as clocks differ.
const LONGEST_KEY: Duration = Duration::from_secs(364 * 24 * 3600);

async fn sign_key_draft<S: Signer + Sync + ?Sized>(
    draft: &KeyDraft,
    owner: &S,
) -> Result<alloy_primitives::Signature, Error> {
    let typed_data = draft.typed_data().map_err(NetworkError::from)?;
    let document = serde_json::from_value(typed_data.document().clone())
        .map_err(|source| Error::Stored { what: "key draft", source })?;
    Ok(sign_typed_data(owner, &document, typed_data.digest()).await?)
}

impl SmartAccount {
    /// Builds the one operation that deploys the account where it does not exist, enables the session key manager
    /// where it is not, and sets the root; and stores the session's key, so that it outlives this process. The session
    /// is inactive until the grant is sent.
    ///
    /// # Errors
    /// [`Error::ForeignRoot`] if the account has sessions that neither the store knows nor the grant keeps; a node or
    /// bundler that gives no answer.
    pub async fn prepare(&self, grant: Grant, key: &dyn StorableKey) -> Result<GrantDraft, Error> {
        let policies = grant.encode(key.address(), self.client.deployment().erc20_session_validation_module);
        self.prepare_session(policies, grant.id, grant.plan, grant.batches, key.address(), key.to_stored())
            .await
    }

    pub(crate) async fn prepare_session(
        &self,
        policies: Vec<EncodedPolicy>,
        id: Option<SessionId>,
        plan: Plan,
        batches: bool,
        session_key: Address,
        key: Key,
    ) -> Result<GrantDraft, Error> {
        if policies.is_empty() {
            return Err(Error::NoPolicy);
        }
        let added = policies.iter().map(EncodedPolicy::leaf).collect();
        let change = self.prepare_change(plan, added, batches).await?;
        let session = SessionRecord {
            account: self.address,
            chain_id: self.client.chain_id(),
            session_key,
            key_id: key.key_id().map(ToOwned::to_owned),
            policies,
            tree: change.leaves.clone(),
        };
        let id = match id {
            Some(id) => id,
            None => SessionId::random()?,
        };
        let draft = GrantDraft { change, id, session };
        self.client.store.add(draft.to_be_stored(key)).await?;
        Ok(draft)
    }

    /// Sends a grant that its owner signed. From here on the session is pending in the store.
    ///
    /// # Errors
    /// A signature that is not the owner's over this draft, [`Error::RootChanged`] where the account's sessions changed
    /// since it was prepared, or a bundler that does not take the operation.
    pub async fn submit(
        &self,
        draft: GrantDraft,
        signature: &[u8; SIGNATURE_LEN],
    ) -> Result<PendingGrant, Error> {
        let new = draft.to_be_stored(Key::External);
        let GrantDraft { change, id, session } = draft;
        let change = self.submit_change(change, Some(new), signature).await?;
        Ok(PendingGrant { change, id, session })
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

    pub(crate) async fn sign_and_submit<S: Signer + Sync + ?Sized>(
        &self,
        draft: GrantDraft,
        owner: &S,
    ) -> Result<PendingGrant, Error> {
        let signature = sign_as_owner(owner, draft.user_op_hash()).await?;
        self.submit(draft, &signature).await
    }
}

impl GrantDraft {
    /// What the owner signs as a message (EIP-191, `personal_sign` of these 32 bytes).
    pub fn user_op_hash(&self) -> B256 {
        self.change.user_op_hash()
    }

    /// The same with the EIP-191 prefix hashed in, for signers that take a digest.
    pub fn digest(&self) -> B256 {
        quorate_core::signing_hash(self.user_op_hash())
    }

    /// The session's id in the store.
    pub const fn id(&self) -> &SessionId {
        &self.id
    }

    /// The session as it will be.
    pub const fn session(&self) -> &SessionRecord {
        &self.session
    }

    /// The sessions that the grant ends.
    pub const fn ends(&self) -> &Ended {
        &self.change.ends
    }

    /// The whole operation that the owner signs, for a device that reviews it.
    pub const fn operation(&self) -> &OperationMessage {
        &self.change.operation
    }

    fn to_be_stored(&self, key: Key) -> NewSession {
        NewSession {
            id: self.id.clone(),
            account: self.change.account_id(),
            session_key: self.session.session_key,
            key,
            leaves: self.session.stored_leaves(),
            record: String::new(),
            status: Status::Inactive,
            created: now().as_secs(),
            user_op_hash: Some(self.user_op_hash()),
        }
    }

    /// The draft as JSON.
    pub fn to_json(&self) -> String {
        let text = DraftText {
            change: self.change.to_text(),
            id: self.id.to_string(),
            session: (&self.session).into(),
        };
        serde_json::to_string(&text).unwrap_or_default()
    }

    /// Reads a stored draft.
    ///
    /// # Errors
    /// Text that is no draft.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let text: DraftText =
            serde_json::from_str(text).map_err(|source| Error::Stored { what: "grant draft", source })?;
        Ok(Self {
            change: text.change.read()?,
            id: text.id.parse().map_err(Error::SessionId)?,
            session: text.session.read()?,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DraftText {
    change: ChangeText,
    id: String,
    session: RecordText,
}

impl PendingGrant {
    /// The operation's hash.
    pub const fn user_op_hash(&self) -> B256 {
        self.change.user_op_hash()
    }

    /// The operation, to wait for by other means.
    pub const fn operation(&self) -> &PendingOperation {
        self.change.operation()
    }

    /// The session's id in the store.
    pub const fn id(&self) -> &SessionId {
        &self.id
    }

    /// The session as it will be.
    pub const fn session(&self) -> &SessionRecord {
        &self.session
    }

    /// Waits until the session is on chain, and gives it.
    ///
    /// # Errors
    /// As [`PendingOperation::wait`].
    pub async fn wait(&self) -> Result<Granted, Error> {
        let overwritten = self.change.wait().await?.overwritten;
        Ok(Granted { id: self.id.clone(), record: self.session.clone(), overwritten })
    }

    /// Waits like [`wait`](Self::wait), and gives the hash of the transaction that carried the operation.
    ///
    /// # Errors
    /// As [`PendingOperation::wait`].
    pub async fn wait_for_tx_hash(&self) -> Result<B256, Error> {
        Ok(self.change.wait().await?.receipt.receipt.transaction_hash)
    }
}

/// The same policies until another time.
pub(crate) fn until(policies: Vec<EncodedPolicy>, valid_until: u64) -> Result<Vec<EncodedPolicy>, Error> {
    let extend = |policy: EncodedPolicy| {
        let epoch = SessionEpoch::new(policy.epoch.valid_after(), valid_until).map_err(Error::Encode)?;
        Ok(EncodedPolicy { epoch, ..policy })
    };
    policies.into_iter().map(extend).collect()
}

/// The same policies for another key.
///
/// Both modules' session key data begin with the key: as 20 bytes, and as a word.
pub(crate) fn for_key(
    policies: Vec<EncodedPolicy>,
    erc20_module: Address,
    key: Address,
) -> Vec<EncodedPolicy> {
    let replace = |mut policy: EncodedPolicy| {
        let start = if policy.validation_module == erc20_module { 12 } else { 0 };
        if let Some(place) = policy.session_key_data.get_mut(start..start + 20) {
            place.copy_from_slice(key.as_slice());
        }
        policy
    };
    policies.into_iter().map(replace).collect()
}
