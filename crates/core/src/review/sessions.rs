//! What a session allows.

use alloy_primitives::{Address, U256};

use super::{
    error::ReviewError,
    function::Subject,
    item::{Item, NotShown, Show, Value},
    label::Label,
};
use crate::{
    lint::{context::LintContext, finding::Lint, severity::Severity},
    policy::{condition::Condition, epoch::SessionEpoch},
    session::{erc20::Erc20SessionKeyData, leaf::SessionLeaf, session_key_data::ParsedSessionKeyData},
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
    show: fn(&Self, &SessionView<'_>, &mut dyn Show, &SessionLeaf<'_>) -> Result<(), NotShown>,
}

impl<'a> Lints<'a> {
    pub(super) const fn new(now: Option<u64>, unenforced: &'a [Condition]) -> Self {
        Self { now, unenforced, show: Self::show }
    }

    /// Shows what is found, but for what is said where it stands.
    fn show(
        &self,
        view: &SessionView<'_>,
        show: &mut dyn Show,
        leaf: &SessionLeaf<'_>,
    ) -> Result<(), NotShown> {
        let context = LintContext {
            now: self.now,
            account: Some(view.account),
            trusted: view.trusted,
            unenforced: self.unenforced,
        };
        let mut shown = Ok(());
        let mut found = |lint: Lint| {
            let is_said = matches!(lint, Lint::NoEnd | Lint::ControlsAccount { .. } | Lint::AnyTokenFunction);
            if shown.is_ok() && !is_said {
                let item = Item::new(Label::Lint, Value::Reason(&lint)).with_severity(lint.level());
                shown = show.show(&item);
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
        shown
    }
}

impl SessionView<'_> {
    /// Shows the key and what it may do.
    pub(super) fn show(&self, show: &mut dyn Show, leaf: &SessionLeaf<'_>) -> Result<(), ReviewError> {
        let session = self.number;
        match self.trusted.role(leaf.validation_module) {
            Some(ContractRole::AbiSessionValidationModule) => self.show_policy(show, leaf)?,
            Some(ContractRole::Erc20SessionValidationModule) => self.show_erc20(show, leaf)?,
            _ => return Err(ReviewError::UnknownModule { session, module: leaf.validation_module }),
        }
        show_epoch(show, leaf.epoch)?;
        match self.lints {
            Some(lints) => Ok((lints.show)(&lints, self, show, leaf)?),
            None => Ok(()),
        }
    }

    fn show_policy(&self, show: &mut dyn Show, leaf: &SessionLeaf<'_>) -> Result<(), ReviewError> {
        let malformed = |reason| ReviewError::Session { session: self.number, reason };
        let data = ParsedSessionKeyData::parse(leaf.session_key_data).map_err(malformed)?;
        let signature = self.trusted.function(data.selector());
        show.show(&Item::new(Label::SessionKey, Value::Address(data.session_key())))?;
        show_contract(show, &self.trusted, self.account, Label::Contract, data.contract())?;
        let function = Value::Function { selector: data.selector(), signature };
        show.show(&Item::new(Label::Function, function))?;
        show.show(&Item::new(Label::ValueLimit, Value::Coin(U256::from(data.value_limit()))))?;
        for rule in data.strict_rules() {
            let rule = rule.map_err(malformed)?;
            show.show(&Item::new(
                Label::Rule,
                Value::Rule {
                    subject: Subject::new(signature, usize::from(rule.offset())),
                    condition: rule.condition(),
                    reference: rule.reference().word(),
                },
            ))?;
        }
        if data.rule_count() == 0 {
            show.show(&Item::new(Label::AnyArguments, Value::None).with_severity(Severity::Warning))?;
        }
        Ok(())
    }

    fn show_erc20(&self, show: &mut dyn Show, leaf: &SessionLeaf<'_>) -> Result<(), ReviewError> {
        let malformed = |reason| ReviewError::Erc20Session { session: self.number, reason };
        let data = Erc20SessionKeyData::parse_whole(leaf.session_key_data, leaf.epoch).map_err(malformed)?;
        let policy = data.policy();
        show.show(&Item::new(Label::SessionKey, Value::Address(data.session_key())))?;
        show_contract(show, &self.trusted, self.account, Label::Token, policy.token)?;
        show.show(&Item::new(Label::Recipient, Value::Address(policy.recipient)))?;
        Ok(show.show(&Item::new(Label::MaxAmount, Value::Number(policy.max_amount)))?)
    }
}

/// The contract that a session's key may call, and whether that may change who controls the account.
pub(super) fn show_contract(
    show: &mut dyn Show,
    trusted: &TrustedContext<'_>,
    account: Address,
    label: Label,
    contract: Address,
) -> Result<(), NotShown> {
    show.show(&Item::new(label, Value::Address(contract)))?;
    if contract == account || trusted.role(contract).is_some_and(ContractRole::controls_accounts) {
        let item = Item::new(Label::ControlsAccount, Value::Address(contract));
        show.show(&item.with_severity(Severity::Danger))?;
    }
    Ok(())
}

pub(super) fn show_epoch(show: &mut dyn Show, epoch: SessionEpoch) -> Result<(), NotShown> {
    show.show(&match epoch.valid_after() {
        0 => Item::new(Label::FromNow, Value::None),
        start => Item::new(Label::From, Value::Time(start)),
    })?;
    show.show(&match epoch.valid_until() {
        0 => Item::new(Label::WithoutEnd, Value::None).with_severity(Severity::Warning),
        end => Item::new(Label::Until, Value::Time(end)),
    })
}
