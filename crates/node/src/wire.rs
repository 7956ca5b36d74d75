//! The frames between the gateway and a node: binary WebSocket messages, a version byte and then postcard.
//!
//! The byte is the version in which that frame came to be. A program reads the frames of its own version and of all before
//! it from [`OLDEST`] on, and sends to another what the other's version has: so programs of two versions work together.
//!
//! The gateway routes them and can read the requests, the answers and what nodes write to each other outside a run,
//! which carry their own signatures; what they send each other in a run is sealed.

mod recall;

use std::collections::BTreeMap;
use std::fmt;

use alloy_primitives::{Address, B256};
use quorate_protocol::{Answer, Attestation, Ban, NodeIndex, Nonce, SignedRequest, Voucher};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_bytes::ByteBuf;

pub(crate) use self::recall::{KeyMemory, Recall, RecallPart, Recalled};

/// The newest version of the frames that this program speaks.
pub(crate) const VERSION: u8 = 3;

/// The oldest version that it speaks.
pub(crate) const OLDEST: u8 = 1;

/// What begins with a version byte: a frame, or a message in a run.
pub(crate) trait Frame: Serialize {
    /// The version in which it came to be.
    fn since(&self) -> u8 {
        OLDEST
    }
}

/// The largest frame of all.
pub(crate) const MAX_FRAME: usize = {
    let largest = [SignedRequest::MAX_LEN, KEYGEN_MESSAGE, MAX_PAGE, MAX_EVIDENCE];
    let (mut frame, mut at) = (0, 0);
    while at < largest.len() {
        if largest[at] > frame {
            frame = largest[at];
        }
        at += 1;
    }
    frame + ENVELOPE
};

/// What a node sends another in a round of keygen: the threshold library's message is about 592 kB.
const KEYGEN_MESSAGE: usize = 1024 * 1024;
/// A page of a key's journal.
const MAX_PAGE: usize = quorate_ledger::MAX_ENCODED_PAGE;
/// The request by which a key was assigned, and what 255 nodes attest to.
const MAX_EVIDENCE: usize = SignedRequest::MAX_LEN + 255 * 128;
/// The bytes of statements that go into one message.
const STATEMENT_BYTES: usize = 256 * 1024;
/// A voucher, with what frames it.
const VOUCHER: usize = 72;
/// Names, numbers and the seal around what a frame carries, and a refusal with all its texts.
const ENVELOPE: usize = 8 * 1024;

/// Names one task that the gateway gives to nodes. It only routes; nothing that is signed depends on it.
pub(crate) type TaskId = u64;

/// Nodes' Ed25519 signatures over one key's confirmation.
pub(crate) type Confirmations = BTreeMap<NodeIndex, Vec<u8>>;

/// What nodes attest to of whose a key is.
pub(crate) type Attestations = BTreeMap<NodeIndex, Attestation>;

/// Nodes' words that a contract has confirmed a statement.
pub(crate) type Vouchers = BTreeMap<NodeIndex, Voucher>;

/// What the gateway sends to a node.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToNode {
    /// The first frame: 32 bytes for the node to sign with its identity.
    Greet { challenge: [u8; 32] },
    /// Asks for a nonce.
    Nonce { task: TaskId },
    /// Hands over an operation, to be signed together with `participants`.
    Sign { task: TaskId, attempt: u32, participants: Vec<NodeIndex>, request: SignedRequest },
    /// Hands over a request for a key, to be given the free one that is named.
    Assign { task: TaskId, key_id: String, request: SignedRequest },
    /// Asks which key the request with this hash was given.
    WhichKey { task: TaskId, request: B256 },
    /// Asks whose signatures a key's are.
    KeyRecord { task: TaskId, key_id: String },
    /// Hands over an owner's statement about a key.
    Register { task: TaskId, request: SignedRequest },
    /// Asks what an owner has said of a key, by the client's own words.
    List { task: TaskId, setup: String },
    /// Asks to make one more free key, together with all other nodes; `making` names the ceremony.
    Make { task: TaskId, making: B256 },
    /// What another participant sent.
    Relay { task: TaskId, from: NodeIndex, payload: ByteBuf },
    /// What another node wrote, outside any task.
    Peer { from: NodeIndex, message: PeerMessage },
    /// The task is over.
    Cancel { task: TaskId },
    /// The first frame, to a node that speaks the second version or a newer one: the version that both speak, and 32 bytes for the node to
    /// sign with its identity.
    Welcome { version: u8, challenge: [u8; 32] },
    /// [`Welcome`](Self::Welcome) of a gateway that ends TLS itself: the signature covers the connection's channel binding, too.
    WelcomeBound { version: u8, challenge: [u8; 32] },
    /// Shows a request for a key, so that its challenge lasts until it is given one.
    Hold { request: SignedRequest },
}

