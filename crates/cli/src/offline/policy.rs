//! `quorate policy`: sessions from policies, and whether a policy allows a call.

use std::time::{SystemTime, UNIX_EPOCH};

use alloy_primitives::{Address, B256, Bytes, U256};
use clap::Subcommand;
use quorate_contracts::{Deployment, calls};
use quorate_core::json::SessionPolicy;
use quorate_core::{Call, Encode as _, Execute, SessionKeyData, SessionLeaf, Surroundings, evaluate, merkle};
use serde::{Deserialize, Serialize};

use super::{Output, read_stdin};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Encode policies as the sessions of one account.
    ///
    /// Reads an array of {sessionKeyAddress, contractAddress, functionSelector, valueLimit?, rules?, interval?}; gives
    /// {sessions: [{sessionKeyData, leaf, proof}], root, setMerkleRoot}.
    Encode {
        /// The session validation module that checks the policies.
        #[arg(long, default_value_t = Deployment::canonical().abi_session_validation_module)]
        validation_module: Address,
        #[command(flatten)]
        output: Output,
    },
    /// Point out what policies allow and most owners would not.
    ///
    /// Reads policies as `encode` does; gives {dangers: [{policy, danger}]}.
    Lint {
        /// The account that the sessions are for.
        #[arg(long)]
        account: Option<Address>,
        /// A function's signature, from which the types of its arguments are known; may be given many times.
        #[arg(long = "function")]
        functions: Vec<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Say whether a session allows a call, as the contract would.
    ///
    /// Reads {sessionKeyData, to, value, data}, where the last three are the call that the account is to make; gives
    /// {allowed, reason}, with the reason for which the contract would revert.
    Check {
        #[command(flatten)]
        output: Output,
    },
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Encode { validation_module, output } => {
            let policies: Vec<Policy> = read_stdin("an array of policies")?;
            output.write(&Tree::of(&policies, validation_module)?, Tree::text)
        }
        Command::Lint { account, functions, output } => {
            let policies: Vec<Policy> = read_stdin("an array of policies")?;
            output.write(&Findings::of(&policies, account, &functions), Findings::text)
        }
        Command::Check { output } => {
            let question: Question = read_stdin("a question {sessionKeyData, to, value, data}")?;
            output.write(&question.answer(), Answer::text)
        }
    }
}

/// More rules than the cost of a signature lets anybody use.
type Policy = SessionPolicy<256>;

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
    fn of(policies: &[Policy], validation_module: Address) -> anyhow::Result<Self> {
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
        let manager = Deployment::canonical().session_key_manager;
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

#[derive(Serialize)]
struct Findings {
    dangers: Vec<Finding>,
}

#[derive(Serialize)]
struct Finding {
    /// The policy's place, from 0.
    policy: usize,
    danger: String,
}

impl Findings {
    fn of(policies: &[Policy], account: Option<Address>, functions: &[String]) -> Self {
        let deployment = Deployment::canonical();
        let functions: Vec<&str> = functions.iter().map(String::as_str).collect();
        let modules = [
            deployment.session_key_manager,
            deployment.ecdsa_ownership_module,
            deployment.batched_session_router,
            deployment.multichain_ecdsa_module,
        ];
        let surroundings = Surroundings {
            now: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            // No policy is for the zero address.
            account: account.unwrap_or_default(),
            modules: &modules,
            functions: &functions,
        };
        let of_policy = |(policy, it): (usize, &Policy)| -> Vec<Finding> {
            let dangers = it.policy.dangers(surroundings);
            dangers.map(|danger| Finding { policy, danger: danger.to_string() }).collect()
        };
        Self { dangers: policies.iter().enumerate().flat_map(of_policy).collect() }
    }

    fn text(&self) -> String {
        if self.dangers.is_empty() {
            return "nothing to point out".to_owned();
        }
        let lines =
            self.dangers.iter().map(|finding| format!("policy {}: {}", finding.policy, finding.danger));
        lines.collect::<Vec<_>>().join("\n")
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
