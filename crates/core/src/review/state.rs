//! A review in the caller's storage, and its steps in their order.

use core::fmt;

use alloy_primitives::{Address, B256};

use super::{
    error::ReviewError,
    head::{Domain, OperationHead},
    item::Show,
    items::{self, Items},
    sessions::Lints,
    steps::{Stage, Steps},
};
use crate::{policy::condition::Condition, session::leaf::SessionLeaf, trusted::TrustedContext};

/// What to do with call data that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnreadable {
    /// Refuse the operation.
    #[default]
    Refuse,
    /// Say so, and leave the decision to whoever reads it. A grant is refused all the same.
    Show,
}

/// A review, in the caller's storage: some 3 KiB with its room for `CALLS` calls, whatever the number of sessions and the
/// length of the call data.
///
/// [`review`](Self::review) begins one, and leads through the steps by their types. Where types cannot lead, the steps are
/// here, and their order is checked: [`begin`](Self::begin), each [`session`](Self::session) of a grant, the
/// [`call_data`](Self::call_data) in pieces, [`finish`](Self::finish). A step that fails ends the review: nothing gives a
/// hash then but a new one, which `begin` starts at any time.
pub struct ReviewState<'a, S, const CALLS: usize = 8> {
    show: S,
    steps: Steps<'a, CALLS>,
}

impl<'a, S: Show, const CALLS: usize> ReviewState<'a, S, CALLS> {
    /// No review yet.
    pub fn new(trusted: TrustedContext<'a>, show: S) -> Self {
        Self { show, steps: Steps::new(trusted) }
    }

    /// Says what to do with call data that cannot be read; it is refused unless something else is said.
    #[must_use]
    pub const fn on_unreadable(mut self, on_unreadable: OnUnreadable) -> Self {
        self.steps.on_unreadable = on_unreadable;
        self
    }

    /// Has what most owners would not allow said of each session ([`Lint`](crate::Lint)), also what needs more than the
    /// session: `now`, in seconds since 1970, where there is a clock, and the conditions that a probe found the chain's module
    /// not to enforce.
    #[must_use]
    pub const fn with_lints(mut self, now: Option<u64>, unenforced: &'a [Condition]) -> Self {
        self.steps.lints = Some(Lints::new(now, unenforced));
        self
    }

    /// Begins a review, and leads through its steps.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub fn review(
        &mut self,
        domain: Domain,
        head: &OperationHead<'_>,
    ) -> Result<Sessions<'_, 'a, S, CALLS>, ReviewError> {
        self.begin(domain, head)?;
        Ok(Sessions(self))
    }

    /// Begins a review, whatever was there before: shows who acts, and who pays how much.
    ///
    /// # Errors
    /// What the entry point would not take; an item that is not shown.
    #[inline(never)]
    pub fn begin(&mut self, domain: Domain, head: &OperationHead<'_>) -> Result<(), ReviewError> {
        self.step(&mut |steps, items| steps.begin(items, domain, head))
    }

    /// Shows the next session that the account is to have. They come before the call data: all of them, in the order of
    /// their tree, and none for an operation that grants nothing.
    ///
    /// # Errors
    /// A session that cannot be shown.
    #[inline(never)]
    pub fn session(&mut self, leaf: &SessionLeaf<'_>) -> Result<(), ReviewError> {
        self.step(&mut |steps, items| steps.session(items, leaf))
    }

    /// Shows a session that nobody here can read, and that the account keeps: it stands under the last root that this
    /// device signed for this account, chain and session key manager, which `signed` is.
    ///
    /// A root that somebody else gives proves nothing: any leaf has a proof under a root made for it.
    ///
    /// # Errors
    /// A leaf that is not under that root.
    #[inline(never)]
    pub fn kept_session(
        &mut self,
        leaf: B256,
        proof: &[B256],
        signed: SignedRoot,
    ) -> Result<(), ReviewError> {
        self.step(&mut |steps, items| steps.kept_session(items, &leaf, proof, &signed))
    }

    /// Takes the next piece of the call data, and shows the calls that are whole.
    ///
    /// # Errors
    /// Call data that cannot be read, a call that can change who controls the account and is not read whole, or a root that
    /// is not that of the sessions shown.
    #[inline(never)]
    pub fn call_data(&mut self, piece: &[u8]) -> Result<(), ReviewError> {
        self.step(&mut |steps, items| steps.call_data(items, piece))
    }

    /// Ends the review, and gives the operation's hash: what is signed if the items are approved.
    ///
    /// # Errors
    /// Call data that ends within a call, or sessions that are not granted.
    #[inline(never)]
    pub fn finish(&mut self) -> Result<B256, ReviewError> {
        let mut hash = B256::ZERO;
        self.step(&mut |steps, items| {
            hash = steps.finish(items)?;
            Ok(())
        })?;
        Ok(hash)
    }

    /// Where the items go.
    pub const fn display(&mut self) -> &mut S {
        &mut self.show
    }

    /// Takes a step; after one that fails nothing gives a hash.
    pub(super) fn step(
        &mut self,
        step: &mut dyn FnMut(&mut Steps<'a, CALLS>, &mut Items<'_>) -> Result<(), ReviewError>,
    ) -> Result<(), ReviewError> {
        let taken = items::step(&mut self.show, &mut |items| step(&mut self.steps, items));
        if taken.is_err() {
            self.steps.stage = Stage::Idle;
        }
        taken
    }
}

