//! Faults: what an endpoint does instead of answering, or after it acted.

use std::{
    collections::VecDeque,
    fmt,
    future::pending,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use quorate_transport::{ConnectionFailure, InvalidResponse, RpcError, TransportError};
use serde_json::Value;
use url::Url;

/// A node, a bundler or a paymaster's service of a scripted chain, numbered in the order in which they were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Endpoint {
    /// A node.
    Node(usize),
    /// A bundler.
    Bundler(usize),
    /// A paymaster's service.
    Paymaster(usize),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(index) => write!(f, "node-{index}"),
            Self::Bundler(index) => write!(f, "bundler-{index}"),
            Self::Paymaster(index) => write!(f, "paymaster-{index}"),
        }
    }
}

impl Endpoint {
    /// As the errors of transports name it.
    fn named(self) -> quorate_transport::Endpoint {
        match Url::parse(&format!("http://{self}.scripted.test")) {
            Ok(url) => quorate_transport::Endpoint::new(&url),
            Err(_) => unreachable!("a name and a number make a host"),
        }
    }
}

/// What an endpoint does with a request instead of what it was asked.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// The deadline passes without an answer: [`TransportError::Timeout`], at once.
    Timeout,
    /// No answer ever comes: the request's future stays pending until it is dropped.
    Silence,
    /// No connection is made, so that nothing was sent ([`TransportError::Unreachable`]).
    Unreachable,
    /// The connection fails before the answer is complete ([`TransportError::Interrupted`]).
    Interrupted,
    /// HTTP 429 ([`TransportError::RateLimited`]).
    RateLimited {
        /// The `Retry-After` header.
        retry_after: Option<Duration>,
        /// Whether a JSON-RPC error (−32005) came with it.
        body: bool,
    },
    /// An HTTP status without a JSON-RPC body ([`TransportError::Http`]).
    Http(u16),
    /// A page of HTML ([`InvalidResponse::NotJson`]).
    Html,
    /// A JSON-RPC error, whatever the HTTP status that carried it, a 5xx among them ([`TransportError::Rpc`]).
    Rpc {
        /// The error's number.
        code: i64,
        /// The error's text.
        message: String,
        /// What comes with it.
        data: Option<Value>,
    },
    /// The answer `null`.
    Null,
    /// This answer.
    Answer(Value),
    /// The request is acted on, and then this happens: the answer is lost.
    ActThen(Box<Fault>),
    /// Unwinds the task that made the request with [`Crash`], as if the process were killed there. Not acted on; see
    /// [`Fault::ActThen`].
    Crash,
}

impl Fault {
    /// A JSON-RPC error without data.
    pub fn rpc(code: i64, message: impl Into<String>) -> Self {
        Self::Rpc { code, message: message.into(), data: None }
    }

    /// The request is acted on, and then this happens.
    #[must_use]
    pub fn after_acting(self) -> Self {
        Self::ActThen(Box::new(self))
    }

    /// What the caller sees. Whether the request is acted on has been decided before.
    pub(crate) async fn happen(self, endpoint: Endpoint, method: &str) -> Result<Value, TransportError> {
        let method = method.to_owned();
        let mut fault = self;
        while let Self::ActThen(inner) = fault {
            fault = *inner;
        }
        Err(match fault {
            Self::Timeout => {
                let after = Duration::from_secs(10);
                TransportError::Timeout { method, endpoint: endpoint.named(), after }
            }
            Self::Silence | Self::ActThen(_) => pending().await,
            Self::Unreachable => TransportError::Unreachable {
                method,
                endpoint: endpoint.named(),
                source: ConnectionFailure::new(io::Error::from(io::ErrorKind::ConnectionRefused)),
            },
            Self::Interrupted => TransportError::Interrupted {
                method,
                endpoint: endpoint.named(),
                source: ConnectionFailure::new(io::Error::from(io::ErrorKind::ConnectionReset)),
            },
            Self::RateLimited { retry_after, body } => TransportError::RateLimited {
                method,
                endpoint: endpoint.named(),
                status: 429,
                retry_after,
                answer: body.then(|| crate::mempool::error(-32005, "Too Many Requests")),
            },
            Self::Http(status) => TransportError::Http { method, endpoint: endpoint.named(), status },
            Self::Html => match serde_json::from_str::<Value>("<!DOCTYPE html><title>502</title>") {
                Ok(page) => return Ok(page),
                Err(source) => {
                    TransportError::InvalidResponse { method, reason: InvalidResponse::NotJson(source) }
                }
            },
            Self::Rpc { code, message, data } => {
                TransportError::Rpc { method, error: RpcError { code, message, data } }
            }
            Self::Null => return Ok(Value::Null),
            Self::Answer(answer) => return Ok(answer),
            // Without the panic hook: this is no failure of the test.
            Self::Crash => std::panic::resume_unwind(Box::new(Crash)),
        })
    }
}

