//! The review of several operations that an owner signs at once.

use core::fmt;

use alloy_primitives::B256;

use super::{
    error::ReviewError,
    head::{Domain, OperationHead},
    item::{Item, NotShown, Show, Value},
    items::Items,
    label::Label,
    sessions::show_epoch,
    state::ReviewState,
};
use crate::{
    lint::severity::Severity,
    policy::epoch::SessionEpoch,
    session::{leaf::SessionLeaf, merkle, multichain::leaf},
    texts,
    trusted::TrustedContext,
};

/// The review of the operations under one signature, one after the other: for each [`begin`](Self::begin), each
/// [`session`](Self::session) of a grant, the [`call_data`](Self::call_data) in pieces and [`end`](Self::end); and
/// [`finish`](Self::finish) after all.
///
/// The root to sign comes after the last operation, from the bytes that were shown. Nothing else gets into it: a hash
/// cannot be added, and an operation that is refused or not reviewed to its end leaves no root. What cannot be read is
/// always refused.
///
/// There is room for `OPERATIONS` operations, with 32 bytes for each, and for `CALLS` calls in one operation.
///
/// ```
/// use quorate_core::*;
///
/// let call = Call { to: Address::repeat_byte(0xcc), value: U256::from(1), data: &[] };
/// let mut call_data = heapless::Vec::<u8, 256>::new();
/// Execute(call).write_to(&mut call_data)?;
/// let operation = UserOperation::<&[u8]> { call_data: &call_data, ..UserOperation::default() };
/// let head = OperationHead::V0_6(operation.without_call_data());
/// let epoch = SessionEpoch::new(0, 1_900_000_000)?;
///
/// let mut shown = String::new();
/// let mut review: MultichainReview<'_, _> = MultichainReview::new(TrustedContext::CANONICAL, Text(&mut shown));
/// for chain_id in [1, 10] {
///     let domain = Domain { entry_point: EntryPointVersion::V0_6.address(), chain_id };
///     review.begin(domain, &head, epoch)?;
///     review.call_data(&call_data)?;
///     review.end()?;
/// }
/// let digest = signing_hash(review.finish()?);
/// # assert_ne!(digest, B256::ZERO);
/// assert!(shown.contains("Operation under one signature: 2\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MultichainReview<'a, S, const OPERATIONS: usize = 16, const CALLS: usize = 8> {
    state: ReviewState<'a, S, CALLS>,
    stage: Stage,
    /// Those of the operations that were reviewed to their ends. They are kept to find what is there twice.
    leaves: heapless::Vec<B256, OPERATIONS>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// An operation may come, or the end.
    Between,
    /// An operation that may run at these times is being reviewed.
    Within(SessionEpoch),
    /// An operation was refused: a signature is for all or none.
    Over,
}

impl<'a, S: Show, const OPERATIONS: usize, const CALLS: usize> MultichainReview<'a, S, OPERATIONS, CALLS> {
    /// No operation yet.
    pub fn new(trusted: TrustedContext<'a>, show: S) -> Self {
        Self { state: ReviewState::new(trusted, show), stage: Stage::Between, leaves: heapless::Vec::new() }
    }

    /// Begins the review of the next operation, in the order of their tree, which may run at the times of `epoch`.
    ///
    /// # Errors
    /// What the entry point would not take; more operations than there is room for.
    pub fn begin(
        &mut self,
        domain: Domain,
        head: &OperationHead<'_>,
        epoch: SessionEpoch,
    ) -> Result<(), MultichainReviewError> {
        let begun = match self.stage {
            Stage::Between => self.begin_next(domain, head, epoch),
            Stage::Within(_) => Err(MultichainReviewError::Unfinished { operation: self.leaves.len() + 1 }),
            Stage::Over => Err(MultichainReviewError::Over),
        };
        self.end_if_refused(begun)
    }

    /// Shows the next session that the account is to have, as [`ReviewState::session`].
    ///
    /// # Errors
    /// A session that cannot be shown.
    pub fn session(&mut self, leaf: &SessionLeaf<'_>) -> Result<(), MultichainReviewError> {
        let step = self.within(|state| state.session(leaf));
        self.end_if_refused(step)
    }

    /// Takes the next piece of the call data, as [`ReviewState::call_data`].
    ///
    /// # Errors
    /// Call data that cannot be read, or a root that is not that of the sessions shown.
    pub fn call_data(&mut self, piece: &[u8]) -> Result<(), MultichainReviewError> {
        let step = self.within(|state| state.call_data(piece));
        self.end_if_refused(step)
    }

    /// Ends an operation's review, as [`ReviewState::finish`], and makes it one of those that are signed.
    ///
    /// # Errors
    /// Those of [`ReviewState::finish`], and [`MultichainReviewError::Duplicate`].
    pub fn end(&mut self) -> Result<(), MultichainReviewError> {
        let ended = self.end_operation();
        self.end_if_refused(ended)
    }

