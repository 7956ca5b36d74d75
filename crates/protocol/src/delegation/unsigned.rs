use std::num::NonZeroU64;

use alloy_primitives::{Address, U256};
use quorate_core::Encode as _;
use quorate_core::delegation::{Caveat, Caveats, Delegation, Delegations, Enforcer, ROOT_AUTHORITY};

use crate::typed_data::typed;
use crate::{Deployment, PinnedContext, PinnedContextError, PolicyCaveat, TypedData};

/// An account's own delegation to a key, which its owner has still to sign.
///
/// ```
/// use std::num::NonZeroU64;
///
/// use quorate_core::{Address, Policy, U256};
/// use quorate_protocol::{Deployment, Limits, PolicyCaveats, UnsignedDelegation};
///
/// let [account, key, nft] = [1, 2, 3].map(Address::repeat_byte);
/// let mint = Policy::new(nft, "safeMint(address)".parse()?);
/// let caveats = PolicyCaveats::of(&[mint], &Limits::default(), 1_900_000_000)?.caveats;
/// let chain_id = NonZeroU64::new(8453).unwrap();
/// let delegation =
///     UnsignedDelegation::new(chain_id, &Deployment::V1_3_0, account, key, &caveats, U256::from(1))
///         .expect("the deployment has all enforcers");
/// let document = delegation.typed_data(); // for the owner's `eth_signTypedData_v4`
/// assert_eq!(document.document()["domain"]["name"], "DelegationManager");
/// let context = delegation.signed(&[0x51; 65])?;
/// assert_eq!(context.delegate(), key);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsignedDelegation {
    chain_id: NonZeroU64,
    manager: Address,
    delegator: Address,
    delegate: Address,
    caveats: Vec<(Address, Vec<u8>)>,
    salt: U256,
}

impl UnsignedDelegation {
    /// A delegation with these caveats at the enforcers of a deployment. With one salt, the same delegation has the same counters
    /// and the same end.
    ///
    /// # Errors
    /// The enforcer that the deployment does not have.
    pub fn new(
        chain_id: NonZeroU64,
        deployment: &Deployment,
        delegator: Address,
        delegate: Address,
        caveats: &[PolicyCaveat],
        salt: U256,
    ) -> Result<Self, Enforcer> {
        let placed = caveats.iter().map(|PolicyCaveat { enforcer, terms }| {
            deployment.address_of(*enforcer).map(|address| (address, terms.clone())).ok_or(*enforcer)
        });
        let caveats = placed.collect::<Result<_, _>>()?;
        Ok(Self { chain_id, manager: deployment.manager(), delegator, delegate, caveats, salt })
    }

    /// What the owner signs (EIP-712, in the domain of the manager).
    pub fn typed_data(&self) -> TypedData {
        let caveats = self.caveats.iter().map(|(enforcer, terms)| typed::delegation::Caveat {
            enforcer: *enforcer,
            terms: terms.clone().into(),
        });
        let delegation = typed::delegation::Delegation {
            delegate: self.delegate,
            delegator: self.delegator,
            authority: ROOT_AUTHORITY,
            caveats: caveats.collect(),
            salt: self.salt,
        };
        TypedData::of_delegation(&delegation, self.chain_id, self.manager)
    }

    /// The delegation with its signature, as a key redeems it.
    ///
    /// # Errors
    /// A delegation that a key must not redeem, such as an open one.
    pub fn signed(&self, signature: &[u8]) -> Result<PinnedContext, PinnedContextError> {
        let caveats: Vec<_> =
            self.caveats.iter().map(|(enforcer, terms)| Caveat { enforcer: *enforcer, terms }).collect();
        let delegation = Delegation {
            delegate: self.delegate,
            delegator: self.delegator,
            authority: ROOT_AUTHORITY,
            caveats: Caveats::from(&caveats[..]),
            salt: self.salt,
            signature,
        };
        PinnedContext::new(Delegations(&[delegation]).to_vec())
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::hex;
    use quorate_core::delegation::{Context, MANAGER_V1_3_0};

    use super::*;

    #[test]
    fn what_is_signed_is_what_the_manager_hashes() {
        let caveats = [Enforcer::AllowedTargets, Enforcer::ValueLte]
            .map(|enforcer| PolicyCaveat { enforcer, terms: hex!("0102").to_vec() });
        let chain_id = NonZeroU64::new(137).unwrap();
        let [delegator, delegate] = [1, 2].map(Address::repeat_byte);
        for caveats in [&caveats[..], &[]] {
            let salt = U256::from(7);
            let delegation =
                UnsignedDelegation::new(chain_id, &Deployment::V1_3_0, delegator, delegate, caveats, salt);
            let delegation = delegation.unwrap();
            let context = delegation.signed(&[0x51; 65]).unwrap();
            let read = Context::parse(context.as_bytes()).unwrap().get(0).unwrap();
            assert_eq!(delegation.typed_data().digest(), read.signing_digest(137, MANAGER_V1_3_0));
        }
    }
}
