#![doc = include_str!("../README.md")]
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
