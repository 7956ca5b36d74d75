//! Whether a chain's session validation module enforces what policies say.

use alloy_primitives::{Address, U256, address};
use quorate_contracts::SessionValidationModule::validateSessionParamsCall;
use quorate_core::{Condition, Encode as _, FunctionSelector, Policy, Rule, SessionKeyData};
use quorate_protocol::{CallPolicy, PermittedPolicy};

use crate::{Error, Quorate, SmartAccount};

impl Quorate {
    /// The conditions of rules that the ABI session validation module of this chain lets pass whatever the argument is.
    ///
    /// Published versions of the module differ: one of them compares `NotEqual` so that it always holds. The module itself is
    /// asked, by one `eth_call` for each condition, about a call that violates it.
    ///
    /// # Errors
    /// A node that gives no answer; a module that refuses a call which its policy allows, or that is not there.
    pub async fn unenforced_conditions(&self) -> Result<Vec<Condition>, Error> {
        let module = self.deployment().abi_session_validation_module;
        self.chain.session_key_by(module, question(None)).await?;
        let mut unenforced = Vec::new();
        for condition in Condition::ALL {
            if self.chain.takes_session_call(module, question(Some(condition))).await? {
                unenforced.push(condition);
            }
        }
        Ok(unenforced)
    }
}

impl SmartAccount {
    /// That the chain's module enforces all rules of a grant. It is asked only where a rule says `NotEqual`: of the other
    /// conditions no version is known that lets them pass.
    pub(crate) async fn check_conditions(&self, policies: &[PermittedPolicy]) -> Result<(), Error> {
        let rules = policies.iter().enumerate().flat_map(|(place, permitted)| {
            match &permitted.policy {
                CallPolicy::Abi(policy) => policy.rules(),
                CallPolicy::Erc20(_) => &[],
            }
            .iter()
            .enumerate()
            .map(move |(rule, it)| (place, rule, it.condition()))
        });
        let rules: Vec<_> = rules.collect();
        if !rules.iter().any(|(_, _, condition)| *condition == Condition::NotEqual) {
            return Ok(());
        }
        let unenforced = self.client.unenforced_conditions().await?;
        match rules.into_iter().find(|(_, _, condition)| unenforced.contains(condition)) {
            Some((policy, rule, condition)) => Err(Error::UnenforcedCondition { policy, rule, condition }),
            None => Ok(()),
        }
    }
}

/// A call of a policy without rules, or of one with a rule of this condition, which the call violates.
fn question(violated: Option<Condition>) -> validateSessionParamsCall {
    let policy = Policy::<1>::empty(CONTRACT, SELECTOR);
    let rule = violated.map(|condition| Rule::new(0, condition, REFERENCE));
    let policy =
        rule.into_iter().try_fold(policy, Policy::with_rule).unwrap_or(Policy::empty(CONTRACT, SELECTOR));
    let argument = [REFERENCE - 1, REFERENCE, REFERENCE + 1]
        .map(U256::from)
        .into_iter()
        .find(|argument| violated.is_none_or(|condition| !condition.holds(*argument, U256::from(REFERENCE))));
    let argument = argument.unwrap_or_default().to_be_bytes::<32>();
    validateSessionParamsCall {
        destinationContract: CONTRACT,
        callValue: U256::ZERO,
        funcCallData: [SELECTOR.as_bytes().as_slice(), &argument].concat().into(),
        sessionKeyData: SessionKeyData::new(SESSION_KEY, &policy).to_vec().into(),
        callSpecificData: Default::default(),
    }
}

const SESSION_KEY: Address = address!("00000000000000000000000000000000000005e5");
const CONTRACT: Address = address!("000000000000000000000000000000000000c0de");
const SELECTOR: FunctionSelector = FunctionSelector::new([0x12, 0x34, 0x56, 0x78]);
const REFERENCE: u64 = 5;

#[cfg(test)]
mod tests {
    use quorate_core::{Call, Execute, Refusal, evaluate};

    use super::*;

    /// What a module that enforces all conditions says.
    #[test]
    fn each_question_violates_its_condition_and_nothing_else() {
        let ask = |question: validateSessionParamsCall| {
            let call = Call {
                to: question.destinationContract,
                value: question.callValue,
                data: &question.funcCallData,
            };
            evaluate(&question.sessionKeyData, &Execute(call).to_vec())
        };
        assert_eq!(ask(question(None)), Ok(SESSION_KEY));
        for condition in Condition::ALL {
            let refused = ask(question(Some(condition)));
            assert!(
                matches!(refused, Err(Refusal::RuleViolated { rule: 0, .. })),
                "{condition:?}: {refused:?}"
            );
        }
    }
}
