//! Passing on what was delegated to the key.

use std::iter;

use alloy_primitives::{Address, U256};
use quorate_core::Encode as _;
use quorate_core::delegation::{Context, Delegation, Delegations, Disable};
use quorate_protocol::{PinnedContext, Redelegation, RedelegationCaveat, Subject};

use super::{PendingRedemption, RedeemError, Redeemer, now};

impl Redeemer {
    /// Delegates to another what was delegated to the key, within these caveats and all that it is under itself. Gives the context
    /// that the other redeems.
    ///
    /// On chain it can never be wider. What its delegate is free of is what the network's nodes alone hold: each of those limits has
    /// to be in a caveat, or the owner's permissions give it up by name. What it lets through is counted in full now, and the
    /// enforcers' counters are shared with the key's own redemptions.
    ///
    /// # Errors
    /// [`RedeemError::Forbidden`]: an open delegate, no end or a late one, and a limit that no caveat expresses, by its name.
    pub async fn redelegate(
        &self,
        to: Address,
        caveats: Vec<RedelegationCaveat>,
        salt: U256,
    ) -> Result<PinnedContext, RedeemError> {
        let (permissions, account) = (&self.permissions, self.carrier.caller());
        if account != self.signer.address() && self.chain.code(account).await?.is_empty() {
            return Err(RedeemError::NotDeployed { account });
        }
        let redelegation = Redelegation {
            chain_id: permissions.chain_id.get(),
            manager: permissions.deployment.manager(),
            delegate: to,
            delegator: account,
            authority: permissions.context.hashes().first().copied().unwrap_or_default(),
            caveats,
            salt,
        };
        let subject = Subject::Redelegation(redelegation.clone());
        permissions.judge(&subject, self.signer.address(), now())?;
        let signature = self.signer.sign(&subject).await.map_err(RedeemError::Signer)?.as_bytes();
        let caveats = redelegation.caveats();
        let leaf = Delegation { signature: &signature, ..redelegation.delegation(&caveats) };
        let rest = self.context().into_iter().flat_map(|context| context.delegations());
        let all: Vec<_> = iter::once(leaf).chain(rest).collect();
        Ok(PinnedContext::new(Delegations(&all).to_vec())?)
    }

    /// Ends a delegation that the key has made, on chain. It works whatever else has ended.
    ///
    /// # Errors
    /// One that is not the key's own, and gas that the key cannot pay for.
    pub async fn disable(&self, redelegated: &PinnedContext) -> Result<PendingRedemption, RedeemError> {
        let leaf = Context::parse(redelegated.as_bytes()).ok().and_then(|context| context.get(0));
        let data = leaf.map(|leaf| Disable(leaf).to_vec()).unwrap_or_default();
        match self.under_way(&data).await? {
            Some(pending) => Ok(pending),
            None => {
                let quote = self.carrier.quote(&data).await?;
                self.start(data, quote).await
            }
        }
    }
}
