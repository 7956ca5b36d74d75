//! A party's share of a key, and its form at rest.

use core::fmt;

use dkls23::secp256k1::Party;
use k256::elliptic_curve::sec1::ToSec1Point;
use k256::{AffinePoint, ProjectivePoint, Scalar};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::{PartyIndex, Quorum, SessionId};

const STORE_VERSION: u8 = 1;
const CHECKSUM_LEN: usize = 32;
/// More than 255 parties need.
const MAX_STORED_LEN: usize = 16 * 1024 * 1024;

/// One party's share of a key, and its half of the correlations with each other party that signing uses.
///
/// About 52 kB for each other party. It is wiped when dropped, and its `Debug` shows nothing secret. It is not
/// `Clone`: share it in an [`Arc`](std::sync::Arc).
pub struct KeyShare {
    party: Party,
}

impl KeyShare {
    pub(crate) fn new(party: Party) -> Self {
        Self { party }
    }

    /// Refuses a party whose parts do not fit each other, since signing with it could look like cheating to
    /// the others.
    pub(crate) fn checked(party: Party) -> Result<Self, ShareError> {
        let inconsistent = |what| Err(ShareError::Inconsistent { what });
        let share = Self::new(party);
        let party = &share.party;
        let me = share.index();
        if !share.quorum().contains(me) {
            return inconsistent("the party index and the quorum");
        }
        if party.session_id.len() != 32 {
            return inconsistent("the session id");
        }
        if party.pk == AffinePoint::IDENTITY || party.poly_point == Scalar::ZERO {
            return inconsistent("the key");
        }
        if party.derivation_data.pk != party.pk || party.derivation_data.poly_point != party.poly_point {
            return inconsistent("the key and its derivation data");
        }
        let peers = share.quorum().peers_of(me);
        let seeds = &party.zero_share.seeds;
        if !party.mul_senders.keys().eq(peers.iter().map(|peer| &peer.0))
            || !party.mul_receivers.keys().eq(peers.iter().map(|peer| &peer.0))
            || !seeds.iter().map(|seed| &seed.index_counterparty).eq(peers.iter().map(|peer| &peer.0))
        {
            return inconsistent("the parties of the correlations");
        }
        if party.mul_senders.values().any(|state| state.check_state().is_err())
            || party.mul_receivers.values().any(|state| state.check_state(None).is_err())
            || seeds.iter().any(|seed| seed.lowest_index != (me.0 < seed.index_counterparty))
        {
            return inconsistent("the form of the correlations");
        }
        Ok(share)
    }

    /// The key, as a compressed SEC1 point of 33 bytes.
    #[must_use]
    pub fn public_key(&self) -> [u8; 33] {
        compress(&self.party.pk)
    }

    /// How many parties hold the key, and how many sign.
    #[must_use]
    pub fn quorum(&self) -> Quorum {
        Quorum::of_library(&self.party.parameters)
    }

    /// Which of the parties this share belongs to.
    #[must_use]
    pub fn index(&self) -> PartyIndex {
        PartyIndex(self.party.party_index)
    }

    /// The id of the run that made the key.
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        let mut id = [0; 32];
        for (to, from) in id.iter_mut().zip(&self.party.session_id) {
            *to = *from;
        }
        SessionId::new(id)
    }

    /// The share as bytes, with a version and a checksum: secret, and to be encrypted at rest.
    ///
    /// # Errors
    ///
    /// [`ShareError::Encoding`], which no share that was made here leads to.
    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, ShareError> {
        store(Stored::Share, self.quorum(), &self.party)
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// The checksum finds damage, which could get this party banned by others; it is no protection against
    /// somebody who may write the bytes, and that is what the encryption at rest is for.
    ///
    /// # Errors
    ///
    /// [`ShareError`] if the bytes are not a share of this version, are damaged, or do not hold together.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ShareError> {
        Self::checked(load(Stored::Share, bytes)?)
    }

    pub(crate) fn party(&self) -> &Party {
        &self.party
    }

    pub(crate) fn chain_code(&self) -> [u8; 32] {
        self.party.derivation_data.chain_code
    }

    pub(crate) fn verifying_share(&self) -> AffinePoint {
        (ProjectivePoint::GENERATOR * self.party.poly_point).to_affine()
    }
}

