use std::sync::Arc;

use alloy_primitives::B256;
use quorate_bundler::GasEstimate;
use quorate_core::{
    Call, DUMMY_SESSION_SIGNATURE, Encode as _, Execute, ExecuteBatch, ModuleSignature, RoutedSession,
    RoutedSignature, SessionSignature, UserOperation, merkle,
};
use quorate_signer::{SIGNATURE_LEN, SessionSigner};
use quorate_store::{AccountId, Tree};

use crate::client::{draft, now};
use crate::judgement::allowing;
use crate::{EncodedPolicy, Error, Options, PendingOperation, Quorate, SessionRecord};

/// A granted session, ready to act for its account.
#[derive(Clone, Debug)]
pub struct Session {
    client: Quorate,
    record: SessionRecord,
    /// Other sessions of the same key.
    joined: Vec<SessionRecord>,
    signer: Arc<dyn SessionSigner>,
    options: Options,
}

impl Session {
    pub(crate) const fn new(client: Quorate, record: SessionRecord, signer: Arc<dyn SessionSigner>) -> Self {
        Self { client, record, joined: Vec::new(), signer, options: Options::new() }
    }

    /// What the session is.
    pub const fn record(&self) -> &SessionRecord {
        &self.record
    }

    /// The same with options for all that it sends; see [`Options::merged`].
    #[must_use]
    pub fn with_options(mut self, options: Options) -> Self {
        self.options = self.options.merged(options);
        self
    }

    /// The same with the policies of another session of the same key, so that each call of a batch may be allowed by
    /// either.
    ///
    /// # Errors
    /// [`Error::OtherSession`] for a session of another key, account or chain.
    pub fn joined(mut self, other: &Self) -> Result<Self, Error> {
        let (one, two) = (&self.record, &other.record);
        if one.session_key != two.session_key {
            return Err(Error::OtherSession { one: one.session_key, other: two.session_key });
        }
        if (one.account, one.chain_id) != (two.account, two.chain_id) {
            return Err(Error::OtherSession { one: one.account, other: two.account });
        }
        self.joined.push(other.record.clone());
        self.joined.extend(other.joined.iter().cloned());
        Ok(self)
    }