/// What a task unwinds with after [`Fault::Crash`].
///
/// ```
/// # use quorate_testing::{Crash, Fault, ScriptedChain};
/// # use quorate_transport::{Transport, TransportExt};
/// # #[tokio::main] async fn main() {
/// let node = ScriptedChain::new().node();
/// node.on_next("eth_chainId", Fault::Crash);
/// let task = tokio::spawn(async move { node.call::<String>("eth_chainId", ()).await });
/// assert!(task.await.unwrap_err().into_panic().is::<Crash>());
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash;

/// Decides by method and parameters whether a request meets a fault.
pub(crate) type Hook = Box<dyn Fn(&str, &Value) -> Option<Fault> + Send + Sync>;
/// The same over all endpoints of a chain.
pub(crate) type ChainHook = Arc<dyn Fn(Endpoint, &str, &Value) -> Option<Fault> + Send + Sync>;

/// The methods of an endpoint with a `script` that tell it which faults to meet.
macro_rules! faults_on_demand {
    ($down:literal) => {
        /// The next request of `method` meets a fault; `"*"` stands for any method. Faults for the same method are met
        /// one after another.
        pub fn on_next(&self, method: &str, fault: Fault) {
            self.script.on_next(method, fault);
        }

        /// Every request of `method` meets a fault; `"*"` stands for any method.
        pub fn always(&self, method: &str, fault: Fault) {
            self.script.always(method, fault);
        }

        #[doc = concat!("Every request meets a fault: ", $down, ".")]
        pub fn down(&self, fault: Fault) {
            self.script.always(crate::fault::ANY, fault);
        }

        /// Decides for each request, by method and parameters, whether it meets a fault.
        pub fn on_request(&self, hook: impl Fn(&str, &Value) -> Option<Fault> + Send + Sync + 'static) {
            self.script.set_hook(Box::new(hook));
        }
    };
}
pub(crate) use faults_on_demand;

/// The faults that await the requests to one endpoint.
#[derive(Clone, Default)]
pub(crate) struct Script(Arc<Mutex<Faults>>);

#[derive(Default)]
struct Faults {
    once: VecDeque<(String, Fault)>,
    always: Vec<(String, Fault)>,
    hook: Option<Arc<Hook>>,
}

/// The method that stands for each.
pub(crate) const ANY: &str = "*";

impl Script {
    pub(crate) fn on_next(&self, method: &str, fault: Fault) {
        lock(&self.0).once.push_back((method.to_owned(), fault));
    }

    pub(crate) fn always(&self, method: &str, fault: Fault) {
        let mut faults = lock(&self.0);
        faults.always.retain(|(other, _)| other != method);
        faults.always.push((method.to_owned(), fault));
    }

    pub(crate) fn set_hook(&self, hook: Hook) {
        lock(&self.0).hook = Some(Arc::new(hook));
    }

    pub(crate) fn clear(&self) {
        *lock(&self.0) = Faults::default();
    }

    /// The fault that this request meets: the hook's, the first that waits for it, or the one that always comes.
    pub(crate) fn next(&self, method: &str, params: &Value) -> Option<Fault> {
        let hook = lock(&self.0).hook.clone();
        // The hook may use the script itself.
        if let Some(fault) = hook.and_then(|hook| hook(method, params)) {
            return Some(fault);
        }
        let mut faults = lock(&self.0);
        let is_for = |(other, _): &(String, Fault)| other == method || other == ANY;
        if let Some(at) = faults.once.iter().position(is_for) {
            return faults.once.remove(at).map(|(_, fault)| fault);
        }
        faults.always.iter().find(|entry| is_for(entry)).map(|(_, fault)| fault.clone())
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults = lock(&self.0);
        f.debug_struct("Script")
            .field("once", &faults.once)
            .field("always", &faults.always)
            .finish_non_exhaustive()
    }
}

/// A task that unwound while it held the lock left nothing half done that matters to the next.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
