//! `quorate policy explain FILE`.

use std::path::PathBuf;

use clap::ValueEnum;
use quorate_core::Condition;
use quorate_policy_file::{Explanation, OnChain, Statement, Target};
use serde::Serialize;

use super::file::{Decimals, ReadFile};
use crate::offline::Output;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A policy file: TOML, or JSON where its name ends in .json.
    file: PathBuf,
    #[command(flatten)]
    decimals: Decimals,
    /// Who has the session key, and what holds the policy on chain; the first two are explained unless one is given.
    #[arg(long)]
    target: Option<TargetName>,
    /// A condition that a probe found this chain's module not to enforce, as "!="; may be given many times.
    #[arg(long, value_name = "CONDITION", value_parser = condition)]
    unenforced: Vec<Condition>,
    /// A probe found nothing that this chain's module does not enforce.
    #[arg(long, conflicts_with = "unenforced")]
    all_enforced: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum TargetName {
    /// One program has the key: only the chain holds the policy.
    Chain,
    /// A signing network has the key.
    Network,
    /// A signing network has the key, and the owner's account delegates to it (ERC-7710).
    Delegation,
}

fn condition(text: &str) -> Result<Condition, &'static str> {
    let of = |written| match written {
        "==" => Some(Condition::Equal),
        "!=" => Some(Condition::NotEqual),
        "<" => Some(Condition::LessThan),
        "<=" => Some(Condition::LessThanOrEqual),
        ">" => Some(Condition::GreaterThan),
        ">=" => Some(Condition::GreaterThanOrEqual),
        _ => None,
    };
    of(text).ok_or("give one of == != < <= > >=")
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let read = ReadFile::open(&arguments.file, &arguments.decimals, arguments.output)?;
    let compiled = read.compile()?;
    let is_probed = arguments.all_enforced || !arguments.unenforced.is_empty();
    let unenforced = is_probed.then_some(arguments.unenforced.as_slice());
    let usual = || vec![TargetName::Chain, TargetName::Network];
    let targets = arguments.target.map_or_else(usual, |target| vec![target]);
    let mut explained = Vec::new();
    for target in targets {
        let explanation = match target {
            TargetName::Chain => compiled.explain(Target::ChainAlone, unenforced),
            TargetName::Network => compiled.explain(Target::Network, unenforced),
            TargetName::Delegation => compiled.explain_delegation(&read.caveats(&compiled)?.limits),
        };
        explained.push(Explained { target, explanation });
    }
    let written = Written { targets: explained.iter().map(WrittenTarget::from).collect() };
    arguments.output.write(&written, |_| {
        let texts: Vec<_> = explained.iter().map(|it| it.explanation.to_string()).collect();
        texts.join("\n\n----\n\n")
    })
}

struct Explained {
    target: TargetName,
    explanation: Explanation,
}

#[derive(Serialize)]
struct Written<'a> {
    targets: Vec<WrittenTarget<'a>>,
}

#[derive(Serialize)]
struct WrittenTarget<'a> {
    target: TargetName,
    statements: Vec<WrittenStatement<'a>>,
}

#[derive(Serialize)]
struct WrittenStatement<'a> {
    /// From 0; none for what is of all entries.
    entry: Option<usize>,
    text: &'a str,
    /// Whether the chain holds it.
    chain: &'static str,
    /// Whether a network's nodes hold it.
    nodes: bool,
}

impl<'a> From<&'a Explained> for WrittenTarget<'a> {
    fn from(Explained { target, explanation }: &'a Explained) -> Self {
        let statements = explanation.statements().iter().map(WrittenStatement::from).collect();
        Self { target: *target, statements }
    }
}

impl<'a> From<&'a Statement> for WrittenStatement<'a> {
    fn from(statement: &'a Statement) -> Self {
        let chain = match statement.held_by.chain {
            OnChain::Held => "held",
            OnChain::NotHeld => "not-held",
            OnChain::NotProbed => "not-probed",
        };
        Self { entry: statement.entry, text: &statement.text, chain, nodes: statement.held_by.nodes }
    }
}
