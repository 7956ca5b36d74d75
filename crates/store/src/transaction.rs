use alloy_primitives::U256;

/// A transaction of a key's own address, or a user operation of its account, from before it is signed until the chain has one with
/// its nonce.
///
/// The chain takes one of each nonce. So a nonce is reserved before anything is signed with it, and one of several processes has
/// it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Of a transaction, how many of the address come before it; of an operation, the stream in the upper 192 bits and the sequence
    /// in the lower 64.
    pub nonce: U256,
    /// What it calls its contract with. All that are signed with the nonce have the same.
    pub data: Vec<u8>,
    /// Until when whoever reserved the nonce is waited for, in seconds since 1970. It matters while nothing is signed.
    pub reserved_until: u64,
    /// What was signed, to be sent again: the first, and those with higher fees. The store does not read it.
    pub signed: Vec<Vec<u8>>,
}

impl Transaction {
    /// Whether another may have the nonce at that time, in seconds since 1970.
    pub const fn is_free(&self, now: u64) -> bool {
        self.signed.is_empty() && self.reserved_until < now
    }
}
