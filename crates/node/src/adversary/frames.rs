//! What strangers' bytes are read as, for a fuzzer: it sees no frame, but that each stays what it is.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::gateway::round_of;
use crate::node::{Remark, RunMessage, Told};
use crate::wire::{self, FromNode, PeerMessage, ToNode};

/// Reads bytes as everything that the gateway, a node or a run's participant reads: a frame to a node, one from a node, what
/// nodes write to each other outside runs, a run's message, what signers tell each other, and what they remark with a hello.
/// In this order, gives the canonical encoding of what was read.
///
/// That need not be the same bytes: postcard reads numbers with needless leading zeros, and maps in any order.
pub fn read_frames(bytes: &[u8]) -> [Option<Vec<u8>>; 6] {
    // A gateway reads of a run's message where it begins.
    let _ = round_of(bytes);
    [
        encoded_again::<ToNode>(bytes),
        encoded_again::<FromNode>(bytes),
        encoded_again::<PeerMessage>(bytes),
        encoded_again::<RunMessage>(bytes),
        encoded_again::<Told>(bytes),
        encoded_again::<Remark>(bytes),
    ]
}

fn encoded_again<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Option<Vec<u8>> {
    wire::decode::<T>(bytes).ok().map(|frame| wire::encode(&frame))
}
