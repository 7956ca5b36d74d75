//! `quorate policy lint FILE`.

use std::path::Path;

use quorate_policy_file::{Compiled, Finding};
use serde::Serialize;

use super::file::{Decimals, ReadFile, WrittenPlace, drawn};
use crate::exit::Failure;
use crate::offline::Output;
use crate::offline::lint::LintArguments;

pub(super) fn run(
    path: &Path,
    decimals: &Decimals,
    arguments: &LintArguments,
    output: Output,
) -> anyhow::Result<()> {
    let read = ReadFile::open(path, decimals, output)?;
    let compiled = read.compile()?;
    let findings = of(&compiled, arguments);
    let written = findings.iter().map(|finding| WrittenFinding::new(finding, &read)).collect();
    output.write(&WrittenFindings { findings: written }, |_| match findings.is_empty() {
        true => "nothing to point out".to_owned(),
        false => lines(&findings, &std::io::stdout()),
    })?;
    if arguments.strict { refuse_any(&findings) } else { Ok(()) }
}

/// What is found in a policy file.
pub(super) fn of(compiled: &Compiled<'_>, arguments: &LintArguments) -> Vec<Finding> {
    arguments.with_context(|context| compiled.lint(&context))
}

/// What is found, for people.
pub(super) fn lines(findings: &[Finding], to: &impl std::io::IsTerminal) -> String {
    let drawn: Vec<_> = findings.iter().map(|finding| drawn(finding, to)).collect();
    drawn.join("\n").trim_end().to_owned()
}

/// Fails where anything is found.
pub(super) fn refuse_any(findings: &[Finding]) -> anyhow::Result<()> {
    match findings.len() {
        0 => Ok(()),
        count => {
            let message = format!("error: {count} findings; without --strict they are only pointed out");
            Err(Failure::refused(message).drawn().into())
        }
    }
}

#[derive(Serialize)]
struct WrittenFindings {
    findings: Vec<WrittenFinding>,
}

#[derive(Serialize)]
struct WrittenFinding {
    /// The entry's place, from 0; missing where it is of all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<usize>,
    level: String,
    lint: &'static str,
    text: String,
    place: WrittenPlace,
}

impl WrittenFinding {
    fn new(finding: &Finding, read: &ReadFile) -> Self {
        let Finding { entry, what, place, .. } = finding;
        let level = what.level().to_string();
        Self { policy: *entry, level, lint: what.name(), text: what.to_string(), place: read.place(place) }
    }
}
