use alloy_primitives::Address;
use quorate_contracts::Deployment;
use quorate_core::{Call, Encode as _, Erc20Refusal, Execute, Leaf, Refusal, evaluate, evaluate_erc20};

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
        /// The time that it is checked for.
        now: u64,
    },
    /// Too late.
    #[error("the policy was valid until {valid_until}, and it is {now} (seconds since 1970)")]
    Expired {
        /// The policy's end.
        valid_until: u64,
        /// The time that it is checked for.
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

/// Whether a policy allows a call of the account at `now`, in seconds since 1970, as its module would say; at any time
/// where none is given.
///
/// # Errors
/// The reason why not, with the values that differ.
pub(crate) fn preflight(
    policy: &Leaf,
    deployment: &Deployment,
    call: Call<'_>,
    now: Option<u64>,
) -> Result<(), CallRefusal> {
    let call_data = Execute(call).to_vec();
    if policy.validation_module == deployment.abi_session_validation_module {
        evaluate(&policy.session_key_data, &call_data)?;
    } else if policy.validation_module == deployment.erc20_session_validation_module {
        evaluate_erc20(&policy.session_key_data, &call_data)?;
    } else {
        return Err(CallRefusal::UnknownModule { module: policy.validation_module });
    }
    let (valid_after, valid_until) = (policy.epoch.valid_after(), policy.epoch.valid_until());
    match now {
        Some(now) if now < valid_after => Err(CallRefusal::NotYetValid { valid_after, now }),
        Some(now) if valid_until != 0 && now > valid_until => Err(CallRefusal::Expired { valid_until, now }),
        _ => Ok(()),
    }
}

/// The policy that allows a call; else the refusal of the one that came nearest to it, if there is any.
pub(crate) fn policy_for<T>(
    policies: impl IntoIterator<Item = T>,
    preflight: impl Fn(&T) -> Result<(), CallRefusal>,
) -> Result<T, Option<CallRefusal>> {
    let mut nearest: Option<CallRefusal> = None;
    for policy in policies {
        match preflight(&policy) {
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
