//! What is found in policies.

use alloy_primitives::Address;
use quorate_core::json::SessionPolicy;
use quorate_core::{LintContext, TrustedContext};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::arguments;
use super::json::Json;
use crate::clock;
use crate::exit::Failure;

/// What findings depend on besides the policies, and what becomes of them.
#[derive(Debug, clap::Args)]
pub(crate) struct LintArguments {
    /// The account that the sessions are for.
    #[arg(long, value_parser = arguments::address)]
    account: Option<Address>,
    /// A function's signature, from which the types of its arguments are known; may be given many times. A policy that names
    /// its function by a signature needs none.
    #[arg(long = "function", value_parser = arguments::function)]
    functions: Vec<String>,
    /// Fail where anything is found.
    #[arg(long)]
    pub(super) strict: bool,
}

impl LintArguments {
    /// Gives what findings depend on: the clock, the account, and functions that were given by hand.
    pub(super) fn with_context<T>(&self, lint: impl FnOnce(LintContext<'_>) -> T) -> T {
        self.with_functions(&[], lint)
    }

    /// As [`with_context`](Self::with_context), with more functions, after those that were given by hand: these name the
    /// arguments.
    fn with_functions<T>(&self, more: &[String], lint: impl FnOnce(LintContext<'_>) -> T) -> T {
        let functions = arguments::known_functions(self.functions.iter().chain(more));
        let trusted = TrustedContext { functions: &functions, ..TrustedContext::CANONICAL };
        lint(LintContext { now: clock::known(), account: self.account, trusted, unenforced: &[] })
    }
}

/// More rules than the cost of a signature lets anybody use.
pub(super) type Policy = SessionPolicy<256>;

/// Policies, and the signatures by which they name their functions.
pub(super) struct Policies {
    pub(super) policies: Vec<Policy>,
    signatures: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    function_selector: Value,
}

#[derive(Serialize)]
pub(super) struct Findings {
    pub(super) findings: Vec<Finding>,
}

#[derive(Serialize)]
pub(super) struct Finding {
    /// The policy's place, from 0.
    policy: usize,
    level: String,
    lint: &'static str,
    text: String,
}

impl Policies {
    pub(super) fn read(json: &Json) -> anyhow::Result<Self> {
        let what = "an array of policies";
        let policies = json.parse(what)?;
        let named: Vec<Named> = json.parse(what)?;
        let signatures = named.into_iter().filter_map(|it| match it.function_selector {
            Value::String(text) => Some(text).filter(|text| !text.starts_with("0x")),
            _ => None,
        });
        Ok(Self { policies, signatures: signatures.collect() })
    }

    /// What is found in them.
    pub(super) fn lint(&self, arguments: &LintArguments) -> Findings {
        let mut findings = Vec::new();
        arguments.with_functions(&self.signatures, |context| {
            for (place, SessionPolicy { policy, .. }) in self.policies.iter().enumerate() {
                policy.lint(&context, &mut |lint| {
                    findings.push(Finding {
                        policy: place,
                        level: lint.level().to_string(),
                        lint: lint.name(),
                        text: lint.to_string(),
                    });
                });
            }
        });
        Findings { findings }
    }
}

impl Findings {
    /// A line for each.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.findings
            .iter()
            .map(|Finding { policy, level, lint, text }| format!("policy {policy}: {level} ({lint}): {text}"))
    }

    pub(super) fn text(&self) -> String {
        match self.findings.is_empty() {
            true => "nothing to point out".to_owned(),
            false => self.lines().collect::<Vec<_>>().join("\n"),
        }
    }

    /// Fails where anything is found.
    pub(super) fn refuse_any(&self) -> anyhow::Result<()> {
        match self.findings.len() {
            0 => Ok(()),
            count => {
                let message = format!("{count} findings; without --strict they are only pointed out");
                Err(Failure::refused(message).into())
            }
        }
    }
}
