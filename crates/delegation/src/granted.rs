//! What a wallet has granted: the caveats of its delegation, whatever its answer says beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use alloy_primitives::{Address, B256, Bytes, Signature, U256};
use quorate_core::SessionEpoch;
use quorate_core::delegation::{CaveatPlace, Context, Delegation, Enforcer};
use quorate_protocol::{
    DelegationPermissions, Deployment, FeeCaps, Limits, NodeLimit, PermissionsError, PinnedContext, Redeemer,
};
use serde::Deserialize;

use crate::terms::Terms;
use crate::{Asset, GrantError, PermissionRequest, Spending, pin_context};

/// What was granted to a key, held to what was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Granted {
    /// The delegation, which is redeemed to the byte.
    pub context: PinnedContext,
    /// The chain.
    pub chain_id: NonZeroU64,
    /// Whose it is.
    pub delegator: Address,
    /// How it is shown to be theirs.
    pub approver: Approver,
    /// How much may be spent, and when: what was asked for, or less. Its start is known.
    pub spending: Spending,
    /// The end, in seconds since 1970, exclusive; none for no end.
    pub until: Option<u64>,
    /// The nonce of the delegator's with which all its delegations of that nonce end.
    pub nonce: Option<U256>,
    deployment: Deployment,
    /// What enforces each caveat; none where nobody here knows the contract.
    enforcers: Vec<Option<Enforcer>>,
}

/// Who says that a delegation is its delegator's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Approver {
    /// The delegator's own key, whose signature it is. Also one whose account has code by EIP-7702 says so.
    Key,
    /// The delegator's code (ERC-1271): `isValidSignature(digest, signature)`, which only the chain can answer.
    Code {
        /// What is signed.
        digest: B256,
        /// The signature.
        signature: Bytes,
    },
}

/// How a key redeems what was granted, beyond the caveats.
#[derive(Clone, Debug, PartialEq)]
pub struct Redemptions {
    /// What gas may cost, of the key's own balance.
    pub fees: FeeCaps,
    /// What all redemptions may come to, which nodes hold.
    pub limits: Limits,
    /// The caveats that are left to the chain where nodes cannot judge them.
    pub left_to_chain: BTreeSet<CaveatPlace>,
    /// The limits that do not hold for whom the key redelegates to.
    pub given_up: BTreeSet<NodeLimit>,
}

/// As wallets answer; what stands beside is for display.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnswerText {
    chain_id: U256,
    context: Bytes,
    delegation_manager: Address,
    #[serde(default)]
    dependencies: Vec<DependencyText>,
}

#[derive(Deserialize)]
struct DependencyText {
    factory: Address,
}

impl Granted {
    /// Holds a wallet's answer to what it was asked for: a list of one permission, as JSON.
    ///
    /// `deployment` is the only manager that is taken, with what is known of its enforcers.
    ///
    /// # Errors
    /// [`GrantError`], by name: another chain, manager, key or account; a caveat that is missing, or wider than asked for.
    pub fn check(
        request: &PermissionRequest,
        answer: &str,
        deployment: &Deployment,
    ) -> Result<Self, GrantError> {
        let answers: Vec<AnswerText> = serde_json::from_str(answer).map_err(GrantError::Json)?;
        let found = answers.len();
        let Ok([answer]) = <[_; 1]>::try_from(answers) else { return Err(GrantError::Count { found }) };
        let AnswerText { chain_id, context, delegation_manager, dependencies } = answer;
        let asked = request.chain_id.get();
        if chain_id != U256::from(asked) {
            return Err(GrantError::Chain { found: chain_id, asked });
        }
        let known = deployment.manager();
        if delegation_manager != known {
            return Err(GrantError::Manager { found: delegation_manager, known });
        }
        if let Some(DependencyText { factory }) = dependencies.first() {
            return Err(GrantError::Undeployed { factory: *factory });
        }
        Self::read(request, pin_context(&context)?, deployment)
    }

