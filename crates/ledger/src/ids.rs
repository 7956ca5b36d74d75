//! The names of things: keys, journals, nonces, times, places and attempts.

use std::num::NonZeroU64;
use std::str::FromStr;

use alloy_primitives::{B256, U256};
use serde::{Deserialize, Serialize};

/// The id of a threshold key: 32 bytes, in text 64 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeyId(B256);

/// The id of one node's journal: 32 random bytes, drawn anew when a database is set up or restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JournalId(B256);

/// The hash of the owner's statement that registered an entry's ephemeral key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StatementHash(B256);

/// The nonce of a user operation. The key's permissions name its one chain, entry point and sender, so that a key
/// and a nonce name one operation that the chain executes at most once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Nonce(U256);

/// Seconds since 1970, by some node's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(u64);

/// The place of a row in one node's journal of one key: from 1, drawn from a durable counter and never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Place(NonZeroU64);

/// One attempt to sign, as this node's ledger names it.
///
/// Only a ledger makes one: it is the key and the place of the attempt's row. Since no place is used twice, no id
/// ever means another attempt, whatever numbers a gateway repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId {
    key: KeyId,
    place: Place,
}

/// A number that is not a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found} is not a place in a journal; places are 1 to {}", Place::LAST)]
pub struct InvalidPlace {
    /// The number found.
    pub found: u64,
}

/// A text that is not a key id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key id has 64 hex digits without a prefix; this text has {} bytes", .length)]
pub struct InvalidKeyId {
    /// The length of the text in bytes.
    pub length: usize,
}

impl KeyId {
    /// The id with these 32 bytes.
    pub const fn new(bytes: B256) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn get(self) -> B256 {
        self.0
    }
}

impl FromStr for KeyId {
    type Err = InvalidKeyId;

    /// Reads 64 hex digits without a prefix.
    ///
    /// ```
    /// # use quorate_ledger::KeyId;
    /// let id: KeyId = "0a".repeat(32).parse()?;
    /// assert_eq!(id.get()[0], 0x0a);
    /// assert!("0a".parse::<KeyId>().is_err());
    /// # Ok::<(), quorate_ledger::InvalidKeyId>(())
    /// ```
    fn from_str(text: &str) -> Result<Self, InvalidKeyId> {
        let invalid = || InvalidKeyId { length: text.len() };
        if text.len() != 64 {
            return Err(invalid());
        }
        text.parse().map(Self).map_err(|_| invalid())
    }
}

impl JournalId {
    /// The id with these 32 bytes.
    pub const fn new(bytes: B256) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn get(self) -> B256 {
        self.0
    }
}

impl StatementHash {
    /// The hash with these 32 bytes.
    pub const fn new(bytes: B256) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn get(self) -> B256 {
        self.0
    }
}

impl Nonce {
    /// The nonce with this value (ERC-4337: a 192-bit key and a 64-bit sequence number).
    pub const fn new(value: U256) -> Self {
        Self(value)
    }

    /// The value.
    pub const fn get(self) -> U256 {
        self.0
    }
}

impl Timestamp {
    /// The time this many seconds after 1970 began.
    pub const fn new(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Seconds since 1970.
    pub const fn get(self) -> u64 {
        self.0
    }

    pub(crate) const fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    pub(crate) const fn minus(self, seconds: u64) -> Self {
        Self(self.0.saturating_sub(seconds))
    }
}

impl Place {
    /// The first place.
    pub const FIRST: Self = Self(NonZeroU64::MIN);

    /// The last place that a database's signed 64-bit integers hold.
    const LAST: u64 = i64::MAX as u64;

    /// The number, from 1 to 2^63 − 1.
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// The place after this one; none after the last.
    pub(crate) fn next(self) -> Option<Self> {
        self.get().checked_add(1)?.try_into().ok()
    }
}

impl TryFrom<u64> for Place {
    type Error = InvalidPlace;

    fn try_from(number: u64) -> Result<Self, InvalidPlace> {
        let place = NonZeroU64::new(number).filter(|_| number <= Self::LAST);
        place.map(Self).ok_or(InvalidPlace { found: number })
    }
}

impl From<Place> for u64 {
    fn from(place: Place) -> Self {
        place.get()
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl AttemptId {
    pub(crate) const fn new(key: KeyId, place: Place) -> Self {
        Self { key, place }
    }

    /// The key that is to sign.
    pub const fn key(self) -> KeyId {
        self.key
    }

    /// The place of the attempt's row in this node's journal.
    pub const fn place(self) -> Place {
        self.place
    }
}

impl std::fmt::Display for AttemptId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of key {}", self.place, self.key.0)
    }
}
