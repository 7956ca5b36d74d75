//! A row of the journal, as it is stored.

use quorate_protocol::NodeIndex;
use serde::{Deserialize, Serialize};

use crate::amounts::Counted;
use crate::codec::{DecodeError, Format};
use crate::{Amounts, Nonce, StatementHash, Timestamp};

/// The most dimensions an operation may have: four of the operation itself, and 64 of arguments and of
/// the coin's windows.
pub const MAX_DIMENSIONS: usize = 68;

/// The most bytes of a signed request that the ledger takes: a setup of 256 KiB, an authentication of 16 KiB, and the
/// challenge's nonces.
pub const MAX_REQUEST_BYTES: usize = 288 * 1024;

const ROW: Format = Format { what: "ledger row", version: 1, most: 16 * 1024 };

/// How a node came to know an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Origin {
    /// It charged the operation to sign it.
    Own,
    /// This peer told it.
    Peer(NodeIndex),
}

/// One operation that a node counts, without its place and without the signed request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Row {
    /// The operation's nonce.
    pub nonce: Nonce,
    /// What it comes to.
    pub amounts: Amounts,
    /// When it was charged: by this node's clock, or as the peer told it (at most [`MAX_CLOCK_SKEW`] ahead of this node's
    /// clock).
    ///
    /// [`MAX_CLOCK_SKEW`]: crate::MAX_CLOCK_SKEW
    pub charged_at: Timestamp,
    /// Who charged it first, as far as this node knows.
    pub origin: Origin,
    /// The statement that registered the ephemeral key which signed the request.
    pub statement: StatementHash,
    /// The length of the signed request in bytes.
    pub request_bytes: u32,
}

/// A row to be inserted, with the signed request that shows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NewRow {
    /// What is counted.
    pub row: Row,
    /// The signed request, as it came.
    pub request: Vec<u8>,
}

impl Row {
    /// The stored form: a version byte, then postcard.
    ///
    /// ```
    /// # use alloy_primitives::{B256, U256};
    /// # use quorate_ledger::{Amounts, Dimension, Nonce, Origin, Row, StatementHash, Timestamp};
    /// let row = Row {
    ///     nonce: Nonce::new(U256::from(7)),
    ///     amounts: [(Dimension::Uses, U256::ONE)].into_iter().collect(),
    ///     charged_at: Timestamp::new(1_700_000_000),
    ///     origin: Origin::Own,
    ///     statement: StatementHash::new(B256::ZERO),
    ///     request_bytes: 900,
    /// };
    /// assert_eq!(Row::decode(&row.encode())?, row);
    /// # Ok::<(), quorate_ledger::DecodeError>(())
    /// ```
    pub fn encode(&self) -> Vec<u8> {
        ROW.encode(self)
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// Another version, too many bytes or dimensions, or bytes that are not a row.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let row: Self = ROW.decode(bytes)?;
        if row.amounts.len() > MAX_DIMENSIONS {
            return Err(ROW.malformed("it has more than 68 dimensions"));
        }
        Ok(row)
    }

    pub(crate) fn counted(&self) -> Counted {
        self.amounts.at(self.charged_at)
    }
}
