use std::sync::Arc;

use alloy_primitives::{B256, U256};
use quorate_bundler::GasEstimate;
use quorate_core::{
    AccountCall, DUMMY_SESSION_SIGNATURE, Encode as _, Execute, ExecuteBatch, Leaf, ModuleSignature,
    RoutedSession, RoutedSignature, SessionSignature, merkle, routed_hash,
};
use quorate_protocol::OperationMessage;
use quorate_signer::{SIGNATURE_LEN, SessionSigner, normalize_signature};
use quorate_store::{AccountId, Answer, Operation};
use serde::{Deserialize, Serialize};

use crate::client::now;
use crate::cost::ExpectedCost;
use crate::draft::{SignedOperation, earlier};
use crate::fill::{Filled, Prices, Unfilled, fees_of, unsigned, with_fees, with_gas};
use crate::life::facts::{Facts, Query};
use crate::life::settle::{self, Fate, Nonce};
use crate::life::submit::Outgoing;
use crate::payment::paymaster_of;
use crate::preflight::{policy_for, preflight};
use crate::{Call, Draft, Error, Options, PendingOperation, Quorate, SessionRecord};

/// A granted session, ready to act for its account.
#[derive(Clone, Debug)]
pub struct Session {
    client: Quorate,
    record: SessionRecord,
    /// Other sessions of the same key.
    others: Vec<SessionRecord>,
    signer: Arc<dyn SessionSigner>,
    options: Options,
}

/// Calls that a session makes, each under a policy of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SessionCalls {
    /// The policy that allows each call.
    policies: Vec<Leaf>,
    /// The root that the policies are proved against.
    root: B256,
    /// Whether they go through the batched router.
    is_batch: bool,
}

impl SessionCalls {
    /// When the first of the policies ends, in seconds since 1970; 0 where none does.
    fn valid_until(&self) -> u64 {
        let ends = self.policies.iter().map(|policy| policy.epoch.valid_until());
        ends.filter(|end| *end != 0).min().unwrap_or_default()
    }
}

