use alloy_primitives::{Address, B256, hex};
use quorate_core::delegation::{CaveatPlace, ChainError, Context, ContextError, Mode, Redemption};

/// A chain of delegations in its one encoding, that leads from its root to a named delegate.
///
/// All of it is kept, signatures as well, so that a node makes the same bytes of it that are redeemed.
#[derive(Clone, PartialEq, Eq)]
pub struct PinnedContext {
    bytes: Vec<u8>,
    /// Of its delegations, leaf first.
    hashes: Vec<B256>,
    /// How many caveats each of them has.
    caveats: Vec<usize>,
    delegate: Address,
}

/// Why a permission context cannot be what a key redeems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PinnedContextError {
    /// Not the canonical encoding of delegations within the bounds.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// An open delegation, which anybody can redeem, and so use up its counters.
    #[error(
        "delegation {delegation} is open: anybody can redeem it and use up its counters; name a delegate"
    )]
    Open {
        /// Which delegation, counted from 0 at the leaf.
        delegation: usize,
    },
    /// The delegations do not rest on each other.
    #[error(transparent)]
    Chain(#[from] ChainError),
}

impl PinnedContext {
    /// Takes `abi.encode(Delegation[])`, leaf first.
    ///
    /// # Errors
    /// [`PinnedContextError`] for every encoding but the canonical one, an open delegation, and delegations that do not rest
    /// on each other.
    pub fn new(bytes: Vec<u8>) -> Result<Self, PinnedContextError> {
        let context = Context::parse(&bytes)?;
        if let Some(delegation) = context.delegations().position(|delegation| delegation.is_open()) {
            return Err(PinnedContextError::Open { delegation });
        }
        let delegate = context.get(0).map(|leaf| leaf.delegate).unwrap_or_default();
        let hashes = Redemption::new(context, Mode::SINGLE, &[], delegate)?.hashes().to_vec();
        let caveats = context.delegations().map(|delegation| delegation.caveats.len()).collect();
        Ok(Self { bytes, hashes, caveats, delegate })
    }

    /// The encoding.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The hashes of the delegations, leaf first.
    pub fn hashes(&self) -> &[B256] {
        &self.hashes
    }

    /// Who redeems it.
    pub const fn delegate(&self) -> Address {
        self.delegate
    }

    /// The hash of the delegation that is redeemed.
    pub(super) fn leaf(&self) -> B256 {
        self.hashes.first().copied().unwrap_or_default()
    }

    /// Whether there is a caveat at that place.
    pub(super) fn has(&self, place: CaveatPlace) -> bool {
        self.caveats.get(place.delegation).is_some_and(|caveats| place.caveat < *caveats)
    }
}

impl std::fmt::Debug for PinnedContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PinnedContext({})", hex::encode_prefixed(&self.bytes))
    }
}
