//! What ties a node's hello to the TLS connection that it is sent over.

use std::ops::Deref;

use rustls::ConnectionCommon;

/// A value that both ends of one TLS connection have, and nobody has on another connection (RFC 9266, `tls-exporter`).
///
/// Whoever stands between two connections has one value with each side; what is signed over the one does not count on the
/// other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChannelBinding([u8; 32]);

const LABEL: &[u8] = b"EXPORTER-Channel-Binding";

impl ChannelBinding {
    /// The value of a connection whose handshake is complete.
    pub(crate) fn of<Side>(
        connection: &impl Deref<Target = ConnectionCommon<Side>>,
    ) -> Result<Self, rustls::Error> {
        connection.export_keying_material([0; 32], LABEL, Some(&[])).map(Self)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    #[cfg(test)]
    pub(crate) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}
