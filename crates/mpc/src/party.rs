//! Who takes part: party indices, quorums and session ids.

use core::fmt;
use std::collections::BTreeSet;

use dkls23::protocols::{Parameters, PartyIndex as LibraryIndex};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The place of one party in a key: 1 to `n`, never 0.
///
/// ```
/// use quorate_mpc::PartyIndex;
/// let third = PartyIndex::new(3)?;
/// assert_eq!(third.get(), 3);
/// assert!(PartyIndex::new(0).is_err());
/// # Ok::<(), quorate_mpc::InvalidPartyIndex>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct PartyIndex(pub(crate) LibraryIndex);

/// A party index of 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a party index is a number from 1 to 255, not 0")]
pub struct InvalidPartyIndex;

impl PartyIndex {
    /// The party at place `index`, counted from 1.
    ///
    /// # Errors
    ///
    /// If `index` is 0, which would be the secret's own place in the polynomial.
    pub fn new(index: u8) -> Result<Self, InvalidPartyIndex> {
        LibraryIndex::new(index).map(Self).map_err(|_| InvalidPartyIndex)
    }

    /// The place as a number from 1.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0.as_u8()
    }
}

impl TryFrom<u8> for PartyIndex {
    type Error = InvalidPartyIndex;

    fn try_from(index: u8) -> Result<Self, InvalidPartyIndex> {
        Self::new(index)
    }
}

impl From<PartyIndex> for u8 {
    fn from(index: PartyIndex) -> Self {
        index.get()
    }
}

impl fmt::Display for PartyIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

impl fmt::Debug for PartyIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartyIndex({})", self.get())
    }
}

/// How many parties a key has, and how many of them sign.
///
/// ```
/// use quorate_mpc::Quorum;
/// let quorum = Quorum::new(3, 5)?;
/// assert_eq!((quorum.threshold(), quorum.parties()), (3, 5));
/// assert!(Quorum::new(1, 5).is_err());
/// # Ok::<(), quorate_mpc::InvalidQuorum>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "(u8, u8)", into = "(u8, u8)")]
pub struct Quorum {
    threshold: u8,
    parties: u8,
}

/// A quorum outside 2 ≤ threshold ≤ parties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a quorum of {threshold} of {parties} is not possible: 2 ≤ threshold ≤ parties ≤ 255 must hold")]
pub struct InvalidQuorum {
    /// The threshold that was asked for.
    pub threshold: u8,
    /// The number of parties that was asked for.
    pub parties: u8,
}

impl Quorum {
    /// `threshold` signers out of `parties`.
    ///
    /// # Errors
    ///
    /// Unless 2 ≤ `threshold` ≤ `parties`: with a threshold of 1 each share would be the key.
    pub fn new(threshold: u8, parties: u8) -> Result<Self, InvalidQuorum> {
        if threshold < 2 || threshold > parties {
            return Err(InvalidQuorum { threshold, parties });
        }
        Ok(Self { threshold, parties })
    }

    /// How many parties sign, exactly.
    #[must_use]
    pub fn threshold(self) -> u8 {
        self.threshold
    }

    /// How many parties hold a share.
    #[must_use]
    pub fn parties(self) -> u8 {
        self.parties
    }

    /// Every party, from 1 to `n`.
    pub fn indices(self) -> impl Iterator<Item = PartyIndex> {
        (1..=self.parties).filter_map(|index| PartyIndex::new(index).ok())
    }

    /// Whether `party` is one of the `n`.
    #[must_use]
    pub fn contains(self, party: PartyIndex) -> bool {
        party.get() <= self.parties
    }

    /// Every party but `me`.
    pub(crate) fn peers_of(self, me: PartyIndex) -> BTreeSet<PartyIndex> {
        self.indices().filter(|party| *party != me).collect()
    }

    /// The library's parameters were validated by the same rule.
    pub(crate) fn of_library(parameters: &Parameters) -> Self {
        Self { threshold: parameters.threshold, parties: parameters.share_count }
    }

    pub(crate) fn to_library(self) -> Parameters {
        Parameters { threshold: self.threshold, share_count: self.parties }
    }
}

impl TryFrom<(u8, u8)> for Quorum {
    type Error = InvalidQuorum;

    fn try_from((threshold, parties): (u8, u8)) -> Result<Self, InvalidQuorum> {
        Self::new(threshold, parties)
    }
}

impl From<Quorum> for (u8, u8) {
    fn from(quorum: Quorum) -> Self {
        (quorum.threshold, quorum.parties)
    }
}

impl fmt::Display for Quorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.threshold, self.parties)
    }
}

/// 32 bytes that name one run of one protocol, the same for all its parties and never used twice.
///
/// Derive it from the request, the attempt, and a random value of every participant, so that nobody chooses it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId([u8; 32]);

impl SessionId {
    /// The id with these bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for SessionId {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quorum_needs_two_signers_and_no_more_than_there_are() {
        for (threshold, parties) in [(0, 0), (0, 3), (1, 1), (1, 3), (4, 3), (255, 254)] {
            assert_eq!(Quorum::new(threshold, parties), Err(InvalidQuorum { threshold, parties }));
        }
        for (threshold, parties) in [(2, 2), (2, 3), (3, 5), (255, 255)] {
            assert!(Quorum::new(threshold, parties).is_ok());
        }
        assert_eq!(Quorum::new(2, 255).unwrap().indices().count(), 255);
    }

    #[test]
    fn stored_indices_and_quorums_are_validated() {
        assert!(postcard::from_bytes::<PartyIndex>(&[0]).is_err());
        assert_eq!(postcard::from_bytes(&[7]), Ok(PartyIndex::new(7).unwrap()));
        assert!(postcard::from_bytes::<Quorum>(&[1, 3]).is_err());
        assert_eq!(postcard::from_bytes(&[2, 3]), Ok(Quorum::new(2, 3).unwrap()));
    }
}
