use alloy_primitives::Address;

/// A key of a signing network that redeems what an account delegates to it, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelegatedKey {
    /// The key's own address, to which the delegation is.
    pub address: Address,
    /// The key's id at the network.
    pub key_id: String,
    /// What the key may sign, as the text that is registered with the network; the store does not read it.
    pub permissions: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
}
