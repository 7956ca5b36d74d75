use std::fmt;

use zeroize::Zeroizing;

/// 32 secret bytes: wiped when dropped, and never shown.
///
/// ```
/// use quorate_store::Secret;
///
/// let secret = Secret::from([7; 32]);
/// assert_eq!(secret.expose(), &[7; 32]);
/// assert_eq!(format!("{secret:?}"), "[redacted]");
/// ```
#[derive(Clone)]
pub struct Secret(Zeroizing<[u8; 32]>);

impl Secret {
    #[cfg(feature = "sqlite")]
    pub(crate) fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(bytes.as_mut_slice())?;
        Ok(Self(bytes))
    }

    #[cfg(feature = "sqlite")]
    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        let mut secret = Zeroizing::new([0; 32]);
        (bytes.len() == secret.len()).then(|| {
            secret.copy_from_slice(bytes);
            Self(secret)
        })
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Secret {
    fn from(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// How a session's signatures are made.
#[derive(Clone, Debug)]
pub enum Key {
    /// By this private key.
    Local(Secret),
    /// By a signing network.
    Distributed {
        /// The key's id at the network.
        key_id: String,
        /// What the network gave when it made the key, such as its attestations; the store does not read it.
        attested_key: String,
        /// The Ed25519 secret under which the network is asked for signatures.
        ephemeral: Secret,
    },
    /// By somebody whose secret is not in the store, such as a device.
    External,
}

impl Key {
    /// The key's id at a signing network; none for any other key.
    pub fn key_id(&self) -> Option<&str> {
        match self {
            Self::Distributed { key_id, .. } => Some(key_id),
            Self::Local(_) | Self::External => None,
        }
    }

    /// The key without its id: a tag, the secret, and for a distributed key what the network gave.
    #[cfg(feature = "sqlite")]
    pub(crate) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        // Whole from the start: a vector that grows leaves copies behind.
        Zeroizing::new(match self {
            Self::External => vec![EXTERNAL],
            Self::Local(secret) => [[LOCAL].as_slice(), secret.expose()].concat(),
            Self::Distributed { attested_key, ephemeral, .. } => {
                [[DISTRIBUTED].as_slice(), ephemeral.expose(), attested_key.as_bytes()].concat()
            }
        })
    }

    /// The key that [`to_bytes`](Self::to_bytes) wrote; none where these are not such bytes.
    #[cfg(feature = "sqlite")]
    pub(crate) fn from_bytes(bytes: &[u8], key_id: Option<String>) -> Option<Self> {
        match (bytes.split_first()?, key_id) {
            ((&EXTERNAL, []), None) => Some(Self::External),
            ((&LOCAL, secret), None) => Secret::from_slice(secret).map(Self::Local),
            ((&DISTRIBUTED, rest), Some(key_id)) => {
                let (ephemeral, attested_key) = rest.split_at_checked(32)?;
                let attested_key = String::from_utf8(attested_key.to_vec()).ok()?;
                Some(Self::Distributed { key_id, attested_key, ephemeral: Secret::from_slice(ephemeral)? })
            }
            _ => None,
        }
    }
}

#[cfg(feature = "sqlite")]
const EXTERNAL: u8 = 0;
#[cfg(feature = "sqlite")]
const LOCAL: u8 = 1;
#[cfg(feature = "sqlite")]
const DISTRIBUTED: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_cut_or_of_another_kind_are_none() {
        let local = Key::Local([1; 32].into()).to_bytes();
        assert!(
            matches!(Key::from_bytes(&local, None), Some(Key::Local(secret)) if *secret.expose() == [1; 32])
        );
        assert!(Key::from_bytes(&local[..32], None).is_none());
        assert!(Key::from_bytes(&local, Some("a key id".to_owned())).is_none());
        assert!(Key::from_bytes(&[], None).is_none());
        assert!(Key::from_bytes(&[3], None).is_none());
    }
}
