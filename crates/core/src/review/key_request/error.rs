//! Why a request for a key is not signed.

use alloy_primitives::B256;

use crate::{review::item::NotShown, texts};

/// Why a request is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyRequestError {
    /// An item was not shown.
    #[error(transparent)]
    NotShown(#[from] NotShown),
    /// A number of signers that no network can have.
    Threshold {
        /// How many nodes sign.
        threshold: u32,
        /// How many hold a share.
        nodes: u32,
    },
    /// A text that is too long to be shown, or holds what a display cannot tell apart.
    Text {
        /// What it is.
        what: &'static str,
        /// The most bytes.
        limit: usize,
    },
    /// An entry that is not in the one form that is read here.
    Unreadable {
        /// Which entry, counted from 0.
        entry: usize,
        /// Its tag.
        tag: u16,
    },
    /// An entry that is there twice, of which a network might take either.
    Twice {
        /// The tag.
        tag: u16,
    },
    /// Permissions that are not in the one form that is read here.
    Permissions {
        /// The first byte of what does not belong there.
        at: usize,
    },
    /// A value that is none of its kind.
    PermissionsValue,
    /// Permissions that end before their end.
    PermissionsEnd,
    /// Other permissions than the request claims.
    OtherPermissions {
        /// Of the bytes shown.
        shown: B256,
        /// In the claim.
        claimed: B256,
    },
    /// Permissions for another chain than the claim's.
    OtherChain {
        /// In the claim.
        claimed: u64,
        /// In the permissions.
        found: u64,
    },
    /// Permissions without a claim that names them.
    Unclaimed,
    /// A step that does not come now.
    NotBegun,
    /// A key that nobody could ask for signatures.
    NoEphemeralKey,
}

texts!(KeyRequestError {
    NotShown(error) => "{}",
    Threshold { threshold, nodes } => "{} of {} nodes cannot sign",
    Text { what, limit } =>
        "{} is not shown: it has more than {} bytes, or other than printable ASCII and single blanks",
    Unreadable { entry, tag } => "entry {} of the request's metadata, with tag {}, cannot be read",
    Twice { tag } => "the request's metadata has tag {} twice",
    Permissions { at } => "the permissions cannot be read from byte {} on",
    PermissionsValue => "a value of the permissions has not the form of its place",
    PermissionsEnd => "the permissions are not whole",
    OtherPermissions { shown, claimed } => "the permissions shown have keccak {}, but the request is for {}",
    OtherChain { found, claimed } => "the permissions are for chain {}, the request for {}",
    Unclaimed => "permissions were given, but the request names none",
    NotBegun => "a request for a key comes first",
    NoEphemeralKey => "the request names no ephemeral key: nobody could ask for signatures",
});
