//! A node's way to a gateway: one socket, kept alive by pings, dialled again whenever it breaks.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::B256;
use ed25519_dalek::Signer as _;
use futures_util::{Sink, SinkExt as _, StreamExt as _};
use quorate_protocol::{NetworkDescriptor, NodeIndex, Transcript, socket_url};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::connect_async_tls_with_config;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::member::Member;
use super::tls::{BindingError, GatewayTls, channel_binding};
use crate::channel_binding::ChannelBinding;
use crate::fail_points::{self, Point};
use crate::observe::{self, ConnectedGateway, Dropped, NodeObserver};
use crate::wire::{self, Frame as _, FrameError, FromNode, MAX_FRAME, OLDEST, ToNode};

/// A socket on which the gateway knows who this node is.
pub(crate) struct Connection {
    socket: Socket,
    node: NodeIndex,
    /// Of the frames, the newest that both sides speak.
    version: u8,
    connected: ConnectedGateway,
}

/// A connection's way out.
#[derive(Clone, Debug)]
pub(crate) struct ToGateway {
    frames: mpsc::Sender<FromNode>,
    version: u8,
}

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

/// Why there is no connection, or no more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionError {
    #[error(transparent)]
    Socket(#[from] tungstenite::Error),
    #[error("the other side is not a gateway: {0}")]
    Greeting(&'static str),
    #[error(transparent)]
    Binding(#[from] BindingError),
    #[error("the TLS connection has no exporter")]
    Exporter(#[from] rustls::Error),
    #[error("the gateway's first frame cannot be read")]
    Frame(#[from] FrameError),
    #[error("no answer within {} s", DIAL.as_secs())]
    Deadline,
    #[error("nothing was heard of the gateway for {} s", SILENCE.as_secs())]
    Silence,
    #[error("the gateway closed the connection")]
    Closed,
}

/// How long connecting may take.
const DIAL: Duration = Duration::from_secs(10);

/// How often the gateway is pinged, and after what silence the connection counts as broken: a cable that was pulled, or a
/// forgotten address translation, says nothing by itself.
const PING: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(30);

/// The pauses between attempts to connect: the first, the longest, and after how long a connection counts as a good one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const GOOD_CONNECTION: Duration = Duration::from_secs(10);

impl ToGateway {
    pub(crate) const fn new(frames: mpsc::Sender<FromNode>, version: u8) -> Self {
        Self { frames, version }
    }

    /// Queues a frame, unless it is newer than what the gateway reads. A connection that broke is noticed where it is read.
    pub(crate) async fn send(&self, frame: FromNode) {
        if frame.since() <= self.version {
            drop(self.frames.send(frame).await);
        }
    }
}

/// How long to wait before connecting again: longer each time, until a connection has lasted.
pub(crate) struct Backoff {
    pause: Duration,
    began: Instant,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { pause: FIRST_PAUSE, began: Instant::now() }
    }

    /// Notes the beginning of an attempt.
    pub(crate) fn begin(&mut self) {
        self.began = Instant::now();
    }

    /// Waits before the next attempt.
    pub(crate) async fn wait(&mut self) {
        if self.began.elapsed() > GOOD_CONNECTION {
            self.pause = FIRST_PAUSE;
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

impl Connection {
    /// Connects to a gateway, and shows it who this node is.
    pub(crate) async fn dial(
        member: &Member,
        gateway: &Url,
        tls: &GatewayTls,
        observer: &Arc<NodeObserver>,
    ) -> Result<Self, ConnectionError> {
        let newest = fail_points::newest_version(member.index);
        let url = node_url(gateway, newest);
        let limits =
            WebSocketConfig::default().max_message_size(Some(MAX_FRAME)).max_frame_size(Some(MAX_FRAME));
        let connector = Some(tls.connector(gateway));
        let connect = connect_async_tls_with_config(url.as_str(), Some(limits), true, connector);
        let dial = async {
            let (mut socket, _) = connect.await?;
            let greeting = socket.next().await.ok_or(ConnectionError::Closed)??;
            let (version, challenge, is_bound) = match wire::decode_up_to(newest, &greeting.into_data())? {
                ToNode::Greet { challenge } => (OLDEST, challenge, false),
                ToNode::Welcome { version, challenge } => (version.min(newest), challenge, false),
                ToNode::WelcomeBound { version, challenge } => (version.min(newest), challenge, true),
                _ => return Err(ConnectionError::Greeting("its first frame is no greeting")),
            };
            let binding = tls.binding(gateway, is_bound, channel_binding(socket.get_ref())?)?;
            let digest = hello_digest(&member.network, member.index, &challenge, binding);
            let signature = member.identity.sign(digest.as_slice()).to_bytes().to_vec();
            let hello = FromNode::Hello { node: member.index, signature };
            send(&mut socket, member.index, &hello).await?;
            Ok(Self { socket, node: member.index, version, connected: observer.connected(gateway) })
        };
        tokio::time::timeout(DIAL, dial).await.map_err(|_| ConnectionError::Deadline)?
    }

    /// Of the frames, the newest version that both sides speak.
    pub(crate) const fn version(&self) -> u8 {
        self.version
    }

    /// Carries frames both ways until the connection breaks, or until `leave` is cancelled and what waits to be sent is
    /// sent.
    pub(crate) async fn carry(
        self,
        outgoing: &mut mpsc::Receiver<FromNode>,
        incoming: &mpsc::Sender<ToNode>,
        leave: &CancellationToken,
    ) -> Result<(), ConnectionError> {
        let (mut sink, mut stream) = self.socket.split();
        let writer = async {
            let mut ping = tokio::time::interval(PING);
            loop {
                tokio::select! {
                    biased;
                    frame = outgoing.recv() => match frame {
                        Some(frame) => send(&mut sink, self.node, &frame).await?,
                        None => return Ok(()),
                    },
                    _ = ping.tick() => sink.send(Message::Ping(observe::ping().to_vec().into())).await?,
                    () = leave.cancelled() => return Ok(sink.close().await?),
                }
            }
        };
        let reader = async {
            let mut unreadable = 0_u64;
            loop {
                let next = tokio::time::timeout(SILENCE, stream.next()).await;
                let message =
                    next.map_err(|_| ConnectionError::Silence)?.ok_or(ConnectionError::Closed)??;
                if let Message::Ping(ping) = &message {
                    observe::sent_at(ping).into_iter().for_each(|at| self.connected.clock(at));
                }
                let Message::Binary(bytes) = message else { continue };
                match wire::decode_up_to(self.version, &bytes) {
                    Ok(frame) => {
                        if incoming.send(frame).await.is_err() {
                            return Ok(());
                        }
                    }
                    Err(error) => {
                        unreadable += 1;
                        self.connected.dropped(Dropped::Unreadable);
                        if unreadable.is_power_of_two() {
                            tracing::warn!(%error, unreadable, "frames of the gateway cannot be read");
                        }
                    }
                }
            }
        };
        tokio::select! {
            ended = writer => ended,
            ended = reader => ended,
        }
    }
}

async fn send(
    socket: &mut (impl Sink<Message, Error = tungstenite::Error> + Unpin),
    node: NodeIndex,
    frame: &FromNode,
) -> Result<(), tungstenite::Error> {
    let kind = frame.into();
    if fail_points::is_lost(kind, node) {
        return Ok(());
    }
    fail_points::reach(Point::Sending(kind), node);
    socket.send(Message::Binary(wire::encode(frame).into())).await?;
    fail_points::reach(Point::Sent(kind), node);
    Ok(())
}

/// Where nodes come at a gateway. An older gateway does not read the query.
fn node_url(gateway: &Url, newest: u8) -> Url {
    let mut url = socket_url(gateway, "node");
    if newest > OLDEST {
        url.query_pairs_mut().append_pair("version", &newest.to_string());
    }
    url
}

/// What a node signs to show a gateway who it is: for one challenge, and on one connection if the gateway binds to it.
pub(crate) fn hello_digest(
    network: &NetworkDescriptor,
    node: NodeIndex,
    challenge: &[u8; 32],
    binding: Option<ChannelBinding>,
) -> B256 {
    let transcript = Transcript::new("node hello")
        .field(network.id().as_slice())
        .number(node.get().into())
        .field(challenge);
    match binding {
        Some(binding) => transcript.field(binding.as_bytes()).finish(),
        None => transcript.finish(),
    }
}