    fn read(
        request: &PermissionRequest,
        context: PinnedContext,
        deployment: &Deployment,
    ) -> Result<Self, GrantError> {
        let found = context.hashes().len();
        let read = Context::parse(context.as_bytes()).ok().and_then(|read| read.get(0));
        let Some(delegation) = read.filter(|_| found == 1) else {
            return Err(GrantError::Delegations { found });
        };
        if delegation.delegate != request.to {
            return Err(GrantError::Delegate { found: delegation.delegate, asked: request.to });
        }
        let delegator = delegation.delegator;
        if let Some(asked) = request.from.filter(|asked| *asked != delegator) {
            return Err(GrantError::Delegator { found: delegator, asked });
        }
        let chain_id = request.chain_id;
        let approver = Approver::of(&delegation, chain_id.get(), deployment.manager())?;
        let caveats = Caveats::new(&delegation, deployment, request.is_adjustable);
        let spending = caveats.spending(request)?;
        caveats.check_beside(request.asset)?;
        caveats.check_payees(request)?;
        let (until, nonce) = (caveats.until(request.until)?, caveats.nonce()?);
        let enforcers = caveats.all.iter().map(|(_, enforcer, _)| *enforcer).collect();
        let deployment = deployment.clone();
        Ok(Self { context, chain_id, delegator, approver, spending, until, nonce, deployment, enforcers })
    }

    /// The permissions of the key that it was granted to, by which a network's nodes sign. `owner` is the key's.
    ///
    /// # Errors
    /// [`GrantError::NotJudged`] for a caveat that nodes cannot judge and that is not left to the chain, and permissions that no
    /// network takes.
    pub fn permissions(
        &self,
        owner: Address,
        redemptions: Redemptions,
    ) -> Result<DelegationPermissions, GrantError> {
        let Redemptions { fees, limits, left_to_chain, given_up } = redemptions;
        let not_judged = self.not_judged().find(|place| !left_to_chain.contains(place));
        if let Some(place) = not_judged {
            return Err(GrantError::NotJudged { place });
        }
        // The end of a caveat is exclusive, and that of an epoch is not.
        let until = self.until.map_or(0, |until| until.saturating_sub(1));
        let epoch = SessionEpoch::new(0, until).map_err(PermissionsError::Epoch)?;
        let permissions = DelegationPermissions {
            owner,
            chain_id: self.chain_id,
            deployment: self.deployment.clone(),
            context: self.context.clone(),
            redeemer: Redeemer::Key,
            nonces: self.nonce.map(|nonce| (self.delegator, nonce)).into_iter().collect::<BTreeMap<_, _>>(),
            unjudged: left_to_chain,
            fees,
            given_up,
            epoch,
            limits,
        };
        permissions.check()?;
        Ok(permissions)
    }

    /// The caveats that nodes cannot judge: of unknown contracts, of blocks, of what is approved on chain.
    pub fn not_judged(&self) -> impl Iterator<Item = CaveatPlace> {
        let needs_chain = |enforcer: &Option<Enforcer>| {
            matches!(enforcer, None | Some(Enforcer::BlockNumber | Enforcer::ApprovalRevocation))
        };
        let places = self.enforcers.iter().enumerate().filter(move |(_, enforcer)| needs_chain(enforcer));
        places.map(|(caveat, _)| CaveatPlace { delegation: 0, caveat })
    }
}

impl Approver {
    fn of(delegation: &Delegation<'_>, chain_id: u64, manager: Address) -> Result<Self, GrantError> {
        let digest = delegation.signing_digest(chain_id, manager);
        let of_key = Signature::try_from(delegation.signature).ok();
        let signer = of_key.and_then(|signature| signature.recover_address_from_prehash(&digest).ok());
        if signer == Some(delegation.delegator) {
            return Ok(Self::Key);
        }
        if delegation.signature.is_empty() {
            return Err(GrantError::Signature { delegator: delegation.delegator });
        }
        Ok(Self::Code { digest, signature: Bytes::copy_from_slice(delegation.signature) })
    }
}

/// A delegation's caveats with what enforces them.
struct Caveats<'d> {
    all: Vec<(CaveatPlace, Option<Enforcer>, &'d [u8])>,
    is_adjustable: bool,
}

