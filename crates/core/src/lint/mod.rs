//! What can be encoded and enforced, and is not what most owners want.
//!
//! All findings are made from what is signed, the session's data and times, and from what the reviewer trusts. Nothing is
//! allocated: a finding is passed on as soon as it is made.

mod calls;
pub(crate) mod context;
mod erc20;
pub(crate) mod finding;
mod range;
mod rules;
mod session;
pub(crate) mod severity;
mod time;
mod tokens;