/// What a node sends to the gateway.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromNode {
    /// The answer to [`ToNode::Greet`], [`ToNode::Welcome`] or [`ToNode::WelcomeBound`]: an Ed25519 signature.
    Hello { node: NodeIndex, signature: Vec<u8> },
    /// A nonce.
    Nonce { task: TaskId, nonce: Nonce },
    /// The answer to [`ToNode::WhichKey`]; none if the request has no key here.
    WhichKey { task: TaskId, key_id: Option<String> },
    /// The answer to [`ToNode::KeyRecord`]; none if the key is nobody's here.
    KeyRecord { task: TaskId, record: Option<KeyRecord> },
    /// Something for another participant.
    Relay { task: TaskId, to: NodeIndex, payload: ByteBuf },
    /// The node has waited unusually long for messages of a round.
    Waiting { task: TaskId, round: u8, peers: Vec<NodeIndex> },
    /// Something for another node, outside any task.
    Peer { to: NodeIndex, message: PeerMessage },
    /// The free keys that can be assigned here.
    Free { keys: Vec<String> },
    /// What came of a task.
    Done { task: TaskId, answer: AnswerText },
    /// The node takes no new tasks, and goes when those under way are done.
    Leaving,
}

/// What nodes write to each other outside any run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PeerMessage {
    /// About a key that is being made.
    Confirmations(KeyConfirmations),
    /// Asks whose a key is.
    WhoseKey { key_id: String },
    /// Shows whose a key is.
    Assignment { key_id: String, evidence: Box<Evidence> },
    /// Asks for the statements about a key; `known` is the digest of the sender's own.
    WhichStatements { key_id: String, known: B256 },
    /// Owners' statements about keys.
    Statements { statements: Vec<ShownStatement> },
    /// Asks for the statements that the receiver came to know after a place, in its own order.
    StatementsAfter { journal: B256, place: u64 },
    /// Statements in the sender's order, each with its place.
    StatementPage { journal: B256, statements: Vec<(u64, ShownStatement)> },
    /// A ban, to be kept for its maker.
    Ban(Ban),
    /// A ban of the receiver's is kept.
    BanKept { key_id: String, accused: NodeIndex },
    /// A restored node's question about what it has forgotten.
    Recall(Recall),
    /// The answer.
    Recalled(Box<Recalled>),
}

/// By what a signature is known to be a key's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct KeyRecord {
    /// Compressed SEC1.
    pub(crate) public_key: ByteBuf,
    /// By which the batched session router checks; none for a key without permissions, which signs nothing.
    pub(crate) session_key_manager: Option<Address>,
}

/// All confirmations of a key that the sender knows. It is answered with those that the sender lacks, if there are any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyConfirmations {
    pub(crate) key_id: String,
    pub(crate) confirmations: Confirmations,
}

/// What one node shows another of a key's owner: the owner's request, and the attestations that it knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Evidence {
    pub(crate) request: SignedRequest,
    pub(crate) attestations: Attestations,
}

