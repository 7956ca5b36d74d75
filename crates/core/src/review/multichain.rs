//! The review of several operations that an owner signs at once.

use core::fmt;

use alloy_primitives::B256;

use super::{Domain, Known, OperationHead, Review, ReviewError};
use crate::{
    policy::epoch::SessionEpoch,
    session::{leaf::SessionLeaf, merkle, multichain::leaf},
    show::{Lines, Time},
};

/// The review of the operations under one signature, one after the other: for each an
/// [`operation`](Self::operation), and [`finish`](Self::finish).
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
/// # let known = Known {
/// #     session_key_manager: Address::repeat_byte(0x0e),
/// #     abi_session_validation_module: Address::repeat_byte(0x0f),
/// #     functions: &[],
/// # };
/// let call = Call { to: Address::repeat_byte(0xcc), value: U256::from(1), data: &[] };
/// let mut call_data = heapless::Vec::<u8, 256>::new();
/// Execute(call).write_to(&mut call_data)?;
/// let operation = UserOperation::<&[u8]> { call_data: &call_data, ..UserOperation::default() };
/// let epoch = SessionEpoch::new(0, 1_900_000_000)?;
///
/// let mut shown = String::new();
/// let mut review: MultichainReview<_> = MultichainReview::new(&mut shown);
/// for chain_id in [1, 10] {
///     let target = Domain { entry_point: Address::repeat_byte(0xee), chain_id };
///     let head = OperationHead::V0_6(operation.without_call_data());
///     let mut operation = review.operation(known, target, head, epoch);
///     operation.call_data(&call_data)?;
///     operation.finish()?;
/// }
/// let digest = signing_hash(review.finish()?);
/// # assert_ne!(digest, B256::ZERO);
/// assert!(shown.contains("Operation 2 of one signature: chain 10, valid until 2030-03-17 17:46:40 UTC"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct MultichainReview<W, const OPERATIONS: usize = 16, const CALLS: usize = 8> {
    out: W,
    begun: usize,
    /// Those of the operations that were reviewed to their ends. They are kept to find what is there twice.
    leaves: heapless::Vec<B256, OPERATIONS>,
}

impl<W: fmt::Write, const OPERATIONS: usize, const CALLS: usize> MultichainReview<W, OPERATIONS, CALLS> {
    /// No operation yet.
    pub const fn new(out: W) -> Self {
        Self { out, begun: 0, leaves: heapless::Vec::new() }
    }

    /// Begins the review of the next operation, in the order of their tree, which may run at the times of `epoch`.
    // As with `Review::begin`, it is made in its place and cannot fail.
    #[inline(never)]
    pub fn operation<'a>(
        &mut self,
        known: Known<'a>,
        target: Domain,
        head: OperationHead<'a>,
        epoch: SessionEpoch,
    ) -> OperationReview<'_, 'a, W, CALLS> {
        self.begun += 1;
        OperationReview {
            review: Review::begin(known, target, head, &mut self.out),
            number: self.begun,
            epoch,
            stage: Stage::New,
            leaves: &mut self.leaves,
        }
    }

    /// Ends the review, and gives the root of the operations' tree: what is signed, by way of
    /// [`signing_hash`](crate::signing_hash), if all lines are approved.
    ///
    /// # Errors
    /// [`MultichainReviewError::Unfinished`] where an operation was not reviewed to its end, and
    /// [`MultichainReviewError::Empty`] without operations.
    pub fn finish(self) -> Result<B256, MultichainReviewError> {
        let Self { out, begun, leaves } = self;
        if begun != leaves.len() {
            return Err(MultichainReviewError::Unfinished { begun, finished: leaves.len() });
        }
        // There is no room for more leaves than a tree has.
        let root = merkle::root(&leaves).map_err(|_| MultichainReviewError::Empty)?;
        Lines(out).line(format_args!("Root of operations 1 to {begun}: {root}"))?;
        Ok(root)
    }
}

/// The review of one operation of several: each [`session`](Self::session) of a grant, the
/// [`call_data`](Self::call_data) in pieces, [`finish`](Self::finish). It is a [`Review`] that counts only when it is
/// finished.
pub struct OperationReview<'s, 'a, W, const CALLS: usize = 8> {
    review: Review<'a, &'s mut W, CALLS>,
    /// Counted from 1.
    number: usize,
    epoch: SessionEpoch,
    stage: Stage,
    leaves: &'s mut heapless::VecView<B256>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing is shown yet.
    New,
    Begun,
    /// Refused or finished.
    Over,
}

