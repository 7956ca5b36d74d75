//! User operations and their hashes, and the calls that an account makes.

pub(crate) mod call;
pub(crate) mod entry_point;
pub(crate) mod hashed_head;
pub(crate) mod initialization;
pub(crate) mod packed;
pub(crate) mod paymaster;
mod typed_hash;
pub(crate) mod unpacked;
pub(crate) mod v0_6;

pub use self::typed_hash::HashError;
