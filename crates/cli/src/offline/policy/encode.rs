//! `quorate policy encode FILE`.

use std::path::Path;

use alloy_primitives::Address;
use quorate_core::json::SessionPolicy;
use quorate_protocol::Limits;
use serde::Serialize;

use super::file::{Decimals, ReadFile};
use super::{Tree, findings};
use crate::offline::Output;
use crate::offline::lint::LintArguments;

/// What the sessions of a policy file depend on besides it.
pub(super) struct Encode {
    pub(super) session_key: Address,
    pub(super) validation_module: Address,
    pub(super) lint: LintArguments,
}

/// The sessions, and what a network's nodes are to count.
#[derive(Serialize)]
struct Encoded {
    #[serde(flatten)]
    tree: Tree,
    limits: Limits,
}

impl Encode {
    pub(super) fn run(&self, path: &Path, decimals: &Decimals, output: Output) -> anyhow::Result<()> {
        let read = ReadFile::open(path, decimals, output)?;
        let compiled = read.compile()?;
        let found = findings::of(&compiled, &self.lint);
        if !found.is_empty() {
            eprintln!("{}", findings::lines(&found, &std::io::stderr()));
        }
        if self.lint.strict {
            findings::refuse_any(&found)?;
        }
        let session = |policy: &quorate_core::Policy| SessionPolicy {
            session_key: self.session_key,
            policy: policy.clone(),
        };
        let policies: Vec<_> = compiled.policies().iter().map(session).collect();
        let tree = Tree::of(&policies, self.validation_module)?;
        output.write(&Encoded { tree, limits: compiled.limits().clone() }, Encoded::text)
    }
}

impl Encoded {
    fn text(&self) -> String {
        match self.limits == Limits::default() {
            true => self.tree.text(),
            false => {
                let limits = serde_json::to_string(&self.limits).unwrap_or_default();
                format!("{}\nlimits          {limits}", self.tree.text())
            }
        }
    }
}
