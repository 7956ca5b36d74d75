//! `quorate policy`: policy files, sessions from policies, and whether a policy allows a call.

mod check;
mod encode;
mod explain;
pub(crate) mod file;
mod findings;
mod new;

use std::path::PathBuf;

use alloy_primitives::{Address, B256, Bytes, U256};
use clap::Subcommand;
use quorate_contracts::calls;
use quorate_core::json::SessionPolicy;
use quorate_core::{
    Call, ContractRole, Encode as _, Execute, SessionKeyData, SessionLeaf, TrustedContext, evaluate, merkle,
};
use serde::{Deserialize, Serialize};

use self::file::Decimals;
use super::lint::{Findings, LintArguments, Policies};
use super::{Output, arguments, read_json, read_stdin};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a policy file to start from.
    ///
    /// It allows one function of one contract, and says what else there is.
    New(new::Arguments),
    /// Say in words what a policy file allows, and what the chain does not hold of it.
    ///
    /// Gives {targets: [{target, statements: [{entry, text, chain, nodes}]}]}.
    Explain(explain::Arguments),
    /// Encode policies as the sessions of one account.
    ///
    /// Reads a policy file, or from stdin an array of {sessionKeyAddress, contractAddress, functionSelector, valueLimit?, rules?,
    /// interval?}; gives {sessions: [{sessionKeyData, leaf, proof}], root, setMerkleRoot}, and of a file {limits}. What `lint`
    /// would point out stands on stderr, and is refused with --strict.
    Encode {
        /// A policy file: TOML, or JSON where its name ends in .json. JSON is read from stdin without one.
        #[arg(requires = "session_key")]
        file: Option<PathBuf>,
        /// The address of the key that the sessions of a policy file are for.
        #[arg(long, requires = "file", value_parser = arguments::address)]
        session_key: Option<Address>,
        #[command(flatten)]
        decimals: Decimals,
        /// The session validation module that checks the policies.
        #[arg(long, value_parser = arguments::address, default_value_t = canonical(ContractRole::AbiSessionValidationModule))]
        validation_module: Address,
        #[command(flatten)]
        lint: LintArguments,
        #[command(flatten)]
        output: Output,
    },
    /// Point out what policies allow and most owners would not.
    ///
    /// Reads a policy file, or policies on stdin as `encode` does; gives {findings: [{policy, level, lint, text}]}, each of a file
    /// with its {place}.
    Lint {
        /// A policy file: TOML, or JSON where its name ends in .json. JSON is read from stdin without one.
        file: Option<PathBuf>,
        #[command(flatten)]
        decimals: Decimals,
        #[command(flatten)]
        lint: LintArguments,
        #[command(flatten)]
        output: Output,
    },
    /// Say whether a session allows a call, as the contract would.
    ///
    /// Reads from stdin {sessionKeyData, to, value, data}, where the last three are the call that the account is to make; gives
    /// {allowed, reason}, with the reason for which the contract would revert. Or it reads a policy file, and gives {allowed,
    /// reason, entry, expected, actual, place} of the call --to, --data and --value now; then it fails with code 1 where the call is
    /// not allowed.
    Check {
        /// A policy file: TOML, or JSON where its name ends in .json. JSON is read from stdin without one.
        #[arg(requires_all = ["to", "data"])]
        file: Option<PathBuf>,
        #[command(flatten)]
        decimals: Decimals,
        #[command(flatten)]
        call: check::CallArguments,
        #[command(flatten)]
        output: Output,
    },
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::New(arguments) => new::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Encode { file: Some(file), session_key, decimals, validation_module, lint, output } => {
            let encode =
                encode::Encode { session_key: session_key.unwrap_or_default(), validation_module, lint };
            encode.run(&file, &decimals, output)
        }
        Command::Encode { validation_module, lint, output, .. } => {
            let policies = Policies::read(&read_json("an array of policies")?)?;
            let findings = policies.lint(&lint);
            findings.lines().for_each(|line| eprintln!("{line}"));
            if lint.strict {
                findings.refuse_any()?;
            }
            output.write(&Tree::of(&policies.policies, validation_module)?, Tree::text)
        }
        Command::Lint { file: Some(file), decimals, lint, output } => {
            findings::run(&file, &decimals, &lint, output)
        }
        Command::Lint { lint, output, .. } => {
            let policies = Policies::read(&read_json("an array of policies")?)?;
            let findings = policies.lint(&lint);
            output.write(&findings, Findings::text)?;
            if lint.strict { findings.refuse_any() } else { Ok(()) }
        }
        Command::Check { file: Some(file), decimals, call, output } => {
            check::run(&file, &decimals, &call, output)
        }
        Command::Check { output, .. } => {
            let question: Question = read_stdin("a question {sessionKeyData, to, value, data}")?;
            output.write(&question.answer(), Answer::text)
        }
    }
}

