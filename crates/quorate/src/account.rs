use alloy_primitives::Address;
use quorate_contracts::account::Creation;
use quorate_core::{Policy, PolicyErrors};
use quorate_protocol::{Limits, Permissions, PermittedPolicy};
use quorate_store::AccountId;

use crate::owner::OwnerForm;
use crate::{Error, Grant, Options, OwnerModule, Quorate};

/// A smart account of one owner.
#[derive(Clone, Debug)]
pub struct SmartAccount {
    pub(crate) client: Quorate,
    pub(crate) owner: Address,
    pub(crate) owner_form: OwnerForm,
    /// What the address was made from; none for an account that is known by its address alone, which is deployed.
    pub(crate) creation: Option<Creation>,
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

    /// The module whose owner signs what is made through this.
    pub const fn owner_module(&self) -> OwnerModule {
        self.owner_form.module
    }

    /// The same account after its ownership was transferred.
    #[must_use]
    pub fn with_owner(mut self, owner: Address) -> Self {
        self.owner = owner;
        self
    }

    /// The same account, whose owner signs by another of its enabled modules; see
    /// [`enable_owner_module`](Self::enable_owner_module).
    #[must_use]
    pub const fn with_owner_module(mut self, module: OwnerModule) -> Self {
        self.owner_form.module = module;
        self
    }

    /// Prepares operations so that one signature of the owner may be for so many, this account's among them: what
    /// [`MultichainDraft`](crate::MultichainDraft) needs. It takes the multichain module, and some gas more.
    #[must_use]
    pub const fn with_shared_signature(mut self, operations: u16) -> Self {
        self.owner_form.operations = operations;
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
    /// multiple of 32, times in milliseconds, an end before its start, rules that no call satisfies.
    pub fn grant<P: TryInto<Policy, Error: Into<PolicyErrors>>>(
        &self,
        policies: impl IntoIterator<Item = P>,
    ) -> Result<Grant, Error> {
        let grant = self.grant_with_mistakes_allowed(policies)?;
        for (policy, permitted) in grant.permissions().policies.iter().enumerate() {
            if let Some(mistake) = permitted.policy.mistake() {
                return Err(Error::Mistake { policy, mistake });
            }
        }
        Ok(grant.with_mistakes(false))
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
            Ok(PermittedPolicy { validation_module, policy: policy.into() })
        });
        let policies = policies.collect::<Result<Vec<_>, Error>>()?;
        if policies.is_empty() {
            Err(Error::NoPolicy)
        } else {
            Ok(self.grant_of(policies).with_mistakes(true))
        }
    }

    /// A session of the ERC-20 validation module; [`Grant::with_token`] says of which tokens.
    pub fn grant_tokens(&self) -> Grant {
        self.grant_of(Vec::new())
    }

    fn grant_of(&self, policies: Vec<PermittedPolicy>) -> Grant {
        let deployment = self.client.deployment();
        let permissions = Permissions {
            owner: self.owner,
            account: self.address,
            chain_id: self.client.chain_id(),
            entry_point: deployment.entry_point,
            session_key_manager: deployment.session_key_manager,
            policies,
            limits: Limits::default(),
        };
        Grant::new(permissions, deployment.erc20_session_validation_module)
    }
}
