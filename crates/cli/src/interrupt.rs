//! Ctrl-C, for commands that ask, sign and send: heard once, and seen by every question and step from then on.

use std::sync::LazyLock;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::exit::Failure;

/// Listens from its first use on. Where the system refuses to, Ctrl-C ends the program as it ends any other.
static INTERRUPTED: LazyLock<CancellationToken> = LazyLock::new(|| {
    let token = CancellationToken::new();
    if let Ok(mut interrupt) = signal(SignalKind::interrupt()) {
        let heard = token.clone();
        tokio::spawn(async move {
            interrupt.recv().await;
            heard.cancel();
        });
    }
    token
});

/// How long what is under way has to tidy up.
const GRACE: Duration = Duration::from_secs(2);

/// Ends when Ctrl-C was pressed, also before.
pub(crate) async fn interrupted() {
    INTERRUPTED.cancelled().await;
}

/// Does a command's work. After Ctrl-C no further question is asked and no further step begun, and what waits for something else
/// is given up.
pub(crate) async fn unless_interrupted(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    LazyLock::force(&INTERRUPTED);
    let mut work = std::pin::pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return done,
        () = interrupted() => {}
    }
    tokio::time::timeout(GRACE, work).await.unwrap_or_else(|_| Err(Failure::stopped().into()))
}
