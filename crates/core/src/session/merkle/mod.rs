//! The tree of an account's sessions, and proofs that a session is in it.
//!
//! It is the sorted-pair keccak tree that OpenZeppelin's `MerkleProof.verify` accepts: leaves in the order given and
//! not hashed again, each pair hashed in ascending byte order, and an odd node at the end of a level going up
//! unchanged. The root of a single leaf is the leaf, and its proof is empty.
//!
//! Leaves and inner nodes are hashed alike. So a leaf that is the hash of 64 bytes could be passed off as an inner node
//! (a second preimage); a session's leaf is none, since session key data has
//! 62 bytes or more, and the leaf is the hash of 32 bytes before it as well.
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

mod root_builder;
mod tree;

use alloy_primitives::B256;

use crate::texts;

pub use self::root_builder::RootBuilder;
#[cfg(feature = "alloc")]
pub use self::tree::Tree;
pub use self::tree::{Siblings, TreeRef};
use crate::keccak::hash_parts;

/// The root of the tree over `leaves`. Takes one keccak for each leaf but one, and 2 KiB of stack.
///
/// # Errors
/// [`TreeError::Empty`] without leaves, [`TreeError::TooManyLeaves`] for more than 2^32.
pub fn root(leaves: &[B256]) -> Result<B256, TreeError> {
    check_count(leaves)?;
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
        check_count(leaves)?;
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

/// Why there is no tree or no proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// No leaves.
    Empty,
    /// More leaves than a proof has room for.
    TooManyLeaves {
        /// The number of leaves given.
        leaves: usize,
    },
    /// The memory for a tree has not room for all of its nodes.
    ScratchTooSmall {
        /// The number of nodes that the tree has.
        needed: usize,
        /// The number of nodes that the memory has room for.
        room: usize,
    },
    /// The leaf to prove is not among the leaves.
    LeafNotFound {
        /// The leaf asked for.
        leaf: B256,
    },
}

texts!(TreeError {
    Empty => "a tree has at least one leaf",
    TooManyLeaves { leaves } => "a tree has at most 2^32 leaves, this one has {}",
    ScratchTooSmall { needed, room } => "the tree needs room for {} nodes, the memory given has room for {}",
    LeafNotFound { leaf } => "leaf {} is not in the tree",
});

/// The levels above the leaves.
pub(crate) const DEPTH: usize = 32;

#[cfg(target_pointer_width = "64")]
const MAX_LEAVES: usize = 1 << DEPTH;
/// Fewer fit the memory of such a machine.
#[cfg(not(target_pointer_width = "64"))]
const MAX_LEAVES: usize = usize::MAX;

fn check_count(leaves: &[B256]) -> Result<(), TreeError> {
    match leaves.len() {
        0 => Err(TreeError::Empty),
        leaves if leaves > MAX_LEAVES => Err(TreeError::TooManyLeaves { leaves }),
        _ => Ok(()),
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
    hash_parts(&[pair.as_flattened()])
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use alloy_primitives::keccak256;

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
