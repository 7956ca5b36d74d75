//! The key under which a store's secrets are encrypted: where it comes from.

mod file;
#[cfg(feature = "keyring")]
mod keyring;

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::Secret;

/// What opens a store: a key, or a passphrase that is stretched to one.
#[derive(Clone, Debug)]
pub enum Sealing {
    /// A key of 32 random bytes.
    Key(SealingKey),
    /// Words of a person.
    Passphrase(Passphrase),
}

impl Sealing {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Key(_) => SEALING_KEY,
            Self::Passphrase(_) => PASSPHRASE,
        }
    }
}

pub(crate) const SEALING_KEY: &str = "sealing key";
pub(crate) const PASSPHRASE: &str = "passphrase";

impl From<SealingKey> for Sealing {
    fn from(key: SealingKey) -> Self {
        Self::Key(key)
    }
}

impl From<Passphrase> for Sealing {
    fn from(passphrase: Passphrase) -> Self {
        Self::Passphrase(passphrase)
    }
}

/// 32 random bytes that open a store. They are kept apart from it, so that a stolen backup of the database alone
/// opens nothing.
///
/// ```
/// use quorate_store::SealingKey;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("sealing.key");
/// SealingKey::create_file(&path)?;
/// SealingKey::read_file(&path)?;
/// assert!(SealingKey::create_file(&path).is_err(), "a key is never overwritten");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SealingKey(Secret);

impl SealingKey {
    /// A fresh key, which is kept by the caller.
    ///
    /// # Errors
    /// [`SealingKeyError::Random`].
    pub fn random() -> Result<Self, SealingKeyError> {
        Ok(Self(Secret::random()?))
    }

    /// The bytes, to be kept elsewhere.
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

impl From<[u8; 32]> for SealingKey {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes.into())
    }
}

/// The words that open a store, stretched with Argon2id to a key. They are wiped when dropped, and never shown.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// A passphrase, as it was typed.
    ///
    /// # Errors
    /// [`SealingKeyError::EmptyPassphrase`].
    pub fn new(text: impl Into<String>) -> Result<Self, SealingKeyError> {
        let text = Zeroizing::new(text.into());
        if text.is_empty() { Err(SealingKeyError::EmptyPassphrase) } else { Ok(Self(text)) }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Why there is no key to open a store with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealingKeyError {
    /// Its file cannot be read or made.
    #[error("the sealing key's file {path} cannot be used")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Its file holds something else.
    #[error("the sealing key's file {path} does not hold 64 hex digits and nothing else")]
    Form {
        /// The file.
        path: PathBuf,
    },
    /// Others can read its file.
    #[error("the sealing key's file {path} can be read by other users; run `chmod 600 {path}`")]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// No words.
    #[error("the passphrase is empty; give at least one character")]
    EmptyPassphrase,
    /// The system's randomness.
    #[error("the system gives no random bytes")]
    Random(#[from] getrandom::Error),
    /// The system's keyring.
    #[cfg(feature = "keyring")]
    #[error("the entry {user} of {service} in the system's keyring cannot be used")]
    Keyring {
        /// The program that the entry belongs to.
        service: String,
        /// The entry's name there.
        user: String,
        /// What the keyring says.
        source: ::keyring::Error,
    },
    /// A keyring's entry that is no sealing key.
    #[cfg(feature = "keyring")]
    #[error("the entry {user} of {service} in the system's keyring has {len} bytes; a sealing key has 32")]
    KeyringForm {
        /// The program that the entry belongs to.
        service: String,
        /// The entry's name there.
        user: String,
        /// The bytes found.
        len: usize,
    },
    /// A keyring's entry that would be overwritten.
    #[cfg(feature = "keyring")]
    #[error(
        "the entry {user} of {service} is in the system's keyring already; read it, or give another name"
    )]
    KeyringTaken {
        /// The program that the entry belongs to.
        service: String,
        /// The entry's name there.
        user: String,
    },
}