impl<'d> Caveats<'d> {
    fn new(delegation: &Delegation<'d>, deployment: &Deployment, is_adjustable: bool) -> Self {
        let enforcers = deployment.enforcers();
        let all = delegation.caveats.iter().enumerate().map(|(caveat, read)| {
            (CaveatPlace { delegation: 0, caveat }, enforcers.at(read.enforcer), read.terms)
        });
        Self { all: all.collect(), is_adjustable }
    }

    fn of(&self, enforcer: Enforcer) -> impl Iterator<Item = (CaveatPlace, &'d [u8])> {
        let of_enforcer = self.all.iter().filter(move |(_, found, _)| *found == Some(enforcer));
        of_enforcer.map(|(place, _, terms)| (*place, *terms))
    }

    /// The terms of the one caveat that holds a rule: all hold, so that the first is enough.
    fn first(&self, enforcer: Enforcer, rule: &'static str) -> Result<(CaveatPlace, &'d [u8]), GrantError> {
        self.of(enforcer).next().ok_or(GrantError::Missing { rule, enforcer })
    }

    fn spending(&self, request: &PermissionRequest) -> Result<Spending, GrantError> {
        let enforcer = match (request.asset, request.spending) {
            (Asset::Native, Spending::Stream { .. }) => Enforcer::NativeTokenStreaming,
            (Asset::Native, _) => Enforcer::NativeTokenPeriodTransfer,
            (Asset::Erc20(_), Spending::Stream { .. }) => Enforcer::ERC20Streaming,
            (Asset::Erc20(_), _) => Enforcer::ERC20PeriodTransfer,
        };
        let (place, terms) = self.first(enforcer, "amount")?;
        let mut terms = Terms::new(terms);
        let unread = || GrantError::Terms { place, enforcer };
        if let Asset::Erc20(asked) = request.asset {
            let found = terms.address().ok_or_else(unread)?;
            if found != asked {
                return Err(wider(place, "token", found, asked));
            }
        }
        let mut next = || terms.word().ok_or_else(unread);
        let granted = match request.spending {
            Spending::Allowance { amount, start } => {
                let granted = self.at_most(place, "amount", next()?, amount)?;
                // A period that ends renews the allowance.
                self.at_least(place, "duration in seconds", next()?, U256::MAX)?;
                Spending::Allowance { amount: granted, start: Some(self.start(place, next()?, start)?) }
            }
            Spending::Periodic { amount, duration, start } => {
                let amount = self.at_most(place, "amount of a period", next()?, amount)?;
                let asked = U256::from(duration.get());
                let longer = self.at_least(place, "duration in seconds", next()?, asked)?;
                let duration = NonZeroU64::new(longer.saturating_to()).ok_or_else(unread)?;
                Spending::Periodic { amount, duration, start: Some(self.start(place, next()?, start)?) }
            }
            Spending::Stream { initial, max, per_second, start } => Spending::Stream {
                initial: self.at_most(place, "amount at the start", next()?, initial)?,
                max: Some(self.at_most(place, "amount in all", next()?, max.unwrap_or(U256::MAX))?)
                    .filter(|max| *max != U256::MAX),
                per_second: self.at_most(place, "amount of a second", next()?, per_second)?,
                start: Some(self.start(place, next()?, start)?),
            },
        };
        if terms.is_at_end() { Ok(granted) } else { Err(unread()) }
    }

    fn start(&self, place: CaveatPlace, found: U256, asked: Option<u64>) -> Result<u64, GrantError> {
        if let Some(asked) = asked {
            self.at_least(place, "start", found, U256::from(asked))?;
        }
        Ok(found.saturating_to())
    }

    /// What spends a token sends no coin along, and what sends coin calls no function.
    fn check_beside(&self, asset: Asset) -> Result<(), GrantError> {
        match asset {
            Asset::Erc20(_) => {
                let (enforcer, rule) = (Enforcer::ValueLte, "value of 0 beside a token");
                let (place, terms) = self.first(enforcer, rule)?;
                let value = Terms::new(terms).word().ok_or(GrantError::Terms { place, enforcer })?;
                if value.is_zero() { Ok(()) } else { Err(wider(place, rule, value, U256::ZERO)) }
            }
            Asset::Native => {
                let rule = "absence of call data";
                let (place, terms) = self.first(Enforcer::ExactCalldata, rule)?;
                let data = Bytes::copy_from_slice(Terms::new(terms).rest());
                if data.is_empty() { Ok(()) } else { Err(wider(place, rule, data, Bytes::new())) }
            }
        }
    }

