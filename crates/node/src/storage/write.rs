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
    /// That nobody can have a key any more.
    DeadKey,
    /// What an owner says about a key, and what nodes say for it.
    Statement,
    /// An operation that counts.
    Charge,
    /// An operation that counts no longer.
    Withdrawal,
    /// A node that cheated.
    Ban,
    /// That a node has cheated, as the one that it cheated says.
    SignedBan,
    /// All shares, under another seal key.
    Seal,
    /// That a backup is in the database's place.
    Restored,
    /// The end of a quarantine.
    Release,
}

impl Write {
    /// All writes.
    pub const ALL: [Self; 17] = [
        Self::Start,
        Self::Life,
        Self::PendingKey,
        Self::Confirmations,
        Self::Key,
        Self::Removal,
        Self::Assignment,
        Self::Attestations,
        Self::DeadKey,
        Self::Statement,
        Self::Charge,
        Self::Withdrawal,
        Self::Ban,
        Self::SignedBan,
        Self::Seal,
        Self::Restored,
        Self::Release,
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
            Self::DeadKey => "a key's death",
            Self::Statement => "a statement",
            Self::Charge => "a charge",
            Self::Withdrawal => "a withdrawal",
            Self::Ban => "a ban",
            Self::SignedBan => "another node's ban",
            Self::Seal => "shares under another seal key",
            Self::Restored => "a restored database",
            Self::Release => "the end of a quarantine",
        })
    }
}
