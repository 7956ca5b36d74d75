//! Threshold ECDSA on secp256k1: `n` parties make a key that exists in no single place, and any `t` of them
//! sign with it.
//!
//! The protocol is DKLs23 (<https://eprint.iacr.org/2023/765.pdf>), computed by the crate `dkls23`. This crate
//! turns it into rounds as types and does no I/O: [`keygen`] ends in a [`KeyShare`], [`signing`] in a
//! [`Signature`]. Each round is a value that is consumed by its `next`, so a round cannot run twice, cannot be
//! skipped, and its secrets are gone once it has run. On any [`Abort`] the state of the run has been wiped, and
//! only a fresh run goes on.
//!
//! A round takes in one byte string from each peer and gives one byte string for each peer
//! ([`Incoming`], [`Outgoing`]). The two maps are keyed by party, so a second message of the same party and
//! round has no place to go.
//!
//! # What the transport must guarantee
//!
//! - *Authenticated*: the key under which a message is put into [`Incoming`] is the party that really sent it.
//!   Every message names its sender and receiver once more inside, and one that disagrees is refused.
//! - *Confidential*: messages carry secrets. Encrypt them end to end, with fresh keys for each run.
//! - *Delivered once*: what comes twice, or does not authenticate, is dropped before it gets here. A fault of
//!   the transport must not look like a fault of a party, because [`Abort::Ban`] is for ever.
//! - *Agreed ids*: all parties of a run use the same [`SessionId`], never used before, to which each of them
//!   contributed randomness.
//!
//! # Wire format
//!
//! A message is version (1 byte), step (1 byte), session id (32 bytes), sender (1 byte), receiver (1 byte) and
//! then the step's body in [postcard](https://postcard.jamesmunns.com). It is at most [`MAX_MESSAGE_LEN`] bytes
//! long. Content that goes to everyone is repeated in the message to each peer; there is no broadcast channel,
//! and the key generation has an echo round in its place.
//!
//! # Limits
//!
//! - Invariant: this crate signs any 32 bytes. What may be signed is decided before [`signing::Round1::start`].
//! - Invariant: nothing here remembers a ban; whoever runs the rounds persists it before anything else.
//! - Key refresh, share repair and derived keys are not offered.
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