    fn check_payees(&self, request: &PermissionRequest) -> Result<(), GrantError> {
        let asked = &request.payees;
        if asked.is_empty() {
            return Ok(());
        }
        let enforcer = match request.asset {
            Asset::Native => Enforcer::AllowedTargets,
            Asset::Erc20(_) => Enforcer::AllowedCalldata,
        };
        let (place, terms) = self.first(enforcer, "payee")?;
        let payees = match request.asset {
            Asset::Native => Terms::new(terms).addresses(),
            Asset::Erc20(_) => recipient(terms).map(|payee| vec![payee]),
        };
        let payees = payees.ok_or(GrantError::Terms { place, enforcer })?;
        match payees.iter().find(|payee| !asked.contains(payee)) {
            Some(other) => Err(wider(place, "payee", other, format!("{asked:?}"))),
            None => Ok(()),
        }
    }

    /// The earliest end, which is no later than the one asked for.
    fn until(&self, asked: Option<u64>) -> Result<Option<u64>, GrantError> {
        let mut earliest = None;
        let enforcer = Enforcer::Timestamp;
        for (place, terms) in self.of(enforcer) {
            let mut terms = Terms::new(terms);
            let (_, end) =
                terms.half_word().zip(terms.half_word()).ok_or(GrantError::Terms { place, enforcer })?;
            let end = u64::try_from(end).unwrap_or(u64::MAX);
            earliest =
                [earliest, Some((end, place)).filter(|(end, _)| *end != 0)].into_iter().flatten().min();
        }
        match (earliest, asked) {
            (None, Some(_)) => Err(GrantError::Missing { rule: "end", enforcer }),
            (Some((end, place)), Some(asked)) => {
                self.at_most(place, "end", U256::from(end), U256::from(asked))?;
                Ok(Some(end))
            }
            (earliest, None) => Ok(earliest.map(|(end, _)| end)),
        }
    }

    fn nonce(&self) -> Result<Option<U256>, GrantError> {
        let enforcer = Enforcer::Nonce;
        let Some((place, terms)) = self.of(enforcer).next() else { return Ok(None) };
        Terms::new(terms).word().map(Some).ok_or(GrantError::Terms { place, enforcer })
    }

    fn at_most(
        &self,
        place: CaveatPlace,
        rule: &'static str,
        found: U256,
        asked: U256,
    ) -> Result<U256, GrantError> {
        self.hold(place, rule, found, asked, found > asked)
    }

    fn at_least(
        &self,
        place: CaveatPlace,
        rule: &'static str,
        found: U256,
        asked: U256,
    ) -> Result<U256, GrantError> {
        self.hold(place, rule, found, asked, found < asked)
    }

    fn hold(
        &self,
        place: CaveatPlace,
        rule: &'static str,
        found: U256,
        asked: U256,
        is_wider: bool,
    ) -> Result<U256, GrantError> {
        if is_wider {
            return Err(wider(place, rule, found, asked));
        }
        if !self.is_adjustable && found != asked {
            let (found, asked) = (found.to_string(), asked.to_string());
            return Err(GrantError::Adjusted { place, rule, found, asked });
        }
        Ok(found)
    }
}

/// The first argument of `transfer(address,uint256)`, where terms of `AllowedCalldata` are of it alone.
fn recipient(terms: &[u8]) -> Option<Address> {
    let mut terms = Terms::new(terms);
    let (start, word) = (terms.word()?, B256::from(terms.word()?));
    let payee = Address::from_word(word);
    let is_recipient = start == U256::from(4) && terms.is_at_end() && payee.into_word() == word;
    is_recipient.then_some(payee)
}

fn wider(
    place: CaveatPlace,
    rule: &'static str,
    found: impl std::fmt::Display,
    asked: impl std::fmt::Display,
) -> GrantError {
    GrantError::Wider { place, rule, found: found.to_string(), asked: asked.to_string() }
}
