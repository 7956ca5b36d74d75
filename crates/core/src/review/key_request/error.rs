//! Why a request for a key is not signed.

use alloy_primitives::B256;

use crate::review::item::NotShown;

/// Why a request is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyRequestError {
    /// An item was not shown.
    #[error(transparent)]
    NotShown(#[from] NotShown),
    /// A number of signers that no network can have.
    #[error("{threshold} of {nodes} nodes cannot sign")]
    Threshold {
        /// How many nodes sign.
        threshold: u32,
        /// How many hold a share.
        nodes: u32,
    },
    /// A text that is too long to be shown, or holds what a display cannot tell apart.
    #[error(
        "{what} is not shown: it is longer than {limit} bytes, or holds more than printable ASCII and single blanks"
    )]
    Text {
        /// What it is.
        what: &'static str,
        /// The most bytes.
        limit: usize,
    },
    /// An entry that is not in the one form that is read here.
    #[error("entry {entry} of the request's metadata, with tag {tag}, cannot be read")]
    Unreadable {
        /// Which entry, counted from 0.
        entry: usize,
        /// Its tag.
        tag: u16,
    },
    /// An entry that is there twice, of which a network might take either.
    #[error("the request's metadata has more than one entry with tag {tag}")]
    Twice {
        /// The tag.
        tag: u16,
    },
    /// Permissions that are not in the one form that is read here.
    #[error("the permissions cannot be read from byte {at} on")]
    Permissions {
        /// The first byte of what does not belong there.
        at: usize,
    },
    /// A value that is none of its kind.
    #[error("a value of the permissions is not what stands in its place")]
    PermissionsValue,
    /// Permissions that end before their end.
    #[error("the permissions are not whole")]
    PermissionsEnd,
    /// Other permissions than the request claims.
    #[error("the permissions shown have keccak {shown:#x}, but the request is for {claimed:#x}")]
    OtherPermissions {
        /// Of the bytes shown.
        shown: B256,
        /// In the claim.
        claimed: B256,
    },
    /// Permissions for another chain than the claim's.
    #[error("the permissions are for chain {found}, but the request is for chain {claimed}")]
    OtherChain {
        /// In the claim.
        claimed: u64,
        /// In the permissions.
        found: u64,
    },
    /// Permissions without a claim that names them.
    #[error("permissions were given, but the request names none")]
    Unclaimed,
    /// A step that does not come now.
    #[error("a request for a key comes first")]
    NotBegun,
    /// A key that nobody could ask for signatures.
    #[error("the request names no ephemeral key, so nobody could ask for the key's signatures")]
    NoEphemeralKey,
}
