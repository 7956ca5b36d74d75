//! What a session allows.

use alloy_primitives::{Address, U256};

use super::{error::ReviewError, function::Subject, item::Value, items::Items, label::Label};
use crate::{
    lint::{context::LintContext, finding::Lint, severity::Severity},
    policy::{condition::Condition, epoch::SessionEpoch},
    session::{
        erc20::{Erc20Refusal, Erc20SessionKeyData},
        leaf::SessionLeaf,
        session_key_data::{MalformedSessionKeyData, ParsedSessionKeyData},
    },
    trusted::{ContractRole, TrustedContext},
};

/// Who judges a session, and what is said of it.
pub(super) struct SessionView<'a> {
    pub(super) trusted: TrustedContext<'a>,
    /// The account that the session is for.
    pub(super) account: Address,
    /// Counted from 1.
    pub(super) number: usize,
    pub(super) lints: Option<Lints<'a>>,
}

/// That what most owners would not allow is said of each session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lints<'a> {
    now: Option<u64>,
    unenforced: &'a [Condition],
    /// By address, so that a program that never asks for lints does not hold their code.
    show: fn(&Self, &SessionView<'_>, &mut Items<'_>, &SessionLeaf<'_>),
}

impl<'a> Lints<'a> {
    pub(super) const fn new(now: Option<u64>, unenforced: &'a [Condition]) -> Self {
        Self { now, unenforced, show: Self::show }
    }

    /// Shows what is found, but for what is said where it stands.
    fn show(&self, view: &SessionView<'_>, items: &mut Items<'_>, leaf: &SessionLeaf<'_>) {
        let context = LintContext {
            now: self.now,
            account: Some(view.account),
            trusted: view.trusted,
            unenforced: self.unenforced,
        };
        let mut found = |lint: Lint| {
            let is_said = matches!(lint, Lint::NoEnd | Lint::ControlsAccount { .. } | Lint::AnyTokenFunction);
            if !is_said {
                items.with_severity(lint.level()).put(Label::Lint, Value::Reason(&lint));
            }
        };
        // Either was read before.
        match view.trusted.role(leaf.validation_module) {
            Some(ContractRole::Erc20SessionValidationModule) => {
                if let Ok(data) = Erc20SessionKeyData::parse_whole(leaf.session_key_data, leaf.epoch) {
                    data.policy().lint(&context, &mut found);
                }
            }
            _ => {
                let data = ParsedSessionKeyData::parse(leaf.session_key_data);
                let _ = data.and_then(|data| data.lint(leaf.epoch, &context, &mut found));
            }
        }
    }
}

impl SessionView<'_> {
    /// Shows the key and what it may do.
    pub(super) fn show(&self, items: &mut Items<'_>, leaf: &SessionLeaf<'_>) -> Result<(), ReviewError> {
        let session = self.number;
        match self.trusted.role(leaf.validation_module) {
            Some(ContractRole::AbiSessionValidationModule) => {
                self.show_policy(items, leaf).map_err(|reason| ReviewError::Session { session, reason })?
            }
            Some(ContractRole::Erc20SessionValidationModule) => {
                let reason = Erc20Refusal::MalformedSessionKeyData { len: leaf.session_key_data.len() };
                self.show_erc20(items, leaf).ok_or(ReviewError::Erc20Session { session, reason })?;
            }
            _ => return Err(ReviewError::UnknownModule { session, module: leaf.validation_module }),
        }
        show_epoch(items, leaf.epoch);
        if let Some(lints) = self.lints {
            (lints.show)(&lints, self, items, leaf);
        }
        Ok(())
    }

    fn show_policy(
        &self,
        items: &mut Items<'_>,
        leaf: &SessionLeaf<'_>,
    ) -> Result<(), MalformedSessionKeyData> {
        let data = ParsedSessionKeyData::parse(leaf.session_key_data)?;
        let signature = self.trusted.function(data.selector());
        items.address(Label::SessionKey, &data.session_key());
        show_contract(items, &self.trusted, self.account, Label::Contract, data.contract());
        items.put(Label::Function, Value::Function { selector: data.selector(), signature });
        items.coin(Label::ValueLimit, &U256::from(data.value_limit()));
        for rule in data.strict_rules() {
            let rule = rule?;
            let subject = Subject::new(signature, usize::from(rule.offset()));
            let (condition, reference) = (rule.condition(), rule.reference().word());
            items.put(Label::Rule, Value::Rule { subject, condition, reference });
        }
        if data.rule_count() == 0 {
            items.with_severity(Severity::Warning).label(Label::AnyArguments);
        }
        Ok(())
    }

    fn show_erc20(&self, items: &mut Items<'_>, leaf: &SessionLeaf<'_>) -> Option<()> {
        let data = Erc20SessionKeyData::read_whole(leaf.session_key_data, leaf.epoch)?;
        let policy = data.policy();
        items.address(Label::SessionKey, &data.session_key());
        show_contract(items, &self.trusted, self.account, Label::Token, policy.token);
        items.address(Label::Recipient, &policy.recipient);
        items.number(Label::MaxAmount, &policy.max_amount);
        Some(())
    }
}

/// The contract that a session's key may call, and whether that may change who controls the account.
pub(super) fn show_contract(
    items: &mut Items<'_>,
    trusted: &TrustedContext<'_>,
    account: Address,
    label: Label,
    contract: Address,
) {
    items.address(label, &contract);
    if contract == account || trusted.role(contract).is_some_and(ContractRole::controls_accounts) {
        items.with_severity(Severity::Danger).address(Label::ControlsAccount, &contract);
    }
}

pub(super) fn show_epoch(items: &mut Items<'_>, epoch: SessionEpoch) {
    show_start(items, epoch.valid_after());
    show_end(items, epoch.valid_until());
}

pub(super) fn show_start(items: &mut Items<'_>, valid_after: u64) {
    match valid_after {
        0 => items.label(Label::FromNow),
        start => items.put(Label::From, Value::Time(start)),
    }
}

pub(super) fn show_end(items: &mut Items<'_>, valid_until: u64) {
    match valid_until {
        0 => items.with_severity(Severity::Warning).label(Label::WithoutEnd),
        end => items.put(Label::Until, Value::Time(end)),
    }
}
