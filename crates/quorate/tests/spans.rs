//! What is traced: enough to follow an operation, and no secret. What is traced is a process's to say, so that this test
//! has one of its own.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

#[path = "scripted/scene.rs"]
mod scene;

use std::io;
use std::sync::{Arc, Mutex};

use alloy_primitives::hex;
use quorate::LocalSessionKey;
use scene::Scene;
use tracing_subscriber::fmt::format::FmtSpan;

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn an_operation_is_traced_by_its_hash_and_no_key_is() {
    let written = Written::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::NEW | FmtSpan::CLOSE)
        .with_ansi(false)
        .with_writer({
            let written = written.clone();
            move || written.clone()
        })
        .finish();
    let _traced = tracing::subscriber::set_default(subscriber);

    let scene = Scene::new().await;
    let key = LocalSessionKey::random();
    let grant = scene.account.grant([scene.policy()]).unwrap();
    let granted = scene.account.send(grant, &key, &scene.owner).await.unwrap().wait().await.unwrap();
    let session = granted.session().await.unwrap();
    let pending = scene.mint_with(&session).await.unwrap();
    pending.wait().await.unwrap();

    let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    for span in ["prepare_update", "dispatch", "prepare_encoded", "wait"] {
        assert!(text.contains(span), "{span} is traced");
    }
    assert!(text.contains(&pending.user_op_hash().to_string()), "the operation is named");
    for secret in [hex::encode(key.to_bytes()), hex::encode(scene.owner.to_bytes())] {
        assert!(!text.to_lowercase().contains(&secret), "a key is traced");
    }
}
