use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, hex};
use serde::{Serialize, Serializer};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::DropGuard;
use url::Url;

use crate::answer;
use crate::error::{ApprovalError, StartError};
use crate::guard::Door;
use crate::shared::{Patience, Shared};
use crate::state::{Payload, State};
use crate::{BrowserSigner, Review, server};

/// A page on this machine at which an owner's wallet signs, and grants permissions. It is served until the last clone of this is dropped.
#[derive(Clone)]
pub struct Approval {
    shared: Arc<Shared>,
    url: String,
    patience: Patience,
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
    /// It is done, and nothing is sent to the chain.
    Done {
        /// What is done, as a sentence without its full stop: `It is granted`.
        what: String,
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
        Ok(Self { shared, url, patience: Patience::default(), _served: served })
    }

    /// The page's address. Whoever knows it sees what is signed, and can reject it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The same which waits so long for each answer of the owner's; ten minutes otherwise.
    #[must_use]
    pub const fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = Patience(patience);
        self
    }

    /// The owner, as a signer.
    pub fn signer(&self) -> BrowserSigner {
        BrowserSigner::new(Arc::clone(&self.shared), self.patience)
    }

    /// Asks the owner's wallet for permissions: `wallet_requestExecutionPermissions` ([ERC-7715]).
    ///
    /// `params` are the method's parameters: a list of requests, each `{chainId, from?, to, permission, rules}`, which have to be
    /// for the page's chain. The page shows `review`, and the wallet what it makes of the requests. `check` is given what the
    /// wallet answers: a JSON text of less than 192 KiB, a list of grants, each `{chainId, to, permission, context,
    /// delegationManager, …}`. A wallet may grant less than it was asked for, and says beside the context what it likes; so what
    /// was granted has to be read from the context. What `check` makes of the answer is given. Where it makes an error, the page
    /// shows that with its causes, and the owner can grant again.
    ///
    /// ```no_run
    /// # async fn example(owner: alloy_primitives::Address) -> Result<(), Box<dyn std::error::Error>> {
    /// use quorate_approval::{Approval, Chain, Outcome, Review};
    /// use serde_json::{Value, json};
    ///
    /// let page = Approval::start(owner, Chain::new(137, "Polygon", None)).await?;
    /// let params = json!([{
    ///     "chainId": "0x89",
    ///     "to": "0x4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b",
    ///     "permission": {
    ///         "type": "native-token-allowance", "isAdjustmentAllowed": true, "data": { "allowanceAmount": "0x2386f26fc10000" },
    ///     },
    ///     "rules": [{ "type": "expiry", "data": { "timestamp": 1_900_000_000 } }],
    /// }]);
    /// let review = Review::new("Let a session spend").with_fact("at most", "0.01 POL");
    /// // `quorate_delegation::Granted::check` reads the delegation itself.
    /// let granted: Value = page.request_permissions(params, review, |answer| serde_json::from_str(answer)).await?;
    /// page.finish(Outcome::Done { what: "It is granted".to_owned() }).await;
    /// # let _ = granted;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ApprovalError::NotForChain`] of the parameters, before anything is asked; [`ApprovalError::Rejected`] by the owner, on the
    /// page or in the wallet (4001); [`ApprovalError::Deadline`].
    ///
    /// [ERC-7715]: https://eips.ethereum.org/EIPS/eip-7715
    pub async fn request_permissions<T, E>(
        &self,
        params: Value,
        review: Review,
        mut check: impl FnMut(&str) -> Result<T, E>,
    ) -> Result<T, ApprovalError>
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let chain = self.shared.state().chain().id();
        if !are_for_chain(&params, chain) {
            return Err(ApprovalError::NotForChain { chain });
        }
        let payload = Payload::Permissions(params);
        self.shared.ask(payload, review, self.patience, |answer| answer::grant(answer, &mut check)).await
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

/// Whether these are requests for permissions, and each is for the chain.
fn are_for_chain(params: &Value, chain: u64) -> bool {
    let chain = format!("{chain:#x}");
    let named = |request: &Value| request.get("chainId").and_then(Value::as_str).map(str::to_ascii_lowercase);
    let requests = params.as_array().map(Vec::as_slice).unwrap_or_default();
    !requests.is_empty() && requests.iter().all(|request| named(request).as_ref() == Some(&chain))
}

/// As Ethereum's JSON-RPC writes numbers.
fn quantity<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{number:#x}"))
}
