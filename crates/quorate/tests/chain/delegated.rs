//! Delegations that a user of MetaMask's kit signs to a network's key, which redeems them.

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::sync::Arc;

use alloy_primitives::{Address, Bytes, U256};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolCall as _;
use quorate::delegation::{
    Approver, Asset, DelegateSigner, Ended, Granted, PermissionRequest, RedeemError, RedeemedBy, Redeemer,
    RedelegationCaveat, Redemptions, Settled, Spending,
};
use quorate::{AccountId, MemoryStore, NetworkError, Store};
use quorate_contracts::Erc20;
use quorate_contracts::Erc721::safeMintCall;
use quorate_core::delegation::{CaveatPlace, Enforcer};
use quorate_core::{Call, Encode as _, SignedTransaction, Transaction};
use quorate_protocol::{ClientError, DelegationPermissions, Forbidden, Refusal, Subject};
use serde_json::{Value, json};

use crate::delegate::{LocalKey, Loses, Wire, key, mint, mint_to, node, permit};
use crate::kit::Kit;
use crate::local::{LocalNetwork, refusal};
use crate::player::{balance_of, block_on, devnet, ether, mined, rpc, soon, token, token_balance};
use crate::shares::StolenKey;

/// The kit's own scope is three caveats: targets, methods, no value. The recipient and the number of uses are beside it.
#[test]
fn a_network_s_key_redeems_a_function_call_that_the_kit_delegated() {
    block_on(async {
        let network = LocalNetwork::start().await;
        let mut kit = Kit::new();
        let key = key(&network, &kit.user).await;
        let friend = PrivateKeySigner::random().address();
        let scope = json!({
            "type": "functionCall",
            "targets": [devnet().nft()],
            "selectors": [Bytes::from(safeMintCall::SELECTOR)],
        });
        let caveats = json!([
            { "type": "allowedCalldata", "startIndex": 4, "value": friend.into_word() },
            { "type": "limitedCalls", "limit": 2 },
        ]);
        let context = kit.delegate(DelegateSigner::address(&key), scope, caveats).await;
        let permissions = kit.permissions(context);
        permit(&network, &key, &kit.user, permissions.clone().into()).await;
        let address = DelegateSigner::address(&key);
        let key = Arc::new(key);
        let store = Arc::new(MemoryStore::new());
        let redeemer = Redeemer::new(node(), store.clone(), key.clone(), permissions.clone());

        let data = mint_to(friend);
        let poor = redeemer.redeem(mint(&data)).await.unwrap_err();
        assert!(matches!(poor, RedeemError::Balance { found: U256::ZERO, .. }), "{poor}");
        let id = AccountId { chain_id: devnet().chain_id(), address };
        assert_eq!(store.transactions(id).await.unwrap(), [], "its nonce is free");
        devnet().set_balance(address, ether()).await.unwrap();
        let Settled::Mined(receipt) = redeemer.redeem(mint(&data)).await.unwrap().wait().await.unwrap()
        else {
            panic!("the key was used elsewhere")
        };
        assert!(receipt.is_executed());
        assert_eq!(balance_of(friend).await, 1);
        assert_eq!(store.transactions(id).await.unwrap(), []);

        // A wrong argument: by the client's judgement, by each node's, and by the chain itself.
        let wrong = mint_to(address);
        let place = permissions_place(&permissions, Enforcer::AllowedCalldata);
        let RedeemError::Forbidden(forbidden) = redeemer.redeem(mint(&wrong)).await.unwrap_err() else {
            panic!()
        };
        let text = forbidden.enforcer_text().unwrap().to_string();
        assert_eq!(text, "AllowedCalldataEnforcer:invalid-calldata");
        let by_client = forbidden.to_string();
        assert!(by_client.contains(&place.to_string()), "{by_client}");
        let subject = redeemer.subject(mint(&wrong), U256::from(1)).unwrap();
        let Refusal::Forbidden { reason, revert } = refusal(key.sign_subject(&subject).await.unwrap_err())
        else {
            panic!("a node signs it")
        };
        assert_eq!((reason.to_string(), revert.unwrap().to_string()), (by_client, text.clone()));
        let by_chain = redeemer.ask_chain(mint(&wrong)).await.unwrap_err();
        let RedeemError::Caveat { place: found, reason } = &by_chain else { panic!("{by_chain}") };
        assert_eq!((*found, reason), (place, &text));
        // Signed past both, by the shares of a quorum that judges nothing, it reverts.
        let stolen = StolenKey::of(&network, &key).await;
        let hash = send(&stolen, priced(redeemer.subject(mint(&wrong), U256::from(1)))).await;
        assert_eq!(mined(&hash).await["status"], "0x0");
        assert_eq!(balance_of(address).await, 0);

        let [left] = redeemer.status().await.unwrap().left[..] else { panic!("one caveat counts") };
        assert_eq!((left.enforcer, left.amount), (Enforcer::LimitedCalls, U256::ONE));

        // The second of two uses, and no third: the nodes count as the enforcer does.
        redeemer.redeem(mint(&data)).await.unwrap().wait().await.unwrap();
        assert_eq!(balance_of(friend).await, 2);
        let third = redeemer.ask_chain(mint(&data)).await.unwrap_err();
        let RedeemError::Caveat { place, reason } = &third else { panic!("{third}") };
        assert_eq!(*place, permissions_place(&permissions, Enforcer::LimitedCalls));
        assert_eq!(reason, "LimitedCallsEnforcer:limit-exceeded");
        let subject = redeemer.subject(mint(&data), U256::from(3)).unwrap();
        let Refusal::Forbidden { reason, revert } = refusal(key.sign_subject(&subject).await.unwrap_err())
        else {
            panic!("a node signs it")
        };
        assert!(reason.to_string().contains(&place.to_string()), "{reason}");
        assert_eq!(revert.unwrap().to_string(), "LimitedCallsEnforcer:limit-exceeded");
    });
}