/// The last root that this device itself signed, of one account on one chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedRoot {
    /// The session key manager.
    pub manager: Address,
    /// The root.
    pub root: B256,
}

impl<S, const CALLS: usize> fmt::Debug for ReviewState<'_, S, CALLS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReviewState")
            .field("stage", &self.steps.stage)
            .field("domain", &self.steps.domain)
            .field("sessions", &self.steps.sessions)
            .finish_non_exhaustive()
    }
}

/// A review whose operation was shown: sessions may come, then the call data.
#[derive(Debug)]
pub struct Sessions<'r, 'a, S, const CALLS: usize = 8>(&'r mut ReviewState<'a, S, CALLS>);

/// A review whose sessions were shown: the call data comes in pieces.
#[derive(Debug)]
pub struct CallData<'r, 'a, S, const CALLS: usize = 8>(&'r mut ReviewState<'a, S, CALLS>);

impl<'r, 'a, S: Show, const CALLS: usize> Sessions<'r, 'a, S, CALLS> {
    /// As [`ReviewState::session`].
    ///
    /// # Errors
    /// A session that cannot be shown.
    pub fn session(self, leaf: &SessionLeaf<'_>) -> Result<Self, ReviewError> {
        self.0.session(leaf)?;
        Ok(self)
    }

    /// As [`ReviewState::kept_session`].
    ///
    /// # Errors
    /// A leaf that is not under that root.
    pub fn kept_session(self, leaf: B256, proof: &[B256], signed: SignedRoot) -> Result<Self, ReviewError> {
        self.0.kept_session(leaf, proof, signed)?;
        Ok(self)
    }

    /// All sessions were shown.
    pub const fn calls(self) -> CallData<'r, 'a, S, CALLS> {
        CallData(self.0)
    }
}

impl<S: Show, const CALLS: usize> CallData<'_, '_, S, CALLS> {
    /// As [`ReviewState::call_data`].
    ///
    /// # Errors
    /// Call data that cannot be read, or grants other sessions.
    pub fn piece(self, piece: &[u8]) -> Result<Self, ReviewError> {
        self.0.call_data(piece)?;
        Ok(self)
    }

    /// As [`piece`](Self::piece), of several.
    ///
    /// # Errors
    /// As [`piece`](Self::piece).
    pub fn pieces<'p>(self, pieces: impl IntoIterator<Item = &'p [u8]>) -> Result<Self, ReviewError> {
        pieces.into_iter().try_fold(self, Self::piece)
    }

    /// As [`ReviewState::finish`].
    ///
    /// # Errors
    /// Call data that ends within a call, or sessions that are not granted.
    pub fn finish(self) -> Result<B256, ReviewError> {
        self.0.finish()
    }
}
