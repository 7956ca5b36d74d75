use std::fmt;

/// What a transaction makes durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Write {
    /// That the database was opened once more.
    Start,
    /// The same, in the file beside the database.
    Life,
    /// A key that waits for the other nodes' confirmations, with this node's own.
    PendingKey,
    /// Other nodes' confirmations of a pending key.
    Confirmations,
    /// A key that all nodes have confirmed.
    Key,
    /// The end of keys that have been pending for too long.
    Removal,
    /// Whose a key is.
    Assignment,
    /// What other nodes attest of whose a key is.
    Attestations,
    /// What an owner says about a key, and what nodes say for it.
    Statement,
    /// An operation that counts.
    Charge,
    /// An operation that counts no longer.
    Withdrawal,
    /// A node that cheated.
    Ban,
}

impl Write {
    /// All writes.
    pub const ALL: [Self; 12] = [
        Self::Start,
        Self::Life,
        Self::PendingKey,
        Self::Confirmations,
        Self::Key,
        Self::Removal,
        Self::Assignment,
        Self::Attestations,
        Self::Statement,
        Self::Charge,
        Self::Withdrawal,
        Self::Ban,
    ];
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "a start",
            Self::Life => "the file beside the database",
            Self::PendingKey => "a pending key",
            Self::Confirmations => "confirmations",
            Self::Key => "a key",
            Self::Removal => "a removal",
            Self::Assignment => "an assignment",
            Self::Attestations => "attestations",
            Self::Statement => "a statement",
            Self::Charge => "a charge",
            Self::Withdrawal => "a withdrawal",
            Self::Ban => "a ban",
        })
    }
}
