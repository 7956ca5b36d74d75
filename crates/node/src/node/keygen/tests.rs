use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use alloy_primitives::Address;
use ed25519_dalek::SigningKey;
use quorate_core::{FunctionSelector, Policy};
use quorate_mpc::{Incoming, Outgoing, Quorum, SessionId, keygen};
use quorate_protocol::{
    AdmissionToken, Authentication, ContractAccount, EphemeralClaim, KeyText, KeygenSetup, Limits, Operation,
    Permissions, PermissionsClaim, PermittedPolicy, Refusal, Revocation, Says, Setup, Signed, SignedRequest,
    TokenIssuer, TypedDataSignature, Verified, Voucher,
};
use quorate_seal::Seal;
use serde_json::json;
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::*;
use crate::config::Admission;
use crate::node::assignment::Assignments;
use crate::node::judge;
use crate::node::statements::Statements;
use crate::storage::{Added, ApprovedKeygen};
use crate::wire::{Evidence, ShownStatement};

const MAKING: B256 = B256::repeat_byte(7);
const NOW: u64 = 1_700_000_000;

/// What one key generation of 2 of 3 came to at each node.
static MADE: LazyLock<Vec<Zeroizing<Vec<u8>>>> = LazyLock::new(|| {
    let quorum = Quorum::new(2, 3).unwrap();
    let start = |me| keygen::Round1::start(quorum, me, SessionId::new([1; 32])).unwrap();
    let (rounds, sent) = quorum.indices().map(start).unzip();
    let (rounds, sent) = all(rounds, sent, |round, inbox| round.next(inbox).unwrap());
    let (rounds, sent) = all(rounds, sent, |round, inbox| round.next(inbox).unwrap());
    let (rounds, sent) = all(rounds, sent, |round, inbox| round.next(inbox).unwrap());
    let last = |round: keygen::Round4, inbox| (round.next(inbox).unwrap(), Outgoing::new());
    let (made, _) = all(rounds, sent, last);
    made.iter().map(|unconfirmed| unconfirmed.to_bytes().unwrap()).collect()
});

fn all<R, N>(
    rounds: Vec<R>,
    sent: Vec<Outgoing>,
    next: impl Fn(R, Incoming) -> (N, Outgoing),
) -> (Vec<N>, Vec<Outgoing>) {
    let party = |place: usize| PartyIndex::new(u8::try_from(place + 1).unwrap()).unwrap();
    let inbox = |me| {
        let sent = sent.iter().enumerate();
        sent.filter_map(|(from, messages)| Some((party(from), messages.get(&me)?.clone()))).collect()
    };
    rounds.into_iter().enumerate().map(|(place, round)| next(round, inbox(party(place)))).unzip()
}

pub(crate) fn node(index: u8) -> NodeIndex {
    NodeIndex::new(index).unwrap()
}

fn identity(index: u8) -> SigningKey {
    SigningKey::from_bytes(&[index; 32])
}

fn network() -> NetworkDescriptor {
    let nodes = (1..=3).map(|index| identity(index).verifying_key()).collect();
    NetworkDescriptor::new(2, nodes, vec!["ws://localhost:1".parse().unwrap()]).unwrap()
}

/// A node of three with a database, and no socket.
pub(crate) struct Place {
    member: Arc<Member>,
    pub(crate) storage: Arc<Storage>,
    folder: TempDir,
}

