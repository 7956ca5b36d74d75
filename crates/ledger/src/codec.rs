//! The encoding of what is stored and of what goes to peers: one version byte, then postcard.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why bytes are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Nothing at all.
    #[error("the {what} is empty; it begins with the version byte {version}")]
    Empty {
        /// What was to be read.
        what: &'static str,
        /// The version that this program reads.
        version: u8,
    },
    /// Another version.
    #[error("the {what} has version {found}; this program reads version {expected}")]
    Version {
        /// What was to be read.
        what: &'static str,
        /// The version found.
        found: u8,
        /// The version that this program reads.
        expected: u8,
    },
    /// More bytes than it may have.
    #[error("the {what} has {found} bytes; it may have {most}")]
    TooLong {
        /// What was to be read.
        what: &'static str,
        /// Its bytes.
        found: usize,
        /// The most that it may have.
        most: usize,
    },
    /// Bytes that do not spell such a value, or more bytes than it has.
    #[error("the {what} is malformed: {reason}")]
    Malformed {
        /// What was to be read.
        what: &'static str,
        /// Which rule is broken.
        reason: &'static str,
    },
}

/// One kind of value with its version and its size limit.
pub(crate) struct Format {
    pub(crate) what: &'static str,
    pub(crate) version: u8,
    /// In bytes, with the version byte.
    pub(crate) most: usize,
}

impl Format {
    /// The version byte and the value.
    ///
    /// # Panics
    /// Never: postcard fails only on maps and sequences of unknown length, and on a full buffer; no type here has the
    /// one, and a vector grows.
    pub(crate) fn encode(&self, value: &impl Serialize) -> Vec<u8> {
        match postcard::to_extend(value, vec![self.version]) {
            Ok(bytes) => bytes,
            Err(error) => unreachable!("a {} cannot be encoded: {error}", self.what),
        }
    }

    /// The value, if the bytes are exactly one of this version.
    pub(crate) fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, DecodeError> {
        let Self { what, version, most } = *self;
        if bytes.len() > most {
            return Err(DecodeError::TooLong { what, found: bytes.len(), most });
        }
        let Some((found, body)) = bytes.split_first() else {
            return Err(DecodeError::Empty { what, version });
        };
        if *found != version {
            return Err(DecodeError::Version { what, found: *found, expected: version });
        }
        match postcard::take_from_bytes(body) {
            Ok((value, [])) => Ok(value),
            Ok(_) => Err(self.malformed("bytes follow its end")),
            Err(_) => Err(self.malformed("the bytes do not spell one")),
        }
    }

    pub(crate) const fn malformed(&self, reason: &'static str) -> DecodeError {
        DecodeError::Malformed { what: self.what, reason }
    }
}
