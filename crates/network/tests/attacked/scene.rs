//! Five honest nodes behind a gateway whose every step the test chooses.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use ed25519_dalek::SigningKey;
use quorate_core::{Call, Condition, Encode as _, Execute, Policy, Rule, U256};
use quorate_network::{AttestedKey, Refusal};
use quorate_node::adversary::{HostileGateway, Relayed, TaskHandle};
use quorate_protocol::{
    Answer, EphemeralClaim, KeyDraft, KeyRequest, Limits, NodeIndex, Nonce, Operation, OperationMessage,
    Permissions, RegistrationRequest, Revocation, SignatureRequest, SignedRequest, challenge,
};

use super::{bans, start_hostile, start_hostile_without_keys};
use crate::local::{ACCOUNT, LocalNetwork, NFT, mint_with_nonce, now, permissions, selector};

/// Five honest nodes behind a gateway that is not.
pub(crate) struct Scene {
    pub(crate) network: LocalNetwork,
    pub(crate) gateway: HostileGateway,
}

/// A key, with the secrets of its owner and of the client that asks for its signatures.
pub(crate) struct Key {
    pub(crate) owner: PrivateKeySigner,
    pub(crate) ephemeral: SigningKey,
    pub(crate) key: AttestedKey,
}

/// One operation that nodes were asked to sign.
pub(crate) struct Attempt {
    pub(crate) task: TaskHandle,
    pub(crate) nodes: Vec<NodeIndex>,
    pub(crate) requests: Vec<SignatureRequest>,
}

/// What a gateway keeps back.
#[derive(Clone, Default)]
pub(crate) struct Held(pub(crate) Arc<Mutex<Vec<Relayed>>>);

/// Each node's refusal, where nothing is signed.
pub(crate) type Refused = BTreeMap<NodeIndex, Refusal>;

impl Scene {
    pub(crate) async fn start() -> Self {
        let (gateway, network) = start_hostile().await;
        Self { network, gateway }
    }

    /// The same, where no key was made yet.
    pub(crate) async fn start_without_keys() -> Self {
        let (gateway, network) = start_hostile_without_keys().await;
        Self { network, gateway }
    }

    pub(crate) async fn key(&self, limits: Limits) -> Key {
        let (owner, ephemeral) = (PrivateKeySigner::random(), ephemeral());
        let key_id = within(self.gateway.make_keys(1)).await.remove(0);
        let (draft, request) = self.keygen_request(&owner, &ephemeral, limits).await;
        let task = self.gateway.assign(&to_all(&key_id), &request);
        let key = draft.accept(self.network.descriptor(), &self.key_answer(task).await.to_json()).unwrap();
        Key { owner, ephemeral, key }
    }

    /// What an owner signs to be given a key.
    pub(crate) async fn keygen_request(
        &self,
        owner: &PrivateKeySigner,
        ephemeral: &SigningKey,
        limits: Limits,
    ) -> (KeyDraft, SignedRequest) {
        let nonces = self.nonces().await;
        let permissions = Permissions { limits, ..with_value(permissions(owner)) };
        let request =
            KeyRequest::new(self.network.descriptor(), &permissions, &claim(ephemeral), None).unwrap();
        let challenge = challenge(request.setup(), &nonces);
        let draft = request.challenged(&challenge).unwrap();
        let signature = owner.sign_hash_sync(&draft.typed_data().unwrap().digest()).unwrap();
        let request = SignedRequest {
            operation: Operation::Keygen,
            setup: draft.setup().to_owned(),
            nonces,
            authentication: draft.authentication(signature).unwrap(),
        };
        (draft, request)
    }

    /// The key that all five nodes give, with all their attestations.
    pub(crate) async fn key_answer(&self, task: TaskHandle) -> Answer {
        let mut all = Vec::new();
        let mut given = None;
        for node in nodes(&[1, 2, 3, 4, 5]) {
            let Answer::Key { key, attestations } = within(self.gateway.answer(task, node)).await else {
                panic!("node {node} gives no key")
            };
            all.extend(attestations);
            given = Some(key);
        }
        Answer::Key { key: given.unwrap(), attestations: all }
    }

