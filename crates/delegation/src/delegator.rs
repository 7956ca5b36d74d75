//! An account that delegates to keys of a network.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, FixedBytes, U256, fixed_bytes};
use alloy_sol_types::sol;
use quorate_bundler::Bundler;
use quorate_core::Encode as _;
use quorate_core::delegation::{Context, Disable, Enforcer};
use quorate_network::{DistributedSigner, EphemeralKey, NetworkError, SigningNetwork};
use quorate_paymaster::Erc7677;
use quorate_protocol::{
    ClientError, DelegationPermissions, Deployment, FeeCaps, KeyDraft, PermissionsError, PinnedContextError,
    PolicyCaveats, UnsignedDelegation,
};
use quorate_store::{AccountId, Change, DelegatedKey, Key, Secret, Store, StoreError};
use quorate_transport::Transport;

use crate::chain::Chain;
use crate::redeemer::now;
use crate::session_account::{FACTORY, IMPLEMENTATION};
use crate::{RedeemError, RedeemedBy, Redeemer};

sol! {
    interface DelegatorAccount {
        function delegationManager() external view returns (address);
        function isValidSignature(bytes32 hash, bytes signature) external view returns (bytes4);
    }
}

/// An account whose owner delegates to keys of a network, with the store that keeps those keys.
///
/// The key comes first, since a delegation names it: [`prepare_key`](Self::prepare_key), which the owner signs. Then the owner
/// signs a [`delegation`](Self::delegation) or a wallet grants one, and the key is [kept](Self::keep) before the network learns
/// what it may sign ([`SigningNetwork::prepare_permit`]).
#[derive(Clone, Debug)]
pub struct Delegator {
    transport: Arc<dyn Transport>,
    store: Arc<dyn Store>,
    network: SigningNetwork,
    bundler: Option<(Bundler, Option<Erc7677>)>,
    chain_id: NonZeroU64,
    account: Address,
    deployment: Deployment,
}

/// A key to which an account delegates, and what it may sign.
#[derive(Clone, Debug, PartialEq)]
pub struct Delegated {
    /// The key's own address.
    pub address: Address,
    /// Its id at the network.
    pub key_id: String,
    /// What it may sign.
    pub permissions: DelegationPermissions,
    /// When it was made, in seconds since 1970.
    pub created: u64,
}