impl<'s, 'a, W: fmt::Write, const CALLS: usize> OperationReview<'s, 'a, W, CALLS> {
    /// Shows the next session that the account is to have, as [`Review::session`].
    ///
    /// # Errors
    /// A session that cannot be shown. The operation is refused then.
    pub fn session(&mut self, leaf: &SessionLeaf<'_>) -> Result<(), MultichainReviewError> {
        self.step(|review| review.session(leaf))
    }

    /// Takes the next piece of the call data, as [`Review::call_data`].
    ///
    /// # Errors
    /// Call data that cannot be read, or a root that is not that of the sessions shown. The operation is refused then.
    pub fn call_data(&mut self, piece: &[u8]) -> Result<(), MultichainReviewError> {
        self.step(|review| review.call_data(piece))
    }

    /// Ends the operation's review, as [`Review::finish`], and makes it one of those that are signed.
    ///
    /// # Errors
    /// Those of [`Review::finish`], and [`MultichainReviewError::Duplicate`].
    // Not by value, which would copy it.
    #[inline(never)]
    pub fn finish(&mut self) -> Result<(), MultichainReviewError> {
        let user_op_hash = self.step(Review::finish)?;
        self.stage = Stage::Over;
        let operation = self.number;
        let leaf = leaf(self.epoch, user_op_hash);
        if let Some(earlier) = self.leaves.iter().position(|other| *other == leaf) {
            return Err(MultichainReviewError::Duplicate { operation, earlier: earlier + 1 });
        }
        let limit = self.leaves.capacity();
        self.leaves.push(leaf).map_err(|_| MultichainReviewError::TooManyOperations { limit })
    }

    /// One step of the review, unless an earlier one refused; the first shows when the operation may run.
    fn step<T>(
        &mut self,
        step: impl FnOnce(&mut Review<'a, &'s mut W, CALLS>) -> Result<T, ReviewError>,
    ) -> Result<T, MultichainReviewError> {
        let operation = self.number;
        match core::mem::replace(&mut self.stage, Stage::Over) {
            Stage::New => self.introduce()?,
            Stage::Begun => {}
            Stage::Over => return Err(MultichainReviewError::Over { operation }),
        }
        let taken = step(&mut self.review)
            .map_err(|source| MultichainReviewError::Operation { operation, source })?;
        self.stage = Stage::Begun;
        Ok(taken)
    }

    fn introduce(&mut self) -> Result<(), MultichainReviewError> {
        if self.leaves.is_full() {
            return Err(MultichainReviewError::TooManyOperations { limit: self.leaves.capacity() });
        }
        let Self { review, number, epoch, .. } = self;
        let chain_id = review.target.chain_id;
        let validity = Validity(*epoch);
        let lines = &mut review.reader.lines;
        lines.line(format_args!("Operation {number} of one signature: chain {chain_id}, {validity}"))?;
        Ok(())
    }
}

impl<W, const CALLS: usize> fmt::Debug for OperationReview<'_, '_, W, CALLS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperationReview")
            .field("review", &self.review)
            .field("number", &self.number)
            .field("epoch", &self.epoch)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

/// When an operation may run, in words.
struct Validity(SessionEpoch);

impl fmt::Display for Validity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("valid")?;
        match self.0.valid_after() {
            0 => {}
            start => write!(f, " from {}", Time(start))?,
        }
        match self.0.valid_until() {
            0 => f.write_str(" WITHOUT END"),
            end => write!(f, " until {}", Time(end)),
        }
    }
}

/// Why a review of several operations does not end in a root to sign. Operations are counted from 1, as the lines do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MultichainReviewError {
    /// The lines cannot be written.
    #[error("the review cannot be shown")]
    Show(#[from] fmt::Error),
    /// An operation is refused.
    #[error("operation {operation} of the signature is refused")]
    Operation {
        /// Which operation.
        operation: usize,
        /// Why.
        source: ReviewError,
    },
    /// A step of an operation that was refused or finished before.
    #[error("the review of operation {operation} is over; nothing can be added to it")]
    Over {
        /// Which operation.
        operation: usize,
    },
    /// The same operation with the same times.
    #[error("operation {operation} is operation {earlier} again")]
    Duplicate {
        /// Which operation.
        operation: usize,
        /// The one before that is the same.
        earlier: usize,
    },
    /// More operations than there is room for.
    #[error("one signature can be reviewed for at most {limit} operations")]
    TooManyOperations {
        /// The reviewer's room.
        limit: usize,
    },
    /// Some operations were refused, or not reviewed to their ends.
    #[error("of {begun} operations {finished} were reviewed to their ends; a signature is for all or none")]
    Unfinished {
        /// The operations whose review was begun.
        begun: usize,
        /// Those that were reviewed to their ends.
        finished: usize,
    },
    /// No operations.
    #[error("there is no operation to sign")]
    Empty,
}
