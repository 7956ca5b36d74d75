use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use alloy_signer::Signer;
use quorate_contracts::{account, calls};
use quorate_core::{
    Call, DUMMY_SESSION_SIGNATURE, Encode as _, ExecuteBatch, ModuleSignature, Policy, merkle, signing_hash,
};
use quorate_network::{DistributedSigner, EphemeralKey, KeyDraft, NetworkError, SigningNetwork};
use quorate_protocol::{Limits, OperationMessage, Permissions, PermittedPolicy};
use quorate_signer::{
    SIGNATURE_LEN, SessionSigner, SignerError, sign_as_owner, sign_typed_data, verify_signature,
};
use serde::{Deserialize, Serialize};

use crate::client::{draft, now};
use crate::{Error, PendingOperation, Quorate, SessionRecord};

/// A smart account of one owner.
#[derive(Clone, Debug)]
pub struct SmartAccount {
    pub(crate) client: Quorate,
    pub(crate) owner: Address,
    pub(crate) index: U256,
    pub(crate) address: Address,
}

/// A grant that waits for its owner's signature. It can be stored, and go on in another process: the owner's wallet
/// is often in a browser or on a device.
#[derive(Clone, Debug, PartialEq)]
pub struct GrantDraft {
    owner: Address,
    operation: OperationMessage,
    session: SessionRecord,
}

/// A grant that was sent.
#[derive(Clone, Debug)]
pub struct PendingGrant {
    operation: PendingOperation,
    session: SessionRecord,
}

/// Policies for one account, checked for evident mistakes.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    permissions: Permissions,
    others: Vec<B256>,
}

impl SmartAccount {
    /// The account's address, whether or not it is deployed.
    pub const fn address(&self) -> Address {
        self.address
    }

    /// Whose signature it obeys.
    pub const fn owner(&self) -> Address {
        self.owner
    }

    /// A session with these policies.
    ///
    /// # Errors
    /// No policy, or one that the contract would take and that is evidently a mistake: an offset that is not a
    /// multiple of 32, times in milliseconds, an end before its start.
    pub fn grant(&self, policies: impl IntoIterator<Item = Policy>) -> Result<Grant, Error> {
        let grant = self.grant_with_mistakes_allowed(policies)?;
        for (policy, permitted) in grant.permissions.policies.iter().enumerate() {
            if let Some(mistake) = permitted.policy.mistakes().next() {
                return Err(Error::Mistake { policy, mistake });
            }
        }
        Ok(grant)
    }

    /// A session with these policies, however odd they are.
    ///
    /// # Errors
    /// No policy.
    pub fn grant_with_mistakes_allowed(
        &self,
        policies: impl IntoIterator<Item = Policy>,
    ) -> Result<Grant, Error> {
        let deployment = self.client.deployment();
        let validation_module = deployment.abi_session_validation_module;
        let policies: Vec<_> =
            policies.into_iter().map(|policy| PermittedPolicy { validation_module, policy }).collect();
        if policies.is_empty() {
            return Err(Error::NoPolicy);
        }
        let permissions = Permissions {
            owner: self.owner,
            account: self.address,
            chain_id: self.client.chain_id(),
            entry_point: deployment.entry_point,
            session_key_manager: deployment.session_key_manager,
            policies,
            limits: Limits::default(),
        };
        Ok(Grant { permissions, others: Vec::new() })
    }

    /// Builds the one operation that deploys the account where it does not exist, enables the session key manager
    /// where it is not, and sets the root.
    ///
    /// # Errors
    /// [`Error::ForeignRoot`] if the account has sessions that the grant does not keep; a node or bundler that
    /// gives no answer.
    pub async fn prepare(&self, grant: Grant, session: &dyn SessionSigner) -> Result<GrantDraft, Error> {
        let Grant { permissions, others } = grant;
        let chain = &self.client.chain;
        let deployment = self.client.deployment();
        let deployed = chain.is_deployed(self.address).await?;
        self.check_root(&others).await?;
        let manager = deployment.session_key_manager;
        let enabled = deployed && chain.is_module_enabled(self.address, manager).await?;

        let key_id = session.key_id().map(ToOwned::to_owned);
        let session = SessionRecord::new(permissions, session.address(), key_id, others);
        let root = merkle::root(&session.leaves()).map_err(|_| Error::NoPolicy)?;
        let enable = (!enabled).then(|| calls::enable_module(self.address, manager));
        let set_root = calls::set_merkle_root(manager, root);
        let calls: Vec<Call<'_>> = enable.iter().chain([&set_root]).map(|call| call.as_call()).collect();

        let nonce = chain.nonce(self.address, 0).await?;
        let mut operation = draft(self.address, nonce, ExecuteBatch(&calls).to_vec());
        if !deployed {
            operation.init_code = account::init_code(deployment, self.owner, self.index).to_vec();
        }
        let operation = self.client.size(operation, self.owner_signature(&DUMMY_SESSION_SIGNATURE)).await?;
        let operation = OperationMessage {
            operation,
            entry_point: deployment.entry_point,
            chain_id: self.client.chain_id(),
        };
        Ok(GrantDraft { owner: self.owner, operation, session })
    }