/// Where the first caveat of an enforcer stands.
fn permissions_place(permissions: &DelegationPermissions, enforcer: Enforcer) -> CaveatPlace {
    let context = quorate_core::delegation::Context::parse(permissions.context.as_bytes()).unwrap();
    let enforcers = permissions.deployment.enforcers();
    let caveats = context.get(0).unwrap().caveats;
    let caveat = caveats.iter().position(|caveat| enforcers.at(caveat.enforcer) == Some(enforcer)).unwrap();
    CaveatPlace { delegation: 0, caveat }
}

/// To mint to anybody.
fn minting() -> Value {
    json!({
        "type": "functionCall",
        "targets": [devnet().nft()],
        "selectors": [Bytes::from(safeMintCall::SELECTOR)],
    })
}

#[test]
fn what_is_passed_on_is_redeemed_by_the_kit_s_client_and_the_other_way_round() {
    block_on(async {
        let network = LocalNetwork::start_small().await;
        let (mut kit, friend) = (Kit::new(), PrivateKeySigner::random());
        let own = Arc::new(key(&network, &kit.user).await);
        let address = DelegateSigner::address(&*own);
        let limited = json!([{ "type": "limitedCalls", "limit": 3 }]);
        let context = kit.delegate(address, minting(), limited.clone()).await;
        let permissions = kit.permissions(context);
        permit(&network, &own, &kit.user, permissions.clone().into()).await;
        for funded in [address, friend.address()] {
            devnet().set_balance(funded, ether()).await.unwrap();
        }
        let redeemer = Redeemer::new(node(), Arc::new(MemoryStore::new()), own, permissions.clone());
        let deployment = kit.deployment();
        let caveat = |enforcer, number: u64| RedelegationCaveat {
            enforcer: deployment.address_of(enforcer).unwrap(),
            terms: U256::from(number).to_be_bytes::<32>().to_vec(),
        };

        // Without an end it is not signed, by name.
        let once = caveat(Enforcer::LimitedCalls, 1);
        let endless =
            redeemer.redelegate(friend.address(), vec![once.clone()], U256::ZERO).await.unwrap_err();
        assert!(matches!(endless, RedeemError::Forbidden(Forbidden::Redelegation(_))), "{endless}");
        let caveats = vec![once, caveat(Enforcer::Timestamp, soon(600))];
        let passed_on = redeemer.redelegate(friend.address(), caveats, U256::ZERO).await.unwrap();
        let data = mint_to(friend.address());
        kit.redeem(&friend, passed_on.as_bytes(), mint(&data)).await.unwrap();
        assert_eq!(balance_of(friend.address()).await, 1);
        let twice = kit.redeem(&friend, passed_on.as_bytes(), mint(&data)).await.unwrap_err();
        assert!(twice.contains("LimitedCallsEnforcer:limit-exceeded"), "{twice}");
        // The counter of what it rests on is shared.
        let [left] = redeemer.status().await.unwrap().left[..] else { panic!("one caveat counts") };
        assert_eq!(left.amount, U256::from(2));

        let longer = vec![caveat(Enforcer::Timestamp, soon(600))];
        let second = redeemer.redelegate(friend.address(), longer, U256::ONE).await.unwrap();
        let settled = redeemer.disable(&second).await.unwrap().wait().await.unwrap();
        assert!(matches!(settled, Settled::Mined(receipt) if receipt.is_executed()));
        let disabled = kit.redeem(&friend, second.as_bytes(), mint(&data)).await.unwrap_err();
        assert!(
            disabled.contains("CannotUseADisabledDelegation") || disabled.contains("0x05baa052"),
            "{disabled}"
        );

        // The other way round: the user's delegation to a friend, who passes it on to a network's key.
        let other = Arc::new(key(&network, &friend).await);
        let other_address = DelegateSigner::address(&*other);
        devnet().set_balance(other_address, ether()).await.unwrap();
        let to_friend = kit.delegate(friend.address(), minting(), limited).await;
        let twice = json!([{ "type": "limitedCalls", "limit": 2 }]);
        let chain = kit.redelegate(&friend, &to_friend, other_address, twice).await;
        let permissions = DelegationPermissions { owner: friend.address(), ..kit.permissions(chain) };
        permit(&network, &other, &friend, permissions.clone().into()).await;
        let redeemer = Redeemer::new(node(), Arc::new(MemoryStore::new()), other, permissions);
        redeemer.redeem(mint(&data)).await.unwrap().wait().await.unwrap();
        assert_eq!(balance_of(friend.address()).await, 2);
        let left: Vec<_> = redeemer.status().await.unwrap().left.iter().map(|left| left.amount).collect();
        assert_eq!(left, [U256::ONE, U256::from(2)]);
    });
}

