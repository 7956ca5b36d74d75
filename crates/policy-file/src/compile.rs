//! From what is written to what the chain's module and the network's nodes are given.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, FixedBytes, U256};
use quorate_core::{Policy, SessionEpoch};
use quorate_protocol::{ArgumentLimit, Inexpressible, Limits, PolicyCaveats};

use crate::amount::Unit;
use crate::file::{Allow, End, PolicyFile, Rule, Total};
use crate::mistake::{Found, MistakeKind, Mistakes};
use crate::operand::{self, Operand};
use crate::read::Span;
use crate::time;

/// What a policy file does not say itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The decimals of tokens, as their contracts say.
    pub decimals: BTreeMap<Address, u8>,
    /// The time in seconds since 1970, from which `for` counts.
    pub now: Option<u64>,
}

/// A policy file's policies and limits, with the file that says where each is written.
#[derive(Clone, Debug)]
pub struct Compiled<'a> {
    pub(crate) file: &'a PolicyFile,
    policies: Vec<Policy>,
    limits: Limits,
    epoch: SessionEpoch,
}

impl Compiled<'_> {
    /// The policies, one for each entry, in their order.
    pub fn policies(&self) -> &[Policy] {
        &self.policies
    }

    /// What the nodes of a signing network count. Without a network nobody does.
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// When all of it is valid.
    pub const fn epoch(&self) -> SessionEpoch {
        self.epoch
    }

    /// What it becomes where a delegation holds it (ERC-7710). `now` is in seconds since 1970.
    ///
    /// # Errors
    /// What a delegation cannot express, with its place.
    pub fn caveats(&self, now: u64) -> Result<PolicyCaveats, Mistakes> {
        PolicyCaveats::of(&self.policies, &self.limits, now).map_err(|error| {
            let span = self.place_of(&error);
            let mut found = Found::new(self.file.source.clone());
            found.report(error, span);
            found.into_mistakes()
        })
    }

    fn place_of(&self, error: &Inexpressible) -> Span {
        let allow = &self.file.allow;
        let function = |policy: usize| allow.get(policy).map(|allow| allow.function.span.clone());
        let span = match *error {
            Inexpressible::Comparison { policy, rule, .. } => {
                allow.get(policy).and_then(|allow| allow.rules.get(rule)).map(|rule| rule.span.clone())
            }
            Inexpressible::Pairs { policy } | Inexpressible::Differs { policy, .. } => function(policy),
            _ => function(0),
        };
        span.unwrap_or_default()
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (&Allow, &Policy)> {
        self.file.allow.iter().zip(&self.policies)
    }
}

impl PolicyFile {
    /// Compiles it with what it does not say itself.
    ///
    /// ```
    /// use quorate_policy_file::{Facts, Format, PolicyFile};
    ///
    /// let file = r#"
    ///     [tokens]
    ///     USDC = "0x1111111111111111111111111111111111111111"
    ///
    ///     [[allow]]
    ///     contract = "USDC"
    ///     function = "transfer(address to, uint256 amount)"
    ///     rules = ["amount <= 25 USDC"]
    /// "#;
    /// let file = PolicyFile::parse("policy.toml", file, Format::Toml)?;
    /// // Nobody has said how many decimals the token has.
    /// assert!(file.compile(&Facts::default()).is_err());
    ///
    /// let decimals = file.tokens().map(|token| (token.address, 6)).collect();
    /// let compiled = file.compile(&Facts { decimals, now: None })?;
    /// assert_eq!(compiled.policies()[0].rules()[0].reference(), 25_000_000_u64.into());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// All [`Mistakes`] that are found: decimals that nobody has said, or that the token has not; numbers that do not fit;
    /// times.
    pub fn compile(&self, facts: &Facts) -> Result<Compiled<'_>, Mistakes> {
        let mut compiler = Compiler { file: self, facts, found: Found::new(self.source.clone()) };
        compiler.check_decimals();
        let epoch = compiler.epoch();
        let policies: Vec<_> =
            self.allow.iter().map(|allow| compiler.policy(allow, epoch.unwrap_or_default())).collect();
        let arguments = compiler.totals();
        let limits = Limits { arguments, ..self.limits.limits.clone() };
        let policies = policies.into_iter().collect::<Option<Vec<_>>>();
        let compiled =
            policies.zip(epoch).map(|(policies, epoch)| Compiled { file: self, policies, limits, epoch });
        compiler.found.finish(compiled)
    }
}