    /// Sends a grant that its owner signed.
    ///
    /// # Errors
    /// A signature that is not the owner's over this draft, or a bundler that does not take the operation.
    pub async fn submit(
        &self,
        draft: GrantDraft,
        signature: &[u8; SIGNATURE_LEN],
    ) -> Result<PendingGrant, Error> {
        if draft.owner != self.owner {
            return Err(SignerError::Unverified { address: self.owner }.into());
        }
        verify_signature(self.owner, draft.user_op_hash(), signature)?;
        let GrantDraft { operation, session, .. } = draft;
        let operation = self.client.send(operation.operation, self.owner_signature(signature)).await?;
        Ok(PendingGrant { operation, session })
    }

    /// Prepares, signs and sends a grant in one step, where the owner's signer is at hand.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare) and [`submit`](Self::submit), and the signer's own.
    pub async fn send<S: Signer + Sync + ?Sized>(
        &self,
        grant: Grant,
        session: &dyn SessionSigner,
        owner: &S,
    ) -> Result<PendingGrant, Error> {
        let draft = self.prepare(grant, session).await?;
        let signature = sign_as_owner(owner, draft.user_op_hash()).await?;
        self.submit(draft, &signature).await
    }

    /// The account must have exactly the sessions that the grant keeps: setting a root ends all others.
    async fn check_root(&self, kept: &[B256]) -> Result<(), Error> {
        let found = self.client.chain.session_root(self.address).await?;
        let expected = if kept.is_empty() { B256::ZERO } else { merkle::root(kept).unwrap_or_default() };
        if found == expected { Ok(()) } else { Err(Error::ForeignRoot { expected, found }) }
    }

    fn owner_signature(&self, signature: &[u8; SIGNATURE_LEN]) -> Vec<u8> {
        let module = self.client.deployment().ecdsa_ownership_module;
        ModuleSignature { module_signature: signature.as_slice(), module }.to_vec()
    }
}

impl Grant {
    /// Keeps other sessions of the account alive, by their leaves in the order of the present tree.
    pub fn keeping(mut self, leaves: impl IntoIterator<Item = B256>) -> Self {
        self.others.extend(leaves);
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
    /// The network's refusal, a key that too few nodes attest to, or the signer's own error.
    pub async fn distributed_key<S: Signer + Sync + ?Sized>(
        &self,
        network: &SigningNetwork,
        owner: &S,
    ) -> Result<DistributedSigner, Error> {
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

impl GrantDraft {
    /// What the owner signs as a message (EIP-191, `personal_sign` of these 32 bytes).
    pub fn user_op_hash(&self) -> B256 {
        self.operation.operation.hash(self.operation.entry_point, self.operation.chain_id)
    }

    /// The same with the EIP-191 prefix hashed in, for signers that take a digest.
    pub fn digest(&self) -> B256 {
        signing_hash(self.user_op_hash())
    }

    /// The session as it will be.
    pub const fn session(&self) -> &SessionRecord {
        &self.session
    }

    /// The whole operation that the owner signs, for a device that reviews it.
    pub const fn operation(&self) -> &OperationMessage {
        &self.operation
    }

    /// The draft as JSON.
    pub fn to_json(&self) -> String {
        let text = DraftText {
            owner: self.owner,
            operation: self.operation.to_json(),
            session: self.session.to_json(),
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
            owner: text.owner,
            operation: OperationMessage::from_json(&text.operation)?,
            session: SessionRecord::from_json(&text.session)?,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DraftText {
    owner: Address,
    operation: String,
    session: String,
}

impl PendingGrant {
    /// The operation's hash.
    pub const fn user_op_hash(&self) -> B256 {
        self.operation.user_op_hash()
    }

    /// The operation, to wait for by other means.
    pub const fn operation(&self) -> &PendingOperation {
        &self.operation
    }

    /// The session as it will be.
    pub const fn session(&self) -> &SessionRecord {
        &self.session
    }

    /// Waits until the session is on chain, and gives it.
    ///
    /// # Errors
    /// As [`PendingOperation::wait`].
    pub async fn wait(&self) -> Result<SessionRecord, Error> {
        self.operation.wait().await?;
        Ok(self.session.clone())
    }

    /// Waits like [`wait`](Self::wait), and gives the hash of the transaction that carried the operation.
    ///
    /// # Errors
    /// As [`PendingOperation::wait`].
    pub async fn wait_for_tx_hash(&self) -> Result<B256, Error> {
        self.operation.wait_for_tx_hash().await
    }
}
