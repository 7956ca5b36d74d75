//! A node that misbehaves towards an honest gateway and honest nodes.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_primitives::{Signature, U256};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use quorate_protocol::{Answer, NetworkDescriptor, NodeIndex, Refusal, SignatureText, socket_url};
use serde_bytes::ByteBuf;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::{CancellationToken, DropGuard};
use url::Url;

use crate::config::{ConfigError, NodeConfig};
use crate::node::{Node, NodeError};
use crate::wire::{self, AnswerText, FromNode, PeerMessage, TaskId, ToNode};

/// A node with a real identity and real shares that misbehaves: a real node, and in front of it what spoils its frames.
///
/// It leaves the network when it is dropped; [`stop`](Self::stop) waits for that.
#[derive(Debug)]
pub struct BadNode {
    stop: DropGuard,
    served: JoinHandle<()>,
}

/// What a bad node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misbehaviour {
    /// Answers every operation at once with a signature that is nobody's.
    GarbageSignature,
    /// Refuses every operation at once.
    Refuses,
    /// Takes part in no signature, and sends the gateway and the other signers frames that are none, of the largest numbers,
    /// about other tasks and to nodes that do not exist.
    Junk,
    /// Sends one node nothing of what it owes it.
    Withholds {
        /// The node.
        from: NodeIndex,
    },
    /// Gives each request for a key another free key than the one that it is asked to give, and neither tells the other nodes
    /// nor hears what they gave.
    GivesAnotherKey,
    /// Says who it is, and from then on reads and says nothing.
    Stalls,
    /// Writes so many large messages to one node, as fast as the gateway takes them.
    Floods {
        /// The node.
        to: NodeIndex,
        /// How many messages, of about a mebibyte each.
        messages: usize,
    },
}

impl BadNode {
    /// Starts the node of `config`, which no honest one may serve at the same time.
    ///
    /// # Errors
    /// What a node cannot start for, or no socket.
    pub async fn start(mut config: NodeConfig, misbehaviour: Misbehaviour) -> Result<Self, NodeError> {
        let network = config.load_descriptor()?;
        let (listener, pretended) = stand_before(&network).await.map_err(|source| io(&config, source))?;
        config.gateways = Some(vec![pretended]);
        let stop = CancellationToken::new();
        let spoiler = Arc::new(Spoiler { network, misbehaviour });
        tokio::spawn(stop.clone().run_until_cancelled_owned(spoiler.accept(listener)));
        let served = tokio::spawn(Node::open(config).await?.serve(stop.clone()));
        Ok(Self { stop: stop.drop_guard(), served })
    }

    /// Leaves the network and lets go of the node's database.
    pub async fn stop(self) {
        drop(self.stop);
        // A node that broke has let go of it, too.
        let _ = self.served.await;
    }
}

/// Listens where the node is to believe the gateway.
async fn stand_before(network: &NetworkDescriptor) -> std::io::Result<(TcpListener, Url)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let mut url = gateway(network).clone();
    let is_set = url.set_port(Some(listener.local_addr()?.port()));
    is_set.map_err(|()| std::io::Error::other("the gateway's URL takes no port"))?;
    Ok((listener, url))
}

/// The gateway that a bad node goes to: the first one.
fn gateway(network: &NetworkDescriptor) -> &Url {
    &network.gateways()[0]
}

fn io(config: &NodeConfig, source: std::io::Error) -> NodeError {
    let path: &PathBuf = &config.network;
    ConfigError::Io { path: path.display().to_string(), source }.into()
}

/// Stands between a node and the gateway.
struct Spoiler {
    network: NetworkDescriptor,
    misbehaviour: Misbehaviour,
}

