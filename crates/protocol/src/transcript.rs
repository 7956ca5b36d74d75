use alloy_primitives::{B256, Keccak256};

/// A domain-separated, length-prefixed keccak-256 over a list of fields.
///
/// Every hash that nodes and clients sign or compare is made here, so that no two purposes and no two splits of
/// the same bytes can share a digest.
///
/// ```
/// use quorate_protocol::Transcript;
///
/// let split = Transcript::new("example").field(b"ab").field(b"c").finish();
/// assert_ne!(split, Transcript::new("example").field(b"a").field(b"bc").finish());
/// assert_ne!(split, Transcript::new("another").field(b"ab").field(b"c").finish());
/// ```
#[derive(Clone, Debug)]
pub struct Transcript(Keccak256);

impl Transcript {
    /// Starts a transcript for one purpose, named by `domain`.
    pub fn new(domain: &str) -> Self {
        Self(Keccak256::new()).field(b"quorate").field(domain.as_bytes())
    }

    /// Appends one field: its length as eight bytes, then its bytes.
    pub fn field(mut self, bytes: &[u8]) -> Self {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }

    /// Appends a number as eight bytes.
    pub fn number(self, value: u64) -> Self {
        self.field(&value.to_be_bytes())
    }

    /// The digest.
    pub fn finish(self) -> B256 {
        self.0.finalize()
    }
}
