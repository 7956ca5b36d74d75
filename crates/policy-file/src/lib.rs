#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod amount;
mod check;
mod compile;
mod explain;
mod file;
mod lint;
mod mistake;
mod operand;
mod read;
mod template;
mod time;

pub use amount::{NumberError, wei};
pub use check::{Refused, RefusedBecause, Verdict};
pub use compile::{Compiled, Facts};
pub use explain::{Explanation, HeldBy, OnChain, Statement, Target};
pub use file::{PolicyFile, Token};
pub use lint::{Finding, FoundLint};
pub use mistake::{Mistake, MistakeKind, Mistakes, Place};
pub use operand::OperandError;
pub use read::Format;
pub use template::template;
pub use time::TimeError;