impl Place {
    pub(crate) async fn new(index: u8) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let member = Member { network: network(), index: node(index), identity: identity(index) };
        let storage = open(&member, folder.path()).await;
        Self { member: Arc::new(member), storage, folder }
    }

    pub(crate) async fn restart(self) -> Self {
        let Self { member, storage, folder } = self;
        storage.close().await;
        drop(storage);
        Self { storage: open(&member, folder.path()).await, member, folder }
    }

    /// Closes the database and gives a copy of it.
    pub(crate) async fn back_up(&self) -> PathBuf {
        self.storage.close().await;
        let backup = self.folder.path().join("backup.db");
        std::fs::copy(self.folder.path().join("node.db"), &backup).unwrap();
        backup
    }

    pub(crate) fn seal() -> Seal {
        Seal::new(&[3; 32])
    }

    pub(crate) fn network(&self) -> B256 {
        self.member.network.id()
    }

    fn being_made(&self) -> KeysBeingMade<'_> {
        KeysBeingMade { member: &self.member, storage: &self.storage, now: NOW }
    }

    fn pending(&self) -> PendingKey {
        let unconfirmed = Unconfirmed::from_bytes(&MADE[usize::from(self.member.index.get()) - 1]).unwrap();
        PendingKey { key_id: key_id(&unconfirmed), making: MAKING, unconfirmed }
    }

    fn assignments(&self) -> Assignments {
        Assignments::new(self.member.clone(), self.storage.clone(), Admission::default())
    }

    /// Begins the birth, and gives the letter with which this node asks the others.
    async fn begin(&self) -> KeyConfirmations {
        let pending = self.pending();
        let own = self.being_made().begin(&pending).await.unwrap();
        KeyConfirmations { key_id: pending.key_id, confirmations: [(self.member.index, own)].into() }
    }

    /// The id of a key that all nodes have confirmed.
    async fn free_key(&self) -> String {
        let KeyConfirmations { key_id, .. } = self.begin().await;
        for index in 1..=3 {
            self.being_made().confirm(&key_id, &confirmation_of(index)).await.unwrap();
        }
        key_id
    }

    /// The id of a key that is somebody's.
    pub(crate) async fn key(&self) -> String {
        let key_id = self.free_key().await;
        self.assignments().assign(&key_id, &approved("one"), NOW).await.unwrap();
        key_id
    }

    async fn is_key(&self, key_id: &str) -> bool {
        self.storage.free_key(key_id).await.unwrap().is_some()
    }
}

/// A request for a key, as it was judged; `label` tells one from another.
fn approved(label: &str) -> Verified<ApprovedKeygen> {
    approved_with(label, None)
}

fn approved_with(label: &str, token: Option<&AdmissionToken>) -> Verified<ApprovedKeygen> {
    let member = Member { network: network(), index: node(1), identity: identity(1) };
    match judge::keygen(&member, &signed(unsigned(label, token)), Some(NOW)).unwrap() {
        Signed::Verified(approved) => approved,
        Signed::Claimed(_) => panic!("an account's signature shows itself"),
    }
}

fn unsigned(label: &str, token: Option<&AdmissionToken>) -> SignedRequest {
    let ephemeral = hex::encode_prefixed(identity(9).verifying_key().as_bytes());
    let mut metadata = vec![json!({ "tag": 2, "value": ephemeral })];
    metadata.extend(token.map(|token| json!({ "tag": 5, "value": token.to_json() })));
    let setup = json!({ "t": 2, "n": 3, "key_label": label, "metadata": metadata }).to_string();
    SignedRequest {
        operation: Operation::Keygen,
        setup,
        nonces: BTreeMap::new(),
        authentication: String::new(),
    }
}

fn issuer() -> SigningKey {
    identity(8)
}

fn token(owner: Address, expires: u64, keys: u64) -> AdmissionToken {
    AdmissionToken::issue(&issuer(), network().id(), owner, expires, keys)
}

/// Whoever has a token is admitted, and nobody else.
fn by_token() -> Admission {
    Admission { token_issuers: Some(vec![TokenIssuer::from(&issuer())]), ..Admission::default() }
}

async fn open(member: &Member, folder: &Path) -> Arc<Storage> {
    let network = member.network.id();
    Arc::new(Storage::open(&folder.join("node.db"), Place::seal(), network, member.index).await.unwrap())
}

fn confirmation_of(index: u8) -> Confirmations {
    let unconfirmed = Unconfirmed::from_bytes(&MADE[0]).unwrap();
    let nodes = (1..=3).map(|index| identity(index).verifying_key()).collect();
    let network = NetworkDescriptor::new(2, nodes, vec!["ws://localhost:1".parse().unwrap()]).unwrap();
    let statement = Transcript::new("key confirmation")
        .field(network.id().as_slice())
        .field(&unconfirmed.confirmation().digest())
        .finish();
    [(node(index), identity(index).sign(statement.as_slice()).to_bytes().to_vec())].into()
}