/// A statement as one node shows it to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ShownStatement {
    pub(crate) request: SignedRequest,
    /// Those that the sender knows; none where the request shows by itself that its owner signed it.
    pub(crate) vouchers: Vouchers,
}

/// An answer in its JSON form, whose tagged refusals postcard cannot carry.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct AnswerText(String);

/// Bytes that are no frame of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("the frame is empty")]
    Empty,
    #[error("the frame has version {found}; here versions {OLDEST} to {newest} are spoken")]
    Version { found: u8, newest: u8 },
    #[error("the frame does not spell one of this version")]
    Malformed,
}

/// What a node's frame is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "as the frames themselves")]
pub enum FrameKind {
    Hello,
    Nonce,
    WhichKey,
    KeyRecord,
    Relay,
    Waiting,
    Free,
    Done,
    Leaving,
    Confirmations,
    WhoseKey,
    Assignment,
    WhichStatements,
    Statements,
    StatementsAfter,
    StatementPage,
    Ban,
    BanKept,
    Recall,
    Recalled,
}

impl FrameKind {
    /// All kinds.
    pub const ALL: [Self; 20] = [
        Self::Hello,
        Self::Nonce,
        Self::WhichKey,
        Self::KeyRecord,
        Self::Relay,
        Self::Waiting,
        Self::Free,
        Self::Done,
        Self::Leaving,
        Self::Confirmations,
        Self::WhoseKey,
        Self::Assignment,
        Self::WhichStatements,
        Self::Statements,
        Self::StatementsAfter,
        Self::StatementPage,
        Self::Ban,
        Self::BanKept,
        Self::Recall,
        Self::Recalled,
    ];
}

impl Frame for ToNode {
    fn since(&self) -> u8 {
        match self {
            Self::Welcome { .. } | Self::WelcomeBound { .. } => 2,
            Self::Hold { .. } => 3,
            Self::Peer { message, .. } => message.since(),
            _ => OLDEST,
        }
    }
}

impl Frame for FromNode {
    fn since(&self) -> u8 {
        match self {
            Self::Leaving => 2,
            Self::Peer { message, .. } => message.since(),
            _ => OLDEST,
        }
    }
}

impl Frame for PeerMessage {
    fn since(&self) -> u8 {
        match self {
            Self::Ban(_) | Self::BanKept { .. } | Self::Recall(_) | Self::Recalled(_) => 2,
            _ => OLDEST,
        }
    }
}

impl From<&FromNode> for FrameKind {
    fn from(frame: &FromNode) -> Self {
        match frame {
            FromNode::Hello { .. } => Self::Hello,
            FromNode::Nonce { .. } => Self::Nonce,
            FromNode::WhichKey { .. } => Self::WhichKey,
            FromNode::KeyRecord { .. } => Self::KeyRecord,
            FromNode::Relay { .. } => Self::Relay,
            FromNode::Waiting { .. } => Self::Waiting,
            FromNode::Free { .. } => Self::Free,
            FromNode::Done { .. } => Self::Done,
            FromNode::Leaving => Self::Leaving,
            FromNode::Peer { message, .. } => match message {
                PeerMessage::Confirmations(_) => Self::Confirmations,
                PeerMessage::WhoseKey { .. } => Self::WhoseKey,
                PeerMessage::Assignment { .. } => Self::Assignment,
                PeerMessage::WhichStatements { .. } => Self::WhichStatements,
                PeerMessage::Statements { .. } => Self::Statements,
                PeerMessage::StatementsAfter { .. } => Self::StatementsAfter,
                PeerMessage::StatementPage { .. } => Self::StatementPage,
                PeerMessage::Ban(_) => Self::Ban,
                PeerMessage::BanKept { .. } => Self::BanKept,
                PeerMessage::Recall(_) => Self::Recall,
                PeerMessage::Recalled(_) => Self::Recalled,
            },
        }
    }
}

