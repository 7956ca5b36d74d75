#![doc = include_str!("../README.md")]

mod answer;
mod approval;
mod error;
mod guard;
mod review;
mod server;
mod shared;
mod signer;
mod state;
mod tabs;

pub use approval::{Approval, Chain, Outcome, Presence};
pub use error::{ApprovalError, StartError};
pub use review::Review;
pub use signer::BrowserSigner;