impl Spoiler {
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            // A broken socket ends the connection, and the node connects again.
            self.carry(stream).await;
        }
    }

    async fn carry(&self, stream: TcpStream) {
        let Ok(node) = tokio_tungstenite::accept_async(stream).await else { return };
        let url = socket_url(gateway(&self.network), "node");
        let Ok((gateway, _)) = tokio_tungstenite::connect_async(url.as_str()).await else { return };
        let ((to_node, from_node), (to_gateway, from_gateway)) = (node.split(), gateway.split());
        let (outgoing, queue) = mpsc::unbounded_channel();
        let free = FreeKeys::default();
        tokio::select! {
            () = self.send(queue, to_gateway) => {}
            () = self.outgoing(from_node, outgoing.clone(), &free) => {}
            () = self.incoming(from_gateway, to_node, outgoing, &free) => {}
        }
    }

    async fn outgoing(
        &self,
        mut from_node: SplitStream<WebSocketStream<TcpStream>>,
        outgoing: mpsc::UnboundedSender<Vec<u8>>,
        free: &FreeKeys,
    ) {
        while let Some(Ok(message)) = from_node.next().await {
            let Message::Binary(bytes) = message else { continue };
            if let Ok(FromNode::Free { keys }) = wire::decode(&bytes) {
                *free.lock() = keys;
            }
            if !self.is_withheld(&bytes) && outgoing.send(bytes.to_vec()).is_err() {
                return;
            }
        }
    }

    fn is_withheld(&self, frame: &[u8]) -> bool {
        match (self.misbehaviour, wire::decode(frame)) {
            (Misbehaviour::Withholds { from }, Ok(FromNode::Relay { to, .. })) => to == from,
            (Misbehaviour::GivesAnotherKey, Ok(FromNode::Peer { .. })) => true,
            _ => false,
        }
    }

    async fn incoming<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut from_gateway: SplitStream<WebSocketStream<S>>,
        mut to_node: SplitSink<WebSocketStream<TcpStream>, Message>,
        outgoing: mpsc::UnboundedSender<Vec<u8>>,
        free: &FreeKeys,
    ) {
        let mut is_greeted = false;
        while let Some(Ok(mut message)) = from_gateway.next().await {
            let Message::Binary(bytes) = &message else { continue };
            let frames = match wire::decode(bytes) {
                Ok(ToNode::Sign { task, participants, .. }) => self.instead_of_signing(task, &participants),
                Ok(ToNode::Assign { task, key_id, request })
                    if self.misbehaviour == Misbehaviour::GivesAnotherKey =>
                {
                    let key_id = free.other_than(key_id);
                    message = Message::Binary(wire::encode(&ToNode::Assign { task, key_id, request }).into());
                    None
                }
                Ok(ToNode::Peer { .. }) if self.misbehaviour == Misbehaviour::GivesAnotherKey => continue,
                _ if is_greeted && self.misbehaviour == Misbehaviour::Stalls => std::future::pending().await,
                _ => None,
            };
            is_greeted = true;
            match frames {
                Some(frames) => {
                    // The sender's other end lives as long as this.
                    frames.into_iter().for_each(|frame| drop(outgoing.send(frame)));
                }
                None => {
                    if to_node.send(message).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// The frames with which an operation is answered; none if the node behind is to sign it.
    fn instead_of_signing(&self, task: TaskId, participants: &[NodeIndex]) -> Option<Vec<Vec<u8>>> {
        match self.misbehaviour {
            Misbehaviour::GarbageSignature => {
                let signature = Signature::new(U256::from(7), U256::from(7), false);
                Some(vec![done(task, &Answer::Signature(SignatureText { signature }))])
            }
            Misbehaviour::Refuses => {
                Some(vec![done(task, &Answer::Refused(Refusal::Unfinished { reason: "no".into() }))])
            }
            Misbehaviour::Junk => Some(junk(task, participants)),
            Misbehaviour::Withholds { .. }
            | Misbehaviour::GivesAnotherKey
            | Misbehaviour::Stalls
            | Misbehaviour::Floods { .. } => None,
        }
    }

    async fn send<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut frames: mpsc::UnboundedReceiver<Vec<u8>>,
        mut to_gateway: SplitSink<WebSocketStream<S>, Message>,
    ) {
        let mut flood = match self.misbehaviour {
            Misbehaviour::Floods { to, messages } => vec![to; messages],
            _ => Vec::new(),
        };
        // The first frame says who it is.
        while let Some(frame) = frames.recv().await {
            if to_gateway.send(Message::Binary(frame.into())).await.is_err() {
                return;
            }
            if self.misbehaviour == Misbehaviour::Stalls {
                std::future::pending::<()>().await;
            }
            for to in flood.drain(..) {
                if to_gateway.send(Message::Binary(large_message(to).into())).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// The keys that the node behind can assign.
#[derive(Default)]
struct FreeKeys(Mutex<Vec<String>>);

impl FreeKeys {
    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another free key, if there is one.
    fn other_than(&self, key_id: String) -> String {
        self.lock().iter().find(|other| **other != key_id).cloned().unwrap_or(key_id)
    }
}

/// A message to a node, almost as large as one may be, that says nothing.
fn large_message(to: NodeIndex) -> Vec<u8> {
    let key_id = "f".repeat(wire::MAX_FRAME - 1024);
    wire::encode(&FromNode::Peer { to, message: PeerMessage::WhoseKey { key_id } })
}

fn done(task: TaskId, answer: &Answer) -> Vec<u8> {
    wire::encode(&FromNode::Done { task, answer: AnswerText::from(answer) })
}

/// The largest message of a round that is nobody's.
const JUNK: usize = 256 * 1024;

/// Frames that no honest node sends.
fn junk(task: TaskId, participants: &[NodeIndex]) -> Vec<Vec<u8>> {
    let every_node: Vec<_> = (1..=u8::MAX).filter_map(NodeIndex::new).collect();
    let relay = |task, to, payload: Vec<u8>| {
        wire::encode(&FromNode::Relay { task, to, payload: ByteBuf::from(payload) })
    };
    let mut frames = vec![
        Vec::new(),
        vec![u8::MAX; 64],
        // A map that says it has 2^64 - 1 entries.
        [&[wire::VERSION], [u8::MAX; 9].as_slice(), &[1]].concat(),
        wire::encode(&FromNode::Waiting { task, round: u8::MAX, peers: every_node.clone() }),
        wire::encode(&FromNode::Waiting { task: TaskId::MAX, round: 0, peers: every_node.clone() }),
        wire::encode(&FromNode::Free { keys: vec!["f".repeat(1024); 1024] }),
        done(TaskId::MAX, &Answer::Registered),
        done(task.wrapping_sub(1), &Answer::Registered),
        relay(TaskId::MAX, every_node[0], Vec::new()),
    ];
    frames.extend(every_node.iter().map(|to| relay(task, *to, vec![wire::VERSION, 1, u8::MAX])));
    for to in participants {
        // Rounds that there are and are not, each with bytes that do not unseal; and a hello that is cut off.
        frames.extend((0..=u8::MAX).map(|round| relay(task, *to, vec![wire::VERSION, 1, round, 1, 0])));
        frames.push(relay(task, *to, vec![wire::VERSION, 0, 0]));
        frames.push(relay(task, *to, vec![u8::MAX; JUNK]));
    }
    frames
}
