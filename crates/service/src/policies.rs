//! Policies as a client gives them: the JSON form of a policy file.

use std::collections::BTreeMap;

use quorate::{Limits, Policy, SmartAccount, TokenBalance};
use quorate_core::{Condition, KnownFunction};
use quorate_policy_file::{Facts, Format, Mistakes, PolicyFile, Target};
use serde::Serialize;

use crate::error::RpcError;
use crate::to_sign::now;

/// A policy file that was read, with the decimals of its tokens.
#[derive(Debug)]
pub(crate) struct Policies {
    file: PolicyFile,
    facts: Facts,
}

/// What a policy file compiles to.
#[derive(Debug)]
pub(crate) struct CompiledPolicies {
    pub(crate) policies: Vec<Policy>,
    pub(crate) limits: Limits,
    /// In words, with what the chain does not hold.
    pub(crate) explanation: Vec<String>,
}

/// A mistake in the policies.
#[derive(Debug, Serialize)]
struct Mistake {
    mistake: &'static str,
    text: String,
    /// Bytes of the JSON text of the policies; first the place to change.
    places: Vec<Place>,
}

#[derive(Debug, Serialize)]
struct Place {
    offset: usize,
    len: usize,
}

impl Policies {
    /// Reads policies, and asks the tokens that they name for their decimals.
    ///
    /// # Errors
    /// All mistakes, with their places.
    pub(crate) async fn read(text: &str, account: &SmartAccount) -> Result<Self, RpcError> {
        let file =
            PolicyFile::parse("policies", text, Format::Json).map_err(|mistakes| written(&mistakes))?;
        let open = file.tokens().filter(|token| token.decimals.is_none());
        let tokens: Vec<_> = open.map(|token| token.address).collect();
        let mut decimals = BTreeMap::new();
        if !tokens.is_empty() {
            for TokenBalance { token, decimals: told, .. } in account.balances(&tokens).await?.tokens {
                let missing = || {
                    RpcError::invalid_params(format_args!(
                        "the contract {token} does not say its decimals; is it a token?"
                    ))
                };
                decimals.insert(token, told.ok_or_else(missing)?);
            }
        }
        Ok(Self { file, facts: Facts { decimals, now: Some(now()) } })
    }

    /// Compiles them for a kind of key; `unenforced` are the conditions that this chain's module lets pass.
    ///
    /// # Errors
    /// All mistakes, with their places.
    pub(crate) fn compile(
        &self,
        target: Target,
        unenforced: &[Condition],
    ) -> Result<CompiledPolicies, RpcError> {
        let compiled = self.file.compile(&self.facts).map_err(|mistakes| written(&mistakes))?;
        let explanation = compiled.explain(target, Some(unenforced)).to_string();
        Ok(CompiledPolicies {
            policies: compiled.policies().to_vec(),
            limits: compiled.limits().clone(),
            explanation: explanation.lines().map(str::to_owned).collect(),
        })
    }

    /// The functions that they name, for a review.
    pub(crate) fn functions(&self) -> Vec<KnownFunction<'_>> {
        self.file.known_functions()
    }
}

fn written(mistakes: &Mistakes) -> RpcError {
    let write = |mistake: &quorate_policy_file::Mistake| Mistake {
        mistake: mistake.kind().name(),
        text: mistake.to_string(),
        places: mistake.places().iter().map(|place| Place { offset: place.offset, len: place.len }).collect(),
    };
    let all: Vec<_> = mistakes.as_slice().iter().map(write).collect();
    let first = all.first().map_or("", |mistake| &mistake.text);
    RpcError::mistakes(format_args!("params[0].policies: {first}"), &all)
}