/// The library's party wipes itself when dropped.
impl ZeroizeOnDrop for KeyShare {}

impl fmt::Debug for KeyShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyShare")
            .field("index", &self.index())
            .field("quorum", &self.quorum())
            .field("session_id", &self.session_id())
            .field("share", &"[redacted]")
            .finish_non_exhaustive()
    }
}

/// Why bytes are not a share that can be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ShareError {
    /// Too few bytes for a share, or more than any has.
    #[error("{len} bytes cannot be a key share")]
    Length {
        /// The number of bytes.
        len: usize,
    },
    /// Of another version.
    #[error("this key share has version {found}, and version {expected} is read here")]
    Version {
        /// The version byte.
        found: u8,
        /// The version of this crate.
        expected: u8,
    },
    /// A share that is not confirmed was read as a confirmed one, or the other way round, or it is neither.
    #[error("these bytes are a key share of another kind (confirmed or not)")]
    Kind,
    /// The bytes have changed since they were written.
    #[error("this key share is damaged: restore it from a backup")]
    Checksum,
    /// The bytes cannot be decoded, or the share not encoded.
    #[error("this key share cannot be encoded or decoded")]
    Encoding,
    /// The parts of the share do not fit each other.
    #[error("{what} in this key share do not fit: restore it from a backup")]
    Inconsistent {
        /// Which parts.
        what: &'static str,
    },
}

/// What stored bytes hold.
#[derive(Clone, Copy)]
pub(crate) enum Stored {
    Share,
    Unconfirmed,
}

impl Stored {
    fn tag(self) -> u8 {
        match self {
            Self::Share => 1,
            Self::Unconfirmed => 2,
        }
    }
}

/// Version, kind, content, SHA-256 of all that.
pub(crate) fn store<T: Serialize>(
    kind: Stored,
    quorum: Quorum,
    content: &T,
) -> Result<Zeroizing<Vec<u8>>, ShareError> {
    // Enough that the buffer never moves, which would leave secrets behind.
    let capacity = usize::from(quorum.parties()) * 60 * 1024;
    let mut bytes = Vec::with_capacity(capacity);
    bytes.extend_from_slice(&[STORE_VERSION, kind.tag()]);
    let mut bytes = Zeroizing::new(postcard::to_extend(content, bytes).map_err(|_| ShareError::Encoding)?);
    let checksum = Sha256::digest(&*bytes);
    bytes.extend_from_slice(&checksum);
    debug_assert!(bytes.len() <= capacity, "{} > {capacity}", bytes.len());
    Ok(bytes)
}

pub(crate) fn load<T: DeserializeOwned>(kind: Stored, bytes: &[u8]) -> Result<T, ShareError> {
    let length = ShareError::Length { len: bytes.len() };
    if bytes.len() > MAX_STORED_LEN {
        return Err(length);
    }
    let Some((content, checksum)) = bytes.split_last_chunk::<CHECKSUM_LEN>() else {
        return Err(length);
    };
    let Some(([version, tag], body)) = content.split_first_chunk() else {
        return Err(length);
    };
    if *version != STORE_VERSION {
        return Err(ShareError::Version { found: *version, expected: STORE_VERSION });
    }
    if *tag != kind.tag() {
        return Err(ShareError::Kind);
    }
    if Sha256::digest(content).as_slice() != checksum {
        return Err(ShareError::Checksum);
    }
    match postcard::take_from_bytes(body) {
        Ok((content, [])) => Ok(content),
        _ => Err(ShareError::Encoding),
    }
}

/// The compressed SEC1 form. Only the identity has another length, and it is refused as a key everywhere.
pub(crate) fn compress(point: &AffinePoint) -> [u8; 33] {
    let mut bytes = [0; 33];
    for (to, from) in bytes.iter_mut().zip(point.to_sec1_point(true).as_bytes()) {
        *to = *from;
    }
    bytes
}
