use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::{NodeIndex, Nonce, SignedRequest, challenge};

/// Names a request in the logs of client, gateway and nodes: the first 8 bytes of its challenge, in hex.
///
/// All of them compute the challenge, so nothing is sent for it. A connection has a name of the same form before there is a
/// challenge: the client draws it, and sends it in the header [`HEADER`](Self::HEADER). Nothing is decided by either.
///
/// ```
/// use quorate_protocol::RequestId;
///
/// let challenge = "0123456789abcdef".repeat(4);
/// assert_eq!(RequestId::of_challenge(&challenge).unwrap().to_string(), "0123456789abcdef");
/// assert!("0123456789abcdeF".parse::<RequestId>().is_err(), "one spelling");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId([u8; 8]);

/// Text that is no request's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a request is named by 16 lower-case hex digits")]
pub struct MalformedRequestId;

impl RequestId {
    /// The header of a client's HTTP request in which its connection is named.
    pub const HEADER: &str = "x-request-id";

    /// The name with these bytes, which are drawn at random for a connection.
    pub const fn new(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The name of the request with a challenge; none for text that is no challenge.
    pub fn of_challenge(challenge: &str) -> Option<Self> {
        challenge.get(..16).filter(|_| challenge.len() == 64)?.parse().ok()
    }

    /// The name of a request that is not challenged, by its setup.
    pub fn of_setup(setup: &str) -> Self {
        Self::of(setup, &BTreeMap::new())
    }

    fn of(setup: &str, nonces: &BTreeMap<NodeIndex, Nonce>) -> Self {
        Self::of_challenge(&challenge(setup, nonces)).unwrap_or(Self([0; 8]))
    }
}

impl SignedRequest {
    /// What the request is called in logs.
    pub fn id(&self) -> RequestId {
        RequestId::of(&self.setup, &self.nonces)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for RequestId {
    type Err = MalformedRequestId;

    fn from_str(text: &str) -> Result<Self, MalformedRequestId> {
        let is_digit = |digit: u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit);
        if text.len() != 16 || !text.bytes().all(is_digit) {
            return Err(MalformedRequestId);
        }
        let number = u64::from_str_radix(text, 16).map_err(|_| MalformedRequestId)?;
        Ok(Self(number.to_be_bytes()))
    }
}