struct Compiler<'a> {
    file: &'a PolicyFile,
    facts: &'a Facts,
    found: Found,
}

impl Compiler<'_> {
    fn check_decimals(&mut self) {
        for token in &self.file.tokens {
            let actual = self.facts.decimals.get(&token.address).copied();
            if let (Some(written), Some(actual)) = (&token.decimals, actual)
                && written.value != actual
            {
                let kind =
                    MistakeKind::OtherDecimals { token: token.address, written: written.value, actual };
                self.found.report(kind, written.span.clone());
            }
        }
    }

    fn epoch(&mut self) -> Option<SessionEpoch> {
        let validity = &self.file.validity;
        let from = validity.from.as_ref().map_or(0, |from| from.value);
        let until = match &validity.end {
            None => 0,
            Some(End::Until(until)) => until.value,
            Some(End::For(duration)) => {
                let start = validity.from.as_ref().map(|from| from.value).or(self.facts.now);
                let start = self.found.ok(start.ok_or(MistakeKind::NoClock), duration.span.clone())?;
                self.found.ok(time::after(start, duration.value), duration.span.clone())?
            }
        };
        if let (Some(from), Some(end)) = (&validity.from, &validity.end)
            && until <= from.value
        {
            let (end, from) = (end.span().clone(), from.span.clone());
            self.found.report_both(MistakeKind::NeverValid, end, from, "this start");
        }
        SessionEpoch::new(from, until).ok()
    }

    fn policy(&mut self, allow: &Allow, epoch: SessionEpoch) -> Option<Policy> {
        let value = allow.value.as_ref().and_then(|value| value.value.wei().ok()).unwrap_or_default();
        let words: Vec<_> = allow.rules.iter().map(|rule| self.word(rule)).collect();
        let mut builder = Policy::on(allow.contract.value)
            .allow_selector(allow.selector)
            .with_value_limit_wei(value)
            .with_epoch(epoch);
        for (rule, word) in allow.rules.iter().zip(words) {
            builder = builder.word_at(rule.offset, rule.condition, word?);
        }
        self.found.ok(builder.build(), allow.function.span.clone())
    }

    fn word(&mut self, rule: &Rule) -> Option<B256> {
        let amount = match &rule.operand {
            Operand::Word(word) => return Some(*word),
            Operand::Amount(amount) => amount,
        };
        let Unit::Token(place) = amount.unit else { return None };
        let token = self.file.tokens.get(place)?;
        let known = self.facts.decimals.get(&token.address).copied();
        let decimals = known.or(token.decimals.as_ref().map(|decimals| decimals.value));
        let unknown = || MistakeKind::UnknownDecimals { name: token.name.clone(), token: token.address };
        let decimals = self.found.ok(decimals.ok_or_else(unknown), rule.value.span.clone())?;
        self.found.ok(operand::number(amount, decimals, &rule.ty), rule.value.span.clone())
    }

    /// The network's totals, each argument once for each window.
    fn totals(&mut self) -> Vec<ArgumentLimit> {
        let mut totals: Vec<(ArgumentLimit, &Rule)> = Vec::new();
        let all = self.file.allow.iter().flat_map(|allow| allow.totals.iter().map(move |it| (allow, it)));
        for (allow, &Total { ref rule, seconds }) in all {
            let Some(word) = self.word(rule) else { continue };
            let limit = ArgumentLimit {
                contract: allow.contract.value,
                selector: FixedBytes(*allow.selector.as_bytes()),
                offset: rule.offset,
                total: U256::from_be_bytes(word.0),
                seconds,
            };
            let same =
                |(it, _): &&(ArgumentLimit, &Rule)| ArgumentLimit { total: limit.total, ..*it } == limit;
            match totals.iter().find(same) {
                Some((_, first)) => {
                    let (again, first) = (rule.span.clone(), first.span.clone());
                    self.found.report_both(MistakeKind::RepeatedTotal, again, first, "first here");
                }
                None => totals.push((limit, rule)),
            }
        }
        let room = Limits::MAX_ARGUMENTS.saturating_sub(self.file.limits.windows.len());
        if let Some((_, rule)) = totals.get(room) {
            let kind = MistakeKind::TooMany { what: "totals", limit: room };
            self.found.report(kind, rule.span.clone());
        }
        totals.into_iter().map(|(limit, _)| limit).collect()
    }
}
