//! The last round of key generation: a share is usable when every party has confirmed the same result.

use core::fmt;
use std::collections::BTreeMap;

use k256::AffinePoint;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::share::{self, Stored};
use crate::wire::check_senders;
use crate::{Abort, KeyShare, PartyIndex, Quorum, SessionId, ShareError, Step};

/// The public result of a key generation, as one party sees it. All parties must see the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    session_id: SessionId,
    quorum: Quorum,
    public_key: [u8; 33],
    verifying_shares: BTreeMap<PartyIndex, [u8; 33]>,
    chain_code: [u8; 32],
    transcript: [u8; 32],
}

impl Confirmation {
    fn new(
        share: &KeyShare,
        verifying_shares: &BTreeMap<PartyIndex, AffinePoint>,
        transcript: [u8; 32],
    ) -> Self {
        Self {
            session_id: share.session_id(),
            quorum: share.quorum(),
            public_key: share.public_key(),
            verifying_shares: verifying_shares
                .iter()
                .map(|(party, point)| (*party, share::compress(point)))
                .collect(),
            chain_code: share.chain_code(),
            transcript,
        }
    }

    /// The id of the run.
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        self.session_id
    }

    /// How many parties hold the key, and how many sign.
    #[must_use]
    pub fn quorum(&self) -> Quorum {
        self.quorum
    }

    /// The key, as a compressed SEC1 point.
    #[must_use]
    pub fn public_key(&self) -> &[u8; 33] {
        &self.public_key
    }

    /// The public counterpart of each party's share, as compressed SEC1 points.
    #[must_use]
    pub fn verifying_shares(&self) -> &BTreeMap<PartyIndex, [u8; 33]> {
        &self.verifying_shares
    }

    /// SHA-256 of the session id, the quorum, the public key, the verifying shares, the chain code, and of
    /// every broadcast of rounds 2 and 4.
    ///
    /// Sign it with the node's identity and send it to every other party.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new_with_prefix(b"quorate mpc v1 keygen confirmation");
        hash.update(self.session_id.as_bytes());
        hash.update([self.quorum.threshold(), self.quorum.parties()]);
        hash.update(self.public_key);
        for (party, point) in &self.verifying_shares {
            hash.update([party.get()]);
            hash.update(point);
        }
        hash.update(self.chain_code);
        hash.update(self.transcript);
        hash.finalize().into()
    }
}

/// A share that not every party has confirmed yet, and that therefore cannot sign.
///
/// Store it *before* the digest goes out: once all `n` digests are in somewhere, the key may be used there, and
/// then every party must still have its share.
pub struct Unconfirmed {
    share: KeyShare,
    verifying_shares: BTreeMap<PartyIndex, AffinePoint>,
    confirmation: Confirmation,
}

impl Unconfirmed {
    pub(crate) fn new(
        share: KeyShare,
        verifying_shares: BTreeMap<PartyIndex, AffinePoint>,
        transcript: [u8; 32],
    ) -> Self {
        let confirmation = Confirmation::new(&share, &verifying_shares, transcript);
        Self { share, verifying_shares, confirmation }
    }

    /// What this party confirms.
    #[must_use]
    pub fn confirmation(&self) -> &Confirmation {
        &self.confirmation
    }

    /// Makes the share usable, given the digest of each of the other `n` − 1 parties, whose signatures the
    /// caller has checked.
    ///
    /// While digests are missing, wait; this is for when all are in.
    ///
    /// # Errors
    ///
    /// [`Abort::MissingMessage`] or [`Abort::UnexpectedMessage`] unless `digests` holds exactly the other
    /// parties, and [`Abort::Equivocation`] if one of them saw another result: the key must not be used, and is
    /// wiped.
    pub fn confirm(
        self,
        digests: &BTreeMap<PartyIndex, [u8; 32]>,
    ) -> Result<(KeyShare, Confirmation), Abort> {
        let Self { share, confirmation, .. } = self;
        let step = Step::KeygenConfirmation;
        check_senders(digests, &share.quorum().peers_of(share.index()), step)?;
        let own = confirmation.digest();
        if let Some((party, _)) = digests.iter().find(|(_, digest)| **digest != own) {
            return Err(Abort::Equivocation { party: *party, step });
        }
        Ok((share, confirmation))
    }

    /// The pending share as bytes: secret, and like [`KeyShare::to_bytes`] to be encrypted at rest.
    ///
    /// # Errors
    ///
    /// [`ShareError::Encoding`], which no share that was made here leads to.
    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, ShareError> {
        share::store(
            Stored::Unconfirmed,
            self.share.quorum(),
            &(self.share.party(), &self.verifying_shares, self.confirmation.transcript),
        )
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    ///
    /// [`ShareError`] if the bytes are not a pending share, or one that does not hold together.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ShareError> {
        let (party, verifying_shares, transcript): (_, BTreeMap<PartyIndex, AffinePoint>, _) =
            share::load(Stored::Unconfirmed, bytes)?;
        let share = KeyShare::checked(party)?;
        if !verifying_shares.keys().copied().eq(share.quorum().indices()) {
            return Err(ShareError::Inconsistent { what: "the verifying shares" });
        }
        if verifying_shares.get(&share.index()) != Some(&share.verifying_share()) {
            return Err(ShareError::Inconsistent { what: "the share and its verifying share" });
        }
        Ok(Self::new(share, verifying_shares, transcript))
    }
}

impl fmt::Debug for Unconfirmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unconfirmed")
            .field("share", &self.share)
            .field("confirmation", &self.confirmation)
            .finish_non_exhaustive()
    }
}