/// Redemptions while one or two of the five nodes are away. `QUORATE_REDEMPTIONS` makes them more.
#[test]
fn nothing_is_lost_or_counted_twice_while_nodes_come_and_go() {
    block_on(async {
        let (redeemed, reverted) = (redemptions(), 5);
        let mut network = LocalNetwork::start().await;
        let (mut kit, friend) = (Kit::new(), PrivateKeySigner::random().address());
        let key = Arc::new(key(&network, &kit.user).await);
        let address = DelegateSigner::address(&*key);
        let limit = json!([{ "type": "limitedCalls", "limit": redeemed + reverted }]);
        let context = kit.delegate(address, minting(), limit).await;
        let permissions = kit.permissions(context);
        permit(&network, &key, &kit.user, permissions.clone().into()).await;
        devnet().set_balance(address, ether()).await.unwrap();
        let redeemer = Redeemer::new(node(), Arc::new(MemoryStore::new()), key.clone(), permissions);

        let data = mint_to(friend);
        for redemption in 0..redeemed {
            match redemption % 8 {
                1 => network.stop(4).await,
                3 => network.stop(5).await,
                5 => network.start_node(4).await,
                7 => network.start_node(5).await,
                _ => {}
            }
            let settled = redeemer.redeem(mint(&data)).await.unwrap().wait().await.unwrap();
            assert!(matches!(settled, Settled::Mined(receipt) if receipt.is_executed()));
        }
        assert_eq!(balance_of(friend).await, redeemed);
        let left = || async {
            let [left] = redeemer.status().await.unwrap().left[..] else { panic!("one caveat counts") };
            left.amount
        };
        assert_eq!(left().await, U256::from(reverted), "the enforcer has counted each once");

        // What reverts is counted by the nodes, which cannot know, and not by the chain.
        let to_nobody = mint_to(Address::ZERO);
        for nonce in redeemed..redeemed + reverted {
            let transaction = priced(redeemer.subject(mint(&to_nobody), U256::from(nonce)));
            let hash = send(&*key, transaction).await;
            assert_eq!(mined(&hash).await["status"], "0x0");
        }
        assert_eq!(left().await, U256::from(reverted));
        let refused = redeemer.redeem(mint(&data)).await.unwrap_err();
        let RedeemError::Signer(source) = &refused else { panic!("{refused}") };
        let NetworkError::Client(ClientError::Refused(Refusal::Forbidden { revert, .. })) =
            source.downcast_ref::<NetworkError>().unwrap()
        else {
            panic!("{source}")
        };
        assert_eq!(revert.as_ref().unwrap().to_string(), "LimitedCallsEnforcer:limit-exceeded");
        assert_eq!(balance_of(friend).await, redeemed);
    });
}

