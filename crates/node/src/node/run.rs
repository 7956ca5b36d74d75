use std::collections::BTreeMap;
use std::time::Duration;

use alloy_primitives::B256;
use ed25519_dalek::SigningKey;
use quorate_protocol::{NetworkDescriptor, NodeIndex};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use crate::node::envelope::{Agenda, Channels, Hello, Opening};
use crate::wire;

/// What the relay hands a run: the sender as the gateway claims it, and the bytes.
pub(crate) type Inbox = mpsc::Receiver<(NodeIndex, Vec<u8>)>;

/// Where a run's messages leave: the receiver, and the bytes.
pub(crate) type Outbox = mpsc::Sender<(NodeIndex, Vec<u8>)>;

/// One participant's side of a run, with its channels open: rounds of messages, each to and from every peer.
///
/// Whatever does not authenticate, comes twice or comes from a stranger is dropped here, before the threshold
/// library sees it, so that no fault of the relay can look like a fault of a peer.
pub(crate) struct Run {
    channels: Channels,
    mailbox: Mailbox,
    /// Messages of a later round from peers that are ahead.
    early: BTreeMap<(u8, NodeIndex), Vec<u8>>,
    round: u8,
}

/// The messages of one round, by their sender or receiver.
pub(crate) type Messages = BTreeMap<NodeIndex, Zeroizing<Vec<u8>>>;

/// Why a run ends without a result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("no message of round {round} from node {peer} within {} s", deadline.as_secs())]
    Silent { round: u8, peer: NodeIndex, deadline: Duration },
    #[error("the gateway ended the run")]
    Cancelled,
    #[error("node {0}'s key for this run is degenerate")]
    Degenerate(NodeIndex),
    #[error("the system gave no random bytes")]
    Random(#[from] getrandom::Error),
}

#[derive(Serialize, Deserialize)]
enum RunMessage {
    Hello(Hello),
    Sealed { round: u8, bytes: Vec<u8> },
}

struct Mailbox {
    inbox: Inbox,
    outbox: Outbox,
    deadline: Duration,
}

/// How far a peer may run ahead, which bounds what is kept for later.
const ROUNDS_AHEAD: u8 = 2;

impl Run {
    /// Exchanges hellos and derives the session id and the channels.
    pub(crate) async fn open(
        network: &NetworkDescriptor,
        agenda: Agenda,
        me: NodeIndex,
        identity: &SigningKey,
        inbox: Inbox,
        outbox: Outbox,
        deadline: Duration,
    ) -> Result<Self, RunError> {
        let mut mailbox = Mailbox { inbox, outbox, deadline };
        let opening = Opening::new(agenda, me, identity)?;
        let peers = || opening.agenda().participants.iter().copied().filter(|peer| *peer != me);
        for peer in peers() {
            mailbox.send(peer, &RunMessage::Hello(opening.hello().clone())).await?;
        }

        let mut hellos = BTreeMap::new();
        let mut early = BTreeMap::new();
        while let Some(waiting_for) = peers().find(|peer| !hellos.contains_key(peer)) {
            match mailbox.receive(0, waiting_for).await? {
                (peer, RunMessage::Hello(hello))
                    if peer != me
                        && opening.agenda().participants.contains(&peer)
                        && opening.agenda().admits(network, peer, &hello) =>
                {
                    hellos.entry(peer).or_insert(hello);
                }
                (peer, RunMessage::Sealed { round, bytes }) if (1..=ROUNDS_AHEAD).contains(&round) => {
                    early.entry((round, peer)).or_insert(bytes);
                }
                _ => {}
            }
        }
        let suspect = peers().next().unwrap_or(me);
        let channels = opening.open(&hellos).ok_or(RunError::Degenerate(suspect))?;
        Ok(Self { channels, mailbox, early, round: 0 })
    }

    /// The id that every participant contributed to.
    pub(crate) const fn session(&self) -> B256 {
        self.channels.session()
    }

    /// The other participants.
    pub(crate) fn peers(&self) -> Vec<NodeIndex> {
        self.channels.peers().collect()
    }

    /// Sends one round's messages and waits for one of every peer.
    pub(crate) async fn exchange(&mut self, outgoing: Messages) -> Result<Messages, RunError> {
        self.round += 1;
        let round = self.round;
        for (peer, message) in outgoing {
            if let Some(bytes) = self.channels.seal(peer, round, &message) {
                self.mailbox.send(peer, &RunMessage::Sealed { round, bytes }).await?;
            }
        }

        let mut incoming = Messages::new();
        let peers = self.peers();
        for &peer in &peers {
            if let Some(bytes) = self.early.remove(&(round, peer)) {
                self.take(&mut incoming, peer, &bytes);
            }
        }
        while let Some(waiting_for) = peers.iter().copied().find(|peer| !incoming.contains_key(peer)) {
            match self.mailbox.receive(round, waiting_for).await? {
                (peer, RunMessage::Sealed { round: sent, bytes }) if sent == round => {
                    self.take(&mut incoming, peer, &bytes);
                }
                (peer, RunMessage::Sealed { round: sent, bytes })
                    if sent > round && sent - round <= ROUNDS_AHEAD && peers.contains(&peer) =>
                {
                    self.early.entry((sent, peer)).or_insert(bytes);
                }
                _ => {}
            }
        }
        Ok(incoming)
    }

    /// Sends the same bytes to every peer in one round, and waits for theirs.
    pub(crate) async fn broadcast(&mut self, message: &[u8]) -> Result<Messages, RunError> {
        let outgoing = self.channels.peers().map(|peer| (peer, Zeroizing::new(message.to_vec()))).collect();
        self.exchange(outgoing).await
    }

    fn take(&self, incoming: &mut Messages, peer: NodeIndex, sealed: &[u8]) {
        if let Some(message) = self.channels.unseal(peer, self.round, sealed) {
            incoming.entry(peer).or_insert(message);
        }
    }
}

impl Mailbox {
    async fn send(&self, peer: NodeIndex, message: &RunMessage) -> Result<(), RunError> {
        self.outbox.send((peer, wire::encode(message))).await.map_err(|_| RunError::Cancelled)
    }

    /// The next message that can be read, of anybody; `waiting_for` names a peer who owes one.
    async fn receive(
        &mut self,
        round: u8,
        waiting_for: NodeIndex,
    ) -> Result<(NodeIndex, RunMessage), RunError> {
        let next = async {
            loop {
                let (peer, payload) = self.inbox.recv().await.ok_or(RunError::Cancelled)?;
                if let Ok(message) = wire::decode(&payload) {
                    return Ok((peer, message));
                }
            }
        };
        let deadline = self.deadline;
        let silent = |_| RunError::Silent { round, peer: waiting_for, deadline };
        tokio::time::timeout(deadline, next).await.map_err(silent)?
    }
}
