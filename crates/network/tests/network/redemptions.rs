//! Keys that redeem delegations, on real sockets and real databases.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use crate::databases::in_time;
use crate::local::{
    CHAIN, LocalNetwork, NFT, Session, claim, mint_with_nonce, now, permissions, refusal, sign,
};
use alloy_primitives::Signature;
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use quorate_core::delegation::{
    Caveat, Caveats, Context, Delegation, Delegations, Enforcer, MANAGER_V1_3_0, Mode, NoRedemption,
    ROOT_AUTHORITY, Redeem, SingleExecution,
};
use quorate_core::{Address, Call, Encode as _, SessionEpoch, Transaction, U256};
use quorate_network::{EphemeralKey, NetworkError, Refusal};
use quorate_protocol::{
    DelegationPermissions, Deployment, FeeCaps, Limits, PinnedContext, Redeemer, Subject, Target,
};

const MINT: [u8; 4] = [0x40, 0xd0, 0x97, 0xc3];
const FRIEND: Address = Address::repeat_byte(0xf1);

fn word(number: u64) -> [u8; 32] {
    U256::from(number).to_be_bytes()
}

const fn caveat(enforcer: Enforcer, terms: &[u8]) -> Caveat<'_> {
    Caveat { enforcer: enforcer.address_v1_3_0(), terms }
}

/// An owner's delegation to a key: two mints to a friend, within the hour.
fn delegation_to(owner: &PrivateKeySigner, key: Address) -> Vec<u8> {
    let friend = [&word(4)[..], FRIEND.into_word().as_slice()].concat();
    let (uses, until) = (word(2), word(now() + 3600));
    let caveats = [
        caveat(Enforcer::AllowedTargets, NFT.as_slice()),
        caveat(Enforcer::AllowedMethods, &MINT),
        caveat(Enforcer::AllowedCalldata, &friend),
        caveat(Enforcer::LimitedCalls, &uses),
        caveat(Enforcer::Timestamp, &until),
    ];
    let unsigned = Delegation {
        delegate: key,
        delegator: owner.address(),
        authority: ROOT_AUTHORITY,
        caveats: Caveats::from(&caveats[..]),
        salt: U256::ZERO,
        signature: &[],
    };
    let signature = owner.sign_hash_sync(&unsigned.signing_digest(CHAIN, MANAGER_V1_3_0)).unwrap().as_bytes();
    Delegations(&[Delegation { signature: &signature, ..unsigned }]).to_vec()
}

fn redeeming(owner: &PrivateKeySigner, context: Vec<u8>) -> DelegationPermissions {
    DelegationPermissions {
        owner: owner.address(),
        chain_id: NonZeroU64::new(CHAIN).unwrap(),
        deployment: Deployment::V1_3_0,
        context: PinnedContext::new(context).unwrap(),
        redeemer: Redeemer::Key,
        nonces: BTreeMap::new(),
        unjudged: BTreeSet::new(),
        fees: FeeCaps { gas_limit: 500_000, fee_per_gas: U256::from(50), total: U256::from(100_000_000) },
        given_up: BTreeSet::new(),
        epoch: SessionEpoch::new(0, now() + 3600).unwrap(),
        limits: Limits::default(),
    }
}

/// A key, and what its owner has it redeem.
struct Redeeming {
    session: Session,
    owner: PrivateKeySigner,
    permissions: DelegationPermissions,
}

async fn key_without_permissions(network: &LocalNetwork, owner: &PrivateKeySigner) -> Session {
    let (client, ephemeral) = (network.client(), EphemeralKey::random().unwrap());
    let draft = client.prepare_key_without_permissions(owner.address(), &claim(&ephemeral)).await.unwrap();
    let key = client.submit_key(&draft, sign(owner, &draft)).await.unwrap();
    Session { client, key, ephemeral }
}

async fn permit(session: &Session, owner: &PrivateKeySigner, target: &Target) -> Result<(), NetworkError> {
    let key_id = &session.key.key_id;
    let pending = session.client.prepare_permit(owner.address(), key_id, target).await?;
    let digest = pending.draft().typed_data().unwrap().digest();
    pending.submit(owner.sign_hash_sync(&digest).unwrap()).await
}

impl Redeeming {
    async fn start(network: &LocalNetwork) -> Self {
        let owner = PrivateKeySigner::random();
        let session = key_without_permissions(network, &owner).await;
        let permissions = redeeming(&owner, delegation_to(&owner, session.key.address));
        permit(&session, &owner, &Target::Delegation(permissions.clone())).await.unwrap();
        Self { session, owner, permissions }
    }

    /// A transaction of the key that mints to somebody.
    fn mint_to(&self, recipient: Address, nonce: u64) -> Transaction<Vec<u8>> {
        let data = [&MINT[..], recipient.into_word().as_slice()].concat();
        let execution = SingleExecution(Call { to: NFT, value: U256::ZERO, data: &data }).to_vec();
        let context = Context::parse(self.permissions.context.as_bytes()).unwrap();
        transaction(nonce, Redeem { context, mode: Mode::SINGLE, execution: &execution }.to_vec())
    }

    async fn sign(&self, transaction: &Transaction<Vec<u8>>) -> Result<Signature, NetworkError> {
        let Session { client, key, ephemeral } = &self.session;
        let subject = Subject::Transaction(transaction.clone());
        client.sign_subject(&key.key_id, key.address, &subject, ephemeral).await
    }

    async fn refused(&self, transaction: &Transaction<Vec<u8>>) -> Refusal {
        refusal(self.sign(transaction).await.unwrap_err())
    }
}

