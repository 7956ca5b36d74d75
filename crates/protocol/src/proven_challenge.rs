//! A challenge that can be taken up at any gateway.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::client::{ClientError, check_challenge};
use crate::json::{self, JsonError};
use crate::{NodeIndex, Nonce, challenge};

/// A [`challenge`] with the nonces that it was made of, which prove it to a gateway that did not gather them.
///
/// A gateway answers with it to a client that asks for nonces, and a client that takes its request up again at any gateway
/// sends it ahead of the setup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProvenChallenge {
    /// 32 bytes in lower-case hex.
    pub challenge: String,
    /// What each node gave for it.
    pub nonces: BTreeMap<NodeIndex, Nonce>,
}

impl ProvenChallenge {
    /// The longest one, in bytes of JSON: that of 255 nodes.
    pub const MAX_LEN: usize = 255 * (2 * 32 + 12) + 128;

    /// The challenge for a setup.
    pub fn new(setup: &str, nonces: BTreeMap<NodeIndex, Nonce>) -> Self {
        Self { challenge: challenge(setup, &nonces), nonces }
    }

    /// Whether the nonces make this challenge for this setup.
    pub fn is_of(&self, setup: &str) -> bool {
        self.challenge == challenge(setup, &self.nonces)
    }

    /// The challenge as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads one.
    ///
    /// # Errors
    /// Text that is none.
    pub fn from_json(text: &str) -> Result<Self, JsonError> {
        json::read(text)
    }

    /// Takes the network's answer to a setup; without nonces where the gateway gives none.
    pub(crate) fn read(setup: &str, frame: &str) -> Result<Self, ClientError> {
        let Ok(proven) = Self::from_json(frame) else {
            check_challenge(frame)?;
            return Ok(Self { challenge: frame.to_owned(), nonces: BTreeMap::new() });
        };
        if proven.is_of(setup) { Ok(proven) } else { Err(ClientError::Challenge) }
    }

    /// What a client sends ahead of its setup to take a draft up; none for a draft whose gateway gave no nonces.
    pub(crate) fn resume(challenge: &str, nonces: &BTreeMap<NodeIndex, Nonce>) -> Option<String> {
        let proven = Self { challenge: challenge.to_owned(), nonces: nonces.clone() };
        (!nonces.is_empty()).then(|| proven.to_json())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonces(nodes: u8) -> BTreeMap<NodeIndex, Nonce> {
        (1..=nodes).filter_map(NodeIndex::new).map(|node| (node, Nonce::repeat_byte(node.get()))).collect()
    }

    #[test]
    fn nonces_prove_the_challenge_of_their_own_setup_alone() {
        let proven = ProvenChallenge::new("setup", nonces(5));
        assert_eq!(ProvenChallenge::from_json(&proven.to_json()).unwrap(), proven);
        assert_eq!(ProvenChallenge::read("setup", &proven.to_json()).unwrap(), proven);
        let other = ProvenChallenge { nonces: nonces(4), ..proven.clone() };
        assert!(proven.is_of("setup") && !proven.is_of("another") && !other.is_of("setup"));
        assert!(matches!(ProvenChallenge::read("another", &proven.to_json()), Err(ClientError::Challenge)));
        assert!(ProvenChallenge::new("setup", nonces(255)).to_json().len() <= ProvenChallenge::MAX_LEN);
    }

    #[test]
    fn a_gateway_that_gives_no_nonces_gives_a_challenge_all_the_same() {
        let frame = "5a".repeat(32);
        let proven = ProvenChallenge::read("setup", &frame).unwrap();
        assert_eq!((proven.challenge.as_str(), proven.nonces.len()), (frame.as_str(), 0));
        assert_eq!(ProvenChallenge::resume(&frame, &proven.nonces), None);
    }
}
