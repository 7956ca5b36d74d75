//! The tree of an account's sessions, and proofs that a session is in it.
//!
//! It is the sorted-pair keccak tree that OpenZeppelin's `MerkleProof.verify` accepts: leaves in the order given and
//! not hashed again, each pair hashed in ascending byte order, and an odd node at the end of a level going up
//! unchanged. The root of a single leaf is the leaf, and its proof is empty.
//!
//! ```
//! use quorate_core::{B256, merkle};
//!
//! let leaves = [1, 2, 3].map(B256::with_last_byte);
//! let proof = merkle::Proof::of(&leaves, leaves[2])?;
//! assert_eq!(proof.root(), merkle::root(&leaves)?);
//! assert!(merkle::verify(proof.root(), leaves[2], proof.siblings()));
//! # Ok::<(), merkle::TreeError>(())
//! ```

use alloy_primitives::{B256, keccak256};

/// The root of the tree over `leaves`. Takes one keccak for each leaf but one, and 2 KiB of stack.
///
/// # Errors
/// [`TreeError::Empty`] without leaves, [`TreeError::TooManyLeaves`] for more than 2^32.
pub fn root(leaves: &[B256]) -> Result<B256, TreeError> {
    if leaves.len() > MAX_LEAVES {
        return Err(TreeError::TooManyLeaves { leaves: leaves.len() });
    }
    subtree_root(leaves).ok_or(TreeError::Empty)
}

/// Whether `siblings` lead from `leaf` to `root`.
pub fn verify(root: B256, leaf: B256, siblings: &[B256]) -> bool {
    climb(leaf, siblings.iter().copied()) == root
}

/// That a leaf belongs to a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    siblings: heapless::Vec<B256, DEPTH>,
    root: B256,
}

impl Proof {
    /// The proof for `leaf` in the tree over `leaves`; for the first, where it occurs more than once.
    ///
    /// Takes no more keccaks than there are leaves and levels together.
    ///
    /// # Errors
    /// [`TreeError::LeafNotFound`] when the leaf is not there, [`TreeError::Empty`] without leaves,
    /// [`TreeError::TooManyLeaves`] for more than 2^32.
    pub fn of(leaves: &[B256], leaf: B256) -> Result<Self, TreeError> {
        if leaves.is_empty() {
            return Err(TreeError::Empty);
        }
        if leaves.len() > MAX_LEAVES {
            return Err(TreeError::TooManyLeaves { leaves: leaves.len() });
        }
        let position =
            leaves.iter().position(|other| *other == leaf).ok_or(TreeError::LeafNotFound { leaf })?;

        let mut siblings = heapless::Vec::new();
        let mut width = 1_usize;
        while width < leaves.len() {
            // The node beside this one covers as many leaves, unless the tree ends before.
            let start = ((position / width) ^ 1) * width;
            let end = start.saturating_add(width).min(leaves.len());
            if let Some(sibling) = leaves.get(start..end).and_then(subtree_root)
                && siblings.push(sibling).is_err()
            {
                return Err(TreeError::TooManyLeaves { leaves: leaves.len() });
            }
            match width.checked_mul(2) {
                Some(doubled) => width = doubled,
                None => break,
            }
        }
        let root = climb(leaf, siblings.iter().copied());
        Ok(Self { siblings, root })
    }

    /// The nodes beside the way up, from the leaf's on.
    pub fn siblings(&self) -> &[B256] {
        &self.siblings
    }

    /// The root of the tree that the proof belongs to.
    pub const fn root(&self) -> B256 {
        self.root
    }
}

/// A whole tree with its inner nodes, so that a proof takes no hashing.
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
    /// The leaves first, then each level above them; none for a tree without leaves.
    levels: alloc::vec::Vec<alloc::vec::Vec<B256>>,
}

#[cfg(feature = "alloc")]
impl Tree {
    /// Hashes the tree over `leaves`, of which there may be none: one keccak for each leaf but one.
    ///
    /// # Errors
    /// [`TreeError::TooManyLeaves`] for more than 2^32.
    pub fn new(leaves: alloc::vec::Vec<B256>) -> Result<Self, TreeError> {
        if leaves.len() > MAX_LEAVES {
            return Err(TreeError::TooManyLeaves { leaves: leaves.len() });
        }
        let mut levels = alloc::vec::Vec::new();
        let mut level = leaves;
        while level.len() > 1 {
            let above = level.chunks(2).filter_map(|pair| match pair {
                [left, right] => Some(parent(left, right)),
                odd => odd.first().copied(),
            });
            let above = above.collect();
            levels.push(core::mem::replace(&mut level, above));
        }
        if !level.is_empty() {
            levels.push(level);
        }
        Ok(Self { levels })
    }

    /// The root; zero without leaves, as the chain has it.
    pub fn root(&self) -> B256 {
        self.levels.last().and_then(|level| level.first()).copied().unwrap_or_default()
    }

    /// The leaves in order.
    pub fn leaves(&self) -> &[B256] {
        self.levels.first().map(alloc::vec::Vec::as_slice).unwrap_or_default()
    }

