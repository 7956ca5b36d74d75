//! One participant's side of a run: hellos, then rounds of sealed messages to and from peers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use alloy_primitives::B256;
use quorate_protocol::NodeIndex;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use tokio::sync::mpsc;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::envelope::{Agenda, Channels, Hello, Opening};
use super::in_flight::Inbox;
use super::member::Member;
use crate::wire;

/// What a run has to say to the gateway.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// Something for a peer.
    Message { to: NodeIndex, payload: Vec<u8> },
    /// The messages of these peers are late.
    Waiting { round: u8, peers: Vec<NodeIndex> },
}

/// One participant's side of a run, with its channels open.
///
/// Whatever does not authenticate, comes twice or comes from a stranger is dropped here, before the threshold
/// library sees it, so that no fault of the relay can look like a fault of a peer.
pub(crate) struct Run<'a> {
    channels: Channels,
    hellos: BTreeMap<NodeIndex, Hello>,
    mailbox: Mailbox<'a>,
    /// Sealed messages that came before their round, by round and sender.
    early: BTreeMap<(u8, NodeIndex), Vec<ByteBuf>>,
    /// How many rounds there were with each peer.
    rounds: BTreeMap<NodeIndex, u8>,
}

/// How a run meets its peers: the way in and out, and how long they may take.
pub(crate) struct Meeting<'a> {
    pub(crate) inbox: Inbox,
    pub(crate) outbox: mpsc::Sender<Outgoing>,
    /// How long the messages of one round may take.
    pub(crate) round: Duration,
    /// When the whole run is over.
    pub(crate) until: Instant,
    /// How long rounds have taken so far.
    pub(crate) pace: &'a Pace,
}

/// The messages of one round, by their sender or receiver.
pub(crate) type Messages = BTreeMap<NodeIndex, Zeroizing<Vec<u8>>>;

/// How long rounds usually take.
#[derive(Debug, Default)]
pub(crate) struct Pace(Mutex<VecDeque<Duration>>);

/// Why a run ends without a result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("no message of round {round} from node {peer} in time")]
    Silent { round: u8, peer: NodeIndex },
    #[error("the gateway ended the run")]
    Cancelled,
    #[error("the key of node {0} for this run is degenerate")]
    Degenerate(NodeIndex),
    #[error("there were more rounds with node {0} than a run has")]
    TooLong(NodeIndex),
    #[error("the system gave no random bytes")]
    Random(#[from] getrandom::Error),
}

#[derive(Serialize, Deserialize)]
pub(crate) enum RunMessage {
    Hello(Hello),
    Sealed { round: u8, bytes: ByteBuf },
}

impl wire::Frame for RunMessage {}

struct Mailbox<'a> {
    inbox: Inbox,
    outbox: mpsc::Sender<Outgoing>,
    round: Duration,
    until: Instant,
    pace: &'a Pace,
}

/// Until when a round's messages may come, and when their lack is reported.
struct Patience {
    began: Instant,
    until: Instant,
    report: Option<Instant>,
}

/// How far a peer may run ahead, and how many messages of one round are kept until one of them opens: the gateway can
/// make some up.
const ROUNDS_AHEAD: u8 = 2;
const MOST_CANDIDATES: usize = 4;

/// After how many times the usual duration of a round its lack of messages is reported.
const LATE: u32 = 3;

/// How many rounds are remembered to know what is usual, and the least that counts as usual.
const REMEMBERED: usize = 100;
const LEAST_PACE: Duration = Duration::from_millis(20);

impl<'a> Run<'a> {
    /// Exchanges hellos and derives the session id and the channels. `remarks` go with this node's hello.
    pub(crate) async fn open(
        member: &Member,
        agenda: Agenda,
        remarks: BTreeMap<NodeIndex, Vec<u8>>,
        meeting: Meeting<'a>,
    ) -> Result<Self, RunError> {
        let Meeting { inbox, outbox, round, until, pace } = meeting;
        let mut mailbox = Mailbox { inbox, outbox, round, until, pace };
        let opening = Opening::new(agenda, member.index, &member.identity, remarks)?;
        let peers: Vec<_> =
            opening.agenda().participants.iter().copied().filter(|peer| *peer != member.index).collect();
        for peer in &peers {
            mailbox.send(*peer, &RunMessage::Hello(opening.hello().clone())).await?;
        }

        let (mut hellos, mut early) = (BTreeMap::new(), BTreeMap::new());
        let mut patience = mailbox.patience();
        while peers.iter().any(|peer| !hellos.contains_key(peer)) {
            let missing = || peers.iter().copied().filter(|peer| !hellos.contains_key(peer));
            match mailbox.receive(0, missing, &mut patience).await? {
                (peer, _) if !peers.contains(&peer) => {}
                (peer, RunMessage::Hello(hello)) => {
                    if opening.agenda().admits(&member.network, peer, &hello) {
                        hellos.entry(peer).or_insert(hello);
                    }
                }
                (peer, RunMessage::Sealed { round, bytes }) => keep_early(&mut early, 0, round, peer, bytes),
            }
        }
        let channels = opening.open(&hellos).map_err(RunError::Degenerate)?;
        let rounds = peers.into_iter().map(|peer| (peer, 0)).collect();
        Ok(Self { channels, hellos, mailbox, early, rounds })
    }

    /// The id that every participant contributed to.
    pub(crate) const fn session(&self) -> B256 {
        self.channels.session()
    }

