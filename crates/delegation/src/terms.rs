//! The terms of caveats, by field.

use alloy_primitives::{Address, U256};

/// Reads fields from the first byte on.
pub(crate) struct Terms<'t>(&'t [u8]);

impl<'t> Terms<'t> {
    pub(crate) const fn new(bytes: &'t [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn word(&mut self) -> Option<U256> {
        self.fixed::<32>().map(|word| U256::from_be_bytes(*word))
    }

    pub(crate) fn half_word(&mut self) -> Option<u128> {
        self.fixed::<16>().map(|bytes| u128::from_be_bytes(*bytes))
    }

    pub(crate) fn address(&mut self) -> Option<Address> {
        self.fixed::<20>().map(|bytes| Address::new(*bytes))
    }

    /// What is left, if it is whole addresses, and one at least.
    pub(crate) fn addresses(self) -> Option<Vec<Address>> {
        let (addresses, rest) = self.0.as_chunks::<20>();
        (rest.is_empty() && !addresses.is_empty()).then(|| addresses.iter().map(Address::from).collect())
    }

    pub(crate) const fn rest(self) -> &'t [u8] {
        self.0
    }

    /// Whether all was read.
    pub(crate) const fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    fn fixed<const N: usize>(&mut self) -> Option<&'t [u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(first)
    }
}
