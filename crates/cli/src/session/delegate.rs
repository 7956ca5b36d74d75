//! `quorate session create --target delegation`: from a policy file to a delegation that a network's key redeems.

use alloy_primitives::{Address, B256, Signature, U256};
use clap::{Args, ValueEnum};
use quorate::delegation::{
    Approver, DelegationPermissions, Delegator, FeeCaps, Granted, HybridAccount, PermissionRequest,
    PolicyCaveats, RedeemedBy, Redemptions,
};
use quorate::{DistributedSigner, Limits, PaymasterRule, PendingRegistration, SigningNetwork};
use quorate_approval::{Approval, Outcome as PageOutcome, Review};
use quorate_core::{KnownFunction, Policy};
use quorate_policy_file::{Compiled, wei};
use quorate_protocol::{CHALLENGE_LIFETIME, Refusal};
use serde::Serialize;

use crate::exit::Failure;
use crate::offline::policy::file::ReadFile;
use crate::offline::{self, key_request};
use crate::owner::OwnerSigner;
use crate::signing::{Answer, Outcome, Signing, members};

/// Where the policies are on chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum PolicyTarget {
    /// In the session key manager of the owner's V2 account.
    #[default]
    Session,
    /// In a delegation (ERC-7710) of the owner's own account: its signer signs it, or a browser's wallet grants it (ERC-7715).
    Delegation,
}

/// What a key that redeems may spend on gas, and what of its delegation no node holds.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct RedemptionArguments {
    /// What a key that redeems delegations may spend on gas in all, of coin of its own.
    #[arg(long, value_name = "COIN", default_value = "0.01 ether", value_parser = wei)]
    gas: U256,
    /// Leave to the chain what no node can judge of a wallet's grant, such as a caveat of an unknown contract.
    #[arg(long)]
    leave_to_chain: bool,
    /// The most gas of one of its transactions, or of an operation of its account with what deploys that and the bundler's own.
    #[arg(long, value_name = "GAS", default_value_t = 1_000_000)]
    gas_limit: u64,
    /// The most that one gas of it may cost.
    #[arg(long, value_name = "COIN", default_value = "200 gwei", value_parser = wei)]
    gas_price: U256,
    /// Have the key redeem by the bundler, through a smart account of its own, which pays for gas, instead of by transactions.
    #[arg(long)]
    session_account: bool,
}

/// A delegation that a network's key redeems.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Delegated {
    delegator: Address,
    session_key: Address,
    /// The account that the key owns, if it redeems through one.
    #[serde(skip_serializing_if = "Option::is_none")]
    session_account: Option<Address>,
    key_id: String,
    /// Its hash, by which the chain counts and ends it.
    delegation: B256,
    /// What granted it: `signed` by the owner's signer, or an ERC-7715 permission's type.
    granted: &'static str,
    /// What the key, or its account, may spend of the chain's coin, in wei.
    gas: U256,
}

/// How the owner grants it, known before anything is signed.
enum GrantedBy<'p> {
    /// The owner's signer signs the delegation.
    OwnerSignature(PolicyCaveats),
    /// The wallet on the page grants one of its own permissions.
    WalletPermission { page: &'p Approval, permission: &'static str, left: Limits },
}

/// Policies that are to be delegated.
pub(crate) struct Delegating<'a> {
    pub(crate) owner: &'a Signing,
    pub(crate) file: &'a ReadFile,
    pub(crate) policies: &'a Compiled<'a>,
    pub(crate) redemptions: RedemptionArguments,
    pub(crate) functions: &'a [KnownFunction<'a>],
}

impl RedemptionArguments {
    const fn caps(self) -> FeeCaps {
        FeeCaps { gas_limit: self.gas_limit, fee_per_gas: self.gas_price, total: self.gas }
    }

    fn redeemer(self, key: Address) -> RedeemedBy {
        if self.session_account {
            RedeemedBy::Account(HybridAccount::of(key).pinned())
        } else {
            RedeemedBy::Key
        }
    }
}