impl fmt::Display for FrameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hello => "hello",
            Self::Nonce => "a nonce",
            Self::WhichKey => "which key",
            Self::KeyRecord => "a key's record",
            Self::Relay => "a run's message",
            Self::Waiting => "waiting",
            Self::Free => "the free keys",
            Self::Done => "an answer",
            Self::Leaving => "leaving",
            Self::Confirmations => "confirmations",
            Self::WhoseKey => "whose key",
            Self::Assignment => "an assignment",
            Self::WhichStatements => "which statements",
            Self::Statements => "statements",
            Self::StatementsAfter => "statements after",
            Self::StatementPage => "a page of statements",
            Self::Ban => "a ban",
            Self::BanKept => "a kept ban",
            Self::Recall => "what a restored node asks",
            Self::Recalled => "what a restored node is told",
        })
    }
}

impl From<&Answer> for AnswerText {
    fn from(answer: &Answer) -> Self {
        Self(answer.to_json())
    }
}

impl AnswerText {
    pub(crate) fn read(&self) -> Option<Answer> {
        Answer::from_json(&self.0).ok()
    }
}

/// How many of these statements, from the first on, go into one message: as many as fit, and one at least.
pub(crate) fn fitting<'a>(statements: impl IntoIterator<Item = &'a ShownStatement>) -> usize {
    let mut bytes = 0;
    let fits = |(place, ShownStatement { request, vouchers }): &(usize, &ShownStatement)| {
        bytes += request.setup.len() + request.authentication.len() + vouchers.len() * VOUCHER;
        *place == 0 || bytes <= STATEMENT_BYTES
    };
    statements.into_iter().enumerate().take_while(fits).count()
}

/// Encodes a frame, or a message in a run.
///
/// # Panics
/// Never: postcard fails only on maps and sequences of unknown length, and on a full buffer; no frame has the one, and a
/// vector grows.
pub(crate) fn encode(frame: &impl Frame) -> Vec<u8> {
    match postcard::to_extend(frame, vec![frame.since()]) {
        Ok(bytes) => bytes,
        Err(error) => unreachable!("a frame cannot be encoded: {error}"),
    }
}

/// Decodes a frame, or a message in a run: the bytes are exactly one.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FrameError> {
    decode_up_to(VERSION, bytes)
}

/// Decodes a frame where no newer version than `newest` is spoken.
pub(crate) fn decode_up_to<T: DeserializeOwned>(newest: u8, bytes: &[u8]) -> Result<T, FrameError> {
    let (&found, body) = bytes.split_first().ok_or(FrameError::Empty)?;
    if !(OLDEST..=newest).contains(&found) {
        return Err(FrameError::Version { found, newest });
    }
    match postcard::take_from_bytes(body) {
        Ok((frame, [])) => Ok(frame),
        _ => Err(FrameError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_begins_with_its_version_and_ends_with_its_last_byte() {
        let frame = encode(&ToNode::Cancel { task: 7 });
        assert_eq!(frame[0], OLDEST);
        assert!(matches!(decode(&frame), Ok(ToNode::Cancel { task: 7 })));
        let found = VERSION + 1;
        let other = [&[found], &frame[1..]].concat();
        assert_eq!(decode::<ToNode>(&other).unwrap_err(), FrameError::Version { found, newest: VERSION });
        let longer = [frame.as_slice(), &[0]].concat();
        assert_eq!(decode::<ToNode>(&longer).unwrap_err(), FrameError::Malformed);
        assert_eq!(decode::<ToNode>(&[]).unwrap_err(), FrameError::Empty);
    }

    #[test]
    fn a_frame_of_the_second_version_is_no_frame_of_the_first() {
        let frame = encode(&FromNode::Leaving);
        assert!(matches!(decode_up_to(2, &frame), Ok(FromNode::Leaving)));
        let refused = decode_up_to::<FromNode>(1, &frame).unwrap_err();
        assert_eq!(refused, FrameError::Version { found: 2, newest: 1 });
    }
}
