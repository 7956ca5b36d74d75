//! A delegation, all of which has to be there before it is read.

use quorate_core::{B256, DelegationDomain, DelegationReview, Show, TrustedContext, delegation::Context};

use crate::refusal::Refusal;

/// The most bytes of a delegation as its manager takes it, which is 352, 224 for each caveat with a word of terms, and 32 for each
/// further word.
pub const MAX_DELEGATION: usize = 4096;

/// The delegation as far as it has come, and what is known of contracts and functions.
pub(crate) struct DelegationBuffer<'a> {
    trusted: TrustedContext<'a>,
    encoded: heapless::Vec<u8, MAX_DELEGATION>,
}

impl<'a> DelegationBuffer<'a> {
    pub(crate) const fn new(trusted: TrustedContext<'a>) -> Self {
        Self { trusted, encoded: heapless::Vec::new() }
    }

    pub(crate) fn clear(&mut self) {
        self.encoded.clear();
    }

    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        self.encoded
            .extend_from_slice(piece)
            .map_err(|_| Refusal::DelegationTooLong { limit: MAX_DELEGATION })
    }

    /// Shows the delegation, and gives the digest to sign.
    #[inline(never)]
    pub(crate) fn review<S: Show>(&self, domain: DelegationDomain, show: S) -> Result<B256, Refusal> {
        let delegation = Context::parse(&self.encoded)?.single().ok_or(Refusal::NotOneDelegation)?;
        Ok(DelegationReview::new(self.trusted, show).review(domain, &delegation)?)
    }
}
