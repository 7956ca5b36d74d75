use alloy_primitives::Address;
use quorate_contracts::Deployment;
use quorate_core::{Call, Encode as _, Erc20Refusal, Execute, Refusal, evaluate, evaluate_erc20};

use crate::EncodedPolicy;

/// Why a policy does not allow a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallRefusal {
    /// The ABI session validation module says no.
    #[error(transparent)]
    Abi(#[from] Refusal),
    /// The ERC-20 session validation module says no.
    #[error(transparent)]
    Erc20(#[from] Erc20Refusal),
    /// A module whose answer is not known here.
    #[error("the session validation module {module} is not known here, so what it allows cannot be said")]
    UnknownModule {
        /// The module.
        module: Address,
    },
    /// Too early.
    #[error("the policy is valid from {valid_after}, and it is {now} (seconds since 1970)")]
    NotYetValid {
        /// The policy's start.
        valid_after: u64,
        /// This machine's clock.
        now: u64,
    },
    /// Too late.
    #[error("the policy was valid until {valid_until}, and it is {now} (seconds since 1970)")]
    Expired {
        /// The policy's end.
        valid_until: u64,
        /// This machine's clock.
        now: u64,
    },
}

impl CallRefusal {
    /// How far the check came, so that the refusal shown is of the policy that was meant.
    const fn progress(&self) -> u8 {
        match self {
            Self::UnknownModule { .. } => 0,
            Self::Abi(Refusal::DestinationForbidden { .. })
            | Self::Erc20(Erc20Refusal::TokenForbidden { .. }) => 2,
            Self::Abi(Refusal::SelectorForbidden { .. }) => 3,
            Self::Abi(Refusal::ValueExceeded { .. }) | Self::Erc20(Erc20Refusal::ValueForbidden { .. }) => 4,
            Self::Abi(Refusal::RuleViolated { .. } | Refusal::WordOutOfBounds { .. })
            | Self::Erc20(Erc20Refusal::RecipientForbidden { .. } | Erc20Refusal::AmountExceeded { .. }) => 5,
            Self::Abi(_) | Self::Erc20(_) => 1,
            Self::NotYetValid { .. } | Self::Expired { .. } => 6,
        }
    }
}

impl EncodedPolicy {
    /// Whether this policy allows a call of the account at `now`, in seconds since 1970, as its module would say.
    ///
    /// # Errors
    /// The reason why not, with the values that differ.
    pub fn judge(&self, deployment: &Deployment, call: Call<'_>, now: u64) -> Result<(), CallRefusal> {
        let call_data = Execute(call).to_vec();
        if self.validation_module == deployment.abi_session_validation_module {
            evaluate(&self.session_key_data, &call_data)?;
        } else if self.validation_module == deployment.erc20_session_validation_module {
            evaluate_erc20(&self.session_key_data, &call_data)?;
        } else {
            return Err(CallRefusal::UnknownModule { module: self.validation_module });
        }
        let (valid_after, valid_until) = (self.epoch.valid_after(), self.epoch.valid_until());
        if now < valid_after {
            return Err(CallRefusal::NotYetValid { valid_after, now });
        }
        if valid_until != 0 && now > valid_until {
            return Err(CallRefusal::Expired { valid_until, now });
        }
        Ok(())
    }
}

/// The policy that allows a call; else the refusal of the one that came nearest to it, if there is any.
pub(crate) fn allowing<T>(
    policies: impl IntoIterator<Item = T>,
    judge: impl Fn(&T) -> Result<(), CallRefusal>,
) -> Result<T, Option<CallRefusal>> {
    let mut nearest: Option<CallRefusal> = None;
    for policy in policies {
        match judge(&policy) {
            Ok(()) => return Ok(policy),
            Err(refusal) => {
                if nearest.is_none_or(|nearest| nearest.progress() < refusal.progress()) {
                    nearest = Some(refusal);
                }
            }
        }
    }
    Err(nearest)
}
