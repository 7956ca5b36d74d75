//! How soon a revoked ephemeral key is refused everywhere.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use quorate_network::NetworkError;
use quorate_protocol::ClientError;

use super::scene::{Key, Scene};

/// The longest of so many revocations, in seconds: from the client's call until each node says that it has it.
pub(super) async fn slowest(scene: &Scene, revocations: usize) -> anyhow::Result<f64> {
    let key = scene.keys.first().context("the client has no key")?;
    let mut slowest: f64 = 0.0;
    for _ in 0..revocations {
        slowest = slowest.max(revoke(scene, key).await?);
    }
    Ok(slowest)
}

async fn revoke(scene: &Scene, key: &Key) -> anyhow::Result<f64> {
    let (session, nodes) = (&key.session, scene.nodes());
    let ephemeral = session.register().await?;
    session.sign_as(&ephemeral, key.next()).await.context("the ephemeral key may not ask yet")?;
    let began = Instant::now();
    session.revoke(&ephemeral).await?;
    loop {
        let keys = session.ephemeral_keys().await?.keys;
        let revoked_at = keys.get(ephemeral.public().as_bytes()).map(|status| &status.revoked_at);
        if revoked_at.is_some_and(|revoked_at| *revoked_at == nodes) {
            break;
        }
    }
    let took = began.elapsed().as_secs_f64();
    let answer = session.sign_once_as(&ephemeral, key.next()).await;
    let is_refused = matches!(answer, Err(NetworkError::Client(ClientError::Refused(_))));
    ensure!(is_refused, "a revoked ephemeral key asked, and the answer was {answer:?}");
    Ok(took)
}
