//! The contracts that sessions rely on: bindings, where they are deployed, and what follows from that.
//!
//! Bindings are generated from the ABIs in `abi/` by `cargo xtask codegen`. A [`Deployment`] holds the addresses;
//! [`account`] derives an account's address and deployment from them, and [`calls`] encodes what prepares an account
//! for sessions. These allocate nothing.
//!
//! ```
//! use quorate_contracts::{Deployment, account};
//! use quorate_core::{U256, address};
//!
//! let owner = address!("7E5F4552091A69125d5DfCb7b8C2659029395Bdf");
//! assert_eq!(
//!     account::address(&Deployment::canonical(), owner, U256::ZERO),
//!     address!("9e47d5217fb605E2BDb3B02Adc457be53782c020"),
//! );
//! ```

#![no_std]

pub mod account;
pub mod calls;
mod deployment;
mod generated;

pub use deployment::Deployment;
pub use generated::{
    EcdsaOwnershipModule, EntryPoint, Erc20, Erc721, SessionKeyManager, SessionValidationModule,
    SmartAccount, SmartAccountFactory,
};
