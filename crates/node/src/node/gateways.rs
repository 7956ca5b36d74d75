//! The gateways of a node: each is dialled again whenever it goes away, and served as long as it is there.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use quorate_protocol::gateway_name;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use super::Parts;
use super::connected::Connected;
use super::connection::{Backoff, Connection, ConnectionError, ToGateway};
use super::in_flight::InFlight;
use super::peer_queue::PeerQueue;
use super::peers::Peers;
use crate::error::reasons;
use crate::observe::one_line;
use crate::wire::FromNode;

/// How long what runs has to finish when the node is told to stop.
const FAREWELL: Duration = Duration::from_secs(10);

/// Frames that may wait for the socket or for their reader.
const QUEUE: usize = 64;

impl Parts {
    /// Serves one gateway until `stop` is cancelled.
    pub(super) async fn serve_gateway(
        self: &Arc<Self>,
        gateway: Url,
        stop: &CancellationToken,
        tasks: &TaskTracker,
    ) {
        let (node, name) = (self.member.index, gateway_name(&gateway));
        let mut backoff = Backoff::new();
        while !stop.is_cancelled() {
            backoff.begin();
            let connection = tokio::select! {
                connection = Connection::dial(&self.member, &gateway, &self.tls, &self.observer) => connection,
                () = stop.cancelled() => break,
            };
            let ended = match connection {
                Ok(connection) => {
                    tracing::info!(%node, gateway = %name, "connected");
                    self.attend(connection, stop, tasks).await
                }
                Err(error) => Err(error),
            };
            if let Err(error) = ended {
                tracing::warn!(%node, gateway = %name, error = one_line(reasons(&error)), "no connection to the gateway");
            }
            tokio::select! {
                () = backoff.wait() => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Serves one connection until it breaks, or until what runs is done after `stop`.
    async fn attend(
        self: &Arc<Self>,
        connection: Connection,
        stop: &CancellationToken,
        tasks: &TaskTracker,
    ) -> Result<(), ConnectionError> {
        let (outgoing, mut to_send) = mpsc::channel(QUEUE);
        let (received, mut frames) = mpsc::channel(QUEUE);
        let in_flight = Arc::new(InFlight::default());
        let peers = self.peers(ToGateway::new(outgoing, connection.version()));
        let written = Arc::new(PeerQueue::new());
        let connected = Connected {
            parts: self.clone(),
            peers: peers.clone(),
            in_flight: in_flight.clone(),
            written: written.clone(),
            outboxes: TaskTracker::new(),
        };
        let leave = CancellationToken::new();
        let farewell = async {
            stop.cancelled().await;
            peers.outgoing.send(FromNode::Leaving).await;
            // Late ones are told when the connection ends.
            let _ = tokio::time::timeout(FAREWELL, connected.finish()).await;
            leave.cancel();
            std::future::pending::<()>().await;
        };
        let serving = async {
            while let Some(frame) = frames.recv().await {
                connected.receive(frame, tasks).await;
            }
        };
        let ended = tokio::select! {
            ended = connection.carry(&mut to_send, &received, &leave) => ended,
            () = serving => Ok(()),
            () = peers.correspond(&written) => Ok(()),
            () = farewell => Ok(()),
        };
        in_flight.end_all();
        ended
    }

    fn peers(&self, outgoing: ToGateway) -> Peers {
        Peers {
            member: self.member.clone(),
            storage: self.storage.clone(),
            assignments: self.assignments.clone(),
            statements: self.statements.clone(),
            ledgers: self.signing.ledgers.clone(),
            bans: self.bans.clone(),
            quarantine: self.quarantine.clone(),
            free_keys: self.free_keys.clone(),
            observer: self.observer.clone(),
            read: Arc::new(Mutex::default()),
            outgoing,
        }
    }
}
