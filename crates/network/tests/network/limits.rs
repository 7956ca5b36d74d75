//! Limits that the nodes count, on real sockets and real databases.

use std::num::NonZeroU64;

use crate::local::{
    ACCOUNT, LocalNetwork, NFT, Session, has_lost_race, mint_with_nonce, now, permissions, refusal, selector,
};
use futures_util::future::join_all;
use quorate_core::{Address, Call, Encode as _, ExecuteBatch, U256};
use quorate_network::Refusal;
use quorate_protocol::{
    ArgumentLimit, Coin, CoinWindow, Limits, OperationMessage, PaymasterRule, Permissions, WindowLimit,
};

fn held_to(limits: Limits) -> impl FnOnce(&alloy_signer_local::PrivateKeySigner) -> Permissions {
    |owner| Permissions { limits, ..permissions(owner) }
}

fn mint(nonce: u64) -> OperationMessage {
    mint_with_nonce(ACCOUNT, nonce)
}

async fn refused(session: &Session, message: &OperationMessage) -> Refusal {
    refusal(session.sign(message).await.unwrap_err())
}

/// What the operation of [`mint`] costs at most: 350 000 gas at 1 gwei.
const COST: u64 = 350_000 * 1_000_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn every_limit_is_held_and_says_both_values() {
    let network = LocalNetwork::start_stocked().await;
    let uses = network.key(held_to(Limits { uses: Some(2), ..Limits::default() })).await;
    uses.sign(&mint(1)).await.unwrap();
    uses.sign(&mint(2)).await.unwrap();
    let refused_use = refused(&uses, &mint(3)).await;
    assert_eq!(refused_use.to_string(), "the number of uses would come to 3; the key's limit is 2");
    // A retry and a higher fee are the same use: the chain runs one of them.
    uses.sign(&mint(2)).await.unwrap();
    let mut dearer = mint(2);
    dearer.operation.max_fee_per_gas *= U256::from(2);
    uses.sign(&dearer).await.unwrap();
    assert!(matches!(refused(&uses, &mint(4)).await, Refusal::Limit { .. }));

    // The address minted to is an argument like any other, as far as counting is concerned.
    let argument = ArgumentLimit {
        contract: NFT,
        selector: selector().as_bytes().into(),
        offset: 0,
        total: U256::from_be_bytes(ACCOUNT.into_word().0) * U256::from(2),
        seconds: None,
    };
    let gas = U256::from(COST) * U256::from(3);
    let limits = Limits { gas_cost: Some(gas), arguments: vec![argument], ..Limits::default() };
    let totals = network.key(held_to(limits)).await;
    let mut dear = mint(1);
    dear.operation.max_fee_per_gas *= U256::from(4);
    let Refusal::Limit { limited, total, limit } = refused(&totals, &dear).await else { panic!() };
    assert!(limited.contains("gas cost"), "{limited}");
    assert_eq!((total, limit), (U256::from(COST) * U256::from(4), gas));
    // What was refused was not charged. Of two operations with one nonce the dearer one counts, in either order.
    dear.operation.max_fee_per_gas = U256::from(2_000_000_000);
    totals.sign(&dear).await.unwrap();
    totals.sign(&mint(1)).await.unwrap();
    totals.sign(&mint(2)).await.unwrap();
    let Refusal::Limit { limited, .. } = refused(&totals, &mint(3)).await else { panic!() };
    assert!(limited.contains("gas cost"), "{limited}");
    let mut cheap = mint(3);
    cheap.operation.max_fee_per_gas = U256::ZERO;
    let Refusal::Limit { limited, limit, .. } = refused(&totals, &cheap).await else { panic!() };
    assert!(limited.contains("argument at byte 0 of 0x40d097c3"), "{limited}");
    assert_eq!(limit, argument.total);

    let once_in = |seconds| Limits { window: Some(WindowLimit { uses: 1, seconds }), ..Limits::default() };
    let long = network.key(held_to(once_in(window_far_from_its_edges()))).await;
    long.sign(&mint(1)).await.unwrap();
    assert!(matches!(refused(&long, &mint(2)).await, Refusal::Limit { .. }));
    let short = network.key(held_to(once_in(SHORT_WINDOW))).await;
    for nonce in 1..=2 {
        short.sign(&mint(nonce)).await.unwrap();
        end_of_short_window().await;
    }
}

