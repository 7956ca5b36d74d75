#![doc = include_str!("../README.md")]

mod context;
mod error;
mod granted;
mod redeemer;
mod request;
mod terms;

pub use context::pin_context;
pub use error::GrantError;
pub use granted::{Approver, Granted, Redemptions};
pub use quorate_protocol::{DelegationPermissions, Deployment, FeeCaps, RedelegationCaveat};
pub use redeemer::{
    DelegateSigner, Ended, Left, PendingRedemption, Receipt, RedeemError, Redeemer, Settled, Status,
};
pub use request::{Asset, PermissionRequest, Spending};
