use core::fmt;
use core::str::FromStr;

use alloy_primitives::{B256, hex};

/// A hash in a form that people compare over a telephone: the first 16 bytes of a keccak-256, as 8 groups of 4 hex digits.
///
/// Whoever assembles a network may choose part of what is hashed: 128 bits keep them from finding two networks with one
/// fingerprint.
///
/// ```
/// use quorate_protocol::Fingerprint;
///
/// let fingerprint = Fingerprint::of(alloy_primitives::B256::repeat_byte(0xa5));
/// assert_eq!(fingerprint.to_string(), "a5a5-a5a5-a5a5-a5a5-a5a5-a5a5-a5a5-a5a5");
/// assert_eq!("A5A5 a5a5 a5a5 a5a5 a5a5 a5a5 a5a5 a5a5".parse(), Ok(fingerprint));
/// assert!("a5a5-a5a5".parse::<Fingerprint>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; LEN]);

/// Text that is no fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a fingerprint: 8 groups of 4 hex digits, with hyphens between them")]
pub struct NoFingerprint;

const LEN: usize = 16;

impl Fingerprint {
    /// The fingerprint of what was hashed.
    pub fn of(hash: B256) -> Self {
        let mut bytes = [0; LEN];
        bytes.copy_from_slice(&hash[..LEN]);
        Self(bytes)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups: Vec<_> = self.0.chunks(2).map(hex::encode).collect();
        f.write_str(&groups.join("-"))
    }
}

impl FromStr for Fingerprint {
    type Err = NoFingerprint;

    fn from_str(text: &str) -> Result<Self, NoFingerprint> {
        let digits = text.replace(['-', ' '], "");
        if digits.starts_with("0x") {
            return Err(NoFingerprint);
        }
        hex::decode_to_array(digits).map(Self).map_err(|_| NoFingerprint)
    }
}
