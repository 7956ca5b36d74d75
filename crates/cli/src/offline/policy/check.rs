//! `quorate policy check FILE`.

use std::path::Path;

use alloy_primitives::{Address, Bytes, U256};
use quorate_core::Call;
use quorate_policy_file::{Refused, RefusedBecause, Verdict, wei};
use serde::Serialize;

use super::NO_REASON;
use super::file::{Decimals, ReadFile, WrittenPlace, drawn};
use crate::clock;
use crate::exit::Failure;
use crate::offline::{Output, arguments};

/// The call that an account is to make.
#[derive(Debug, clap::Args)]
pub(crate) struct CallArguments {
    /// The contract called.
    #[arg(long, requires = "file", value_parser = arguments::address)]
    to: Option<Address>,
    /// The call's data: 0x and hex digits.
    #[arg(long, requires = "file")]
    data: Option<Bytes>,
    /// The chain's coin that is sent, in wei or as "0.1 ether".
    #[arg(long, requires = "file", value_parser = wei)]
    value: Option<U256>,
}

pub(super) fn run(
    path: &Path,
    decimals: &Decimals,
    call: &CallArguments,
    output: Output,
) -> anyhow::Result<()> {
    let read = ReadFile::open(path, decimals, output)?;
    let compiled = read.compile()?;
    let data = call.data.clone().unwrap_or_default();
    let call = Call { to: call.to.unwrap_or_default(), value: call.value.unwrap_or_default(), data: &data };
    match compiled.check(&call, clock::known()) {
        Verdict::Allowed { entry } => {
            let function = read.file.functions().nth(entry).unwrap_or_default();
            output.write(&Answer::allowed(entry), |_| format!("allowed by entry {}: {function}", entry + 1))
        }
        Verdict::Refused(refused) if output.is_json() => {
            output.write(&Answer::refused(&refused, &read), |_| String::new())?;
            Err(Failure::refused(String::new()).drawn().into())
        }
        Verdict::Refused(refused) => {
            Err(Failure::refused(drawn(&refused, &std::io::stderr())).drawn().into())
        }
    }
}

#[derive(Serialize)]
struct Answer {
    allowed: bool,
    /// What the contract would revert with.
    reason: Option<&'static str>,
    /// The entry that allows it, or comes nearest to it, from 0.
    entry: usize,
    expected: Option<String>,
    actual: Option<String>,
    place: Option<WrittenPlace>,
}

impl Answer {
    const fn allowed(entry: usize) -> Self {
        Self { allowed: true, reason: None, entry, expected: None, actual: None, place: None }
    }

    fn refused(refused: &Refused, read: &ReadFile) -> Self {
        let because = &refused.because;
        let reason = match because {
            RefusedBecause::Module { refusal, .. } => Some(refusal.revert_reason().unwrap_or(NO_REASON)),
            // The entry point refuses the operation, and the module is content.
            _ => None,
        };
        Self {
            allowed: false,
            reason,
            entry: refused.entry,
            expected: Some(because.expected()),
            actual: Some(because.actual()),
            place: refused.place.map(|place| read.place(&place)),
        }
    }
}