impl Delegating<'_> {
    pub(crate) async fn create(&self) -> anyhow::Result<Outcome<Delegated>> {
        let Signing { context, steps, .. } = self.owner;
        let network = context.need_network()?;
        let delegator = context.delegator()?;
        let way = self.way(&delegator).await?;
        steps.say(&way.said());
        self.confirm(&way).await?;

        let key = self.key(network, &delegator).await?;
        let address = key.key().address;
        let permissions = match &way {
            GrantedBy::OwnerSignature(caveats) => self.signed(&delegator, address, caveats).await?,
            GrantedBy::WalletPermission { page, .. } => self.asked(page, &delegator, address).await?,
        };
        delegator.keep(&key, &permissions).await?;
        self.permit(network, &delegator, &key, &permissions).await?;
        Ok(Outcome::Done(Delegated {
            delegator: self.account(),
            session_key: address,
            session_account: match permissions.redeemer {
                RedeemedBy::Key => None,
                RedeemedBy::Account(account) => Some(account.address),
            },
            key_id: key.key().key_id.clone(),
            delegation: permissions.context.hashes().first().copied().unwrap_or_default(),
            granted: way.name(),
            gas: permissions.fees.total,
        }))
    }

    /// Finds out who grants it, and whether a delegation can say all of it.
    async fn way(&self, delegator: &Delegator) -> anyhow::Result<GrantedBy<'_>> {
        self.check_paymaster()?;
        if self.redemptions.session_account {
            let check = delegator.check_session_accounts();
            self.owner.steps.during("looking for the factory of accounts", check).await?;
        }
        if let OwnerSigner::Page { page, .. } = &self.owner.signer {
            let (request, left) = self.request(Address::ZERO)?;
            return Ok(GrantedBy::WalletPermission { page, permission: request.type_name(), left });
        }
        let caveats = self.file.caveats(self.policies)?;
        self.owner.steps.during("asking the owner's account", delegator.check_account()).await?;
        Ok(GrantedBy::OwnerSignature(caveats))
    }

    /// Whether there is a paymaster where the policies ask for one.
    fn check_paymaster(&self) -> anyhow::Result<()> {
        let has_paymaster = self.owner.context.settings.profile().session_paymaster.is_some();
        let message = match self.policies.limits().paymaster {
            PaymasterRule::Required if !self.redemptions.session_account => {
                "the policies ask for a paymaster, and nobody pays for the key's own transactions: have it redeem through an account with \
                 --session-account"
            }
            PaymasterRule::Required if !has_paymaster => {
                "the policies ask for a paymaster, and the profile has no `session_paymaster`"
            }
            _ => return Ok(()),
        };
        Err(Failure::bad_input(message).into())
    }

    async fn confirm(&self, way: &GrantedBy<'_>) -> anyhow::Result<()> {
        let Signing { signer, .. } = self.owner;
        if !signer.shows() {
            return Ok(());
        }
        let words = self.policies.explain_delegation(way.left());
        signer.confirm(&words.to_string(), "Delegate this?").await
    }

    /// A key that signs nothing until it is known what was delegated to it.
    async fn key(
        &self,
        network: &SigningNetwork,
        delegator: &Delegator,
    ) -> anyhow::Result<DistributedSigner> {
        let steps = &self.owner.steps;
        let until = self.policies.epoch().valid_until();
        let draft = delegator.prepare_key(self.account(), until);
        let (draft, ephemeral) = steps.during("asking the network for a key", draft).await?;
        let typed_data = draft.typed_data()?;
        let review = || {
            let shown = key_request::review(&typed_data, None, &[])?;
            Ok(shown.into_page("Have the network make a key").with_note(
                "First: the network's nodes make the key. It signs nothing until you have said what it may sign.",
            ))
        };
        let step = "the owner signs the request for the key";
        let signature =
            self.owner.sign_typed_data(&typed_data, review, Some(CHALLENGE_LIFETIME), step).await?;
        let key = steps.during("the network makes the key", network.submit_key(&draft, signature)).await?;
        Ok(DistributedSigner::new(network.clone(), key, ephemeral))
    }

    /// Has the owner's signer sign the delegation.
    async fn signed(
        &self,
        delegator: &Delegator,
        key: Address,
        caveats: &PolicyCaveats,
    ) -> anyhow::Result<DelegationPermissions> {
        let redeemer = self.redemptions.redeemer(key);
        let delegation = delegator.delegation(redeemer.address(key), caveats)?;
        let typed_data = delegation.typed_data();
        let shown = offline::delegation::review(&typed_data, self.functions)?;
        self.owner.signer.confirm(&shown.text(), "Sign this delegation?").await?;
        let review = || Ok(shown.into_page("Sign a delegation"));
        let step = "the owner signs the delegation";
        let signature = self.owner.sign_typed_data(&typed_data, review, None, step).await?.as_bytes();
        let caps = self.redemptions.caps();
        let permissions =
            delegator.permissions(self.account(), redeemer, &delegation, &signature, caveats, caps);
        self.owner.steps.during("asking the account about the signature", permissions).await
    }

    /// Has the wallet grant it, and holds the wallet's answer to what it was asked for.
    async fn asked(
        &self,
        page: &Approval,
        delegator: &Delegator,
        key: Address,
    ) -> anyhow::Result<DelegationPermissions> {
        let redeemer = self.redemptions.redeemer(key);
        let (request, limits) = self.request(redeemer.address(key))?;
        let (params, deployment) = (request.params(), delegator.deployment());
        let mut review = Review::new("Grant a permission to the key").with_note(
            "The wallet may grant less than this. The network's nodes hold the key to what it grants.",
        );
        for (label, value) in request.in_words() {
            review = review.with_fact(label, value);
        }
        let check = |answer: &str| Granted::check(&request, answer, deployment);
        let granted = page.request_permissions(params, review, check);
        let granted = self.owner.steps.during("the wallet grants the permission", granted).await?;
        if let Approver::Code { digest, signature } = &granted.approver {
            let taken = delegator.check_signature(*digest, signature);
            self.owner.steps.during("asking the account about the signature", taken).await?;
        }
        let left_to_chain = granted.not_judged().filter(|_| self.redemptions.leave_to_chain).collect();
        let redemptions = Redemptions {
            redeemer,
            fees: self.redemptions.caps(),
            limits,
            left_to_chain,
            given_up: Default::default(),
        };
        Ok(granted.permissions(self.account(), redemptions)?)
    }

    fn request(&self, delegate: Address) -> anyhow::Result<(PermissionRequest, Limits)> {
        let chain_id = self.owner.context.chain_id()?;
        let (policies, limits): (&[Policy], _) = (self.policies.policies(), self.policies.limits());
        let request = PermissionRequest::of_policies(chain_id, self.account(), delegate, policies, limits);
        Ok(request.map_err(|error| Failure::bad_input(error.to_string()))?)
    }

    /// Has the owner tell the network what the key may sign. The key is forgotten where the network has certainly not noted it.
    async fn permit(
        &self,
        network: &SigningNetwork,
        delegator: &Delegator,
        key: &DistributedSigner,
        permissions: &DelegationPermissions,
    ) -> anyhow::Result<()> {
        let steps = &self.owner.steps;
        let address = key.key().address;
        let noted = match self.signed_permit(network, key, permissions).await {
            Ok((pending, signature)) => steps.during("the nodes note it", pending.submit(signature)).await,
            Err(error) => {
                // Where this fails, too, the key is listed, and signs nothing.
                let _ = delegator.forget(address).await;
                return Err(error);
            }
        };
        let Err(error) = noted else { return Ok(()) };
        let refusal = error.chain().find_map(|cause| cause.downcast_ref::<Refusal>());
        if refusal.is_some_and(|refusal| !refusal.is_transient()) {
            let _ = delegator.forget(address).await;
            return Err(error);
        }
        Err(error.context(format!(
            "it is not known whether the nodes have noted what the key {address} may sign; `quorate session revoke {address}` ends it"
        )))
    }

    async fn signed_permit<'n>(
        &self,
        network: &'n SigningNetwork,
        key: &DistributedSigner,
        permissions: &DelegationPermissions,
    ) -> anyhow::Result<(PendingRegistration<'n>, Signature)> {
        let steps = &self.owner.steps;
        let (owner, target) = (self.account(), permissions.clone().into());
        let pending = network.prepare_permit(owner, &key.key().key_id, &target);
        let pending = steps.during("telling the network what the key may sign", pending).await?;
        let typed_data = pending.draft().typed_data()?;
        let review = || {
            Ok(members(&typed_data, "Say what the key may sign")
                .with_note("Last: the network's nodes hold the key to this delegation and these limits."))
        };
        let step = "the owner signs what the key may sign";
        let signature =
            self.owner.sign_typed_data(&typed_data, review, Some(CHALLENGE_LIFETIME), step).await?;
        Ok((pending, signature))
    }

    /// The account that delegates is the owner's own.
    fn account(&self) -> Address {
        self.owner.account.owner()
    }
}

