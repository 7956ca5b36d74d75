//! Encryption at rest: key shares are stored under a key that is not in the database.

mod source;

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use alloy_primitives::hex;
use quorate_seal::Seal;
use zeroize::Zeroizing;

pub use self::source::{SealSource, Variable};

/// The seal key in use, and the one before where a rotation may be under way: the database tells which of them fits.
pub(crate) struct SealKeys {
    current: Seal,
    before: Option<Seal>,
}

/// A sealed share that does not open: another key, or altered bytes.
#[derive(Debug, thiserror::Error)]
#[error("a stored key share does not open: the seal key is another one, or the database was altered")]
pub struct SealBroken;

impl SealKeys {
    pub(crate) const fn new(current: Seal, before: Option<Seal>) -> Self {
        Self { current, before }
    }

    /// The key for what is sealed from now on.
    pub(crate) fn into_current(self) -> Seal {
        self.current
    }

    /// The one that something was sealed with.
    pub(crate) fn that_opens(self, context: &[u8], sealed: &[u8]) -> Option<Seal> {
        [Some(self.current), self.before]
            .into_iter()
            .flatten()
            .find(|key| key.open(context, sealed).is_some())
    }
}

impl From<Seal> for SealKeys {
    fn from(current: Seal) -> Self {
        Self::new(current, None)
    }
}

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// It cannot be read or written.
    #[error("the key file {path} cannot be used")]
    Io {
        /// The file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// Not 32 bytes of hex.
    #[error("the key file {path} does not hold 64 hex digits")]
    Form {
        /// The file.
        path: String,
    },
    /// An environment variable that is missing or not text.
    #[error("the environment variable {name} holds no key; set it to 64 hex digits, or name a file")]
    NoVariable {
        /// The variable.
        name: String,
    },
    /// An environment variable without 32 bytes of hex.
    #[error("the environment variable {name} does not hold 64 hex digits")]
    Variable {
        /// The variable.
        name: String,
    },
    /// Readable by others.
    #[error("the key file {path} can be read by other users; run `chmod 600 {path}`")]
    Exposed {
        /// The file.
        path: String,
    },
}

/// Reads 32 secret bytes from a file that nobody but its owner may read.
pub(crate) fn read_key_file(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    let text = read_secret_file(path)?;
    let form = |_| KeyFileError::Form { path: path.display().to_string() };
    hex::decode_to_array(text.trim()).map(Zeroizing::new).map_err(form)
}

/// Reads a file that nobody but its owner may read.
pub(crate) fn read_secret_file(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let io = |source| io(path, source);
    if is_exposed(path).map_err(io)? {
        return Err(KeyFileError::Exposed { path: path.display().to_string() });
    }
    std::fs::read_to_string(path).map(Zeroizing::new).map_err(io)
}

/// Reads 32 secret bytes from an environment variable. This program's copies are wiped; what the system keeps of the
/// environment a process began with is out of its reach.
fn read_key_variable(name: &str) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    let missing = |_| KeyFileError::NoVariable { name: name.to_owned() };
    let text = Zeroizing::new(std::env::var(name).map_err(missing)?);
    let key =
        hex::decode_to_array(text.trim()).map_err(|_| KeyFileError::Variable { name: name.to_owned() })?;
    Ok(Zeroizing::new(key))
}

/// Whether others than a file's owner may read it, or write to it.
pub(crate) fn is_exposed(path: &Path) -> std::io::Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        Ok(std::fs::metadata(path)?.permissions().mode() & 0o077 != 0)
    }
    #[cfg(not(unix))]
    std::fs::metadata(path).map(|_| false)
}

/// Writes 32 fresh random bytes to a new file that nobody but its owner may read, and gives them.
pub(crate) fn create_key_file(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    let key = random_key().map_err(|error| io(path, error.into()))?;
    write_key_file(path, &key)?;
    Ok(key)
}

/// 32 fresh random bytes.
pub(crate) fn random_key() -> Result<Zeroizing<[u8; 32]>, getrandom::Error> {
    let mut key = Zeroizing::new([0; 32]);
    getrandom::fill(key.as_mut_slice())?;
    Ok(key)
}

/// Writes 32 secret bytes to a new file; they are on disk when this returns.
pub(crate) fn write_key_file(path: &Path, key: &[u8; 32]) -> Result<(), KeyFileError> {
    let text = Zeroizing::new(hex::encode(key));
    let written = create_private(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|source| io(path, source))
}

/// A new file that nobody but its owner may read.
pub(crate) fn create_private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn io(path: &Path, source: std::io::Error) -> KeyFileError {
    KeyFileError::Io { path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_keys_and_what_they_are_derived_with_are_wiped() {
        fn is_wiped<T: zeroize::ZeroizeOnDrop>() {}
        // The state of HKDF.
        is_wiped::<sha2::Sha256>();
        is_wiped::<x25519_dalek::StaticSecret>();
    }

    #[test]
    #[cfg(unix)]
    fn a_key_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seal.key");
        let key = create_key_file(&path).unwrap();
        assert_eq!(*read_key_file(&path).unwrap(), *key);
        assert!(matches!(create_key_file(&path), Err(KeyFileError::Io { .. })), "never overwritten");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(read_key_file(&path), Err(KeyFileError::Exposed { .. })));
    }
}
