//! A hostile gateway against honest nodes, on real sockets and real databases: no choice of frames signs what the owner's
//! limits forbid, and none makes an honest node ban another.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up its network has failed")]

mod attacked;
mod local;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use attacked::{bans, start_hostile};
use ed25519_dalek::SigningKey;
use local::{ACCOUNT, LocalNetwork, NFT, mint_with_nonce, now, permissions, selector};
use quorate_core::{Call, Condition, Encode as _, Execute, Policy, Rule, U256};
use quorate_network::{AttestedKey, Refusal};
use quorate_node::adversary::{HostileGateway, Relayed, TaskHandle};
use quorate_protocol::{
    Answer, EphemeralClaim, KeyDraft, KeyRequest, Limits, NodeIndex, Nonce, Operation, OperationMessage,
    Permissions, RegistrationRequest, Revocation, SignatureRequest, SignedRequest, challenge,
};

/// Five honest nodes behind a gateway that is not.
struct Scene {
    network: LocalNetwork,
    gateway: HostileGateway,
}

/// A key, with the secrets of its owner and of the client that asks for its signatures.
struct Key {
    owner: PrivateKeySigner,
    ephemeral: SigningKey,
    key: AttestedKey,
}

/// One operation that nodes were asked to sign.
struct Attempt {
    task: TaskHandle,
    nodes: Vec<NodeIndex>,
    requests: Vec<SignatureRequest>,
}

/// What a gateway keeps back.
#[derive(Clone, Default)]
struct Held(Arc<Mutex<Vec<Relayed>>>);

/// Each node's refusal, where nothing is signed.
type Refused = BTreeMap<NodeIndex, Refusal>;

impl Scene {
    async fn start() -> Self {
        let (gateway, network) = start_hostile().await;
        Self { network, gateway }
    }

    async fn key(&self, limits: Limits) -> Key {
        let (owner, ephemeral) = (PrivateKeySigner::random(), ephemeral());
        let key_id = within(self.gateway.make_keys(1)).await.remove(0);
        let (draft, request) = self.keygen_request(&owner, &ephemeral, limits).await;
        let task = self.gateway.assign(&to_all(&key_id), &request);
        let key = draft.accept(self.network.descriptor(), &self.key_answer(task).await.to_json()).unwrap();
        Key { owner, ephemeral, key }
    }

    /// What an owner signs to be given a key.
    async fn keygen_request(
        &self,
        owner: &PrivateKeySigner,
        ephemeral: &SigningKey,
        limits: Limits,
    ) -> (KeyDraft, SignedRequest) {
        let nonces = self.nonces().await;
        let permissions = Permissions { limits, ..with_value(permissions(owner)) };
        let request = KeyRequest::new(self.network.descriptor(), &permissions, &claim(ephemeral)).unwrap();
        let challenge = challenge(request.setup(), &nonces);
        let draft = request.challenged(&challenge).unwrap();
        let signature = owner.sign_hash_sync(&draft.typed_data().unwrap().digest()).unwrap();
        let request = SignedRequest {
            operation: Operation::Keygen,
            setup: draft.setup().to_owned(),
            nonces,
            authentication: draft.authentication(&signature).unwrap(),
        };
        (draft, request)
    }

