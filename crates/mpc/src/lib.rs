#![doc = include_str!("../README.md")]
#![deny(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss
)]

mod abort;
mod confirmation;
pub mod keygen;
mod party;
mod share;
mod signature;
pub mod signing;
mod wire;

pub use abort::{Abort, Malformed, ProtocolFailure};
pub use confirmation::{Confirmation, Unconfirmed};
pub use party::{InvalidPartyIndex, InvalidQuorum, PartyIndex, Quorum, SessionId};
pub use share::{KeyShare, ShareError};
pub use signature::{InvalidSignature, Signature};
pub use wire::{Incoming, MAX_MESSAGE_LEN, Outgoing, Step};

/// The curve of every key here.
pub(crate) type Curve = k256::Secp256k1;