impl Session {
    pub(crate) fn new(client: Quorate, record: SessionRecord, signer: Arc<dyn SessionSigner>) -> Self {
        Self { client, record, others: Vec::new(), signer, options: Options::new() }
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
    pub fn combined(mut self, other: &Self) -> Result<Self, Error> {
        let (one, two) = (&self.record, &other.record);
        if one.session_key != two.session_key {
            return Err(Error::OtherSession { one: one.session_key, other: two.session_key });
        }
        if (one.account, one.chain_id) != (two.account, two.chain_id) {
            return Err(Error::OtherSession { one: one.account, other: two.account });
        }
        self.others.push(other.record.clone());
        self.others.extend(other.others.iter().cloned());
        Ok(self)
    }

    /// Whether the session allows each of these calls now, as far as that can be said without a node: by the evaluator
    /// and this machine's clock. Nothing is sent.
    ///
    /// # Errors
    /// [`Error::Forbidden`], which names the call, and the rule with both values.
    pub fn check(&self, calls: &[Call]) -> Result<(), Error> {
        self.policies_for(calls, Some(now().as_secs())).map(drop)
    }

    /// Has the account make a call that the session allows. The policy is checked before anything is sent or paid.
    ///
    /// The operation is written to the store before it leaves. Where the same call was sent before and its fate is not
    /// known, this goes on with that operation and sends no other: a retry executes nothing twice. Who means a second call
    /// says so by [`Options::with_repetition`]. A process that ends after this has returned was told: what it should not do
    /// twice, it has to note itself, for example by the hash of a [`prepare`](Self::prepare)d draft.
    ///
    /// # Errors
    /// [`Error::Forbidden`], which names the rule and both values; [`Error::NotGranted`] for a session that is not, or
    /// no longer, under the account's root; the signer's refusal: then nothing was sent. [`Error::NotSent`] where the
    /// bundler could not be reached, and otherwise [`Error::Unsettled`].
    pub async fn send(&self, call: Call) -> Result<PendingOperation, Error> {
        let call_data = Execute(call.as_core()).to_vec();
        self.send_encoded(&[call], call_data, false).await
    }

    /// Has the account make several calls in one operation, through the batched router, which the grant has to have
    /// enabled ([`Grant::with_batches`](crate::Grant::with_batches)). Each call is allowed by a policy of its own.
    ///
    /// # Errors
    /// As [`send`](Self::send); [`Error::NoCalls`] without calls.
    pub async fn send_batch(&self, calls: &[Call]) -> Result<PendingOperation, Error> {
        if calls.is_empty() {
            return Err(Error::NoCalls);
        }
        self.send_encoded(calls, encode_batch(calls), true).await
    }

    /// The same as [`send`](Self::send) without this side's own check and without an estimate, which would fail where
    /// the chain forbids the call: it goes to the signer and on to the bundler under the session's first policy,
    /// whatever that says.
    ///
    /// # Errors
    /// The signer's refusal; the bundler's.
    pub async fn send_unchecked(&self, call: Call, gas: GasEstimate) -> Result<PendingOperation, Error> {
        self.check_place()?;
        let policies = vec![self.record.policies.first().ok_or(Error::NoPolicy)?.clone()];
        let place = self.read_place().await?;
        let operation = unsigned(self.record.account, place.nonce, Execute(call.as_core()).to_vec());
        let operation = with_gas(with_fees(operation, place.prices.offered), gas);
        let intent = SessionCalls { policies, root: place.tree.root(), is_batch: false };
        self.submit(self.draft(operation, None, place.facts.block.number, intent)).await
    }

    /// Builds the operation that makes a call, to be sent by [`submit`](Self::submit), now or after a restart.
    ///
    /// # Errors
    /// As [`send`](Self::send) before anything is sent.
    pub async fn prepare(&self, call: Call) -> Result<Draft<SessionCalls>, Error> {
        let call_data = Execute(call.as_core()).to_vec();
        self.prepare_encoded(&[call], call_data, false).await
    }

    /// Builds the operation that makes several calls, to be sent by [`submit`](Self::submit).
    ///
    /// # Errors
    /// As [`send_batch`](Self::send_batch) before anything is sent.
    pub async fn prepare_batch(&self, calls: &[Call]) -> Result<Draft<SessionCalls>, Error> {
        if calls.is_empty() {
            return Err(Error::NoCalls);
        }
        self.prepare_encoded(calls, encode_batch(calls), true).await
    }

    /// Signs and sends a prepared operation. Submitting it again sends no second one.
    ///
    /// # Errors
    /// A draft of another session ([`Error::OtherKey`]), a tree without the session, the signer's refusal: then nothing
    /// was sent. [`Error::NotSent`] where the bundler could not be reached, and otherwise [`Error::Unsettled`].
    pub async fn submit(&self, draft: Draft<SessionCalls>) -> Result<PendingOperation, Error> {
        self.check_place()?;
        if draft.signer != self.record.session_key || draft.account() != self.account() {
            return Err(Error::OtherKey {
                session: self.record.id.clone(),
                address: self.record.session_key,
            });
        }
        let user_op_hash = draft.user_op_hash();
        let operations = self.client.store.operations(self.account()).await?;
        if let Some(stored) = operations.iter().find(|operation| operation.user_op_hash == user_op_hash) {
            return self.client.resend(self.account(), stored, true).await;
        }
        let tree = self.client.tree(self.account(), draft.intent.root).await?;
        let tree = tree.ok_or_else(|| self.not_granted())?;
        self.client.check_payment_again(&draft, &self.options).await?;
        self.dispatch(draft, &tree, true).await
    }

    async fn dispatch(
        &self,
        draft: Draft<SessionCalls>,
        tree: &merkle::Tree,
        tells: bool,
    ) -> Result<PendingOperation, Error> {
        let signature = self.sign(&draft, tree).await?;
        let valid_until = earlier(draft.intent.valid_until(), draft.valid_until());
        let outgoing = Outgoing {
            message: draft.operation,
            signature,
            session: Some(self.record.id.clone()),
            root_change: None,
            root: Some(draft.intent.root),
            valid_until,
            simulation: self.options.simulation(),
            block: draft.block,
            with: Vec::new(),
            undo: Vec::new(),
            tells,
        };
        self.client.dispatch(outgoing).await
    }

    async fn send_encoded(
        &self,
        calls: &[Call],
        call_data: Vec<u8>,
        is_batch: bool,
    ) -> Result<PendingOperation, Error> {
        self.check_place()?;
        self.policies_for(calls, None)?;
        if self.options.repetition() != Some(true)
            && let Some(stored) = self
                .client
                .unsettled_call(self.account(), Some(&self.record.id), |made| made.call_data == call_data)
                .await?
        {
            return self.go_on(&stored, true).await;
        }
        let draft = self.prepare_encoded(calls, call_data, is_batch).await?;
        self.submit(draft).await
    }

    #[tracing::instrument(skip_all, err(level = "debug"), fields(session = %self.record.id, calls = calls.len()))]
    async fn prepare_encoded(
        &self,
        calls: &[Call],
        call_data: Vec<u8>,
        is_batch: bool,
    ) -> Result<Draft<SessionCalls>, Error> {
        self.check_place()?;
        self.policies_for(calls, None)?;
        let place = self.read_place().await?;
        let policies = self.policies_for(calls, Some(place.facts.block.timestamp))?;
        let policies: Vec<Leaf> = policies.into_iter().cloned().collect();
        let intent = SessionCalls { policies, root: place.tree.root(), is_batch };
        let dummy = self.whole_signature(&intent, &place.tree, &DUMMY_SESSION_SIGNATURE)?;
        let operation = unsigned(self.record.account, place.nonce, call_data);
        let now = place.facts.block.timestamp;
        let filled = self.fill(operation, dummy, place.prices, &intent, now).await?;
        Ok(self.draft(filled.operation, Some(filled.expected), place.facts.block.number, intent))
    }

    async fn fill(
        &self,
        operation: quorate_core::UserOperation<Vec<u8>>,
        dummy_signature: Vec<u8>,
        prices: Prices,
        intent: &SessionCalls,
        now: u64,
    ) -> Result<Filled, Error> {
        let router_entries = if intent.is_batch { intent.policies.len() } else { 0 };
        let unfilled = Unfilled {
            operation,
            dummy_signature,
            gas_beyond_dummy: U256::ZERO,
            prices,
            router_entries,
            tokens: None,
            now,
        };
        let unfilled = self.client.check_allowance(unfilled, &self.options).await?;
        self.client.fill(unfilled, &self.options).await
    }

    fn draft(
        &self,
        operation: quorate_core::UserOperation<Vec<u8>>,
        expected: Option<ExpectedCost>,
        block: u64,
        intent: SessionCalls,
    ) -> Draft<SessionCalls> {
        let entry_point = self.client.deployment().entry_point;
        let operation = OperationMessage { operation, entry_point, chain_id: self.client.chain_id() };
        Draft {
            signer: self.record.session_key,
            operation,
            block,
            expected,
            supersedes: Vec::new(),
            owner_form: None,
            intent,
        }
    }

    /// Goes on with an operation that was signed before: the same bytes while they can still be right, and otherwise
    /// another operation at the same nonce, so that one of them gets on chain at most.
    pub(crate) async fn go_on(&self, stored: &Operation, tells: bool) -> Result<PendingOperation, Error> {
        let signed = SignedOperation::read(&stored.message, stored.user_op_hash)?;
        let account = self.account();
        let query = Query { streams: vec![Nonce::from(stored.nonce).stream], modules: Vec::new() };
        let unsettled = |source| Error::unsettled(stored.user_op_hash, source);
        let facts = self.client.facts(account.address, &query).await.map_err(unsettled)?;
        let is_used = settle::fate(stored, &signed, &facts) == Fate::Consumed;
        if is_used || self.client.is_known(stored.user_op_hash).await {
            return self.client.known(account, stored, tells).await;
        }
        let still_right = signed.root == Some(facts.root)
            && settle::has_time_left(&signed, &facts)
            && settle::pays_enough(fees_of(&signed.message.operation), &facts)
            && stored.answer != Answer::Refused;
        if still_right {
            return self.client.give_again(account, stored, &signed, tells).await;
        }
        self.replace(stored, &signed, &facts, tells).await.map_err(unsettled)
    }

    /// Makes the same call anew, at the same nonce.
    async fn replace(
        &self,
        stored: &Operation,
        signed: &SignedOperation,
        facts: &Facts,
        tells: bool,
    ) -> Result<PendingOperation, Error> {
        let operation = &signed.message.operation;
        let paymaster = paymaster_of(&operation.paymaster_and_data);
        self.client.check_payer(stored.user_op_hash, paymaster, &self.options)?;
        let calls = AccountCall::decode(&operation.call_data).map_err(Error::Decode)?;
        let is_batch = matches!(calls, AccountCall::Batch(_));
        let calls: Vec<Call> = calls.calls().map(Call::from).collect();
        let policies = self.policies_for(&calls, Some(facts.block.timestamp))?;
        let policies: Vec<Leaf> = policies.into_iter().cloned().collect();
        // A session that ended has no proof: a call of old does not come alive by a new grant.
        let tree = self.tree_under(facts.root).await?;
        let intent = SessionCalls { policies, root: facts.root, is_batch };
        let dummy = self.whole_signature(&intent, &tree, &DUMMY_SESSION_SIGNATURE)?;
        let mut prices = self.client.prices(&self.options).await?;
        prices.offered = settle::replacement_fees(prices.offered, [fees_of(operation)]);
        let again = unsigned(operation.sender, stored.nonce, operation.call_data.clone());
        let filled = self.fill(again, dummy, prices, &intent, facts.block.timestamp).await?;
        let draft = self.draft(filled.operation, Some(filled.expected), facts.block.number, intent);
        let pending = self.dispatch(draft, &tree, tells).await?;
        // Who is told of the new one is told of the old ones.
        if tells {
            self.client.told(self.account(), stored.nonce).await?;
        }
        Ok(pending)
    }

    /// A session of another chain has nothing to do here.
    const fn check_place(&self) -> Result<(), Error> {
        let (session, chain) = (self.record.chain_id, self.client.chain_id());
        if session == chain { Ok(()) } else { Err(Error::OtherChain { session, chain }) }
    }

    const fn account(&self) -> AccountId {
        AccountId { chain_id: self.record.chain_id, address: self.record.account }
    }

    /// The policy that allows each call, at a time in seconds since 1970, or at any.
    fn policies_for(&self, calls: &[Call], now: Option<u64>) -> Result<Vec<&Leaf>, Error> {
        let deployment = self.client.deployment();
        let policies = || [&self.record].into_iter().chain(&self.others).flat_map(|record| &record.policies);
        let find = |(place, call): (usize, &Call)| {
            policy_for(policies(), |policy| preflight(policy, deployment, call.as_core(), now)).map_err(
                |refusal| match refusal {
                    Some(refusal) => Error::Forbidden { call: place, refusal },
                    None => Error::NoPolicy,
                },
            )
        };
        calls.iter().enumerate().map(find).collect()
    }

    /// What an operation is made for: two round trips, of which the fees are beside the first.
    async fn read_place(&self) -> Result<Place, Error> {
        let stream =
            self.options.nonce().is_none().then(|| self.options.nonce_key().map(U256::from)).flatten();
        let query = Query { streams: stream.into_iter().collect(), modules: Vec::new() };
        let (facts, prices) = tokio::try_join!(
            self.client.facts(self.record.account, &query),
            self.client.prices(&self.options)
        )?;
        let nonce = match (self.options.nonce(), stream) {
            (Some(nonce), _) => nonce,
            (None, Some(stream)) => Nonce { stream, sequence: facts.sequence(stream) }.into(),
            // Nobody else finds the same 192 bits, so that the stream's first nonce is 0.
            (None, None) => Nonce { stream: random_stream()?, sequence: 0 }.into(),
        };
        let tree = self.tree_under(facts.root).await?;
        Ok(Place { facts, prices, nonce, tree })
    }

    async fn tree_under(&self, root: B256) -> Result<Arc<merkle::Tree>, Error> {
        match self.client.tree(self.account(), root).await? {
            Some(_) if root == B256::ZERO => Err(self.not_granted()),
            Some(tree) => Ok(tree),
            None => Err(Error::UnknownTree { account: self.account(), root }),
        }
    }

    /// The whole signature of a draft. What the signer gives is checked before it is used.
    async fn sign(&self, draft: &Draft<SessionCalls>, tree: &merkle::Tree) -> Result<Vec<u8>, Error> {
        let OperationMessage { operation, entry_point, chain_id } = &draft.operation;
        let (entry_point, chain_id) = (*entry_point, *chain_id);
        let manager = self.client.deployment().session_key_manager;
        let user_op_hash = draft.user_op_hash();
        let (signature, signed) = if draft.intent.is_batch {
            let signing =
                self.signer.sign_routed_user_operation(operation, entry_point, chain_id, manager).await?;
            (signing, routed_hash(user_op_hash, manager))
        } else {
            (self.signer.sign_user_operation(operation, entry_point, chain_id).await?, user_op_hash)
        };
        let signature = normalize_signature(self.record.session_key, signed, &signature)?;
        self.whole_signature(&draft.intent, tree, &signature)
    }

    /// The session key's signature with what its module has to see beside it.
    fn whole_signature(
        &self,
        intent: &SessionCalls,
        tree: &merkle::Tree,
        signature: &[u8; SIGNATURE_LEN],
    ) -> Result<Vec<u8>, Error> {
        let proofs = intent.policies.iter().map(|policy| self.proof(policy, tree));
        let proofs = proofs.collect::<Result<Vec<_>, _>>()?;
        let deployment = self.client.deployment();
        if intent.is_batch {
            let sessions: Vec<_> = intent.policies.iter().zip(&proofs).map(routed_session).collect();
            let module_signature = RoutedSignature {
                session_key_manager: deployment.session_key_manager,
                sessions: &sessions,
                signature,
            };
            return Ok(
                ModuleSignature { module_signature, module: deployment.batched_session_router }.to_vec()
            );
        }
        let (policy, proof) = intent.policies.first().zip(proofs.first()).ok_or(Error::NoPolicy)?;
        let module_signature = SessionSignature {
            epoch: policy.epoch,
            validation_module: policy.validation_module,
            session_key_data: &policy.session_key_data,
            proof: proof.siblings(),
            signature,
        };
        Ok(ModuleSignature { module_signature, module: deployment.session_key_manager }.to_vec())
    }

    /// A leaf that is not in the tree has no proof, and is an error of its own.
    fn proof(&self, policy: &Leaf, tree: &merkle::Tree) -> Result<merkle::Proof, Error> {
        tree.proof(policy.hash()).map_err(|_| self.not_granted())
    }

    const fn not_granted(&self) -> Error {
        Error::NotGranted { account: self.record.account, session_key: self.record.session_key }
    }
}

/// What an operation of a session is made for.
struct Place {
    facts: Facts,
    prices: Prices,
    nonce: U256,
    tree: Arc<merkle::Tree>,
}

fn routed_session<'a>((policy, proof): (&'a Leaf, &'a merkle::Proof)) -> RoutedSession<'a> {
    RoutedSession {
        epoch: policy.epoch,
        validation_module: policy.validation_module,
        session_key_data: &policy.session_key_data,
        proof: proof.siblings(),
        call_specific_data: &[],
    }
}

fn encode_batch(calls: &[Call]) -> Vec<u8> {
    let calls: Vec<_> = calls.iter().map(Call::as_core).collect();
    ExecuteBatch(&calls).to_vec()
}

fn random_stream() -> Result<U256, Error> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes)?;
    Ok(U256::from_be_slice(&bytes))
}
