//! Whether the enforcers of a context let an execution pass.

mod amounts;
mod calls;
mod judge;
mod revocation;

use alloy_primitives::{Address, B256};

use super::{
    MAX_DELEGATIONS,
    context::Context,
    enforcer::Enforcers,
    execution::Mode,
    reason::{Forbidden, NotJudged},
    state::{Charge, Counters, State},
    typed::{ANY_DELEGATE, CaveatPlace, Delegation, ROOT_AUTHORITY},
};
use crate::texts;

/// One execution under a context whose delegations lead from its root to who redeems it.
#[derive(Clone, Debug)]
pub struct Redemption<'a> {
    context: Context<'a>,
    /// Of the context's delegations, in their order.
    hashes: heapless::Vec<B256, MAX_DELEGATIONS>,
    mode: Mode,
    execution: &'a [u8],
    redeemer: Address,
}

impl<'a> Redemption<'a> {
    /// What `redeemer`, who calls the manager, is to have executed.
    ///
    /// # Errors
    /// [`ChainError`] where the manager would find that the delegations do not lead to `redeemer`. It also verifies their
    /// signatures, and that none is disabled: that is not looked at.
    #[inline(never)]
    pub fn new(
        context: Context<'a>,
        mode: Mode,
        execution: &'a [u8],
        redeemer: Address,
    ) -> Result<Self, ChainError> {
        let mut hashes = heapless::Vec::new();
        let (mut delegate, mut authority) = (redeemer, None);
        // The checks of the manager that need neither the chain nor a curve, in its order.
        for (index, delegation) in context.delegations().enumerate() {
            let hash = delegation.hash();
            if authority.is_some_and(|authority| authority != hash) {
                return Err(ChainError::Authority { delegation: index.saturating_sub(1) });
            }
            if delegation.delegate != ANY_DELEGATE && delegation.delegate != delegate {
                return Err(ChainError::Delegate { delegation: index, delegate: delegation.delegate });
            }
            delegate = delegation.delegator;
            authority = Some(delegation.authority);
            // There are no more than fit.
            let _ = hashes.push(hash);
        }
        if authority == Some(ROOT_AUTHORITY) {
            Ok(Self { context, hashes, mode, execution, redeemer })
        } else {
            Err(ChainError::Authority { delegation: context.len().saturating_sub(1) })
        }
    }

    /// Under what it is.
    pub const fn context(&self) -> Context<'a> {
        self.context
    }

    /// The hashes of the context's delegations, leaf first.
    pub fn hashes(&self) -> &[B256] {
        &self.hashes
    }

    /// How it is executed.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// What is executed.
    pub const fn execution(&self) -> &'a [u8] {
        self.execution
    }

    /// Who redeems it.
    pub const fn redeemer(&self) -> Address {
        self.redeemer
    }

    /// Whether all its caveats allow it.
    pub fn evaluate<C: Counters + ?Sized>(&self, enforcers: &Enforcers<'_>, state: &State<'_, C>) -> Verdict {
        Verdict::of(self.judgements(enforcers, state).map(|(_, judgement)| judgement))
    }

    /// What is found of each caveat, in the order in which the manager has them enforced, up to the first that forbids it.
    ///
    /// If there is none, the charges in them are what the enforcers have kept afterwards.
    pub fn judgements<'s, C: Counters + ?Sized>(
        &'s self,
        enforcers: &'s Enforcers<'s>,
        state: &'s State<'s, C>,
    ) -> Judgements<'s, C> {
        let next = CaveatPlace { delegation: 0, caveat: 0 };
        Judgements { redemption: self, enforcers, state, delegation: self.context.get(0), next }
    }
}

/// Why a manager would not take a context from who redeems it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// A delegation is another one's: not who redeems it for the first, not the delegator of the one before for the others.
    /// The manager reverts with `InvalidDelegate()`.
    Delegate {
        /// Which delegation, counted from 0 at the leaf.
        delegation: usize,
        /// Whose it is.
        delegate: Address,
    },
    /// A delegation does not rest on the next one, or the last one on another. The manager reverts with
    /// `InvalidAuthority()`.
    Authority {
        /// Which delegation, counted from 0 at the leaf.
        delegation: usize,
    },
}

texts!(ChainError {
    Delegate { delegation, delegate } =>
        "delegation {} is for {}, and neither open nor for who makes use of it",
    Authority { delegation } =>
        "the authority of delegation {} has to be the hash of the next one, or 32 bytes 0xff for the last one",
});

/// What a context's caveats say of an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All of them allow it.
    Allowed,
    /// The chain would revert.
    Forbidden(Forbidden),
    /// None forbids it as far as can be said, and one of them at least cannot be judged.
    NotJudged(NotJudged),
}

impl Verdict {
    /// What judgements come to: the first that forbids, else the first that is none, else leave.
    pub fn of(judgements: impl IntoIterator<Item = Judgement>) -> Self {
        let mut verdict = Self::Allowed;
        for judgement in judgements {
            match judgement {
                Judgement::Forbidden(forbidden) => return Self::Forbidden(forbidden),
                Judgement::NotJudged(reason) if verdict == Self::Allowed => verdict = Self::NotJudged(reason),
                Judgement::NotJudged(_) | Judgement::Allowed(_) => {}
            }
        }
        verdict
    }
}

/// What a caveat says of an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "nothing is allocated here, and most are the large one")]
pub enum Judgement {
    /// It allows it, and its enforcer keeps what stands here.
    Allowed(Option<Charge>),
    /// Its enforcer would revert.
    Forbidden(Forbidden),
    /// It cannot be said.
    NotJudged(NotJudged),
}

/// The judgements of a [`Redemption`], with the places of the caveats.
#[derive(Debug)]
pub struct Judgements<'s, C: ?Sized> {
    redemption: &'s Redemption<'s>,
    enforcers: &'s Enforcers<'s>,
    state: &'s State<'s, C>,
    /// The one that `next` is in, until all is said.
    delegation: Option<Delegation<'s>>,
    next: CaveatPlace,
}

impl<C: Counters + ?Sized> Iterator for Judgements<'_, C> {
    type Item = (CaveatPlace, Judgement);

    #[inline(never)]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let delegation = self.delegation?;
            let place = self.next;
            let Some(caveat) = delegation.caveats.get(place.caveat) else {
                self.next = CaveatPlace { delegation: place.delegation + 1, caveat: 0 };
                self.delegation = self.redemption.context.get(self.next.delegation);
                continue;
            };
            self.next.caveat += 1;
            let judgement = self.judge(&delegation, caveat, place);
            if matches!(judgement, Judgement::Forbidden(_)) {
                self.delegation = None;
            }
            return Some((place, judgement));
        }
    }
}

impl<C: Counters + ?Sized> core::iter::FusedIterator for Judgements<'_, C> {}
