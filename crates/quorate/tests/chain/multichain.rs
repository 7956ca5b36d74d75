//! One signature of an owner's for operations on two real chains, and accounts that obey two owner modules.

use crate::player::{Player, another_chain, block_on, call, connect, devnet, ether, mint};
use alloy_primitives::B256;
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use quorate::{
    Call, Condition, Draft, Error, Interrupted, LocalSessionKey, MultichainDraft, MultichainError,
    OwnerModule, Policy, Quorate, Resumed, SessionGrant, SmartAccount,
};
use quorate_contracts::Erc721::safeMintCall;
use quorate_core::{Domain, MultichainReview, OperationHead, Text, TrustedContext, known_functions};
use quorate_devnet::Devnet;

async fn prepared(account: &SmartAccount, key: &LocalSessionKey) -> Draft<SessionGrant> {
    let policy =
        Policy::on(devnet().nft()).allow::<safeMintCall>().arg(0, Condition::Equal, account.address());
    account.prepare(account.grant([policy]).unwrap(), key).await.unwrap()
}

/// An account of the multichain module with coin, on the chain that all tests share.
async fn multichain_account(owner: &PrivateKeySigner) -> SmartAccount {
    account_on(devnet(), &connect().await, owner).await
}

async fn account_on(devnet: &Devnet, client: &Quorate, owner: &PrivateKeySigner) -> SmartAccount {
    let account = client.account_created_by(OwnerModule::Multichain, owner.address(), 0);
    devnet.set_balance(account.address(), ether()).await.unwrap();
    account
}

async fn mint_with(account: &SmartAccount, session: &quorate::SessionId) {
    let session = account.session(session).await.unwrap();
    let mint = Call::new(devnet().nft(), safeMintCall { to: account.address() });
    assert!(session.send(mint).await.unwrap().wait().await.unwrap().success);
}

#[test]
fn one_signature_grants_the_same_session_on_two_chains() {
    block_on(async {
        let far = another_chain(31338).await;
        let far_client = Quorate::connect(far.rpc_url().clone(), far.bundler_url().clone()).await.unwrap();
        let owner = PrivateKeySigner::random();
        let here = multichain_account(&owner).await.with_shared_signature(2);
        let there = account_on(&far, &far_client, &owner).await.with_shared_signature(2);
        assert_eq!(here.address(), there.address());

        let key = LocalSessionKey::random();
        let (one, other) = (prepared(&here, &key).await, prepared(&there, &key).await);
        assert_ne!(one.user_op_hash(), other.user_op_hash());
        let both = MultichainDraft::of(&one).unwrap().and(&other).unwrap();
        let hour = both.epoch().valid_until();

        // The owner's wallet is elsewhere, and so may be who submits. A reviewer makes the root itself.
        let both = MultichainDraft::from_json(&both.to_json()).unwrap();
        assert_eq!(reviewed_root(&both, &[&one, &other]), both.root());
        let signature = owner.sign_message_sync(both.root().as_slice()).unwrap().as_bytes();
        let signed = both.signed(&signature).unwrap();

        for (account, draft) in [(&here, one), (&there, other)] {
            let signature = signed.signature_of(&draft).unwrap();
            let granted = account.submit(draft, signature).await.unwrap().wait().await.unwrap();
            mint_with(account, granted.id()).await;
        }
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        assert!((now..=now + 3600).contains(&hour), "an hour unless said otherwise");
        far.shutdown().await;
    });
}

/// What a device does that is given the whole operations, and signs no root that it is told.
fn reviewed_root(both: &MultichainDraft, grants: &[&Draft<SessionGrant>]) -> B256 {
    let trusted =
        TrustedContext { functions: known_functions!["safeMint(address to)"], ..TrustedContext::CANONICAL };
    let mut shown = String::new();
    let mut review: MultichainReview<'_, _> = MultichainReview::new(trusted, Text(&mut shown));
    for (message, grant) in both.operations().zip(grants) {
        let target = Domain { entry_point: message.entry_point, chain_id: message.chain_id };
        let head = OperationHead::V0_6(message.operation.without_call_data());
        review.begin(target, &head, both.epoch()).unwrap();
        for leaf in grant.intent().session.policies() {
            review.session(&leaf.borrow()).unwrap();
        }
        review.call_data(&message.operation.call_data).unwrap();
        review.end().unwrap();
    }
    let root = review.finish().unwrap();
    for chain in [31337, 31338] {
        assert!(shown.contains(&format!("  chain {chain}\n")), "{shown}");
    }
    assert_eq!(shown.matches("safeMint(address to)").count(), 2, "{shown}");
    root
}