    pub(crate) async fn nonces(&self) -> BTreeMap<NodeIndex, Nonce> {
        within(self.gateway.nonces()).await
    }

    /// Asks nodes to sign an operation, with nonces of its own.
    pub(crate) async fn begin(&self, quorum: [u8; 3], key: &Key, message: &OperationMessage) -> Attempt {
        self.begin_as(quorum, key, &key.ephemeral, message).await
    }

    pub(crate) async fn begin_as(
        &self,
        quorum: [u8; 3],
        key: &Key,
        ephemeral: &SigningKey,
        message: &OperationMessage,
    ) -> Attempt {
        let (request, signed) = self.signed_request(key, ephemeral, &self.nonces().await, message);
        self.hand_over(quorum, 0, request, &signed)
    }

    pub(crate) fn hand_over(
        &self,
        quorum: [u8; 3],
        attempt: u32,
        request: SignatureRequest,
        signed: &SignedRequest,
    ) -> Attempt {
        let nodes = nodes(&quorum);
        let task = self.gateway.sign(&nodes, attempt, signed);
        Attempt { task, nodes, requests: vec![request] }
    }

    pub(crate) fn signed_request(
        &self,
        key: &Key,
        ephemeral: &SigningKey,
        nonces: &BTreeMap<NodeIndex, Nonce>,
        message: &OperationMessage,
    ) -> (SignatureRequest, SignedRequest) {
        let AttestedKey { key_id, address, .. } = &key.key;
        let request = SignatureRequest::new(self.network.descriptor(), key_id, *address, message);
        let authentication = request.authentication(&challenge(request.setup(), nonces), ephemeral).unwrap();
        let signed = SignedRequest {
            operation: Operation::Sign,
            setup: request.setup().to_owned(),
            nonces: nonces.clone(),
            authentication,
        };
        (request, signed)
    }

    /// Signs with a gateway that relays as it should, or is refused. Nodes that wait too long for each other are asked again.
    pub(crate) async fn sign(
        &self,
        quorum: [u8; 3],
        key: &Key,
        message: &OperationMessage,
    ) -> Result<(), Refused> {
        self.relay_all();
        let mut tries = 5;
        loop {
            let attempt = self.begin(quorum, key, message).await;
            match self.outcome(&attempt).await {
                Err(refused) if tries > 1 && refused.values().all(is_slow) => tries -= 1,
                outcome => return outcome,
            }
        }
    }

    /// Whether the operation was signed, by any node's answer; what others wait for is cancelled at the first refusal.
    pub(crate) async fn outcome(&self, attempt: &Attempt) -> Result<(), Refused> {
        within(self.gateway.until(|| self.is_over(attempt) || self.is_refused(attempt))).await;
        self.gateway.cancel(attempt.task);
        within(self.gateway.until(|| self.is_over(attempt))).await;
        let answers = self.gateway.answers(attempt.task);
        let signatures: Vec<_> =
            answers.values().filter(|answer| matches!(answer, Answer::Signature(_))).collect();
        for signature in &signatures {
            let is_of = |request: &SignatureRequest| request.accept(&signature.to_json()).is_ok();
            assert!(attempt.requests.iter().any(is_of), "a signature that is not the key's has left a node");
        }
        if !signatures.is_empty() {
            return Ok(());
        }
        let refusals = answers.into_iter().map(|(node, answer)| match answer {
            Answer::Refused(refusal) => (node, refusal),
            other => panic!("{other:?} is no answer to an operation"),
        });
        Err(refusals.collect())
    }

    pub(crate) fn is_over(&self, attempt: &Attempt) -> bool {
        let answers = self.gateway.answers(attempt.task);
        attempt.nodes.iter().all(|node| answers.contains_key(node))
    }

