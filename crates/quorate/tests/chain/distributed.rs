//! Sessions whose keys a network of five nodes holds, on a chain where somebody else pays.

use alloy_primitives::U256;
use alloy_signer_local::PrivateKeySigner;
use quorate::{Call, Options, SmartAccount};
use quorate_contracts::Erc721::safeMintCall;

use crate::local::LocalNetwork;
use crate::payments::{TOKEN, biconomy, erc7677, policy};
use crate::player::{balance_of, block_on, connect, devnet};

/// The README's example, which is another test, is sponsored by Biconomy's service.
#[test]
fn a_distributed_session_works_for_an_account_without_coin() {
    block_on(async {
        let network = LocalNetwork::start().await;
        let token = devnet().token();
        for options in [
            Options::new().sponsored_by(&erc7677()),
            Options::new().with_paymaster(&biconomy()).paid_in(token).up_to(U256::from(500 * TOKEN)),
        ] {
            let owner = PrivateKeySigner::random();
            let account = connect().await.with_network(network.client()).account(owner.address(), 0);
            let account = account.with_options(options);
            devnet().mint_token(token, account.address(), U256::from(1_000 * TOKEN)).await.unwrap();
            let grant = account.grant([policy(&account)]).unwrap();
            let key = grant.distributed_key(&network.client(), &owner).await.unwrap();
            let granted = account.send(grant, &key, &owner).await.unwrap().wait().await.unwrap();
            let session = granted.session().await.unwrap();
            for uses in 1..=2 {
                let mint = Call::new(devnet().nft(), safeMintCall { to: account.address() });
                let minted = session.send(mint).await.unwrap().wait().await.unwrap();
                assert!(minted.paymaster.is_some(), "the receipt names who paid");
                assert_eq!(balance_of(account.address()).await, uses);
            }
            assert_eq!(native(&account).await, U256::ZERO);
        }
    });
}

async fn native(account: &SmartAccount) -> U256 {
    account.balances(&[]).await.unwrap().native
}
