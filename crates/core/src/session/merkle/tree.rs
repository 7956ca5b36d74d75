//! Trees with their inner nodes, which give all proofs without hashing again.

use core::iter::FusedIterator;

use alloy_primitives::B256;

#[cfg(feature = "alloc")]
use super::{MAX_LEAVES, Proof};
use super::{TreeError, check_count, parent};

/// A whole tree in memory of the caller's: the root and the proofs of all leaves in one pass.
///
/// ```
/// use quorate_core::{B256, merkle};
///
/// let leaves = [1, 2, 3].map(B256::with_last_byte);
/// let mut scratch = [B256::ZERO; merkle::TreeRef::node_count(3)];
/// let tree = merkle::TreeRef::new(&leaves, &mut scratch)?;
/// assert_eq!(tree.root(), merkle::root(&leaves)?);
/// for (index, leaf) in leaves.into_iter().enumerate() {
///     let siblings: Vec<B256> = tree.siblings(index).into_iter().flatten().collect();
///     assert!(merkle::verify(tree.root(), leaf, &siblings));
/// }
/// # Ok::<(), merkle::TreeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeRef<'a> {
    /// The leaves, then each level after the one below; the root is the last.
    nodes: &'a [B256],
    leaf_count: usize,
}

impl<'a> TreeRef<'a> {
    /// How many nodes a tree has, leaves included, and an odd node once on each level that it is on: at most twice as
    /// many as leaves, and 31.
    pub const fn node_count(leaf_count: usize) -> usize {
        let (mut count, mut width) = (leaf_count, leaf_count);
        while width > 1 {
            width = width.div_ceil(2);
            count = count.saturating_add(width);
        }
        count
    }

    /// Hashes the tree over `leaves`: one keccak for each leaf but one.
    ///
    /// # Errors
    /// [`TreeError::ScratchTooSmall`] where `scratch` has room for fewer nodes than
    /// [`node_count`](Self::node_count), [`TreeError::Empty`] without leaves, [`TreeError::TooManyLeaves`] for more than
    /// 2^32.
    pub fn new(leaves: &[B256], scratch: &'a mut [B256]) -> Result<Self, TreeError> {
        check_count(leaves)?;
        let (leaf_count, room) = (leaves.len(), scratch.len());
        let needed = Self::node_count(leaf_count);
        let too_small = TreeError::ScratchTooSmall { needed, room };
        let nodes = scratch.get_mut(..needed).ok_or(too_small)?;
        nodes.get_mut(..leaf_count).ok_or(too_small)?.copy_from_slice(leaves);
        hash_levels(nodes, leaf_count);
        Ok(Self { nodes, leaf_count })
    }

    /// The root.
    pub fn root(&self) -> B256 {
        self.nodes.last().copied().unwrap_or_default()
    }

    /// The leaves in order.
    pub fn leaves(&self) -> &'a [B256] {
        self.nodes.get(..self.leaf_count).unwrap_or_default()
    }

    /// The proof for the leaf at `index`, from 0; none where there is no such leaf.
    pub fn siblings(&self, index: usize) -> Option<Siblings<'a>> {
        (index < self.leaf_count).then_some(Siblings { levels: self.nodes, width: self.leaf_count, index })
    }
}

/// Fills the levels above the first `width` nodes, level by level.
fn hash_levels(mut levels: &mut [B256], mut width: usize) {
    while width > 1 {
        let Some((level, above)) = levels.split_at_mut_checked(width) else { return };
        for (pair, node) in level.chunks(2).zip(above.iter_mut()) {
            match pair {
                [left, right] => *node = parent(left, right),
                [odd] => *node = *odd,
                _ => {}
            }
        }
        (levels, width) = (above, width.div_ceil(2));
    }
}

/// The nodes beside the way from a leaf to the root, from the leaf's on.
#[derive(Clone, Debug)]
pub struct Siblings<'a> {
    /// The level of the node at `index`, which has `width` nodes, and those above.
    levels: &'a [B256],
    width: usize,
    index: usize,
}

impl Iterator for Siblings<'_> {
    type Item = B256;

    fn next(&mut self) -> Option<B256> {
        while self.width > 1 {
            let (level, above) = self.levels.split_at_checked(self.width)?;
            // The last node of an odd level goes up unchanged.
            let sibling = level.get(self.index ^ 1).copied();
            *self = Self { levels: above, width: self.width.div_ceil(2), index: self.index / 2 };
            if sibling.is_some() {
                return sibling;
            }
        }
        None
    }
}

impl FusedIterator for Siblings<'_> {}

/// A [`TreeRef`] that owns its nodes, of which there may be none.
///
/// ```
/// use quorate_core::{B256, merkle};
///
/// let leaves = [1, 2, 3].map(B256::with_last_byte);
/// let tree = merkle::Tree::new(leaves.to_vec())?;
/// assert_eq!(tree.root(), merkle::root(&leaves)?);
/// assert_eq!(tree.proof(leaves[1])?, merkle::Proof::of(&leaves, leaves[1])?);
/// assert_eq!(merkle::Tree::default().root(), B256::ZERO, "as the chain has it where there are no sessions");
/// # Ok::<(), merkle::TreeError>(())
/// ```
#[cfg(feature = "alloc")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    nodes: alloc::vec::Vec<B256>,
    leaf_count: usize,
}

