//! The key, and signatures that are checked before they leave the device.

use core::fmt;

use alloy_primitives::keccak256;
use k256::{
    FieldBytes, ProjectivePoint, Scalar, Secp256k1,
    ecdsa::{
        Signature, SigningKey, VerifyingKey,
        signature::{self, hazmat::PrehashSigner},
    },
    elliptic_curve::{
        PrimeField as _,
        ops::{Invert as _, Reduce as _},
        point::AffineCoordinates as _,
    },
    sha2::Sha256,
};
use quorate_core::{Address, B256};

/// A key on secp256k1: in software, in a secure element.
///
/// It gives any valid signature: the device makes s low, finds v, and verifies before anything is sent.
pub trait Key: PrehashSigner<Signature> {
    /// The public key.
    fn public_key(&self) -> VerifyingKey;
}

/// Where a software key finds bytes to add to its nonces (RFC 6979, section 3.6).
pub trait Entropy {
    /// 32 bytes from a source of randomness, new ones at each call; `None` for none.
    ///
    /// They make a signature no weaker where they are not random.
    ///
    /// # Errors
    /// A source that does not work. Nothing is signed then.
    fn added(&self) -> Result<Option<[u8; 32]>, signature::Error>;
}

/// Adds nothing: the same digest has the same signature each time (RFC 6979).
///
/// Whoever can disturb the computation between two signatures of one digest can find the key from them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deterministic;

impl Entropy for Deterministic {
    fn added(&self) -> Result<Option<[u8; 32]>, signature::Error> {
        Ok(None)
    }
}

/// A key in the device's memory.
///
/// Its arithmetic takes the same time for all keys where a multiplication does, as on a Cortex-M4. On a Cortex-M3, whose long
/// multiplications end early, it does not.
pub struct SoftwareKey<E = Deterministic> {
    key: SigningKey,
    entropy: E,
}

impl<E: Entropy> SoftwareKey<E> {
    /// A key with a source of entropy.
    pub const fn new(key: SigningKey, entropy: E) -> Self {
        Self { key, entropy }
    }
}

impl<E> fmt::Debug for SoftwareKey<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SoftwareKey([redacted])")
    }
}

impl<E: Entropy> PrehashSigner<Signature> for SoftwareKey<E> {
    fn sign_prehash(&self, prehash: &[u8]) -> Result<Signature, signature::Error> {
        let added = self.entropy.added()?;
        let added = added.as_ref().map_or(&[][..], |bytes| bytes);
        let scalar = self.key.as_nonzero_scalar();
        Ok(ecdsa::hazmat::sign_prehashed_rfc6979::<Secp256k1, Sha256>(scalar, prehash, added).0)
    }
}

impl<E: Entropy> Key for SoftwareKey<E> {
    fn public_key(&self) -> VerifyingKey {
        *self.key.verifying_key()
    }
}

/// The address of a public key.
pub(crate) fn address_of(key: &VerifyingKey) -> Address {
    let point = key.as_affine();
    let coordinates: [[u8; 32]; 2] = [point.x().into(), point.y().into()];
    Address::from_word(keccak256(coordinates.as_flattened()))
}

/// Verifies a signature of a key, and gives it as r ‖ s ‖ v with a low s and v 27 or 28 (EIP-2); `None` for what is not one
/// of the key's over `digest`.
///
/// A device that was disturbed while it signed may give away its key by a wrong signature.
#[inline(never)]
pub fn checked_signature<K: Key>(key: &K, digest: B256, signature: &Signature) -> Option<[u8; 65]> {
    let signature = signature.normalize_s();
    let (r, s) = signature.split_scalars();
    let z = Scalar::reduce(&FieldBytes::from(digest.0));
    let s_inverse = *s.invert();
    // R = (z·G + r·Q) / s: its x is r, and the parity of its y is v.
    let public_key = ProjectivePoint::from(*key.public_key().as_affine());
    let point = ProjectivePoint::mul_by_generator(&(z * s_inverse)) + public_key * (*r * s_inverse);
    let point = point.to_affine();
    // An x of the group's order or more would be another v, which Ethereum does not have; that of infinity is 0, and r is not.
    if point.x() != r.to_repr() {
        return None;
    }
    let v = 27 + u8::from(bool::from(point.y_is_odd()));
    let mut bytes = [v; 65];
    bytes.iter_mut().zip(signature.to_bytes()).for_each(|(byte, of_signature)| *byte = of_signature);
    Some(bytes)
}