#[tokio::test]
async fn a_pending_key_outlives_a_restart_and_becomes_a_key_with_the_last_confirmation() {
    let place = Place::new(1).await;
    let KeyConfirmations { key_id, .. } = place.begin().await;
    assert!(!place.being_made().confirm(&key_id, &confirmation_of(2)).await.unwrap());

    let place = place.restart().await;
    assert!(!place.is_key(&key_id).await);
    assert!(place.storage.share(&key_id).await.is_err(), "a pending share is not given out");
    let waiting = StillPending::find(&place.member.network, &place.storage, &key_id).await.unwrap().unwrap();
    assert!(waiting.to_string().ends_with("too: 3"), "{waiting}");

    assert!(place.being_made().confirm(&key_id, &confirmation_of(3)).await.unwrap());
    assert!(place.is_key(&key_id).await);
    assert!(place.storage.pending_keys().await.unwrap().is_empty());
    let pending = place.pending();
    assert_eq!(
        place.storage.free_key(&key_id).await.unwrap(),
        Some(*pending.unconfirmed.confirmation().public_key())
    );
    assert!(place.storage.share(&key_id).await.is_err(), "nobody's share is not given out");
    assert!(!place.being_made().confirm(&key_id, &confirmation_of(3)).await.unwrap(), "only once");
}

#[tokio::test]
async fn only_each_nodes_own_signature_over_this_key_confirms_it() {
    let place = Place::new(1).await;
    let KeyConfirmations { key_id, .. } = place.begin().await;
    place.being_made().confirm(&key_id, &confirmation_of(2)).await.unwrap();

    let mut altered = confirmation_of(3);
    altered.values_mut().for_each(|signature| signature[10] ^= 1);
    let another_nodes = [(node(3), confirmation_of(2).into_values().next().unwrap())].into();
    let other_statement = B256::repeat_byte(1);
    let of_another_key = identity(3).sign(other_statement.as_slice()).to_bytes().to_vec();
    let short = [(node(3), vec![1; 63])].into();
    let strangers = [(node(4), confirmation_of(4).into_values().next().unwrap())].into();
    for false_one in [altered, another_nodes, [(node(3), of_another_key)].into(), short, strangers] {
        assert!(!place.being_made().confirm(&key_id, &false_one).await.unwrap());
        assert_eq!(place.storage.confirmations(&key_id).await.unwrap().len(), 2);
    }
    assert!(!place.is_key(&key_id).await);
    assert!(place.being_made().confirm(&key_id, &confirmation_of(3)).await.unwrap());
}

/// What is stored is verified again: a database that somebody wrote into makes no key usable.
#[tokio::test]
async fn a_false_confirmation_in_the_database_confirms_nothing() {
    let place = Place::new(1).await;
    let KeyConfirmations { key_id, .. } = place.begin().await;
    let false_one = [(node(3), vec![1; 64])].into();
    place.storage.add_confirmations(&key_id, &false_one).await.unwrap();
    assert!(!place.being_made().confirm(&key_id, &confirmation_of(2)).await.unwrap());
    assert!(place.being_made().confirm(&key_id, &confirmation_of(3)).await.unwrap());
}

#[tokio::test]
async fn a_crash_after_the_last_confirmation_was_stored_is_made_good() {
    let place = Place::new(1).await;
    let KeyConfirmations { key_id, .. } = place.begin().await;
    for index in 2..=3 {
        place.storage.add_confirmations(&key_id, &confirmation_of(index)).await.unwrap();
    }
    let place = place.restart().await;
    assert!(!place.is_key(&key_id).await);
    place.being_made().inquiries().await.unwrap();
    assert!(place.is_key(&key_id).await);
}