#[cfg(feature = "alloc")]
impl Tree {
    /// Hashes the tree over `leaves`, of which there may be none: one keccak for each leaf but one.
    ///
    /// # Errors
    /// [`TreeError::TooManyLeaves`] for more than 2^32.
    pub fn new(leaves: alloc::vec::Vec<B256>) -> Result<Self, TreeError> {
        let leaf_count = leaves.len();
        if leaf_count > MAX_LEAVES {
            return Err(TreeError::TooManyLeaves { leaves: leaf_count });
        }
        let mut nodes = leaves;
        nodes.resize(TreeRef::node_count(leaf_count), B256::ZERO);
        hash_levels(&mut nodes, leaf_count);
        Ok(Self { nodes, leaf_count })
    }

    /// The root; zero without leaves, as the chain has it.
    pub fn root(&self) -> B256 {
        self.as_tree_ref().root()
    }

    /// The leaves in order.
    pub fn leaves(&self) -> &[B256] {
        self.as_tree_ref().leaves()
    }

    /// The proof for the leaf at `index`, from 0; none where there is no such leaf.
    pub fn siblings(&self, index: usize) -> Option<Siblings<'_>> {
        self.as_tree_ref().siblings(index)
    }

    /// The proof for `leaf`; for the first, where it occurs more than once. It is looked for among all leaves:
    /// [`siblings`](Self::siblings) is for all proofs.
    ///
    /// # Errors
    /// [`TreeError::LeafNotFound`] when the leaf is not there, [`TreeError::Empty`] without leaves.
    pub fn proof(&self, leaf: B256) -> Result<Proof, TreeError> {
        let leaves = self.leaves();
        check_count(leaves)?;
        let index = leaves.iter().position(|other| *other == leaf);
        let siblings =
            index.and_then(|index| self.siblings(index)).ok_or(TreeError::LeafNotFound { leaf })?;
        // No tree has more levels than a proof has room for.
        Ok(Proof { siblings: siblings.collect(), root: self.root() })
    }

    fn as_tree_ref(&self) -> TreeRef<'_> {
        TreeRef { nodes: &self.nodes, leaf_count: self.leaf_count }
    }
}

#[cfg(test)]
mod tests {
    use std::{vec, vec::Vec};

    use alloy_primitives::keccak256;
    use proptest::prelude::*;

    use super::{super::Proof, *};

    #[test]
    fn all_proofs_at_once_are_those_one_by_one() {
        (1..=70).for_each(|count| compare_at(&leaves(count), 0..usize::MAX));
        for count in 71..=300 {
            compare_at(&leaves(count), [0, 1, 64, count / 2, count - 2, count - 1]);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn of_any_size(count in 1..3000_usize, index: prop::sample::Index) {
            compare_at(&leaves(count), [index.index(count), count - 1]);
        }

        #[test]
        fn with_duplicates(leaves in prop::collection::vec(0..4_u8, 1..60)) {
            let leaves: Vec<B256> = leaves.into_iter().map(B256::with_last_byte).collect();
            compare_at(&leaves, 0..usize::MAX);
        }
    }

    #[test]
    fn what_has_no_tree() {
        assert_eq!(TreeRef::new(&[], &mut []), Err(TreeError::Empty));
        // Three leaves, two nodes above them, the root.
        let mut scratch = vec![B256::ZERO; 5];
        let error = TreeError::ScratchTooSmall { needed: 6, room: 5 };
        assert_eq!(TreeRef::new(&leaves(3), &mut scratch), Err(error));
        scratch.push(B256::ZERO);
        assert!(TreeRef::new(&leaves(3), &mut scratch).unwrap().siblings(3).is_none());
    }

    /// Compares the proofs at `indices` with those of [`Proof::of`], which are of the first of equal leaves, and checks
    /// all of them.
    fn compare_at(leaves: &[B256], indices: impl IntoIterator<Item = usize>) {
        // Memory that was used before and has room for more.
        let mut scratch = vec![B256::repeat_byte(0xff); TreeRef::node_count(leaves.len()) + 3];
        let tree = TreeRef::new(leaves, &mut scratch).unwrap();
        assert_eq!((tree.root(), tree.leaves()), (super::super::root(leaves).unwrap(), leaves));
        let siblings: Vec<Vec<B256>> =
            (0..).map_while(|index| Some(tree.siblings(index)?.collect())).collect();
        assert_eq!(siblings.len(), leaves.len());
        for (leaf, siblings) in leaves.iter().zip(&siblings) {
            assert!(super::super::verify(tree.root(), *leaf, siblings), "{} leaves", leaves.len());
        }
        #[cfg(feature = "alloc")]
        let owned = Tree::new(leaves.to_vec()).unwrap();
        for index in indices.into_iter().take_while(|index| *index < leaves.len()) {
            let leaf = leaves.get(index).copied().unwrap();
            let proof = Proof::of(leaves, leaf).unwrap();
            assert_eq!(tree.root(), proof.root());
            if leaves.iter().position(|other| *other == leaf) == Some(index) {
                assert_eq!(
                    siblings.get(index).unwrap(),
                    proof.siblings(),
                    "leaf {index} of {}",
                    leaves.len()
                );
            }
            #[cfg(feature = "alloc")]
            assert_eq!(owned.proof(leaf), Ok(proof));
        }
    }

    fn leaves(count: usize) -> Vec<B256> {
        (0..count).map(|index| keccak256(index.to_be_bytes())).collect()
    }
}