#[test]
fn an_account_that_enabled_the_multichain_module_shares_a_signature_too() {
    block_on(async {
        let player = Player::new().await;
        let module = OwnerModule::Multichain;
        player.account.enable_owner_module(module, &player.owner).await.unwrap().wait().await.unwrap();
        let error = player.account.enable_owner_module(module, &player.owner).await.unwrap_err();
        assert!(matches!(error, Error::OwnerModuleEnabled { .. }), "{error}");
        let modules = player.account.modules().await.unwrap();
        assert_eq!(modules.first(), Some(&module.address(player.client.deployment())), "{modules:?}");
        assert_eq!(modules.len(), 2);

        let account = player.account.clone().with_owner_module(module);
        assert_eq!(account.owner_on_chain().await.unwrap(), player.owner.address());
        // A signature for one operation is the module's too.
        account.send_calls(&[call(&player.mint())], &player.owner).await.unwrap().wait().await.unwrap();

        // Of three operations one is this account's, the others are of accounts that share its owner.
        let account = account.with_shared_signature(3);
        let draft = account.prepare_calls(&[call(&player.mint())]).await.unwrap();
        let mut all = MultichainDraft::of(&draft).unwrap();
        for index in 1..3 {
            let sibling = player.client.account_created_by(module, player.owner.address(), index);
            devnet().set_balance(sibling.address(), ether()).await.unwrap();
            let sibling = sibling.with_shared_signature(3);
            let draft = sibling.prepare_calls(&[call(&mint(sibling.address()))]).await.unwrap();
            all = all.and(&draft).unwrap();
        }
        let signed = all.sign(&player.owner).await.unwrap();
        let signature = signed.signature_of(&draft).unwrap();
        account.submit(draft, signature).await.unwrap().wait().await.unwrap();
        assert_eq!(player.minted().await, 2);
    });
}

/// The registry of each module is its own: a transfer in one alone would leave the old owner in charge by the other.
#[test]
fn a_transfer_of_ownership_changes_every_enabled_owner_module() {
    block_on(async {
        let player = Player::new().await;
        let (account, owner) = (&player.account, &player.owner);
        let module = OwnerModule::Multichain;
        account.enable_owner_module(module, owner).await.unwrap().wait().await.unwrap();
        let heir = PrivateKeySigner::random();
        account.transfer_ownership(heir.address(), owner).await.unwrap().wait().await.unwrap();

        let found = player.client.account_at(account.address()).await.unwrap();
        assert_eq!((found.owner(), found.owner_module()), (heir.address(), OwnerModule::Ecdsa));
        assert_eq!(found.id(), account.id());
        for module in [OwnerModule::Ecdsa, OwnerModule::Multichain] {
            let account = account.clone().with_owner_module(module);
            assert_eq!(account.owner_on_chain().await.unwrap(), heir.address(), "{module}");
            let mint = [call(&player.mint())];
            assert!(account.send_calls(&mint, owner).await.is_err(), "the old owner is out of the {module}");
            let sent = account.with_owner(heir.address()).send_calls(&mint, &heir).await.unwrap();
            sent.wait().await.unwrap();
        }
        assert_eq!(player.minted().await, 2);
    });
}

/// A module that is enabled and was never told of an owner cannot be told of another, and may be told later by anybody.
#[test]
fn ownership_is_not_transferred_past_a_module_without_an_owner() {
    block_on(async {
        let player = Player::new().await;
        let multichain = OwnerModule::Multichain.address(player.client.deployment());
        let enable = player.account.enable_module_call(multichain);
        player.account.send_calls(&[enable], &player.owner).await.unwrap().wait().await.unwrap();
        let heir = PrivateKeySigner::random().address();
        let error = player.account.transfer_ownership(heir, &player.owner).await.unwrap_err();
        let expected = OwnerModule::Multichain;
        assert!(matches!(error, Error::NoOwner { module, .. } if module == expected), "{error}");
    });
}

