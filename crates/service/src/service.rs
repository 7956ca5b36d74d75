//! The service as a whole: what it serves, and its start and end.

use std::future::IntoFuture as _;
use std::io;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use quorate::{Quorate, SigningNetwork, SmartAccount};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, broadcast};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::call_ids::{CallIds, CallIdsError};
use crate::events::Event;
use crate::grants::KeyRequests;
use crate::tokens::TokenFile;
use crate::{ListedPaymaster, follow, http, watch};

/// What a service is made of.
#[derive(Debug)]
pub struct ServiceConfig {
    /// The chain and the bundler, with the store of the sessions, which has to outlive the process as the ids of calls do.
    pub client: Quorate,
    /// The accounts that it acts for, each with the options of what is sent; the first one where a request names none.
    pub accounts: Vec<SmartAccount>,
    /// The signing network that makes keys.
    pub network: Option<SigningNetwork>,
    /// The paymasters that clients may name.
    pub paymasters: Vec<ListedPaymaster>,
    /// Who may use it, and for what.
    pub tokens: TokenFile,
    /// The database of the ids of calls; it is made where there is none.
    pub calls: PathBuf,
    /// Names that requests may have in their `Host` header, beside those of this machine itself.
    pub hosts: Vec<String>,
    /// Origins of web pages that may use it, such as `https://app.example`; all others are refused.
    pub origins: Vec<String>,
    /// What it takes at most.
    pub limits: ServiceLimits,
}

/// What a service takes at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceLimits {
    /// Bytes of a body.
    pub body_bytes: usize,
    /// Requests that are answered at once, and those who listen to events.
    pub requests_at_once: usize,
    /// Requests of one token in a second; a batch counts by what is in it.
    pub requests_per_second: NonZeroU32,
}

impl Default for ServiceLimits {
    fn default() -> Self {
        let requests_per_second = NonZeroU32::MIN.saturating_add(49);
        Self { body_bytes: 256 * 1024, requests_at_once: 64, requests_per_second }
    }
}

/// A service that is ready to be served.
#[derive(Debug)]
pub struct Service {
    shared: Arc<Shared>,
}

/// What its tasks share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: ServiceConfig,
    pub(crate) ids: CallIds,
    pub(crate) events: broadcast::Sender<Event>,
    /// Something happened that may have changed sessions.
    pub(crate) look_at_sessions: Notify,
    pub(crate) key_requests: KeyRequests,
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) rate: DefaultKeyedRateLimiter<String>,
    /// Requests under way, which are waited for at the end.
    pub(crate) requests: TaskTracker,
    /// What goes on beside them, and ends with the service.
    pub(crate) background: TaskTracker,
    pub(crate) stop: CancellationToken,
}

/// Events that a slow listener may be behind.
const EVENTS_KEPT: usize = 256;

/// How long connections are waited for at the end.
const PATIENCE: Duration = Duration::from_secs(30);

impl Service {
    /// Opens the database of calls, and goes on with those whose end is not known.
    ///
    /// # Errors
    /// A database that cannot be opened.
    pub async fn open(config: ServiceConfig) -> Result<Self, CallIdsError> {
        let ids = CallIds::open(&config.calls).await?;
        let ServiceLimits { requests_at_once, requests_per_second, .. } = config.limits;
        let shared = Arc::new(Shared {
            ids,
            events: broadcast::channel(EVENTS_KEPT).0,
            look_at_sessions: Notify::new(),
            key_requests: KeyRequests::default(),
            permits: Arc::new(Semaphore::new(requests_at_once)),
            rate: RateLimiter::keyed(Quota::per_second(requests_per_second)),
            requests: TaskTracker::new(),
            background: TaskTracker::new(),
            stop: CancellationToken::new(),
            config,
        });
        follow::resume(&shared).await?;
        for account in shared.config.accounts.clone() {
            let watched = Arc::clone(&shared);
            shared.beside_requests(async move { watch::sessions(&watched, &account).await });
        }
        Ok(Self { shared })
    }

    /// Serves until it is told to stop; what was asked by then is answered.
    ///
    /// # Errors
    /// The listener's.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) -> io::Result<()> {
        let Self { shared } = self;
        let port = listener.local_addr()?.port();
        let ending = Arc::clone(&shared);
        let stopped = stop.clone();
        let until_stopped = async move {
            stopped.cancelled().await;
            // Listeners of events would keep their connections.
            ending.stop.cancel();
        };
        let serving =
            axum::serve(listener, http::router(&shared, port)).with_graceful_shutdown(until_stopped);
        let served = tokio::select! {
            served = serving.into_future() => served,
            // Somebody does not finish what they began to ask.
            () = async { stop.cancelled().await; tokio::time::sleep(PATIENCE).await } => Ok(()),
        };
        shared.stop.cancel();
        shared.requests.close();
        shared.requests.wait().await;
        shared.background.close();
        shared.background.wait().await;
        shared.ids.shut().await;
        served
    }
}

impl Shared {
    /// Runs a task that ends with the service, wherever it is: it can be taken up again.
    pub(crate) fn beside_requests(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.background.spawn(async move { stop.run_until_cancelled(task).await });
    }

    /// The chain's id.
    pub(crate) const fn chain_id(&self) -> u64 {
        self.config.client.chain_id()
    }

    /// Tells whoever listens. That nobody does is no failure.
    pub(crate) fn tell(&self, event: Event) {
        let _ = self.events.send(event);
    }
}
