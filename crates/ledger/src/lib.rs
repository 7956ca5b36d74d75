#![doc = include_str!("../README.md")]

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
