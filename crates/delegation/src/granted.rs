//! What a wallet has granted: the caveats of its delegation, whatever its answer says beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use alloy_primitives::{Address, B256, Bytes, Signature, U256};
use quorate_core::SessionEpoch;
use quorate_core::delegation::{CaveatPlace, Context, Delegation, Enforcer, Terms};
use quorate_protocol::{
    DelegationPermissions, Deployment, FeeCaps, Limits, NodeLimit, PermissionsError, PinnedContext,
};
use serde::Deserialize;

use crate::{Asset, GrantError, PermissionRequest, RedeemedBy, Spending, pin_context};

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
    /// Who redeems it: the key, or its account, which the wallet was asked for then.
    pub redeemer: RedeemedBy,
    /// What gas may cost, of the redeemer's own balance.
    pub fees: FeeCaps,
    /// What all redemptions may come to, which nodes hold. A limit of gas bounds the fees.
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
        let single = Context::parse(context.as_bytes()).ok().and_then(|read| read.single());
        let found = context.hashes().len();
        let delegation = single.ok_or(GrantError::Delegations { found })?;
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
        let Redemptions { redeemer, fees, limits, left_to_chain, given_up } = redemptions;
        let (fees, limits) = crate::with_gas_cost(fees, limits);
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
            redeemer,
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

/// A delegation's caveats with what enforces them, and what they say where that can be read.
struct Caveats<'d> {
    all: Vec<(CaveatPlace, Option<Enforcer>, Option<Terms<'d>>)>,
    is_adjustable: bool,
}

impl<'d> Caveats<'d> {
    fn new(delegation: &Delegation<'d>, deployment: &Deployment, is_adjustable: bool) -> Self {
        let enforcers = deployment.enforcers();
        let all = delegation.caveats.iter().enumerate().map(|(caveat, read)| {
            let place = CaveatPlace { delegation: 0, caveat };
            (place, enforcers.at(read.enforcer), Terms::of(&read, &enforcers))
        });
        Self { all: all.collect(), is_adjustable }
    }

    /// What the caveats of an enforcer say.
    fn of(&self, enforcer: Enforcer) -> impl Iterator<Item = Result<(CaveatPlace, Terms<'d>), GrantError>> {
        let of_enforcer = self.all.iter().filter(move |(_, found, _)| *found == Some(enforcer));
        of_enforcer.map(move |(place, _, terms)| {
            let place = *place;
            terms.map(|terms| (place, terms)).ok_or(GrantError::Terms { place, enforcer })
        })
    }

    /// The one caveat that holds a rule: all hold, so that the first is enough.
    fn first(&self, enforcer: Enforcer, rule: &'static str) -> Result<(CaveatPlace, Terms<'d>), GrantError> {
        self.of(enforcer).next().ok_or(GrantError::Missing { rule, enforcer })?
    }

    fn spending(&self, request: &PermissionRequest) -> Result<Spending, GrantError> {
        let enforcer = match (request.asset, request.spending) {
            (Asset::Native, Spending::Stream { .. }) => Enforcer::NativeTokenStreaming,
            (Asset::Native, _) => Enforcer::NativeTokenPeriodTransfer,
            (Asset::Erc20(_), Spending::Stream { .. }) => Enforcer::ERC20Streaming,
            (Asset::Erc20(_), _) => Enforcer::ERC20PeriodTransfer,
        };
        let (place, terms) = self.first(enforcer, "amount")?;
        let token = match terms {
            Terms::Period { token, .. } | Terms::Stream { token, .. } => token,
            _ => None,
        };
        if let (Asset::Erc20(asked), Some(found)) = (request.asset, token)
            && found != asked
        {
            return Err(wider(place, "token", found, asked));
        }
        let unread = || GrantError::Terms { place, enforcer };
        match (request.spending, terms) {
            (
                Spending::Allowance { amount: asked, start: from },
                Terms::Period { amount, duration, start, .. },
            ) => {
                // A period that ends renews the allowance.
                self.at_least(place, "duration in seconds", duration, U256::MAX)?;
                let amount = self.at_most(place, "amount", amount, asked)?;
                Ok(Spending::Allowance { amount, start: Some(self.start(place, start, from)?) })
            }
            (
                Spending::Periodic { amount: asked, duration: shortest, start: from },
                Terms::Period { amount, duration, start, .. },
            ) => {
                let amount = self.at_most(place, "amount of a period", amount, asked)?;
                let shortest = U256::from(shortest.get());
                let longer = self.at_least(place, "duration in seconds", duration, shortest)?;
                let duration = NonZeroU64::new(longer.saturating_to()).ok_or_else(unread)?;
                Ok(Spending::Periodic { amount, duration, start: Some(self.start(place, start, from)?) })
            }
            (Spending::Stream { initial, max, per_second, start }, Terms::Stream { .. }) => {
                let asked = (initial, max.unwrap_or(U256::MAX), per_second);
                self.stream(place, terms, asked, start)
            }
            _ => Err(unread()),
        }
    }