impl GrantedBy<'_> {
    const fn name(&self) -> &'static str {
        match self {
            Self::OwnerSignature(_) => "signed",
            Self::WalletPermission { permission, .. } => permission,
        }
    }

    /// What the chain does not hold.
    const fn left(&self) -> &Limits {
        match self {
            Self::OwnerSignature(caveats) => &caveats.limits,
            Self::WalletPermission { left, .. } => left,
        }
    }

    fn said(&self) -> String {
        match self {
            Self::OwnerSignature(_) => "the owner's signer signs the delegation".to_owned(),
            Self::WalletPermission { permission, .. } => {
                format!("the wallet is asked for the permission {permission} (ERC-7715)")
            }
        }
    }
}

impl Answer for Delegated {
    fn outcome(&self) -> PageOutcome {
        PageOutcome::Done { what: "It is granted".to_owned() }
    }

    fn text(&self) -> String {
        let Self { delegator, session_key, session_account, key_id, delegation, granted, gas } = self;
        let payer = match session_account {
            None => "the key pays for its transactions: send it coin".to_owned(),
            Some(account) => {
                format!(
                    "the profile's session_paymaster pays, or the key's account {account}: send that coin then"
                )
            }
        };
        format!(
            "delegator    {delegator}\nsession key  {session_key}\nkey id       {key_id}\ndelegation   {delegation}\n\
             granted      {granted}\ngas          {payer}, {gas} wei at most are spent"
        )
    }
}