#[tokio::test]
async fn letters_bring_all_confirmations_to_all_nodes() {
    let [one, two, three] = [Place::new(1).await, Place::new(2).await, Place::new(3).await];
    let KeyConfirmations { key_id, .. } = one.begin().await;
    two.begin().await;
    three.begin().await;
    let places = [&one, &two, &three];
    let mut posts: Vec<_> =
        one.being_made().inquiries().await.unwrap().into_iter().map(|post| (node(1), post)).collect();
    assert_eq!(posts.len(), 2, "one inquiry to each other node");
    for _ in 0..20 {
        let Some((from, (to, letter))) = posts.pop() else { break };
        let place = places[usize::from(to.get()) - 1];
        let answers = place.being_made().answer(from, &letter).await.unwrap();
        posts.extend(answers.into_iter().map(|post| (to, post)));
    }
    assert!(posts.is_empty(), "the letters come to an end");
    for place in places {
        assert!(place.is_key(&key_id).await, "node {}", place.member.index);
        assert!(place.being_made().inquiries().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_node_that_has_the_key_answers_with_all_confirmations() {
    let [one, two] = [Place::new(1).await, Place::new(2).await];
    let key_id = one.key().await;
    let letter = two.begin().await;
    let answers = one.being_made().answer(node(2), &letter).await.unwrap();
    let [(to, answer)] = answers.as_slice() else { panic!("one answer") };
    assert_eq!(*to, node(2));
    assert_eq!(two.being_made().answer(node(1), answer).await.unwrap().len(), 2, "both others are told");
    assert!(two.is_key(&key_id).await);

    let unknown = KeyConfirmations { key_id: "another".to_owned(), ..letter };
    assert!(one.being_made().answer(node(2), &unknown).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_making_has_one_key() {
    let place = Place::new(1).await;
    place.begin().await;
    assert!(place.being_made().begin(&place.pending()).await.is_err());
}

#[tokio::test]
async fn a_pending_key_is_given_up_after_a_week() {
    let place = Place::new(1).await;
    let KeyConfirmations { key_id, .. } = place.begin().await;
    let at = |now| KeysBeingMade { now, ..place.being_made() };
    at(NOW + PENDING_LIFETIME).give_up().await.unwrap();
    assert_eq!(place.storage.pending_keys().await.unwrap(), [key_id.as_str()]);
    at(NOW + PENDING_LIFETIME + 1).give_up().await.unwrap();
    assert!(place.storage.pending_keys().await.unwrap().is_empty());
    assert!(place.storage.confirmations(&key_id).await.unwrap().is_empty());

    let finished = Place::new(2).await;
    let key_id = finished.free_key().await;
    KeysBeingMade { now: u64::MAX, ..finished.being_made() }.give_up().await.unwrap();
    assert!(finished.is_key(&key_id).await);
}

/// The wallet of an owner who signs, and its address.
fn wallet() -> (k256::ecdsa::SigningKey, Address) {
    let wallet = k256::ecdsa::SigningKey::from_slice(&[5; 32]).unwrap();
    let public_key = wallet.verifying_key().to_sec1_point(true).as_bytes().try_into().unwrap();
    (wallet, quorate_protocol::address_of(&public_key).unwrap())
}

/// A request for a key, signed by its owner.
fn signed(mut request: SignedRequest) -> SignedRequest {
    let (wallet, owner) = wallet();
    let setup = Setup::parse(Operation::Keygen, &request.setup).unwrap();
    let digest = setup.typed_data(&request.challenge()).unwrap().digest();
    let (signature, recovery) = wallet.sign_prehash_recoverable(digest.as_slice());
    let (r, s) = signature.split_bytes();
    let signature = alloy_primitives::Signature::from_scalars_and_parity(
        B256::from_slice(&r),
        B256::from_slice(&s),
        recovery.is_y_odd(),
    );
    request.authentication = Authentication::owner_text(owner, "", signature).unwrap();
    request
}

/// What nodes attest to of a key that they gave to a request at NOW, each with its own end.
fn attested(member: &Member, key: &KeyText, ends: &[(u8, u64)]) -> Evidence {
    attested_of(signed(unsigned("one", None)), member, key, ends)
}

fn attested_of(request: SignedRequest, member: &Member, key: &KeyText, ends: &[(u8, u64)]) -> Evidence {
    let signed = judge::keygen(member, &request, Some(NOW)).unwrap();
    let birth = crate::node::assignment::birth(key, signed.owner(), signed.unverified());
    let attest = |(index, until): &(u8, u64)| {
        let own = birth.attest(member.network.id(), node(*index), &identity(*index), NOW, *until);
        (node(*index), own)
    };
    Evidence { request, attestations: ends.iter().map(attest).collect() }
}

/// What nodes attest to of a key of a contract, whose signature none of them can judge here.
fn attested_to_contract(member: &Member, key: &KeyText, ends: &[(u8, u64)]) -> Evidence {
    let owner: ContractAccount = "eip155:7:0x7e5f4552091a69125d5dfcb7b8c2659029395bdf".parse().unwrap();
    let permissions = Permissions {
        owner: owner.address,
        account: owner.address,
        chain_id: owner.chain_id,
        entry_point: Address::repeat_byte(0xee),
        session_key_manager: Address::repeat_byte(0x5e),
        policies: vec![PermittedPolicy {
            validation_module: Address::repeat_byte(0xab),
            policy: Policy::new(Address::repeat_byte(0x0f), FunctionSelector::new([1; 4])).into(),
        }],
        limits: Limits::default(),
    }
    .to_json();
    let ephemeral = EphemeralClaim { key: identity(9).verifying_key(), id: None, expiry: Some(NOW + 60) };
    let (network, permissions_hash) = (member.network.id(), Permissions::hash_of(&permissions));
    let claim = PermissionsClaim { network, chain_id: owner.chain_id, permissions: permissions_hash };
    let setup = KeygenSetup::text(&member.network, Some((&permissions, &claim)), &ephemeral, None);
    let signature =
        TypedDataSignature::Contract { block: B256::repeat_byte(1), signature: vec![1; 65].into() };
    let authentication = Authentication::owner_text(owner, "", signature).unwrap();
    let request = SignedRequest { setup, authentication, ..unsigned("", None) };
    attested_of(request, member, key, ends)
}

async fn free_key_text(place: &Place) -> KeyText {
    let key_id = place.free_key().await;
    let public_key = place.storage.free_key(&key_id).await.unwrap().unwrap();
    KeyText { key_id, public_key }
}

#[tokio::test]
async fn a_key_is_assigned_once_and_a_request_has_one_key() {
    let place = Place::new(1).await;
    let key_id = place.free_key().await;
    let assignments = place.assignments();
    let (key, attestation) = assignments.assign(&key_id, &approved("one"), NOW).await.unwrap();
    assert_eq!(key.key_id, key_id);
    assert!(assignments.assign(&key_id, &approved("another"), NOW).await.is_err());
    assert!(place.storage.free_keys().await.unwrap().is_empty());
    drop(assignments);

    let place = place.restart().await;
    let request = signed(unsigned("one", None));
    let again = place.storage.key_of(request.hash()).await.unwrap().unwrap();
    assert_eq!(again, (key, attestation));
    let registration = place.storage.key(&key_id).await.unwrap().unwrap().registration;
    assert_eq!(
        (registration.ephemeral, registration.until),
        (identity(9).verifying_key().to_bytes(), NOW + quorate_protocol::DEFAULT_EPHEMERAL_LIFETIME)
    );
    place.storage.share(&key_id).await.unwrap();
}

#[tokio::test]
async fn an_owner_s_quota_is_held_in_the_assignment_itself() {
    let place = Place::new(1).await;
    let key_id = place.free_key().await;
    let admission = Admission { keys_per_owner: 0, ..Admission::default() };
    let assignments = Assignments::new(place.member.clone(), place.storage.clone(), admission);
    let refused = assignments.assign(&key_id, &approved("one"), NOW).await.unwrap_err();
    assert!(matches!(refused, TaskError::Refused(Refusal::Quota { keys: 0, limit: 0, .. })), "{refused}");
    assert!(place.is_key(&key_id).await, "still free");
}

#[tokio::test]
async fn a_token_s_quota_is_held_instead_of_the_configured_one() {
    let place = Place::new(1).await;
    let key_id = place.free_key().await;
    let assignments = Assignments::new(place.member.clone(), place.storage.clone(), by_token());
    let with = |label, expires, keys| approved_with(label, Some(&token(wallet().1, expires, keys)));
    let refused = assignments.assign(&key_id, &with("one", NOW + 1, 0), NOW).await.unwrap_err();
    assert!(matches!(refused, TaskError::Refused(Refusal::Quota { keys: 0, limit: 0, .. })), "{refused}");
    let refused = assignments.assign(&key_id, &with("two", NOW, 1), NOW).await.unwrap_err();
    let TaskError::Refused(Refusal::NotAdmitted { token: Some(reason), .. }) = refused else { panic!() };
    assert!(reason.contains("expired"), "{reason}");
    assignments.assign(&key_id, &with("three", NOW + 1, 1), NOW).await.unwrap();
}

#[tokio::test]
async fn what_a_quorum_attests_to_is_adopted_whatever_the_own_admission() {
    let place = Place::new(1).await;
    let key = free_key_text(&place).await;
    let evidence = attested(&place.member, &key, &[(2, NOW + 90), (3, NOW + 70)]);
    let admission = Admission { owners: Some(Vec::new()), ..Admission::default() };
    let assignments = Assignments::new(place.member.clone(), place.storage.clone(), admission);
    // Long after the ephemeral key has ended.
    assert!(assignments.learn(&key.key_id, evidence, NOW + 1_000_000).await.unwrap());
    let known = assignments.evidence(&key.key_id).await.unwrap().unwrap().attestations;
    assert_eq!(known.keys().copied().collect::<Vec<_>>(), [node(1), node(2), node(3)]);
    let registration = place.storage.key(&key.key_id).await.unwrap().unwrap().registration;
    assert_eq!(registration.until, NOW + 90, "an honest node's end is as late");
}

#[tokio::test]
async fn one_node_s_word_is_adopted_only_while_it_is_young_and_admitted_here() {
    let place = Place::new(1).await;
    let key = free_key_text(&place).await;
    let evidence = || attested(&place.member, &key, &[(2, NOW + 90)]);
    let stranger = Admission { owners: Some(Vec::new()), ..Admission::default() };
    let strict = Assignments::new(place.member.clone(), place.storage.clone(), stranger);
    assert!(!strict.learn(&key.key_id, evidence(), NOW + 1).await.unwrap(), "not admitted");
    let open = place.assignments();
    assert!(!open.learn(&key.key_id, evidence(), NOW + 600).await.unwrap(), "ten minutes old");
    let mut forged = evidence();
    forged.attestations.get_mut(&node(2)).unwrap().assigned_at = NOW + 500;
    assert!(!open.learn(&key.key_id, forged, NOW + 600).await.unwrap(), "the time is signed, too");
    assert!(open.learn(&key.key_id, evidence(), NOW + 599).await.unwrap());
}

#[tokio::test]
async fn one_node_s_word_for_a_token_s_owner_is_adopted_while_the_token_is_good_here() {
    let place = Place::new(1).await;
    let key = free_key_text(&place).await;
    let (_, owner) = wallet();
    let request = |expires, keys| {
        let token = token(owner, expires, keys);
        signed(unsigned("one", Some(&token)))
    };
    let evidence =
        |expires, keys, ends: &[(u8, u64)]| attested_of(request(expires, keys), &place.member, &key, ends);
    let assignments = Assignments::new(place.member.clone(), place.storage.clone(), by_token());
    let one = [(2, NOW + 90)];
    let learn = async |evidence| assignments.learn(&key.key_id, evidence, NOW + 5).await.unwrap();
    assert!(!learn(attested(&place.member, &key, &one)).await, "no token");
    assert!(!learn(evidence(NOW + 5, 1, &one)).await, "expired");
    assert!(!learn(evidence(NOW + 6, 0, &one)).await, "no more keys");
    assert!(learn(evidence(NOW + 6, 1, &one)).await);

    let late = Place::new(1).await;
    let key = free_key_text(&late).await;
    let evidence = attested_of(request(NOW, 0), &late.member, &key, &[(2, NOW + 90), (3, NOW + 70)]);
    let assignments = Assignments::new(late.member.clone(), late.storage.clone(), by_token());
    assert!(
        assignments.learn(&key.key_id, evidence, NOW + 5).await.unwrap(),
        "a quorum has judged the token"
    );
}

#[tokio::test]
async fn a_contract_s_key_is_adopted_on_the_word_of_a_quorum_only() {
    let place = Place::new(1).await;
    let key = free_key_text(&place).await;
    let assignments = place.assignments();
    let evidence = |ends: &[_]| attested_to_contract(&place.member, &key, ends);
    assert!(!assignments.learn(&key.key_id, evidence(&[(2, NOW + 60)]), NOW).await.unwrap(), "one of two");
    let mut forged = evidence(&[(2, NOW + 60), (3, NOW + 60)]);
    forged.attestations.get_mut(&node(3)).unwrap().signature[10] ^= 1;
    assert!(!assignments.learn(&key.key_id, forged, NOW).await.unwrap(), "node 3 has not said so");
    assert!(assignments.learn(&key.key_id, evidence(&[(3, NOW + 60)]), NOW).await.unwrap());
    let owner = place.storage.key(&key.key_id).await.unwrap().unwrap().owner;
    assert_eq!(owner.to_string(), "eip155:7:0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf");
}

#[tokio::test]
async fn a_contract_s_key_has_signed_permissions_for_its_own_chain() {
    let place = Place::new(1).await;
    let key = free_key_text(&place).await;
    let Evidence { request, .. } = attested_to_contract(&place.member, &key, &[]);
    let judge = |request: &SignedRequest| judge::keygen(&place.member, request, Some(NOW));
    assert!(matches!(judge(&request), Ok(Signed::Claimed(_))));

    let elsewhere = request.authentication.replace("eip155:7:", "eip155:8:");
    let elsewhere = SignedRequest { authentication: elsewhere, ..request.clone() };
    let Err(Refusal::OtherPermissions { what, .. }) = judge(&elsewhere) else { panic!("another chain") };
    assert_eq!(*what, *"chain");

    let another =
        request.authentication.replace("7E5F4552091A69125d5DfCb7b8C2659029395Bdf", &"11".repeat(20));
    let another = SignedRequest { authentication: another, ..request.clone() };
    let Err(Refusal::OtherPermissions { what, .. }) = judge(&another) else { panic!("another contract") };
    assert_eq!(*what, *"owner");

    let without = |tag: u64| {
        let mut setup: serde_json::Value = serde_json::from_str(&request.setup).unwrap();
        setup["metadata"].as_array_mut().unwrap().retain(|entry| entry["tag"] != tag && entry["tag"] != 4);
        SignedRequest { setup: setup.to_string(), ..request.clone() }
    };
    assert_eq!(judge(&without(4)).unwrap_err(), Refusal::UnsignedPermissions);
    assert_eq!(judge(&without(1)).unwrap_err(), Refusal::NoPermissions);
}

/// A revocation that the contract of [`attested_to_contract`] is said to have signed, with the vouchers of nodes.
fn shown(member: &Member, key_id: &str, vouching: &[u8]) -> ShownStatement {
    let owner: ContractAccount = "eip155:7:0x7e5f4552091a69125d5dfcb7b8c2659029395bdf".parse().unwrap();
    let revocation = Revocation::new(&member.network, owner, key_id, None);
    let signature = TypedDataSignature::Contract { block: B256::repeat_byte(2), signature: vec![1].into() };
    let request = SignedRequest {
        operation: Operation::Revoke,
        setup: revocation.setup().to_owned(),
        nonces: BTreeMap::new(),
        authentication: revocation.authentication(signature).unwrap(),
    };
    let (network, id) = (member.network.id(), Says::RevokesKey.id(key_id));
    let voucher = |index: &u8| (node(*index), Voucher::sign(network, node(*index), id, &identity(*index)));
    ShownStatement { request, vouchers: vouching.iter().map(voucher).collect() }
}

#[tokio::test]
async fn a_contract_s_statement_is_taken_with_the_vouchers_of_t_nodes_and_shown_with_them() {
    let place = Place::new(1).await;
    let text = free_key_text(&place).await;
    let evidence = attested_to_contract(&place.member, &text, &[(2, NOW + 60), (3, NOW + 60)]);
    assert!(place.assignments().learn(&text.key_id, evidence, NOW).await.unwrap());
    let key = place.storage.key(&text.key_id).await.unwrap().unwrap();
    let statements = Statements::new(place.member.clone(), place.storage.clone(), Arc::default());
    let learn = async |shown| statements.learn(&shown, &key, NOW).await.unwrap();
    let shown = |vouching: &[u8]| shown(&place.member, &text.key_id, vouching);

    for _ in 0..2 {
        assert_eq!(learn(shown(&[2])).await, Added::Unvouched, "one of two, however often");
    }
    let mut lent = shown(&[2]);
    lent.vouchers = lent.vouchers.into_values().map(|voucher| (node(3), voucher)).collect();
    assert_eq!(learn(lent).await, Added::Unvouched, "node 2 does not speak for node 3");
    let mut forged = shown(&[3]);
    forged.vouchers.values_mut().for_each(|voucher| voucher.signature[10] ^= 1);
    assert_eq!(learn(forged).await, Added::Unvouched, "node 3 has not said so");
    assert!(place.storage.statements_of(&text.key_id).await.unwrap().is_empty());

    assert_eq!(learn(shown(&[3])).await, Added::New);
    let is_revoked = place.storage.statement_set(&text.key_id).await.unwrap().is_key_revoked();
    assert!(is_revoked);
    assert_eq!(learn(shown(&[1])).await, Added::Unvouched, "by itself too little, and kept");
    let stored = place.storage.statements_of(&text.key_id).await.unwrap();
    assert_eq!(stored, [shown(&[1, 2, 3])]);
    let [(_, placed)] = &place.storage.statements_after(0, 9).await.unwrap()[..] else { panic!("one") };
    assert_eq!(*placed, stored[0]);
}
