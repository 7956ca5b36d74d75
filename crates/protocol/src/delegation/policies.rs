//! Policies and limits as caveats of one delegation.

use alloy_primitives::U256;
use quorate_core::delegation::Enforcer;
use quorate_core::{Condition, Policy, Rule, SessionEpoch};

use crate::limits::TRANSFER;
use crate::{ArgumentLimit, Coin, CoinWindow, Limits};

/// What policies and limits become where a delegation holds them: its caveats, and the limits that are left to the network's
/// nodes.
///
/// ```
/// use quorate_core::{Address, Condition, Policy, Rule, U256};
/// use quorate_protocol::{Inexpressible, Limits, PolicyCaveats};
///
/// let nft = Policy::new(Address::repeat_byte(0x11), "safeMint(address)".parse()?);
/// let to = |condition| Rule::new(0, condition, Address::repeat_byte(0x22));
/// let limits = Limits { uses: Some(100), ..Limits::default() };
///
/// let mint = nft.clone().with_rule(to(Condition::Equal))?;
/// let caveats = PolicyCaveats::of(&[mint], &limits, 1_900_000_000)?;
/// let enforcers: Vec<_> = caveats.caveats.iter().map(|caveat| caveat.enforcer.name()).collect();
/// let expected = ["AllowedTargets", "AllowedMethods", "AllowedCalldata", "ValueLte", "LimitedCalls"];
/// assert_eq!(enforcers, expected);
///
/// let other = nft.with_rule(to(Condition::NotEqual))?;
/// let error = PolicyCaveats::of(&[other], &limits, 1_900_000_000).unwrap_err();
/// assert!(matches!(error, Inexpressible::Comparison { policy: 0, rule: 0, .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyCaveats {
    /// What the chain holds, in the order in which it is enforced.
    pub caveats: Vec<PolicyCaveat>,
    /// When it is valid; the chain holds this, too.
    pub epoch: SessionEpoch,
    /// What no caveat expresses, which the nodes alone hold.
    pub limits: Limits,
}

/// A caveat before its enforcer has an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyCaveat {
    /// What enforces it.
    pub enforcer: Enforcer,
    /// What that reads.
    pub terms: Vec<u8>,
}

/// Why a delegation cannot express policies. The numbers are places in what was given, from 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Inexpressible {
    /// Nothing at all.
    #[error("a delegation without caveats allows everything; give a policy")]
    NoPolicy,
    /// A comparison of an argument.
    #[error(
        "policy {policy}, rule {rule}: a delegation holds equal bytes at a place and no other comparison ({condition:?}); \
         give the one value, or a total, which the network's nodes hold"
    )]
    Comparison {
        /// The policy.
        policy: usize,
        /// Its rule.
        rule: usize,
        /// How it compares.
        condition: Condition,
    },
    /// Several contracts with several functions.
    #[error(
        "policy {policy}: a delegation lists contracts and functions apart, so that each of its functions could be called on \
         each of its contracts; grant it by itself"
    )]
    Pairs {
        /// The policy that has another contract and another function than the first one.
        policy: usize,
    },
    /// Policies that bound their calls unlike each other.
    #[error(
        "policy {policy}: its {part} are not those of policy 0, and a delegation's caveats hold for all calls; grant it by itself"
    )]
    Differs {
        /// The policy.
        policy: usize,
        /// What is different: `rules`, `value` or `times`.
        part: &'static str,
    },
}

impl PolicyCaveats {
    /// Finds the caveats of policies, all of them in one delegation. `now` is in seconds since 1970: a period of a caveat begins
    /// where the nodes' window began.
    ///
    /// # Errors
    /// [`Inexpressible`], for what neither chain nor nodes would hold.
    pub fn of(policies: &[Policy], limits: &Limits, now: u64) -> Result<Self, Inexpressible> {
        let first = policies.first().ok_or(Inexpressible::NoPolicy)?;
        check_lists(policies)?;
        check_rules(policies)?;
        let mut builder = Builder { caveats: Vec::new(), limits: limits.clone(), now };
        builder.calls(policies);
        builder.arguments(first.rules());
        builder.push(Enforcer::ValueLte, &[&word(U256::from(first.value_limit()))]);
        builder.times(first.epoch());
        builder.uses();
        builder.coin();
        if policies.len() == 1 {
            builder.transfers(first);
        }
        let Builder { caveats, limits, .. } = builder;
        Ok(Self { caveats, epoch: first.epoch(), limits })
    }
}

/// One contract or one function: lists are not pairs.
fn check_lists(policies: &[Policy]) -> Result<(), Inexpressible> {
    let all = |is: fn(&Policy, &Policy) -> bool| policies.iter().all(|policy| is(policy, &policies[0]));
    let same_contract = |one: &Policy, other: &Policy| one.contract() == other.contract();
    let same_function = |one: &Policy, other: &Policy| one.selector() == other.selector();
    if all(same_contract) || all(same_function) {
        return Ok(());
    }
    let is_other =
        |policy: &Policy| !same_contract(policy, &policies[0]) || !same_function(policy, &policies[0]);
    Err(Inexpressible::Pairs { policy: policies.iter().rposition(is_other).unwrap_or_default() })
}

