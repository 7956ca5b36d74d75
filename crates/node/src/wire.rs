//! The frames between the gateway and a node: binary WebSocket messages, encoded with postcard.
//!
//! The gateway routes them and can read the requests, the answers and the letters, which carry their own
//! signatures; what nodes send each other in a run is sealed ([`crate::envelope`]).

use alloy_primitives::B256;
use quorate_protocol::{Answer, NodeIndex, Nonce, SignedRequest};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::binding::Evidence;
use crate::birth::Letter;
use crate::journal;

/// The largest frame of all.
pub(crate) const MAX_FRAME: usize = {
    let largest = [SignedRequest::MAX_LEN, KEYGEN_MESSAGE, journal::MAX_PAGE, MAX_EVIDENCE];
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
/// The request by which a key was bound, and what 255 nodes attest to.
const MAX_EVIDENCE: usize = SignedRequest::MAX_LEN + 255 * 128;
/// Names, numbers and the seal around what a frame carries, and a refusal with all its texts.
const ENVELOPE: usize = 8 * 1024;

/// Names one exchange between the gateway and nodes. It only routes; nothing that is signed depends on it.
pub(crate) type ExchangeId = u64;

/// What the gateway sends to a node.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToNode {
    /// The first frame: 32 bytes for the node to sign with its identity.
    Greet { challenge: [u8; 32] },
    /// Asks for a nonce.
    Nonce { exchange: ExchangeId },
    /// Hands over a request, to be answered together with `participants`.
    Start { exchange: ExchangeId, attempt: u32, participants: Vec<NodeIndex>, request: SignedRequest },
    /// Hands over a request for a key, to be given the free one that is named.
    Bind { exchange: ExchangeId, key_id: String, request: SignedRequest },
    /// Asks to make one more free key, together with all other nodes; `making` names the ceremony.
    Make { exchange: ExchangeId, making: B256 },
    /// What another participant sent.
    Relay { exchange: ExchangeId, from: NodeIndex, payload: Vec<u8> },
    /// What another node wrote, outside any exchange.
    Mail { from: NodeIndex, mail: Mail },
    /// The exchange is over.
    Cancel { exchange: ExchangeId },
}

/// What a node sends to the gateway.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromNode {
    /// The answer to [`ToNode::Greet`]: an Ed25519 signature.
    Hello { node: NodeIndex, signature: Vec<u8> },
    /// A nonce.
    Nonce { exchange: ExchangeId, nonce: Nonce },
    /// Something for another participant.
    Relay { exchange: ExchangeId, to: NodeIndex, payload: Vec<u8> },
    /// Something for another node, outside any exchange.
    Mail { to: NodeIndex, mail: Mail },
    /// The free keys that this node can bind.
    Free { keys: Vec<String> },
    /// What came of a request.
    Done { exchange: ExchangeId, answer: AnswerText },
}

/// What nodes write to each other outside any exchange.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Mail {
    /// About a key that is being born.
    Birth(Letter),
    /// Asks whose a key is.
    Whose { key_id: String },
    /// Shows whose a key is.
    Bound { key_id: String, evidence: Box<Evidence> },
}

/// An answer in its JSON form, whose tagged refusals postcard cannot carry.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct AnswerText(String);

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

/// Encodes a frame.
pub(crate) fn encode(frame: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(frame).unwrap_or_default()
}

/// Decodes a frame; none for anything that is not exactly one.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    postcard::take_from_bytes(bytes).ok().filter(|(_, rest)| rest.is_empty()).map(|(frame, _)| frame)
}
