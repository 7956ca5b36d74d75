use std::collections::BTreeMap;
use std::time::Duration;

use alloy_primitives::{B256, hex};
use serde::{Deserialize, Serialize};

use crate::{NodeIndex, Operation, Refusal, Transcript};

/// A node's contribution to a challenge: 32 random bytes, good for one request, and for [`CHALLENGE_LIFETIME`] or, where that is for a
/// key, [`KEY_REQUEST_LIFETIME`].
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
    /// The longest setup, in bytes: an operation with call data of 96 KiB, twice in hex and a third more in base64.
    pub const MAX_SETUP: usize = 256 * 1024;
    /// The longest authentication, in bytes: a contract's signature with the data that deploys it takes a few thousand.
    pub const MAX_AUTHENTICATION: usize = 16 * 1024;
    /// The most bytes of a whole request between gateway and nodes: both frames, 255 nonces and what frames them.
    pub const MAX_LEN: usize = Self::MAX_SETUP + Self::MAX_AUTHENTICATION + 255 * (2 + 33) + 64;

    /// Whether its frames are no longer than any that is needed. The gateway checks each as it comes, and each node both
    /// for itself.
    ///
    /// # Errors
    /// [`Refusal::TooLong`].
    pub fn check_len(&self) -> Result<(), Refusal> {
        Self::check_setup_len(&self.setup)?;
        Self::check_authentication_len(&self.authentication)
    }

    /// Whether a setup is no longer than any that is needed.
    ///
    /// # Errors
    /// [`Refusal::TooLong`].
    pub fn check_setup_len(setup: &str) -> Result<(), Refusal> {
        check_len("setup", setup, Self::MAX_SETUP)
    }

    /// Whether an authentication is no longer than any that is needed.
    ///
    /// # Errors
    /// [`Refusal::TooLong`].
    pub fn check_authentication_len(authentication: &str) -> Result<(), Refusal> {
        check_len("authentication", authentication, Self::MAX_AUTHENTICATION)
    }

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

fn check_len(what: &str, frame: &str, limit: usize) -> Result<(), Refusal> {
    if frame.len() <= limit {
        return Ok(());
    }
    Err(Refusal::TooLong { what: what.into(), len: frame.len(), limit })
}

/// How long a challenge is good for: the nodes forget its nonces.
pub const CHALLENGE_LIFETIME: Duration = Duration::from_secs(60);

/// How long, from when it was given, a challenge is good for under which a request for a key was handed in by
/// [`CHALLENGE_LIFETIME`]: several keys may have to be made before its turn comes.
pub const KEY_REQUEST_LIFETIME: Duration = Duration::from_secs(300);

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
