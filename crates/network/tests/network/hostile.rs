//! A hostile gateway against honest nodes, on real sockets and real databases: no choice of frames signs what the owner's
//! limits forbid, and none makes an honest node ban another.

use std::collections::{BTreeMap, BTreeSet};

use crate::attacked::scene::{
    Attempt, Held, Key, Scene, ephemeral, mint, nodes, to_all, uses, within, worth,
};
use alloy_signer_local::PrivateKeySigner;
use ed25519_dalek::SigningKey;
use quorate_core::U256;
use quorate_network::Refusal;
use quorate_node::adversary::{Relayed, TaskHandle};
use quorate_protocol::{Answer, Limits, NodeIndex, SignedRequest};

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

/// The gateway offers different keys to different nodes for one request, and one key for two requests.
#[tokio::test(flavor = "multi_thread")]
async fn keys_offered_differently_to_different_nodes_are_each_given_once_and_attested_to_by_too_few() {
    let scene = Scene::start().await;
    let keys = within(scene.gateway.make_keys(2)).await;
    let [one, two, ..] = &keys[..] else { panic!("{keys:?}") };
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

    // Both keys are dead: free nowhere, and each request is told that it can have none.
    for index in 1..=5 {
        crate::databases::until(&scene.network, index, "SELECT COUNT(*) FROM dead_keys", 2).await;
    }
    for (_, answer) in scene.offered(&to_all(one), &request).await {
        assert!(matches!(answer, Answer::Refused(Refusal::Split { .. })), "{answer:?}");
    }
    let free = within(scene.gateway.make_keys(1)).await;
    assert!(!free.contains(one) && !free.contains(two), "they count for no free key");
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
