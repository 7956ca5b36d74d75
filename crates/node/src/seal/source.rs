//! Where a seal key is read from.

use std::path::PathBuf;

use quorate_seal::Seal;
use serde::{Deserialize, Serialize};

use super::{KeyFileError, read_key_file, read_key_variable};

/// Where a seal key is read from: `"seal.key"`, or `{ environment = "QUORATE_SEAL" }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a file's path, or { environment = \"NAME\" }")]
pub enum SealSource {
    /// A file that nobody but its owner may read.
    File(PathBuf),
    /// An environment variable.
    Variable(Variable),
}

/// An environment variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// Its name.
    pub environment: String,
}

impl SealSource {
    /// Reads the key.
    pub(crate) fn read(&self) -> Result<Seal, KeyFileError> {
        let key = match self {
            Self::File(path) => read_key_file(path)?,
            Self::Variable(Variable { environment }) => read_key_variable(environment)?,
        };
        Ok(Seal::new(&key))
    }
}

impl From<PathBuf> for SealSource {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}
