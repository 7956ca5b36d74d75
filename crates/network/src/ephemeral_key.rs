use std::time::Duration;

use ed25519_dalek::{SigningKey, VerifyingKey};
use quorate_protocol::EphemeralClaim;
use zeroize::Zeroizing;

/// The Ed25519 key under which a client asks for a session's signatures.
///
/// Its owner registers it when the session key is made. It is a secret: who has it can ask for whatever the
/// policies allow, and nothing else. It is wiped when dropped.
pub struct EphemeralKey(SigningKey);

impl EphemeralKey {
    /// A fresh one.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(secret.as_mut_slice())?;
        Ok(Self::from_bytes(&secret))
    }

    /// The key with this secret, 32 bytes.
    pub fn from_bytes(secret: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(secret))
    }

    /// The secret, for storage under encryption.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public part.
    pub fn public(&self) -> VerifyingKey {
        self.0.verifying_key()
    }

    /// The claim that the owner signs: this key, named `id`, until `expiry` (seconds since 1970, at most 365 days
    /// away).
    pub fn claim(&self, id: &str, expiry: u64) -> EphemeralClaim {
        EphemeralClaim { key: self.public(), id: Some(id.to_owned()), expiry: Some(expiry) }
    }

    /// The same until `end`, 0 for no end, and at most for as long as a network takes: a year, less a day, as clocks differ. All in
    /// seconds since 1970.
    pub fn longest_claim(&self, id: &str, end: u64, now: u64) -> EphemeralClaim {
        let longest = now.saturating_add(LONGEST.as_secs());
        self.claim(id, if end == 0 { longest } else { end.min(longest) })
    }

    pub(crate) const fn signing_key(&self) -> &SigningKey {
        &self.0
    }
}

const LONGEST: Duration = Duration::from_secs(364 * 24 * 3600);

impl std::fmt::Debug for EphemeralKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EphemeralKey").field("secret", &"[redacted]").finish_non_exhaustive()
    }
}
