use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use axum::body::Bytes;
use axum::extract::State;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::runtime::{self, Runtime};
use tokio::sync::oneshot;
use url::Url;

use super::error::RequestError;
use super::sponsor::Sponsor;
use super::{PaymasterFault, biconomy, erc7677};
use crate::port::local_url;

/// An HTTP server on a thread of its own, which ends when this is dropped.
///
/// It has its own runtime, so that it answers whether or not the caller's is being run, and so that no connection
/// outlives it.
#[derive(Debug)]
pub(crate) struct Server {
    url: Url,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(sponsor: Arc<Sponsor>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let url = local_url(listener.local_addr()?.port());
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("paymaster".to_owned())
            .spawn(move || serve(&runtime, listener, sponsor, stopped))?;
        Ok(Self { url, stop: Some(stop), thread: Some(thread) })
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // There is nobody to tell of a panic, which its message told already.
            let _ = thread.join();
        }
    }
}

fn serve(runtime: &Runtime, listener: TcpListener, sponsor: Arc<Sponsor>, stopped: oneshot::Receiver<()>) {
    runtime.block_on(async move {
        // The listener is bound and does not block, so it can only be taken over.
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
        let router = Router::new().fallback(answer).with_state(sponsor);
        tokio::select! {
            _ = axum::serve(listener, router) => {}
            _ = stopped => {}
        }
    });
}

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    id: Value,
    method: String,
    #[serde(default)]
    params: Value,
}

/// Answers one JSON-RPC request, whatever its path. There are no batches.
async fn answer(State(sponsor): State<Arc<Sponsor>>, body: Bytes) -> Json<Value> {
    let (id, outcome) = match serde_json::from_slice::<Request>(&body) {
        Ok(request) => (request.id, dispatch(&sponsor, &request.method, request.params).await),
        Err(source) => (Value::Null, Err(RequestError::Parse(source))),
    };
    Json(match outcome {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(error) => json!({ "jsonrpc": "2.0", "id": id, "error": error.to_json() }),
    })
}

async fn dispatch(sponsor: &Sponsor, method: &str, params: Value) -> Result<Value, RequestError> {
    match sponsor.fault() {
        Some(PaymasterFault::Refuse) => return Err(RequestError::Refused),
        Some(PaymasterFault::Slow(delay)) => tokio::time::sleep(delay).await,
        _ => {}
    }
    match method {
        "pm_sponsorUserOperation" => biconomy::sponsor_user_operation(sponsor, params).await,
        "pm_getFeeQuoteOrData" => biconomy::fee_quote_or_data(sponsor, params).await,
        "pm_getPaymasterStubData" => erc7677::stub_data(sponsor, params),
        "pm_getPaymasterData" => erc7677::data(sponsor, params).await,
        other => Err(RequestError::UnknownMethod(other.to_owned())),
    }
}