    /// The key that all five nodes give, with all their attestations.
    async fn key_answer(&self, task: TaskHandle) -> Answer {
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

    async fn nonces(&self) -> BTreeMap<NodeIndex, Nonce> {
        within(self.gateway.nonces()).await
    }

    /// Asks nodes to sign an operation, with nonces of its own.
    async fn begin(&self, quorum: [u8; 3], key: &Key, message: &OperationMessage) -> Attempt {
        self.begin_as(quorum, key, &key.ephemeral, message).await
    }

    async fn begin_as(
        &self,
        quorum: [u8; 3],
        key: &Key,
        ephemeral: &SigningKey,
        message: &OperationMessage,
    ) -> Attempt {
        let (request, signed) = self.signed_request(key, ephemeral, &self.nonces().await, message);
        self.hand_over(quorum, 0, request, &signed)
    }

    fn hand_over(
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

    fn signed_request(
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

    /// Signs with a gateway that relays as it should, or is refused.
    async fn sign(&self, quorum: [u8; 3], key: &Key, message: &OperationMessage) -> Result<(), Refused> {
        self.relay_all();
        let attempt = self.begin(quorum, key, message).await;
        self.outcome(&attempt).await
    }

    /// Whether the operation was signed, by any node's answer; what others wait for is cancelled at the first refusal.
    async fn outcome(&self, attempt: &Attempt) -> Result<(), Refused> {
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

    fn is_over(&self, attempt: &Attempt) -> bool {
        let answers = self.gateway.answers(attempt.task);
        attempt.nodes.iter().all(|node| answers.contains_key(node))
    }

    fn is_refused(&self, attempt: &Attempt) -> bool {
        self.gateway.answers(attempt.task).values().any(|answer| matches!(answer, Answer::Refused(_)))
    }

    fn relay_all(&self) {
        self.gateway.relay_by(|relayed| vec![relayed]);
    }

    /// Relays what belongs to no task, and keeps back the rest.
    fn hold_all(&self, held: &Held) {
        let held = held.clone();
        self.gateway.relay_by(move |relayed| match relayed.task {
            Some(_) => held.keep(relayed),
            None => vec![relayed],
        });
    }

    fn hold(&self, held: &Held, task: TaskHandle) {
        let held = held.clone();
        self.gateway.relay_by(move |relayed| match relayed.task == Some(task) {
            true => held.keep(relayed),
            false => vec![relayed],
        });
    }

    /// Waits until the gateway has the hellos of all who did not refuse.
    async fn until_hellos_are_held(&self, held: &Held, attempt: &Attempt) {
        let is_held = |node: &NodeIndex| {
            let hellos = held.of(attempt.task, *node);
            hellos == attempt.nodes.len() - 1 || self.gateway.answers(attempt.task).contains_key(node)
        };
        within(self.gateway.until(|| attempt.nodes.iter().all(is_held))).await;
    }

    fn release(&self, held: &Held, task: TaskHandle) {
        self.relay_all();
        for relayed in held.take(task) {
            self.gateway.relay(relayed);
        }
    }

    /// Relays one message after the other, of those that wait a random one, until all attempts are over.
    async fn relay_at_random(&self, held: &Held, attempts: &[Attempt], seed: &mut u64) {
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
    fn is_stuck(&self, attempt: &Attempt) -> bool {
        self.is_refused(attempt) && !self.is_over(attempt)
    }

    async fn nobody_is_banned(&self) {
        for index in 1..=5 {
            let banned = bans(&self.network, index).await;
            assert_eq!(banned, 0, "node {index} has banned somebody for what the gateway did");
        }
    }
}

impl Held {
    fn keep(&self, relayed: Relayed) -> Vec<Relayed> {
        self.0.lock().unwrap().push(relayed);
        Vec::new()
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// How many messages of a node in a task are held.
    fn of(&self, task: TaskHandle, from: NodeIndex) -> usize {
        let is_of = |relayed: &&Relayed| relayed.task == Some(task) && relayed.from == from;
        self.0.lock().unwrap().iter().filter(is_of).count()
    }

    fn take(&self, task: TaskHandle) -> Vec<Relayed> {
        self.0.lock().unwrap().extract_if(.., |relayed| relayed.task == Some(task)).collect()
    }

    fn take_one(&self, random: u64) -> Option<Relayed> {
        let mut held = self.0.lock().unwrap();
        let count = u64::try_from(held.len()).unwrap();
        (count > 0).then(|| held.remove(usize::try_from(random % count).unwrap()))
    }
}

async fn within<T>(step: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(120), step).await.expect("the nodes answer within 120 s")
}

fn nodes(indices: &[u8]) -> Vec<NodeIndex> {
    indices.iter().map(|index| NodeIndex::new(*index).unwrap()).collect()
}

fn to_all(key_id: &str) -> BTreeMap<NodeIndex, String> {
    nodes(&[1, 2, 3, 4, 5]).into_iter().map(|node| (node, key_id.to_owned())).collect()
}

fn ephemeral() -> SigningKey {
    SigningKey::from_bytes(&PrivateKeySigner::random().to_bytes().0)
}

fn claim(ephemeral: &SigningKey) -> EphemeralClaim {
    EphemeralClaim { key: ephemeral.verifying_key(), id: None, expiry: Some(now() + 3600) }
}

fn uses(uses: u64) -> Limits {
    Limits { uses: Some(uses), ..Limits::default() }
}

fn mint(nonce: u64) -> OperationMessage {
    mint_with_nonce(ACCOUNT, nonce)
}

/// A mint that sends some wei along.
fn worth(nonce: u64, wei: u64) -> OperationMessage {
    let mut message = mint(nonce);
    let data = [selector().as_bytes().as_slice(), ACCOUNT.into_word().as_slice()].concat();
    message.operation.call_data = Execute(Call { to: NFT, value: U256::from(wei), data: &data }).to_vec();
    message
}

/// Lets each call carry 100 wei.
fn with_value(mut permissions: Permissions) -> Permissions {
    let policy = Policy::new(NFT, selector()).with_rule(Rule::new(0, Condition::Equal, ACCOUNT)).unwrap();
    permissions.policies[0].policy = policy.with_value_limit(100).into();
    permissions
}

/// A xorshift generator, so that a failure can be run again.
fn draw(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

const ROOM: u64 = 100;

/// Attempts of one nonce that are held back, cancelled and released, so that one's withdrawal might take another's charge
/// along.
#[tokio::test(flavor = "multi_thread")]
async fn attempts_held_cancelled_and_released_sign_no_more_value_than_the_limit() {
    let scene = Scene::start().await;
    let limits = Limits { native_value: Some(U256::from(ROOM)), ..Limits::default() };
    let key = scene.key(limits).await;
    let quorum = [1, 2, 3];
    let mut signed = BTreeMap::new();
    for nonce in 1..=4 {
        let (little, much) = (worth(nonce, 1), ROOM + 1 - nonce);
        let (held_second, held_third) = (Held::default(), Held::default());
        scene.hold_all(&held_second);
        let second = scene.begin(quorum, &key, &little).await;
        scene.until_hellos_are_held(&held_second, &second).await;

        scene.hold(&held_second, second.task);
        let first = scene.begin(quorum, &key, &little).await;
        if scene.outcome(&first).await.is_ok() {
            signed.insert(nonce, 1);
        }

        scene.hold_all(&held_third);
        let third = scene.begin(quorum, &key, &worth(nonce, much)).await;
        scene.until_hellos_are_held(&held_third, &third).await;
        scene.gateway.cancel(second.task);
        assert!(scene.outcome(&second).await.is_err(), "nobody has heard of anybody in it");
        scene.release(&held_third, third.task);
        if scene.outcome(&third).await.is_ok() {
            signed.insert(nonce, much);
        }
    }
    let total: u64 = signed.values().sum();
    assert!(total <= ROOM, "operations worth {total} were signed under a limit of {ROOM}: {signed:?}");
    assert_eq!(signed.get(&1), Some(&ROOM), "the first nonce has room: {signed:?}");
    let refused = scene.sign(quorum, &key, &worth(5, 1)).await.unwrap_err();
    assert!(refused.values().all(|refusal| matches!(refusal, Refusal::Limit { .. })), "{refused:?}");
    scene.sign([3, 4, 5], &key, &worth(1, ROOM)).await.unwrap();
    scene.nobody_is_banned().await;
}

/// Quorums race for what is left while the gateway relays their messages one by one, in an order of its own.
#[tokio::test(flavor = "multi_thread")]
async fn quorums_that_the_gateway_interleaves_sign_no_more_than_the_limit() {
    const USES: u64 = 3;
    let scene = Scene::start().await;
    let key = scene.key(uses(USES)).await;
    let (mut seed, mut nonce, mut signed) = (0x0bad_cafe, 0, 0);
    let races =
        [([1, 2, 3], [3, 4, 5]), ([1, 2, 4], [2, 3, 4]), ([1, 4, 5], [1, 2, 3]), ([2, 3, 5], [1, 2, 4])];
    for (one, other) in races {
        let held = Held::default();
        scene.hold_all(&held);
        let mut attempts = Vec::new();
        for quorum in [one, other] {
            nonce += 1;
            attempts.push(scene.begin(quorum, &key, &mint(nonce)).await);
        }
        for attempt in &attempts {
            scene.until_hellos_are_held(&held, attempt).await;
        }
        scene.relay_at_random(&held, &attempts, &mut seed).await;
        for attempt in &attempts {
            match scene.outcome(attempt).await {
                Ok(()) => signed += 1,
                Err(refused) => assert!(refused.values().any(is_by_limit), "{refused:?}"),
            }
        }
    }
    assert!(signed <= USES, "{signed} signed of {USES}");
    // A gateway that relays gets what is left, and nothing else.
    for _ in signed..USES {
        nonce += 1;
        scene.sign([1, 3, 5], &key, &mint(nonce)).await.unwrap();
    }
    for quorum in [[1, 2, 3], [3, 4, 5], [2, 4, 5]] {
        nonce += 1;
        let refused = scene.sign(quorum, &key, &mint(nonce)).await.unwrap_err();
        assert!(refused.values().any(is_by_limit), "{refused:?}");
    }
    scene.nobody_is_banned().await;
}

fn is_by_limit(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Limit { .. } | Refusal::Contended { .. })
}

/// Requests that are shown twice, requests that differ from node to node, and messages of earlier runs, out of order, more
/// than once and from others than they say.
#[tokio::test(flavor = "multi_thread")]
async fn replayed_swapped_and_reordered_frames_sign_nothing_else_and_ban_nobody() {
    let scene = Scene::start().await;
    let key = scene.key(uses(50)).await;
    one_nonce_serves_one_request(&scene, &key).await;
    a_request_swapped_for_one_participant_is_not_signed(&scene, &key).await;
    hellos_of_an_earlier_attempt_sign_nothing(&scene, &key).await;
    messages_out_of_order_and_twice_do_no_harm(&scene, &key).await;
    scene.nobody_is_banned().await;
    scene.sign([1, 2, 3], &key, &mint(9)).await.unwrap();
}

async fn one_nonce_serves_one_request(scene: &Scene, key: &Key) {
    scene.relay_all();
    let nonces = scene.nonces().await;
    let (first, signed_first) = scene.signed_request(key, &key.ephemeral, &nonces, &mint(1));
    let (second, signed_second) = scene.signed_request(key, &key.ephemeral, &nonces, &mint(2));
    let attempt = scene.hand_over([1, 2, 3], 0, first.clone(), &signed_first);
    scene.outcome(&attempt).await.unwrap();
    for quorum in [[1, 2, 3], [3, 4, 5]] {
        let attempt = scene.hand_over(quorum, 0, second.clone(), &signed_second);
        let refused = scene.outcome(&attempt).await.unwrap_err();
        let replayed = refused.values().any(|refusal| matches!(refusal, Refusal::Replayed));
        assert!(replayed, "{refused:?}");
    }
    // A nonce that is not the node's own is none.
    let mut foreign = nonces.clone();
    foreign.insert(nodes(&[1])[0], nonces[&nodes(&[2])[0]]);
    let (third, signed_third) = scene.signed_request(key, &key.ephemeral, &foreign, &mint(2));
    let attempt = scene.hand_over([1, 4, 5], 0, third, &signed_third);
    let refused = scene.outcome(&attempt).await.unwrap_err();
    assert!(matches!(refused[&nodes(&[1])[0]], Refusal::Challenge), "{refused:?}");
    // The first request may be tried again for as long as its nonces last, where they are not used up by the second.
    let attempt = scene.hand_over([1, 2, 3], 1, first, &signed_first);
    scene.outcome(&attempt).await.unwrap();
}

async fn a_request_swapped_for_one_participant_is_not_signed(scene: &Scene, key: &Key) {
    scene.relay_all();
    let participants = nodes(&[1, 2, 3]);
    let (shown, signed_shown) = scene.signed_request(key, &key.ephemeral, &scene.nonces().await, &mint(1));
    let (swapped, signed_swapped) =
        scene.signed_request(key, &key.ephemeral, &scene.nonces().await, &mint(2));
    let task = scene.gateway.sign_each(&participants, 0, |node| match node.get() {
        3 => signed_swapped.clone(),
        _ => signed_shown.clone(),
    });
    let attempt = Attempt { task, nodes: participants, requests: vec![shown, swapped] };
    let refused = scene.outcome(&attempt).await.unwrap_err();
    assert!(refused.values().any(|refusal| matches!(refusal, Refusal::Silent { .. })), "{refused:?}");
}

async fn hellos_of_an_earlier_attempt_sign_nothing(scene: &Scene, key: &Key) {
    let (request, signed) = scene.signed_request(key, &key.ephemeral, &scene.nonces().await, &mint(3));
    let record = Held::default();
    scene.gateway.relay_by({
        let record = record.clone();
        move |relayed| {
            record.keep(relayed.clone());
            vec![relayed]
        }
    });
    let earlier = scene.hand_over([1, 2, 3], 0, request.clone(), &signed);
    scene.outcome(&earlier).await.unwrap();
    let recorded = record.take(earlier.task);

    // The same attempt once more, in which the earlier one's messages come; and another, in which they cannot.
    for number in [0, 1] {
        let earlier = recorded.clone();
        scene.gateway.relay_by(move |relayed| match relayed.task {
            Some(task) => instead_of(&relayed, &earlier, task),
            None => vec![relayed],
        });
        let attempt = scene.hand_over([1, 2, 3], number, request.clone(), &signed);
        let refused = scene.outcome(&attempt).await.unwrap_err();
        assert!(refused.values().any(|refusal| matches!(refusal, Refusal::Silent { .. })), "{refused:?}");
    }
}

/// What the same sender sent the same receiver in the same round of an earlier task.
fn instead_of(relayed: &Relayed, earlier: &[Relayed], task: TaskHandle) -> Vec<Relayed> {
    let is_alike =
        |other: &&Relayed| (other.from, other.to, other.round) == (relayed.from, relayed.to, relayed.round);
    let replayed = earlier.iter().filter(is_alike).cloned();
    replayed.map(|replayed| Relayed { task: Some(task), ..replayed }).collect()
}

async fn messages_out_of_order_and_twice_do_no_harm(scene: &Scene, key: &Key) {
    let mut waiting: BTreeMap<NodeIndex, Relayed> = BTreeMap::new();
    let mut earlier: Vec<Relayed> = Vec::new();
    scene.gateway.relay_by(move |relayed| {
        // Of each two messages of a node the later one first, then both again, as if from another, and an earlier run's.
        let Some(first) = waiting.remove(&relayed.from) else {
            waiting.insert(relayed.from, relayed);
            return Vec::new();
        };
        let as_from_the_other = Relayed { from: first.to, to: relayed.to, ..first.clone() };
        let mut sent = vec![as_from_the_other];
        sent.extend(earlier.iter().map(|old| Relayed { task: relayed.task, ..old.clone() }));
        sent.extend([relayed.clone(), first.clone(), relayed.clone(), first]);
        earlier.truncate(3);
        earlier.insert(0, relayed);
        sent
    });
    for nonce in [4, 5, 6] {
        let attempt = scene.begin([1, 2, 3], key, &mint(nonce)).await;
        if let Err(refused) = scene.outcome(&attempt).await {
            let is_named = |refusal: &Refusal| refusal.is_transient();
            assert!(refused.values().all(is_named), "{refused:?}");
        }
    }
    scene.relay_all();
}

/// The owner registers two ephemeral keys, and the gateway shows each to other nodes; later it keeps a revocation from two.
#[tokio::test(flavor = "multi_thread")]
async fn statements_shown_to_some_nodes_only_neither_multiply_uses_nor_outlive_a_revocation() {
    let scene = Scene::start().await;
    let key = scene.key(uses(3)).await;
    let (a, b) = (ephemeral(), ephemeral());
    scene.withhold_letters();
    scene.register(&[1, 2], &key, &a).await;
    scene.register(&[3, 4, 5], &key, &b).await;
    let sign = async |quorum, ephemeral: &SigningKey, nonce| {
        let attempt = scene.begin_as(quorum, &key, ephemeral, &mint(nonce)).await;
        scene.outcome(&attempt).await
    };

    sign([3, 4, 5], &b, 1).await.unwrap();
    let refused = sign([1, 2, 3], &a, 2).await.unwrap_err();
    assert!(matches!(refused[&nodes(&[3])[0]], Refusal::EphemeralKey { .. }), "{refused:?}");
    // 1 and 2 hear of `b` and what it used up, and 3 of `a`, in the run itself.
    sign([1, 2, 3], &key.ephemeral, 3).await.unwrap();
    sign([1, 2, 3], &a, 4).await.unwrap();
    for (quorum, ephemeral) in
        [([3, 4, 5], &b), ([1, 2, 3], &a), ([1, 2, 4], &key.ephemeral), ([2, 4, 5], &key.ephemeral)]
    {
        let refused = sign(quorum, ephemeral, 5).await.unwrap_err();
        assert!(refused.values().any(is_by_limit), "{refused:?}");
    }

    // What was signed may be signed again, until it is revoked at 1, 2 and 3.
    sign([3, 4, 5], &b, 1).await.unwrap();
    scene.revoke(&[1, 2, 3], &key, &b).await;
    let refused = sign([3, 4, 5], &b, 1).await.unwrap_err();
    assert!(matches!(refused[&nodes(&[3])[0]], Refusal::EphemeralKey { .. }), "{refused:?}");
    let refused = sign([1, 4, 5], &b, 1).await.unwrap_err();
    assert!(matches!(refused[&nodes(&[1])[0]], Refusal::EphemeralKey { .. }), "{refused:?}");
    // The next run with one of them takes it to 4 and 5.
    sign([3, 4, 5], &key.ephemeral, 3).await.unwrap();
    let refused = sign([1, 4, 5], &b, 1).await.unwrap_err();
    assert_eq!(refused.values().filter(|refusal| matches!(refusal, Refusal::EphemeralKey { .. })).count(), 3);
    scene.nobody_is_banned().await;
}

impl Scene {
    /// Relays tasks, and keeps from nodes what they write to each other outside.
    fn withhold_letters(&self) {
        self.gateway.relay_by(|relayed| relayed.task.map(|_| relayed).into_iter().collect());
    }

    async fn register(&self, at: &[u8], key: &Key, ephemeral: &SigningKey) {
        let (owner, key_id) = (key.owner.address(), &key.key.key_id);
        let request = RegistrationRequest::new(self.network.descriptor(), owner, key_id, &claim(ephemeral));
        let (setup, nonces) = (request.setup().to_owned(), self.nonces().await);
        let draft = request.challenged(&challenge(&setup, &nonces)).unwrap();
        let signature = key.owner.sign_hash_sync(&draft.typed_data().unwrap().digest()).unwrap();
        let authentication = draft.authentication(&signature).unwrap();
        self.state(
            at,
            SignedRequest { operation: Operation::AddEphemeralKey, setup, nonces, authentication },
        )
        .await;
    }

    async fn revoke(&self, at: &[u8], key: &Key, ephemeral: &SigningKey) {
        let (owner, key_id) = (key.owner.address(), &key.key.key_id);
        let ephemeral = Some(ephemeral.verifying_key());
        let revocation = Revocation::new(self.network.descriptor(), owner, key_id, ephemeral);
        let signature = key.owner.sign_hash_sync(&revocation.typed_data().unwrap().digest()).unwrap();
        let (setup, authentication) =
            (revocation.setup().to_owned(), revocation.authentication(&signature).unwrap());
        let nonces = BTreeMap::new();
        self.state(at, SignedRequest { operation: Operation::Revoke, setup, nonces, authentication }).await;
    }

    async fn state(&self, at: &[u8], request: SignedRequest) {
        let task = self.gateway.register(&nodes(at), &request);
        for node in nodes(at) {
            let answer = within(self.gateway.answer(task, node)).await;
            assert!(matches!(answer, Answer::Registered | Answer::Revoked { .. }), "{answer:?}");
        }
    }
}

/// The gateway offers different keys to different nodes for one request, and one key for two requests.
#[tokio::test(flavor = "multi_thread")]
async fn keys_offered_differently_to_different_nodes_are_each_given_once_and_attested_to_by_too_few() {
    let scene = Scene::start().await;
    let keys = within(scene.gateway.make_keys(2)).await;
    let [one, two] = &keys[..] else { panic!("{keys:?}") };
    let (owner, other_owner) = (PrivateKeySigner::random(), PrivateKeySigner::random());
    let (draft, request) = scene.keygen_request(&owner, &ephemeral(), uses(1)).await;
    let (other_draft, other_request) = scene.keygen_request(&other_owner, &ephemeral(), uses(1)).await;
    scene.withhold_letters();

    let offer = |first: &str, second: &str| {
        let key = |node: &NodeIndex| if node.get() < 3 { first } else { second };
        nodes(&[1, 2, 3, 4, 5])
            .into_iter()
            .map(|node| (node, key(&node).to_owned()))
            .collect::<BTreeMap<_, _>>()
    };
    let mut given = Given::default();
    for keys in [offer(one, two), offer(two, one), to_all(one), to_all(two)] {
        given.note(0, scene.offered(&keys, &request).await);
        given.note(1, scene.offered(&keys, &other_request).await);
    }
    given.check();
    for (asked, draft) in [&draft, &other_draft].into_iter().enumerate() {
        for answer in given.best_answers(asked) {
            assert!(draft.accept(scene.network.descriptor(), &answer.to_json()).is_err(), "{answer:?}");
        }
    }

    // Nor is it otherwise once the nodes hear of each other.
    scene.relay_all();
    for keys in [to_all(one), to_all(two)] {
        given.note(0, scene.offered(&keys, &request).await);
        given.note(1, scene.offered(&keys, &other_request).await);
    }
    given.check();
}

impl Scene {
    /// What nodes answer to the keys that they are offered for a request.
    async fn offered(
        &self,
        keys: &BTreeMap<NodeIndex, String>,
        request: &SignedRequest,
    ) -> Vec<(NodeIndex, Answer)> {
        let task = self.gateway.assign(keys, request);
        let mut answers = Vec::new();
        for node in keys.keys() {
            answers.push((*node, within(self.gateway.answer(task, *node)).await));
        }
        answers
    }
}

/// Which keys nodes gave to which requests.
#[derive(Default)]
struct Given(BTreeMap<(usize, String), BTreeMap<NodeIndex, Answer>>);

impl Given {
    fn note(&mut self, request: usize, answers: Vec<(NodeIndex, Answer)>) {
        for (node, answer) in answers {
            if let Answer::Key { key, .. } = &answer {
                self.0.entry((request, key.key_id.clone())).or_default().insert(node, answer);
            }
        }
    }

    /// No node gives a request two keys, or a key to two requests.
    fn check(&self) {
        let (mut requests, mut keys) = (BTreeSet::new(), BTreeSet::new());
        assert!(!self.0.is_empty());
        for ((request, key_id), answers) in &self.0 {
            for node in answers.keys() {
                assert!(requests.insert((*node, *request)), "node {node} gives request {request} two keys");
                assert!(keys.insert((*node, key_id.clone())), "node {node} gives {key_id} to two requests");
            }
        }
    }

    /// For each key that a request was given, all attestations in one answer.
    fn best_answers(&self, request: usize) -> Vec<Answer> {
        let of_request = self.0.iter().filter(|((of, _), _)| *of == request);
        let gather = |answers: &BTreeMap<NodeIndex, Answer>| {
            let attestations = answers.values().filter_map(|answer| match answer {
                Answer::Key { attestations, .. } => Some(attestations.clone()),
                _ => None,
            });
            let attestations = attestations.flatten().collect();
            answers
                .values()
                .find_map(|answer| match answer {
                    Answer::Key { key, .. } => Some(key.clone()),
                    _ => None,
                })
                .map(|key| Answer::Key { key, attestations })
        };
        of_request.filter_map(|(_, answers)| gather(answers)).collect()
    }
}
