use alloy_primitives::{Address, U256};
use quorate_core::{Encode as _, ModuleSignature, Policy, PolicyErrors};
use quorate_protocol::{Limits, Permissions, PermittedPolicy};
use quorate_signer::SIGNATURE_LEN;
use quorate_store::AccountId;

use crate::{Error, Grant, Options, Quorate};

/// A smart account of one owner.
#[derive(Clone, Debug)]
pub struct SmartAccount {
    pub(crate) client: Quorate,
    pub(crate) owner: Address,
    /// The owner that the address was made from.
    pub(crate) creator: Address,
    pub(crate) index: U256,
    pub(crate) address: Address,
    pub(crate) options: Options,
}

impl SmartAccount {
    /// The account's address, whether or not it is deployed.
    pub const fn address(&self) -> Address {
        self.address
    }

    /// Whose signature it obeys.
    pub const fn owner(&self) -> Address {
        self.owner
    }

    /// The account on its chain.
    pub const fn id(&self) -> AccountId {
        AccountId { chain_id: self.client.chain_id(), address: self.address }
    }

    /// The same account after its ownership was transferred.
    #[must_use]
    pub fn with_owner(mut self, owner: Address) -> Self {
        self.owner = owner;
        self
    }

    /// The same with options for all that is made through it, sessions that are taken up among them; see
    /// [`Options::merged`].
    #[must_use]
    pub fn with_options(mut self, options: Options) -> Self {
        self.options = self.options.merged(options);
        self
    }

    /// How its operations are made.
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// A session with these policies.
    ///
    /// # Errors
    /// No policy, or one that the contract would take and that is evidently a mistake: an offset that is not a
    /// multiple of 32, times in milliseconds, an end before its start.
    pub fn grant<P: TryInto<Policy, Error: Into<PolicyErrors>>>(
        &self,
        policies: impl IntoIterator<Item = P>,
    ) -> Result<Grant, Error> {
        let grant = self.grant_with_mistakes_allowed(policies)?;
        for (policy, permitted) in grant.permissions().policies.iter().enumerate() {
            if let Some(mistake) = permitted.policy.mistakes().next() {
                return Err(Error::Mistake { policy, mistake });
            }
        }
        Ok(grant)
    }

    /// A session with these policies, however odd they are.
    ///
    /// # Errors
    /// No policy.
    pub fn grant_with_mistakes_allowed<P: TryInto<Policy, Error: Into<PolicyErrors>>>(
        &self,
        policies: impl IntoIterator<Item = P>,
    ) -> Result<Grant, Error> {
        let validation_module = self.client.deployment().abi_session_validation_module;
        let policies = policies.into_iter().enumerate().map(|(place, policy)| {
            let policy = policy.try_into();
            let policy = policy.map_err(|errors| Error::Policy { policy: place, errors: errors.into() })?;
            Ok(PermittedPolicy { validation_module, policy })
        });
        let policies = policies.collect::<Result<Vec<_>, Error>>()?;
        if policies.is_empty() { Err(Error::NoPolicy) } else { Ok(self.grant_of(policies)) }
    }

    /// A session of the ERC-20 validation module; [`Grant::with_token`] says of which tokens.
    pub fn grant_tokens(&self) -> Grant {
        self.grant_of(Vec::new())
    }

    fn grant_of(&self, policies: Vec<PermittedPolicy>) -> Grant {
        let deployment = self.client.deployment();
        Grant::new(Permissions {
            owner: self.owner,
            account: self.address,
            chain_id: self.client.chain_id(),
            entry_point: deployment.entry_point,
            session_key_manager: deployment.session_key_manager,
            policies,
            limits: Limits::default(),
        })
    }

    pub(crate) fn owner_signature(&self, signature: &[u8; SIGNATURE_LEN]) -> Vec<u8> {
        let module = self.client.deployment().ecdsa_ownership_module;
        ModuleSignature { module_signature: signature.as_slice(), module }.to_vec()
    }
}
