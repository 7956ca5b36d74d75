#![doc = include_str!("../README.md")]

mod chain;
mod context;
#[cfg(feature = "network")]
mod delegator;
mod error;
mod granted;
mod of_policies;
mod redeemer;
mod request;
mod session_account;

pub use chain::Receipt;
pub use context::pin_context;
#[cfg(feature = "network")]
pub use delegator::{Delegated, Delegator, DelegatorError};
pub use error::GrantError;
pub use granted::{Approver, Granted, Redemptions};
pub use of_policies::NotOfWallets;
pub use quorate_protocol::{
    DelegationPermissions, Deployment, FeeCaps, Inexpressible, PolicyCaveats, Redeemer as RedeemedBy,
    RedelegationCaveat, SessionAccount, UnsignedDelegation,
};
pub use redeemer::{DelegateSigner, Ended, Left, PendingRedemption, RedeemError, Redeemer, Settled, Status};
pub use request::{Asset, PermissionRequest, Spending};
pub use session_account::HybridAccount;

/// A policy's limit of gas as the fees of a key that pays for its own: permissions have it once.
fn with_gas_cost(fees: FeeCaps, limits: quorate_protocol::Limits) -> (FeeCaps, quorate_protocol::Limits) {
    let total = limits.gas_cost.map_or(fees.total, |most| most.min(fees.total));
    (FeeCaps { total, ..fees }, quorate_protocol::Limits { gas_cost: None, ..limits })
}
