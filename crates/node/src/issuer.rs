//! The key of an operator who issues admission tokens: a file like those of the nodes' keys.

use std::path::Path;

use ed25519_dalek::SigningKey;
use quorate_protocol::TokenIssuer;

use crate::seal::{KeyFileError, create_key_file, read_key_file};

/// Writes a fresh key to a new file that nobody but its owner may read, and gives the public key for the nodes'
/// configurations.
///
/// # Errors
/// A file that exists or cannot be written.
pub fn create_issuer(file: &Path) -> Result<TokenIssuer, KeyFileError> {
    Ok(TokenIssuer::from(&SigningKey::from_bytes(&*create_key_file(file)?)))
}

/// Reads a key that [`create_issuer`] wrote. It is wiped when it is dropped.
///
/// # Errors
/// A file that cannot be read, that others may read too, or that holds no key.
pub fn load_issuer(file: &Path) -> Result<SigningKey, KeyFileError> {
    Ok(SigningKey::from_bytes(&*read_key_file(file)?))
}
