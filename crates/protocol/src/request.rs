use std::collections::BTreeMap;

use alloy_primitives::{B256, hex};
use serde::{Deserialize, Serialize};

use crate::{NodeIndex, Operation, Transcript};

/// A node's contribution to a challenge: 32 random bytes, good for one request and 60 seconds.
pub type Nonce = B256;

/// A request with all that shows who made it, as the gateway hands it to each node.
///
/// Nothing in it is the gateway's to choose: the challenge is recomputed from the nonces, the signature covers
/// the challenge and the setup, and each node finds its own nonce in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedRequest {
    /// Which operation.
    pub operation: Operation,
    /// The client's first frame, to the byte.
    pub setup: String,
    /// The nonce of every node that answered.
    pub nonces: BTreeMap<NodeIndex, Nonce>,
    /// The client's second frame, to the byte.
    pub authentication: String,
}

impl SignedRequest {
    /// The challenge that the client signed.
    pub fn challenge(&self) -> String {
        challenge(&self.setup, &self.nonces)
    }

    /// What identifies the request: nonces are bound to it, and session ids are made of it.
    pub fn hash(&self) -> B256 {
        Transcript::new("request")
            .field(self.operation.path().as_bytes())
            .field(self.setup.as_bytes())
            .field(self.challenge().as_bytes())
            .field(self.authentication.as_bytes())
            .finish()
    }
}

/// The challenge for a setup as it was sent: 32 bytes in lower-case hex, no 0x.
///
/// It depends on every node's nonce, so it is fresh for as long as one contributing node is honest.
pub fn challenge(setup: &str, nonces: &BTreeMap<NodeIndex, Nonce>) -> String {
    let transcript = Transcript::new("challenge").field(setup.as_bytes()).number(nonces.len() as u64);
    let hash = nonces
        .iter()
        .fold(transcript, |hash, (node, nonce)| hash.number(node.get().into()).field(nonce.as_slice()));
    hex::encode(hash.finish())
}
