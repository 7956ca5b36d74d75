//! Whether a key may pass on what was delegated to it.
//!
//! On chain a redelegation is never wider than what it rests on. What its delegate is free of is what the nodes alone hold, so
//! that has to be in its caveats, or the owner gives it up.

use alloy_primitives::{Address, U256};
use quorate_core::delegation::{CaveatPlace, ContextError, Enforcer, MAX_CAVEATS, MAX_TERMS};

use super::{ChargeId, DelegationPermissions, NodeLimit, PermittedSubject};
use crate::limits::{Counter, Quantity};
use crate::{Forbidden, ForbiddenRedelegation, Redelegation};

impl DelegationPermissions {
    pub(super) fn judge_redelegation(
        &self,
        redelegation: &Redelegation,
        redeemer: Address,
        now: u64,
    ) -> Result<PermittedSubject, Forbidden> {
        let caveats = redelegation.caveats();
        let delegation = redelegation.delegation(&caveats);
        if delegation.is_root() {
            return Err(ForbiddenRedelegation::RootAuthority.into());
        }
        if delegation.is_open() {
            return Err(ForbiddenRedelegation::Open.into());
        }
        self.check_chain(redelegation.chain_id)?;
        self.check_domain(redelegation, redeemer)?;
        check_size(redelegation)?;
        self.check_time(now).map_err(ForbiddenRedelegation::Time)?;
        self.check_end(redelegation)?;
        Ok(PermittedSubject {
            digest: delegation.signing_digest(redelegation.chain_id, redelegation.manager),
            charge: ChargeId::of_redelegation(redelegation.chain_id, delegation.hash()),
            amounts: self.amounts_of_redelegation(redelegation)?,
            caveats: Vec::new(),
        })
    }

    fn check_domain(
        &self,
        redelegation: &Redelegation,
        redeemer: Address,
    ) -> Result<(), ForbiddenRedelegation> {
        let &Redelegation { manager, delegator, authority, .. } = redelegation;
        let (permitted, leaf) = (self.deployment.manager(), self.context.leaf());
        if manager != permitted {
            return Err(ForbiddenRedelegation::Manager { manager, permitted });
        }
        if delegator != redeemer {
            return Err(ForbiddenRedelegation::Delegator { delegator, redeemer });
        }
        if authority != leaf {
            return Err(ForbiddenRedelegation::Authority { authority, leaf });
        }
        Ok(())
    }

    /// All caveats hold, so that the earliest end is the delegation's.
    fn check_end(&self, redelegation: &Redelegation) -> Result<(), ForbiddenRedelegation> {
        let latest = self.epoch.valid_until();
        let end = |terms: &[u8]| {
            let before = terms.get(16..).and_then(|before| before.try_into().ok())?;
            Some(u128::from_be_bytes(before)).filter(|before| *before != 0)
        };
        match self.terms_of(redelegation, Enforcer::Timestamp).filter_map(end).min() {
            None => Err(ForbiddenRedelegation::NoEnd { latest }),
            Some(end) if latest != 0 && end > u128::from(latest) => {
                Err(ForbiddenRedelegation::EndsLate { end, latest })
            }
            Some(_) => Ok(()),
        }
    }

    /// All that may be spent through it, which is charged when it is signed.
    fn amounts_of_redelegation(
        &self,
        redelegation: &Redelegation,
    ) -> Result<Vec<U256>, ForbiddenRedelegation> {
        let amount = |counter: &Counter| match NodeLimit::of(counter) {
            None => Ok(U256::ZERO),
            Some(limit) if self.given_up.contains(&limit) => Ok(U256::ZERO),
            Some(limit) => {
                self.most_through(redelegation, counter).ok_or(ForbiddenRedelegation::Limit { limit })
            }
        };
        self.counters().iter().map(amount).collect()
    }

    /// The most that a redelegation's own caveats let through of what a counter counts; none if they do not bound it.
    fn most_through(&self, redelegation: &Redelegation, counter: &Counter) -> Option<U256> {
        if counter.dimension.seconds.is_some() {
            return None;
        }
        let number = |terms: &[u8]| U256::try_from_be_slice(terms).filter(|_| terms.len() == 32);
        let numbers = |enforcer| self.terms_of(redelegation, enforcer).filter_map(number);
        match counter.dimension.quantity {
            Quantity::Uses => numbers(Enforcer::LimitedCalls).min(),
            Quantity::NativeValue => {
                let of_all = numbers(Enforcer::NativeTokenTransferAmount);
                of_all.chain(numbers(Enforcer::ValueLte).filter(U256::is_zero)).min()
            }
            Quantity::Argument { contract, selector, offset }
                if (*selector.as_bytes(), offset) == TRANSFERRED =>
            {
                let total = |terms: &[u8]| {
                    let (token, total) = terms.split_first_chunk::<20>()?;
                    number(total).filter(|_| Address::from(*token) == contract)
                };
                self.terms_of(redelegation, Enforcer::ERC20TransferAmount).filter_map(total).min()
            }
            Quantity::Argument { .. } | Quantity::GasCost | Quantity::Caveat(_) => None,
        }
    }

    fn terms_of<'a>(
        &'a self,
        redelegation: &'a Redelegation,
        enforcer: Enforcer,
    ) -> impl Iterator<Item = &'a [u8]> {
        let enforcers = self.deployment.enforcers();
        let caveats = redelegation.caveats.iter();
        let of_enforcer = caveats.filter(move |caveat| enforcers.at(caveat.enforcer) == Some(enforcer));
        of_enforcer.map(|caveat| caveat.terms.as_slice())
    }
}

/// The amount of `transfer(address,uint256)`.
const TRANSFERRED: ([u8; 4], u16) = ([0xa9, 0x05, 0x9c, 0xbb], 32);

/// A context with more could not be read by the delegate's own signers.
fn check_size(redelegation: &Redelegation) -> Result<(), ForbiddenRedelegation> {
    let too_large = ForbiddenRedelegation::TooLarge;
    let len = redelegation.caveats.len();
    if len > MAX_CAVEATS {
        return Err(too_large(ContextError::TooManyCaveats { delegation: 0, len }));
    }
    match redelegation.caveats.iter().position(|caveat| caveat.terms.len() > MAX_TERMS) {
        None => Ok(()),
        Some(caveat) => {
            let place = CaveatPlace { delegation: 0, caveat };
            let len = redelegation.caveats.get(caveat).map_or(0, |caveat| caveat.terms.len());
            Err(too_large(ContextError::TermsTooLong { place, len }))
        }
    }
}
