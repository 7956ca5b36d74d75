//! What must stand in a review for each change.

use alloy_primitives::{Address, B256, U256, utils::format_ether};
use quorate_core::TrustedContext;

use super::review::Reviewed;
use super::watch::Change;

/// Something that a review has to say, or must not.
#[derive(Debug)]
pub(crate) enum Claim {
    /// One line holds all of these texts; a text in small letters may stand there in capitals.
    Line(Vec<String>),
    /// So does one that warns.
    Warning(String),
    /// No line holds this.
    NoLine(&'static str),
    /// The root is that of the sessions that were shown.
    Sessions(B256),
    AnyOf(Vec<Claim>),
}

/// The table.
pub(crate) fn claims(change: &Change) -> Vec<Claim> {
    match change {
        Change::Root { root: B256::ZERO, .. } => vec![line("all sessions")],
        Change::Root { root, .. } => vec![line(root), Claim::Sessions(*root)],
        Change::Owner { owner: Address::ZERO, .. } => vec![warning("owner")],
        Change::Owner { owner, .. } => vec![warning(owner)],
        Change::Enabled(module) if TrustedContext::CANONICAL.role(*module).is_none() => vec![warning(module)],
        Change::Enabled(module) | Change::Disabled(module) => vec![line(module)],
        Change::Handler(contract) | Change::Implementation(contract) => vec![warning(contract)],
        Change::Allowance { spender, before, amount } => {
            let mut amounts = vec![line(amount), line(amount.wrapping_sub(*before))];
            if *amount == U256::MAX {
                amounts.push(line("without limit"));
            }
            vec![line(spender), Claim::AnyOf(amounts)]
        }
        Change::Deposited(wei) => vec![line(ether(*wei))],
        Change::Withdrawn { receiver } | Change::StakeWithdrawn { receiver } => vec![line(receiver)],
        Change::Stake(_) => vec![line("stake")],
        Change::Deployed(factory) => vec![line(factory)],
        Change::Paid(None) => vec![line("paid by the account"), Claim::NoLine("paid by the paymaster")],
        Change::Paid(Some(paymaster)) => vec![
            Claim::Line(vec!["paid by".to_owned(), paymaster.to_string()]),
            Claim::NoLine("paid by the account"),
        ],
    }
}

fn line(text: impl ToString) -> Claim {
    Claim::Line(vec![text.to_string()])
}

fn warning(text: impl ToString) -> Claim {
    Claim::Warning(text.to_string())
}

/// An amount of the chain's coin as the review has it, without zeros after the point.
fn ether(wei: U256) -> String {
    let decimals = format_ether(wei);
    format!("{} of the chain's coin", decimals.trim_end_matches('0').trim_end_matches('.'))
}

impl Claim {
    /// Whether a review, which was shown sessions with this root, says so.
    pub(crate) fn holds(&self, reviewed: &Reviewed, shown: Option<B256>) -> bool {
        match self {
            Self::Line(parts) => has_line(reviewed, parts),
            Self::Warning(part) => ["warning", "danger"]
                .iter()
                .any(|severity| has_line(reviewed, &[part.clone(), (*severity).to_owned()])),
            Self::NoLine(text) => !has_line(reviewed, &[(*text).to_owned()]),
            Self::Sessions(root) => shown == Some(*root),
            Self::AnyOf(claims) => claims.iter().any(|claim| claim.holds(reviewed, shown)),
        }
    }
}

fn has_line(reviewed: &Reviewed, parts: &[String]) -> bool {
    reviewed.lines.iter().any(|line| {
        let small = line.to_lowercase();
        parts.iter().all(|part| line.contains(part) || small.contains(part))
    })
}