    /// Ends the review, and gives the root of the operations' tree: what is signed, by way of
    /// [`signing_hash`](crate::signing_hash), if all items are approved.
    ///
    /// # Errors
    /// [`MultichainReviewError::Unfinished`] where an operation was not reviewed to its end,
    /// [`MultichainReviewError::Over`] where one was refused, and [`MultichainReviewError::Empty`] without operations.
    pub fn finish(mut self) -> Result<B256, MultichainReviewError> {
        match self.stage {
            Stage::Between => {}
            Stage::Within(_) => {
                return Err(MultichainReviewError::Unfinished { operation: self.leaves.len() + 1 });
            }
            Stage::Over => return Err(MultichainReviewError::Over),
        }
        // There is no room for more leaves than a tree has.
        let root = merkle::root(&self.leaves).map_err(|_| MultichainReviewError::Empty)?;
        self.state.display().show(&Item::new(Label::OperationsRoot, Value::Hash(root)))?;
        Ok(root)
    }

    fn begin_next(
        &mut self,
        domain: Domain,
        head: &OperationHead<'_>,
        epoch: SessionEpoch,
    ) -> Result<(), MultichainReviewError> {
        if self.leaves.is_full() {
            return Err(MultichainReviewError::TooManyOperations { limit: self.leaves.capacity() });
        }
        self.stage = Stage::Within(epoch);
        let number = self.leaves.len() + 1;
        let mut items = Items::new(self.state.display());
        items.put(Label::Operation, Value::Place { number, of: None });
        show_epoch(&mut items, epoch);
        items.shown()?;
        self.within(|state| state.begin(domain, head))
    }

    fn end_operation(&mut self) -> Result<(), MultichainReviewError> {
        let Stage::Within(epoch) = self.stage else { return self.within(|_| Ok(())) };
        let user_op_hash = self.within(ReviewState::finish)?;
        let leaf = leaf(epoch, user_op_hash);
        let operation = self.leaves.len() + 1;
        if let Some(earlier) = self.leaves.iter().position(|other| *other == leaf) {
            return Err(MultichainReviewError::Duplicate { operation, earlier: earlier + 1 });
        }
        let limit = self.leaves.capacity();
        self.leaves.push(leaf).map_err(|_| MultichainReviewError::TooManyOperations { limit })?;
        self.stage = Stage::Between;
        Ok(())
    }

    /// A step of the operation that is being reviewed.
    fn within<T>(
        &mut self,
        step: impl FnOnce(&mut ReviewState<'a, S, CALLS>) -> Result<T, ReviewError>,
    ) -> Result<T, MultichainReviewError> {
        let operation = self.leaves.len() + 1;
        match self.stage {
            Stage::Within(_) => {
                step(&mut self.state).map_err(|source| MultichainReviewError::Operation { operation, source })
            }
            Stage::Between => Err(MultichainReviewError::NotBegun),
            Stage::Over => Err(MultichainReviewError::Over),
        }
    }

    fn end_if_refused<T>(
        &mut self,
        step: Result<T, MultichainReviewError>,
    ) -> Result<T, MultichainReviewError> {
        if let Err(error) = &step {
            self.stage = Stage::Over;
            let item = Item::new(Label::Refused, Value::Reason(error)).with_severity(Severity::Refused);
            // A display that is gone shows no refusal either; the caller has it.
            let _ = self.state.display().show(&item);
        }
        step
    }
}

impl<S, const OPERATIONS: usize, const CALLS: usize> fmt::Debug
    for MultichainReview<'_, S, OPERATIONS, CALLS>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MultichainReview")
            .field("stage", &self.stage)
            .field("operations", &self.leaves.len())
            .finish_non_exhaustive()
    }
}

/// Why a review of several operations does not end in a root to sign. Operations are counted from 1, as the items do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MultichainReviewError {
    /// An item was not shown.
    #[error(transparent)]
    NotShown(#[from] NotShown),
    /// An operation is refused.
    Operation {
        /// Which operation.
        operation: usize,
        /// Why.
        source: ReviewError,
    },
    /// A step of an operation that was not begun.
    NotBegun,
    /// A step after a refusal.
    Over,
    /// The same operation with the same times.
    Duplicate {
        /// Which operation.
        operation: usize,
        /// The one before that is the same.
        earlier: usize,
    },
    /// More operations than there is room for.
    TooManyOperations {
        /// The reviewer's room.
        limit: usize,
    },
    /// An operation was not reviewed to its end.
    Unfinished {
        /// Which operation.
        operation: usize,
    },
    /// No operations.
    Empty,
}

texts!(MultichainReviewError {
    NotShown(error) => "{}",
    Operation { operation, source } => "operation {} of the signature: {}",
    NotBegun => "no operation was begun that this belongs to",
    Over => "an operation was refused, and a signature is for all or none",
    Duplicate { operation, earlier } => "operation {} is operation {} again",
    TooManyOperations { limit } => "one signature can be reviewed for at most {} operations",
    Unfinished { operation } => "operation {} was not reviewed to its end; a signature is for all or none",
    Empty => "there is no operation to sign",
});