    pub(crate) fn is_refused(&self, attempt: &Attempt) -> bool {
        self.gateway.answers(attempt.task).values().any(|answer| matches!(answer, Answer::Refused(_)))
    }

    pub(crate) fn relay_all(&self) {
        self.gateway.relay_by(|relayed| vec![relayed]);
    }

    /// Relays what belongs to no task, and keeps back the rest.
    pub(crate) fn hold_all(&self, held: &Held) {
        let held = held.clone();
        self.gateway.relay_by(move |relayed| match relayed.task {
            Some(_) => held.keep(relayed),
            None => vec![relayed],
        });
    }

    pub(crate) fn hold(&self, held: &Held, task: TaskHandle) {
        let held = held.clone();
        self.gateway.relay_by(move |relayed| match relayed.task == Some(task) {
            true => held.keep(relayed),
            false => vec![relayed],
        });
    }

    /// Waits until the gateway has the hellos of all who did not refuse.
    pub(crate) async fn until_hellos_are_held(&self, held: &Held, attempt: &Attempt) {
        let is_held = |node: &NodeIndex| {
            let hellos = held.of(attempt.task, *node);
            hellos == attempt.nodes.len() - 1 || self.gateway.answers(attempt.task).contains_key(node)
        };
        within(self.gateway.until(|| attempt.nodes.iter().all(is_held))).await;
    }

    pub(crate) fn release(&self, held: &Held, task: TaskHandle) {
        self.relay_all();
        for relayed in held.take(task) {
            self.gateway.relay(relayed);
        }
    }

    /// Relays one message after the other, of those that wait a random one, until all attempts are over.
    pub(crate) async fn relay_at_random(&self, held: &Held, attempts: &[Attempt], seed: &mut u64) {
        let is_over = || attempts.iter().all(|attempt| self.is_over(attempt));
        loop {
            within(self.gateway.until(|| {
                is_over() || held.len() > 0 || attempts.iter().any(|attempt| self.is_stuck(attempt))
            }))
            .await;
            if is_over() {
                return;
            }
            for attempt in attempts.iter().filter(|attempt| self.is_stuck(attempt)) {
                self.gateway.cancel(attempt.task);
            }
            match held.take_one(draw(seed)) {
                Some(relayed) => self.gateway.relay(relayed),
                None => within(self.gateway.until(|| is_over() || held.len() > 0)).await,
            }
        }
    }

    /// Whether somebody waits in vain, since another has refused.
    pub(crate) fn is_stuck(&self, attempt: &Attempt) -> bool {
        self.is_refused(attempt) && !self.is_over(attempt)
    }

    /// Relays tasks, and keeps from nodes what they write to each other outside.
    pub(crate) fn withhold_letters(&self) {
        self.gateway.relay_by(|relayed| relayed.task.map(|_| relayed).into_iter().collect());
    }

    pub(crate) async fn register(&self, at: &[u8], key: &Key, ephemeral: &SigningKey) {
        let (owner, key_id) = (key.owner.address(), &key.key.key_id);
        let request = RegistrationRequest::new(self.network.descriptor(), owner, key_id, &claim(ephemeral));
        let (setup, nonces) = (request.setup().to_owned(), self.nonces().await);
        let draft = request.challenged(&challenge(&setup, &nonces)).unwrap();
        let signature = key.owner.sign_hash_sync(&draft.typed_data().unwrap().digest()).unwrap();
        let authentication = draft.authentication(signature).unwrap();
        self.state(
            at,
            SignedRequest { operation: Operation::AddEphemeralKey, setup, nonces, authentication },
        )
        .await;
    }

    pub(crate) async fn revoke(&self, at: &[u8], key: &Key, ephemeral: &SigningKey) {
        let (owner, key_id) = (key.owner.address(), &key.key.key_id);
        let ephemeral = Some(ephemeral.verifying_key());
        let revocation = Revocation::new(self.network.descriptor(), owner, key_id, ephemeral);
        let signature = key.owner.sign_hash_sync(&revocation.typed_data().unwrap().digest()).unwrap();
        let (setup, authentication) =
            (revocation.setup().to_owned(), revocation.authentication(signature).unwrap());
        let nonces = BTreeMap::new();
        self.state(at, SignedRequest { operation: Operation::Revoke, setup, nonces, authentication }).await;
    }