fn check_rules(policies: &[Policy]) -> Result<(), Inexpressible> {
    for (place, policy) in policies.iter().enumerate() {
        let first = &policies[0];
        if let Some(rule) = policy.rules().iter().position(|rule| rule.condition() != Condition::Equal) {
            let condition = policy.rules()[rule].condition();
            return Err(Inexpressible::Comparison { policy: place, rule, condition });
        }
        let parts = [
            ("rules", policy.rules() == first.rules()),
            ("value", policy.value_limit() == first.value_limit()),
            ("times", policy.epoch() == first.epoch()),
        ];
        if let Some((part, _)) = parts.into_iter().find(|(_, is_same)| !is_same) {
            return Err(Inexpressible::Differs { policy: place, part });
        }
    }
    Ok(())
}

/// Caveats so far, and the limits that none of them expresses.
struct Builder {
    caveats: Vec<PolicyCaveat>,
    limits: Limits,
    now: u64,
}

impl Builder {
    fn push(&mut self, enforcer: Enforcer, terms: &[&[u8]]) {
        self.caveats.push(PolicyCaveat { enforcer, terms: terms.concat() });
    }

    fn calls(&mut self, policies: &[Policy]) {
        let mut contracts: Vec<_> = policies.iter().map(Policy::contract).collect();
        let mut functions: Vec<_> = policies.iter().map(|policy| *policy.selector().as_bytes()).collect();
        contracts.sort_unstable();
        contracts.dedup();
        functions.sort_unstable();
        functions.dedup();
        self.push(
            Enforcer::AllowedTargets,
            &contracts.iter().map(|contract| contract.as_slice()).collect::<Vec<_>>(),
        );
        self.push(Enforcer::AllowedMethods, &[functions.as_flattened()]);
    }

    /// A rule counts from the end of the selector, and a caveat from its first byte.
    fn arguments(&mut self, rules: &[Rule]) {
        for rule in rules {
            let start = word(U256::from(SELECTOR + u64::from(rule.offset())));
            self.push(Enforcer::AllowedCalldata, &[&start, rule.reference().word().as_slice()]);
        }
    }

    /// Both ends of an epoch belong to it, and those of a caveat do not.
    fn times(&mut self, epoch: SessionEpoch) {
        let (from, until) = (epoch.valid_after(), epoch.valid_until());
        if (from, until) == (0, 0) {
            return;
        }
        let before = if until == 0 { 0 } else { u128::from(until) + 1 };
        let after = u128::from(from.saturating_sub(1));
        self.push(Enforcer::Timestamp, &[&after.to_be_bytes(), &before.to_be_bytes()]);
    }

    fn uses(&mut self) {
        if let Some(uses) = self.limits.uses.take() {
            self.push(Enforcer::LimitedCalls, &[&word(U256::from(uses))]);
        }
    }

    /// All caveats of one enforcer share a counter, so that each enforcer has one at most; what is beyond it stays with the nodes.
    fn coin(&mut self) {
        if let Some(total) = self.limits.native_value.take() {
            self.push(Enforcer::NativeTokenTransferAmount, &[&word(total)]);
        }
        let windows = &mut self.limits.coin_windows;
        let counts = |window: &CoinWindow| window.of == Coin::NativeValue && !window.total.is_zero();
        let Some(place) = windows.iter().position(counts) else { return };
        let CoinWindow { total, seconds, .. } = windows.remove(place);
        let period = self.period(total, seconds.get());
        self.push(Enforcer::NativeTokenPeriodTransfer, &[&period]);
    }

    /// Of an ERC-20 token's transfers, the amounts are counted on chain: in all, and in one kind of period.
    fn transfers(&mut self, policy: &Policy) {
        if policy.selector() != TRANSFER {
            return;
        }
        let token = policy.contract();
        let is_amount = |limit: &ArgumentLimit| limit.is_of_transfers(token);
        let arguments = &mut self.limits.arguments;
        let total = arguments.iter().position(|limit| is_amount(limit) && limit.seconds.is_none());
        let total = total.map(|place| arguments.remove(place));
        let is_period = |limit: &ArgumentLimit| limit.seconds.is_some() && !limit.total.is_zero();
        let period = arguments.iter().position(|limit| is_amount(limit) && is_period(limit));
        let period = period.map(|place| arguments.remove(place));
        if let Some(limit) = total {
            self.push(Enforcer::ERC20TransferAmount, &[token.as_slice(), &word(limit.total)]);
        }
        if let Some((limit, seconds)) = period.and_then(|limit| Some((limit, limit.seconds?))) {
            let period = self.period(limit.total, seconds.get());
            self.push(Enforcer::ERC20PeriodTransfer, &[token.as_slice(), &period]);
        }
    }

    /// An amount, which is not 0, the length of a period, and when the first one starts, which is not 0 either.
    fn period(&self, amount: U256, seconds: u64) -> [u8; 96] {
        let start = (self.now - self.now % seconds).max(1);
        let words = [word(amount), word(U256::from(seconds)), word(U256::from(start))];
        let mut terms = [0; 96];
        terms.copy_from_slice(words.as_flattened());
        terms
    }
}

fn word(number: U256) -> [u8; 32] {
    number.to_be_bytes()
}

const SELECTOR: u64 = 4;
