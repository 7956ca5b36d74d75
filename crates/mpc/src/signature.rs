//! The result of signing, checked apart from the library that made it.

use k256::ecdsa::signature::hazmat::PrehashVerifier;
use k256::ecdsa::{RecoveryId, Signature as EcdsaSignature, VerifyingKey};
use thiserror::Error;

/// An ECDSA signature on secp256k1 that has been verified against its key: `r` and `s` in [1, n − 1], `s` in
/// the lower half, recovery id 0 or 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    r: [u8; 32],
    s: [u8; 32],
    recovery_id: u8,
}

/// Why a signature may not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidSignature {
    /// `r` or `s` is 0, or not below the order of the group.
    #[error("r or s is out of range")]
    OutOfRange,
    /// `s` is in the upper half.
    #[error("s is in the upper half of its range")]
    HighS,
    /// The recovery id is not 0 or 1.
    #[error("the recovery id is {found}, and only 0 and 1 have a place in a signature on Ethereum")]
    RecoveryId {
        /// The recovery id.
        found: u8,
    },
    /// The signature is not one of the key over the hash, or another key is recovered from it.
    #[error("the signature does not verify against the key")]
    OtherKey,
}

impl Signature {
    /// Checks `r`, `s` and the recovery id against the key (SEC1) and the 32-byte hash that was signed.
    ///
    /// # Errors
    ///
    /// [`InvalidSignature`] by the first check that fails.
    pub(crate) fn checked(
        r: [u8; 32],
        s: [u8; 32],
        recovery_id: u8,
        public_key: &[u8; 33],
        hash: &[u8; 32],
    ) -> Result<Self, InvalidSignature> {
        let signature = EcdsaSignature::from_scalars(r, s).map_err(|_| InvalidSignature::OutOfRange)?;
        if signature.normalize_s() != signature {
            return Err(InvalidSignature::HighS);
        }
        let recovery = match recovery_id {
            0 | 1 => RecoveryId::new(recovery_id == 1, false),
            found => return Err(InvalidSignature::RecoveryId { found }),
        };
        let other_key = |_| InvalidSignature::OtherKey;
        let key = VerifyingKey::from_sec1_bytes(public_key).map_err(other_key)?;
        key.verify_prehash(hash, &signature).map_err(other_key)?;
        let recovered = VerifyingKey::recover_from_prehash(hash, &signature, recovery).map_err(other_key)?;
        if recovered != key {
            return Err(InvalidSignature::OtherKey);
        }
        Ok(Self { r, s, recovery_id })
    }

    /// `r`, 32 bytes big-endian.
    #[must_use]
    pub fn r(&self) -> &[u8; 32] {
        &self.r
    }

    /// `s`, 32 bytes big-endian, in the lower half.
    #[must_use]
    pub fn s(&self) -> &[u8; 32] {
        &self.s
    }

    /// 1 if the point of `r` has an odd y, else 0. Ethereum's `v` is 27 more.
    #[must_use]
    pub fn recovery_id(&self) -> u8 {
        self.recovery_id
    }

    /// `r` ‖ `s`, 64 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 64] {
        let mut bytes = [0; 64];
        for (to, from) in bytes.iter_mut().zip(self.r.iter().chain(&self.s)) {
            *to = *from;
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use k256::ecdsa::SigningKey;

    use super::*;

    const HASH: [u8; 32] = [0x5a; 32];

    fn signed() -> ([u8; 32], [u8; 32], u8, [u8; 33]) {
        let key = SigningKey::from_slice(&[0x11; 32]).unwrap();
        let (signature, recovery) = key.sign_prehash_recoverable(&HASH);
        let (r, s) = signature.split_bytes();
        let public_key = key.verifying_key().to_sec1_point(true).as_bytes().try_into().unwrap();
        (r.into(), s.into(), recovery.to_byte(), public_key)
    }

    #[test]
    fn a_good_signature_passes() {
        let (r, s, recovery_id, key) = signed();
        let signature = Signature::checked(r, s, recovery_id, &key, &HASH).unwrap();
        assert_eq!((signature.r(), signature.s(), signature.recovery_id()), (&r, &s, recovery_id));
        assert_eq!(signature.to_bytes().to_vec(), [r, s].concat());
    }

    #[test]
    fn each_fault_is_refused_by_name() {
        let (r, s, recovery_id, key) = signed();
        let refused =
            |r, s, recovery_id, key, hash| Signature::checked(r, s, recovery_id, &key, &hash).unwrap_err();
        let high_s = (-*EcdsaSignature::from_scalars(r, s).unwrap().s()).to_bytes().into();
        let mut other_key = key;
        other_key[0] ^= 1;
        assert_eq!(refused([0; 32], s, recovery_id, key, HASH), InvalidSignature::OutOfRange);
        assert_eq!(refused(r, [0xff; 32], recovery_id, key, HASH), InvalidSignature::OutOfRange);
        assert_eq!(refused(r, high_s, recovery_id ^ 1, key, HASH), InvalidSignature::HighS);
        assert_eq!(refused(r, s, 2, key, HASH), InvalidSignature::RecoveryId { found: 2 });
        assert_eq!(refused(r, s, recovery_id ^ 1, key, HASH), InvalidSignature::OtherKey);
        assert_eq!(refused(r, s, recovery_id, key, [0; 32]), InvalidSignature::OtherKey);
        assert_eq!(refused(r, s, recovery_id, other_key, HASH), InvalidSignature::OtherKey);
    }
}