/// The contract of this role that is used where none is named: the first one that is trusted.
fn canonical(role: ContractRole) -> Address {
    let contract = TrustedContext::CANONICAL.contracts.iter().find(|contract| contract.role == role);
    contract.map_or(Address::ZERO, |contract| contract.address)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tree {
    sessions: Vec<Session>,
    root: B256,
    set_merkle_root: Bytes,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Session {
    session_key_data: Bytes,
    leaf: B256,
    proof: Vec<B256>,
}

impl Tree {
    fn of<const RULES: usize>(
        policies: &[SessionPolicy<RULES>],
        validation_module: Address,
    ) -> anyhow::Result<Self> {
        let encoded: Vec<(Vec<u8>, B256)> = policies
            .iter()
            .map(|SessionPolicy { session_key, policy }| {
                let session_key_data = SessionKeyData::new(*session_key, policy).to_vec();
                let epoch = policy.epoch();
                let leaf =
                    SessionLeaf { epoch, validation_module, session_key_data: &session_key_data }.hash();
                (session_key_data, leaf)
            })
            .collect();
        anyhow::ensure!(!encoded.is_empty(), merkle::TreeError::Empty);
        let tree = merkle::Tree::new(encoded.iter().map(|(_, leaf)| *leaf).collect())?;
        let root = tree.root();
        let sessions = encoded.into_iter().enumerate().map(|(index, (session_key_data, leaf))| {
            let proof = tree.siblings(index).into_iter().flatten().collect();
            Session { session_key_data: session_key_data.into(), leaf, proof }
        });
        let manager = canonical(ContractRole::SessionKeyManager);
        Ok(Self {
            sessions: sessions.collect(),
            root,
            set_merkle_root: calls::set_merkle_root(manager, root).data.into(),
        })
    }

    fn text(&self) -> String {
        let mut lines = Vec::new();
        for (index, Session { session_key_data, leaf, proof }) in self.sessions.iter().enumerate() {
            lines.push(format!("session {index}"));
            lines.push(format!("  session key data  {session_key_data}"));
            lines.push(format!("  leaf              {leaf}"));
            lines.extend(proof.iter().map(|sibling| format!("  proof             {sibling}")));
        }
        lines.push(format!("root            {}", self.root));
        lines.push(format!("setMerkleRoot   {}", self.set_merkle_root));
        lines.join("\n")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Question {
    #[serde(deserialize_with = "quorate_core::json::bytes")]
    session_key_data: Vec<u8>,
    #[serde(deserialize_with = "quorate_core::json::address")]
    to: Address,
    #[serde(deserialize_with = "quorate_core::json::number")]
    value: U256,
    #[serde(deserialize_with = "quorate_core::json::bytes")]
    data: Vec<u8>,
}

#[derive(Serialize)]
struct Answer {
    allowed: bool,
    reason: Option<&'static str>,
    /// Which rule or limit, with both values.
    #[serde(skip)]
    explanation: Option<String>,
}

/// What a node of the chain says where a contract reverts without a reason.
const NO_REASON: &str = "execution reverted";

impl Question {
    fn answer(&self) -> Answer {
        let call = Call { to: self.to, value: self.value, data: &self.data };
        match evaluate(&self.session_key_data, &Execute(call).to_vec()) {
            Ok(_) => Answer { allowed: true, reason: None, explanation: None },
            Err(refusal) => Answer {
                allowed: false,
                reason: Some(refusal.revert_reason().unwrap_or(NO_REASON)),
                explanation: Some(refusal.to_string()),
            },
        }
    }
}

impl Answer {
    fn text(&self) -> String {
        match (self.reason, &self.explanation) {
            (Some(reason), Some(explanation)) => format!("refused: {explanation} ({reason})"),
            _ => "allowed".to_owned(),
        }
    }
}