fn redemptions() -> u64 {
    std::env::var("QUORATE_REDEMPTIONS").map_or(24, |number| number.parse().unwrap())
}

/// A transaction whose gas and fees nobody asks the node about.
fn priced(unpriced: Option<Subject>) -> Transaction<Vec<u8>> {
    let Some(Subject::Transaction(unpriced)) = unpriced else { panic!("{unpriced:?}") };
    Transaction {
        gas_limit: 500_000,
        max_fee_per_gas: 10_000_000_000,
        max_priority_fee_per_gas: 1,
        ..unpriced
    }
}

/// Has a key sign a transaction, which the chain is given without a question.
async fn send(key: &dyn DelegateSigner, transaction: Transaction<Vec<u8>>) -> Value {
    let signature = key.sign(&Subject::Transaction(transaction.clone())).await.unwrap();
    let (y_parity, r, s) = (signature.v(), signature.r(), signature.s());
    let encoded = SignedTransaction { transaction, y_parity, r, s }.to_vec();
    rpc("eth_sendRawTransaction", json!([Bytes::from(encoded)])).await
}

/// A wallet that answers `wallet_requestExecutionPermissions` with less than it is asked for.
#[test]
fn a_smaller_allowance_of_a_wallet_is_held_by_the_nodes_and_pays() {
    block_on(async {
        let network = LocalNetwork::start_small().await;
        let mut kit = Kit::new();
        let key = key(&network, &kit.user).await;
        let (address, shop) = (DelegateSigner::address(&key), PrivateKeySigner::random().address());
        // For the framework, and the user's code.
        kit.delegate(address, json!({ "type": "nativeTokenTransferAmount", "maxAmount": 0 }), json!([]))
            .await;
        let gold = token(kit.user.address(), U256::from(100)).await;

        let spending = Spending::Allowance { amount: U256::from(25), start: None };
        let chain = NonZeroU64::new(devnet().chain_id()).unwrap();
        let request = PermissionRequest::new(chain, address, Asset::Erc20(gold), spending);
        let request = PermissionRequest { until: Some(soon(3600)), ..request };
        let answer = kit.grant_less(&request, gold, 10);
        let granted = Granted::check(&request, &answer.to_string(), &kit.deployment()).unwrap();
        let Spending::Allowance { amount, .. } = granted.spending else { panic!("{granted:?}") };
        assert_eq!((amount, &granted.approver), (U256::from(10), &Approver::Key));
        let DelegationPermissions { fees, limits, .. } = kit.permissions(granted.context.as_bytes().to_vec());
        let redemptions = Redemptions {
            redeemer: RedeemedBy::Key,
            fees,
            limits,
            left_to_chain: BTreeSet::new(),
            given_up: BTreeSet::new(),
        };
        let permissions = granted.permissions(kit.user.address(), redemptions).unwrap();
        permit(&network, &key, &kit.user, permissions.clone().into()).await;
        devnet().set_balance(address, ether()).await.unwrap();

        let key = Arc::new(key);
        let redeemer = Redeemer::new(node(), Arc::new(MemoryStore::new()), key.clone(), permissions);
        let paid = redeemer.transfer(gold, shop, U256::from(7)).await.unwrap().wait().await.unwrap();
        assert!(matches!(paid, Settled::Mined(receipt) if receipt.is_executed()));
        assert_eq!(token_balance(gold, shop).await, U256::from(7));

        // 3 are left: by the chain, and by the nodes.
        let status = redeemer.status().await.unwrap();
        let [left] = status.left[..] else { panic!("{status:?}") };
        assert_eq!((left.amount, left.place), (U256::from(3), CaveatPlace { delegation: 0, caveat: 0 }));
        assert_eq!(status.ended, []);
        assert!(status.balance < ether() && status.balance > U256::ZERO, "some of it was spent as fees");
        let exceeded = "ERC20PeriodTransferEnforcer:transfer-amount-exceeded";
        let more = redeemer.transfer(gold, shop, U256::from(4)).await.unwrap_err();
        let RedeemError::Caveat { reason, .. } = &more else { panic!("{more}") };
        assert_eq!(reason, exceeded);
        let data = Erc20::transferCall { to: shop, amount: U256::from(4) }.abi_encode();
        let call = Call { to: gold, value: U256::ZERO, data: &data };
        let subject = redeemer.subject(call, U256::from(1)).unwrap();
        let Refusal::Forbidden { revert, .. } = refusal(key.sign_subject(&subject).await.unwrap_err()) else {
            panic!("a node signs it")
        };
        assert_eq!(revert.unwrap().to_string(), exceeded);
        redeemer.transfer(gold, shop, U256::from(3)).await.unwrap().wait().await.unwrap();
        assert_eq!(token_balance(gold, shop).await, U256::from(10));

        // The user ends all that rests on their nonce.
        kit.increment_nonce().await;
        let ended = redeemer.transfer(gold, shop, U256::from(1)).await.unwrap_err();
        assert!(matches!(ended, RedeemError::NonceMoved { current: U256::ONE, .. }), "{ended}");
        let moved = Ended::NonceMoved { place: CaveatPlace { delegation: 0, caveat: 2 }, current: U256::ONE };
        assert_eq!(redeemer.status().await.unwrap().ended, [moved]);
    });
}

