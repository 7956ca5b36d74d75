//! `quorate delegation`: what an owner signs to let a key act for their account, in words.

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use clap::Subcommand;
use quorate_core::delegation::{Caveat, Caveats, Delegation};
use quorate_core::{
    DelegationDomain, DelegationReview, DelegationReviewError, KnownFunction, TrustedContext,
};
use quorate_protocol::TypedData;
use serde::Deserialize;

use super::shown::Shown;
use super::{Output, arguments, read_stdin};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what a delegation (ERC-7710) allows, and point out what most owners would not sign.
    ///
    /// Reads the typed data that is signed, {domain: {chainId, verifyingContract}, message: {delegate, delegator, authority,
    /// caveats: [{enforcer, terms}], salt}}; gives {items: [{severity, label, value}], lines, digest, refusal}. Known are the
    /// manager and the enforcers of version 1.3.0 of MetaMask's framework.
    Review {
        /// A function's signature with the names of its arguments, which are shown then; may be given many times.
        #[arg(long = "function", value_parser = arguments::function)]
        functions: Vec<String>,
        #[command(flatten)]
        output: Output,
    },
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    let Command::Review { functions, output } = command;
    let document: Document = read_stdin("a delegation {domain, message}")?;
    let mut shown = Shown::default();
    let digest = document.review(&arguments::known_functions(&functions), &mut shown).map_err(Into::into);
    shown.write("digest", digest, output)
}

/// The review of a delegation whose typed data this is.
///
/// # Errors
/// What cannot be shown whole: it is not to be signed.
pub(crate) fn review(typed_data: &TypedData, functions: &[KnownFunction<'_>]) -> anyhow::Result<Shown> {
    let document: Document = serde_json::from_value(typed_data.document().clone())?;
    let mut shown = Shown::default();
    let digest = document.review(functions, &mut shown)?;
    let signed = typed_data.digest();
    anyhow::ensure!(digest == signed, "the review is of {digest}, and the delegation of {signed}");
    Ok(shown)
}

/// Typed data, of which wallets have more members.
#[derive(Deserialize)]
struct Document {
    domain: Domain,
    message: Message,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Domain {
    chain_id: U64,
    verifying_contract: Address,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    delegate: Address,
    delegator: Address,
    authority: B256,
    caveats: Vec<CaveatText>,
    salt: U256,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaveatText {
    enforcer: Address,
    terms: Bytes,
}

impl Document {
    fn review(
        &self,
        functions: &[KnownFunction<'_>],
        shown: &mut Shown,
    ) -> Result<B256, DelegationReviewError> {
        let Message { delegate, delegator, authority, caveats, salt } = &self.message;
        let caveats: Vec<_> = caveats
            .iter()
            .map(|CaveatText { enforcer, terms }| Caveat { enforcer: *enforcer, terms })
            .collect();
        let delegation = Delegation {
            delegate: *delegate,
            delegator: *delegator,
            authority: *authority,
            caveats: Caveats::from(&caveats[..]),
            salt: *salt,
            signature: &[],
        };
        let domain =
            DelegationDomain { chain_id: self.domain.chain_id.to(), manager: self.domain.verifying_contract };
        let trusted = TrustedContext { functions, ..TrustedContext::CANONICAL };
        DelegationReview::new(trusted, shown).review(domain, &delegation)
    }
}
