//! What a delegation still lets its key do, as the chain has it.

use alloy_primitives::{Address, Bytes, U256};
use quorate_core::delegation::{Caveat, CaveatPlace, Delegation, Enforcer, StreamAllowance, Terms};

use super::{RedeemError, Redeemer};
use crate::chain::{CaveatEnforcer, DelegationManager};

/// What of the permissions still holds on chain.
///
/// What the nodes have counted may be more: what reverts, expires or is never sent is counted there, and not here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Why nothing can be redeemed now, in the order in which the chain would say it.
    pub ended: Vec<Ended>,
    /// What is left under each caveat that counts, now.
    pub left: Vec<Left>,
    /// What the key, or its account, has for gas, in wei. It can be spent as fees alone.
    pub balance: U256,
}

/// Why nothing can be redeemed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The manager's owner has paused it.
    Paused,
    /// The delegator has disabled the delegation at this place of the context, 0 for the leaf.
    Disabled {
        /// Which one.
        delegation: usize,
    },
    /// The delegator has ended all delegations of this caveat's nonce.
    NonceMoved {
        /// The caveat.
        place: CaveatPlace,
        /// The delegator's nonce.
        current: U256,
    },
    /// This caveat's end has passed, or its start has not come.
    Time {
        /// The caveat.
        place: CaveatPlace,
    },
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Paused => f.write_str("the manager is paused"),
            Self::Disabled { delegation } => write!(f, "delegation {delegation} is disabled"),
            Self::NonceMoved { place, current } => {
                write!(f, "{place}: the delegator's nonce is {current} now")
            }
            Self::Time { place } => write!(f, "{place}: its time is over, or has not come"),
        }
    }
}

/// What a caveat leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// The caveat.
    pub place: CaveatPlace,
    /// What counts it.
    pub enforcer: Enforcer,
    /// Redemptions, wei, or a token's smallest unit.
    pub amount: U256,
}

impl Redeemer {
    /// Asks the chain what has ended, and what is left.
    ///
    /// # Errors
    /// The chain's node, or a contract that is not what the deployment says.
    pub async fn status(&self) -> Result<Status, RedeemError> {
        let manager = self.permissions.deployment.manager();
        let (mut ended, mut left) = (Vec::new(), Vec::new());
        if self.chain.read(manager, DelegationManager::pausedCall {}).await? {
            ended.push(Ended::Paused);
        }
        let now = self.chain.timestamp().await?;
        for (delegation, read) in self.context().into_iter().flat_map(|it| it.delegations()).enumerate() {
            let call = DelegationManager::disabledDelegationsCall { delegationHash: read.hash() };
            if self.chain.read(manager, call).await? {
                ended.push(Ended::Disabled { delegation });
            }
            for (caveat, of) in read.caveats.iter().enumerate() {
                let place = CaveatPlace { delegation, caveat };
                let enforcers = self.permissions.deployment.enforcers();
                let Some((enforcer, terms)) = enforcers.at(of.enforcer).zip(Terms::of(&of, &enforcers))
                else {
                    continue;
                };
                match terms {
                    Terms::Nonce(pinned) => {
                        let current = self.current_nonce(of.enforcer, read.delegator).await?;
                        if pinned != current {
                            ended.push(Ended::NonceMoved { place, current });
                        }
                    }
                    Terms::Times { after, before } if !is_open(after, before, now) => {
                        ended.push(Ended::Time { place });
                    }
                    _ => {
                        let amount = self.left(&of, terms, &read, now).await?;
                        left.extend(amount.map(|amount| Left { place, enforcer, amount }));
                    }
                }
            }
        }
        Ok(Status { ended, left, balance: self.carrier.balance().await? })
    }

    pub(super) async fn current_nonce(
        &self,
        enforcer: Address,
        delegator: Address,
    ) -> Result<U256, RedeemError> {
        let delegation_manager = self.permissions.deployment.manager();
        let call = CaveatEnforcer::currentNonceCall { delegationManager: delegation_manager, delegator };
        self.chain.read(enforcer, call).await
    }

    /// What is left under a caveat; none for one that counts nothing.
    async fn left(
        &self,
        caveat: &Caveat<'_>,
        terms: Terms<'_>,
        delegation: &Delegation<'_>,
        now: u64,
    ) -> Result<Option<U256>, RedeemError> {
        let (manager, hash) = (self.permissions.deployment.manager(), delegation.hash());
        let contract = caveat.enforcer;
        Ok(Some(match terms {
            Terms::Calls { limit } => {
                let call =
                    CaveatEnforcer::callCountsCall { delegationManager: manager, delegationHash: hash };
                limit.saturating_sub(self.chain.read(contract, call).await?)
            }
            Terms::Total { limit, .. } => {
                let call = CaveatEnforcer::spentMapCall { delegationManager: manager, delegationHash: hash };
                limit.saturating_sub(self.chain.read(contract, call).await?)
            }
            Terms::Period { .. } => {
                let call = CaveatEnforcer::getAvailableAmountCall {
                    delegationHash: hash,
                    delegationManager: manager,
                    terms: Bytes::copy_from_slice(caveat.terms),
                };
                self.chain.read(contract, call).await?.available
            }
            Terms::Stream { initial, max, per_second, start, .. } => {
                let call = CaveatEnforcer::streamingAllowancesCall {
                    delegationManager: manager,
                    delegationHash: hash,
                };
                // Before the first use the contract itself says 0.
                let spent = self.chain.read(contract, call).await?.spent;
                let stream = StreamAllowance { initial, max, per_second, start, spent };
                stream.available(now).unwrap_or_default()
            }
            Terms::Id(id) => {
                let delegator = delegation.delegator;
                let call = CaveatEnforcer::getIsUsedCall { delegationManager: manager, delegator, id };
                U256::from(u8::from(!self.chain.read(contract, call).await?))
            }
            _ => return Ok(None),
        }))
    }
}

/// Whether a time is between two others, both exclusive, 0 for an open end.
fn is_open(after: u128, before: u128, now: u64) -> bool {
    u128::from(now) > after && (before == 0 || u128::from(now) < before)
}