    pub(crate) async fn state(&self, at: &[u8], request: SignedRequest) {
        let task = self.gateway.register(&nodes(at), &request);
        for node in nodes(at) {
            let answer = within(self.gateway.answer(task, node)).await;
            assert!(matches!(answer, Answer::Registered | Answer::Revoked { .. }), "{answer:?}");
        }
    }

    pub(crate) async fn nobody_is_banned(&self) {
        for index in 1..=5 {
            let banned = bans(&self.network, index).await;
            assert_eq!(banned, 0, "node {index} has banned somebody for what the gateway did");
        }
    }
}

impl Held {
    pub(crate) fn keep(&self, relayed: Relayed) -> Vec<Relayed> {
        self.0.lock().unwrap().push(relayed);
        Vec::new()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// How many messages of a node in a task are held.
    pub(crate) fn of(&self, task: TaskHandle, from: NodeIndex) -> usize {
        let is_of = |relayed: &&Relayed| relayed.task == Some(task) && relayed.from == from;
        self.0.lock().unwrap().iter().filter(is_of).count()
    }

    pub(crate) fn take(&self, task: TaskHandle) -> Vec<Relayed> {
        self.0.lock().unwrap().extract_if(.., |relayed| relayed.task == Some(task)).collect()
    }

    pub(crate) fn take_one(&self, random: u64) -> Option<Relayed> {
        let mut held = self.0.lock().unwrap();
        let count = u64::try_from(held.len()).unwrap();
        (count > 0).then(|| held.remove(usize::try_from(random % count).unwrap()))
    }
}

pub(crate) async fn within<T>(step: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(120), step).await.expect("the nodes answer within 120 s")
}

pub(crate) fn nodes(indices: &[u8]) -> Vec<NodeIndex> {
    indices.iter().map(|index| NodeIndex::new(*index).unwrap()).collect()
}

pub(crate) fn to_all(key_id: &str) -> BTreeMap<NodeIndex, String> {
    nodes(&[1, 2, 3, 4, 5]).into_iter().map(|node| (node, key_id.to_owned())).collect()
}

pub(crate) fn ephemeral() -> SigningKey {
    SigningKey::from_bytes(&PrivateKeySigner::random().to_bytes().0)
}

pub(crate) fn claim(ephemeral: &SigningKey) -> EphemeralClaim {
    EphemeralClaim { key: ephemeral.verifying_key(), id: None, expiry: Some(now() + 3600) }
}

pub(crate) fn uses(uses: u64) -> Limits {
    Limits { uses: Some(uses), ..Limits::default() }
}

pub(crate) fn mint(nonce: u64) -> OperationMessage {
    mint_with_nonce(ACCOUNT, nonce)
}

/// A mint that sends some wei along.
pub(crate) fn worth(nonce: u64, wei: u64) -> OperationMessage {
    let mut message = mint(nonce);
    let data = [selector().as_bytes().as_slice(), ACCOUNT.into_word().as_slice()].concat();
    message.operation.call_data = Execute(Call { to: NFT, value: U256::from(wei), data: &data }).to_vec();
    message
}

/// Lets each call carry 100 wei.
pub(crate) fn with_value(mut permissions: Permissions) -> Permissions {
    let policy = Policy::new(NFT, selector()).with_rule(Rule::new(0, Condition::Equal, ACCOUNT)).unwrap();
    permissions.policies[0].policy = policy.with_value_limit(100).into();
    permissions
}

/// A xorshift generator, so that a failure can be run again.
pub(crate) fn draw(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

fn is_slow(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Silent { .. } | Refusal::Unfinished { .. })
}
