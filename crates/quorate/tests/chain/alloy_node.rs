//! An application's own alloy provider as the chain's node, and an alloy signer as a session's key.

use std::sync::Arc;

use alloy_provider::ProviderBuilder;
use alloy_signer_local::PrivateKeySigner;
use quorate::{AlloySessionKey, AlloyTransport, Bundler, Error, HttpTransport, Quorate};
use quorate_contracts::Deployment;

use crate::player::{Player, block_on, call, devnet};

#[test]
fn an_alloy_provider_is_the_node_and_an_alloy_signer_the_session_s_key() {
    block_on(async {
        let provider = ProviderBuilder::new().connect_http(devnet().rpc_url().as_str().parse().unwrap());
        let node = Arc::new(AlloyTransport::new(provider));
        let bundler = HttpTransport::builder(devnet().bundler_url().clone()).build().unwrap();
        let bundler = Bundler::new(Arc::new(bundler));
        let client = Quorate::connect_with(Deployment::canonical(), node, bundler).await.unwrap();
        let player = Player::with(client.with_unlimited_requests()).await;

        let key = AlloySessionKey::new(PrivateKeySigner::random());
        let grant = player.account.grant([player.mint_policy()]).unwrap();
        let granted = player.account.send(grant, &key, &player.owner).await.unwrap().wait().await.unwrap();
        // The key is its signer's to keep, not the store's.
        assert!(matches!(granted.session().await, Err(Error::ExternalKey { .. })));
        let session = player.account.session_with(granted.id(), Arc::new(key)).await.unwrap();
        session.send(call(&player.mint())).await.unwrap().wait().await.unwrap();
        assert_eq!(player.minted().await, 1);
    });
}