    /// The proof for `leaf`; for the first, where it occurs more than once.
    ///
    /// # Errors
    /// [`TreeError::LeafNotFound`] when the leaf is not there, [`TreeError::Empty`] without leaves.
    pub fn proof(&self, leaf: B256) -> Result<Proof, TreeError> {
        let Some((leaves, above)) = self.levels.split_first() else { return Err(TreeError::Empty) };
        let mut position =
            leaves.iter().position(|other| *other == leaf).ok_or(TreeError::LeafNotFound { leaf })?;
        let mut siblings = heapless::Vec::new();
        for level in core::iter::once(leaves).chain(above) {
            // The last node of an odd level goes up unchanged.
            if let Some(sibling) = level.get(position ^ 1)
                && siblings.push(*sibling).is_err()
            {
                return Err(TreeError::TooManyLeaves { leaves: leaves.len() });
            }
            position /= 2;
        }
        Ok(Proof { siblings, root: self.root() })
    }
}

/// Why there is no tree or no proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// No leaves.
    #[error("a tree has at least one leaf")]
    Empty,
    /// More leaves than a proof has room for.
    #[error("a tree has at most 2^32 leaves, this one has {leaves}")]
    TooManyLeaves {
        /// The number of leaves given.
        leaves: usize,
    },
    /// The leaf to prove is not among the leaves.
    #[error("leaf {leaf} is not in the tree")]
    LeafNotFound {
        /// The leaf asked for.
        leaf: B256,
    },
}

/// The levels above the leaves.
pub(crate) const DEPTH: usize = 32;

#[cfg(target_pointer_width = "64")]
const MAX_LEAVES: usize = 1 << DEPTH;
/// Fewer fit the memory of such a machine.
#[cfg(not(target_pointer_width = "64"))]
const MAX_LEAVES: usize = usize::MAX;

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
#[derive(Clone, Debug, Default)]
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

    /// Adds the next leaf.
    ///
    /// # Errors
    /// [`TreeError::TooManyLeaves`] after 2^32 of them.
    pub fn push(&mut self, leaf: B256) -> Result<(), TreeError> {
        let mut node = leaf;
        for _ in 0..self.leaves.trailing_ones() {
            if let Some(left) = self.complete.pop() {
                node = parent(&left, &node);
            }
        }
        self.leaves += 1;
        self.complete.push(node).map_err(|_| TreeError::TooManyLeaves { leaves: self.leaves })
    }

    /// The root of the leaves so far; none without leaves.
    pub fn root(&self) -> Option<B256> {
        // What is left are the nodes that go up unchanged, joined from the right.
        let (last, others) = self.complete.split_last()?;
        Some(others.iter().rev().fold(*last, |right, left| parent(left, &right)))
    }
}

/// The root over `leaves`, if there are any.
fn subtree_root(leaves: &[B256]) -> Option<B256> {
    let mut builder = RootBuilder::default();
    leaves.iter().try_for_each(|leaf| builder.push(*leaf)).ok()?;
    builder.root()
}

/// Where `siblings` lead from `node`.
pub(crate) fn climb(node: B256, siblings: impl Iterator<Item = B256>) -> B256 {
    siblings.fold(node, |node, sibling| parent(&node, &sibling))
}

fn parent(one: &B256, other: &B256) -> B256 {
    let pair = if one <= other { [one.0, other.0] } else { [other.0, one.0] };
    keccak256(pair.as_flattened())
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    /// The tree built level by level, as the specification words it.
    fn by_levels(leaves: &[B256]) -> B256 {
        let mut level = leaves.to_vec();
        while level.len() > 1 {
            level = level
                .chunks(2)
                .map(|pair| match pair {
                    [left, right] => parent(left, right),
                    odd => odd.first().copied().unwrap(),
                })
                .collect();
        }
        level.first().copied().unwrap()
    }

    #[test]
    fn the_same_root_as_level_by_level() {
        let leaves = (0..70_u8).map(keccak_of).collect::<Vec<_>>();
        for len in 1..=leaves.len() {
            let leaves = leaves.get(..len).unwrap();
            let expected = by_levels(leaves);
            assert_eq!(root(leaves), Ok(expected), "{len} leaves");
            for leaf in leaves {
                let proof = Proof::of(leaves, *leaf).unwrap();
                assert_eq!(proof.root(), expected, "{len} leaves");
                assert!(verify(expected, *leaf, proof.siblings()));
                #[cfg(feature = "alloc")]
                assert_eq!(Tree::new(leaves.to_vec()).unwrap().proof(*leaf), Ok(proof), "{len} leaves");
            }
        }
    }

    #[test]
    fn what_has_no_root_or_proof() {
        let leaf = keccak_of(9);
        assert_eq!(root(&[]), Err(TreeError::Empty));
        assert_eq!(Proof::of(&[], leaf), Err(TreeError::Empty));
        assert_eq!(Proof::of(&[keccak_of(1)], leaf), Err(TreeError::LeafNotFound { leaf }));
    }

    fn keccak_of(byte: u8) -> B256 {
        keccak256([byte])
    }
}
