//! The root of a tree whose leaves come one by one.

use alloy_primitives::B256;

use super::{DEPTH, MAX_LEAVES, TreeError, parent};

/// A tree's root, leaf by leaf, in 1 KiB whatever the number of leaves.
///
/// ```
/// use quorate_core::{B256, merkle};
///
/// let leaves = [1, 2, 3].map(B256::with_last_byte);
/// let mut builder = merkle::RootBuilder::default();
/// for leaf in leaves {
///     builder.push(leaf)?;
/// }
/// assert_eq!(builder.root(), Some(merkle::root(&leaves)?));
/// # Ok::<(), merkle::TreeError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RootBuilder {
    /// The roots of complete trees, one for each bit of the number of leaves, as a binary counter has them.
    complete: heapless::Vec<B256, { DEPTH + 1 }>,
    leaves: usize,
}

impl RootBuilder {
    /// No leaf yet.
    pub const fn new() -> Self {
        Self { complete: heapless::Vec::new(), leaves: 0 }
    }

    /// Begins with other leaves, in its place.
    pub fn clear(&mut self) {
        self.complete.clear();
        self.leaves = 0;
    }

    /// Adds the next leaf.
    ///
    /// # Errors
    /// [`TreeError::TooManyLeaves`] after 2^32 of them; the builder stays as it is.
    pub fn push(&mut self, leaf: B256) -> Result<(), TreeError> {
        let too_many = TreeError::TooManyLeaves { leaves: self.leaves.saturating_add(1) };
        if self.leaves >= MAX_LEAVES {
            return Err(too_many);
        }
        let mut node = leaf;
        for _ in 0..self.leaves.trailing_ones() {
            if let Some(left) = self.complete.pop() {
                node = parent(&left, &node);
            }
        }
        self.leaves += 1;
        // There is room: a number up to 2^32 has no more than 33 bits.
        self.complete.push(node).map_err(|_| too_many)
    }

    /// The root of the leaves so far; none without leaves.
    pub fn root(&self) -> Option<B256> {
        // What is left are the nodes that go up unchanged, joined from the right.
        let (last, others) = self.complete.split_last()?;
        Some(others.iter().rev().fold(*last, |right, left| parent(left, &right)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_pointer_width = "64")]
    #[test]
    fn a_full_builder_takes_no_leaf_and_stays_as_it_is() {
        let node = B256::repeat_byte;
        // With one leaf less than there may be, all complete trees below the largest are there.
        let mut builder =
            RootBuilder { complete: (0..32).map(|_| node(1)).collect(), leaves: MAX_LEAVES - 1 };
        builder.push(node(2)).unwrap();
        let full = builder.clone();
        assert_eq!(full.complete.len(), 1);
        assert_eq!(builder.push(node(3)), Err(TreeError::TooManyLeaves { leaves: MAX_LEAVES + 1 }));
        assert_eq!(builder, full);
    }
}