const SHORT_WINDOW: NonZeroU64 = NonZeroU64::new(2).unwrap();

/// Whatever was signed before it is of an earlier window than what is signed after it.
async fn end_of_short_window() {
    let window = || now() / SHORT_WINDOW;
    let last = window();
    while window() == last {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// The length of a window that began a minute ago at least, and does not end within the next ten.
fn window_far_from_its_edges() -> NonZeroU64 {
    let is_apart = |seconds: &u64| (60..seconds - 600).contains(&(now() % seconds));
    NonZeroU64::new((3600..).find(is_apart).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_amount_is_held_in_each_window_and_in_all() {
    let network = LocalNetwork::start_stocked().await;
    // As much as so many mints.
    let total = |times: u64, seconds: Option<NonZeroU64>| ArgumentLimit {
        contract: NFT,
        selector: selector().as_bytes().into(),
        offset: 0,
        total: U256::from_be_bytes(ACCOUNT.into_word().0) * U256::from(times),
        seconds,
    };
    let with = |arguments| held_to(Limits { arguments, ..Limits::default() });

    let long = window_far_from_its_edges();
    let daily = network.key(with(vec![total(1, Some(long))])).await;
    daily.sign(&mint(1)).await.unwrap();
    let Refusal::Limit { limited, total: asked, limit } = refused(&daily, &mint(2)).await else { panic!() };
    assert!(limited.starts_with(&format!("total within {long} s of the argument at byte 0 of")), "{limited}");
    assert_eq!((asked, limit), (total(2, None).total, total(1, None).total));
    daily.sign(&mint(1)).await.unwrap();

    // The coin's windows likewise, here of gas.
    let hourly = CoinWindow { of: Coin::GasCost, total: U256::from(COST), seconds: long };
    let gas = network.key(held_to(Limits { coin_windows: vec![hourly], ..Limits::default() })).await;
    gas.sign(&mint(1)).await.unwrap();
    let Refusal::Limit { limited, .. } = refused(&gas, &mint(2)).await else { panic!() };
    assert_eq!(limited.to_string(), format!("gas cost within {long} s (wei)"));

    // A new window has room, up to what there is in all.
    let key = network.key(with(vec![total(1, Some(SHORT_WINDOW)), total(2, None)])).await;
    for nonce in 1..=2 {
        key.sign(&mint(nonce)).await.unwrap();
        end_of_short_window().await;
    }
    let Refusal::Limit { limited, .. } = refused(&key, &mint(3)).await else { panic!() };
    assert!(limited.starts_with("total of the argument at byte 0 of"), "{limited}");
}

#[tokio::test(flavor = "multi_thread")]
async fn quorums_that_share_one_node_hold_a_limit_together() {
    let mut network = LocalNetwork::start_stocked().await;
    let session = network.key(held_to(Limits { uses: Some(3), ..Limits::default() })).await;
    network.stop(1).await;
    network.stop(2).await;
    session.sign(&mint(1)).await.unwrap();
    session.sign(&mint(2)).await.unwrap();
    network.start_node(1).await;
    network.start_node(2).await;
    network.until_ready().await;
    network.stop(4).await;
    network.stop(5).await;
    // Nodes 1 and 2 learn from node 3 what they missed, whichever of them is asked first.
    session.sign(&mint(3)).await.unwrap();
    assert!(matches!(refused(&session, &mint(4)).await, Refusal::Limit { .. }));
    // Now without node 3: what they learnt is theirs.
    network.start_node(4).await;
    network.start_node(5).await;
    network.until_ready().await;
    network.stop(3).await;
    assert!(matches!(refused(&session, &mint(4)).await, Refusal::Limit { .. }));
    session.sign(&mint(3)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn quorums_racing_for_the_last_of_a_limit_never_exceed_it() {
    let network = LocalNetwork::start_stocked().await;
    for uses in [1, 3] {
        let session = network.key(held_to(Limits { uses: Some(uses), ..Limits::default() })).await;
        let messages: Vec<_> = (1..=8).map(mint).collect();
        let answers = join_all(messages.iter().map(|message| session.sign(message))).await;
        let mut signed = answers.iter().filter(|answer| answer.is_ok()).count() as u64;
        assert!(signed <= uses, "{signed} signed of {uses}");
        // A race may end with room left that nobody got, or use room up for attempts that came to nothing.
        for (message, answer) in messages.iter().zip(answers) {
            let Err(error) = answer else { continue };
            assert!(has_lost_race(&error), "{error:?}");
            match session.sign(message).await {
                Ok(_) => signed += 1,
                Err(error) => assert!(matches!(refusal(error), Refusal::Limit { .. })),
            }
        }
        assert!(signed <= uses, "{signed} signed of {uses}, one after the other");
    }
}

/// An operation that mints so many times, to the account and at last to somebody else where that is asked for.
fn mints(nonce: u64, times: usize, last_to: Address) -> OperationMessage {
    let data = |to: Address| [selector().as_bytes().as_slice(), to.into_word().as_slice()].concat();
    let data: Vec<_> =
        (1..=times).map(|place| data(if place == times { last_to } else { ACCOUNT })).collect();
    let calls: Vec<_> = data.iter().map(|data| Call { to: NFT, value: U256::ZERO, data }).collect();
    let mut message = mint(nonce);
    message.operation.call_data = ExecuteBatch(&calls).to_vec();
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_signed_when_each_call_is_allowed_and_counts_with_all_of_them() {
    let network = LocalNetwork::start_stocked().await;
    let argument = ArgumentLimit {
        contract: NFT,
        selector: selector().as_bytes().into(),
        offset: 0,
        total: U256::from_be_bytes(ACCOUNT.into_word().0) * U256::from(3),
        seconds: None,
    };
    let session = network.key(held_to(Limits { arguments: vec![argument], ..Limits::default() })).await;
    session.sign_batch(&mints(1, 2, ACCOUNT)).await.unwrap();

    let Refusal::Forbidden { reason, revert } =
        refusal(session.sign_batch(&mints(2, 3, NFT)).await.unwrap_err())
    else {
        panic!()
    };
    assert!(reason.starts_with("call 2 of the batch: policy 0 forbids the call: rule 0"), "{reason}");
    assert_eq!(revert.as_deref(), Some("ABISV Arg Rule Violated"));

    let over = refusal(session.sign_batch(&mints(2, 2, ACCOUNT)).await.unwrap_err());
    assert!(matches!(over, Refusal::Limit { .. }), "{over}");
    session.sign_batch(&mints(2, 1, ACCOUNT)).await.unwrap();
    assert!(matches!(refused(&session, &mint(3)).await, Refusal::Limit { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paymaster_is_required_or_forbidden() {
    let network = LocalNetwork::start_stocked().await;
    let mut sponsored = mint(1);
    sponsored.operation.paymaster_and_data = vec![0x77; 25];
    let rules = [
        (PaymasterRule::Required, &sponsored, mint(1)),
        (PaymasterRule::Forbidden, &mint(1), sponsored.clone()),
    ];
    for (paymaster, allowed, forbidden) in rules {
        let session = network.key(held_to(Limits { paymaster, ..Limits::default() })).await;
        session.sign(allowed).await.unwrap();
        let Refusal::Forbidden { reason, .. } = refused(&session, &forbidden).await else { panic!() };
        assert!(reason.contains("paymaster"), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_fills_a_node_s_disk_so_far_and_no_further() {
    const MOST: u64 = 10_000;
    let network = LocalNetwork::start_with_nodes(|config| config.most_journal_bytes = MOST).await;
    let key = network.key(held_to(Limits { uses: Some(1000), ..Limits::default() })).await;
    let mut signed = 0;
    let refused = loop {
        match key.sign(&mint(signed)).await {
            Ok(_) => signed += 1,
            Err(error) => break refusal(error),
        }
    };
    let Refusal::JournalFull { held, most, .. } = refused else { panic!("{refused}") };
    // What others told is kept beyond it, and each of them is held to it as well.
    assert!(held <= 5 * MOST && most == MOST, "{held} of {most}");
    assert!(signed > 2, "{signed}");
    key.sign(&mint(signed - 1)).await.unwrap();
}
