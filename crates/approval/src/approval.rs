use std::fmt;
use std::sync::Arc;

use alloy_primitives::{Address, B256, hex};
use serde::{Serialize, Serializer};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::DropGuard;
use url::Url;

use crate::error::StartError;
use crate::guard::Door;
use crate::shared::Shared;
use crate::state::State;
use crate::{BrowserSigner, Review, server};

/// A page on this machine at which an owner's wallet signs. It is served until the last clone of this is dropped.
#[derive(Clone)]
pub struct Approval {
    shared: Arc<Shared>,
    url: String,
    _served: Arc<DropGuard>,
}

/// The chain that the wallet has to be on.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Chain {
    #[serde(serialize_with = "quantity")]
    id: u64,
    name: String,
    /// For a wallet that does not know the chain.
    rpc: Option<Url>,
}

/// How it ended, for the page to show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
#[non_exhaustive]
pub enum Outcome {
    /// The operation is on chain.
    Landed {
        /// The transaction that it is in.
        transaction: B256,
    },
    /// The owner said no.
    Rejected,
    /// Something else.
    Failed {
        /// Why, and what to do.
        reason: String,
    },
}

/// Whether somebody has the page open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Nobody has opened it so far.
    Awaited,
    /// It is open.
    Open,
    /// It was closed.
    Closed,
}

impl Approval {
    /// Serves the page, on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// No port, or no randomness for the address.
    pub async fn start(owner: Address, chain: Chain) -> Result<Self, StartError> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(StartError::Listen)?;
        let host = listener.local_addr().map_err(StartError::Listen)?.to_string();
        let mut token = [0; 16];
        getrandom::fill(&mut token)?;
        let token = hex::encode(token);
        let url = format!("http://{host}/{token}");
        let shared = Arc::new(Shared::new(State::new(owner, chain)));
        let served = Arc::new(shared.closing.clone().drop_guard());
        tokio::spawn(server::serve(listener, Arc::clone(&shared), Door::new(host, &token)));
        Ok(Self { shared, url, _served: served })
    }

    /// The page's address. Whoever knows it sees what is signed, and can reject it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The owner, as a signer.
    pub fn signer(&self) -> BrowserSigner {
        BrowserSigner::new(Arc::clone(&self.shared))
    }

    /// Says what the owner's key would sign with this digest: of a user operation its hash with the EIP-191 prefix, of typed
    /// data its EIP-712 hash. Without it nothing is asked of the wallet.
    pub fn review(&self, digest: B256, review: Review) {
        self.shared.change(|state| state.review(digest, review));
    }

    /// Tells the page what the program begins to do.
    pub fn step(&self, what: impl Into<String>) {
        self.shared.change(|state| state.step(what.into()));
    }

    /// Tells the page how it ended, and gives it a moment to show that where it is open.
    pub async fn finish(&self, outcome: Outcome) {
        self.shared.finish(outcome).await;
    }

    /// Whether somebody has the page open.
    pub fn presence(&self) -> watch::Receiver<Presence> {
        self.shared.presence()
    }
}

impl fmt::Debug for Approval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Approval").field("url", &"[redacted]").finish_non_exhaustive()
    }
}

impl Chain {
    /// A chain by its id, what to call it, and the RPC that a wallet is offered which does not know it.
    pub fn new(id: u64, name: impl Into<String>, rpc: Option<Url>) -> Self {
        Self { id, name: name.into(), rpc }
    }

    pub(crate) const fn id(&self) -> u64 {
        self.id
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, name, .. } = self;
        f.debug_struct("Chain").field("id", id).field("name", name).field("rpc", &"[redacted]").finish()
    }
}

/// As Ethereum's JSON-RPC writes numbers.
fn quantity<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{number:#x}"))
}