    fn stream(
        &self,
        place: CaveatPlace,
        terms: Terms<'_>,
        (at_once, in_all, each_second): (U256, U256, U256),
        from: Option<u64>,
    ) -> Result<Spending, GrantError> {
        let Terms::Stream { initial, max, per_second, start, .. } = terms else {
            return Err(GrantError::Missing { rule: "amount", enforcer: Enforcer::ERC20Streaming });
        };
        let max = self.at_most(place, "amount in all", max, in_all)?;
        Ok(Spending::Stream {
            initial: self.at_most(place, "amount at the start", initial, at_once)?,
            max: Some(max).filter(|max| *max != U256::MAX),
            per_second: self.at_most(place, "amount of a second", per_second, each_second)?,
            start: Some(self.start(place, start, from)?),
        })
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
                let rule = "value of 0 beside a token";
                match self.first(Enforcer::ValueLte, rule)? {
                    (place, Terms::Value { limit }) if !limit.is_zero() => {
                        Err(wider(place, rule, limit, U256::ZERO))
                    }
                    _ => Ok(()),
                }
            }
            Asset::Native => {
                let rule = "absence of call data";
                match self.first(Enforcer::ExactCalldata, rule)? {
                    (place, Terms::ExactCallData(data)) if !data.is_empty() => {
                        Err(wider(place, rule, Bytes::copy_from_slice(data), Bytes::new()))
                    }
                    _ => Ok(()),
                }
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
        let payees = match terms {
            Terms::Targets(payees) => payees.iter().map(Address::from).collect(),
            Terms::CallData { start, bytes } => {
                vec![recipient(start, bytes).ok_or(GrantError::Terms { place, enforcer })?]
            }
            _ => Vec::new(),
        };
        match payees.iter().find(|payee| !asked.contains(payee)) {
            Some(other) => Err(wider(place, "payee", other, format!("{asked:?}"))),
            None => Ok(()),
        }
    }

    /// The earliest end, which is no later than the one asked for.
    fn until(&self, asked: Option<u64>) -> Result<Option<u64>, GrantError> {
        let enforcer = Enforcer::Timestamp;
        let mut earliest = None;
        for caveat in self.of(enforcer) {
            if let (place, Terms::Times { before: end @ 1.., .. }) = caveat? {
                let end = u64::try_from(end).unwrap_or(u64::MAX);
                earliest = [earliest, Some((end, place))].into_iter().flatten().min();
            }
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
        match self.of(Enforcer::Nonce).next().transpose()? {
            Some((_, Terms::Nonce(nonce))) => Ok(Some(nonce)),
            _ => Ok(None),
        }
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

/// The first argument of `transfer(address,uint256)`, where these bytes are it.
fn recipient(start: U256, bytes: &[u8]) -> Option<Address> {
    let word = B256::from(<[u8; 32]>::try_from(bytes).ok()?);
    let payee = Address::from_word(word);
    (start == U256::from(4) && payee.into_word() == word).then_some(payee)
}

fn wider(
    place: CaveatPlace,
    rule: &'static str,
    found: impl std::fmt::Display,
    asked: impl std::fmt::Display,
) -> GrantError {
    GrantError::Wider { place, rule, found: found.to_string(), asked: asked.to_string() }
}