#[test]
fn accounts_are_found_by_owner_by_factory_and_by_address() {
    block_on(async {
        let client = connect().await;
        let owner = PrivateKeySigner::random();
        for module in [OwnerModule::Ecdsa, OwnerModule::Multichain] {
            let account = client.account_created_by(module, owner.address(), 7);
            let by_factory = client.account_by_factory(module, owner.address(), 7).await.unwrap();
            assert_eq!(by_factory.address(), account.address(), "{module}");
            let error = client.account_at(account.address()).await.unwrap_err();
            assert!(matches!(error, Error::NotDeployed { .. }), "{error}");
            devnet().set_balance(account.address(), ether()).await.unwrap();
            by_factory.deploy(&owner).await.unwrap().wait().await.unwrap();
            let found = client.account_at(account.address()).await.unwrap();
            assert_eq!((found.owner(), found.owner_module()), (owner.address(), module));
            let mint = call(&mint(found.address()));
            found.send_calls(&[mint], &owner).await.unwrap().wait().await.unwrap();
        }
        let error = client.account_at(devnet().nft()).await.unwrap_err();
        assert!(
            !matches!(error, Error::NotDeployed { .. }),
            "a contract, and none of these accounts: {error}"
        );
    });
}

#[test]
fn what_cannot_be_signed_together_is_refused() {
    block_on(async {
        let owner = PrivateKeySigner::random();
        let account = multichain_account(&owner).await.with_shared_signature(2);
        let key = LocalSessionKey::random();
        let draft = prepared(&account, &key).await;
        let reason = |outcome: Result<_, Error>| match outcome {
            Err(Error::Multichain(error)) => Some(error),
            _ => None,
        };
        let both = MultichainDraft::of(&draft).unwrap();
        let twice = reason(both.clone().and(&draft));
        assert!(matches!(twice, Some(MultichainError::Twice { .. })), "{twice:?}");

        let alone = prepared(&multichain_account(&owner).await, &key).await;
        let gas = reason(MultichainDraft::of(&alone));
        assert!(matches!(gas, Some(MultichainError::TooMany { prepared_for: 1, .. })), "{gas:?}");

        let player = Player::new().await;
        let ecdsa = prepared(&player.account.clone().with_shared_signature(2), &key).await;
        let module = reason(both.clone().and(&ecdsa));
        assert!(matches!(module, Some(MultichainError::OtherModule { .. })), "{module:?}");

        let stranger = PrivateKeySigner::random();
        let foreign = multichain_account(&stranger).await.with_shared_signature(2);
        let foreign = prepared(&foreign, &key).await;
        let other = reason(both.clone().and(&foreign));
        assert!(matches!(other, Some(MultichainError::OtherOwner { .. })), "{other:?}");

        let signed = both.clone().sign(&owner).await.unwrap();
        let not_among = signed.signature_of(&foreign);
        assert!(matches!(not_among, Err(Error::Multichain(MultichainError::NotAmong { .. }))));
        assert!(matches!(both.sign(&stranger).await, Err(Error::Signer(_))));
    });
}

/// The operation of a chain that was forgotten does not run years later.
#[test]
fn a_shared_signature_is_over_when_its_time_is() {
    block_on(async {
        let owner = PrivateKeySigner::random();
        let account = multichain_account(&owner).await.with_shared_signature(2);
        let draft = prepared(&account, &LocalSessionKey::random()).await;
        let late = MultichainDraft::of(&draft).unwrap().valid_until(1_700_000_000).unwrap();
        let signature = late.sign(&owner).await.unwrap().signature_of(&draft).unwrap();
        let error = account.submit(draft, signature).await.unwrap_err();
        assert!(matches!(error, Error::Unsettled { .. }), "{error}");
        assert!(!account.is_deployed().await.unwrap());
        let resumed = account.resume().await.unwrap();
        assert!(matches!(resumed[..], [Interrupted { outcome: Resumed::Dead, .. }]), "{resumed:?}");
    });
}