    /// Whether the session allows each of these calls now, as far as that can be said without a node: by the evaluator
    /// and the clock. Nothing is sent.
    ///
    /// # Errors
    /// [`Error::Forbidden`], which names the call, and the rule with both values.
    pub fn check(&self, calls: &[Call<'_>]) -> Result<(), Error> {
        self.permitting(calls).map(drop)
    }

    /// Has the account make a call that the session allows. The policy is checked before anything is sent or paid.
    ///
    /// # Errors
    /// [`Error::Forbidden`], which names the rule and both values; [`Error::NotGranted`] for a session that is not, or
    /// no longer, under the account's root; the signer's refusal; the bundler's.
    pub async fn send(&self, call: Call<'_>) -> Result<PendingOperation, Error> {
        self.check_place()?;
        let policies = self.permitting(&[call])?;
        let (operation, tree) = self.draft(Execute(call).to_vec()).await?;
        let dummy = self.module_signature(&policies, &tree, &DUMMY_SESSION_SIGNATURE)?;
        let operation = self.client.size(operation, dummy, &self.options).await?;
        self.sign_and_send(&policies, &tree, operation).await
    }

    /// Has the account make several calls in one operation, through the batched router, which the grant has to have
    /// enabled ([`Grant::with_batches`](crate::Grant::with_batches)). Each call is allowed by a policy of its own.
    ///
    /// # Errors
    /// As [`send`](Self::send); [`Error::NoCalls`] without calls.
    pub async fn send_batch(&self, calls: &[Call<'_>]) -> Result<PendingOperation, Error> {
        self.check_place()?;
        if calls.is_empty() {
            return Err(Error::NoCalls);
        }
        let policies = self.permitting(calls)?;
        let (operation, tree) = self.draft(ExecuteBatch(calls).to_vec()).await?;
        let dummy = self.routed_signature(&policies, &tree, &DUMMY_SESSION_SIGNATURE)?;
        let operation = self.client.size(operation, dummy, &self.options).await?;
        let deployment = self.client.deployment();
        let signing = self.signer.sign_routed_user_operation(
            &operation,
            deployment.entry_point,
            self.client.chain_id(),
            deployment.session_key_manager,
        );
        let signature = self.routed_signature(&policies, &tree, &signing.await?)?;
        self.client.send(operation, signature).await
    }

    /// The same as [`send`](Self::send) without this side's own check and without an estimate, which would fail where
    /// the chain forbids the call: it goes to the signer and on to the bundler under the session's first policy,
    /// whatever that says.
    ///
    /// # Errors
    /// The signer's refusal; the bundler's.
    pub async fn send_unchecked(&self, call: Call<'_>, gas: GasEstimate) -> Result<PendingOperation, Error> {
        let policy = self.record.policies.first().ok_or(Error::NoPolicy)?;
        let (operation, tree) = self.draft(Execute(call).to_vec()).await?;
        let operation = self.client.size_as(operation, gas).await?;
        self.sign_and_send(&[policy], &tree, operation).await
    }

    /// A session of another chain has nothing to do here.
    const fn check_place(&self) -> Result<(), Error> {
        let (session, chain) = (self.record.chain_id, self.client.chain_id());
        if session == chain { Ok(()) } else { Err(Error::OtherChain { session, chain }) }
    }

    /// The policy that allows each call.
    fn permitting(&self, calls: &[Call<'_>]) -> Result<Vec<&EncodedPolicy>, Error> {
        let (now, deployment) = (now().as_secs(), self.client.deployment());
        let policies = || [&self.record].into_iter().chain(&self.joined).flat_map(|record| &record.policies);
        let permit = |(place, call): (usize, &Call<'_>)| {
            allowing(policies(), |policy| policy.judge(deployment, *call, now)).map_err(|refusal| {
                match refusal {
                    Some(refusal) => Error::Forbidden { call: place, refusal },
                    None => Error::NoPolicy,
                }
            })
        };
        calls.iter().enumerate().map(permit).collect()
    }

    /// An operation, and the leaves of the tree that the chain holds it against.
    async fn draft(&self, call_data: Vec<u8>) -> Result<(UserOperation<Vec<u8>>, Vec<B256>), Error> {
        let account = self.record.account();
        let stream = self.client.new_nonce_stream();
        let (nonce, tree) = tokio::try_join!(self.client.nonce(account, stream, &self.options), self.tree())?;
        Ok((draft(account, nonce, call_data), tree))
    }

    /// The leaves under the account's root.
    async fn tree(&self) -> Result<Vec<B256>, Error> {
        let account = AccountId { chain_id: self.record.chain_id, address: self.record.account };
        let found = self.client.chain.session_root(account.address).await?;
        if merkle::root(&self.record.tree) == Ok(found) {
            return Ok(self.record.tree.clone());
        }
        let trees = self.client.store.trees(account).await?;
        if let Some(tree) = trees.iter().rfind(|tree| tree.root() == found) {
            return Ok(tree.leaves.clone());
        }
        if found == B256::ZERO {
            return Err(self.not_granted());
        }
        let newest = trees.last().map(Tree::root);
        let expected = newest.or_else(|| merkle::root(&self.record.tree).ok()).unwrap_or_default();
        Err(Error::ForeignRoot { expected, found })
    }

    async fn sign_and_send(
        &self,
        policies: &[&EncodedPolicy],
        tree: &[B256],
        operation: UserOperation<Vec<u8>>,
    ) -> Result<PendingOperation, Error> {
        let entry_point = self.client.deployment().entry_point;
        let signature =
            self.signer.sign_user_operation(&operation, entry_point, self.client.chain_id()).await?;
        let signature = self.module_signature(policies, tree, &signature)?;
        self.client.send(operation, signature).await
    }

    fn module_signature(
        &self,
        policies: &[&EncodedPolicy],
        tree: &[B256],
        signature: &[u8; SIGNATURE_LEN],
    ) -> Result<Vec<u8>, Error> {
        let policy = policies.first().ok_or(Error::NoPolicy)?;
        let proof = self.proof(policy, tree)?;
        let session = SessionSignature {
            epoch: policy.epoch,
            validation_module: policy.validation_module,
            session_key_data: &policy.session_key_data,
            proof: proof.siblings(),
            signature,
        };
        let module = self.client.deployment().session_key_manager;
        Ok(ModuleSignature { module_signature: session, module }.to_vec())
    }

    fn routed_signature(
        &self,
        policies: &[&EncodedPolicy],
        tree: &[B256],
        signature: &[u8; SIGNATURE_LEN],
    ) -> Result<Vec<u8>, Error> {
        let proofs = policies.iter().map(|policy| self.proof(policy, tree)).collect::<Result<Vec<_>, _>>()?;
        let sessions: Vec<_> = policies
            .iter()
            .zip(&proofs)
            .map(|(policy, proof)| RoutedSession {
                epoch: policy.epoch,
                validation_module: policy.validation_module,
                session_key_data: &policy.session_key_data,
                proof: proof.siblings(),
                call_specific_data: &[],
            })
            .collect();
        let deployment = self.client.deployment();
        let module_signature = RoutedSignature {
            session_key_manager: deployment.session_key_manager,
            sessions: &sessions,
            signature,
        };
        Ok(ModuleSignature { module_signature, module: deployment.batched_session_router }.to_vec())
    }

    /// A leaf that is not in the tree has no proof, and is an error of its own.
    fn proof(&self, policy: &EncodedPolicy, tree: &[B256]) -> Result<merkle::Proof, Error> {
        merkle::Proof::of(tree, policy.leaf()).map_err(|_| self.not_granted())
    }

    const fn not_granted(&self) -> Error {
        Error::NotGranted { account: self.record.account, session_key: self.record.session_key }
    }
}