/// A key in this process, and a node that loses some of what it is given.
#[test]
fn a_redemption_is_never_made_twice_whatever_is_lost() {
    block_on(async {
        let key = Arc::new(LocalKey(PrivateKeySigner::random()));
        let mut kit = Kit::new();
        let scope = json!({
            "type": "functionCall",
            "targets": [devnet().nft()],
            "selectors": [Bytes::from(safeMintCall::SELECTOR)],
        });
        let context =
            kit.delegate(key.address(), scope, json!([{ "type": "limitedCalls", "limit": 9 }])).await;
        let permissions = kit.permissions(context);
        devnet().set_balance(key.address(), ether()).await.unwrap();
        let (store, wire) =
            (Arc::new(MemoryStore::new()), Arc::new(Wire::new(devnet().rpc_url(), "eth_sendRawTransaction")));
        let redeemer = || Redeemer::new(wire.clone(), store.clone(), key.clone(), permissions.clone());
        let friends: Vec<_> = (0..3).map(|_| PrivateKeySigner::random().address()).collect();
        let data: Vec<_> = friends.iter().map(|friend| mint_to(*friend)).collect();

        // Of two processes with one store each has a nonce of its own.
        let (one, two) = (redeemer(), redeemer());
        let (one, two) = tokio::join!(one.redeem(mint(&data[0])), two.redeem(mint(&data[1])));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!(one.nonce() + two.nonce(), U256::ONE);
        let (first, second) = tokio::join!(one.wait(), two.wait());
        for settled in [first.unwrap(), second.unwrap()] {
            assert!(matches!(settled, Settled::Mined(receipt) if receipt.is_executed()));
        }

        // A lost answer is no lost transaction: the same call is the same redemption until its end was told.
        wire.loses(Loses::Answer);
        redeemer().redeem(mint(&data[2])).await.unwrap_err();
        let same = redeemer().redeem(mint(&data[2])).await.unwrap();
        assert_eq!(same.nonce(), U256::from(2));
        same.wait().await.unwrap();
        assert_eq!(balance_of(friends[2]).await, 1);

        // What the node did not get is sent again, under the nonce that it has.
        wire.loses(Loses::Request);
        redeemer().redeem(mint(&data[2])).await.unwrap_err();
        let again = redeemer().redeem(mint(&data[2])).await.unwrap();
        assert_eq!((again.nonce(), again.hashes().await.unwrap().len()), (U256::from(3), 1));
        again.wait().await.unwrap();
        assert_eq!(balance_of(friends[2]).await, 2);
        let id = AccountId { chain_id: devnet().chain_id(), address: key.address() };
        assert_eq!(store.transactions(id).await.unwrap(), []);

        // A stuck one is sent again with higher fees; either of the two may be mined, and one is.
        wire.loses(Loses::Request);
        redeemer().redeem(mint(&data[0])).await.unwrap_err();
        let bumped = redeemer().bump(U256::from(4)).await.unwrap();
        assert_eq!(bumped.hashes().await.unwrap().len(), 2);
        let Settled::Mined(receipt) = bumped.wait().await.unwrap() else {
            panic!("the key was used elsewhere")
        };
        assert!(receipt.is_executed());
        assert_eq!(balance_of(friends[0]).await, 2);

        // A nonce that is not wanted any more is used up for fees alone.
        wire.loses(Loses::Request);
        redeemer().redeem(mint(&data[1])).await.unwrap_err();
        redeemer().free(U256::from(5)).await.unwrap();
        // Whoever asks for the call again is told that it was not made.
        let freed = redeemer().redeem(mint(&data[1])).await.unwrap().wait().await.unwrap();
        assert!(matches!(freed, Settled::Freed(receipt) if receipt.is_executed()));
        assert_eq!(balance_of(friends[1]).await, 1);

        // One that was used elsewhere is said to be.
        wire.loses(Loses::Request);
        redeemer().redeem(mint(&data[1])).await.unwrap_err();
        let elsewhere = Redeemer::new(node(), Arc::new(MemoryStore::new()), key.clone(), permissions.clone());
        elsewhere.redeem(mint(&data[2])).await.unwrap().wait().await.unwrap();
        assert_eq!(redeemer().settle().await.unwrap(), [Settled::Foreign { nonce: U256::from(6) }]);

        // Of two that ask for the same call at once one makes it, and the other follows that or is told.
        let before = balance_of(friends[0]).await;
        let (one, two) = (redeemer(), redeemer());
        let (one, two) = tokio::join!(one.redeem(mint(&data[0])), two.redeem(mint(&data[0])));
        let mut made = Vec::new();
        for redeemed in [one, two] {
            match redeemed {
                Ok(pending) => made.push(pending),
                Err(RedeemError::UnderWay { nonce }) => assert_eq!(nonce, U256::from(7)),
                Err(error) => panic!("{error}"),
            }
        }
        assert!(made.iter().all(|pending| pending.nonce() == U256::from(7)));
        made.first().unwrap().wait().await.unwrap();
        assert_eq!(balance_of(friends[0]).await, before + 1);
    });
}