/// Why an account does not delegate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DelegatorError {
    /// An account without code, or with code that takes no orders from the manager.
    #[error(
        "{account} is no account that can delegate: it does not name {manager} as its delegation manager. Upgrade it first, by \
         EIP-7702 to the framework's stateless delegator, or in a wallet that does so"
    )]
    Account {
        /// The account.
        account: Address,
        /// The manager that redemptions go to.
        manager: Address,
    },
    /// A signature that the account does not take.
    #[error("{account} does not take this signature over the delegation {digest}; its owner has to sign it")]
    Signature {
        /// The account.
        account: Address,
        /// What was signed.
        digest: B256,
    },
    /// An enforcer that nobody here knows the address of.
    #[error("the deployment has no {} enforcer", .0.name())]
    Enforcer(Enforcer),
    /// A delegation that no key may redeem.
    #[error(transparent)]
    Context(#[from] PinnedContextError),
    /// Permissions that no network takes.
    #[error(transparent)]
    Permissions(#[from] PermissionsError),
    /// Permissions in the store that cannot be read.
    #[error("the store's permissions of key {key_id} cannot be read")]
    Stored {
        /// The key's id.
        key_id: String,
        /// Why.
        source: PermissionsError,
    },
    /// The store does not hold the key's secret.
    #[error("the store has no secret of {key}, to which {account} delegates")]
    NoSecret {
        /// The account.
        account: Address,
        /// The key.
        key: Address,
    },
    /// A chain on which keys can have no accounts.
    #[error(
        "the chain has no contract at {contract}, so that keys have no accounts on it; have the key redeem by transactions"
    )]
    NoFactory {
        /// Where the factory of accounts, or what they run, would be.
        contract: Address,
    },
    /// A key whose account sends user operations, and nobody to take them.
    #[error("{account} redeems by a bundler, and there is none; name one")]
    NoBundler {
        /// The key's account.
        account: Address,
    },
    /// A stored key of another network.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The chain.
    #[error(transparent)]
    Chain(#[from] RedeemError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system has no random bytes.
    #[error("no random bytes")]
    Random(#[from] getrandom::Error),
}

/// What `isValidSignature` gives for a signature that is taken (ERC-1271).
const VALID: FixedBytes<4> = fixed_bytes!("1626ba7e");

impl Delegator {
    /// An account on a chain, by version 1.3.0 of the framework.
    pub fn new(
        transport: Arc<dyn Transport>,
        store: Arc<dyn Store>,
        network: SigningNetwork,
        chain_id: NonZeroU64,
        account: Address,
    ) -> Self {
        Self { transport, store, network, bundler: None, chain_id, account, deployment: Deployment::V1_3_0 }
    }

    /// Names the bundler by which keys redeem that have an account ([`HybridAccount`](crate::HybridAccount)), and who pays for that
    /// where the account does not.
    #[must_use]
    pub fn with_bundler(self, bundler: Bundler, paymaster: Option<Erc7677>) -> Self {
        Self { bundler: Some((bundler, paymaster)), ..self }
    }

    /// The same by another deployment.
    #[must_use]
    pub fn with_deployment(self, deployment: Deployment) -> Self {
        Self { deployment, ..self }
    }

    /// Has the keys' accounts pay for themselves.
    #[must_use]
    pub fn without_paymaster(self) -> Self {
        Self { bundler: self.bundler.map(|(bundler, _)| (bundler, None)), ..self }
    }

    /// The account that delegates.
    pub const fn account(&self) -> Address {
        self.account
    }

    /// The manager and its enforcers.
    pub const fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// Whether the account's own code takes orders from the manager: otherwise everything redeemed would revert.
    ///
    /// # Errors
    /// [`DelegatorError::Account`], or the chain's node.
    pub async fn check_account(&self) -> Result<(), DelegatorError> {
        let (account, manager) = (self.account, self.deployment.manager());
        let chain = Chain(Arc::clone(&self.transport));
        match chain.ask(account, DelegatorAccount::delegationManagerCall {}).await? {
            Some(found) if found == manager => Ok(()),
            _ => Err(DelegatorError::Account { account, manager }),
        }
    }

    /// Whether the chain has what deploys the keys' accounts ([`HybridAccount`](crate::HybridAccount)).
    ///
    /// # Errors
    /// [`DelegatorError::NoFactory`], or the chain's node.
    pub async fn check_session_accounts(&self) -> Result<(), DelegatorError> {
        let chain = Chain(Arc::clone(&self.transport));
        for contract in [FACTORY, IMPLEMENTATION] {
            if chain.code(contract).await.map_err(RedeemError::from)?.is_empty() {
                return Err(DelegatorError::NoFactory { contract });
            }
        }
        Ok(())
    }

    /// Asks the network for a key that signs nothing yet, for the account's owner to sign, and the ephemeral key that asks for its
    /// signatures until `until`, in seconds since 1970 (0 for no end), and a year at most.
    ///
    /// # Errors
    /// The network's refusal, or no answer.
    pub async fn prepare_key(
        &self,
        owner: Address,
        until: u64,
    ) -> Result<(KeyDraft, EphemeralKey), DelegatorError> {
        let ephemeral = EphemeralKey::random()?;
        let claim = ephemeral.longest_claim("quorate", until, now());
        Ok((self.network.prepare_key_without_permissions(owner, &claim).await?, ephemeral))
    }

    /// The delegation of policies to a key or to its account, which no other has the salt of.
    ///
    /// # Errors
    /// [`DelegatorError::Enforcer`].
    pub fn delegation(
        &self,
        delegate: Address,
        policies: &PolicyCaveats,
    ) -> Result<UnsignedDelegation, DelegatorError> {
        let mut salt = [0; 32];
        getrandom::fill(&mut salt)?;
        let (chain_id, deployment, salt) = (self.chain_id, &self.deployment, U256::from_be_bytes(salt));
        UnsignedDelegation::new(chain_id, deployment, self.account, delegate, &policies.caveats, salt)
            .map_err(DelegatorError::Enforcer)
    }

    /// Asks the account whether a signature over a delegation is its own (ERC-1271).
    ///
    /// # Errors
    /// [`DelegatorError::Signature`], or the chain's node.
    pub async fn check_signature(&self, digest: B256, signature: &[u8]) -> Result<(), DelegatorError> {
        let (account, chain) = (self.account, Chain(Arc::clone(&self.transport)));
        let signature = Bytes::copy_from_slice(signature);
        let ask = DelegatorAccount::isValidSignatureCall { hash: digest, signature };
        match chain.ask(account, ask).await? {
            Some(VALID) => Ok(()),
            _ => Err(DelegatorError::Signature { account, digest }),
        }
    }

    /// The permissions that come of a signed delegation, which the account itself is asked about. `owner` is the key's.
    ///
    /// # Errors
    /// [`DelegatorError::Signature`], permissions that no network takes, or the chain's node.
    pub async fn permissions(
        &self,
        owner: Address,
        redeemer: RedeemedBy,
        delegation: &UnsignedDelegation,
        signature: &[u8],
        policies: &PolicyCaveats,
        fees: FeeCaps,
    ) -> Result<DelegationPermissions, DelegatorError> {
        self.check_signature(delegation.typed_data().digest(), signature).await?;
        let (fees, limits) = crate::with_gas_cost(fees, policies.limits.clone());
        let permissions = DelegationPermissions {
            owner,
            chain_id: self.chain_id,
            deployment: self.deployment.clone(),
            context: delegation.signed(signature)?,
            redeemer,
            nonces: BTreeMap::new(),
            unjudged: BTreeSet::new(),
            fees,
            given_up: BTreeSet::new(),
            epoch: policies.epoch,
            limits,
        };
        permissions.check()?;
        Ok(permissions)
    }

    /// Keeps a key with what it may sign. Before the network is told, so that no permitted key is ever lost.
    ///
    /// # Errors
    /// The store.
    pub async fn keep(
        &self,
        key: &DistributedSigner,
        permissions: &DelegationPermissions,
    ) -> Result<(), DelegatorError> {
        let kept = DelegatedKey {
            address: key.key().address,
            key_id: key.key().key_id.clone(),
            permissions: permissions.to_json(),
            created: now(),
        };
        let secret = Key::Distributed {
            key_id: kept.key_id.clone(),
            attested_key: key.key().to_json(),
            ephemeral: Secret::from(*key.ephemeral().to_bytes()),
        };
        let add = Change::AddDelegatedKey { key: Box::new(kept), secret: Box::new(secret) };
        Ok(self.store.apply(self.id(), vec![add]).await?)
    }

    /// Forgets a key. What it may sign it may sign still, until it is revoked at the network.
    ///
    /// # Errors
    /// The store.
    pub async fn forget(&self, key: Address) -> Result<(), DelegatorError> {
        Ok(self.store.apply(self.id(), vec![Change::RemoveDelegatedKey(key)]).await?)
    }

    /// The keys to which the account delegates, in the order in which they were kept.
    ///
    /// # Errors
    /// The store, and what it holds that cannot be read.
    pub async fn keys(&self) -> Result<Vec<Delegated>, DelegatorError> {
        let kept = self.store.delegated_keys(self.id()).await?;
        kept.into_iter().map(Delegated::read).collect()
    }

    /// What redeems by a key that is kept.
    ///
    /// # Errors
    /// The store, a key of another network, and [`DelegatorError::NoBundler`].
    pub async fn redeemer(&self, delegated: Delegated) -> Result<Redeemer, DelegatorError> {
        let (account, key) = (self.account, delegated.address);
        let Some(Key::Distributed { attested_key, ephemeral, .. }) =
            self.store.delegated_key(self.id(), key).await?
        else {
            return Err(DelegatorError::NoSecret { account, key });
        };
        let ephemeral = EphemeralKey::from_bytes(ephemeral.expose());
        let signer = DistributedSigner::restore(self.network.clone(), &attested_key, ephemeral)?;
        let (transport, store) = (Arc::clone(&self.transport), Arc::clone(&self.store));
        let redeemed_by = delegated.permissions.redeemer;
        let redeemer = Redeemer::new(transport, store, Arc::new(signer), delegated.permissions);
        match (redeemed_by, &self.bundler) {
            (RedeemedBy::Key, _) => Ok(redeemer),
            (RedeemedBy::Account(_), Some((bundler, paymaster))) => {
                Ok(redeemer.by_bundler(bundler.clone(), paymaster.clone()))
            }
            (RedeemedBy::Account(account), None) => {
                Err(DelegatorError::NoBundler { account: account.address })
            }
        }
    }

    const fn id(&self) -> AccountId {
        AccountId { chain_id: self.chain_id.get(), address: self.account }
    }
}

impl Delegated {
    /// What an account calls to end on chain what it has delegated: `disableDelegation` of the manager. None where no delegation of
    /// the key's is of that account.
    pub fn disabling(&self, delegator: Address) -> Option<(Address, Vec<u8>)> {
        let context = Context::parse(self.permissions.context.as_bytes()).ok()?;
        let own = context.delegations().find(|delegation| delegation.delegator == delegator)?;
        Some((self.permissions.deployment.manager(), Disable(own).to_vec()))
    }

    fn read(kept: DelegatedKey) -> Result<Self, DelegatorError> {
        let DelegatedKey { address, key_id, permissions, created, .. } = kept;
        match DelegationPermissions::from_json(&permissions) {
            Ok(permissions) => Ok(Self { address, key_id, permissions, created }),
            Err(source) => Err(DelegatorError::Stored { key_id, source }),
        }
    }
}
