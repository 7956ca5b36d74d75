//! What is found in a session of the ABI session validation module.

use alloy_primitives::Address;

use super::{
    calls::words_before_calls,
    context::LintContext,
    finding::Lint,
    rules::{RuleSource, Rules},
    time,
    tokens::{Effect, TokenFunction},
};
use crate::{
    abi::WORD,
    policy::{Policy, epoch::SessionEpoch},
    session::session_key_data::{MalformedSessionKeyData, ParsedSessionKeyData},
};

impl ParsedSessionKeyData<'_> {
    /// Passes on what the session allows and most owners would not, and what is evidently not what was meant; `epoch` is its
    /// leaf's.
    ///
    /// ```
    /// use quorate_core::{Address, Encode, Lint, LintContext, ParsedSessionKeyData, Policy, SessionKeyData};
    ///
    /// let policy = Policy::new(Address::repeat_byte(1), "approve(address,uint256)".parse()?);
    /// let data = SessionKeyData::new(Address::repeat_byte(2), &policy).to_vec();
    /// let mut findings = Vec::new();
    /// let session = ParsedSessionKeyData::parse(&data)?;
    /// session.lint(policy.epoch(), &LintContext::default(), &mut |lint| findings.push(lint))?;
    /// assert!(findings.contains(&Lint::NoEnd) && findings.contains(&Lint::UnlimitedApproval { offset: 32 }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`MalformedSessionKeyData`] as for [`to_policy`](Self::to_policy), before anything is passed on.
    pub fn lint(
        &self,
        epoch: SessionEpoch,
        context: &LintContext<'_>,
        found: &mut dyn FnMut(Lint),
    ) -> Result<(), MalformedSessionKeyData> {
        self.strict_rules().try_for_each(|rule| rule.map(drop))?;
        let rules = Rules::new(*self, self.selector(), context);
        time::lint(epoch, context.now, found);
        lint(self.contract(), self.value_limit(), rules, context, found);
        Ok(())
    }
}

impl<const RULES: usize> Policy<RULES> {
    /// Passes on what the policy allows and most owners would not, and what is evidently not what was meant.
    ///
    /// ```
    /// use quorate_core::{Address, Condition, Lint, LintContext, Policy, Rule, U256};
    ///
    /// let policy = Policy::new(Address::repeat_byte(1), "mint(uint256)".parse()?)
    ///     .with_rule(Rule::new(0, Condition::GreaterThanOrEqual, U256::ZERO))?;
    /// let mut findings = Vec::new();
    /// policy.lint(&LintContext::default(), &mut |lint| findings.push(lint));
    /// assert_eq!(findings, [Lint::NoEnd, Lint::AlwaysHolds { rule: 0 }]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn lint(&self, context: &LintContext<'_>, found: &mut dyn FnMut(Lint)) {
        let rules = Rules::new(self.rules(), self.selector(), context);
        time::lint(self.epoch(), context.now, found);
        lint(self.contract(), self.value_limit(), rules, context, found);
    }
}

fn lint<S: RuleSource>(
    contract: Address,
    value_limit: u128,
    rules: Rules<'_, S>,
    context: &LintContext<'_>,
    found: &mut dyn FnMut(Lint),
) {
    lint_contract(contract, context, found);
    if value_limit > 0 && !rules.limits_calls() {
        found(Lint::ValueWithoutRule { value_limit });
    }
    if let Some(function) = TokenFunction::of(rules.selector) {
        lint_tokens(function, rules, found);
    }
    if let Some(words) = words_before_calls(rules.selector, rules.function)
        && !rules.pins_from(words * WORD)
    {
        found(Lint::CallsFreely { selector: rules.selector });
    }
    rules.lint(found);
}

/// Passes on what is odd about calls of this contract, whatever the function is.
pub(super) fn lint_contract(contract: Address, context: &LintContext<'_>, found: &mut dyn FnMut(Lint)) {
    let controls = context.trusted.role(contract).is_some_and(|role| role.controls_accounts());
    if contract == Address::ZERO {
        found(Lint::ZeroContract);
    } else if controls || context.account == Some(contract) {
        found(Lint::ControlsAccount { contract });
    }
}

/// Passes on which tokens are given to anybody, or without bound.
fn lint_tokens<S: RuleSource>(function: TokenFunction, rules: Rules<'_, S>, found: &mut dyn FnMut(Lint)) {
    let selector = rules.selector;
    let offset = offset_of(function.recipient);
    let amount = offset_of(function.amount);
    let most = rules.range(amount).map(|range| range.high);
    // What counts as unlimited, as tokens treat 2^96 - 1, 2^160 - 1 or 2^256 - 1, has more bits than any supply.
    let unlimited = most.is_some_and(|most| most.bit_len() > LIMITED_BITS);
    let to_anybody = !rules.is_pinned(offset);
    match function.effect {
        Effect::Transfer if to_anybody && unlimited => found(Lint::MovesTokensFreely { selector, offset }),
        Effect::Transfer => {}
        Effect::Approval if unlimited => found(Lint::UnlimitedApproval { offset: amount }),
        Effect::Approval => {}
        // A rule that demands `false` permits nothing but to withdraw the approval.
        Effect::ApprovalForAll if most.is_none_or(|most| most.is_zero()) => return,
        Effect::ApprovalForAll => found(Lint::ApprovalForAll { selector }),
    }
    if to_anybody && !(unlimited && function.effect == Effect::Transfer) {
        found(Lint::ToAnybody { selector, offset });
    }
}

/// From 2^128 on an amount counts as unlimited.
pub(super) const LIMITED_BITS: usize = 128;

fn offset_of(word: u8) -> u16 {
    u16::from(word) * 32
}

#[cfg(test)]
mod tests;
