//! What the operations of a session key have come to at one signing node, without input, output, clock or randomness.
//!
//! Session keys of the network have limits that the chain cannot count: uses, uses in a window, value, gas, totals of
//! arguments. Every signer counts them in a [`KeyLedger`] for each key, and the signers of an operation read each other's
//! before they sign. The order, with what has to be durable when:
//!
//! 1. [`KeyLedger::charge`] → write [`Pending::changes`] in one transaction → [`Pending::commit`] → send the hello.
//!    [`Barrier::requests`] may go with it.
//! 2. [`Barrier::hello`] for each signer's → [`Barrier::open`]. Only now give pages: [`KeyLedger::signing_page`].
//! 3. [`Page::decode`] → [`Page::judge`] → [`KeyLedger::merge`], until [`SigningRun::requests`] has none
//!    left.
//! 4. [`KeyLedger::settle`] → the first signing round; nothing is written. If anything failed since the charge,
//!    [`KeyLedger::withdraw`] in a second transaction.
//!
//! # What holds
//! With *f* bad nodes of *n*, of which *t* sign, the operations signed come in each dimension (and window) to at most the
//! limit while *f* < 2*t* − *n*, and to at most (*n* − *f*)/(*t* − *f*) times the limit beyond. The crate's tests search
//! this completely for small networks.
//!
//! A window counts first by each node's clock: an operation asked for again in a later window counts there, too; signed
//! operations may be held back and executed in another window; clocks that differ by *s* seconds move its edges by *s*.
//! Whoever holds a registered ephemeral key and one bad node can use up limits, never exceed them.

mod amounts;
mod barrier;
mod changes;
mod codec;
mod dimension;
mod ids;
mod ledger;
mod mutant;
mod page;
mod reading;
mod row;
mod settle;
mod totals;

#[cfg(test)]
mod search;

pub use amounts::{Amounts, Limits};
pub use barrier::{Barrier, SigningRun};
pub use changes::{Changes, Pending, Stored};
pub use codec::DecodeError;
pub use dimension::{Dimension, UnknownDimension, Window};
pub use ids::{
    AttemptId, InvalidKeyId, InvalidPlace, JournalId, KeyId, Nonce, Place, StatementHash, Timestamp,
};
pub use ledger::{ChargeError, Charged, DamagedCounter, KeyLedger, Operation, PlacesExhausted};
pub use page::{
    Bookmark, Entry, JudgedPage, Judgement, MAX_ENCODED_PAGE, MAX_PAGE_ENTRIES, MissingRequest, PAGE_BYTES,
    Page, PageOutline, PageRequest, Withheld,
};
pub use reading::{MAX_CLOCK_SKEW, PageError, Reading};
pub use row::{MAX_DIMENSIONS, MAX_REQUEST_BYTES, NewRow, Origin, Row};
pub use settle::{Approved, SettleError};
pub use totals::Denied;