const fn transaction(nonce: u64, data: Vec<u8>) -> Transaction<Vec<u8>> {
    Transaction {
        chain_id: CHAIN,
        nonce,
        max_priority_fee_per_gas: 1,
        max_fee_per_gas: 30,
        gas_limit: 300_000,
        to: MANAGER_V1_3_0,
        value: U256::ZERO,
        data,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_redeems_what_was_granted_to_it_and_each_refusal_names_the_caveat() {
    let network = LocalNetwork::start_stocked().await;
    let redeeming = Redeeming::start(&network).await;
    let first = redeeming.mint_to(FRIEND, 0);
    let signature = redeeming.sign(&first).await.unwrap();
    let signer = signature.recover_address_from_prehash(&first.signing_hash()).unwrap();
    assert_eq!(signer, redeeming.session.key.address);

    let forbidden = |refusal: Refusal| {
        let Refusal::Forbidden { reason, revert: Some(revert) } = refusal else { panic!("{refusal}") };
        (reason.to_string(), revert.to_string())
    };
    let (reason, revert) = forbidden(redeeming.refused(&redeeming.mint_to(NFT, 1)).await);
    assert_eq!(revert, "AllowedCalldataEnforcer:invalid-calldata");
    assert!(reason.contains("delegation 0, caveat 2:"), "{reason}");

    // A bump is the same charge, at a node that has not seen the first as well.
    let bumped = Transaction { max_fee_per_gas: 40, ..first };
    redeeming.sign(&bumped).await.unwrap();
    redeeming.sign(&redeeming.mint_to(FRIEND, 1)).await.unwrap();
    let (reason, revert) = forbidden(redeeming.refused(&redeeming.mint_to(FRIEND, 2)).await);
    assert_eq!(revert, "LimitedCallsEnforcer:limit-exceeded");
    assert!(reason.contains("delegation 0, caveat 3:"), "{reason}");

    // A stuck nonce is freed for fees alone, within those that are permitted.
    redeeming.sign(&transaction(2, NoRedemption.to_vec())).await.unwrap();
    let dear = Transaction { max_fee_per_gas: 51, ..transaction(2, NoRedemption.to_vec()) };
    let refused = redeeming.refused(&dear).await;
    assert!(refused.to_string().contains("51"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn permissions_are_given_once_for_that_very_key_and_by_its_owner() {
    let network = LocalNetwork::start_stocked().await;
    let owner = PrivateKeySigner::random();
    let session = key_without_permissions(&network, &owner).await;
    let unpermitted = refusal(session.sign(&mint_with_nonce(FRIEND, 1)).await.unwrap_err());
    assert!(matches!(unpermitted, Refusal::NoPermissions), "{unpermitted}");

    let stranger = PrivateKeySigner::random();
    let of_stranger = redeeming(&stranger, delegation_to(&stranger, session.key.address));
    let refused = refusal(permit(&session, &stranger, &of_stranger.into()).await.unwrap_err());
    assert!(matches!(refused, Refusal::Owner { .. }), "{refused}");
    let for_other = redeeming(&owner, delegation_to(&owner, FRIEND));
    let refused = refusal(permit(&session, &owner, &for_other.into()).await.unwrap_err());
    let Refusal::OtherPermissions { what, .. } = &refused else { panic!("{refused}") };
    assert_eq!(what.to_string(), "delegate");

    let target = Target::from(redeeming(&owner, delegation_to(&owner, session.key.address)));
    permit(&session, &owner, &target).await.unwrap();
    // Again is no other.
    permit(&session, &owner, &target).await.unwrap();
    let wider = |key| {
        let permissions = redeeming(&owner, delegation_to(&owner, key));
        let limits = Limits { uses: Some(1_000), ..Limits::default() };
        Target::from(DelegationPermissions { limits, ..permissions })
    };
    let refused = refusal(permit(&session, &owner, &wider(session.key.address)).await.unwrap_err());
    assert!(matches!(refused, Refusal::AlreadyPermitted { .. }), "{refused}");
    // A key that was born with its permissions keeps them, and those of a session key manager are not registered later.
    let born = network.key_of(&owner, permissions(&owner)).await;
    let refused = refusal(permit(&born, &owner, &wider(born.key.address)).await.unwrap_err());
    assert!(matches!(refused, Refusal::AlreadyPermitted { .. }), "{refused}");
    let refused = refusal(permit(&session, &owner, &permissions(&owner).into()).await.unwrap_err());
    let Refusal::OtherPermissions { what, .. } = &refused else { panic!("{refused}") };
    assert_eq!(what.to_string(), "version");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_away_learns_what_a_key_may_redeem_and_has_redeemed_from_the_others() {
    let mut network = LocalNetwork::start_stocked().await;
    let owner = PrivateKeySigner::random();
    let session = key_without_permissions(&network, &owner).await;
    network.stop(5).await;
    let permissions = redeeming(&owner, delegation_to(&owner, session.key.address));
    permit(&session, &owner, &permissions.clone().into()).await.unwrap();
    let redeeming = Redeeming { session, owner, permissions };
    redeeming.sign(&redeeming.mint_to(FRIEND, 0)).await.unwrap();
    redeeming.sign(&redeeming.mint_to(FRIEND, 1)).await.unwrap();
    network.start_node(5).await;
    network.until_ready().await;
    network.stop(1).await;
    network.stop(2).await;
    let signs = async || redeeming.sign(&redeeming.mint_to(FRIEND, 1)).await.is_ok();
    in_time("node 5 to learn what the key may sign", signs).await;
    let Refusal::Forbidden { revert: Some(revert), .. } =
        redeeming.refused(&redeeming.mint_to(FRIEND, 2)).await
    else {
        panic!("{} redeems more than was granted", redeeming.owner.address())
    };
    assert_eq!(revert.to_string(), "LimitedCallsEnforcer:limit-exceeded");
}
