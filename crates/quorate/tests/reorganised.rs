//! A grant whose block is taken back. The chain is this test's alone.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

#[path = "chain/player.rs"]
mod player;

use player::{Player, block_on, rpc};
use quorate::Status;
use serde_json::json;

/// Fault 21: a status never changes.
#[test]
fn an_active_session_is_pending_again_when_its_block_is_taken_back() {
    block_on(async {
        let player = Player::new().await;
        let before = rpc("evm_snapshot", json!([])).await;
        player.granted().await;
        let statuses = async |player: &Player| {
            let listed = player.account.sessions().await.unwrap();
            listed.into_iter().map(|session| session.status).collect::<Vec<_>>()
        };
        assert_eq!(statuses(&player).await, [Status::Active]);
        let granted_in = rpc("eth_blockNumber", json!([])).await;

        assert_eq!(rpc("evm_revert", json!([before])).await, json!(true));
        // The branch that wins is no shorter: a node with fewer blocks than were seen decides nothing.
        while rpc("eth_blockNumber", json!([])).await != granted_in {
            rpc("evm_mine", json!([])).await;
        }
        assert!(!player.account.is_deployed().await.unwrap());
        assert_eq!(statuses(&player).await, [Status::Pending]);
    });
}