    /// The other participants.
    pub(crate) fn peers(&self) -> impl Iterator<Item = NodeIndex> {
        self.rounds.keys().copied()
    }

    /// What a peer said to this node with its hello.
    pub(crate) fn remark_of(&self, peer: NodeIndex, me: NodeIndex) -> &[u8] {
        self.hellos.get(&peer).map(|hello| hello.remark_to(me)).unwrap_or_default()
    }

    /// A round with the peers for whom there is a message: sends them, and waits for one of each of those peers.
    pub(crate) async fn round_trip(&mut self, outgoing: Messages) -> Result<Messages, RunError> {
        let peers: Vec<_> = outgoing.keys().copied().collect();
        for (peer, message) in outgoing {
            let round = self.rounds.get_mut(&peer).ok_or(RunError::Cancelled)?;
            *round = round.checked_add(1).ok_or(RunError::TooLong(peer))?;
            let bytes = self.channels.seal(peer, *round, &message);
            self.mailbox.send(peer, &RunMessage::Sealed { round: *round, bytes: bytes.into() }).await?;
        }

        let mut incoming = Messages::new();
        for &peer in &peers {
            let candidates = self.early.remove(&(self.round_with(peer), peer)).unwrap_or_default();
            for bytes in candidates {
                self.take(&mut incoming, peer, &bytes);
            }
        }
        let mut patience = self.mailbox.patience();
        while peers.iter().any(|peer| !incoming.contains_key(peer)) {
            let missing = || peers.iter().copied().filter(|peer| !incoming.contains_key(peer));
            let shown = missing().map(|peer| self.round_with(peer)).max().unwrap_or_default();
            let (peer, message) = self.mailbox.receive(shown, missing, &mut patience).await?;
            let Some(&current) = self.rounds.get(&peer) else { continue };
            let RunMessage::Sealed { round, bytes } = message else { continue };
            if round == current && peers.contains(&peer) {
                self.take(&mut incoming, peer, &bytes);
            } else {
                keep_early(&mut self.early, current, round, peer, bytes);
            }
        }
        self.mailbox.pace.note(patience.began.elapsed());
        Ok(incoming)
    }

    /// Sends the same bytes to every peer in one round, and waits for theirs.
    pub(crate) async fn broadcast(&mut self, message: &[u8]) -> Result<Messages, RunError> {
        let outgoing = self.peers().map(|peer| (peer, Zeroizing::new(message.to_vec()))).collect();
        self.round_trip(outgoing).await
    }

    fn round_with(&self, peer: NodeIndex) -> u8 {
        self.rounds.get(&peer).copied().unwrap_or_default()
    }

    fn take(&self, incoming: &mut Messages, peer: NodeIndex, sealed: &[u8]) {
        if let Some(message) = self.channels.unseal(peer, self.round_with(peer), sealed) {
            incoming.entry(peer).or_insert(message);
        }
    }
}

/// Keeps a message of a later round, as far as peers may run ahead.
fn keep_early(
    early: &mut BTreeMap<(u8, NodeIndex), Vec<ByteBuf>>,
    current: u8,
    round: u8,
    peer: NodeIndex,
    bytes: ByteBuf,
) {
    if round > current && round - current <= ROUNDS_AHEAD {
        let candidates = early.entry((round, peer)).or_default();
        if candidates.len() < MOST_CANDIDATES {
            candidates.push(bytes);
        }
    }
}

impl Mailbox<'_> {
    async fn send(&self, to: NodeIndex, message: &RunMessage) -> Result<(), RunError> {
        let payload = wire::encode(message);
        self.outbox.send(Outgoing::Message { to, payload }).await.map_err(|_| RunError::Cancelled)
    }

    fn patience(&self) -> Patience {
        let began = Instant::now();
        let report = Some(began + self.pace.usual() * LATE);
        Patience { began, until: self.until.min(began + self.round), report }
    }

    /// The next message that can be read, of anybody; `missing` names the peers that owe one.
    async fn receive<I: Iterator<Item = NodeIndex>>(
        &mut self,
        round: u8,
        missing: impl Fn() -> I,
        patience: &mut Patience,
    ) -> Result<(NodeIndex, RunMessage), RunError> {
        loop {
            let until = patience.report.map_or(patience.until, |report| report.min(patience.until));
            match tokio::time::timeout_at(until, self.inbox.recv()).await {
                Ok(Some((peer, payload))) => {
                    if let Ok(message) = wire::decode(&payload) {
                        return Ok((peer, message));
                    }
                }
                Ok(None) => return Err(RunError::Cancelled),
                Err(_) if Instant::now() >= patience.until => {
                    let peer = missing().next().ok_or(RunError::Cancelled)?;
                    return Err(RunError::Silent { round, peer });
                }
                Err(_) => {
                    patience.report = None;
                    // A full queue has worse to report.
                    let _ = self.outbox.try_send(Outgoing::Waiting { round, peers: missing().collect() });
                }
            }
        }
    }
}

impl Pace {
    fn note(&self, duration: Duration) {
        let mut durations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if durations.len() == REMEMBERED {
            durations.pop_front();
        }
        durations.push_back(duration);
    }

    /// The median of the last rounds.
    fn usual(&self) -> Duration {
        let mut durations: Vec<_> =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        durations.sort_unstable();
        durations.get(durations.len() / 2).copied().unwrap_or_default().max(LEAST_PACE)
    }
}
